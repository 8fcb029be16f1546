"""-forwardAuth: a service decides about each request, as with Traefik's forwardAuth."""

import re
import threading

import pytest

from lib import env, golike
from lib.backends import answer, http, read_request, websocket, ws_frame, ws_read
from lib.env import WAIT, free_port
from lib.metrics import parse_metrics
from lib.net import dial, dial_tls, eventually, get, request
from lib.procs import run

HOST = "test.pgrok.me"
GOOD = "Cookie: session=good"
LOGIN = b"<form>who are you?</form>"


class Verdicts:
    """Lets in who has the cookie, and says who he is; others are to log in elsewhere."""

    def __init__(self, lab):
        self.backend = lab.backend(http(self.app))
        self.url = f"http://127.0.0.1:{self.backend.port}/verify?rd=1"

    @property
    def asked(self):
        return self.backend.requests

    @staticmethod
    def app(r, _c):
        if "session=good" in (r.header("Cookie") or ""):
            return answer(200, b"ignored", ["Remote-User: alice", "Remote-Groups: a", "Remote-Groups: b",
                                            "X-Other: no"])
        if r.header("X-Forwarded-Uri") == "/401":
            return answer(401, b"no", ['WWW-Authenticate: Basic realm="sso"'], "Unauthorized")
        return answer(302, LOGIN, ["Location: https://sso.pgrok.me/?rd=x", "Set-Cookie: a=1",
                                   "Set-Cookie: b=2", "Content-Type: text/html"], "Found")


def started(lab, *flags, client=(), app=None, url=None, **kw):
    v = Verdicts(lab) if url is None else None
    site = lab.site(app or (lambda r, c: answer(200, r.head + b"|" + r.body)))
    s = lab.server(f"-forwardAuth={url or v.url}", *flags, **kw)
    lab.client(s, "-subdomain=test", *client, site.port, tunnels=2, engine=kw.get("engine"))
    return s, v, site


def ask(c, path="/", headers=(GOOD,), **kw):
    c.send(request(kw.pop("host", HOST), path, headers=list(headers), **kw))
    return c.response(head_only=kw.get("method") == "HEAD")


def test_let_in(lab, engine, workers):
    """Each request is asked about, with what it asks for; what the answer says of the visitor is passed."""
    s, v, site = started(lab, engine=engine, workers=workers)
    for tls in (False, True):
        with (dial_tls(s.https_port) if tls else dial(s.http_port)) as c:
            for i in range(3):
                r = ask(c, f"/p{i}?q=1", method="POST", body=b"x" * 70000)
                assert r.status == 200 and r.body.endswith(b"\r\n\r\n|" + b"x" * 70000)
    assert len(v.asked) == len(site.requests) == 6
    for i, q in enumerate(v.asked):
        assert (q.method, q.target, q.header("Host")) == ("GET", "/verify?rd=1", v.url.split("/")[2])
        assert {k: q.header(f"X-Forwarded-{k}") for k in ("Method", "Proto", "Host", "Uri", "For")} == {
            "Method": "POST", "Proto": "https" if i > 2 else "http", "Host": HOST,
            "Uri": f"/p{i % 3}?q=1", "For": "127.0.0.1"}
        assert q.header("Content-Length") is None and q.header("Connection") is None
    for r in site.requests:
        assert r.header("Remote-User") == "alice" and r.header("Remote-Groups") == "a, b"
        assert r.header("X-Other") is None and r.header("Cookie") == "session=good"
        assert r.header("X-Forwarded-Uri") is None
    assert v.backend.accepted <= 2 * int(workers or 1), "connections are kept"


def test_not_let_in(lab, engine, workers):
    """The visitor gets the service's answer, and may go on over its connection."""
    s, v, site = started(lab, engine=engine, workers=workers)
    with dial(s.http_port) as c:
        for _ in range(2):
            r = ask(c, headers=[])
            assert r.status == 302 and r.body == LOGIN
            assert r.header("Location") == "https://sso.pgrok.me/?rd=x"
            assert [x for k, x in r.headers if k.lower() == "set-cookie"] == ["a=1", "b=2"]
            r = ask(c, "/401", headers=[], method="POST", body=b"x" * 5000)
            assert (r.status, r.header("WWW-Authenticate")) == (401, 'Basic realm="sso"')
            r = ask(c, "/", headers=[], method="HEAD")
            assert r.status == 302 and r.header("Content-Length") == str(len(LOGIN))
            assert ask(c).status == 200
    assert len(site.requests) == 2
    assert ask(dial(s.http_port), host="nope.pgrok.me").status == 404


