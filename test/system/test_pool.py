"""
Connections of a visitor's own between our two ends: used again and again, as many as are needed,
and given up when they are not.
"""

import hashlib
import os
import random
import time

import pytest

from lib import backends, env
from lib.golike import GoClient
from lib.net import Aborted, Short, dial, eventually, get


@pytest.fixture(name="kind", params=["direct", "bufferevent"])
def _kind(request):
    return request.param


def own(lab, backend, kind="direct", scale=None, proto="tcp", **kw):
    """A server, a wire that counts connections to it, a client whose visitors share none."""
    s = lab.server(engine=kind, scale=scale, **kw)
    wire = lab.relay(s.tunnel_port)
    c = lab.client(f"127.0.0.1:{wire.port}", "-mux=false", f"-proto={proto}", "-subdomain=x",
                   backend.port, engine=kind, scale=scale)
    return s, wire, c


def talk(v, size=1000):
    data = os.urandom(size)
    v.send(data)
    assert v.recv_exact(size) == data


def test_used_again(lab, kind):
    """200 visitors, one after the other, cost a handful of handshakes."""
    e = lab.backend(backends.echo)
    _, wire, c = own(lab, e, kind)
    for i in range(200):
        with dial(c.tcp_port()) as v:
            talk(v)
            v.half_close()
            assert v.recv_all() == b"", i
    # A few more where a visitor is here before the last one's end is through.
    assert len(wire.pairs) <= 20, f"{len(wire.pairs)} connections"


def test_one_visitor_at_a_time(lab, kind):
    """Whoever comes while others are there gets another connection."""
    e = lab.backend(backends.echo)
    s, wire, c = own(lab, e, kind)
    visitors = []
    for _ in range(8):
        v = dial(c.tcp_port())
        talk(v)
        visitors.append(v)
    # The control connection, one each, and what is kept for the next.
    assert 9 <= len(wire.pairs) <= 9 + 8
    for v in visitors:
        talk(v, 100000)
    assert s.count("one too many") == 0
    for v in visitors:
        v.close()


def test_aborts_leave_nothing_behind(lab, kind):
    """A visitor or a service that breaks off, whatever was under way, does not hurt the next one."""
    block = os.urandom(3000000)
    digest = hashlib.sha256(block).digest()

    def serve(c, _b):
        word = c.recv_exact(4)
        if word == b"dump":
            c.send(block)
        elif word == b"kill":
            c.send(block[:300000])
            c.reset()
            return
        elif word == b"sink":
            while c.recv():
                pass
        elif word == b"whol":
            c.send(block)
        c.fin()

    b = lab.backend(serve)
    b.tolerant = True
    _, wire, c = own(lab, b, kind)
    rnd = random.Random(7)
    for i in range(env.fewer(60)):
        v = dial(c.tcp_port())
        word = rnd.choice([b"dump", b"kill", b"sink", b"quit"])
        try:
            v.send(word)
            if word == b"sink":
                v.send(block[:rnd.randrange(1, 600000)])
            else:
                v.recv_exact(rnd.randrange(1, 200000))
            (v.reset if rnd.random() < 0.7 else v.close)()
        except (Aborted, Short, OSError):
            v.close()
        with dial(c.tcp_port()) as w:
            w.send(b"whol")
            got = w.recv_all()
            assert hashlib.sha256(got).digest() == digest, f"{i}: {len(got)} bytes after {word}"
    assert len(wire.pairs) <= 20, f"{len(wire.pairs)} connections"


def test_lost_while_idle(lab, kind):
    """Connections that broke while nobody used them are not given to a visitor."""
    e = lab.backend(backends.echo)
    s, wire, c = own(lab, e, kind)
    for _ in range(3):
        with dial(c.tcp_port()) as v:
            talk(v)
    after = c.mark()
    wire.drop_all()
    c.wait_tunnels(1, after)
    for _ in range(3):
        with dial(c.tcp_port(after)) as v:
            talk(v)
    assert s.alive()


def test_idle_ones_only_lost(lab):
    """The same, with a control connection that stays."""
    e = lab.backend(backends.echo)
    _, wire, c = own(lab, e)
    with dial(c.tcp_port()) as v, dial(c.tcp_port()) as w:
        talk(v)
        talk(w)
    kept, wire.pairs = wire.pairs[:1], wire.pairs[1:]
    gone = c.mark()
    wire.drop_all()
    wire.pairs = kept
    c.wait_log("reused.*Closed", gone)
    for _ in range(3):
        with dial(c.tcp_port()) as v:
            talk(v)


