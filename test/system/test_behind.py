"""
Behind proxies whose word counts: the PROXY protocol and X-Forwarded-For, and what follows from the
address that they give. A service sees it in the PROXY head that its client writes.
"""

import os
import re
import shutil
import socket
import ssl
import struct

import pytest

from lib import env, inspector, procs
from lib.backends import answer, read_request
from lib.env import free_port
from lib.net import TlsConn, dial, dial_tls, eventually, request
from lib.procs import run

HOST = "test.pgrok.me"
SIG = b"\r\n\r\n\0\r\nQUIT\n"
VISITOR = "203.0.113.9"
TRUST = "-trustedProxies=127.0.0.1,::1"


def v1(ip, port=40112):
    return f"PROXY TCP4 {ip} 192.0.2.80 {port} 443\r\n".encode()


def v2(ip, port=40112, more=b""):
    body = socket.inet_aton(ip) + socket.inet_aton("192.0.2.80") + struct.pack("!HH", port, 443) + more
    return SIG + b"\x21\x11" + struct.pack("!H", len(body)) + body


def told(lab, s, protocol="http", **kw):
    """A client as Go's that says in its answers what it was told in StartProxy, and its URL."""
    def visit(c, start):
        while True:
            r = read_request(c)
            if r is None:
                return
            c.send(answer(200, start["ClientAddr"].encode()))
    go = lab.goclient(s, on_visit=visit, **kw)
    return go.url(protocol, subdomain="test")


def ask(c, *headers, host=HOST):
    c.send(request(host, headers=headers))
    r = c.response()
    assert r.status == 200, r
    return r.body.decode()


def tls_behind(c):
    """TLS on a connection that has said something before."""
    return TlsConn(c.sock)


# ---- the PROXY protocol ----

@pytest.mark.parametrize("head", [v1, v2])
def test_head(lab, engine, workers, head):
    s = lab.server(TRUST, "-proxyProtocol=http,https", engine=engine, workers=workers)
    told(lab, s)
    told(lab, s, "https")
    with dial(s.http_port) as c:
        c.send(head(VISITOR))
        assert ask(c) == ask(c) == f"{VISITOR}:40112"
    with dial(s.http_port) as c:
        c.send(head(VISITOR) + request(HOST))
        assert c.response().body.decode() == f"{VISITOR}:40112"
    c = dial(s.https_port)
    c.send(head(VISITOR))
    with tls_behind(c) as c:
        assert ask(c) == f"{VISITOR}:40112"


def test_health_check(lab):
    """LOCAL, and an end without a word: nothing that is worth a line."""
    s = lab.server(TRUST, "-proxyProtocol=http,https")
    told(lab, s)
    with dial(s.http_port) as c:
        c.send(SIG + b"\x20\0\0\0")
        assert ask(c).startswith("127.0.0.1:")
    dial(s.https_port).close()
    with dial(s.https_port) as c:
        c.send(SIG + b"\x20\0\0\0")
    eventually(lambda: get_after_head(s).status == 200, what="it serves")
    assert not re.search(r"\[(WARN|EROR)\] \[lobby", s.text())


def get_after_head(s):
    with dial(s.http_port) as c:
        c.send(v1(VISITOR) + request(HOST))
        return c.response()


def test_not_from_others(lab):
    """Who is not trusted can't say who he is, nor can a trusted proxy's visitor by a second head."""
    s = lab.server("-trustedProxies=127.0.0.2", "-proxyProtocol=http,https")
    told(lab, s)
    with dial(s.http_port) as c:
        assert ask(c).startswith("127.0.0.1:")
    for head in (v1, v2):
        with dial(s.http_port) as c:
            c.send(head(VISITOR) + request(HOST))
            assert c.response().status == 400
        with dial(s.http_port, source="127.0.0.2") as c:
            c.send(head(VISITOR) + head("127.0.0.1") + request(HOST))
            assert c.response().status == 400
        with dial(s.https_port) as c:
            c.send(head(VISITOR))
            assert c.recv_rest()[0][:1] in (b"", b"\x15", b"H")


