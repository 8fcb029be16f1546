"""
Basic auth on a tunnel, and every way a second request might slip past it: on a connection whose first
request was allowed, none gets through, and a refusal never lands inside another answer's body.
"""

import re
import threading

import pytest

from lib.backends import answer
from lib.link import slow_link
from lib.net import dial, dial_tls, eventually, get, request

SECRET = "/secret"
ALLOWED = "u:p"


@pytest.fixture
def guarded(lab):
    """A guarded tunnel; app may be replaced by the test: (server, site, set_app)."""
    apps = {}

    def app(r, c):
        fn = apps.get("app")
        return fn(r, c) if fn else answer(200, b"public " + r.target.encode())
    site = lab.site(app)
    inner = site.handler

    def noting(c, b):
        real = c.recv

        def recv(n=65536):
            held = len(c.buf)
            data = real(n)
            if not held:
                b.note(data)
            return data
        c.recv = recv
        inner(c, b)
    site.handler = noting
    s, _ = lab.started(site, f"-httpauth={ALLOWED}")
    return s, site, lambda fn: apps.__setitem__("app", fn)


def first(path="/one", **kw):
    return request("test.pgrok.me", path, auth=ALLOWED, **kw)


def second(headers=(), **kw):
    return request("test.pgrok.me", SECRET, headers=headers, **kw)


def never_seen(site):
    assert SECRET.encode() not in site.seen, "the guarded request reached the local service"
    assert all(r.target != SECRET for r in site.requests)


def silent(c):
    """Behind a page nothing comes, though the connection stays."""
    c.half_close()
    assert c.recv_rest() == (b"", "eof")


def stays(c):
    """Behind a page the next request is served."""
    c.send(first())
    assert c.response().body == b"public /one"
    silent(c)


# ---- the plain cases ----

def test_credentials(pair):
    site = pair.lab.site()
    s = pair.server()
    pair.client(s, "-subdomain=test", "-httpauth=u:p", site.port, tunnels=2)
    host = f"test.pgrok.me:{s.http_port}"
    assert get(s.http_port, host).status == 401
    for wrong in ("u:q", "u:", ":p", "u:p ", "u", "U:p", "u:p:p"):
        assert get(s.http_port, host, auth=wrong).status == 401, wrong
    if not pair.server_program:  # the Go server compares byte for byte
        for text in ("Basic  dTpw", "basic dTpw"):
            assert get(s.http_port, host, headers=[f"Authorization: {text}"]).status == 200, text
        site.requests.clear()
    for text in ("Basic", "Basic ", "Bearer dTpw", "dTpw", "Basic dTpw=", "Basic dTpw x", "BasicdTpw"):
        assert get(s.http_port, host, headers=[f"Authorization: {text}"]).status == 401, text
    assert not site.requests
    r = get(s.http_port, host, auth="u:p")
    assert r.status == 200
    assert site.requests[0].header("Authorization") == "Basic dTpw", "it is passed on"
    assert get(s.https_port, f"test.pgrok.me:{s.https_port}", tls=True).status == 401
    assert get(s.https_port, f"test.pgrok.me:{s.https_port}", tls=True, auth="u:p").status == 200


def test_many_requests_with_credentials(guarded):
    s, site, _ = guarded
    with dial(s.http_port) as c:
        for i in range(5):
            c.send(first(f"/{i}"))
            assert c.response().body == f"public /{i}".encode()
    assert site.accepted == 1


# ---- the second request ----

@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("auth", [None, "u:q"], ids=["none", "wrong"])
def test_second_plain(guarded, tls, auth):
    s, site, _ = guarded
    with (dial_tls(s.https_port) if tls else dial(s.http_port)) as c:
        c.send(first())
        assert c.response().status == 200
        c.send(request("test.pgrok.me", SECRET, auth=auth))
        r = c.response()
        assert r.status == 401
        assert r.header("WWW-Authenticate") == 'Basic realm="pgrok"'
        stays(c)
    never_seen(site)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_second_pipelined(guarded, tls):
    s, site, _ = guarded
    with (dial_tls(s.https_port) if tls else dial(s.http_port)) as c:
        c.send(first() + second())
        assert c.response().body == b"public /one"
        assert c.response().status == 401
        silent(c)
    never_seen(site)


