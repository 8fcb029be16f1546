"""The log never stops traffic and never grows without bound, whatever stands at its other end."""

import os
import signal
import subprocess

import pytest

from lib import golike, net
from lib.env import BIN, WAIT, free_port


def pgrokd(lab, stdout, *flags):
    """A server whose output goes to `stdout`, which nobody reads; ready once its port answers."""
    port, tunnel = free_port(), free_port()
    p = subprocess.Popen([str(BIN / "pgrokd"), "-domain=pgrok.test", f"-httpAddr=127.0.0.1:{port}",
                          "-httpsAddr=", f"-tunnelAddr=127.0.0.1:{tunnel}",
                          f"-stateDir={lab.state_dir}", *flags],
                         stdin=subprocess.DEVNULL, stdout=stdout, stderr=stdout)

    def answers():
        return net.get(port, "nobody.pgrok.test").status == 404

    net.eventually(lambda: try_(answers), what="the server answers")
    return p, port


def try_(check):
    try:
        return check()
    except OSError:
        return False


@pytest.mark.parametrize("kind", ["pipe", "terminal", "socket"])
def test_a_reader_that_stands_still(lab, kind):
    """249 visitors were enough to stop the server, when each of them wrote to a full pipe."""
    if kind == "pipe":
        r, w = os.pipe()
    elif kind == "terminal":
        r, w = os.openpty()
    else:
        import socket
        a, b = socket.socketpair()
        r, w = os.dup(a.fileno()), os.dup(b.fileno())
    try:
        p, port = pgrokd(lab, w, "-log-level=DEBUG")
        for i in range(1500):
            assert net.get(port, "nobody.pgrok.test").status == 404, i
        p.send_signal(signal.SIGTERM)
        assert p.wait(WAIT) == 0
    finally:
        os.close(r)
        os.close(w)


def test_a_full_disk(lab):
    with open("/dev/full", "wb") as full:
        p, port = pgrokd(lab, full, "-log-level=DEBUG")
        assert net.get(port, "nobody.pgrok.test").status == 404
        p.send_signal(signal.SIGTERM)
        assert p.wait(WAIT) == 0


@pytest.mark.parametrize("form", [[], ["-log-format=json"]])
def test_client_whose_output_is_not_read(lab, form):
    """Neither its console lines nor its events wait for a reader."""
    s = lab.server()
    site = lab.site()
    r, w = os.pipe()
    # What is in the pipe already leaves no room for any line.
    os.set_blocking(w, False)
    try:
        while True:
            os.write(w, b"x" * 4096)
    except BlockingIOError:
        pass
    os.set_blocking(w, True)
    p = subprocess.Popen([str(BIN / "pgrok"), "-config=/dev/null", f"-serveraddr=127.0.0.1:{s.tunnel_port}",
                          "-subdomain=quiet", "-proto=http", "-inspectaddr=disabled", *form, str(site.port)],
                         stdin=subprocess.DEVNULL, stdout=w, stderr=w)
    try:
        net.eventually(lambda: net.get(s.http_port, "quiet.pgrok.me").status == 200,
                       what="the tunnel answers")
        p.send_signal(signal.SIGTERM)
        assert p.wait(WAIT) == 0
    finally:
        p.kill()
        os.close(r)
        os.close(w)


def test_visitors_are_not_in_the_log_by_default(lab):
    r, w = os.pipe()
    p, port = pgrokd(lab, w)
    for _ in range(10):
        net.get(port, "nobody.pgrok.test")
    p.send_signal(signal.SIGTERM)
    assert p.wait(WAIT) == 0
    os.close(w)
    with os.fdopen(r, "rb") as f:
        text = f.read().decode()
    assert "Listening for control" in text and "DEBG" not in text and "404" not in text


def test_strangers_that_come_and_go(lab):
    """Of clients without a tunnel, bad first messages and unknown ids a part is told, and how many are not."""
    s = lab.server(workers=1)
    for i in range(80):
        with golike.connect(s.tunnel_port) as c:
            golike.send_message(c, golike.auth(f"stranger{i:08}"))
            golike.read_message(c)
        with golike.connect(s.tunnel_port) as c:
            golike.send_message(c, golike.message("Ping"))
            c.recv_rest()
        with golike.connect(s.tunnel_port) as c:
            golike.send_message(c, golike.message("RegProxy", ClientId=f"nobody{i:08}"))
            c.recv_rest()
    client = lab.goclient(s, client_id="friend00")
    client.url("http", subdomain="x")
    # Who has a tunnel is told of in any case, but never with the whole of a short id.
    s.wait_log(r"Client frie\* connected from 127\.0\.0\.1:")
    assert not s.has("friend00")
    client.close()
    s.wait_log(r"Closed: .*client frie\*, 1 tunnels")
    # 50 of a kind in 10 s; the machine may take two such spans.
    assert 50 <= s.count("Client stranger connected") < 80
    assert 50 <= s.count("client stranger, 0 tunnels") < 80
    assert 50 <= s.count("first message is neither|No client found") < 150