def test_head_is_missing(lab):
    """The operator is told that the proxy does not do what was said of it."""
    s = lab.server(TRUST, "-proxyProtocol=http")
    with dial(s.http_port) as c:
        c.send(request(HOST))
        assert c.recv_rest()[0] == b""
    s.wait_log("a trusted proxy must begin with a PROXY head: no PROXY head")


def test_clients_behind(lab):
    """Their port, too."""
    s = lab.server(TRUST, "-proxyProtocol=tunnel", "-log-level=DEBUG")
    c = dial(s.tunnel_port)
    c.send(v2("198.51.100.7"))
    with tls_behind(c) as c:
        c.send(b"\x02\0\0\0\0\0\0\0{}")
        c.recv_rest()
    s.wait_log("Closed 198.51.100.7:40112 on the tunnel port")


# ---- X-Forwarded-For ----

def test_forwarded_for(lab, engine, workers):
    s = lab.server(TRUST, engine=engine, workers=workers)
    told(lab, s)
    with dial(s.http_port) as c:
        assert ask(c, f"X-Forwarded-For: 1.1.1.1, {VISITOR}") == f"{VISITOR}:0"
        # The connection is the proxy's: whose the next request is stands in its own head.
        assert ask(c, "X-Forwarded-For: 203.0.113.10") == "203.0.113.10:0"
        assert ask(c, "X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: [2001:db8::1]:99") == \
            "[2001:db8::1]:99"
        assert ask(c).startswith("127.0.0.1:")
    with dial(s.http_port, source="127.0.0.9") as c:
        assert ask(c, f"X-Forwarded-For: {VISITOR}").startswith("127.0.0.9:")
        assert ask(c, "X-Forwarded-For: 127.0.0.1").startswith("127.0.0.9:")


def test_pipelined(lab, workers):
    """Of several visitors, all at once: each gets its own answer, in order."""
    s = lab.server(TRUST, workers=workers)
    told(lab, s)
    from_ip = [f"203.0.113.{i // 2}" for i in range(12)]
    with dial(s.http_port) as c:
        c.send(b"".join(request(HOST, headers=[f"X-Forwarded-For: {ip}"]) for ip in from_ip))
        assert [c.response().body.decode() for _ in from_ip] == [f"{ip}:0" for ip in from_ip]


def test_both(lab):
    """A PROXY head that speaks of another proxy of ours: that one's field counts."""
    s = lab.server("-trustedProxies=127.0.0.1 10.0.0.0/8", "-proxyProtocol=http")
    told(lab, s)
    with dial(s.http_port) as c:
        c.send(v1("10.1.2.3"))
        assert ask(c, f"X-Forwarded-For: {VISITOR}") == f"{VISITOR}:0"
    with dial(s.http_port) as c:
        c.send(v1("198.51.100.7"))
        assert ask(c, f"X-Forwarded-For: {VISITOR}") == "198.51.100.7:40112"


@pytest.mark.parametrize("head", [False, True], ids=["forwarded-for", "head"])
def test_guessing_by_visitor(lab, workers, head):
    """Wrong passwords are counted for who sends them, not for the proxy; forging does not help."""
    flags = ["-proxyProtocol=http"] if head else []
    s = lab.server(TRUST, *flags, workers=workers)
    lab.client(s, "-subdomain=test", "-proto=http", "-httpauth=u:p", lab.site().port)

    def status(ip, auth, forged="7.7.7.7"):
        with dial(s.http_port) as c:
            if head:
                c.send(v1(ip))
            c.send(request(HOST, auth=auth, headers=[f"X-Forwarded-For: {forged}" +
                                                     ("" if head else f", {ip}")]))
            return c.response().status

    assert status(VISITOR, "u:p") == 200
    assert [status(VISITOR, f"u:{i}", f"7.7.7.{i}") for i in range(10)] == [401] * 10
    assert status(VISITOR, "u:p", "8.8.8.8") == 429
    assert status("203.0.113.10", "u:p", VISITOR) == 200


