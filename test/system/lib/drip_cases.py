"""What must pass through a Drip tunnel whoever its ends are: one function a case, over a Rig."""

import hashlib
import re
import ssl
import threading

from . import backends
from .drip_rig import TYPES
from .env import MB, WAIT, fewer, free_port
from .net import Aborted, TlsConn, request


def tls_backend(lab, certs, handler):
    """A local service that speaks TLS."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(certs.elsewhere, certs.elsewhere_key)  # of another name: it is not checked

    def over_tls(c, backend):
        with TlsConn(c.sock, ctx, server_side=True) as tls:
            handler(tls, backend)
    return lab.backend(over_tls)


def service(rig, kind, app=None):
    if kind == "https":
        return tls_backend(rig.lab, rig.certs, backends.http(app, "site"))
    return rig.lab.site(app)


def case_request(rig, kind):
    """Requests one after the other on a connection, with and without a body."""
    site = service(rig, kind)
    way = rig.tunnel(site, kind)
    with way.dial() as c:
        for i in range(3):
            c.send(request(way.host, f"/a/{i}?x=%20y", method="POST", body=b"abc"))
            r = c.response()
            assert (r.status, r.body) == (200, b"site POST /a/%d?x=%%20y\nabc" % i), r
        c.send(request(way.host, "/get"))
        assert c.response().body == b"site GET /get\n"
        c.send(request(way.host, "/head", method="HEAD"))
        r = c.response(method="HEAD")
        assert r.status == 200 and r.header("Content-Length") == str(len(b"site HEAD /head\n")), r


def case_heads(rig, kind):
    """What the service sees of a request."""
    site = service(rig, kind)
    way = rig.tunnel(site, kind)
    r = way.get("/p?a=1", method="POST", body=b"abc", headers=(
        "Cookie: a=b", "X-Forwarded-Proto: gopher", "Accept-Encoding: gzip"))
    assert r.status == 200
    got = site.wait_requests()[0]
    assert got.header("Host") in (f"127.0.0.1:{site.port}", f"localhost:{site.port}"), got.headers
    assert got.header("Cookie") == "a=b" and got.header("Content-Length") == "3", got.headers
    assert got.header("X-Forwarded-Host") == way.host, got.headers
    assert got.header("X-Forwarded-Proto") == "https", got.headers


def case_statuses(rig, kind):
    """Answers without a body, unframed ones, chunked ones, reasons of their own."""
    answers = {
        "/204": b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
        "/304": b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
        "/404": b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope",
        "/empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n",
        "/cookies": b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok",
        "/103": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    }

    def app(r, c):
        if r.target == "/rest":
            c.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
            return False
        return answers[r.target]
    way = rig.tunnel(service(rig, kind, app), kind)
    with way.dial() as c:
        for path, status, body in (("/204", 204, b""), ("/304", 304, b""), ("/404", 404, b"nope"),
                                   ("/empty", 200, b""), ("/chunked", 200, b"abcde"), ("/cookies", 200, b"ok"),
                                   ("/rest", 200, b"until the end"), ("/103", 200, b"ok"), ("/404", 404, b"nope")):
            c.send(request(way.host, path))
            r = c.response()
            while r.status == 103:
                r = c.response()
            assert (r.status, r.body) == (status, body), (path, r)
            if path == "/cookies":
                assert [v for k, v in r.headers if k.lower() == "set-cookie"] == ["a=1", "b=2"], r


def case_chunked_upload(rig, kind):
    site = service(rig, kind)
    way = rig.tunnel(site, kind)
    with way.dial() as c:
        c.send(request(way.host, "/up", method="POST", headers=["Transfer-Encoding: chunked"]))
        for piece in (b"hello", b"-", b"chunked"):
            c.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        c.send(b"0\r\n\r\n")
        assert c.response().body == b"site POST /up\nhello-chunked"
        c.send(request(way.host, "/next"))
        assert c.response().body == b"site GET /next\n"


def case_live(rig, kind):
    """The first event is there before the last is made; a heartbeat of an event stream is not held back."""
    heard = threading.Event()

    def app(_r, c):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"c\r\ndata: first\n\r\n")
        assert heard.wait(WAIT)
        c.send(b"b\r\ndata: last\n\r\n0\r\n\r\n")
    way = rig.tunnel(service(rig, kind, app), kind)
    with way.dial() as c:
        c.send(request(way.host, "/events"))
        r = c.response(head_only=True)
        assert r.header("Content-Type") == "text/event-stream"
        assert b"data: first\n" in c.recv_until(b"first\n")
        heard.set()
        c.recv_until(b"data: last\n")


def case_duplex(rig, kind):
    """The answer begins while the body of the request is still coming."""
    def handler(c, _b):  # read_request() would wait for the whole body
        c.recv_until(b"\r\n\r\n")
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        c.send(c.recv_exact(3))
        c.send(c.recv_exact(3))
    site = tls_backend(rig.lab, rig.certs, handler) if kind == "https" else rig.lab.backend(handler)
    way = rig.tunnel(site, kind)
    with way.dial() as c:
        c.send(request(way.host, "/", method="POST", headers=["Content-Length: 6"]) + b"abc")
        assert c.response(head_only=True).status == 200
        assert c.recv_exact(3) == b"abc"
        c.send(b"def")
        assert c.recv_exact(3) == b"def"


def case_early_answer(rig, kind):
    """413 before the body has come: the visitor gets it."""
    def handler(c, _b):
        c.recv_until(b"\r\n\r\n")
        c.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")
        c.half_close()
        while c.recv():
            pass
    site = tls_backend(rig.lab, rig.certs, handler) if kind == "https" else rig.lab.backend(handler)
    way = rig.tunnel(site, kind)
    with way.dial() as c:
        c.send(request(way.host, "/", method="POST", headers=[f"Content-Length: {64 * MB}"]) + b"x" * 1000)
        r = c.response()
        assert (r.status, r.body) == (413, b"large")


def case_upload(rig, kind):
    """20 MB up."""
    total = fewer(20 * MB)

    def app(r, _c):
        return backends.answer(200, hashlib.sha256(r.body).hexdigest().encode())
    way = rig.tunnel(service(rig, kind, app), kind)
    with way.dial() as c:
        c.send(request(way.host, "/up", method="PUT", headers=[f"Content-Length: {total}"]))
        for piece in backends.pattern(total):
            c.send(piece)
        assert c.response().body.decode() == backends.pattern_digest(total)


def case_download(rig, kind):
    """50 MB down."""
    total = fewer(50 * MB)

    def app(_r, c):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for piece in backends.pattern(total):
            c.send(piece)
    way = rig.tunnel(service(rig, kind, app), kind)
    with way.dial() as c:
        c.send(request(way.host, "/down"))
        assert c.response(head_only=True).header("Content-Length") == str(total)
        h = hashlib.sha256()
        while total:
            piece = c.recv(1 << 18)
            assert piece, f"{total} bytes are missing"
            h.update(piece)
            total -= len(piece)
        assert h.hexdigest() == backends.pattern_digest(fewer(50 * MB))


def case_parallel(rig, kind, n=60):
    """As many at once: none is answered before all have come."""
    site = rig.lab.keep(backends.Gathering(n))
    way = rig.tunnel(site, kind)
    threads = [rig.lab.thread(way.get, f"/{i}") for i in range(n)]
    for i, t in enumerate(threads):
        assert t.result().body == f"/{i}".encode()


def case_websocket(rig, kind):
    if kind == "https":
        site = tls_backend(rig.lab, rig.certs, backends.websocket)
    else:
        site = rig.lab.backend(backends.websocket)
    way = rig.tunnel(site, kind)
    with way.dial() as c:
        c.send(request(way.host, "/ws", headers=(
            "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")))
        r = c.response(head_only=True)
        assert r.status == 101 and r.header("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", r
        for data in (b"x", b"y" * 70000, b"z"):
            c.send(backends.ws_frame(data, mask=True))
            assert backends.ws_read(c) == (2, data)
        c.send(backends.ws_frame(b"\x03\xe8", op=8, mask=True))
        assert backends.ws_read(c)[0] == 8


def case_no_service(rig, kind):
    """502 of the client, and the tunnel lives on."""
    port = free_port()
    way = rig.tunnel(port, kind)
    for _ in range(2):
        r = way.get("/")
        assert r.status == 502 and str(port).encode() in r.body, r


def case_unknown_name(rig, kind):
    way = rig.tunnel(service(rig, kind), kind)
    way.host = way.host.replace(way.name, "nobody-has-this", 1)
    assert way.get("/").status == 404


def case_tcp(rig, _kind):
    """Raw bytes, both ways, from the service first as well."""
    def handler(c, _b):
        c.send(b"hello\n")
        while data := c.recv():
            c.send(data.upper())
    way = rig.tunnel(rig.lab.backend(handler), "tcp")
    for _ in range(2):
        with way.dial() as c:
            assert c.recv_exact(6) == b"hello\n"
            c.send(b"abc")
            assert c.recv_exact(3) == b"ABC"


def case_tcp_half_close(rig, _kind):
    """A visitor who has said all gets the answer; only where no Go program is in between."""
    way = rig.tunnel(rig.lab.backend(backends.sink), "tcp")
    total = 3 * MB
    with way.dial() as c:
        for piece in backends.pattern(total):
            c.send(piece)
        c.half_close()
        assert c.recv_all() == f"{total} {backends.pattern_digest(total)}\n".encode()


def case_tcp_source(rig, _kind):
    """The service ends first: all that it sent comes."""
    way = rig.tunnel(rig.lab.backend(backends.source(5 * MB)), "tcp")
    with way.dial() as c:
        assert hashlib.sha256(c.recv_all()).hexdigest() == backends.pattern_digest(5 * MB)


def case_tcp_refused(rig, _kind):
    """No service: the visitor's connection ends, the tunnel does not."""
    way = rig.tunnel(free_port(), "tcp")
    for _ in range(2):
        with way.dial() as c:
            assert c.recv_rest()[0] == b""


