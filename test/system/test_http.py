"""HTTP tunnels: routing by Host, bytes untouched, error pages, requests that are refused."""

import re
import subprocess
import time

import pytest

from lib import env
from lib.backends import answer
from lib.net import Aborted, dial, dial_tls, eventually, get, request, status_of


def test_get(pair, workers, engine):
    site = pair.lab.site()
    s = pair.server(workers=workers, engine=engine)
    c = pair.client(s, "-subdomain=test", site.port, tunnels=2, engine=engine)
    assert sorted(c.urls()) == [f"http://test.pgrok.me:{s.http_port}",
                                f"https://test.pgrok.me:{s.https_port}"]
    for _ in range(10):
        r = get(s.http_port, f"test.pgrok.me:{s.http_port}", "/hello?x=1")
        assert (r.status, r.body) == (200, b"site GET /hello?x=1\n")
    r = get(s.http_port, f"test.pgrok.me:{s.http_port}", "/p", method="POST", body=b"x" * 100000)
    assert r.body == b"site POST /p\n" + b"x" * 100000


def test_curl(lab):
    """The documented session, with the program everybody has."""
    site = lab.site()
    s, _ = lab.started(site)
    out = subprocess.run(["curl", "-sS", "-i", "-H", f"Host: test.pgrok.me:{s.http_port}",
                          f"http://127.0.0.1:{s.http_port}/"],
                         stdout=subprocess.PIPE, check=True).stdout
    assert out.startswith(b"HTTP/1.1 200 OK\r\n") and out.endswith(b"site GET /\n")
    out = subprocess.run(["curl", "-sSk", "--resolve", f"test.pgrok.me:{s.https_port}:127.0.0.1",
                          f"https://test.pgrok.me:{s.https_port}/s"],
                         stdout=subprocess.PIPE, check=True).stdout
    assert out == b"site GET /s\n"


def test_bytes_are_not_changed(pair):
    """Neither head is touched: spelling, order, blanks, doubled and odd fields."""
    reply = (b"HTTP/1.1 203 Because  it can\r\nx-ODD:   v \r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
             b"CONTENT-length: 2\r\n\r\nok")
    site = pair.lab.backend(lambda c, b: (b.note(c.recv_until(b"\r\n\r\nBODY")), c.send(reply)))
    s = pair.server()
    pair.client(s, "-subdomain=test", site.port, tunnels=2)
    ask = (b"POST /%7Ea//b/../c?q=%20 HTTP/1.1\r\nhOsT:  test.pgrok.me:" + str(s.http_port).encode() +
           b"  \r\nX-a: 1\r\nX-A:2\r\nAccept: */*\r\nAuthorization: Basic eDp5\r\n"
           b"Content-Length: 4\r\n\r\nBODY")
    with dial(s.http_port) as c:
        c.send(ask)
        assert c.recv_exact(len(reply)) == reply
    assert site.seen == ask


@pytest.mark.parametrize("host", ["test.pgrok.me:{port}", "test.pgrok.me", "TEST.PGrok.Me:{port}",
                                  "test.pgrok.me.", "test.pgrok.me.:{port}", "test.pgrok.me:9"])
def test_host_spellings(lab, host):
    """Port, case and a trailing dot do not count (the Go pair wanted the port)."""
    site = lab.site()
    s, _ = lab.started(site)
    assert get(s.http_port, host.format(port=s.http_port)).status == 200


def test_upper_case_domain(lab):
    site = lab.site()
    s, _ = lab.started(site, domain="PGrok.ME")
    assert get(s.http_port, "test.pgrok.me").status == 200
    assert get(s.http_port, "test.PGrok.ME").status == 200


