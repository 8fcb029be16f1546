"""Where a tunnel leads: this machine by either family, https://, unix:; and heads changed for it."""

import socket
import ssl
import threading

import pytest

from lib import env, inspector
from lib.backends import Backend, answer, http, websocket, ws_frame, ws_read
from lib.net import TlsConn, dial, get, request
from lib.procs import empty_config, run

HOST = "test.pgrok.me"


def test_port_alone_is_either_family(lab):
    """Many a development server listens on ::1 alone."""
    site = lab.site(host="::1")
    s, c = lab.started(site)
    assert get(s.http_port, HOST).status == 200
    c.wait_log(f"-> 127.0.0.1:{site.port}")


def unix_site(path):
    backend = Backend(http(None, "socket"))
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen(8)
    backend.listener.close()
    backend.listener = sock
    threading.Thread(target=backend._accept, daemon=True).start()
    return backend


def test_unix_socket(lab, engine, tmp_path):
    path = tmp_path / "s"
    s = lab.server(engine=engine)
    c = lab.client(s, "-subdomain=test", f"unix:{path}", tunnels=2, engine=engine)
    assert get(s.http_port, HOST).status == 502
    c.wait_log(f"dial unix {path}: connect: no such file or directory")
    site = lab.keep(unix_site(path))
    r = get(s.http_port, HOST, "/u", method="POST", body=b"x" * 200000)
    assert r.body == b"socket POST /u\n" + b"x" * 200000
    assert site.requests[-1].header("Host") == HOST


def tls_site(lab, certs):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.elsewhere, certs.elsewhere_key)
    plain = http(None, "tls")

    def handler(c, backend):
        t = TlsConn(c.sock, context, server_side=True)
        plain(t, backend)
        t.close()
    return lab.backend(handler)


def test_https_service(lab, certs, engine):
    """On this machine its certificate does not matter."""
    site = tls_site(lab, certs)
    s = lab.server(engine=engine)
    c = lab.client(s, "-subdomain=test", f"https://127.0.0.1:{site.port}", tunnels=2, engine=engine)
    r = get(s.http_port, HOST, "/t", method="POST", body=b"x" * 300000)
    assert r.body == b"tls POST /t\n" + b"x" * 300000
    c.wait_log(f"-> https://127.0.0.1:{site.port}")


def test_https_service_elsewhere(lab, certs):
    """127.1 is a name for this machine, which pgrok need not believe."""
    site = tls_site(lab, certs)
    s = lab.server()
    c = lab.client(s, "-subdomain=test", f"https://127.1:{site.port}", tunnels=2)
    assert get(s.http_port, HOST).status == 502
    c.wait_log(rf"https://127.1:{site.port}: x509: .*insecure")
    lab.client(s, "-subdomain=any", "-insecure", f"https://127.1:{site.port}", tunnels=2)
    assert get(s.http_port, "any.pgrok.me").body == b"tls GET /\n"


def test_https_service_speaks_no_tls(lab):
    site = lab.backend(lambda c, _: c.send(answer(400, b"plain")))
    s = lab.server()
    c = lab.client(s, "-subdomain=test", f"https://127.0.0.1:{site.port}", tunnels=2)
    assert get(s.http_port, HOST).status == 502
    c.wait_log(f"https://127.0.0.1:{site.port}: TLS handshake: ")


