"""Where a measurement happens: all on loopback, or on the two sides of a long line."""
import contextlib
import ctypes
import os
import socket
import subprocess

import procs

CLONE_NEWNET = 0x40000000
PUBLIC_IP, PRIVATE_IP = "10.77.0.1", "10.77.0.2"


class Loopback:
    """Visitors, server, client and services on 127.0.0.1."""
    title = "loopback"
    public_ip = private_ip = "127.0.0.1"

    @contextlib.contextmanager
    def public(self):
        """What is started inside stands where server and visitors are."""
        yield

    private = public

    def across(self, address):
        """How one side reaches an address of the other."""
        return address

    def close(self):
        pass


class Wire(Loopback):
    """Two network namespaces with a slow line between them: netem, or packets through a tool."""

    def __init__(self, bench, rtt_ms, loss, mbit):
        self.title = f"{rtt_ms} ms" + (f", {loss:g} % loss" if loss else "")
        self.names = [f"pgrok-bench-{os.getpid()}-{side}" for side in ("a", "b")]
        self.public_ip, self.private_ip = PUBLIC_IP, PRIVATE_IP
        self.tool = None
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.ns = []
        try:
            for name in self.names:
                ip("netns", "add", name)
                self.ns.append(os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC))
            if netem_works(self.names[0]):
                self.means = "netem"
                self.make_veth(rtt_ms, loss, mbit)
            else:
                self.means = "packets through bench/tools/delay.c"
                self.make_tun(bench, rtt_ms, loss, mbit)
            for name, addr, peer in zip(self.names, (PUBLIC_IP, PRIVATE_IP), (PRIVATE_IP, PUBLIC_IP)):
                ip("-n", name, "link", "set", "lo", "up")
                ip("-n", name, "addr", "add", addr, "peer", peer, "dev", "wan0")
                ip("-n", name, "link", "set", "wan0", "up")
        except BaseException:
            self.close()
            raise

    def make_veth(self, rtt_ms, loss, mbit):
        a, b = self.names
        ip("-n", a, "link", "add", "wan0", "type", "veth", "peer", "name", "wan0", "netns", b)
        # The delayed packets and 100 ms of buffer before the bottleneck.
        limit = int(mbit * 1e6 / 8 / 1500 * (rtt_ms / 2 + 100) / 1000)
        for name in self.names:
            cmd = ["tc", "-n", name, "qdisc", "add", "dev", "wan0", "root", "netem", "limit", limit,
                   "delay", f"{rtt_ms / 2}ms", "rate", f"{mbit}mbit"]
            check(cmd + (["loss", f"{loss}%"] if loss else []))
            # A packet of 64 KiB would be delayed, and lost, as one.
            ip("-n", name, "link", "set", "wan0", "gso_max_segs", "1")

    def make_tun(self, bench, rtt_ms, loss, mbit):
        self.tool = procs.spawn([bench.tool("delay"), *self.names, rtt_ms / 2, mbit, loss],
                                bench.log("delay"), stdout=subprocess.PIPE)
        procs.read_line(self.tool, 5)

    @contextlib.contextmanager
    def inside(self, ns):
        enter(ns)
        try:
            yield
        finally:
            enter(self.home)

    def public(self):
        return self.inside(self.ns[0])

    def private(self):
        return self.inside(self.ns[1])

    def close(self):
        procs.end([self.tool])
        for fd in self.ns:
            os.close(fd)
        self.ns = []
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL, check=False)
        os.close(self.home)


class Relayed(Loopback):
    """Without namespaces: loopback, with a relay of delayed bytes before each port that is far away."""
    means = "delayed bytes through bench/tools/relay.c"

    def __init__(self, bench, rtt_ms):
        self.title = f"{rtt_ms} ms"
        self.bench, self.delay = bench, rtt_ms / 2
        self.relays = {}

    def across(self, address):
        if address not in self.relays:
            port = self.bench.ports.take()
            proc = procs.spawn([self.bench.tool("relay"), "127.0.0.1", port, *address, self.delay],
                               self.bench.log("relay"))
            procs.await_port(proc, ("127.0.0.1", port))
            self.relays[address] = port, proc
        return "127.0.0.1", self.relays[address][0]

    def close(self):
        procs.end([proc for _, proc in self.relays.values()])


def enter(ns):
    if procs.libc.setns(ns, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def check(cmd):
    done = subprocess.run([str(word) for word in cmd], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise procs.Failure(f"{' '.join(str(w) for w in cmd)}: {done.stderr.strip()}")


def ip(*words):
    check(["ip", *words])


def netem_works(name):
    cmd = ["tc", "-n", name, "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
    done = subprocess.run(cmd, capture_output=True, check=False)
    if done.returncode == 0:
        subprocess.run(["tc", "-n", name, "qdisc", "del", "dev", "lo", "root"], check=False)
    return done.returncode == 0


def open_wan(bench, rtt_ms, loss, mbit):
    """The best line that this machine allows, or a Failure that says what is missing."""
    try:
        return Wire(bench, rtt_ms, loss, mbit)
    except (procs.Failure, OSError) as why:
        if loss:
            raise procs.Failure(f"loss needs network namespaces: {why}") from None
        return Relayed(bench, rtt_ms)