def test_absolute_form(pair):
    """Whose authority differs from Host is refused (404 by the Go server): backends read either."""
    site = pair.lab.site()
    s = pair.server()
    pair.client(s, "-subdomain=test", site.port, tunnels=2)
    for scheme in ("http", "https"):
        with dial(s.http_port) as c:
            c.send(f"GET {scheme}://test.pgrok.me:{s.http_port}/abs HTTP/1.1\r\n"
                   f"Host: test.pgrok.me:{s.http_port}\r\n\r\n".encode())
            assert c.response().status == 200
    with dial(s.http_port) as c:
        c.send(f"GET http://other.pgrok.me/ HTTP/1.1\r\n"
               f"Host: test.pgrok.me:{s.http_port}\r\n\r\n".encode())
        assert c.response().status == (404 if pair.server_program else 400)
    assert all(r.target.endswith("/abs") for r in site.requests)


def test_head_in_single_bytes(pair):
    site = pair.lab.site()
    s = pair.server()
    pair.client(s, "-subdomain=test", site.port, tunnels=2)
    with dial(s.http_port) as c:
        for b in request(f"test.pgrok.me:{s.http_port}", "/slow"):
            c.send(bytes([b]))
        assert c.response().body == b"site GET /slow\n"


def page(r, status, stays=True):
    """What every error page of the server is like; stays: so does the connection behind it."""
    assert r.status == status, r
    assert r.version == "HTTP/1.1"
    assert re.search(rb"[^\r]\n", r.head) is None, r.head
    assert (r.header("Connection") or "").lower() == ("" if stays else "close")
    assert r.header("Content-Length") == str(len(r.body))
    assert re.match(r"text/(plain|html)", r.header("Content-Type")), r.headers
    return r


def test_unknown_host_is_404(lab, workers):
    s = lab.server(workers=workers)
    with dial(s.http_port) as c:
        c.send(request("Nope.PGrok.me:99"))
        assert page(c.response(), 404).body == b"Tunnel nope.pgrok.me:99 not found\n"
        c.send(request("other.pgrok.me", headers=["Connection: close"]))
        assert page(c.response(), 404, stays=False).body == b"Tunnel other.pgrok.me not found\n"
        assert c.recv_rest() == (b"", "eof")
    with dial(s.http_port) as c:
        c.send(b"GET / HTTP/1.0\r\n\r\n")
        assert page(c.response(), 404, stays=False).body == b"Tunnel  not found\n"


def test_page_echoes_nothing_raw(lab):
    s = lab.server()
    for host, status in (("<script>alert(1)</script>.x", 400), ("a\"onload=x", 404), ("b'><b>", 404)):
        with dial(s.http_port) as c:
            c.send(request(host))
            r = c.response()
        assert r.status == status
        for raw in (b"<script", b'"onload', b"'><b>"):
            assert raw not in r.body


def test_401_page(lab):
    site = lab.site()
    s, _ = lab.started(site, "-httpauth=u:p")
    with dial(s.http_port) as c:
        c.send(request("test.pgrok.me"))
        r = page(c.response(), 401)
        assert r.header("WWW-Authenticate") == 'Basic realm="pgrok"'
        assert not site.requests
        c.send(request("test.pgrok.me", auth="u:p"))
        assert c.response().status == 200


@pytest.mark.parametrize("bad, has_body", [
    (b"\x16\x03\x01", True),
    (b"GET / HTTP/2.0\r\n", True),
    (b"HEAD / HTTP/2.0\r\n", False),
    (b"HEAD / HTTP/1.1\r\nHost: test.pgrok.me\r\nX\r\n\r\n", False),
    (b"HEAD / HTTP/1.1\r\nHost: other.pgrok.me\r\n\r\n", False),
], ids=["no method", "GET", "HEAD", "HEAD with a bad field", "HEAD for another host"])
@pytest.mark.parametrize("before", ["none", "GET", "HEAD"])
def test_page_after_a_head(lab, before, bad, has_body):
    """A page's body belongs to the request it answers, whatever was asked before."""
    site = lab.site(lambda r, c: answer(200, b""))
    s, _ = lab.started(site, "-httpauth=u:p")
    with dial(s.http_port) as c:
        if before != "none":
            c.send(request("test.pgrok.me", method=before, auth="u:p"))
            assert c.response().status == 200
        c.send(bad)
        r = c.response(head_only=True)
        c.half_close()
        rest, how = c.recv_rest()
        assert how == "eof"
        assert len(rest) == (int(r.header("Content-Length")) if has_body else 0)