def case_slow_reader(rig, kind):
    """A visitor who does not read holds up no other."""
    total = 8 * MB

    def app(r, c):
        if r.target != "/big":
            return backends.answer(200, b"small")
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for piece in backends.pattern(total):
            c.send(piece)
        return None
    way = rig.tunnel(service(rig, kind, app), kind)
    slow = [way.dial() for _ in range(4)]
    for c in slow:
        c.send(request(way.host, "/big"))
        assert c.response(head_only=True).status == 200
    for _ in range(4):
        assert way.get("/small").body == b"small"
    for c in slow:
        assert hashlib.sha256(c.recv_exact(total)).hexdigest() == backends.pattern_digest(total)
        c.close()


def case_visitor_leaves(rig, kind):
    """In the middle of an answer: the service learns of it, and others are served."""
    gone = threading.Event()

    def app(r, c):
        if r.target == "/small":
            return backends.answer(200, b"small")
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                c.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        except (Aborted, OSError):
            gone.set()
        return False
    way = rig.tunnel(service(rig, kind, app), kind)
    c = way.dial()
    c.send(request(way.host, "/endless"))
    assert c.response(head_only=True).status == 200
    c.recv_exact(10000)
    c.reset()
    assert gone.wait(WAIT * 2)
    assert way.get("/small").body == b"small"


