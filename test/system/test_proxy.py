"""The client through an HTTP proxy that knows CONNECT."""

import base64
import re

import pytest

from lib.net import get


def proxied(lab, site, url, server=None, flags=(), config=None, env=None, **kw):
    s = server or lab.server()
    extra = {"http_proxy": url} if url else {}
    extra.update(env or {})
    return s, lab.client(s, "-subdomain=x", *flags, site.port, tunnels=2, extra_env=extra, config=config, **kw)


def test_everything_goes_through_the_proxy(pair):
    site, p = pair.lab.site(), pair.lab.proxy()
    s = pair.server()
    pair.client(s, "-subdomain=x", site.port, tunnels=2,
                extra_env={"http_proxy": f"http://127.0.0.1:{p.port}"})
    for i in range(3):
        assert get(s.http_port, f"x.pgrok.me:{s.http_port}", f"/{i}").status == 200
    heads = p.wait_heads(2)
    for h in heads:
        assert h.startswith(f"CONNECT 127.0.0.1:{s.tunnel_port} HTTP/1.1\r\n".encode())
        assert f"\r\nHost: 127.0.0.1:{s.tunnel_port}\r\n".encode() in h
        assert b"Proxy-Authorization" not in h


def test_credentials(lab):
    """Percent-encoded in the URL, sent decoded (the Go client sent them as they stood)."""
    site, p = lab.site(), lab.proxy("us er:p@ss")
    s, _ = proxied(lab, site, f"http://us%20er:p%40ss@127.0.0.1:{p.port}")
    assert get(s.http_port, "x.pgrok.me").status == 200
    want = base64.b64encode(b"us er:p@ss")
    for h in p.wait_heads(2):
        assert re.search(rb"\r\nProxy-Authorization: Basic " + re.escape(want) + rb"\r\n", h)


def test_from_the_config(lab):
    site, p = lab.site(), lab.proxy()
    cfg = lab.config(f"http_proxy: http://127.0.0.1:{p.port}\n")
    s, _ = proxied(lab, site, None, config=cfg)
    assert get(s.http_port, "x.pgrok.me").status == 200
    p.wait_heads(2)


@pytest.mark.parametrize("value", ["127.0.0.1", "*", "other.example, 127.0.0.1", "127.0.0.0/8"])
def test_no_proxy(lab, value):
    site, p = lab.site(), lab.proxy()
    s, _ = proxied(lab, site, f"http://127.0.0.1:{p.port}", env={"no_proxy": value})
    assert get(s.http_port, "x.pgrok.me").status == 200
    assert not p.heads


@pytest.mark.parametrize("value", ["", "10.0.0.1", "example.com,.localdomain", "27.0.0.1"])
def test_no_proxy_for_others(lab, value):
    site, p = lab.site(), lab.proxy()
    proxied(lab, site, f"http://127.0.0.1:{p.port}", env={"no_proxy": value})
    p.wait_heads(1)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_other_variables(lab, name):
    """Without a scheme, too."""
    site, p = lab.site(), lab.proxy()
    proxied(lab, site, None, env={name: f"127.0.0.1:{p.port}"})
    p.wait_heads(1)


def test_refused_by_the_proxy(lab):
    """407 is said, and tried again; the password is not in the log."""
    p = lab.proxy("right:one")
    s = lab.server()
    c = lab.client(s, "80", extra_env={"http_proxy": f"http://wrong:hunter2@127.0.0.1:{p.port}"}, wait=False)
    c.allow(".*")
    c.wait_log("Non-200 response from proxy server: 407 Proxy Authentication Required")
    p.wait_heads(2)
    assert "hunter2" not in c.text()
    p.credentials = "wrong:hunter2"
    c.wait_tunnels(2)


def test_proxy_that_is_not_there(lab):
    from lib.env import free_port
    port = free_port()
    s = lab.server()
    c = lab.client(s, "80", extra_env={"http_proxy": f"http://127.0.0.1:{port}"}, wait=False)
    c.allow(".*")
    c.wait_log("refused")
    assert c.alive()


