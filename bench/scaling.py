#!/usr/bin/env python3
"""The figures of bench/SCALING.md: what many tunnels and many idle connections cost, memory in the kernel
included, what both ends do while nothing happens, and how long a restart of the server takes.

  scaling.py tunnels [COUNT [PER_CLIENT]]     5000 tunnels, 250 of each client
  scaling.py idle [COUNT [PEER]]              10000 connections; PEER pgrok or pgrok-nomux
  scaling.py handshakes                       what a full TLS handshake costs the server
"""
import os
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True

import bench  # noqa: E402
import peers  # noqa: E402
import procs  # noqa: E402
import scenarios  # noqa: E402
from procs import Failure  # noqa: E402

REST_S = 30


def cpu_ms(some):
    """Finer than clock ticks."""
    total = 0
    for p in some:
        for task in os.listdir(f"/proc/{p.pid}/task"):
            with open(f"/proc/{p.pid}/task/{task}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
    return total / 1e6


def files_of(proc):
    return len(os.listdir(f"/proc/{proc.pid}/fd"))


def slab_kib():
    with open("/proc/meminfo", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Slab:"))


def say_rest(server, clients):
    before = cpu_ms(server), cpu_ms(clients)
    time.sleep(REST_S)
    each = [(now - was) * 60 / REST_S for now, was in zip((cpu_ms(server), cpu_ms(clients)), before)]
    print(f"at rest, CPU ms a minute: pgrokd {each[0]:.1f}, clients {each[1]:.1f}", flush=True)


def say_restart(cell, start_server, how, away_s):
    """Ends the server, starts it again after a while, and waits for all tunnels."""
    ports = [port for _, port, _ in cell.tunnels]
    old = cell.procs[0]
    old.send_signal(how)
    old.wait()
    time.sleep(away_s)
    began = time.monotonic()
    cell.procs[0] = start_server()
    bench.listening_all(ports, 100)
    took = time.monotonic() - began
    fine = sum(procs.http_once((cell.place.public_ip, port), "bench.test", 5) for port in ports[::100])
    print(f"{how.name}, away for {away_s} s: all back {took:.2f} s after the start, pgrokd spent "
          f"{cpu_ms(cell.procs[:1]):.0f} ms; {fine} of {len(ports[::100])} answer", flush=True)


def many_tunnels(our, cell):
    server, clients = cell.procs[:1], cell.procs[1:]
    print(f"{len(cell.tunnels)} tunnels of {len(clients)} clients: up in {cell.all_up:.2f} s")
    time.sleep(2)
    print(f"PSS: pgrokd {procs.pss_kib(server)} KiB, clients {procs.pss_kib(clients)} KiB in all; "
          f"files of pgrokd: {files_of(server[0])}", flush=True)
    say_rest(server, clients)
    cmd = server[0].args
    for how, away in ((signal.SIGTERM, 0), (signal.SIGKILL, 0), (signal.SIGTERM, 10)):
        def start_server():
            proc = procs.spawn(cmd, our.log("again"), cwd=cell.folder)
            procs.await_port(proc, cell.server_address)
            return proc
        say_restart(cell, start_server, how, away)


def many_idle(our, cell):
    our.ping(cell, 0.1)
    time.sleep(1)
    memory, slab, cpu = procs.pss_kib(cell.procs), slab_kib(), cpu_ms(cell.procs)
    began = time.monotonic()
    tool = procs.spawn([our.tool("idle"), *cell.public("echo"), our.idle], our.log("idle"),
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    held = int(procs.read_line(tool, 60).split()[1])
    print(f"{held} held after {time.monotonic() - began:.2f} s, CPU us each "
          f"{(cpu_ms(cell.procs) - cpu) * 1000 / held:.0f}")
    time.sleep(2)
    print(f"PSS: {(procs.pss_kib(cell.procs) - memory) / held:.2f} KiB each; kernel slab, load and service "
          f"included: {(slab_kib() - slab) / held:.1f} KiB each; files: pgrokd {files_of(cell.procs[0])}, "
          f"pgrok {files_of(cell.procs[1])}", flush=True)
    say_rest(cell.procs[:1], cell.procs[1:])
    procs.end([tool])


def handshakes(our, cell):
    address = ":".join(map(str, cell.server_address))
    before = cpu_ms(cell.procs[:1])
    out = procs.run(["openssl", "s_time", "-connect", address, "-new", "-time", 3], our.log("s_time"), 20)
    count = next(int(line.split()[0]) for line in out.splitlines() if "real seconds" in line)
    print(f"{count} full handshakes, CPU us of pgrokd each: "
          f"{(cpu_ms(cell.procs[:1]) - before) * 1000 / count:.0f}")


def main():
    what, *more = sys.argv[1:] or [""]
    if what not in ("tunnels", "idle", "handshakes"):
        print(__doc__)
        return 2
    procs.adopt_orphans()
    our = bench.Bench()
    our.tunnels = int(more[0]) if what == "tunnels" and more else 5000
    our.idle = int(more[0]) if what == "idle" and more else 10000
    if what == "tunnels" and len(more) > 1:
        peers.OWN_TUNNELS_MAX = int(more[1])
    name = more[1] if what == "idle" and len(more) > 1 else "pgrok"
    peer = next(p for p in our.peers if p.name == name)
    scenario = scenarios.Tunnels(our) if what == "tunnels" else scenarios.Idle(our)
    cell = None
    try:
        if peer.missing():
            raise Failure(peer.missing())
        our.build_tools()
        cell = bench.Cell(our, peer, scenario, our.loopback)
        cell.start()
        {"tunnels": many_tunnels, "idle": many_idle, "handshakes": handshakes}[what](our, cell)
        return 0
    except (Failure, OSError) as why:
        print(f"scaling: {why}", file=sys.stderr)
        return 1
    finally:
        if cell:
            cell.close()
        our.close()


if __name__ == "__main__":
    sys.exit(main())
