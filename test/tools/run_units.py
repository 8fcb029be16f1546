#!/usr/bin/env python3
"""Runs unit test programs side by side, each with a time limit.

  run_units.py [--jobs N] [--seconds S] [--forgiven FILE] PROGRAM...

A line is printed as each one ends; the output of one that failed is printed whole. With --forgiven
what failed runs once more, alone; what then passes is noted in FILE with the first failure's reason.
Status 1 if a program failed (twice, with --forgiven).
"""
import argparse
import concurrent.futures
import os
import subprocess
import sys
import time


def run(program, seconds):
    """(passed, seconds it took, reason or None); its output goes to PROGRAM.log."""
    began = time.monotonic()
    with open(program + ".log", "w", encoding="utf-8", errors="backslashreplace") as log:
        try:
            status = subprocess.run([program], stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=subprocess.STDOUT, timeout=seconds, check=False).returncode
        except subprocess.TimeoutExpired:
            status = None
    if status == 0:
        reason = None
    elif status is None:
        reason = f"no end after {seconds} s"
    else:
        reason = f"signal {-status}" if status < 0 else f"status {status}"
        with open(program + ".log", encoding="utf-8", errors="replace") as log:
            failed = [line.strip() for line in log if "FAILED" in line or "rror:" in line]
        if failed:
            reason += ": " + failed[0][:200]
    return status == 0, time.monotonic() - began, reason


def skipped(program):
    """The names of its tests that skipped themselves."""
    with open(program + ".log", encoding="utf-8", errors="replace") as log:
        return [line.split("]")[1].strip() for line in log if line.startswith("[  SKIPPED ]")
                and "test(s)" not in line]


def show(name, passed, seconds, reason, note="", program=None):
    left_out = skipped(program) if program and passed else []
    print(f"  {'PASS' if passed else 'FAIL'}   {name} ({seconds:.1f} s{note})"
          + (f": {reason}" if reason else "")
          + (f", skipped: {' '.join(sorted(set(left_out)))}" if left_out else ""), flush=True)


def show_log(program):
    with open(program + ".log", encoding="utf-8", errors="replace") as log:
        sys.stdout.write(log.read())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--forgiven")
    parser.add_argument("programs", nargs="+")
    args = parser.parse_args()
    failed = {}
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        running = {pool.submit(run, p, args.seconds): p for p in args.programs}
        for done in concurrent.futures.as_completed(running):
            program = running[done]
            passed, seconds, reason = done.result()
            show(program, passed, seconds, reason, program=program)
            if not passed:
                show_log(program)
                failed[program] = reason
    if failed and args.forgiven:
        with open(args.forgiven, "a", encoding="utf-8") as out:
            for program, first in list(failed.items()):
                passed, seconds, reason = run(program, args.seconds)
                show(program, passed, seconds, reason, ", second attempt")
                if passed:
                    out.write(f"{program}: {first}\n")
                    del failed[program]
                else:
                    show_log(program)
    print(f"{len(args.programs) - len(failed)} passed, {len(failed)} failed")
    if failed:
        print("unit tests failed: " + " ".join(sorted(failed)), file=sys.stderr)
    sys.exit(1 if failed else 0)


main()
