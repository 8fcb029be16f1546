"""
Floods of strangers, bounded in number and time: others are served meanwhile, and afterwards memory and
descriptors are what they were. The figures are printed (`make system K=test_floods PYTEST_ARGS=-s`).
"""

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from lib import ask, backends, env, golike
from lib.backends import pattern_digest
from lib.net import Aborted, Short, dial, eventually, get, request

MB = 1 << 20
PIECE = 4 * MB          # of the other client's download, again and again
BACK = 5 if not env.SANITIZED else 60  # seconds after which memory is back

pytestmark = [pytest.mark.big]


class Beside:
    """Who behaves: requests to one client's tunnel, downloads from another's, until end()."""

    def __init__(self, lab, s, site, download):
        self.download = download
        self.stop = threading.Event()
        self.downloads = 0
        self.asker = subprocess.Popen([sys.executable, ask.__file__, str(s.http_port), site],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.thread = lab.thread(self._download)

    def _download(self):
        while True:
            with dial(self.download) as c:
                h = hashlib.sha256()
                left = PIECE
                while left:
                    data = c.recv(min(left, 1 << 18))
                    assert data, f"ended {left} bytes early"
                    h.update(data)
                    left -= len(data)
            assert h.hexdigest() == pattern_digest(PIECE)
            self.downloads += 1
            if self.stop.wait(0.1):
                return

    def end(self):
        """The times of the requests, the shortest first."""
        self.stop.set()
        out, _ = self.asker.communicate(timeout=env.WAIT)
        assert self.asker.returncode == 0, "a request failed"
        self.thread.result()
        return sorted(json.loads(out))


def p99(times):
    return times[int(len(times) * 0.99)]


class Stage:
    """A server with two clients that behave, and how much it takes when nothing happens."""

    def __init__(self, lab, *flags):
        self.lab = lab
        self.s = lab.server("-log-level=INFO", *flags, workers=2)
        self.s.allow("Above the limit")
        self.site = lab.site()
        lab.client(self.s, "-subdomain=good", "-proto=http", self.site.port)
        source = lab.backend(backends.source(PIECE))
        self.download = lab.client(self.s, "-proto=tcp", source.port).tcp_port()
        # Once through everything, so that what is made only once is there.
        beside = self.beside()
        time.sleep(1)
        self.quiet = p99(beside.end())
        self.before = self.s.pss_mb()
        self.fds = self.s.fds()

    def beside(self):
        return Beside(self.lab, self.s, "good.pgrok.me", self.download)

    @contextlib.contextmanager
    def flood(self, name, seconds=2, kept=2):
        """In the block `conns` is filled; they stay for so long, and then leave. kept: descriptors."""
        beside = self.beside()
        conns = []
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        start = time.monotonic()
        try:
            yield conns
            while time.monotonic() < start + seconds or not beside.downloads:
                time.sleep(0.05)
            peak, fds = self.s.pss_mb(), self.s.fds()
        finally:
            for c in conns:
                with contextlib.suppress(OSError):
                    c.close()
            times = beside.end()
        end = time.monotonic()
        while not self.calm(kept) and time.monotonic() < end + BACK + 10:
            time.sleep(0.1)
        print(f"\n{name}: {len(conns)} connections; PSS {self.before:.1f} MB, {peak:.1f} meanwhile, "
              f"{self.s.pss_mb():.1f} after {time.monotonic() - end:.1f} s; descriptors {self.fds}, {fds}, "
              f"{self.s.fds()}; of {len(times)} good requests p99 {p99(times):.3f} s (quiet "
              f"{self.quiet:.3f}), slowest {times[-1]:.3f} s; {beside.downloads} downloads")
        assert self.calm(kept), "memory and descriptors are not what they were"
        # What others make of the machine is not the server's fault.
        busy = max(1, load, os.getloadavg()[0] / (os.cpu_count() or 1))
        assert p99(times) < (1 if not env.SANITIZED else 20) * busy + 20 * self.quiet

    def calm(self, kept):
        bound = max(1.1 * self.before, self.before + 4)
        return (self.s.pss_mb() < bound or env.SANITIZED) and self.s.fds() <= self.fds + kept


def many(conns, port, first, count):
    """Half-open connections, as fast as a machine far away could make them."""
    for i in range(count):
        c = dial(port)
        conns.append(c)
        c.send(first)
        if i % 50 == 49:
            time.sleep(0.02)


HEAD = b"GET / HTTP/1.1\r\nHost: good.pgrok.me\r\n" + b"X: 1234567890123456789\r\n" * 1300
HELLO = b"\x16\x03\x01\x00\xf8\x01\x00\x00"


def test_half_open(lab):
    """Heads that never end, handshakes that do not go on."""
    stage = Stage(lab)
    with stage.flood("half-open") as conns:
        many(conns, stage.s.http_port, HEAD, 800)
        many(conns, stage.s.https_port, HELLO, 400)
        many(conns, stage.s.tunnel_port, HELLO, 400)


@pytest.mark.skipif(env.SANITIZED, reason="a sanitizer has memory of its own")
def test_above_the_limit(lab):
    """Above -maxMemory what is new is refused, and what is there goes on; below it all is as before."""
    full = 30
    s = lab.server(f"-maxMemory={full}")
    lab.client(s, "-subdomain=test", "-proto=http", lab.site().port)
    conns = []
    kept, late = dial(s.http_port), dial(s.http_port)
    kept.send(request("test.pgrok.me"))
    assert kept.response().status == 200
    late.send(request("test.pgrok.me")[:-2])
    many(conns, s.http_port, HEAD, 1500)
    s.wait_log(f"Above the limit of {full} MiB")
    kept.send(request("test.pgrok.me"))
    assert kept.response().status == 200
    late.send(b"\r\n")
    assert late.response().status == 503
    assert dial(s.http_port).recv_rest()[0] == b""
    for c in conns:
        c.close()
    eventually(lambda: served(s), what="new visitors are served again")


def served(s):
    try:
        return get(s.http_port, "test.pgrok.me").status == 200
    except (OSError, Aborted, Short):
        return False


def test_handshakes(lab):
    """TLS is up, and then nothing is said."""
    stage = Stage(lab)
    with stage.flood("handshakes") as conns:
        for _ in range(400):
            conns.append(golike.connect(stage.s.tunnel_port))


def unread(port):
    """Bytes that wait in the server's sockets of visitors of this port, the most of one of them."""
    most = 0
    with open("/proc/net/tcp", encoding="ascii") as f:
        for line in list(f)[1:]:
            _, local, _, _, queues = line.split()[:5]
            if int(local.split(":")[1], 16) == port:
                most = max(most, int(queues.split(":")[0], 16))
    return most


def test_slow_readers(lab):
    """Visitors of one tunnel that never read: they cost its client's visitors some, others nothing."""
    stage = Stage(lab)
    b = lab.backend(backends.source(16 * MB))
    port = lab.client(stage.s, "-proto=tcp", b.port).tcp_port()
    # What has no room in the shared connection comes over others, which rest then for the next ones.
    with stage.flood("slow readers", seconds=4, kept=2 + 2 * 64) as conns:
        for _ in range(200):
            conns.append(dial(port, rcvbuf=4096))
        eventually(lambda: b.accepted == 200 and getattr(b, "sent", 0) > 10 * MB, what="bytes to wait")
        # What waits in the kernel, whose memory is everybody's, is bounded, too.
        assert unread(port) < MB // 2


@pytest.mark.scaled
@pytest.mark.skipif(env.SANITIZED, reason="a sanitizer has memory of its own")
def test_client_gives_back(lab):
    """A client's memory after many visitors: what was freed goes back to the system."""
    e = lab.backend(backends.echo)
    _, c = lab.started(e, "-mux=false", subdomain=None, proto="tcp", scale=0.5)
    port = c.tcp_port()

    def visitors(n):
        some = []
        for _ in range(n):
            v = dial(port)
            v.send(b"x")
            some.append(v)
        for v in some:
            assert v.recv_exact(1) == b"x"
        return some
    for v in visitors(64):
        v.close()
    before = c.pss_mb()
    some = visitors(600)
    peak = c.pss_mb()
    for v in some:
        v.close()
    assert peak > before + 8
    eventually(lambda: c.pss_mb() < before + 4, what="the client's memory to go back")
    print(f"\nPSS of the client: {before:.1f} MB, {peak:.1f} with {len(some)} visitors, {c.pss_mb():.1f} after")


def test_auths_that_never_read(lab):
    """Pings without end, whose Pongs nobody reads."""
    stage = Stage(lab)
    count = 30

    def pings(c):
        data = b"".join(golike.frame(golike.message("Ping"))) * 200
        with contextlib.suppress(Aborted, OSError):
            while True:
                c.send(data)

    mark = stage.s.mark()
    with stage.flood("unread Pongs") as conns:
        threads = []
        for i in range(count):
            c = golike.connect(stage.s.tunnel_port)
            conns.append(c)
            golike.send_message(c, golike.auth(f"mute{i:08}"))
            golike.read_message(c)
            threads.append(lab.thread(pings, c))
        stage.s.wait_log("Closed: .*(could not be sent|does not read)", after=mark, count=count)
        # ASan keeps what is freed for a while.
        assert stage.s.pss_mb() < stage.before + 16 or env.SANITIZED, "what they do not read piles up"
        for c in conns:
            with contextlib.suppress(OSError):
                c.sock.shutdown(socket.SHUT_RDWR)
        for t in threads:
            t.result()