def test_pipelined(lab, workers):
    """In order, each asked about for itself."""
    s, v, site = started(lab, workers=workers)
    kinds = [i % 3 != 1 for i in range(9)]
    with dial(s.http_port) as c:
        c.send(b"".join(request(HOST, f"/{i}", headers=[GOOD] if good else []) for i, good in enumerate(kinds)))
        got = [c.response() for _ in kinds]
    assert [r.status for r in got] == [200 if good else 302 for good in kinds]
    assert [q.header("X-Forwarded-Uri") for q in v.asked] == [f"/{i}" for i in range(9)]
    assert [r.target for r in site.requests] == [f"/{i}" for i, good in enumerate(kinds) if good]


def test_forged(lab):
    """What a visitor says in the service's name reaches neither the service nor the tunnel."""
    s, v, site = started(lab)
    forged = ["Remote-User: root", "remote_user: root", "REMOTE-EMAIL: root@x", "X-Forwarded-Uri: /public",
              "X_Forwarded_Uri: /public", "X-Forwarded-Method: OPTIONS", "X-Forwarded-Host: other",
              "X-Forwarded-For: 127.0.0.9", "X-Forwarded-Proto: gopher", "X-Original-URL: https://public/",
              "X-Original-Method: GET", "X-Forwarded-Prefix: /x", "Forwarded: for=1.1.1.1",
              "X-Real-IP: 1.1.1.1", "X-Rewrite-URL: /public"]
    with dial(s.http_port) as c:
        assert ask(c, "/private", [GOOD, *forged]).status == 200
        assert ask(c, "/private", ["Connection: keep-alive, Cookie", GOOD]).status == 200
    q = v.asked[0]
    names = [k.lower().replace("_", "-") for k, _ in q.headers]
    assert not {"remote-user", "remote-email", "x-original-url", "x-original-method", "x-forwarded-prefix",
                "forwarded", "x-real-ip", "x-rewrite-url"} & set(names)
    assert len(names) == len(set(names))
    assert (q.header("X-Forwarded-Uri"), q.header("X-Forwarded-Host")) == ("/private", HOST)
    assert (q.header("X-Forwarded-For"), q.header("X-Forwarded-Proto")) == ("127.0.0.1", "http")
    got = [(k.lower().replace("_", "-"), x) for k, x in site.requests[0].headers]
    assert [x for k, x in got if k == "remote-user"] == ["alice"]
    assert not [x for k, x in got if k == "remote-email"]


def test_names_of_fields(lab):
    s, v, site = started(lab, "-forwardAuthHeaders=X-Other, X-Missing")
    with dial(s.http_port) as c:
        assert ask(c, headers=[GOOD, "X-Other: mine", "X_Missing: mine", "Remote-User: bob"]).status == 200
    r = site.requests[-1]
    assert (r.header("X-Other"), r.header("X_Missing"), r.header("Remote-User")) == ("no", None, "bob")


def test_behind_a_proxy(lab):
    """Whose the request is, and by which scheme it came, says a trusted proxy."""
    s, v, site = started(lab, "-trustedProxies=127.0.0.1")
    with dial(s.http_port) as c:
        assert ask(c, headers=[GOOD, "X-Forwarded-For: 1.1.1.1, 203.0.113.9", "X-Forwarded-Proto: https"]).status == 200
    assert (v.asked[0].header("X-Forwarded-For"), v.asked[0].header("X-Forwarded-Proto")) == ("203.0.113.9", "https")


def test_websocket(lab, engine):
    v = Verdicts(lab)
    site = lab.backend(websocket)
    s = lab.server(f"-forwardAuth={v.url}", engine=engine)
    lab.client(s, "-subdomain=test", site.port, tunnels=2, engine=engine)
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
               "Sec-WebSocket-Version: 13"]
    with dial(s.http_port) as c:
        c.send(request(HOST, "/ws", headers=[*upgrade, GOOD]))
        assert b" 101 " in c.recv_until(b"\r\n\r\n")
        c.send(ws_frame(b"hello", mask=True))
        assert ws_read(c)[1] == b"hello"
    with dial(s.http_port) as c:
        c.send(request(HOST, "/ws", headers=upgrade))
        assert c.response().status == 302