def test_proxy_that_answers_nonsense(lab):
    replies = [b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200000,
               b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno!", b""]
    b = lab.backend(lambda c, _b: (c.recv_until(b"\r\n\r\n"), c.send(replies[_b.accepted % len(replies)])))
    s = lab.server()
    c = lab.client(s, "80", extra_env={"http_proxy": f"http://127.0.0.1:{b.port}"}, wait=False)
    c.allow(".*")
    b.wait_accepted(3)
    assert c.alive()


def test_proxys_answer_in_pieces(lab):
    """A proxy may send its head as it likes (bytes behind it: connect_fail_test)."""
    site, p = lab.site(), lab.proxy()
    wire = lab.relay(p.port, chop=3)
    s, _ = proxied(lab, site, f"http://127.0.0.1:{wire.port}")
    assert get(s.http_port, "x.pgrok.me").status == 200


def test_lost_proxy_is_found_again(lab):
    """The proxy drops its connections: the client comes back through it."""
    site, p = lab.site(), lab.proxy()
    s, c = proxied(lab, site, f"http://127.0.0.1:{p.port}")
    c.allow(".*")
    mark = c.mark()
    import socket
    for pair in p.tunnels:
        for x in pair:
            try:
                x.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
    c.wait_tunnels(2, after=mark)
    assert get(s.http_port, "x.pgrok.me").status == 200


def test_local_service_is_not_proxied(lab):
    """Only the way to the server goes through the proxy."""
    site, p = lab.site(), lab.proxy()
    s, _ = proxied(lab, site, f"http://127.0.0.1:{p.port}")
    get(s.http_port, "x.pgrok.me")
    assert all(str(site.port).encode() not in h for h in p.heads)


def test_socks(lab, engine):
    """Everything goes through it; it is given the server's address."""
    site, p = lab.site(), lab.socks()
    s = lab.server(engine=engine)
    lab.client(s, "-subdomain=x", site.port, tunnels=2, engine=engine,
               extra_env={"all_proxy": f"socks5://127.0.0.1:{p.port}"})
    for i in range(3):
        assert get(s.http_port, "x.pgrok.me", f"/{i}").status == 200
    assert set(p.wait_asked(2)) == {("v4", "127.0.0.1", s.tunnel_port)}
    assert set(p.methods) == {b"\0"}


@pytest.mark.parametrize("scheme, kind", [("socks5", "v4"), ("socks5h", "name")])
def test_socks_names(lab, scheme, kind):
    """socks5h leaves the look-up of names to the proxy."""
    site, p = lab.site(), lab.socks()
    s = lab.server()
    cfg = lab.config(f"http_proxy: {scheme}://127.0.0.1:{p.port}\nserver_addr: 127.1:{s.tunnel_port}\n")
    lab.client(s, "-subdomain=x", site.port, tunnels=2, config=cfg, serveraddr=False)
    assert p.wait_asked(1)[0] == (kind, "127.1" if kind == "name" else "127.0.0.1", s.tunnel_port)


def test_socks_login(lab):
    site, p = lab.site(), lab.socks((b"us er", b"p@:ss"))
    s, c = proxied(lab, site, None, env={"ALL_PROXY": f"socks5h://us%20er:p%40:ss@127.0.0.1:{p.port}"})
    assert get(s.http_port, "x.pgrok.me").status == 200
    assert set(p.methods) == {b"\0\2"}
    assert not c.has("p@:ss|p%40")


@pytest.mark.parametrize("user, said", [("me:wrong@", "user or password is wrong"),
                                        ("", "it wants a user and password, or something else")])
def test_socks_login_refused(lab, user, said):
    p = lab.socks((b"me", b"right"))
    s = lab.server()
    c = lab.client(s, "80", extra_env={"http_proxy": f"socks5://{user}127.0.0.1:{p.port}"}, wait=False)
    c.allow(".*")
    c.wait_log(f"SOCKS proxy: {said}", count=2)
    assert not c.has("wrong@|right") and not p.asked


def test_socks_cannot_reach_the_server(lab):
    p = lab.socks()
    c = lab.client("127.0.0.1:1", "80", extra_env={"https_proxy": f"socks5://127.0.0.1:{p.port}"}, wait=False)
    c.allow(".*")
    c.wait_log("SOCKS proxy: connection refused")


def test_http_proxy_taken_for_socks(lab):
    p = lab.proxy()
    c = lab.client("127.0.0.1:1", "80", extra_env={"http_proxy": f"socks5://127.0.0.1:{p.port}"}, wait=False)
    c.allow(".*")
    c.wait_log("no answer within 10 s|SOCKS proxy: |closed the connection without an answer")
