#!/usr/bin/env python3
"""Wraps comments that are wider than a line may be, which clang-format leaves alone.

  wrap_comments.py FILE...    rewrites files that need it; a comment behind code is left to people
"""
import os
import re
import sys
import textwrap

COLUMN_MAX = 100  # with tabs of 8


def width(line):
    return len(line.expandtabs(8))


def wrap_single(line):
    """A comment that is one line becomes a block; None if it is something else."""
    m = re.match(r"^(\t*)/\* (.*) \*/$", line)
    if not m:
        return None
    indent, text = m.groups()
    lines = textwrap.wrap(text, COLUMN_MAX - 8 * len(indent) - 3)
    return [indent + "/*", *(f"{indent} * {t}" for t in lines), indent + " */"]


def wrap_in_block(lines, i):
    """Moves what is too much of lines[i], inside a block, to the start of the next line."""
    m = re.match(r"^(\t*) \* (\s*(?:- )?)(.*)$", lines[i])
    if not m or m[3].endswith("*/"):
        return False
    indent, lead, text = m.groups()
    first, *rest = textwrap.wrap(text, COLUMN_MAX - 8 * len(indent) - 3 - len(lead))
    rest = " ".join(rest)
    below = re.match(r"^(\t*) \* (\s*)(\S.*)$", lines[i + 1]) if i + 1 < len(lines) else None
    lines[i] = f"{indent} * {lead}{first}"
    if below and len(below[2]) == len(lead) and not below[3].startswith("- "):
        lines[i + 1] = f"{indent} * {below[2]}{rest} {below[3]}"
    else:
        lines.insert(i + 1, f"{indent} * {' ' * len(lead)}{rest}")
    return True


def wrap(text):
    lines, i = text.split("\n"), 0
    while i < len(lines):
        if width(lines[i]) > COLUMN_MAX:
            block = wrap_single(lines[i])
            if block:
                lines[i : i + 1] = block
            else:
                wrap_in_block(lines, i)
        i += 1
    return "\n".join(lines)


def main():
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as f:
            old = f.read()
        new = wrap(old)
        if new != old:
            with open(path + ".new", "w", encoding="utf-8") as f:
                f.write(new)
            os.chmod(path + ".new", os.stat(path).st_mode)
            os.rename(path + ".new", path)
            print("wrapped", path)


main()
