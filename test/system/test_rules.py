"""
Visitors' rules of a tunnel, from the client's file to each request, and the attacker's side: other
spellings, later requests on a connection, addresses that are only claimed, cookies of others, forms
that lead elsewhere.
"""

import base64
import re
import urllib.parse

import pytest

from lib import golike
from lib.backends import answer
from lib.env import BIN
from lib.net import dial, dial_tls, get, request, status_of
from lib.procs import run

HOST = "test.pgrok.me"
HTML = "Accept: text/html,*/*;q=0.1"
LOGIN = "/.pgrok/login"


def tunnel(lab, site, rules, proto="http+https", flags=(), **kw):
    """A server, and a client with a tunnel that has these rules (YAML, one a line)."""
    s = lab.server(*flags, **kw)
    lines = "".join(f"    {line}\n" for line in rules)
    config = lab.config(f"tunnels:\n  test:\n    proto: {{{proto}: {site.port}}}\n{lines}")
    c = lab.client(s, "start", "test", config=config, tunnels=len(proto.split("+")))
    return s, c


def basic(text):
    return "Authorization: Basic " + base64.b64encode(text.encode()).decode()


def bearer(text):
    return f"Authorization: Bearer {text}"


def form(to="/", password="sesame"):
    return urllib.parse.urlencode({"password": password, "to": to}).encode()


def log_in(port, host=HOST, to="/", password="sesame", tls=False, **kw):
    return get(port, host, LOGIN, tls=tls, method="POST", body=form(to, password),
               headers=["Content-Type: application/x-www-form-urlencoded"], **kw)


def cookie_of(r):
    return "Cookie: " + r.header("Set-Cookie").split(";")[0]


# ---- addresses ----

def test_addresses(lab):
    site = lab.site()
    s, _ = tunnel(lab, site, ["allow_ips: [127.0.0.0/24, '::1']", "deny_ips: 127.0.0.9"])
    assert get(s.http_port, HOST).status == 200
    assert get(s.http_port, HOST, source="127.0.0.8").status == 200
    for source in ("127.0.0.9", "127.0.1.1"):
        assert get(s.http_port, HOST, source=source).status == 403
        assert get(s.https_port, HOST, source=source, tls=True).status == 403
    assert len(site.requests) == 2


@pytest.mark.parametrize("claim", ["X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Forwarded: for=127.0.0.1",
                                   "X-Forwarded-For: 127.0.0.1, 127.0.0.9", "CF-Connecting-IP: 127.0.0.1"])
def test_a_claimed_address(lab, claim):
    """Nobody told the server to believe such fields."""
    site = lab.site()
    s, _ = tunnel(lab, site, ["deny_ips: 127.0.0.9"])
    assert get(s.http_port, HOST, source="127.0.0.9", headers=[claim]).status == 403
    assert not site.requests


def test_a_mapped_address(lab):
    """A listener of both families sees IPv4 visitors as ::ffff:127.0.0.1."""
    site = lab.site()
    s, _ = tunnel(lab, site, ["deny_ips: 127.0.0.9", "allow_ips: ['::ffff:127.0.0.0/120']"], host="::")
    assert get(s.http_port, HOST).status == 200
    assert get(s.http_port, HOST, source="127.0.0.9").status == 403
    assert get(s.http_port, HOST, addr="::1").status == 403
    assert len(site.requests) == 1


def test_tcp(lab, workers):
    site = lab.backend(lambda c, b: c.send(b"hello"))
    s, c = tunnel(lab, site, ["deny_ips: [127.0.0.9]"], proto="tcp", workers=workers)
    port = c.tcp_port()
    with dial(port) as v:
        assert v.recv_exact(5) == b"hello"
    with dial(port, source="127.0.0.9") as v:
        assert v.recv_rest()[0] == b""
    assert site.accepted == 1
    assert s.alive()


# ---- methods and paths ----

