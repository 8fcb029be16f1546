#!/usr/bin/env python3
"""
Records what goes over the tunnel port, so that a change that must not touch the wire can be checked:

  wire_record.py BINDIR OUT.jsonl     all sessions; --only=A,B some; --jobs=N at once; --list names them
  wire_record.py --client=OTHER ...   the client of another folder: old and new must go together
  diff before.jsonl after.jsonl       equal programs make equal files, byte for byte

Recorded are the real pgrok and pgrokd, and each with peers made by hand that behave as the Go programs do.
Between client and server stands a man in the middle, which ends TLS on both sides (a client without a
trust option takes any certificate) and hands everything on as it comes: a TLS record as one record;
close_notify, FIN and reset as what they are. It needs Linux, python3 and the openssl command.

A session is a row of steps. In a step one actor does one thing, and the step is over when all is quiet:
all threads of the programs and of the recorder sleep, and no byte is on its way (wire/quiet.py).
So what happens in a step does not depend on how fast the machine is. A line is a JSON object:

  session, step     where
  at                control-1; mux-1: yamux, shared by visitors; reused-1: yamux, one visitor after the
                    other; proxy-1: one visitor; other-1; the far ends: visitor-1, service-1
  dir               c2s from client to server, s2c back; a far end has sent and got instead
  message           the JSON text; records: the sizes of its TLS records, if it is not just one record
  frame             of yamux: its type, with flags, stream, and payload or length
  bytes             what a proxy connection carries after StartProxy
  end               close_notify, fin (without close_notify), reset; eof: FIN on a plain socket
  times             how often this line stood there in a row
  hello, tls        what our client's ClientHello offers; what our server chose: version, cipher, ALPN

Within a step lines stand by connection and direction, each direction in its own order; how the two
directions lie in each other is not recorded. Connections are numbered as they were opened; proxy and
reused ones as they got their first visitor, since two may be opened at once.

Placeholders: <client-1> for ids of clients, <req-1> of requests, <name-1> random subdomains, <http>,
<tcp-1>, <visitor-1> ... ports, <date>, <software> the version shown to people.

Left out, because timing decides: yamux window updates without a flag, and the size of those with one; how
bytes are cut into DATA frames and, other than messages, into records (so what is said in one step
is one frame here); PINGs of yamux after the first each way; mux sessions after the first, which a
client opens that finds its line slow (session mux-far shows them); a GOAWAY in the step in which its
connection ends; when a program ends, what the other one still says, but on the control connection.
Long bytes are shown as their length and digest.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import SimpleNamespace

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system")]

ATTEMPTS = 4
TOO_SLOW = 75  # exit status of a session that must be recorded again


def load():
    """The sessions, by name; after PGROK_BIN is set."""
    from wire import by_hand, ours, play, slow  # noqa: F401
    return play.SESSIONS


def record_one(name, folder, sessions):
    """In a process of its own: its exit status. Lines go to NAME.out, the rest to stderr, NAME.err."""
    from wire.lines import lines_of
    from wire.play import Session
    run, limit = sessions[name]
    session = Session(name, SimpleNamespace(folder=folder, server=folder / "server.pem",
                                            server_key=folder / "server.key"))
    began = time.monotonic()
    try:
        run(session)
        took = time.monotonic() - began
    except BaseException:  # pylint: disable=broad-except
        traceback.print_exc()
        print(f"{name}, step {session.now}: {session.steps[-1:]}", file=sys.stderr)
        for p in session.procs:
            print(f"---- {p.name}\n{p.last_words(20)}", file=sys.stderr)
        return 1
    finally:
        session.close()
    lines = lines_of(session)
    print(f"{name}: {len(lines)} lines, {session.now} steps, {took:.1f} s", file=sys.stderr)
    (folder / f"{name}.out").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if took > limit or any(w.late for w in session.wires):
        print(f"{name}: that was so slow that it may show", file=sys.stderr)
        return TOO_SLOW
    return 0


def fork(name, folder, sessions):
    """Starts recording; the child's pid."""
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        with open(folder / f"{name}.err", "a", encoding="utf-8") as sys.stderr:
            status = record_one(name, folder, sessions)
    finally:
        os._exit(status)


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-keyout", f"{folder}/server.key", "-out", f"{folder}/server.pem",
                    "-days", "30", "-subj", "/CN=pgrok.me"],
                   check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def record_all(names, folder, sessions, jobs):
    """Names of those that failed. The slow ones run beside all others: they sleep most of the time."""
    from wire.play import LIMIT
    make_certificate(folder)
    todo = [n for n in names if sessions[n][1] <= LIMIT]
    tries, running, failed = dict.fromkeys(names, 1), {}, []
    for name in names:
        if name not in todo:
            running[fork(name, folder, sessions)] = name
    jobs += len(running)
    while todo or running:
        while todo and len(running) < jobs:
            name = todo.pop(0)
            running[fork(name, folder, sessions)] = name
        pid, status = os.wait()
        name = running.pop(pid)
        if sessions[name][1] > LIMIT:
            jobs -= 1
        status = os.waitstatus_to_exitcode(status)
        if status == TOO_SLOW and tries[name] < ATTEMPTS:
            tries[name] += 1
            todo.append(name)
        elif status:
            failed.append(name)
    return failed


def main():
    parser = argparse.ArgumentParser(description="Records what goes over the tunnel port.")
    parser.add_argument("bindir", nargs="?", default=".")
    parser.add_argument("out", nargs="?")
    parser.add_argument("--client", metavar="BINDIR", help="folder of the client, if it is another one")
    parser.add_argument("--only", help="sessions, with commas between them")
    parser.add_argument("--jobs", type=int, default=4,
                        help="sessions at once, beside those that wait most of the time")
    parser.add_argument("--list", action="store_true", help="names the sessions")
    args = parser.parse_args()
    os.environ["PGROK_BIN"] = os.path.abspath(args.bindir)
    if args.client:
        os.environ["WIRE_CLIENT"] = os.path.abspath(args.client) + "/pgrok"
    sessions = load()
    if args.list:
        for name, (run, _) in sessions.items():
            print(f"{name:20} {' '.join((run.__doc__ or '').split())}")
        return 0
    only = args.only.split(",") if args.only else list(sessions)
    names = [n for n in sessions if n in only]
    unknown = [n for n in only if n not in sessions]
    if unknown or not args.out:
        parser.error(f"no session {', '.join(unknown)}" if unknown else "BINDIR and OUT are needed")
    with tempfile.TemporaryDirectory(prefix="wire-") as folder:
        folder = Path(folder)
        failed = record_all(names, folder, sessions, args.jobs)
        for name in names:
            sys.stderr.write((folder / f"{name}.err").read_text())
        with open(args.out, "w", encoding="ascii") as f:
            for name in names:
                if name not in failed:
                    f.write((folder / f"{name}.out").read_text())
    if failed:
        print("not recorded: " + " ".join(failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