def test_control_lost_under_a_visitor(lab, kind):
    """A visitor that is joined stays, though the control connection goes; then nothing is left."""
    e = lab.backend(backends.echo)
    s, wire, c = own(lab, e, kind)
    v = dial(c.tcp_port())
    talk(v)
    control, wire.pairs = wire.pairs[:1], wire.pairs[1:]
    others, wire.pairs = wire.pairs, control
    after = c.mark()
    wire.drop_all()
    wire.pairs = others
    c.wait_tunnels(1, after)
    talk(v, 100000)
    v.close()
    with dial(c.tcp_port(after)) as w:
        talk(w)
    assert s.alive()


@pytest.mark.scaled
def test_given_up_when_not_needed(lab):
    """After a crowd the pool shrinks back."""
    e = lab.backend(backends.echo)
    s, _, c = own(lab, e, scale=0.1 if not env.SANITIZED else 0.3)
    quiet = s.fds()
    crowd = [dial(c.tcp_port()) for _ in range(30)]
    for v in crowd:
        talk(v)
    assert s.fds() >= quiet + 60
    for v in crowd:
        v.close()
    eventually(lambda: s.fds() <= quiet + 4, what=f"{s.fds()} descriptors, {quiet} before")


def test_http_pages(lab, kind):
    site = lab.site()
    s, wire, _ = own(lab, site, kind, proto="http")
    for i in range(50):
        body = os.urandom(i * 1000)
        assert get(s.http_port, "x.pgrok.me", f"/{i}", method="POST", body=body).body \
            == f"site POST /{i}\n".encode() + body
    assert len(wire.pairs) <= 12


def test_not_for_a_server_without_mux(lab):
    """A server that does not offer it gets ordinary proxy connections, one a visitor."""
    e = lab.backend(backends.echo)
    s = lab.server("-mux=false")
    wire = lab.relay(s.tunnel_port)
    c = lab.client(f"127.0.0.1:{wire.port}", "-proto=tcp", e.port)
    for _ in range(10):
        with dial(c.tcp_port()) as v:
            talk(v)
    assert len(wire.pairs) >= 11


def test_what_a_go_server_is_told(lab, certs):
    """RegProxy has the one key it knows."""
    g = lab.goserver(certs)
    lab.client(g.addr, "-mux=false", "-subdomain=x", "-proto=http", 1)
    _, payload = g.take()
    assert set(payload) == {"ClientId"}
    assert "Mux" not in g.controls[0].wait_request()


def test_mixed(lab, kind):
    """One client: a tunnel that shares, one that does not."""
    e = lab.backend(backends.echo)
    s = lab.server(engine=kind)
    wire = lab.relay(s.tunnel_port)
    cfg = lab.config(f"tunnels:\n  a:\n    proto:\n      tcp: {e.port}\n"
                     f"  b:\n    mux: false\n    proto:\n      tcp: {e.port}\n")
    c = lab.client(f"127.0.0.1:{wire.port}", "start-all", config=cfg, engine=kind, tunnels=2)
    ports = [int(u.rsplit(":", 1)[1]) for u in c.urls()]
    for _ in range(20):
        with dial(ports[0]) as v, dial(ports[1]) as w:
            talk(v)
            talk(w, 50000)
    assert len(wire.pairs) <= 12


@pytest.mark.scaled
def test_sized_by_demand(lab):
    """
    Connections that serve one visitor each, and take their time to come: as many wait as will be used
    up meanwhile, and no longer than they are needed.
    """
    class Far(GoClient):
        def proxy(self):
            time.sleep(0.25)
            super().proxy()

    site = lab.site()
    s = lab.server(scale=0.2)
    c = lab.keep(Far(s.tunnel_port, local=site.port))
    c.url("http", subdomain="x")
    c.wait_idle(1)
    assert len(c.idle) == 1

    def pings():
        while not stop:
            c.ping()
            time.sleep(0.1)
    stop = []
    t = lab.thread(pings)
    for _ in range(60):
        assert get(s.http_port, "x.pgrok.me").status == 200
        time.sleep(0.01)
    c.wait_idle(4)
    assert len(c.idle) <= 64
    eventually(lambda: len(c.idle) == 1, what="the pool did not shrink")
    assert get(s.http_port, "x.pgrok.me").status == 200
    stop.append(1)
    t.result()