SPELLINGS = ["/admin", "/admin/", "/admin/users?x", "//admin", "/./admin", "/x/../admin", "/%61dmin", "/%2e/admin",
             "/x/%2e%2e/admin", "/x/..%2fadmin", "/x%2f..%2fadmin", "/%2561dmin", "/x\\..\\admin", "/admin;a=b",
             "/x/..;/admin", "/admin%00.css", "/admin/../x", "/admin#x", f"http://{HOST}/admin",
             f"http://{HOST}//x/../admin", f"HTTP://{HOST}/%61dmin"]


def test_other_spellings(lab):
    site = lab.site()
    s, _ = tunnel(lab, site, ["paths: [/admin]", "methods: [DELETE]"])
    with dial(s.http_port) as c:
        for path in SPELLINGS:
            c.send(request(HOST, path))
            assert c.response().status == 403, path
        c.send(request(HOST, "/public"))
        assert c.response().status == 200
        for path in SPELLINGS:  # and behind one that was let through
            c.send(request(HOST, path))
            assert c.response().status == 403, path
        for method in ("DELETE", "delete", "Delete"):
            c.send(request(HOST, "/public", method=method))
            assert c.response().status == 403, method
    for head in (f"GET /admin HTTP/1.0\r\nHost: {HOST}\r\n\r\n", f"GET http://{HOST}/admin HTTP/1.0\r\n\r\n"):
        with dial(s.http_port) as c:
            c.send(head.encode())
            assert c.response().status == 403
    assert [r.target for r in site.requests] == ["/public"]


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_pipelined(lab, tls):
    site = lab.site()
    s, _ = tunnel(lab, site, ["paths: [/admin]"])
    with (dial_tls(s.https_port, name=HOST) if tls else dial(s.http_port)) as c:
        c.send(request(HOST, "/1") + request(HOST, "/x/../admin") + request(HOST, "/2"))
        assert [c.response().status for _ in range(3)] == [200, 403, 200]
        c.send(request(HOST, "/3", method="POST", body=b"GET /admin HTTP/1.1\r\n\r\n"))
        assert c.response().status == 200
    assert [r.target for r in site.requests] == ["/1", "/2", "/3"]


# ---- credentials ----

def test_users_and_tokens(lab):
    site = lab.site()
    s, _ = tunnel(lab, site, ["auth: ['ann:1', 'ben:2']", "bearer: [t0ken, 'YWJj==']"])
    for field in (basic("ann:1"), basic("ben:2"), bearer("t0ken"), bearer("YWJj==")):
        assert get(s.http_port, HOST, headers=[field]).status == 200, field
        assert get(s.https_port, HOST, headers=[field], tls=True).status == 200, field
    seen = len(site.requests)
    for field in ("X: y", basic("ann:2"), basic("ben:1"), basic("ann:1\nben:2"), bearer("t0ke"), bearer("t0ken,"),
                  bearer("T0KEN"), "Authorization: t0ken", f"Authorization: Basic {bearer('t0ken')}"):
        r = get(s.http_port, HOST, headers=[field])
        assert r.status == 401, field
        offers = [v for k, v in r.headers if k == "WWW-Authenticate"]
        assert offers == ['Basic realm="pgrok"', 'Bearer realm="pgrok"']
    assert get(s.http_port, HOST, headers=[bearer("t0ken"), bearer("x")]).status == 400
    with dial(s.http_port) as c:
        c.send(request(HOST, "/1", headers=[bearer("t0ken")]) + request(HOST, "/secret"))
        assert [c.response().status for _ in range(2)] == [200, 401]
    assert len(site.requests) == seen + 1


def test_preflight(lab):
    site = lab.site()
    s, _ = tunnel(lab, site, ["bearer: t0ken", "auth_preflight: true", "deny_ips: 127.0.0.9"])
    fields = ["Origin: https://app.example", "Access-Control-Request-Method: PUT"]
    assert get(s.http_port, HOST, method="OPTIONS", headers=fields).status == 200
    assert get(s.http_port, HOST, method="OPTIONS", headers=fields, source="127.0.0.9").status == 403
    for method, some in (("OPTIONS", fields[:1]), ("OPTIONS", fields[1:]), ("PUT", fields), ("GET", fields)):
        assert get(s.http_port, HOST, method=method, headers=some).status == 401
    assert len(site.requests) == 1
    with dial(s.http_port) as c:
        c.send(request(HOST, "/", method="OPTIONS", headers=fields) + request(HOST, "/secret"))
        assert [c.response().status for _ in range(2)] == [200, 401]


