#!/usr/bin/env python3
"""Counts what a request costs instead of timing it: instructions (callgrind), system calls (strace).

Each load is run with N units of work and with 2N; the difference, divided by N, is what a unit costs:
opening and closing cancel out. Such counts hardly depend on what else the machine does. What they are
not: time. See bench/README.md.

Settings: ONLY=a,b (pgrok, pgrok-nomux, pgrok-once or another variant of ours), SCENARIOS=a,b (single,
keepalive, newconn, down, up), WITH=callgrind,strace.
"""
import contextlib
import glob
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True

import bench  # noqa: E402
import peers  # noqa: E402
import procs  # noqa: E402
from procs import Failure  # noqa: E402

VARIANTS = ("pgrok", "pgrok-nomux", "pgrok-once")
MB = 10**6
AT_ONCE = 32
TOP = 5  # names of system calls in the table
ENDS = ("pgrokd", "pgrok")


class Callgrind:
    """Instructions in user space: of our code, and of the libraries."""
    title = "User-space instructions, direct engine (in brackets: in our own code)"
    name, bulk_mb = "callgrind", 8

    def command(self, path, cmd):
        return ["valgrind", "--tool=callgrind", "-q", f"--callgrind-out-file={path}", *cmd]

    def take(self, proc, path):
        """What was counted since it was asked last: each dump is a file of its own."""
        done = subprocess.run(["callgrind_control", "-d", str(proc.pid)], capture_output=True, text=True,
                              check=False)
        if "OK" not in done.stdout:
            raise Failure(f"callgrind_control: {done.stdout}{done.stderr}")
        newest = max(glob.glob(f"{path}.*"), key=lambda name: int(name.rsplit(".", 1)[1]))
        return self.read(newest)

    def read(self, path):
        """The file is a list of costs per line; what a call costs in all stands below its `calls=`."""
        names, got, ours, called = {}, {"all": 0, "ours": 0}, False, False
        with open(path, encoding="utf-8") as f:
            for line in f:
                if line.startswith(("ob=", "cob=")):
                    number, _, name = line.split("=", 1)[1].strip().partition(" ")
                    which = names.setdefault(number, os.path.basename(name))
                    ours = which in ENDS if line[0] == "o" else ours
                elif line[0] in "+-*0123456789" and not called:
                    cost = int(line.split()[1])
                    got["all"] += cost
                    got["ours"] += cost if ours else 0
                called = line.startswith("calls=")
        return got


class Strace:
    """System calls by name, all threads, from start to end: so each amount is a run of its own."""
    title = "System calls, direct engine"
    name, bulk_mb = "strace", 128

    def command(self, path, cmd):
        return ["strace", "-f", "-c", "-o", path, *cmd]

    def take(self, proc, path):
        procs.signal_tree(procs.tree([proc]), signal.SIGTERM)
        proc.wait(10)
        with open(path, encoding="utf-8") as f:
            rows = [line.split() for line in f]
        # % time, seconds, usecs/call, calls, [errors,] name
        return {row[-1]: int(row[3]) for row in rows
                if len(row) in (5, 6) and row[3].isdigit() and row[-1] != "total"}


class Counted:
    """A variant of ours whose ends run under the tool."""

    def __init__(self, peer, tool):
        self.peer, self.tool = peer, tool

    def __getattr__(self, name):
        return getattr(self.peer, name)

    def start(self, cell):
        """Both ends; {end: file that the tool writes when it ends}."""
        files = {}

        def spawn(_, part, cmd, **more):
            end = "pgrokd" if part == "server" else "pgrok"
            files[end] = os.path.join(cell.folder, f"{end}.count")
            log = cell.bench.log(f"{self.peer.name}-{part}-{self.tool.name}")
            return procs.spawn(self.tool.command(files[end], cmd), log, cwd=cell.folder, **more)

        self.peer.spawn = spawn
        try:
            cell.start()
        finally:
            del self.peer.spawn
        return files


# The loads: what is done, for so many units.

def connections(cell, count):
    address, _ = cell.web()
    return [socket.create_connection(address, 30) for _ in range(count)]


def ask_all(socks):
    """A request on each connection, and then the answers: one wave."""
    for s in socks:
        s.sendall(b"GET / HTTP/1.1\r\nHost: bench.test\r\n\r\n")
    for s in socks:
        got = b""
        while not got.endswith(b"Hello, world!\n"):
            piece = s.recv(4096)
            if not piece:
                raise Failure("a connection ended before its answer did")
            got += piece


def close_all(socks):
    for s in socks:
        s.close()


