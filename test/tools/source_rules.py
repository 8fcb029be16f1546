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
# The rooms of a folder, lowest first: a file includes its own room's headers and those of lower
# lines. Rooms on one line do not know each other. A file may stand alone (a header that all may see).
RANKS = {
    "common": [
        ["common/base"],
        ["common/net"],
        ["common/stream"],
        ["common/mux", "common/http"],
        ["common/httpd"],
    ],
    "msg": [["msg/json"], ["msg/pgrok", "msg/drip"]],
    "pgrokd": [
        ["pgrokd/limits.h"],
        ["pgrokd/access"],
        ["pgrokd/names"],
        ["pgrokd/config"],
        ["pgrokd/core"],
        ["pgrokd/carrier"],
        ["pgrokd/visitor"],
        ["pgrokd/client"],
        ["pgrokd/front"],
        ["pgrokd/proto"],
        ["pgrokd/admin"],
        ["pgrokd"],
    ],
    "pgrok": [
        ["pgrok/limits.h"],
        ["pgrok/files", "pgrok/capture"],
        ["pgrok/config"],
        ["pgrok/model"],
        ["pgrok/visit"],
        ["pgrok/replay", "pgrok/uplink"],
        ["pgrok/inspect", "pgrok/show"],
        ["pgrok"],
    ],
}
# What the rules above would allow and still is wrong.
FORBIDDEN = [
    ("pgrok/inspect/", "pgrok/uplink/"),
    ("pgrok/inspect/", "pgrok/visit/"),
    ("pgrok/show/", "pgrok/uplink/"),
    ("pgrok/show/", "pgrok/visit/"),
    ("pgrok/show/", "pgrok/replay/"),
]
# Headers that only their own room (and its tests) may include, and who else may.
PRIVATE = {
    "common/httpd/conn.h": (),
    "common/mux/session.h": (),
    "common/stream/kind.h": ("common/mux/",),
    "pgrok/capture/frames.h": (),
    "pgrok/capture/store_in.h": (),
    "pgrok/files/files_in.h": (),
    "pgrok/inspect/parts.h": (),
    "pgrokd/admin/parts.h": (),
    "pgrokd/carrier/parts.h": (),
    "pgrokd/client/parts.h": (),
    "pgrokd/client/request.h": (),
    "pgrokd/client/takeover.h": (),
    "pgrokd/client/tunnel.h": (),
    "pgrokd/front/guest.h": ("pgrokd/proto/",),
    "pgrokd/visitor/parts.h": (),
}
# Rooms in which one object was cut by length: their modules may know each other.
CIRCLES_ALLOWED = {"common/httpd", "common/mux"}

INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')
BARE_SIZEOF = re.compile(r"\bsizeof [^(]")
LEFT_OVER = re.compile(r"\b(%s)\b" % "|".join(("TO" "DO", "FIX" "ME", "X" "XX")))

findings = []
function_sizes = []
knows = {}  # room -> module -> modules of the room that it includes


def finding(path, line, text):
    findings.append(f"{path}:{line}: {text}")


def rank(path):
    """Where a file stands: (folder, index of its line, its room)."""
    folder = path.split("/")[0]
    for i, rooms in enumerate(RANKS.get(folder, ())):
        for room in rooms:
            if path == room or os.path.dirname(path) == room:
                return folder, i, room
    return folder, None, os.path.dirname(path)


def check_rank(path, number, target):
    folder, mine, room = rank(path)
    other, its, its_room = rank(target)
    if folder not in RANKS:
        return
    if mine is None:
        finding(path, number, f"{room}/ has no rank: give it one in RANKS")
    elif folder == other and its is None:
        finding(path, number, f"{its_room}/ has no rank: give it one in RANKS")
    elif folder == other and room != its_room and its >= mine:
        why = "stands above" if its > mine else "stands beside"
        finding(path, number, f"must not include {target}: {its_room} {why} {room}")


def check_private(path, number, target):
    owners = PRIVATE.get(target)
    if owners is None and target.endswith("_in.h"):
        owners = ()
    if owners is None or path.startswith("test/unit/"):
        return
    room = os.path.dirname(target) + "/"
    if os.path.dirname(path) + "/" != room and not any(path.startswith(o) for o in owners):
        finding(path, number, f"must not include {target}: it is private to {room}")


def check_include(root, path, number, target):
    folder = path.split("/")[0]
    parts = target.split("/")
    if len(parts) < 2:
        return finding(path, number, f'"{target}": includes name their folder')
    if not os.path.exists(os.path.join(root, target)):
        return finding(path, number, f'"{target}" does not exist')
    if parts[0] not in MAY_INCLUDE[folder]:
        return finding(path, number, f"{folder}/ must not include {target}")
    check_rank(path, number, target)
    check_private(path, number, target)
    for above, below in FORBIDDEN:
        if path.startswith(above) and target.startswith(below):
            finding(path, number, f"must not include {target}: {above} does not know {below}")
    if target.endswith(".c") and folder != "test":
        finding(path, number, f"{target}: a source is not included")
    # A test of one side must not reach into the other.
    for side, other in (("pgrokd", "pgrok"), ("pgrok", "pgrokd")):
        if path.startswith(f"test/unit/{side}/") and parts[0] == other:
            finding(path, number, f"a test of {side}/ must not include {target}")
    # A header without a source is no module of its own, but a part of those that include it.
    whole = os.path.splitext(target)[0] + ".c"
    here = os.path.splitext(path)[0] + ".c"
    if (
        folder != "test"
        and os.path.dirname(path) == os.path.dirname(target)
        and os.path.exists(os.path.join(root, whole))
        and os.path.exists(os.path.join(root, here))
    ):
        knows.setdefault(os.path.dirname(path), {}).setdefault(module(path), set()).add(
            module(target)
        )


def module(path):
    return os.path.splitext(os.path.basename(path))[0]


def find_circle(edges):
    """The modules of one circle, or None."""
    done = set()

    def walk(at, way):
        if at in way:
            return way[way.index(at):] + [at]
        if at in done:
            return None
        done.add(at)
        for to in sorted(edges.get(at, set()) - {at}):
            found = walk(to, way + [at])
            if found:
                return found
        return None

    for start in sorted(edges):
        found = walk(start, [])
        if found:
            return found
    return None


def check_circles():
    for room, edges in sorted(knows.items()):
        circle = None if room in CIRCLES_ALLOWED else find_circle(edges)
        if circle:
            finding(room, 0, "a circle of modules: " + " -> ".join(circle))


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
        if BARE_SIZEOF.search(line):
            finding(path, number, "sizeof(x), not sizeof x")
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
    check_circles()
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
