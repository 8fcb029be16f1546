"""TCP tunnels: ports, raw bytes, ends."""

import os
import re
import socket

import pytest

from lib import backends, env
from lib.net import Aborted, dial, eventually


def test_echo(pair, engine, workers):
    e = pair.lab.backend(backends.echo)
    s = pair.server(engine=engine, workers=workers)
    c = pair.client(s, "-proto=tcp", e.port, engine=engine)
    assert re.fullmatch(r"tcp://pgrok\.me:\d+", c.urls()[0])
    data = os.urandom(300000)
    for _ in range(4):
        with dial(c.tcp_port()) as v:
            t = pair.lab.thread(v.send, data)
            assert v.recv_exact(len(data)) == data
            t.result()


def test_server_speaks_first(pair, engine):
    def banner(c, _b):
        c.send(b"220 ready\r\n")
        c.send(c.recv_until(b"\r\n"))
    b = pair.lab.backend(banner)
    s = pair.server(engine=engine)
    c = pair.client(s, "-proto=tcp", b.port, engine=engine)
    with dial(c.tcp_port()) as v:
        assert v.recv_until(b"\r\n") == b"220 ready\r\n"
        v.send(b"HELO\r\n")
        assert v.recv_until(b"\r\n") == b"HELO\r\n"


def test_remote_port(pair):
    e = pair.lab.backend(backends.echo)
    s = pair.server()
    port = env.free_port()
    cfg = pair.lab.config(f"tunnels:\n  ssh:\n    remote_port: {port}\n    proto:\n      tcp: {e.port}\n")
    c = pair.client(s, "start", "ssh", config=cfg)
    assert c.urls() == [f"tcp://pgrok.me:{port}"]
    with dial(port) as v:
        v.send(b"hi")
        assert v.recv_exact(2) == b"hi"


def test_remote_port_taken(pair):
    """The bind error reaches the client as text."""
    s = pair.server()
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        cfg = pair.lab.config(f"tunnels:\n  t:\n    remote_port: {port}\n    proto:\n      tcp: 1\n")
        c = pair.client(s, "start", "t", config=cfg, wait=False)
        c.expect_exit(0 if c.go else 1)
        assert re.search(r"Server failed to allocate tunnel: .*Error binding TCP listener: "
                         rf"listen tcp .*:{port}: bind: address already in use", c.text())


def test_remote_port_held_by_another_client(lab):
    s = lab.server()
    port = env.free_port()
    cfg = lab.config(f"tunnels:\n  t:\n    remote_port: {port}\n    proto:\n      tcp: 1\n")
    a = lab.client(s, "start", "t", config=cfg)
    b = lab.client(s, "start", "t", config=cfg, wait=False)
    b.expect_exit(1)
    assert "Server failed to allocate tunnel:" in b.text("err")
    a.end()
    # The port is free again, at once or very soon.
    eventually(lambda: lab.goclient(s).tunnel("tcp", remote_port=port)[0]["Error"] == "")


def test_remembered_port(pair):
    """A client of the same address gets the same port again while it is free."""
    e = pair.lab.backend(backends.echo)
    s = pair.server()
    # A Go client can't give back what it has: it is held for who has its token.
    token = ["-authtoken=t"] if pair.client_program else []
    a = pair.client(s, *token, "-proto=tcp", e.port)
    port = a.tcp_port()
    a.end()
    eventually(lambda: not _open(port))
    b = pair.client(s, *token, "-proto=tcp", e.port)
    assert b.tcp_port() == port
    c = pair.client(s, *token, "-proto=tcp", e.port)
    assert c.tcp_port() != port


def _open(port):
    try:
        dial(port, timeout=2).close()
        return True
    except OSError:
        return False


def test_port_is_closed_with_the_client(pair):
    s = pair.server()
    c = pair.client(s, "-proto=tcp", 1)
    port = c.tcp_port()
    assert _open(port)
    c.end()
    eventually(lambda: not _open(port))


def test_local_service_dead(pair, engine):
    """The visitor's connection is closed, nothing is sent."""
    port = env.free_port()
    s = pair.server(engine=engine)
    c = pair.client(s, "-proto=tcp", port, engine=engine)
    with dial(c.tcp_port()) as v:
        assert v.recv_rest()[0] == b""
    assert c.alive()
    e = pair.lab.backend(backends.echo, port=port)
    with dial(c.tcp_port()) as v:
        v.send(b"now")
        assert v.recv_exact(3) == b"now"
    assert e.accepted == 1