def keep_alive(at_once):
    def load(cell, units):
        socks = []
        for _ in range(at_once):  # one after the other, so that no run needs more handshakes than another
            socks += connections(cell, 1)
            ask_all(socks[-1:])
        for _ in range(units // at_once):
            ask_all(socks)
        close_all(socks)
    return load


def new_connections(cell, units):
    for _ in range(units // AT_ONCE):
        socks = connections(cell, AT_ONCE)
        ask_all(socks)
        close_all(socks)


def bulk(way):
    def load(cell, units):
        with socket.create_connection(cell.public("bytes"), 60) as s:
            s.sendall(struct.pack("!cQ", way, units * MB))
            if way == b"u":
                send_bytes(s, units * MB)
            receive_bytes(s, units * MB if way == b"d" else 1)
    return load


def send_bytes(s, count):
    piece = os.urandom(64 * 1024)
    while count > 0:
        count -= s.send(piece[:count])


def receive_bytes(s, count):
    while count > 0:
        got = len(s.recv(256 * 1024))
        if got == 0:
            raise Failure("the connection ended too early")
        count -= got


class ByteService(threading.Thread):
    """The far end of `bulk`: sends or takes as many bytes as it is told, not one more."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = self.socket.getsockname()
        self.start()

    def run(self):
        while True:
            s, _ = self.socket.accept()
            with s, contextlib.suppress(OSError, Failure, struct.error):
                way, count = struct.unpack("!cQ", s.recv(9, socket.MSG_WAITALL))
                if way == b"u":
                    receive_bytes(s, count)
                send_bytes(s, count if way == b"d" else 1)


class Load:
    """A scenario, as far as a cell needs one. Without an amount, as much bulk as the tool bears."""

    def __init__(self, name, unit, amount, work):
        self.name, self.unit, self.amount, self.work = name, unit, amount, work

    def takers(self, variants):
        """Bulk costs the same on a connection of its own, whether it is used once or again."""
        some = [v for v in variants if v.name != "pgrok-once"]
        return variants if self.amount or not some else some

    def amount_for(self, variant, tool):
        if self.name == "newconn" and variant.name == "pgrok-once":
            return self.amount // 10  # a handshake each
        return self.amount or tool.bulk_mb

    def tunnels(self, our, place):
        return [("web", our.ports.take(), our.services(place).address("web")),
                ("bytes", our.ports.take(), our.bytes.address)]


LOADS = (Load("single", "request, one at a time", 3200, keep_alive(1)),
         Load("keepalive", f"request, {AT_ONCE} at a time", 6400, keep_alive(AT_ONCE)),
         Load("newconn", f"new connection, {AT_ONCE} at a time", 1600, new_connections),
         Load("down", "MB down", None, bulk(b"d")), Load("up", "MB up", None, bulk(b"u")))


def count(our, variant, tool, load, steps):
    """What each of these amounts of work cost: [{end: {what: how often}}]."""
    peer = Counted(variant, tool)
    cell = bench.Cell(our, peer, load, our.loopback)
    try:
        files = peer.start(cell)
        ends = dict(zip(ENDS, cell.procs))
        load.work(cell, AT_ONCE if load.amount else 1)  # wakes what sleeps until used
        if isinstance(tool, Callgrind):
            steps = [0, *steps]
        found = []
        for units in steps:
            load.work(cell, units)
            found.append({end: tool.take(ends[end], files[end]) for end in ENDS})
        return found[-2:]
    finally:
        cell.close()


def per_unit(our, variant, tool, load):
    amount = load.amount_for(variant, tool)
    if isinstance(tool, Callgrind):
        one, two = count(our, variant, tool, load, [amount, 2 * amount])
    else:
        one, two = (count(our, variant, tool, load, [times * amount])[0] for times in (1, 2))
    return {end: {key: (n - one[end].get(key, 0)) / amount for key, n in two[end].items()}
            for end in ENDS}


def figure(number):
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def said(tool, got):
    """The columns of one row."""
    if tool.name == "callgrind":
        each = [got[end] for end in ENDS]
        each.append({key: sum(row[key] for row in each) for key in ("all", "ours")})
        return [f"{figure(row['all'])} ({figure(row['ours'])})" for row in each]
    columns = []
    for end in ENDS:
        top = sorted(got[end].items(), key=lambda row: -row[1])[:TOP]
        names = ", ".join(f"{name} {figure(n)}" for name, n in top if n >= 0.005)
        columns.append(f"{figure(sum(got[end].values()))} ({names})")
    return columns + [figure(sum(sum(got[end].values()) for end in ENDS))]


def table(tool, rows):
    lines = [f"\n### {tool.title}\n", "| per | | pgrokd | pgrok | both |", "|---|---|---|---|---|"]
    lines += [f"| {load.unit} | {variant.title} | " + " | ".join(said(tool, got)) + " |"
              for load, variant, got in rows]
    return "\n".join(lines)


class Our(bench.Bench):
    """The benchmark's ports, services and folders, without its scenarios."""

    def choose_ours(self):
        only = bench.names_of("ONLY") or VARIANTS
        found = [p for p in self.peers if p.name in only and isinstance(p, peers.Pgrok)]
        loads = [load for load in LOADS
                 if not bench.names_of("SCENARIOS") or load.name in bench.names_of("SCENARIOS")]
        tools = [tool for tool in (Callgrind(), Strace())
                 if not bench.names_of("WITH") or tool.name in bench.names_of("WITH")]
        for peer in found:
            if peer.missing():
                sys.exit(f"counts: {peer.missing()}")
        return found, loads, tools


def main():
    missing = [name for name in ("valgrind", "strace", "nginx") if not peers.program(name)]
    if missing:
        sys.exit(f"counts: {', '.join(missing)} missing: run `make bench-deps`")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, bench.stop)
    procs.adopt_orphans()
    our = Our()
    began, status = time.monotonic(), 0
    try:
        variants, loads, tools = our.choose_ours()
        our.build_tools()
        our.bytes = ByteService()
        for tool in tools:
            rows = []
            for load in loads:
                for variant in load.takers(variants):
                    print(f"{tool.name}: {load.name}, {variant.title}", file=sys.stderr, flush=True)
                    rows.append((load, variant, per_unit(our, variant, tool, load)))
            print(table(tool, rows), flush=True)
        print(f"\n{variants[0].version()}; {time.monotonic() - began:.0f} s", flush=True)
    except (Failure, OSError) as why:
        print(f"counts: {why}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130
    finally:
        our.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