def test_password_comes_first(lab):
    s, v, site = started(lab, client=["-httpauth=u:p"])
    with dial(s.http_port) as c:
        assert ask(c).status == 401
        assert not v.asked
        assert ask(c, auth="u:p").status == 200
        assert ask(c, auth="u:x").status == 401
    assert len(v.asked) == 1


def test_login_page_comes_first(lab):
    """The password's page of a tunnel, and behind it the service."""
    s, v, site = started(lab, client=["-password=geheim"])
    with dial(s.http_port) as c:
        assert ask(c).status == 401
        form = b"password=geheim&to=/x"
        r = ask(c, "/.pgrok/login", ["Content-Type: application/x-www-form-urlencoded", f"Origin: http://{HOST}"],
                method="POST", body=form)
        assert r.status == 303, r
        cookie = r.header("Set-Cookie").split(";")[0]
        assert not v.asked
        assert ask(c, "/x", [f"Cookie: {cookie}"]).status == 302
        assert ask(c, "/x", [f"Cookie: session=good; {cookie}"]).status == 200
    assert len(v.asked) == 2 and len(site.requests) == 1


def test_several_visitors(lab, workers):
    s, v, site = started(lab, workers=workers)

    def one(i):
        with dial(s.http_port) as c:
            for k in range(5):
                good = (i + k) % 2
                r = ask(c, f"/{i}/{k}", [GOOD] if good else [])
                assert r.status == (200 if good else 302)
                assert not good or f"GET /{i}/{k} ".encode() in r.body
    for t in [lab.thread(one, i) for i in range(20)]:
        t.join()


def test_remembered(lab):
    """Who was let in is not asked about for a while; others are, and who was refused is."""
    v, other = Verdicts(lab), Verdicts(lab)
    site = lab.site(lambda r, c: answer(200, r.head))
    s = lab.server(f"-forwardAuth={v.url}", f"-forwardAuthTunnels={other.url}", "-forwardAuthCache=2",
                   "-trustedProxies=127.0.0.1", workers=1)
    named(lab, s, other.url, site.port, tunnels=3)

    def status(cookie, ip="203.0.113.9", host="free.pgrok.me", **kw):
        with dial(s.http_port) as c:
            headers = ([f"Cookie: {cookie}"] if cookie else []) + [f"X-Forwarded-For: {ip}", "Remote-User: me"]
            r = ask(c, headers=headers, host=host, **kw)
            assert r.status != 200 or (b"Remote-User: alice" in r.body and b": me" not in r.body)
            return r.status

    assert [status("session=good") for _ in range(3)] == [200] * 3
    assert status("session=good", path="/x", method="POST", body=b"y") == 200
    assert len(v.asked) == 1
    for i, other_one in enumerate([{"ip": "203.0.113.10"}, {"cookie": "session=good; a=1"}, {"auth": "u:p"}]):
        assert [status(**{"cookie": "session=good", **other_one}) for _ in range(2)] == [200] * 2
        assert len(v.asked) == 2 + i
    assert [status("session=bad") for _ in range(2)] == [status("") for _ in range(2)] == [302] * 2
    assert len(v.asked) == 8
    assert status("session=good", host=HOST) == 200 and len(other.asked) == 1
    eventually(lambda: status("session=good") == 200 and len(v.asked) == 9, what="its time is over")


# ---- a tunnel's own ----

def named(lab, s, url, port, **kw):
    cfg = lab.config(f"tunnels:\n  test:\n    forward_auth: {url}\n    proto: {{http+https: {port}}}\n"
                     f"  free:\n    proto: {{http: {port}}}\n")
    return lab.client(s, "start-all", config=cfg, **kw)


def test_of_one_tunnel(lab, workers):
    """Only that one is asked about, or of all others another."""
    v, other = Verdicts(lab), Verdicts(lab)
    site = lab.site()
    for for_all in (False, True):
        flags = [f"-forwardAuth={other.url}"] if for_all else []
        s = lab.server(f"-forwardAuthTunnels=http://127.0.0.1:1/,{v.url}", *flags, workers=workers)
        c = named(lab, s, v.url, site.port, tunnels=3)
        with dial(s.http_port) as conn:
            assert ask(conn, headers=[]).status == 302
            assert ask(conn).status == 200
            assert ask(conn, headers=[], host="free.pgrok.me").status == (302 if for_all else 200)
            assert ask(conn, headers=[]).status == 302
        with dial_tls(s.https_port) as conn:
            assert ask(conn, headers=[]).status == 302
        c.end()
    assert len(v.asked) == 8 and len(other.asked) == 1


