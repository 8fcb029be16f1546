"""The hand-made peers against each other: what the other files rely on."""

import threading

import pytest

from lib import backends, golike
from lib.golike import GoClient, GoServer
from lib.net import get  # noqa: F401  (import check)


@pytest.mark.parametrize("cut", golike.GO_SAFE)
def test_pair_by_hand(lab, certs, cut):
    site = lab.site()
    s = lab.keep(GoServer(certs, cut=cut))
    c = lab.keep(GoClient(s.port, local=site.port, cut=cut))
    url = c.url("http", subdomain="x")
    assert url == "http://x.pgrok.me:18080"
    v = s.visit(url)
    v.send(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
    assert v.response().body == b"site GET /a\n"
    c.ping()


def test_a_split_body_is_noticed(lab, certs):
    s = lab.keep(GoServer(certs, cut="body-halves"))
    with pytest.raises(golike.SplitBody):
        GoClient(s.port)


def test_joined_ends_at_first_eof(lab, certs):
    ended = threading.Event()

    def local(c, _b):
        c.recv()
        ended.set()

    b = lab.backend(local)
    s = lab.keep(GoServer(certs))
    c = lab.keep(GoClient(s.port, local=b.port))
    v = s.visit(c.url("tcp"))
    v.send(b"x")
    assert ended.wait(10)
    assert v.recv_rest()[0] == b""


def test_connect_proxy_and_relay(lab):
    e = lab.backend(backends.echo)
    p = lab.proxy("u:p")
    from lib.net import dial
    with dial(p.port) as c:
        c.send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % e.port)
        assert c.response().status == 407
    with dial(p.port) as c:
        c.send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nProxy-Authorization: Basic dTpw\r\n\r\n" % e.port)
        c.recv_until(b"\r\n\r\n")
        c.send(b"hello").half_close()
        assert c.recv_all() == b"hello"
    r = lab.relay(e.port, chop=1)
    with dial(r.port) as c:
        c.send(b"hello").half_close()
        assert c.recv_all() == b"hello"