def test_heads_are_changed_one_by_one(lab, engine):
    """Keep-alive, pipelining and bodies; what only looks like a head stays as it is."""
    site = lab.site(lambda r, c: answer(200, r.head + b"|" + r.body))
    s = lab.server(engine=engine)
    lab.client(s, "-subdomain=test", "-hostheader=rewrite", "-xforwarded", site.port, tunnels=2, engine=engine)
    looks = b"GET / HTTP/1.1\r\nHost: test.pgrok.me\r\n\r\n"
    first = (b"POST /1 HTTP/1.1\r\nhOst: test.pgrok.me\r\nX-Forwarded-For: 192.0.2.1\r\n"
             b"Content-Length: %d\r\n\r\n" % len(looks)) + looks
    with dial(s.http_port) as c:
        for _ in range(2):
            c.send(first + b"GET /2 HTTP/1.1\r\nHost: test.pgrok.me\r\n\r\n")
            one, two = c.response().body, c.response().body
            assert one == (b"POST /1 HTTP/1.1\r\nhOst: 127.0.0.1:%d\r\nContent-Length: %d\r\n"
                           b"X-Forwarded-For: 192.0.2.1, 127.0.0.1\r\nX-Forwarded-Proto: http\r\n"
                           b"X-Forwarded-Host: test.pgrok.me\r\n\r\n|" % (site.port, len(looks))) + looks
            assert two.startswith(b"GET /2 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % site.port)
    assert {r.header("X-Forwarded-Proto") for r in site.requests} == {"http"}
    get(s.https_port, HOST, tls=True)
    assert site.requests[-1].header("X-Forwarded-Proto") == "https"


def fields_config(lab, port, *more):
    return lab.config("tunnels:\n  test:\n    request_headers:\n      X-Env: dev\n      Cookie:\n"
                      "      Authorization: Bearer t0k\n    response_headers:\n"
                      "      Server: ''\n      Cache-Control: no-store\n" +
                      "".join(f"    {line}\n" for line in more) + f"    proto: {{http: {port}}}\n")


def test_fields_set_and_removed(lab, engine, workers):
    """Each request of a kept-alive connection and each answer; bodies that look like heads stay."""
    looks = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 9\r\n\r\n"

    def app(r, c):
        c.send(b"HTTP/1.1 103 Early Hints\r\nServer: hint\r\n\r\n")
        return answer(200, looks * 3000 + r.body, ["Server: x", "cache-control: public"])
    site = lab.site(app)
    s = lab.server(engine=engine, workers=workers)
    lab.client(s, "start", "test", config=fields_config(lab, site.port), engine=engine)
    forged = ["Cookie: a=b", "x_env: prod", "X-Env: prod"]
    with dial(s.http_port) as c:
        for depth in (1, 5):
            c.send(request(HOST, "/", "POST", forged, body=looks, auth="u:p") * depth)
            for _ in range(depth):
                assert c.recv_until(b"\r\n\r\n") == b"HTTP/1.1 103 Early Hints\r\nServer: hint\r\n\r\n"
                r = c.response()
                assert r.body == looks * 3001
                assert r.header("Server") is None and r.header("Cache-Control") == "no-store"
                assert b"public" not in r.head
    for r in site.wait_requests(6):
        assert r.body == looks
        assert [v for k, v in r.headers if k.lower().replace("_", "-") == "x-env"] == ["dev"]
        assert r.header("Cookie") is None and r.header("Authorization") == "Bearer t0k"


def test_fields_with_a_go_server(lab, certs):
    """It is the client that changes them."""
    site = lab.site()
    go = lab.goserver(certs)
    client = lab.client(go.addr, "start", "test", config=fields_config(lab, site.port))
    with go.visit(client.urls()[0]) as c:
        c.send(request(HOST, headers=["X-Env: prod"]))
        assert c.response().header("Cache-Control") == "no-store"
    assert site.requests[-1].header("X-Env") == "dev"


def test_upgrade_with_fields(lab, engine):
    site = lab.backend(websocket)
    s = lab.server(engine=engine)
    lab.client(s, "start", "test", config=fields_config(lab, site.port), engine=engine)
    with dial(s.http_port) as c:
        c.send(request(HOST, "/ws", headers=["Upgrade: websocket", "Connection: Upgrade",
                                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                                             "Sec-WebSocket-Version: 13"]))
        head = c.recv_until(b"\r\n\r\n")
        assert b" 101 " in head and b"no-store" not in head
        looks = b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n"
        c.send(ws_frame(looks, mask=True))
        assert ws_read(c)[1] == looks


def test_upgrade_through_changed_heads(lab, engine):
    site = lab.backend(websocket)
    s = lab.server(engine=engine)
    lab.client(s, "-subdomain=test", "-hostheader=a.example", site.port, tunnels=2, engine=engine)
    with dial(s.http_port) as c:
        c.send(request(HOST, "/ws", headers=["Upgrade: websocket", "Connection: Upgrade",
                                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                                             "Sec-WebSocket-Version: 13"]))
        assert b" 101 " in c.recv_until(b"\r\n\r\n")
        looks = b"GET / HTTP/1.1\r\nHost: test.pgrok.me\r\n\r\n"
        c.send(ws_frame(looks, mask=True))
        assert ws_read(c)[1] == looks


def test_from_the_config(lab):
    site = lab.site()
    cfg = lab.config("tunnels:\n  test:\n    host_header: svc.local\n    x_forwarded: true\n"
                     f"    proto: {{http: {site.port}}}\n")
    s = lab.server()
    lab.client(s, "start", "test", config=cfg)
    assert get(s.http_port, HOST).status == 200
    r = site.requests[-1]
    assert (r.header("Host"), r.header("X-Forwarded-For"), r.header("X-Forwarded-Host")) == \
        ("svc.local", "127.0.0.1", HOST)


def test_replayed_as_it_was(lab):
    """The inspector keeps what the visitor said; sent again, it is changed again."""
    site = lab.site()
    visit, i = inspector.started(lab, site, "-hostheader=svc.local", "-xforwarded")
    assert visit("/one").status == 200
    i.post("/api/requests/http", {"times": 1, "id": i.wait_entries(1)[0]["id"]})
    site.wait_requests(2)
    again = site.requests[-1]
    assert again.header("Host") == "svc.local" and again.header("X-Forwarded-For") == "127.0.0.1"


@pytest.mark.parametrize("flags, said", [
    (["-hostheader=a b", "80"], "-hostheader: 'a b' is neither rewrite nor a host name"),
    (["-proto=tcp", "-hostheader=a", "80"], "-hostheader: a tcp tunnel has no Host field"),
    (["-proto=tcp", "-xforwarded", "80"], "-xforwarded: a tcp tunnel has no fields that could tell"),
    (["-proxyproto=3", "80"], "-proxyproto: 3 is neither 1 nor 2"),
    (["-proxyproto=1", "/tmp"], "-proxyproto: a folder does not want to know"),
    (["-insecure", "80"], "-insecure: only an https:// address has a certificate"),
    (["unix:x"], "Invalid address  'unix:x': unix:x: the path of a Unix socket begins with a slash"),
])
def test_refused(flags, said):
    status, out, err = run(env.BIN / "pgrok", f"-config={empty_config()}", "-serveraddr=127.0.0.1:1", *flags)
    assert (status, out, err) == (1, said + "\n", "")