def test_404_after_the_client_left(pair):
    site = pair.lab.site()
    s = pair.server()
    c = pair.client(s, "-subdomain=test", site.port, tunnels=2)
    host = f"test.pgrok.me:{s.http_port}"
    assert get(s.http_port, host).status == 200
    c.end()
    eventually(lambda: status_of(s.http_port, host) == 404)
    assert get(s.http_port, host).body == f"Tunnel {host} not found\n".encode()


BAD = {
    "both lengths": b"POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both, other order": b"POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "unequal lengths": b"POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "unequal in a list": b"POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5, 6\r\n\r\nhello",
    "negative length": b"POST / HTTP/1.1\r\nHost: H\r\nContent-Length: -1\r\n\r\n",
    "plus length": b"POST / HTTP/1.1\r\nHost: H\r\nContent-Length: +5\r\n\r\nhello",
    "hex length": b"POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 0x5\r\n\r\nhello",
    "empty length": b"POST / HTTP/1.1\r\nHost: H\r\nContent-Length:\r\n\r\nhello",
    "blank in length": b"POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5 5\r\n\r\nhello",
    "huge length": b"POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "gzip coding": b"POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: gzip\r\n\r\n",
    "gzip, chunked": b"POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two codings": b"POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, identity": b"POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "xchunked": b"POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "vertical tab": b"POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in 1.0": b"POST / HTTP/1.0\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "obs-fold": b"GET / HTTP/1.1\r\nHost: H\r\nX: a\r\n b\r\n\r\n",
    "folded first": b"GET / HTTP/1.1\r\n X: a\r\nHost: H\r\n\r\n",
    "blank before colon": b"POST / HTTP/1.1\r\nHost: H\r\nContent-Length : 5\r\n\r\nhello",
    "tab before colon": b"POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: H\r\nX: a\rY: b\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\r\nHost: H\nX: a\r\n\r\n",
    "only LF": b"GET / HTTP/1.1\nHost: H\n\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nHost: H\r\nX: a\0b\r\n\r\n",
    "NUL in a name": b"GET / HTTP/1.1\r\nHost: H\r\nX\0: b\r\n\r\n",
    "NUL in the target": b"GET /\0 HTTP/1.1\r\nHost: H\r\n\r\n",
    "two Host": b"GET / HTTP/1.1\r\nHost: H\r\nHost: H\r\n\r\n",
    "two Authorization": b"GET / HTTP/1.1\r\nHost: H\r\nAuthorization: Basic YTpi\r\nAuthorization: Basic eDp5\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: H\r\nnonsense\r\n\r\n",
    "empty name": b"GET / HTTP/1.1\r\nHost: H\r\n: x\r\n\r\n",
    "HTTP/1.10": b"GET / HTTP/1.10\r\nHost: H\r\n\r\n",
    "http/1.1": b"GET / http/1.1\r\nHost: H\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: H\r\n\r\n",
    "no version": b"GET /\r\nHost: H\r\n\r\n",
    "no version, and silence": b"GET /\r\n",
    "HTTP/2.0, and silence": b"GET / HTTP/2.0\r\n",
    "no method, and silence": b"\xff\xfb",
    "empty target": b"GET  HTTP/1.1\r\nHost: H\r\n\r\n",
    "method with a slash": b"G/T / HTTP/1.1\r\nHost: H\r\n\r\n",
    "leading LF": b"\nGET / HTTP/1.1\r\nHost: H\r\n\r\n",
    "no Host in 1.1": b"GET / HTTP/1.1\r\nX: y\r\n\r\n",
    "Host is not the target's": b"GET http://a.pgrok.me/ HTTP/1.1\r\nHost: H\r\n\r\n",
    "target is not Host's": b"GET http://test.pgrok.me/ HTTP/1.1\r\nHost: a.pgrok.me\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x01" * 40 + b"\r\n\r\n",
    "the HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.fixture(scope="module")
def bad_lab(state_dir, tmp_path_factory):
    """One server for the whole table."""
    from conftest import Lab
    lab = Lab(state_dir, tmp_path_factory.mktemp("bad"))
    site = lab.site()
    s, _ = lab.started(site)
    yield s, site
    bad = lab.finish()
    assert not bad, bad


STATUS = {"HTTP/2.0": 505, "HTTP/2.0, and silence": 505, "the HTTP/2 preface": 505,
          "gzip, chunked": 501}


@pytest.mark.parametrize("name", BAD)
def test_bad_request(bad_lab, name):
    s, site = bad_lab
    before = site.accepted
    with dial(s.http_port) as c:
        c.send(BAD[name].replace(b": H\r\n", b": test.pgrok.me\r\n").replace(b": H\n", b": test.pgrok.me\n"))
        page(c.response(), STATUS.get(name, 400), stays=False)
        assert c.recv_rest() == (b"", "eof")
    assert get(s.http_port, "test.pgrok.me").status == 200
    assert site.accepted == before + 1, "the bad request reached the local service"


BAD_CHUNKS = {
    "size over 2^60": b"2000000000000000\r\n",
    "size over 2^64": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "not hex": b"5g\r\nhello\r\n0\r\n\r\n",
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "bare LF": b"5\nhello\r\n0\r\n\r\n",
    "bare CR": b"5\rhello\r\n0\r\n\r\n",
    "NUL": b"5;\0\r\nhello\r\n0\r\n\r\n",
    "open quotes": b"5;a=\"\r\nhello\r\n0\r\n\r\n",
    "LF in an extension": b"5;a\n\r\nhello\r\n0\r\n\r\n",
    "no CRLF after data": b"5\r\nhelloXX0\r\n\r\n",
    "longer than said": b"5\r\nhello, world\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_bad_chunk_is_not_followed(bad_lab, name):
    """What comes after a chunk line nobody can read alike is not forwarded; the connection ends."""
    s, site = bad_lab
    with dial(s.http_port) as c:
        c.send(b"POST /c HTTP/1.1\r\nHost: test.pgrok.me\r\nTransfer-Encoding: chunked\r\n\r\n" +
               BAD_CHUNKS[name] + b"GET /never HTTP/1.1\r\nHost: test.pgrok.me\r\n\r\n")
        c.recv_rest()
    assert get(s.http_port, "test.pgrok.me").status == 200
    assert b"/never" not in site.seen
    assert all(r.target != "/never" for r in site.requests)


GOOD = {
    "equal lengths": (b"POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "chunked": (b"POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: v\r\n\r\n", b"hello world"),
    "quoted extension": (b"POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n"
                         b"5;a=\"b c\"\r\nhello\r\n0\r\n\r\n", b"hello"),
    "blank before an extension": (b"POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  b"5 ;a=b\r\nhello\r\n0\r\n\r\n", b"hello"),
    "Chunked in capitals": (b"POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: Chunked\r\n\r\n"
                            b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "HTTP/1.2": (b"POST / HTTP/1.2\r\nHost: H\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "HTTP/1.0": (b"POST / HTTP/1.0\r\nHost: H\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "empty lines first": (b"\r\n\r\nPOST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "odd method": (b"PURGE / HTTP/1.1\r\nHost: H\r\n\r\n", b""),
    "lower-case method": (b"get / HTTP/1.1\r\nHost: H\r\n\r\n", b""),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\nHost: H\r\n\r\n", b""),
    "blanks around the value": (b"GET / HTTP/1.1\r\nHost: \t H \t\r\n\r\n", b""),
    "Latin-1 in a value": (b"GET / HTTP/1.1\r\nHost: H\r\nX: \xe9\r\n\r\n", b""),
}


@pytest.mark.parametrize("name", GOOD)
def test_accepted(bad_lab, name):
    s, _ = bad_lab
    ask, body = GOOD[name]
    with dial(s.http_port) as c:
        c.send(re.sub(rb"Host:(\s+)H", rb"Host:\1test.pgrok.me", ask))
        r = c.response()
        assert r.status == 200, r
        assert r.body.endswith(b"\n" + body)


def test_empty_line_behind_a_body(bad_lab):
    """Old clients send a CRLF behind a POST: no request, so no answer to it, however long it stands alone."""
    s, _ = bad_lab
    with dial(s.http_port) as c:
        for path in ("/1", "/2"):
            c.send(request("test.pgrok.me", path, method="POST", body=b"hello") + b"\r\n")
            r = c.response()
            assert (r.status, r.body) == (200, f"site POST {path}\n".encode() + b"hello")


def test_head_limit(lab):
    """A head of 60 KiB passes, one of more than 64 KiB is refused."""
    site = lab.site()
    s, _ = lab.started(site)
    assert get(s.http_port, "test.pgrok.me", headers=["X: " + "y" * 60000]).status == 200
    with dial(s.http_port) as c:
        c.send(request("test.pgrok.me", headers=["X: " + "y" * 70000]))
        page(c.response(), 431, stays=False)
    assert len(site.requests) == 1


def test_hostname(lab):
    """A hostname's URL has no port; it answers with and without one."""
    site = lab.site()
    s = lab.server()
    c = lab.client(s, "-hostname=My.Example.COM", site.port, tunnels=2)
    assert sorted(c.urls()) == ["http://my.example.com", "https://my.example.com"]
    for host in ("my.example.com", f"my.example.com:{s.http_port}", "MY.example.com"):
        assert get(s.http_port, host).status == 200
    assert get(s.http_port, f"my.pgrok.me:{s.http_port}").status == 404


def test_hostname_with_port(pair):
    """The way to make it work through the Go server, which compares the port as well."""
    site = pair.lab.site()
    s = pair.server()
    pair.client(s, f"-hostname=my.example.com:{s.http_port}", "-proto=http", site.port)
    assert get(s.http_port, f"my.example.com:{s.http_port}").status == 200


def test_hostname_beats_subdomain(pair):
    site = pair.lab.site()
    s = pair.server()
    c = pair.client(s, "-hostname=a.example", "-subdomain=b", "-proto=http", site.port)
    assert c.urls() == ["http://a.example"]


def test_random_name(lab):
    """http and https of one tunnel have one name (two with the Go server)."""
    site = lab.site()
    s = lab.server()
    c = lab.client(s, site.port, tunnels=2)
    m = re.fullmatch(rf"http://([0-9a-z]+)\.pgrok\.me:{s.http_port}", c.url("http"))
    assert m
    assert c.url("https") == f"https://{m[1]}.pgrok.me:{s.https_port}"
    assert get(s.http_port, c.host()).status == 200
    assert get(s.https_port, c.host("https"), tls=True).status == 200


def test_two_clients(pair, workers):
    a, b = pair.lab.site(name="A"), pair.lab.site(name="B")
    s = pair.server(workers=workers)
    pair.client(s, "-subdomain=a", a.port, tunnels=2)
    pair.client(s, "-subdomain=b", b.port, tunnels=2)
    for _ in range(8):
        assert get(s.http_port, f"a.pgrok.me:{s.http_port}").body == b"A GET /\n"
        assert get(s.http_port, f"b.pgrok.me:{s.http_port}").body == b"B GET /\n"


def test_http_only_and_https_only(pair):
    site = pair.lab.site()
    s = pair.server()
    pair.client(s, "-subdomain=plain", "-proto=http", site.port)
    pair.client(s, "-subdomain=tls", "-proto=https", site.port)
    assert get(s.http_port, f"plain.pgrok.me:{s.http_port}").status == 200
    assert get(s.http_port, f"tls.pgrok.me:{s.http_port}").status == 404
    assert get(s.https_port, f"tls.pgrok.me:{s.https_port}", tls=True).status == 200
    assert get(s.https_port, f"plain.pgrok.me:{s.https_port}", tls=True).status == 404


def test_local_service_dead(pair, engine):
    """502 with the address that does not answer, complete also for a large upload."""
    port = env.free_port()
    s = pair.server(engine=engine)
    c = pair.client(s, "-subdomain=dead", port, tunnels=2, engine=engine)
    for tls, p in ((False, s.http_port), (True, s.https_port)):
        for body in (b"", b"x" * 300000):
            if body and pair.server_program and pair.client_program:
                continue  # the Go pair loses the page itself, now and then
            r = get(p, f"dead.pgrok.me:{p}", tls=tls, method="POST", body=body)
            assert r.status == 502
            assert f"127.0.0.1:{port}".encode() in r.body
            assert r.header("Content-Type").startswith("text/html")
            assert len(r.body) == int(r.header("Content-Length"))
        if pair.client_program:
            continue
        with (dial_tls(p) if tls else dial(p)) as v:
            v.send(request(f"dead.pgrok.me:{p}", method="HEAD"))
            assert v.response(method="HEAD").status == 502
            assert v.recv_rest() == (b"", "eof")
    # Once the service is there it is served.
    site = pair.lab.site(port=port)
    assert get(s.http_port, f"dead.pgrok.me:{s.http_port}").body == b"site GET /\n"
    assert site.accepted == 1
    assert c.alive()


@pytest.mark.scaled
def test_504_when_the_client_opens_no_proxy(lab, workers):
    """A page after 10 s instead of silence after 30."""
    s = lab.server(scale=0.1, workers=workers)
    c = lab.goclient(s, proxies=False)
    host = c.url("http", subdomain="x").split("//")[1]
    with dial(s.http_port) as v:
        v.send(request(host))
        page(v.response(), 504)
    c.wait_asked(2)


@pytest.mark.scaled
def test_504_does_not_come_early(lab):
    """The visitor waits; a proxy connection that comes late serves it."""
    s = lab.server(scale=1.0)
    c = lab.goclient(s, local=lab.site().port, proxies=False)
    host = c.url("http", subdomain="x").split("//")[1]
    with dial(s.http_port) as v:
        v.send(request(host))
        c.wait_asked(2)
        v.nothing_for(1)
        lab.thread(c.proxy)
        assert v.response().status == 200


@pytest.mark.scaled
def test_slow_head_is_ended(lab):
    """10 s from the first byte for a head; a connection without a byte as well."""
    s = lab.server(scale=0.1)
    for start in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"):
        with dial(s.http_port) as c:
            if start:
                c.send(start)
            c.recv_rest()
    with dial(s.http_port) as c:
        # Bytes that keep coming do not prolong it.
        end = time.monotonic() + env.WAIT
        with pytest.raises(Aborted):
            while True:
                c.send(b"X")
                time.sleep(0.05)
                assert time.monotonic() < end


def test_vhost(lab):
    """VHOST replaces domain and port of names, not of hostnames."""
    site = lab.site()
    s = lab.server(extra_env={"VHOST": "vhost.example"})
    c = lab.client(s, "-subdomain=v", site.port, tunnels=2)
    assert sorted(c.urls()) == ["http://v.vhost.example", "https://v.vhost.example"]
    assert get(s.http_port, "v.vhost.example").status == 200
    h = lab.client(s, "-hostname=h.example", "-proto=http", site.port)
    assert h.urls() == ["http://h.example"]
    t = lab.client(s, "-proto=tcp", site.port)
    assert t.urls()[0].startswith("tcp://pgrok.me:")


def test_vhost_with_port(lab):
    s = lab.server(extra_env={"VHOST": "vhost.example:9999"})
    c = lab.client(s, "-subdomain=v", "-proto=http", lab.site().port)
    assert c.urls() == ["http://v.vhost.example:9999"]
    assert get(s.http_port, "v.vhost.example:9999").status == 200


def test_keep_alive(pair):
    """Many requests on one connection, with every way a body can be framed."""
    def app(r, c):
        if r.target == "/chunked":
            return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        if r.target == "/204":
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        if r.target == "/304":
            return b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"
        if r.target == "/interim":
            c.send(b"HTTP/1.1 102 Processing\r\n\r\n")
            c.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        if r.method == "HEAD":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
        return answer(200, r.body or b"plain")
    site = pair.lab.site(app)
    # Behind the Go client interim answers hang when they come in parts: its own fault.
    targets = [("GET", "/"), ("HEAD", "/"), ("GET", "/chunked"), ("GET", "/204"), ("GET", "/304"),
               ("GET", "/")] + ([("GET", "/interim")] if pair.ours else [])
    s = pair.server()
    pair.client(s, "-subdomain=test", site.port, tunnels=2)
    host = f"test.pgrok.me:{s.http_port}"
    with dial(s.http_port) as c:
        for method, target in targets * 3:
            c.send(request(host, target, method=method))
            r = c.response(method=method)
            while 100 <= r.status < 200:
                r = c.response(method=method)
            assert r.status == {"/204": 204, "/304": 304}.get(target, 200)
            if target == "/chunked":
                assert r.body == b"abc"
        c.send(request(host, "/", method="POST", body=b"z" * 200000))
        assert c.response().body == b"z" * 200000
    assert site.accepted == 1


def test_pipelined(lab, engine):
    """100 requests in one write; answers of 20 kB each in order."""
    site = lab.site(lambda r, c: answer(200, r.target.encode() * 5000))
    s, _ = lab.started(site, engine=engine)
    with dial(s.http_port) as c:
        c.send(b"".join(request("test.pgrok.me", f"/{i:02}") for i in range(100)))
        for i in range(100):
            assert c.response().body == f"/{i:02}".encode() * 5000
    assert site.accepted == 1


def test_ipv6(lab):
    """The server listens on ::1; ClientAddr has brackets."""
    s = lab.server(host="::1")
    starts = []

    def visit(c, start):
        starts.append(start)
        c.recv_until(b"\r\n\r\n")
        c.send(answer(200, b"six"))
    c = lab.goclient(s, on_visit=visit, host="::1")
    url = c.url("http", subdomain="x")
    assert get(s.http_port, "x.pgrok.me", addr="::1").body == b"six"
    assert starts[0]["Url"] == url
    assert re.fullmatch(r"\[::1\]:\d+", starts[0]["ClientAddr"])


def test_all_addresses(lab):
    """":PORT" means both families."""
    site = lab.site()
    port = env.free_port()
    s = lab.server(f"-httpAddr=:{port}")
    lab.client(s, "-subdomain=x", "-proto=http", site.port)
    assert get(port, "x.pgrok.me").status == 200
    assert get(port, "x.pgrok.me", addr="::1").status == 200


def test_listener_off(lab):
    """An empty address switches a listener off, and says so to who asks for it."""
    s = lab.server(http=False)
    c = lab.client(s, "-subdomain=x", "-proto=https", lab.site().port)
    assert get(s.https_port, "x.pgrok.me", tls=True).status == 200
    assert c.alive()
    d = lab.client(s, "-subdomain=y", "-proto=http", 1, wait=False)
    d.expect_exit(1)
    assert "Server failed to allocate tunnel: Not listening for http connections" in d.text("err")