def test_preflight_unless_said(lab):
    site = lab.site()
    s, _ = tunnel(lab, site, ["bearer: t0ken"])
    fields = ["Origin: https://app.example", "Access-Control-Request-Method: PUT"]
    assert get(s.http_port, HOST, method="OPTIONS", headers=fields).status == 401
    assert not site.requests


@pytest.mark.parametrize("rule, allowed, fields", [
    ("paths: [/admin]", "methods: [DELETE]", ["X-Original-URL: /admin", "X-Rewrite-URL: /admin", "x-original-url: /public"]),
    ("methods: [DELETE]", "paths: [/admin]", ["X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE",
                                              "x-method-override: delete"]),
], ids=["paths", "methods"])
def test_another_request_in_a_field(lab, rule, allowed, fields):
    """Frameworks that go by such a field would do what was refused. Where nothing is refused it passes."""
    site = lab.site()
    s, _ = tunnel(lab, site, [rule])
    for field in fields:
        assert get(s.http_port, HOST, "/public", headers=[field]).status == 403, field
    assert not site.requests
    s, _ = tunnel(lab, site, [allowed])
    for field in fields:
        assert get(s.http_port, HOST, "/public", headers=[field]).status == 200, field


# ---- the password ----

def test_password(lab, workers):
    site = lab.site()
    s, c = tunnel(lab, site, ["password: sesame"], workers=workers)
    r = get(s.http_port, HOST, "/a?b=c&d", headers=[HTML])
    assert r.status == 401 and r.header("Content-Type") == "text/html; charset=utf-8"
    assert 'value="/a?b=c&#38;d"' in r.body.decode()
    assert "form-action 'self'" in r.header("Content-Security-Policy")
    assert not re.search(rb"<script|src=|href=", r.body)
    assert get(s.http_port, HOST).body == b"Authorization required\n", "for programs"

    r = log_in(s.http_port, to="/a?b=c&d", password="wrong")
    assert r.status == 401 and b"not the password" in r.body and not r.header("Set-Cookie")
    r = log_in(s.http_port, to="/a?b=c&d")
    assert (r.status, r.header("Location")) == (303, "/a?b=c&d")
    assert re.search(r"; HttpOnly; SameSite=Lax$", r.header("Set-Cookie"))
    assert not site.requests
    assert get(s.http_port, HOST, "/a", headers=[cookie_of(r)]).status == 200
    assert site.requests[-1].header("Cookie"), "bytes are never changed"

    r = log_in(s.https_port, tls=True)
    assert re.match(r"__Host-pgrok=.*; Path=/; .*; HttpOnly; SameSite=Lax; Secure$", r.header("Set-Cookie"))
    assert get(s.https_port, HOST, tls=True, headers=[cookie_of(r)]).status == 200
    assert get(s.http_port, HOST, headers=[cookie_of(r)]).status == 401, "it is the https tunnel's"
    for log in (s.text(), c.text()):
        assert "sesame" not in log


def test_login_on_one_connection(lab):
    """Page, form, redirect and the page behind it, in pieces and pipelined, as browsers keep connections."""
    site = lab.site(lambda r, _c: answer(200, r.target.encode()))
    s, _ = tunnel(lab, site, ["password: sesame"])
    with dial(s.http_port) as c:
        c.send(request(HOST, "/x", headers=[HTML]))
        assert c.response().status == 401
        whole = request(HOST, LOGIN, method="POST", body=form("/x"))
        for i in range(0, len(whole), 7):
            c.send(whole[i:i + 7])
        r = c.response()
        assert r.status == 303
        c.send(request(HOST, "/x", headers=[cookie_of(r)]))
        assert c.response().body == b"/x"
        c.send(whole + request(HOST, "/y", headers=[cookie_of(r)]))
        assert c.response().status == 303
        assert c.response().body == b"/y"
        c.send(request(HOST, "/z"))
        assert c.response().status == 401
    assert [r.target for r in site.requests] == ["/x", "/y"]


