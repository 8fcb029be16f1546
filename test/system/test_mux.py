"""The sessions that visitors share: how many, and what they are."""

import os

import pytest

from lib import backends, env
from lib.golike import message, send_message
from lib.net import dial, eventually, request


def up(lab, delay=0.0, *flags):
    e = lab.backend(backends.echo)
    s = lab.server()
    wire = lab.relay(s.tunnel_port, delay=delay)
    c = lab.client(f"127.0.0.1:{wire.port}", "-proto=tcp", *flags, e.port)
    return s, wire, c


def talk(v, size=1000):
    data = os.urandom(size)
    v.send(data)
    assert v.recv_exact(size) == data


def test_one_session_nearby(lab):
    """However busy this machine is: what its processes wait for a CPU is no length of a path."""
    s, wire, c = up(lab)
    s.wait_log("mux session is up")
    c.wait_log(r"\[mux\] round trip")
    visitors = [dial(c.tcp_port()) for _ in range(20)]
    for v in visitors:
        talk(v)
    assert s.count("mux session is up") == 1
    assert len(wire.pairs) == 2
    for v in visitors:
        v.close()


def test_several_sessions_on_a_long_path(lab):
    """Four, and visitors are spread over them: what stops one stops a quarter."""
    s, wire, c = up(lab, 0.02)
    s.wait_log("mux session is up", count=4)
    visitors = [dial(c.tcp_port()) for _ in range(8)]
    for v in visitors:
        talk(v)
    assert len(wire.pairs) == 5
    # One of them is lost: its visitors go, the others do not notice.
    after = s.mark()
    one, wire.pairs = wire.pairs[2:3], wire.pairs[:2] + wire.pairs[3:]
    others, wire.pairs = wire.pairs, one
    wire.drop_all()
    wire.pairs = others
    s.wait_log("shared. Closed: ", after)

    def alive():
        n = 0
        for v in visitors:
            try:
                talk(v)
                n += 1
            except (OSError, AssertionError, EOFError):
                pass
            except Exception as e:  # pylint: disable=broad-except
                if type(e).__name__ not in ("Aborted", "Short"):
                    raise
        return n
    assert alive() == 6
    # And it comes back.
    s.wait_log("mux session is up", after)
    for v in visitors:
        v.close()


def test_another_session_before_one_is_full(lab):
    """
    A session has 4,096 streams; the visitors after that find another one, not own connections. It is
    there when there are some hundreds: the rest may come faster than a session is made.
    """
    s, wire, c = up(lab)
    s.wait_log("mux session is up")
    port = c.tcp_port()
    visitors = []
    for n in range(env.fewer(45)):
        some = [dial(port) for _ in range(100)]
        for v in some:
            v.send(b"x")
        for v in some:
            assert v.recv_exact(1) == b"x"
        visitors += some
        if n == 4:
            s.wait_log("mux session is up", count=2)
    sessions = s.count("mux session is up")
    assert 2 <= sessions <= 4
    assert len(wire.pairs) == 1 + sessions
    for v in visitors:
        v.close()


@pytest.mark.big
def test_burst(lab):
    """5,000 come at once, and all are there before one is answered: nobody is turned away."""
    n = env.fewer(5000)
    s, _ = lab.started(lab.keep(backends.Gathering(n)), proto="http")
    s.wait_log("mux session is up")
    visitors = []
    for first in range(0, n, 1000):
        some = [dial(s.http_port) for _ in range(min(1000, n - first))]
        for i, v in enumerate(some, first):
            v.send(request("test.pgrok.me", f"/{i}"))
        visitors += some
    got = [v.response() for v in visitors]
    assert [r.status for r in got] == [200] * n
    assert [r.body for r in got] == [b"/%d" % i for i in range(n)]
    assert 2 <= s.count("mux session is up") <= 4
    for v in visitors:
        v.close()


def test_no_session_that_nobody_may_use(lab):
    s, wire, c = up(lab, 0.0, "-mux=false")
    with dial(c.tcp_port()) as v:
        talk(v)
    eventually(lambda: len(wire.pairs) >= 2)
    assert s.count("mux session is up") == 0


def speak_through(conn, url):
    """As a Go server does when a visitor came: the connection from its pool carries him."""
    send_message(conn, message("StartProxy", Url=url, ClientAddr="127.0.0.1:33216"))
    conn.send(b"hello")
    assert conn.recv_exact(5) == b"hello"


def test_go_server_takes_over_in_mid_flight(lab, certs):
    """Behind the address stands a Go server all of a sudden, and then ours again: visitors are served."""
    s, wire, c = up(lab)
    s.wait_log("mux session is up")
    with dial(c.tcp_port()) as v:
        talk(v)
    url = c.urls()[0]
    go, ours = lab.goserver(certs), wire.target

    # The control connection is still with ours; the session that is lost comes to the Go server,
    # which pools it like any proxy connection.
    wire.target = go.port
    others, wire.pairs = wire.pairs[:1], wire.pairs[1:]
    wire.drop_all()
    wire.pairs = others
    conn, reg = go.take()
    assert reg["Mux"] == 1
    speak_through(conn, url)
    wire.target = ours
    s.wait_log("mux session is up", count=2)
    with dial(c.tcp_port()) as v:
        talk(v)

    # All of it: no mux is asked for any more.
    wire.target = go.port
    wire.drop_all()
    control = go.wait_control()
    assert "mux" in control.auth["Features"]
    eventually(lambda: len(c.urls()) == 2)
    conn, reg = go.take()
    assert "Mux" not in reg
    speak_through(conn, c.urls()[-1])

    # And back.
    wire.target = ours
    wire.drop_all()
    s.wait_log("mux session is up", count=3)
    eventually(lambda: len(c.urls()) == 3)
    with dial(int(c.urls()[-1].rsplit(":", 1)[1])) as v:
        talk(v)
