#!/usr/bin/env python3
"""Checks what no compiler checks: borders between folders, sizes, first lines. Exit 1 on a finding.

  source_rules.py [ROOT]    looks at ROOT (default: the current folder)
"""
import glob
import os
import re
import statistics
import sys

FUNCTION_MAX = 100  # lines, from the name to the closing brace
FILE_MAX = 800
COLUMN_MAX = 100  # with tabs of 8

# Which folders of ours the files of a folder may include.
MAY_INCLUDE = {
    "common": {"common"},
    "assets": {"assets", "common"},
    "msg": {"msg", "common"},
    "pgrokd": {"pgrokd", "msg", "common", "assets"},
    "pgrok": {"pgrok", "msg", "common", "assets"},
    "test": {"test", "pgrokd", "pgrok", "msg", "common", "assets"},
}
# Rooms of a folder from the ground up: each includes only those before it. Those not listed stand above.
ROOMS = {"pgrokd": ["access", "names", "config", "core"]}
# What stands in a folder itself puts its rooms together; but for these, rooms do not see it.
GROUND = {"pgrokd": {"limits.h"}}
# Only kinds of streams see inside a stream.
STREAM_KIND = "common/stream/kind.h"
STREAM_KINDS = re.compile(r"common/(stream|mux)/\w*\.[ch]$|test/unit/")

INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')
LEFT_OVER = re.compile(r"\b(%s)\b" % "|".join(("TO" "DO", "FIX" "ME", "X" "XX")))

findings = []
function_sizes = []


def finding(path, line, text):
    findings.append(f"{path}:{line}: {text}")


def check_rooms(path, number, target):
    """Arrows point down: from a room to those below it."""
    (folder, *inner), (_, *seen) = path.split("/"), target.split("/")
    if folder not in ROOMS or target.split("/")[0] != folder or len(inner) < 2:
        return
    rooms = ROOMS[folder]
    if len(seen) < 2:
        if seen[0] not in GROUND[folder]:
            finding(path, number, f"a room must not include {target}")
    elif inner[0] in rooms and seen[0] not in rooms[:rooms.index(inner[0]) + 1]:
        finding(path, number, f"{folder}/{inner[0]}/ must not include {target}: it stands above")


def check_include(root, path, number, target):
    folder = path.split("/")[0]
    parts = target.split("/")
    if len(parts) < 2:
        return finding(path, number, f'"{target}": includes name their folder')
    if not os.path.exists(os.path.join(root, target)):
        return finding(path, number, f'"{target}" does not exist')
    if parts[0] not in MAY_INCLUDE[folder]:
        finding(path, number, f"{folder}/ must not include {target}")
    if target == STREAM_KIND and not STREAM_KINDS.match(path):
        finding(path, number, f"{STREAM_KIND} is for kinds of streams alone")
    if target.endswith(".c") and folder != "test":
        finding(path, number, f"{target}: a source is not included")
    check_rooms(path, number, target)
    # A test of one side must not reach into the other.
    for side, other in (("pgrokd", "pgrok"), ("pgrok", "pgrokd")):
        if path.startswith(f"test/unit/{side}/") and parts[0] == other:
            finding(path, number, f"a test of {side}/ must not include {target}")


def check_functions(path, lines):
    """A function's body stands between a brace in column 0 and the next closing one there."""
    start = None
    for i, line in enumerate(lines):
        if line == "{":
            start = i
            while start > 0 and lines[start - 1] and lines[start - 1][0] not in "}#/ *":
                start -= 1
                if not lines[start][0].isspace():
                    break
        elif line == "}" and start is not None:
            size = i - start + 1
            function_sizes.append(size)
            if size > FUNCTION_MAX:
                finding(path, start + 1, f"function of {size} lines (at most {FUNCTION_MAX})")
            start = None


def long_text(path, line):
    """A text is easier to find when it is not broken."""
    return re.match(r'\s*"', line) or (path.startswith("test/") and '"' in line)


def check_file(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        lines = f.read().split("\n")
    if not lines[0].startswith("/*"):
        finding(path, 1, "the first line must say what the file is for")
    if len(lines) - 1 > FILE_MAX:
        finding(path, FILE_MAX + 1, f"{len(lines) - 1} lines (at most {FILE_MAX})")
    for number, line in enumerate(lines, 1):
        if len(line.expandtabs(8)) > COLUMN_MAX and not long_text(path, line):
            finding(path, number, f"{len(line.expandtabs(8))} columns (at most {COLUMN_MAX})")
        if LEFT_OVER.search(line):
            finding(path, number, "left-over: " + line.strip())
        m = INCLUDE.match(line)
        if m:
            check_include(root, path, number, m.group(1))
    if path.endswith(".h"):
        guard = re.sub(r"\W", "_", path).upper()
        if f"#ifndef {guard}" not in lines:
            finding(path, 1, f"the include guard is to be {guard}")
    check_functions(path, lines)


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    paths = []
    for folder in MAY_INCLUDE:
        for path in glob.glob(os.path.join(root, folder, "**", "*.[ch]"), recursive=True):
            paths.append(os.path.relpath(path, root))
    for path in sorted(paths):
        check_file(root, path)
    for path in ("util.c", "utils.c", "misc.c", "helpers.c"):
        for found in [p for p in paths if os.path.basename(p) == path]:
            finding(found, 1, "a helper lives in the module that owns its noun")
    for text in findings:
        print(text)
    if function_sizes:
        sizes = sorted(function_sizes)
        print(
            f"  RULES  {len(paths)} files, {len(sizes)} functions of"
            f" {statistics.median(sizes):.0f} lines in the middle,"
            f" {sizes[len(sizes) * 9 // 10]} at p90, {sizes[-1]} at most"
        )
    sys.exit(1 if findings else 0)


main()