@pytest.mark.parametrize("to", ["//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example",
                                "/\t/evil.example", "/\r\nX: y", "/a\r\n\r\n<script>", "evil", "", "/" + "a" * 3000])
def test_no_open_redirect(lab, to):
    site = lab.site()
    s, _ = tunnel(lab, site, ["password: sesame"], proto="http")
    r = log_in(s.http_port, to=to)
    assert (r.status, r.header("Location"), r.header("X")) == (303, "/", None)


def test_the_form_is_bounded(lab):
    site = lab.site()
    s, _ = tunnel(lab, site, ["password: sesame"], proto="http")
    big = b"password=" + b"a" * 5000
    assert get(s.http_port, HOST, LOGIN, method="POST", body=big).status == 413
    assert get(s.http_port, HOST, LOGIN, method="POST", headers=["Content-Length: 99999999999"]).status == 413
    assert get(s.http_port, HOST, LOGIN, method="POST", headers=["Transfer-Encoding: chunked"],
               body=b"5\r\nhello\r\n0\r\n\r\n").status == 413
    assert get(s.http_port, HOST, LOGIN, method="POST").status == 400
    assert get(s.http_port, HOST, LOGIN, method="POST", body=b"hello").status == 400
    assert get(s.http_port, HOST, LOGIN).status == 401, "only a POST is the form"
    assert not site.requests
    assert get(s.http_port, HOST, headers=[cookie_of(log_in(s.http_port))]).status == 200


def test_cookies_of_others(lab):
    """Another tunnel's, another owner's, one from before the password was changed, forged ones."""
    site = lab.site()
    s, c = tunnel(lab, site, ["password: sesame"], proto="http")
    mine = log_in(s.http_port)
    other = lab.client(s, "-password=sesame", "-subdomain=other", "-proto=http", site.port)
    theirs = log_in(s.http_port, host="other.pgrok.me")
    value = cookie_of(mine)
    assert get(s.http_port, HOST, headers=[value]).status == 200
    assert get(s.http_port, HOST, headers=[cookie_of(theirs)]).status == 401
    assert get(s.http_port, "other.pgrok.me", headers=[value]).status == 401
    for bad in (value[:-1], value + "0", value.replace("=1", "=9", 1), value.replace("=", "=0", 1)[:-1],
                re.sub(r"\..*", "." + "0" * 64, value), "Cookie: pgrok-visit=" + "9" * 3000):
        assert get(s.http_port, HOST, headers=[bad]).status == 401, bad
    c.end()
    lab.client(s, "-password=sesame2", "-subdomain=test", "-proto=http", site.port)
    assert get(s.http_port, HOST, headers=[value]).status == 401
    assert log_in(s.http_port).status == 401
    assert log_in(s.http_port, password="sesame2").status == 303


def test_the_same_owner_comes_back(lab):
    site = lab.site()
    s = lab.server()
    args = ("-authtoken=ann", "-password=sesame", "-subdomain=test", "-proto=http", site.port)
    c = lab.client(s, *args)
    value = cookie_of(log_in(s.http_port))
    c.end()
    lab.client(s, *args)
    assert get(s.http_port, HOST, headers=[value]).status == 200


@pytest.mark.parametrize("kind", ["basic", "bearer", "password"])
def test_guesses(lab, kind):
    """All kinds count together, for an address at a tunnel; the right one does not help then."""
    site = lab.site()
    s = lab.server("-loopbackExempt=false")
    config = lab.config(f"tunnels:\n  test:\n    proto: {{http: {site.port}}}\n    auth: a:b\n    bearer: t\n"
                        "    password: sesame\n")
    lab.client(s, "start", "test", config=config)

    def guess(how, right, **kw):
        if how == "password":
            return log_in(s.http_port, password="sesame" if right else "x", **kw)
        field = {"basic": basic("a:b" if right else "a:c"), "bearer": bearer("t" if right else "u")}[how]
        return get(s.http_port, HOST, headers=[field], **kw)
    value = cookie_of(guess("password", True))
    for i in range(10):
        assert guess(("basic", "bearer", "password")[i % 3], False).status == 401
    r = guess(kind, True)
    assert r.status == 429 and r.header("Retry-After") == "60"
    assert not r.header("Set-Cookie")
    assert guess(kind, True, source="127.0.0.5").status in (200, 303), "another address is not affected"
    assert get(s.http_port, HOST, headers=[value]).status == 200, "who has logged in stays"