def test_port_range(lab):
    """-tcpPorts bounds what is handed out and what may be asked for."""
    lo = env.free_port()
    s = lab.server(f"-tcpPorts={lo}-{lo + 9}")
    got = {lab.goclient(s, client_id=f"id{i}").url("tcp") for i in range(3)}
    assert len(got) == 3
    assert all(lo <= int(u.rsplit(":", 1)[1]) <= lo + 9 for u in got)
    outside = env.free_port()
    a = lab.goclient(s).tunnel("tcp", remote_port=outside)[0]
    assert a["Error"] and not a["Url"]
    assert not _open(outside)


def test_port_range_used_up(lab):
    lo = env.free_port()
    s = lab.server(f"-tcpPorts={lo}-{lo}")
    lab.goclient(s).url("tcp")
    assert lab.goclient(s).tunnel("tcp")[0]["Error"]


def test_tcp_addr(lab):
    """-tcpAddr binds tcp tunnels to one address."""
    s = lab.server("-tcpAddr=127.0.0.1")
    c = lab.client(s, "-proto=tcp", lab.backend(backends.echo).port)
    with dial(c.tcp_port()) as v:
        v.send(b"x")
        assert v.recv_exact(1) == b"x"
    with pytest.raises(OSError):
        dial(c.tcp_port(), "::1", timeout=2)
    with pytest.raises(OSError):
        dial(c.tcp_port(), "127.0.0.9", timeout=2)


def test_reset_is_passed_on(lab, engine):
    """A reset of one side is a reset at the other, both ways: no cut file looks whole."""
    def cut(c, _b):
        c.send(b"part")
        c.recv()
        c.reset()
    b = lab.backend(cut)
    s = lab.server(engine=engine)
    c = lab.client(s, "-proto=tcp", b.port, engine=engine)
    with dial(c.tcp_port()) as v:
        assert v.recv_exact(4) == b"part"
        v.send(b"now")
        assert v.recv_rest() == (b"", "abort")

    ends = []

    def watch(c, _b):
        c.recv_exact(4)
        try:
            c.recv_rest_how = c.recv()
            ends.append("eof")
        except Aborted:
            ends.append("abort")
    b.handler = watch
    with dial(c.tcp_port()) as v:
        v.send(b"part")
        b.wait_accepted(2)
        eventually(lambda: b.conns[-1])
        v.reset()
    eventually(lambda: ends)
    assert ends == ["abort"]


def test_http_fields_are_ignored_for_tcp(pair):
    """Raw bytes pass."""
    e = pair.lab.backend(backends.echo)
    s = pair.server()
    c = pair.client(s, "-proto=tcp", "-subdomain=x", e.port)
    with dial(c.tcp_port()) as v:
        v.send(b"GET / HTTP/1.1\r\n\r\n")
        assert v.recv_exact(18) == b"GET / HTTP/1.1\r\n\r\n"


def test_http_and_tcp_in_one(pair):
    site = pair.lab.site()
    s = pair.server()
    c = pair.client(s, "-proto=http+tcp", "-subdomain=x", site.port, tunnels=2)
    assert sorted(u.split(":")[0] for u in c.urls()) == ["http", "tcp"]
    with dial(c.tcp_port()) as v:
        v.send(b"GET /t HTTP/1.1\r\nHost: any\r\n\r\n")
        assert v.response().body == b"site GET /t\n"


def test_visitor_that_left_before_joining(lab):
    """A visitor who goes while it waits for a proxy takes nothing from the next one."""
    s = lab.server()
    site = lab.backend(backends.echo)
    c = lab.goclient(s, local=site.port, proxies=False)
    port = int(c.url("tcp").rsplit(":", 1)[1])
    for _ in range(5):
        dial(port).close()
    c.wait_asked(2)
    c.proxies = True
    lab.thread(c.proxy)
    with dial(port) as v:
        v.send(b"me")
        for _ in range(8):
            lab.thread(c.proxy)
        assert v.recv_exact(2) == b"me"
