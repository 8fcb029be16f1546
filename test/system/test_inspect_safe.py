"""Who may ask the inspector, from this machine, from other sites, from other machines, through tunnels."""

import json
import socket

import pytest

from lib import env
from lib.inspector import Inspector, started
from lib.net import dial, eventually, get, request


def other_address():
    """An address of this machine that is not a loopback one; None: there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # sends nothing
            return s.getsockname()[0]
        except OSError:
            return None


CHANGES = [("POST", "/api/requests/http", b"{}"), ("DELETE", "/api/requests/http", b""),
           ("PATCH", "/api/requests/http/%s", b'{"pinned":true}'), ("DELETE", "/api/requests/http/%s", b""),
           ("POST", "/api/tunnels", b'{"name":"x","addr":"1"}'), ("DELETE", "/api/tunnels/default", b""),
           ("POST", "/http/in/replay", b"txnid=%s"), ("PUT", "/api/tunnels", b"{}")]
FOREIGN = ["Origin: http://evil.example", "Origin: null", "Origin: http://localhost:1", "Origin: ",
           "Origin: https://127.0.0.1", "Sec-Fetch-Site: cross-site", "Origin: http://127.0.0.1.evil.example"]


def test_nothing_changes_for_other_sites(lab):
    """Every way to change something, with every kind of foreign origin; forms need no preflight."""
    visit, i = started(lab, lab.site())
    visit("/one")
    e = i.wait_entries()[0]
    for method, path, body in CHANGES:
        for line in FOREIGN:
            for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
                r = i.ask(path.replace("%s", e["id"]), method, body.replace(b"%s", e["id"].encode()),
                          [line, f"Content-Type: {kind}"])
                assert r.status == 403, (method, path, line)
                assert r.header("Access-Control-Allow-Origin") is None
    r = i.ask("/api/tunnels/default", "OPTIONS", headers=["Origin: http://evil.example",
                                                         "Access-Control-Request-Method: DELETE"])
    assert r.status == 405 and r.header("Access-Control-Allow-Origin") is None
    assert [x["id"] for x in i.entries()] == [e["id"]] and not i.entries()[0]["pinned"]
    assert [t["name"] for t in i.get("/api/tunnels")["tunnels"]] == ["default"]
    assert i.live("/_ws", origin="http://evil.example").answer.status == 403
    assert i.live(origin=f"http://{i.host}").answer.status == 101
    # GET changes nothing, whatever it asks for.
    assert i.ask(f"/http/in/replay?txnid={e['id']}").status == 405
    assert len(i.entries()) == 1


@pytest.mark.parametrize("path", ["/", "/http/in", "/static/main.js", "/api/status", "/api/entries", "/metrics",
                                  "/api/requests/http.har", "/_ws", "/api/ws", "/nonsense"])
def test_rebinding(lab, path):
    """A site whose name was made to lead here gets nothing, however it asks."""
    _, i = started(lab, lab.site())
    for host in (f"evil.example:{i.port}", "localhost.evil.example", "127.0.0.1.evil.example", "a.b.", "0.0.0.0"):
        for origin in ([], [f"Origin: http://{host}"]):
            r = i.ask(path, host=host, headers=origin)
            assert r.status == 403 and b"evil" not in r.body
    assert i.live(path).answer.status == {"/_ws": 101, "/api/ws": 101, "/": 302, "/nonsense": 302}.get(path, 200)
    i.host = "evil.example"
    assert i.live(path, origin="http://evil.example").answer.status == 403


def test_every_answer_is_protected(lab):
    _, i = started(lab, lab.site())
    for path in ("/", "/http/in", "/api/status", "/api/nothing", "/metrics", "/static/nothing"):
        r = i.ask(path)
        assert "default-src 'none'" in r.header("Content-Security-Policy")
        assert "frame-ancestors 'none'" in r.header("Content-Security-Policy")
        assert r.header("X-Content-Type-Options") == "nosniff" and r.header("Referrer-Policy") == "no-referrer"
        assert r.header("Cross-Origin-Resource-Policy") == "same-origin"


def test_open_bind_is_said(lab):
    """Open beyond this machine, as pgrok's is; said where everybody sees it, not only in a log."""
    site, s = lab.site(), lab.server()
    port = env.free_port()
    c = lab.client(s, "-subdomain=test", "-proto=http", site.port, inspect=f"0.0.0.0:{port}", log=None)
    assert c.wait_log(r"^The inspector is open to everybody who can reach this machine at 0\.0\.0\.0:%d" % port)
    port = env.free_port()
    c = lab.client(s, "-subdomain=test2", "-proto=http", "-log-format=json", site.port,
                   inspect=f"0.0.0.0:{port}", log=None, wait=False)
    note = json.loads(c.wait_log(r'^(\{.*"event":"note".*)')[1])
    assert "open to everybody" in note["text"]
    far = other_address()
    if far:
        far_host = f"{far}:{port}"
        assert get(port, far_host, "/api/status", addr=far).status == 200
        assert get(port, "evil.example", "/api/status", addr=far).status == 403
        assert get(port, "192.0.2.1", "/api/status", addr=far).status == 403


def test_loopback_bind_is_not_said(lab):
    _, i = started(lab, lab.site())
    assert not i.client.has("open to everybody")