# ---- behind a proxy that ends TLS ----

def test_a_trusted_front(lab):
    """Its visitors' addresses and https count as it says; what they say of themselves stands further left."""
    site = lab.site()
    s, _ = tunnel(lab, site, ["password: sesame", "deny_ips: 203.0.113.9"], proto="http",
                  flags=["-trustedProxies=127.0.0.1"])
    https = "X-Forwarded-Proto: https"
    form_fields = [https, "X-Forwarded-For: 203.0.113.7"]
    r = get(s.http_port, HOST, LOGIN, method="POST", body=form(), headers=form_fields)
    assert r.status == 303 and re.match(r"__Host-pgrok=.*; Secure$", r.header("Set-Cookie"))
    value = cookie_of(r)
    assert get(s.http_port, HOST, headers=[value, https]).status == 200
    assert get(s.http_port, HOST, headers=[value]).status == 401, "it is not for http"
    assert get(s.http_port, HOST, headers=[value, https], source="127.0.0.2").status == 401, "nobody is believed"
    for chain in ("203.0.113.9", "203.0.113.7, 203.0.113.9", "127.0.0.1, 203.0.113.9", "::ffff:203.0.113.9"):
        assert get(s.http_port, HOST, headers=[value, https, f"X-Forwarded-For: {chain}"]).status == 403, chain
    with dial(s.http_port) as c:  # one connection of the proxy carries many visitors
        for address, status in (("203.0.113.7", 200), ("203.0.113.9", 403), ("203.0.113.8", 200)):
            c.send(request(HOST, headers=[value, https, f"X-Forwarded-For: {address}"]))
            assert c.response().status == status


# ---- between client and server ----

def test_a_server_that_does_not_enforce(lab, certs):
    """Its tunnels with rules stay closed, and it is said why; the others are opened."""
    g = lab.goserver(certs)
    config = lab.config("tunnels:\n  open: {proto: {http: 1}}\n  one: {proto: {http: 1}, auth: 'a:b'}\n"
                        "  shut: {proto: {http: 1}, deny_ips: 10.0.0.1}\n")
    c = lab.client(g.addr, "start", "open", "one", "shut", config=config, tunnels=2)
    c.wait_log("Tunnel shut stays closed: this server does not enforce deny_ips")
    assert len(c.urls()) == 2
    assert [r["Category"] for r in g.controls[0].requests] == ["open", "one"]
    c = lab.client(g.addr, "start", "shut", config=config, wait=False)
    c.expect_exit(1)
    assert c.has("stays closed")
    assert not g.controls[1].requests


def test_a_stranger_as_client(lab):
    """What a client of ours would never send: the server checks it again."""
    s = lab.server()
    bad = [
        {"AllowIps": "10.0.0.0/8\nnonsense"}, {"AllowIps": "10.0.0.1/8"}, {"DenyIps": "\n\n10.0.0.0/8"},
        {"Users": "nobody"}, {"Bearer": "a b"}, {"DenyMethods": "GET /"}, {"DenyPaths": "admin"},
        {"DenyPaths": "/a/../b"}, {"VisitPassword": "a\nb"}, {"AuthPreflight": 7},
        {"AllowIps": "\n".join(["10.0.0.0/8"] * 257)}, {"Bearer": "\n".join(["a" * 1000] * 15)},
    ]
    for rules in bad:
        with golike.GoClient(s.tunnel_port) as c:
            want = golike.req_tunnel("http", "x")
            want["Payload"].update(rules)
            c.send(want)
            got = c.answers.get(timeout=20)
            assert got["Error"].startswith("Invalid rules: "), got
            assert "nobody" not in got["Error"]
        assert get(s.http_port, "x.pgrok.me").status == 404
    with golike.GoClient(s.tunnel_port) as c:
        want = golike.req_tunnel("tcp")
        want["Payload"].update({"DenyPaths": "/"})
        c.send(want)
        assert "a tcp tunnel can't have that" in c.answers.get(timeout=20)["Error"]