def test_guessing_on_a_proxys_connection(lab):
    """Later requests, too."""
    s = lab.server(TRUST)
    lab.client(s, "-subdomain=test", "-proto=http", "-httpauth=u:p", lab.site().port)
    with dial(s.http_port) as c:
        def status(ip, auth):
            c.send(request(HOST, auth=auth, headers=[f"X-Forwarded-For: {ip}"]))
            return c.response().status
        assert [status(VISITOR, f"u:{i}") for i in range(10)] == [401] * 10
        assert status("203.0.113.10", "u:p") == 200
    with dial(s.http_port) as c:
        assert status(VISITOR, "u:p") == 429


# ---- a PROXY head for the service ----

def read_head(c):
    """(visitor's address, version) of the head, as a service reads it."""
    first = c.recv_exact(12)
    if first != SIG:
        line = (first + c.recv_until(b"\r\n")).split()
        return (f"{line[2].decode()}:{line[4].decode()}", 1) if line[1] != b"UNKNOWN" else (None, 1)
    more = struct.unpack("!H", (fixed := c.recv_exact(4))[2:])[0]
    body = c.recv_exact(more)
    if fixed[0] == 0x20:
        return None, 2
    assert fixed[:2] == b"\x21\x11", fixed
    return f"{socket.inet_ntoa(body[:4])}:{struct.unpack('!H', body[8:10])[0]}", 2


def headed(lab, web=True):
    """A service that wants a head first: it says who came, in answers or at once."""
    def handler(c, backend):
        who = "%s v%d" % read_head(c)
        if not web:
            c.send(who.encode() + b"\n")
        while web and (r := read_request(c)):
            backend.note_request(r)
            c.send(answer(200, who.encode()))
    return lab.backend(handler)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("mux", ["true", "false"])
def test_head_for_the_service(lab, engine, version, mux):
    """One connection to the service is one visitor's, whatever carries it."""
    site = headed(lab)
    s = lab.server(TRUST, engine=engine)
    lab.client(s, "-subdomain=test", f"-mux={mux}", f"-proxyproto={version}", site.port, tunnels=2,
               engine=engine)
    with dial(s.http_port) as a, dial(s.http_port) as b, dial_tls(s.https_port) as t:
        for _ in range(2):
            for c in (a, b, t):
                assert ask(c) == f"{c.local()} v{version}"
    assert site.accepted == 3
    with dial(s.http_port) as c:
        for ip in ("203.0.113.9", "203.0.113.9", "203.0.113.10", "203.0.113.9"):
            assert ask(c, f"X-Forwarded-For: {ip}") == f"{ip}:0 v{version}"
    assert site.accepted == 6


def test_head_over_tcp(lab):
    site = headed(lab, web=False)
    s = lab.server()
    cfg = lab.config(f"tunnels:\n  db:\n    proxy_proto: 2\n    proto: {{tcp: {site.port}}}\n")
    c = lab.client(s, "start", "db", config=cfg)
    port = int(c.wait_log(r"Tunnel established at tcp://[^ :]*:(\d+)").group(1))
    with dial(port) as v:
        assert v.recv_until(b"\n").decode() == f"{v.local()} v2\n"


