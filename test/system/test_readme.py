"""What the README tells people to type, typed; and the demo, as `make demo ONCE=1` runs it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time

import pytest

from lib.env import BIN, FLAVOR, ROOT, WAIT, free_port
from lib.procs import Proc

PORTS = ("8000", "8443", "4443", "8080")


def blocks():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)


def port_open(port):
    try:
        socket.create_connection(("127.0.0.1", port), WAIT).close()
    except OSError:
        return False
    return True


class Reader:
    """Somebody who types what stands there, in a folder of his own, with ports that are free."""

    def __init__(self, folder):
        self.folder = folder
        self.ports = {p: str(free_port()) for p in PORTS}
        self.env = {k: v for k, v in os.environ.items() if k not in ("B", "BIN", "FLAVOR", "DEBUG")}
        self.env.update(HOME=str(folder), MAKEFLAGS="")
        self.running = []
        os.symlink(BIN, folder / "bin")
        (folder / "debug.yml.example").write_text(
            self.adapt((ROOT / "debug.yml.example").read_text(encoding="utf-8")))

    def adapt(self, text):
        return re.sub(r"(?<=[: =])(%s)\b" % "|".join(PORTS), lambda m: self.ports[m[1]], text)

    def type(self, block):
        command = self.adapt(block).strip()
        if command.startswith("make"):
            if FLAVOR == "release" and BIN == ROOT / "bin":
                self.run(command, ROOT)
        elif re.match(r"bin/pgrokd |bin/pgrok .*(start\b|\d$)|python3 -m http\.server", command):
            self.start(command)
        else:
            self.run(command, self.folder)

    def run(self, command, cwd):
        out = subprocess.run(["bash", "-ec", command], cwd=cwd, env=self.env, timeout=WAIT * 10,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, check=False)
        assert out.returncode == 0, f"{command}\n{out.stdout}"
        return out.stdout

    def start(self, command):
        """A command that stays; back when it is ready."""
        p = Proc(["bash", "-c", "exec " + command], command.split()[0], {"HOME": str(self.folder)},
                 self.folder)
        self.running.append(p)
        log = re.search(r"-log=(\S+\.log)", command)
        if command.startswith("python3"):
            self.wait(p, lambda: port_open(int(self.ports["8080"])))
        elif log:
            path = self.folder / log[1]
            self.wait(p, lambda: path.exists() and "Tunnel established at" in path.read_text())
        elif command.startswith("bin/pgrokd"):
            p.wait_log("Listening for control and proxy connections on")
        else:
            p.wait_log("Tunnel established at https")

    @staticmethod
    def wait(p, ready):
        end = time.monotonic() + WAIT
        while not ready():
            assert p.alive() and time.monotonic() < end, f"{p.name} is not ready: {p.text()}"
            time.sleep(0.02)

    def end(self):
        for p in reversed(self.running):
            if p.alive():
                p.stop()


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
def test_what_the_readme_says(tmp_path):
    todo = blocks()
    assert len(todo) >= 6
    reader = Reader(tmp_path)
    try:
        for block in todo:
            reader.type(block)
    finally:
        reader.end()


def test_flags_of_the_readme_are_those_of_the_programs():
    """Every flag that -h shows has its row, and no row is invented."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for program in ("pgrokd", "pgrok"):
        out = subprocess.run([str(BIN / program), "-h"], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, check=False, timeout=WAIT)
        assert out.returncode == 0
        shown = set(re.findall(r"^\s+-([A-Za-z-]+)\b", out.stdout, re.M))
        section = text.split(f"## Reference: {program}\n")[1].split("\n## ")[0]
        rows = [line.split("|")[1] for line in section.split("\n") if line.startswith("| `-")]
        listed = set(re.findall(r"`-([A-Za-z-]+)`", " ".join(rows)))
        assert shown == listed, program


def test_demo_once():
    out = subprocess.run([sys.executable, str(ROOT / "test/tools/demo.py"), "--once", str(BIN)],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                         timeout=WAIT * 4)
    assert out.returncode == 0, out.stdout
    assert out.stdout.count("ok: a request through") == 4


def test_demo_fails_when_a_program_does(tmp_path):
    for name, script in (("pgrokd", "echo no luck today; exit 3"), ("pgrok", "exit 0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    out = subprocess.run([sys.executable, str(ROOT / "test/tools/demo.py"), "--once", str(tmp_path)],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                         timeout=WAIT * 4)
    assert out.returncode == 1
    assert "no luck today" in out.stdout