def test_go_like_client_with_rules(lab):
    """Whoever sends them: they are enforced, though it did not say that it knows the word."""
    site = lab.site()
    s = lab.server()
    c = lab.goclient(s, local=site.port)
    assert "access" not in c.auth_resp.get("Features", "")
    want = golike.req_tunnel("http", "test")
    want["Payload"].update({"DenyIps": "127.0.0.9", "Bearer": "t"})
    c.send(want)
    assert not c.answers.get(timeout=20)["Error"]
    assert get(s.http_port, HOST, headers=[bearer("t")]).status == 200
    assert get(s.http_port, HOST, headers=[bearer("t")], source="127.0.0.9").status == 403
    assert status_of(s.http_port, HOST) == 401


BAD_FILES = {
    "allow_ips: [10.0.0.0/8, office]": "x.yml:4: tunnels.test.allow_ips: 'office' is not an IPv4 or IPv6 address",
    "allow_ips: 10.0.0.1/8": "x.yml:4: tunnels.test.allow_ips: '10.0.0.1/8' is an address, not a range",
    "allow_ips: []": "x.yml:4: tunnels.test.allow_ips: an empty list",
    "allow_ips:": "x.yml:4: tunnels.test.allow_ips: a value is wanted",
    "allow_ips: 10.0.0.1\n    deny_ips: [~]": "x.yml:5: tunnels.test.deny_ips: '~' is not",
    "paths: [admin]": "x.yml:4: tunnels.test.paths: a path begins with a slash",
    "methods: [GET, 'A B']": "x.yml:4: tunnels.test.methods: 'A B' is not a method",
    "bearer: 'a b'": "x.yml:4: tunnels.test.bearer: a token is letters",
    "auth: ['a:b', c]": "x.yml:4: tunnels.test.auth: user:password is wanted",
    "password: ''": "x.yml:4: tunnels.test.password: a password has 1 to 256 bytes",
    "auth_preflight: 1": "x.yml:4: tunnels.test.auth_preflight: true or false is wanted",
    "auth_preflight: true": "tunnels.test: auth_preflight: there are no credentials",
    "paths: /\n    proto: {http: 1, tcp: 1}": "tunnels.test: paths: a tcp tunnel can have allow_ips and deny_ips alone",
}


@pytest.mark.parametrize("text", BAD_FILES)
def test_bad_files(tmp_path, text):
    (tmp_path / "x.yml").write_text(f"tunnels:\n  test:\n    proto: {{http: 1}}\n    {text}\n")
    status, out, _ = run(BIN / "pgrok", "-config=x.yml", "list", cwd=tmp_path)
    assert status == 1
    assert BAD_FILES[text] in out, out


@pytest.mark.parametrize("flag, says", [
    ("-allowips=10.0.0.0/8,x", "-allowips: 'x' is not"),
    ("-denyips=10.0.0.0/33", "-denyips: '10.0.0.0/33'"),
    ("-bearer=a b", "-bearer: a token is"),
    ("-password=" + "a" * 300, "-password: a password has"),
])
def test_bad_flags(flag, says):
    status, out, _ = run(BIN / "pgrok", "-config=/dev/null", "-serveraddr=127.0.0.1:1", flag, "8080")
    assert status == 1 and says in out, out


def test_flags(lab):
    site = lab.site()
    s, _ = lab.started(site, "-allowips=127.0.0.1,127.0.0.8/31", "-denyips=127.0.0.9", "-bearer=t", "-password=sesame")
    assert get(s.http_port, HOST).status == 401
    assert get(s.http_port, HOST, headers=[bearer("t")]).status == 200
    assert get(s.http_port, HOST, headers=[bearer("t")], source="127.0.0.8").status == 200
    assert get(s.http_port, HOST, headers=[bearer("t")], source="127.0.0.9").status == 403
    assert log_in(s.http_port).status == 303