def test_not_what_a_stranger_likes(lab):
    """The server asks no address that its operator has not listed, letter by letter."""
    v = Verdicts(lab)
    site = lab.site()
    for flags in ([], [f"-forwardAuthTunnels={v.url}x"], [f"-forwardAuthTunnels={v.url[:-1]}"]):
        s = lab.server(*flags)
        c = named(lab, s, v.url, site.port, wait=False)
        c.wait_log(re.escape(f"This server does not ask {v.url} (-forwardAuthTunnels)."))
        c.allow(".*").expect_exit(1)
    assert not v.backend.accepted


def test_towards_a_server_that_does_not_ask(lab, certs):
    """Of an older one: the tunnel stays closed, the other is opened."""
    go = lab.goserver(certs)
    c = named(lab, go.addr, "http://127.0.0.1:1/", 80, tunnels=1)
    c.wait_log("Tunnel test stays closed: this server does not enforce forward_auth")
    assert go.wait_control().wait_request()["Subdomain"] == "free"


def test_nothing_over_tcp(lab):
    """A client made otherwise that asks it for a tcp tunnel: it is not opened."""
    v = Verdicts(lab)
    s = lab.server(f"-forwardAuthTunnels={v.url}")
    go = lab.goclient(s)
    m = golike.req_tunnel("tcp")
    m["Payload"]["ForwardAuth"] = v.url
    go.send(m)
    assert "forward_auth" in go.answers.get(timeout=WAIT)["Error"]


# ---- it can't be asked ----

def refused(s, site, status=502):
    with dial(s.http_port) as c:
        r = ask(c)
        assert r.status == status and b"found out" in r.body, r
    assert not site.requests


def test_nothing_listens(lab):
    s, _, site = started(lab, url=f"http://127.0.0.1:{free_port()}/")
    refused(s, site)
    s.wait_log("-forwardAuth: not asked, so not let in: dial tcp 127.0.0.1:.*: connection refused")


ODD = {
    "ends": b"", "no HTTP": b"hello\r\n\r\n", "half a head": b"HTTP/1.1 200 OK\r\nA: b\r\n",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "switches": b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\nA: " + b"b" * (1 << 17),
    "large": b"HTTP/1.1 401 U\r\nContent-Length: 100000\r\n\r\n" + b"b" * 100000,
    "large chunks": b"HTTP/1.1 401 U\r\nTransfer-Encoding: chunked\r\n\r\n1ffff\r\n" + b"b" * 0x1ffff,
    "only hints": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nRemote-User: a\0b\r\nContent-Length: 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
}


@pytest.mark.parametrize("said", ODD.values(), ids=ODD)
def test_odd_answers(lab, said):
    """Whatever it is, it is no pass."""
    def handler(c, _):
        if read_request(c):
            c.send(said)
    service = lab.backend(handler)
    s, _, site = started(lab, url=f"http://127.0.0.1:{service.port}/")
    refused(s, site)


GOOD_FORMS = {
    "204": b"HTTP/1.1 204 No\r\nRemote-User: al\r\n\r\n",
    "until its end": b"HTTP/1.0 200 OK\nRemote-User: al\n\nhello",
    "chunks": b"HTTP/1.1 202 A\r\nRemote-User: al\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    "hints before": b"HTTP/1.1 103 E\r\nRemote-User: no\r\n\r\nHTTP/1.1 200 OK\r\nRemote-User: al\r\n"
                    b"Content-Length: 0\r\n\r\n",
    "more behind": b"HTTP/1.1 200 OK\r\nRemote-User: al\r\nContent-Length: 0\r\n\r\nHTTP/1.1 401 U\r\n\r\n",
}


@pytest.mark.parametrize("said", GOOD_FORMS.values(), ids=GOOD_FORMS)
def test_good_answers(lab, said):
    def handler(c, _):
        while read_request(c):
            c.send(said)
            if b"1.0" in said:
                return
    service = lab.backend(handler)
    s, _, site = started(lab, url=f"http://127.0.0.1:{service.port}/")
    with dial(s.http_port) as c:
        for _ in range(3):
            assert ask(c).status == 200
    assert {r.header("Remote-User") for r in site.requests} == {"al"}


