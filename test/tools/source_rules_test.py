#!/usr/bin/env python3
"""Tests source_rules.py: plants what it must find in a small tree of its own, and reads what it says."""
import os
import subprocess
import sys
import tempfile
import unittest

RULES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "source_rules.py")

CLEAN = {
    "common/base/log.h": "",
    "common/stream/stream.h": '#include "common/base/log.h"\n',
    "common/httpd/conn.h": '#include "common/base/log.h"\n',
    "pgrokd/carrier/carrier.h": '#include "common/stream/stream.h"\n',
    "pgrokd/visitor/visitor.h": '#include "pgrokd/carrier/carrier.h"\n',
    "pgrokd/front/guest.h": "",
    "pgrok/capture/capture.h": "",
    "pgrok/files/files.h": "",
}


def source(path, text):
    head = f"/* {path} */\n"
    if not path.endswith(".h"):
        return head + text
    guard = path.replace("/", "_").replace(".", "_").upper()
    return f"{head}#ifndef {guard}\n#define {guard}\n{text}#endif\n"


class SourceRules(unittest.TestCase):
    def check(self, planted):
        """What the checker prints about the clean tree with these files on top, and its status."""
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**CLEAN, **planted}.items():
                full = os.path.join(root, path)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "w", encoding="utf-8") as f:
                    f.write(source(path, text))
            done = subprocess.run(
                [sys.executable, RULES, root], capture_output=True, text=True, check=False
            )
            return done.returncode, done.stdout

    def finds(self, planted, *words):
        status, out = self.check(planted)
        self.assertEqual(status, 1, out)
        for word in words:
            self.assertIn(word, out)

    def test_clean(self):
        status, out = self.check({})
        self.assertEqual(status, 0, out)

    def test_upwards(self):
        self.finds(
            {"pgrokd/carrier/pool.c": '#include "pgrokd/visitor/visitor.h"\n'},
            "pgrokd/carrier/pool.c:2: must not include pgrokd/visitor/visitor.h",
            "pgrokd/visitor stands above pgrokd/carrier",
        )

    def test_beside(self):
        self.finds(
            {"pgrok/files/list.c": '#include "pgrok/capture/capture.h"\n'},
            "pgrok/capture stands beside pgrok/files",
        )

    def test_sizeof(self):
        self.finds(
            {"common/base/box.c": "int n = sizeof n;\n"},
            "common/base/box.c:2: sizeof(x), not sizeof x",
        )

    def test_room_without_a_rank(self):
        self.finds(
            {"pgrokd/shed/tool.c": '#include "common/base/log.h"\n'},
            "pgrokd/shed/ has no rank",
        )

    def test_private(self):
        self.finds(
            {"common/httpd/ws.c": '#include "common/httpd/conn.h"\n',
             "pgrok/main.c": '#include "common/httpd/conn.h"\n'},
            "pgrok/main.c:2: must not include common/httpd/conn.h: it is private to common/httpd/",
        )

    def test_private_by_name(self):
        self.finds(
            {"pgrok/files/list_in.h": "", "pgrok/main.c": '#include "pgrok/files/list_in.h"\n'},
            "it is private to pgrok/files/",
        )

    def test_private_shared_with_one_room(self):
        status, out = self.check({"pgrokd/proto/hello.c": '#include "pgrokd/front/guest.h"\n'})
        self.assertEqual(status, 0, out)

    def test_other_program(self):
        self.finds(
            {"pgrok/main.c": '#include "pgrokd/visitor/visitor.h"\n'},
            "pgrok/ must not include pgrokd/visitor/visitor.h",
        )

    def test_common_knows_nothing_of_ours(self):
        self.finds(
            {"msg/pgrok/msg.h": "", "common/base/log.c": '#include "msg/pgrok/msg.h"\n'},
            "common/ must not include msg/pgrok/msg.h",
        )

    def test_circle(self):
        self.finds(
            {"pgrok/files/a.h": '#include "pgrok/files/b.h"\n',
             "pgrok/files/a.c": "",
             "pgrok/files/b.h": "",
             "pgrok/files/b.c": '#include "pgrok/files/a.h"\n'},
            "a circle of modules: a -> b -> a",
        )

    def test_long_function(self):
        body = "int f(void)\n{\n" + "\tint x;\n" * 120 + "}\n"
        self.finds({"common/base/long.c": body}, "function of 123 lines")


unittest.main()