def test_tunnel_to_the_inspector(lab):
    """Made by hand: a token is asked for, and what it shows is not captured anew."""
    s, port = lab.server(), env.free_port()
    other = lab.site()
    conf = lab.config(json.dumps({"tunnels": {"self": {"subdomain": "self", "proto": {"http": port}},
                                              "web": {"subdomain": "web", "proto": {"http": other.port}}}}))
    c = lab.client(s, "start", "self", "web", config=conf, inspect=f"127.0.0.1:{port}", tunnels=2)
    i = Inspector(port)
    me = f"self.pgrok.me:{s.http_port}"
    token = c.wait_log(r"http/in\?token=([0-9a-f]{32})$")[1]
    assert get(s.http_port, me, "/api/status").status == 401
    r = get(s.http_port, me, f"/http/in?token={token}&x=1")
    assert (r.status, r.header("Location")) == (303, "/http/in?x=1")
    cookie = r.header("Set-Cookie")
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Lax") and token not in cookie
    cookie = "Cookie: " + cookie.split(";")[0]
    assert get(s.http_port, me, "/http/in", headers=[cookie]).status == 200
    # A page that looks from outside sees other traffic, and not itself.
    with dial(s.http_port) as far:
        far.send(request(me, "/api/ws", headers=[cookie, f"Origin: http://{me}", "Connection: Upgrade",
                                                 "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                                                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]))
        assert far.response(head_only=True).status == 101
        get(s.http_port, f"web.pgrok.me:{s.http_port}", "/seen")
        assert b'"path":"/seen"' in far.recv_until(b'"path":"/seen"')
        assert [e["path"] for e in i.wait_entries()] == ["/seen"]
    # With the cookie, but from another site; by localhost's name; with a cookie that is nearly right.
    evil = [cookie, "Origin: http://evil.example"]
    assert get(s.http_port, me, "/api/requests/http", method="DELETE", headers=evil).status == 403
    assert get(s.http_port, me, "/api/status", headers=[cookie[:-1]]).status == 401
    assert get(s.http_port, me, "/api/status", headers=[cookie + "0"]).status == 401
    assert len(i.entries()) == 1
    assert token not in s.text() + c.text("out")
    # A replay of what was captured goes to its service, not to us.
    assert i.ask("/api/requests/http", "POST", {"id": i.entries()[0]["id"], "tunnel_name": "self"}).status == 204
    e = eventually(lambda: [x for x in i.entries() if x["origin"]])[0]
    assert eventually(lambda: [x for x in i.entries() if x["id"] == e["id"] and x["status"]])[0]["status"] == 403


@pytest.mark.parametrize("host,status", [
    ("127.0.0.1", 200), ("localhost:1234", 200), ("evil.example", 403), ("listed.example", 200),
    ("127.0.0.1.evil.example", 403)])
def test_host_is_checked(lab, host, status):
    conf = lab.config("web_allow_hosts: [listed.example]\n")
    _, i = started(lab, lab.site(), client_kw={"config": conf})
    assert i.ask("/api/status", host=host).status == status


def test_public_inspector_asks_for_a_token(lab):
    _, i = started(lab, lab.site(), "-inspectpublic", client_kw={"tunnels": 2})
    url = next(u for u in i.client.urls() if "test." not in u)
    host = url.split("://")[1]
    token = i.client.wait_log(r"http/in\?token=([0-9a-f]{32})$")[1]
    assert token not in i.client.text("out"), "a secret in the log"

    def status(path="/api/status", **kw):
        return get(i.server.http_port, host, path, **kw).status
    assert status() in (401, 403)
    assert status(headers=["Authorization: Bearer " + "0" * 32]) in (401, 403)
    assert status(headers=[f"Authorization: Bearer {token}"]) == 200
    r = get(i.server.http_port, host, f"/http/in?token={token}")
    cookie = r.header("Set-Cookie").split(";")[0]
    assert status(headers=[f"Cookie: {cookie}"]) == 200
    assert i.ask("/api/status").status == 200


@pytest.mark.parametrize("log", ["stdout", "file", "none"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_token_is_told_but_not_logged(lab, tmp_path, log, form):
    where = tmp_path / "log" if log == "file" else log
    _, i = started(lab, lab.site(), "-inspectpublic", f"-log-format={form}",
                   client_kw={"wait": False, "log": where})
    stream = "out" if (log, form) in (("file", "text"), ("none", "text")) else "err"
    token = i.client.wait_log(r"http/in\?token=([0-9a-f]{32})$")[1]
    assert token in i.client.text(stream)
    i.client.end()
    assert token not in i.client.text("err" if stream == "out" else "out")
    assert log != "file" or token not in where.read_text()


def test_tcp_tunnel_to_the_inspector(lab):
    """Behind it anybody could say that he is localhost."""
    s = lab.server()
    port = env.free_port()
    lab.site()
    c = lab.client(s, "-proto=tcp", port, inspect=f"127.0.0.1:{port}")
    assert get(port, f"127.0.0.1:{port}", "/api/status").status == 200
    for host in (f"127.0.0.1:{port}", "localhost"):
        assert get(c.tcp_port(), host, "/api/status").status == 403
