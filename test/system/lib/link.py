"""
A slow link between a visitor and the server: a network namespace joined by two TUN devices whose
packets this process hands over late, so that resets and lost pages behave as on a real line. Where
namespaces are forbidden, a relay on loopback takes its place.
"""

import contextlib
import fcntl
import heapq
import os
import select
import struct
import subprocess
import threading
import time
import warnings

from .backends import Relay
from .env import WAIT

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000


def _run(*args):
    subprocess.run(args, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _tun(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


class TunLink:
    """The visitor lives in a namespace of its own; server_address is on this side."""

    def __init__(self, delay):
        tag = f"pgt{os.getpid() % 100000}"
        octet = os.getpid() % 200 + 20
        self.ns, self.delay = tag, delay
        self.server_address, self.visitor_address = f"10.214.{octet}.1", f"10.214.{octet}.2"
        here, there = tag + "a", tag + "b"
        self.fds = []
        try:
            self.fds = [_tun(here), _tun(there)]
            _run("ip", "netns", "add", self.ns)
            _run("ip", "link", "set", there, "netns", self.ns)
            _run("ip", "addr", "add", self.server_address, "peer", self.visitor_address, "dev", here)
            _run("ip", "link", "set", here, "up", "mtu", "1500")
            _run("ip", "netns", "exec", self.ns, "ip", "addr", "add", self.visitor_address, "peer",
                 self.server_address, "dev", there)
            _run("ip", "netns", "exec", self.ns, "ip", "link", "set", there, "up", "mtu", "1500")
        except BaseException:
            self.close()
            raise
        self.ended = False
        self.thread = threading.Thread(target=self._carry, daemon=True)
        self.thread.start()

    def _carry(self):
        queue, n = [], 0
        while not self.ended:
            wait = max(0.0, queue[0][0] - time.monotonic()) if queue else 0.2
            ready, _, _ = select.select(self.fds, [], [], min(wait, 0.2))
            for fd in ready:
                other = self.fds[1] if fd == self.fds[0] else self.fds[0]
                for _ in range(64):
                    try:
                        packet = os.read(fd, 65536)
                    except OSError:
                        break
                    n += 1
                    heapq.heappush(queue, (time.monotonic() + self.delay, n, other, packet))
            while queue and queue[0][0] <= time.monotonic():
                _, _, fd, packet = heapq.heappop(queue)
                with contextlib.suppress(OSError):
                    os.write(fd, packet)

    def curl(self, port, *args):
        p = subprocess.run(["ip", "netns", "exec", self.ns, "curl", "-sS", "--max-time", str(WAIT), *args,
                            f"http://{self.server_address}:{port}/"], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, check=False)
        return p.returncode, p.stdout + p.stderr

    def close(self):
        self.ended = True
        if hasattr(self, "thread"):
            self.thread.join(WAIT)
        for fd in self.fds:
            os.close(fd)
        subprocess.run(["ip", "netns", "del", self.ns], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       check=False)


class RelayLink:
    """Loopback with a delay in user space."""

    server_address = "127.0.0.1"

    def __init__(self, delay):
        self.delay = delay

    def curl(self, port, *args):
        relay = Relay(port, delay=self.delay)
        try:
            p = subprocess.run(["curl", "-sS", "--max-time", str(WAIT), *args,
                                f"http://127.0.0.1:{relay.port}/"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, check=False)
        finally:
            relay.close()
        return p.returncode, p.stdout + p.stderr

    def close(self):
        pass


@contextlib.contextmanager
def slow_link(delay):
    try:
        link = TunLink(delay)
    except (OSError, subprocess.CalledProcessError) as e:
        warnings.warn(f"no network namespace with a tun device ({e}): a relay delays the bytes instead")
        link = RelayLink(delay)
    try:
        yield link
    finally:
        link.close()