def test_kept_too_long(lab):
    """A kept connection that the service has just closed: it is asked once more, over a new one."""
    def handler(c, backend):
        if read_request(c, backend):
            c.send(answer(200, b""))
            if backend.accepted < 3:
                read_request(c)  # the next question gets no answer
    service = lab.backend(handler)
    s, _, site = started(lab, url=f"http://127.0.0.1:{service.port}/")
    with dial(s.http_port) as c:
        assert [ask(c).status for _ in range(3)] == [200] * 3


def test_counted(lab):
    port = free_port()
    s, v, _ = started(lab, f"-adminAddr=127.0.0.1:{port}", "-forwardAuthCache=60", workers=1)
    with dial(s.http_port) as c:
        assert [ask(c).status for _ in range(3)] == [200] * 3
        assert ask(c, headers=()).status == 302
    v.backend.close()
    with dial(s.http_port) as c:
        assert ask(c, headers=()).status == 502
    numbers = parse_metrics(get(port, f"127.0.0.1:{port}", "/metrics").body.decode())["pgrok_forward_auth_total"]
    assert {labels["result"]: n for labels, n in numbers} == {"passed": 1, "remembered": 2, "refused": 1, "failed": 1}


@pytest.mark.scaled
def test_too_slow(lab):
    gate = threading.Event()

    def handler(c, _):
        while read_request(c):
            gate.wait(WAIT)
            c.send(answer(200, b""))
    service = lab.backend(handler)
    s, _, site = started(lab, url=f"http://127.0.0.1:{service.port}/", scale=0.1)
    refused(s, site)
    s.wait_log("not let in: no answer in time")
    gate.set()
    with dial(s.http_port) as c:
        assert ask(c).status == 200


def test_visitor_leaves_while_it_is_asked(lab):
    gate = threading.Event()

    def handler(c, backend):
        while r := read_request(c):
            backend.note_request(r)
            gate.wait(WAIT)
            c.send(answer(200, b""))
    service = lab.backend(handler)
    s, _, site = started(lab, url=f"http://127.0.0.1:{service.port}/")
    with dial(s.http_port) as c:
        c.send(request(HOST, headers=[GOOD]))
        service.wait_requests(1)
        c.reset()
    gate.set()
    with dial(s.http_port) as c:
        assert ask(c).status == 200


def test_tls(lab, certs):
    """Its certificate must be good: by this machine's CAs, or it is not asked."""
    import ssl
    from lib.net import TlsConn
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.elsewhere, certs.elsewhere_key)

    def handler(c, _):
        t = TlsConn(c.sock, context, server_side=True)
        while read_request(t):
            t.send(answer(200, b"", ["Remote-User: tls"]))
        t.close()
    service = lab.backend(handler)
    s, _, site = started(lab, url=f"https://127.0.0.1:{service.port}/")
    refused(s, site)
    s.wait_log("not let in: .*x509")


@pytest.mark.parametrize("flags, said", [
    (["-forwardAuth=auth.example.com"], "-forwardAuth: 'auth.example.com' is not http://HOST/PATH"),
    (["-forwardAuth=ftp://a/"], "-forwardAuth: 'ftp://a/' is not http://HOST/PATH"),
    (["-forwardAuth=http:///x"], "-forwardAuth: '' is not a host"),
    (["-forwardAuth=http://u@h/"], "-forwardAuth: 'u@h' is not a host"),
    (["-forwardAuth=http://h:0/"], "-forwardAuth: 'h:0': the port is not"),
    (["-forwardAuth=http://h/a b"], "-forwardAuth: '/a b': a path can't have that"),
    (["-forwardAuthTunnels=http://h/,h2"], "-forwardAuthTunnels: 'h2' is not http://HOST/PATH"),
    (["-forwardAuth=http://h/", "-forwardAuthHeaders=Remote-User Host"], "Host is not to be changed"),
    (["-forwardAuth=http://h/", "-forwardAuthHeaders=a:b"], "'a:b' can't be the name of a field"),
])
def test_wrong_options(flags, said):
    status, out, err = run(env.BIN / "pgrokd", "-check", "-domain=pgrok.me", *flags)
    assert status == 1 and said in out + err