@pytest.mark.parametrize("at", range(1, 60, 7))
def test_second_cut_anywhere(guarded, at):
    """The first request and a part of the second in one segment."""
    s, site, _ = guarded
    with dial(s.http_port) as c:
        sec = second()
        c.send(first() + sec[:at])
        assert c.response().body == b"public /one"
        c.send(sec[at:])
        assert c.response().status == 401
    never_seen(site)


def test_refusal_waits_for_the_answer(guarded):
    """The 401 comes after the whole first answer, however slow that is."""
    s, site, use = guarded
    go = threading.Event()

    def app(r, c):
        body = b"A" * 200000
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + body[:1000])
        assert go.wait(30)
        c.send(body[1000:])
    use(app)
    with dial(s.http_port) as c:
        c.send(first() + second())
        r = c.response(head_only=True)
        assert c.recv_exact(1000) == b"A" * 1000
        c.nothing_for(0.3)
        go.set()
        assert c.recv_exact(199000) == b"A" * 199000
        assert r.status == 200
        assert c.response().status == 401
        silent(c)
    never_seen(site)


def test_refusal_after_several_answers(guarded):
    s, site, _ = guarded
    with dial(s.http_port) as c:
        c.send(b"".join(first(f"/{i}") for i in range(5)) + second())
        for i in range(5):
            assert c.response().body == f"public /{i}".encode()
        assert c.response().status == 401
    never_seen(site)


@pytest.mark.parametrize("reply,body", [
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", b"hello"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n", b""),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    (b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", b"ok"),
], ids=["chunked", "204", "304", "100", "103", "bare LF"])
def test_refusal_after_every_kind_of_answer(guarded, reply, body):
    s, site, use = guarded
    use(lambda r, c: reply)
    with dial(s.http_port) as c:
        c.send(first() + second())
        r = c.response()
        while r.status in (100, 103):
            r = c.response()
        assert r.body == body
        assert c.response().status == 401
        silent(c)
    never_seen(site)