def case_deny(rig, kind):
    way = rig.tunnel(service(rig, kind), kind, deny=["127.0.0.0/8"])
    r = way.get("/")
    assert r.status == 403, r


def case_allow(rig, kind):
    way = rig.tunnel(service(rig, kind), kind, allow=["10.1.0.0/16", "127.0.0.1"])
    assert way.get("/").status == 200


def case_tcp_deny(rig, _kind):
    site = rig.lab.backend(backends.echo)
    way = rig.tunnel(site, "tcp", deny=["127.0.0.1"])
    with way.dial() as c:
        assert c.recv_rest()[0] == b""
    assert site.accepted == 0


def case_bearer(rig, kind):
    way = rig.tunnel(service(rig, kind), kind, auth=("bearer", "b3ar"))
    r = way.get("/")
    assert r.status == 401 and (r.header("WWW-Authenticate") or "").startswith("Bearer"), r
    assert way.get("/", headers=["Authorization: Bearer wrong"]).status == 401
    assert way.get("/", headers=["Authorization: Bearer b3ar"]).status == 200


def case_password(rig, kind):
    way = rig.tunnel(service(rig, kind), kind, auth=("password", "open sesame"))
    browser = "Accept: text/html"
    r = way.get("/private", headers=[browser])
    assert r.status == 401 and b'name="password"' in r.body, r
    action = re.search(rb'action="([^"]+)"', r.body)
    hidden = re.search(rb'name="(to|redirect)"', r.body)[1].decode()

    def log_in(password):
        return way.get(action[1].decode() if action else "/_drip/login", method="POST",
                       headers=(browser, "Content-Type: application/x-www-form-urlencoded"),
                       body=f"password={password}&{hidden}=%2Fprivate".encode())
    assert log_in("wrong").status == 401
    good = log_in("open+sesame")
    assert good.status == 303, good
    cookie = good.header("Set-Cookie").split(";")[0]
    assert way.get("/private", headers=[f"Cookie: {cookie}"]).status == 200
    assert way.get("/private", headers=[f"Cookie: {cookie}x"]).status == 401


HTTP_CASES = [case_request, case_heads, case_statuses, case_chunked_upload, case_live, case_duplex,
              case_early_answer, case_websocket, case_no_service, case_unknown_name, case_slow_reader,
              case_visitor_leaves]
BIG_CASES = [case_upload, case_download]
RULE_CASES = [case_deny, case_allow, case_bearer, case_password]
TCP_CASES = [case_tcp, case_tcp_half_close, case_tcp_source, case_tcp_refused, case_tcp_deny]

# (case, kind): every case with http; what the local end does differently also with https.
MATRIX = [(c, "http") for c in HTTP_CASES + BIG_CASES + [case_parallel] + RULE_CASES]
MATRIX += [(c, "https") for c in (case_request, case_heads, case_statuses, case_live, case_websocket,
                                  case_no_service, case_download)]
MATRIX += [(c, "tcp") for c in TCP_CASES]
# What a Go program in between cannot do.
NOT_GO = {case_live, case_duplex, case_tcp_half_close, case_visitor_leaves, case_early_answer}
WITH_GO = [c for c in MATRIX if c[0] not in NOT_GO]
assert {k for _, k in MATRIX} == set(TYPES)


def name_of(case):
    fn, kind = case
    return f"{fn.__name__[5:]}-{kind}" if kind != "tcp" else fn.__name__[5:]