def test_head_before_tls(lab, certs):
    """To a service at https:// it is said before TLS begins."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server, certs.server_key)

    def handler(c, _):
        who, version = read_head(c)
        t = TlsConn(c.sock, context, server_side=True, handshake=False)
        t.inb.write(c.buf)
        t.handshake()
        read_request(t)
        t.send(answer(200, f"{who} v{version}".encode()))
        t.close()
    site = lab.backend(handler)
    s = lab.server()
    lab.client(s, "-subdomain=test", "-proxyproto=1", f"https://127.0.0.1:{site.port}", tunnels=2)
    with dial(s.http_port) as c:
        assert ask(c) == f"{c.local()} v1"


def test_replay_has_a_head(lab):
    site = headed(lab)
    visit, i = inspector.started(lab, site, "-proxyproto=2")
    assert visit("/one").status == 200
    i.post("/api/requests/http", {"times": 1, "id": i.wait_entries(1)[0]["id"]})
    assert len(site.wait_requests(2)) == 2


@pytest.mark.parametrize("version", [1, 2])
def test_nginx_takes_the_head(lab, version):
    """The real one, as the service."""
    if not shutil.which("nginx"):
        assert not os.environ.get("CI"), "nginx is not installed"
        pytest.skip("without nginx")
    port = free_port()
    temp = "".join(f"{k}_temp_path {lab.tmp}/{k};\n"
                   for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf = lab.tmp / "nginx.conf"
    conf.write_text(f"daemon off; master_process off; pid {lab.tmp}/nginx.pid;\n"
                    "error_log stderr; events {}\n"
                    f"http {{ access_log off; {temp}\nserver {{ listen 127.0.0.1:{port} proxy_protocol;\n"
                    'location / { return 200 "$proxy_protocol_addr:$proxy_protocol_port"; } } }\n')
    p = lab.keep(procs.Proc(["nginx", "-c", conf], "nginx", cwd=lab.tmp))
    p.allow(".*").term_status = lambda: [0, 143, -15]

    def listens():
        assert p.alive(), p.text()
        try:
            dial(port).close()
        except OSError:
            return False
        return True
    eventually(listens, what="nginx listens")
    s = lab.server(TRUST)
    lab.client(s, "-subdomain=test", f"-proxyproto={version}", port, tunnels=2)
    with dial(s.http_port) as c:
        assert ask(c) == ask(c) == c.local()
        assert ask(c, f"X-Forwarded-For: {VISITOR}:99") == f"{VISITOR}:99"
        assert ask(c, "X-Forwarded-For: [2001:db8::9]:99") == "2001:db8::9:99"


def test_rules_by_visitor(lab, workers):
    """-allowips looks at the visitor, for each request of a proxy's connection."""
    s = lab.server(TRUST, workers=workers)
    lab.client(s, "-subdomain=test", "-proto=http", "-allowips=203.0.113.0/24", lab.site().port)
    with dial(s.http_port) as c:
        for ip, want in (("203.0.113.9", 200), ("198.51.100.1", 403), ("203.0.113.10", 200),
                         ("203.0.113.9, 198.51.100.1", 403), ("198.51.100.1, 203.0.113.9", 200), ("", 403)):
            c.send(request(HOST, headers=[f"X-Forwarded-For: {ip}"]))
            assert c.response().status == want, ip
    with dial(s.http_port, source="127.0.0.9") as c:
        c.send(request(HOST, headers=["X-Forwarded-For: 203.0.113.9"]))
        assert c.response().status == 403


@pytest.mark.parametrize("flags, said", [
    (["-trustedProxies=10.0.0.0/8,office"], "-trustedProxies: 'office' is not an IPv4 or IPv6 address"),
    (["-proxyProtocol=https"], "-proxyProtocol needs -trustedProxies"),
    ([TRUST, "-proxyProtocol=ftp"], "-proxyProtocol: 'ftp' is none of http, https, tunnel, all"),
])
def test_refused(flags, said):
    status, out, err = run(env.BIN / "pgrokd", "-check", "-domain=pgrok.me", *flags)
    assert status == 1 and said in out + err


def test_bad_entry_of_the_file(lab):
    conf = lab.config("domain: pgrok.me\ntrustedProxies: 127.0.0.1, 10.0.0.1/8\n")
    status, out, err = run(env.BIN / "pgrokd", "-check", f"-config={conf}")
    assert status == 1
    assert f"{conf}:2: trustedProxies: '10.0.0.1/8' is an address, not a range" in out + err