def test_refusal_after_head_answer(guarded):
    """The answer to HEAD has a length and no body."""
    s, site, use = guarded
    use(lambda r, c: b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
    with dial(s.http_port) as c:
        c.send(first(method="HEAD") + second())
        assert c.response(method="HEAD").status == 200
        assert c.response().status == 401
    never_seen(site)


def test_no_page_in_an_until_eof_answer(guarded):
    """It can't be told where such an answer ends: no page, just the local service's own end."""
    s, site, use = guarded
    go = threading.Event()

    def app(r, c):
        c.send(b"HTTP/1.1 200 OK\r\n\r\nstart ")
        assert go.wait(30)
        c.send(b"end")
        return False
    use(app)
    with dial(s.http_port) as c:
        c.send(first() + second())
        assert c.recv_until(b"start ") == b"HTTP/1.1 200 OK\r\n\r\nstart "
        go.set()
        rest, _ = c.recv_rest()
        assert rest == b"end"
    never_seen(site)


@pytest.mark.parametrize("reply", [
    b"SSH-2.0-nothing like HTTP\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and much more than said",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
], ids=["not HTTP", "too long", "bad length", "two lengths", "bad chunk"])
def test_answer_that_cannot_be_followed(guarded, reply):
    """Its bytes pass; the second request is judged all the same; no page inside the stream."""
    s, site, use = guarded
    done = threading.Event()

    def app(r, c):
        c.send(reply)
        done.wait(30)
        return False
    use(app)
    with dial(s.http_port) as c:
        c.send(first())
        assert c.recv_exact(len(reply)) == reply
        c.send(second())
        c.settimeout(1)
        try:
            early = c.recv()
        except TimeoutError:
            early = b""
        c.settimeout(30)
        never_seen(site)
        done.set()
        rest = early + c.recv_rest()[0]
        assert b"secret" not in rest
    never_seen(site)


# ---- behind an Upgrade ----

def upgrade(token="websocket", path="/up"):
    return first(path, headers=["Connection: Upgrade", f"Upgrade: {token}",
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"])


@pytest.mark.parametrize("reply", [
    answer(200, b"no upgrade here"),
    answer(426, b"other one", reason="Upgrade Required"),
    b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + answer(200, b"still no"),
], ids=["200", "426", "chunked", "100 first"])
@pytest.mark.parametrize("token", ["websocket", "WebSocket", "anything"])
def test_second_behind_a_refused_upgrade(guarded, reply, token):
    s, site, use = guarded
    use(lambda r, c: reply)
    with dial(s.http_port) as c:
        c.send(upgrade(token) + second())
        r = c.response()
        if r.status == 100:
            r = c.response()
        assert r.status == int(re.findall(rb"HTTP/1\.1 (\d+)", reply)[-1])
        assert c.response().status == 401
        silent(c)
    never_seen(site)


def test_nothing_is_forwarded_before_the_upgrade_is_answered(guarded):
    """Not even a byte, until a 101 says that what follows is no request."""
    s, site, use = guarded
    go = threading.Event()

    def app(r, c):
        assert go.wait(30)
        c.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        c.send(b"got:" + c.recv_exact(9))
        return False
    use(app)
    with dial(s.http_port) as c:
        c.send(upgrade() + b"raw bytes")
        site.wait_requests(1)
        c.nothing_for(0.3)
        assert b"raw bytes" not in site.seen
        go.set()
        assert c.response(head_only=True).status == 101
        assert c.recv_exact(13) == b"got:raw bytes"


def test_upgraded_connection_is_raw(guarded):
    """After a 101 that was asked for, anything goes, also what looks like a request."""
    s, site, use = guarded

    def app(r, c):
        c.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        c.send(c.recv_exact(len(second())))
        return False
    use(app)
    with dial(s.http_port) as c:
        c.send(upgrade())
        assert c.response(head_only=True).status == 101
        c.send(second())
        assert c.recv_exact(len(second())) == second()


def test_101_nobody_asked_for(guarded):
    """A 101 to a plain request opens nothing."""
    s, site, use = guarded
    done = threading.Event()

    def app(r, c):
        c.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
        done.wait(30)
        return False
    use(app)
    with dial(s.http_port) as c:
        c.send(first())
        assert c.recv_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101")
        c.send(second())
        c.settimeout(1)
        try:
            c.recv()
        except TimeoutError:
            pass
        never_seen(site)
        done.set()
    never_seen(site)


def test_101_for_another_request(guarded):
    """An upgrade is refused, then a plain request is answered 101: no upgrade."""
    s, site, use = guarded
    done = threading.Event()

    def app(r, c):
        if r.target == "/up":
            return answer(200, b"no")
        c.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
        done.wait(30)
        return False
    use(app)
    with dial(s.http_port) as c:
        c.send(upgrade())
        assert c.response().status == 200
        c.send(first("/two"))
        c.recv_until(b"\r\n\r\n")
        c.send(second())
        c.settimeout(1)
        try:
            c.recv()
        except TimeoutError:
            pass
        never_seen(site)
        done.set()
    never_seen(site)


def test_upgrade_with_a_body(guarded):
    """The body is not what follows; the request after it is judged."""
    s, site, use = guarded
    use(lambda r, c: answer(200, b"body was " + r.body))
    with dial(s.http_port) as c:
        c.send(first("/up", method="POST", body=b"12345",
                     headers=["Connection: Upgrade", "Upgrade: websocket"]) + second())
        c.settimeout(10)
        r = c.response()
        if r.status == 200:
            assert c.response().status == 401
        else:
            assert r.status == 400
    never_seen(site)


# What Java's HttpClient and curl --http2, Apache's HttpClient, and old HTTP/2 drafts ask for.
OFFERS = [["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"],
          ["Upgrade: TLS/1.2", "Connection: Upgrade"],
          ["Upgrade: HTTP/2.0", "Connection: Upgrade"]]


@pytest.mark.parametrize("offer", OFFERS, ids=["h2c", "TLS", "HTTP/2.0"])
def test_an_offer_is_only_an_offer(guarded, offer):
    """A backend that does not take it answers as ever; credentials are asked for as ever."""
    s, site, _ = guarded
    with dial(s.http_port) as c:
        for i in range(2):
            c.send(first(f"/{i}", headers=offer, method="POST", body=b"hello"))
            assert c.response().body == f"public /{i}".encode()
        c.send(second(headers=offer))
        assert c.response().status == 401
    never_seen(site)


@pytest.mark.parametrize("offer", OFFERS, ids=["h2c", "TLS", "HTTP/2.0"])
def test_an_offer_that_is_accepted(guarded, offer):
    """On a tunnel with rules: what would follow are requests that nothing here can judge."""
    s, site, use = guarded
    use(lambda r, c: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
    with dial(s.http_port) as c:
        c.send(first("/up", headers=offer) + SEC)
        assert c.response().status == 502
        assert c.recv_rest() == (b"", "eof")
    never_seen(site)


def test_an_offer_that_is_accepted_without_rules(lab):
    b = lab.backend(lambda c, b: (c.recv_until(b"\r\n\r\n"), c.send(b"HTTP/1.1 101 x\r\n\r\n"),
                                  c.send(c.recv_exact(5))))
    s, _ = lab.started(b)
    with dial(s.http_port) as c:
        c.send(request("test.pgrok.me", headers=OFFERS[0]))
        assert c.response().status == 101
        c.send(b"PRI *")
        assert c.recv_exact(5) == b"PRI *"


def test_backend_answers_101_to_unauthorised_upgrade(guarded):
    s, site, _ = guarded
    with dial(s.http_port) as c:
        c.send(request("test.pgrok.me", SECRET, headers=["Connection: Upgrade", "Upgrade: websocket"]))
        assert c.response().status == 401
    never_seen(site)


# ---- behind every length game ----

SEC = request("test.pgrok.me", SECRET)
GAMES = {
    "length and chunked": ["Content-Length: {n}", "Transfer-Encoding: chunked"],
    "chunked and length": ["Transfer-Encoding: chunked", "Content-Length: 0"],
    "two lengths": ["Content-Length: 0", "Content-Length: {n}"],
    "two lengths, other order": ["Content-Length: {n}", "Content-Length: 0"],
    "list of lengths": ["Content-Length: 0, {n}"],
    "plus": ["Content-Length: +{n}"],
    "minus": ["Content-Length: -1"],
    "hex": ["Content-Length: 0x0"],
    "point": ["Content-Length: 0.0"],
    "blank inside": ["Content-Length: 0 0"],
    "quotes": ["Content-Length: \"0\""],
    "empty": ["Content-Length:"],
    "overflow": ["Content-Length: 18446744073709551616"],
    "overflow 32": ["Content-Length: 99999999999999999999999"],
    "blank before colon": ["Content-Length : {n}"],
    "tab before colon": ["Content-Length\t: {n}"],
    "chunked blank before colon": ["Transfer-Encoding : chunked"],
    "chunked twice": ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "chunked, chunked": ["Transfer-Encoding: chunked, chunked"],
    "identity": ["Transfer-Encoding: identity"],
    "identity, chunked": ["Transfer-Encoding: identity, chunked"],
    "chunked, identity": ["Transfer-Encoding: chunked, identity"],
    "xchunked": ["Transfer-Encoding: xchunked"],
    "chunkedx": ["Transfer-Encoding: chunkedx"],
    "quoted chunked": ["Transfer-Encoding: \"chunked\""],
    "chunked;q": ["Transfer-Encoding: chunked;q=1"],
    "empty coding": ["Transfer-Encoding:"],
    "vertical tab": ["Transfer-Encoding: \x0bchunked"],
    "folded length": ["Content-Length:\r\n {n}"],
    "folded coding": ["Transfer-Encoding:\r\n chunked"],
    "folded other": ["X: y\r\n Content-Length: {n}"],
    "bare CR": ["X: y\rContent-Length: {n}"],
    "bare LF": ["X: y\nContent-Length: {n}"],
    "CR CR LF": ["Content-Length: 0\r"],
    "NUL": ["Content-Length: 0\0"],
    "NUL in name": ["Content-Length\0: {n}"],
    "two hosts": ["Host: other.pgrok.me"],
    "two authorizations": ["Authorization: Basic eDp5"],
}


@pytest.mark.parametrize("name", GAMES)
def test_second_behind_length_game(guarded, name):
    """As the first request, and again as the second behind a good one."""
    s, site, _ = guarded
    status = 501 if name == "identity, chunked" else 400
    game = first("/game", method="POST", headers=[h.format(n=len(SEC)) for h in GAMES[name]])
    with dial(s.http_port) as c:
        c.send(game + SEC)
        assert c.response().status == status
        assert c.recv_rest() == (b"", "eof")
    assert not site.requests
    with dial(s.http_port) as c:
        c.send(first() + game + SEC)
        assert c.response().body == b"public /one"
        assert c.response().status == status
        assert c.recv_rest() == (b"", "eof")
    never_seen(site)
    assert len(site.requests) == 1


def test_chunked_in_http_1_0(guarded):
    s, site, _ = guarded
    ask = first("/game", method="POST", headers=["Transfer-Encoding: chunked"])
    with dial(s.http_port) as c:
        c.send(ask.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n" + SEC)
        assert c.response().status == 400
    never_seen(site)


CHUNKS = {
    "size over 2^60": b"1000000000000001\r\n",
    "size wraps 64 bits": b"10000000000000000\r\n\r\n",
    "bare LF after size": b"0\n\n",
    "bare LF at the end": b"0\r\n\n",
    "bare CR": b"0\r\r\n",
    "NUL": b"0\0\r\n\r\n",
    "blank size": b" \r\n\r\n",
    "minus": b"-0\r\n\r\n",
    "0x0": b"0x0\r\n\r\n",
    "LF in extension": b"0;a=\nb\r\n\r\n",
    "CR in extension": b"0;a=\rb\r\n\r\n",
    "CRLF in quotes": b"0;a=\"\r\n\r\n\"\r\n\r\n",
    "hidden quote": b"0;a=\"\\\"\r\n\r\n\"\r\n\r\n",
    "data overruns": b"3\r\nabcdef\r\n0\r\n\r\n",
    "LF after data": b"3\r\nabc\n0\r\n\r\n",
    "LF in trailer": b"0\r\nX: y\n\r\n",
}


@pytest.mark.parametrize("name", CHUNKS)
def test_second_behind_chunk_game(guarded, name):
    s, site, _ = guarded
    with dial(s.http_port) as c:
        c.send(first("/game", method="POST", headers=["Transfer-Encoding: chunked"]) + CHUNKS[name] + SEC)
        c.recv_rest()
    never_seen(site)
    assert get(s.http_port, "test.pgrok.me", auth=ALLOWED).status == 200


def test_second_behind_good_bodies(guarded):
    """A length and a chunked body end where they end: what follows is the second request."""
    s, site, _ = guarded
    for headers, body in ((["Content-Length: 5"], b"hello"),
                          (["Transfer-Encoding: chunked"], b"5;x\r\nhello\r\n0\r\nT: v\r\n\r\n"),
                          (["Content-Length: 0"], b"")):
        with dial(s.http_port) as c:
            c.send(first("/b", method="POST", headers=headers) + body + SEC)
            assert c.response().status == 200
            assert c.response().status == 401
    never_seen(site)


def test_secret_in_a_body_stays_a_body(guarded):
    """Bytes of a body that look like a request are a body for both readers."""
    s, site, _ = guarded
    with dial(s.http_port) as c:
        c.send(first("/b", method="POST", body=SEC) + second())
        assert c.response().status == 200
        assert c.response().status == 401
    assert [r.target for r in site.requests] == ["/b"]
    assert site.requests[0].body == SEC


def test_get_with_a_body(guarded):
    s, site, _ = guarded
    with dial(s.http_port) as c:
        c.send(first("/b", body=SEC) + second())
        assert c.response().status == 200
        assert c.response().status == 401
    assert [r.target for r in site.requests] == ["/b"]


# ---- behind what is no request line ----

LINES = {
    "no version": b"GET " + SECRET.encode() + b"\r\nHost: test.pgrok.me\r\n\r\n",
    "version 2": b"GET " + SECRET.encode() + b" HTTP/2.0\r\nHost: test.pgrok.me\r\n\r\n",
    "version 1.10": b"GET " + SECRET.encode() + b" HTTP/1.10\r\nHost: test.pgrok.me\r\n\r\n",
    "lower-case version": b"GET " + SECRET.encode() + b" http/1.1\r\nHost: test.pgrok.me\r\n\r\n",
    "two blanks": b"GET  " + SECRET.encode() + b" HTTP/1.1\r\nHost: test.pgrok.me\r\n\r\n",
    "tab": b"GET\t" + SECRET.encode() + b"\tHTTP/1.1\r\nHost: test.pgrok.me\r\n\r\n",
    "blank in the target": b"GET " + SECRET.encode() + b" x HTTP/1.1\r\nHost: test.pgrok.me\r\n\r\n",
    "CR in the line": b"GET " + SECRET.encode() + b"\r HTTP/1.1\r\nHost: test.pgrok.me\r\n\r\n",
    "NUL in the line": b"GET " + SECRET.encode() + b"\0 HTTP/1.1\r\nHost: test.pgrok.me\r\n\r\n",
    "blank lines first": b"\r\n\r\nGET " + SECRET.encode() + b" HTTP/1.1\r\nHost: test.pgrok.me\r\n\r\n",
    "LF first": b"\nGET " + SECRET.encode() + b" HTTP/1.1\r\nHost: test.pgrok.me\r\n\r\n",
    "binary": b"\x16\x03\x01\x00\x10 " + SECRET.encode() + b"\r\n\r\n",
    "only LF": b"GET " + SECRET.encode() + b" HTTP/1.1\nHost: test.pgrok.me\n\n",
    "HTTP/0.9": b"GET " + SECRET.encode() + b"\r\n\r\n",
    "CONNECT": b"CONNECT " + SECRET.encode() + b" HTTP/1.1\r\nHost: test.pgrok.me\r\n\r\n",
}


@pytest.mark.parametrize("name", LINES)
def test_second_behind_an_unparsable_line(guarded, name):
    s, site, _ = guarded
    for tail in (b"", second()):
        with dial(s.http_port) as c:
            c.send(first() + LINES[name] + tail)
            assert c.response().body == b"public /one"
            r = c.response()
            assert r.status == {"version 2": 505, "blank lines first": 401}.get(name, 400), r
            if r.status == 401 and tail:
                assert c.response().status == 401
            silent(c)
    never_seen(site)


# ---- the host of the second request ----

def test_second_to_another_guarded_tunnel(lab):
    """Credentials of one tunnel do not open another."""
    a, b = lab.site(name="A"), lab.site(name="B")
    s = lab.server()
    lab.client(s, "-subdomain=a", "-httpauth=u:p", "-proto=http", a.port)
    lab.client(s, "-subdomain=b", "-httpauth=x:y", "-proto=http", b.port)
    with dial(s.http_port) as c:
        c.send(request("a.pgrok.me", auth="u:p") + request("b.pgrok.me", SECRET, auth="u:p"))
        assert c.response().body == b"A GET /\n"
        assert c.response().status == 401
    assert not b.requests and len(a.requests) == 1


@pytest.mark.scaled
def test_refusal_does_not_wait_for_ever(lab):
    """
    An answer that never completes: the connection ends after 30 s, with no page inside it. (Behind
    a request that can't be read; one without credentials waits its turn.)
    """
    done = threading.Event()

    def app(r, c):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart")
        done.wait(60)
        return False
    site = lab.site(app)
    s, _ = lab.started(site, f"-httpauth={ALLOWED}", scale=0.1)
    with dial(s.http_port) as c:
        c.send(first() + second(headers=["bad"]))
        rest, _ = c.recv_rest()
        done.set()
        assert rest.endswith(b"\r\n\r\npart"), rest
    assert all(r.target != SECRET for r in site.requests)


# ---- the upload that is refused ----

def test_large_post_without_credentials(guarded):
    """10 MB sent by somebody who reads only afterwards: the 401 is there."""
    s, site, _ = guarded
    with dial(s.http_port) as c:
        c.send(request("test.pgrok.me", SECRET, method="POST", headers=["Content-Length: 10485760"]))
        c.send(b"x" * 10485760)
        assert c.response().status == 401
    never_seen(site)


def test_large_post_over_a_slow_link(lab):
    """The same over 20 ms: the page is not lost to a reset (curl as the visitor)."""
    site = lab.site()
    with slow_link(0.02) as link:
        s = lab.server(host=link.server_address, https=False)
        lab.client(s, "-subdomain=test", f"-httpauth={ALLOWED}", "-proto=http", site.port)
        big = lab.tmp / "big"
        big.write_bytes(b"x" * 10485760)
        for expect in ("Expect:", "Expect: 100-continue"):
            status, body = link.curl(s.http_port, "-H", "Host: test.pgrok.me", "-H", expect,
                                     "--data-binary", f"@{big}", "-w", "%{http_code}")
            assert status == 0 and body.endswith(b"401"), (status, body)
    assert not site.requests


def test_torn_into_single_bytes(lab, guarded):
    """Requests in single bytes on the wire are judged the same."""
    s, site, _ = guarded
    relay = lab.relay(s.http_port, chop=1)
    with dial(relay.port) as c:
        c.send(first() + second())
        assert c.response().body == b"public /one"
        assert c.response().status == 401
    never_seen(site)
    assert b"GET /one" in site.seen


# ---- guessing ----

@pytest.mark.scaled
def test_guessing_is_slowed(lab, workers):
    """Ten wrong passwords from one address, then 429 for the rest of the minute, even for the right one."""
    s = lab.server("-loopbackExempt=false", workers=workers, scale=0.1)
    lab.client(s, "-subdomain=test", "-proto=http", f"-httpauth={ALLOWED}", lab.site().port, scale=0.1)
    lab.client(s, "-subdomain=other", "-proto=http", f"-httpauth={ALLOWED}", lab.site().port, scale=0.1)

    def ask(auth, host="test.pgrok.me", **kw):
        return get(s.http_port, host, auth=auth, **kw)

    assert ask(ALLOWED).status == 200
    assert [ask(f"u:{i}").status for i in range(10)] == [401] * 10
    for auth in ("u:10", ALLOWED):
        page = ask(auth)
        assert page.status == 429 and page.header("Retry-After") == "60", page
    # Without a password it is asked for one, as before; others and other tunnels do not notice.
    assert ask(None).status == 401
    assert ask(ALLOWED, source="127.0.0.2").status == 200
    assert ask(ALLOWED, host="other.pgrok.me").status == 200
    eventually(lambda: ask(ALLOWED).status == 200, what="the minute is over")


def test_guessing_on_one_connection(lab):
    """Later requests of a connection are counted, too; not those of this machine, by default."""
    for exempt, last in (("false", 429), ("true", 401)):
        s = lab.server(f"-loopbackExempt={exempt}")
        lab.client(s, "-subdomain=test", "-proto=http", f"-httpauth={ALLOWED}", lab.site().port)
        statuses = []
        for i in range(11):
            with dial(s.http_port) as c:
                c.send(first())
                assert c.response().status == (200 if i < 10 or exempt == "true" else 429)
                if i < 10:
                    c.send(request("test.pgrok.me", SECRET, auth=f"u:{i}"))
                    statuses.append(c.response().status)
        assert statuses == [401] * 10
        assert get(s.http_port, "test.pgrok.me", auth="u:x").status == last
