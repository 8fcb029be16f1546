"""HTTPS tunnels: the same over TLS, and what is particular to it."""

import socket
import ssl

import pytest

from lib.backends import answer
from lib.certs import der_of
from lib.net import Aborted, TlsConn, dial, dial_tls, get, insecure_context, request


def context(ca, minimum=None, maximum=None):
    ctx = ssl.create_default_context(cafile=str(ca))
    if minimum:
        ctx.minimum_version = minimum
    if maximum:
        ctx.maximum_version = maximum
    return ctx


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3],
                         ids=["1.2", "1.3"])
def test_get(pair, certs, engine, version):
    site = pair.lab.site()
    s = pair.server(certs=certs, engine=engine)
    pair.client(s, "-subdomain=test", site.port, tunnels=2, engine=engine)
    ctx = context(certs.ca, version, version)
    for i in range(5):
        r = get(s.https_port, f"test.pgrok.me:{s.https_port}", f"/{i}", tls=True, context=ctx,
                method="POST", body=b"b" * 50000)
        assert r.body == f"site POST /{i}\n".encode() + b"b" * 50000


@pytest.mark.threads
def test_over_workers(lab, certs, workers):
    """The handshake is done where it is accepted, the connection lives at the client's home."""
    site = lab.site()
    s, _ = lab.started(site, certs=certs, workers=workers)
    for i in range(24):
        with dial_tls(s.https_port, name="test.pgrok.me", context=context(certs.ca)) as c:
            for k in range(3):
                c.send(request("test.pgrok.me", f"/{i}/{k}", method="POST", body=b"q" * 20000))
                assert c.response().body == f"site POST /{i}/{k}\n".encode() + b"q" * 20000


def test_first_bytes_with_the_handshake(lab, certs, workers):
    """A request in the same segment as the client's Finished is not lost on the way home."""
    site = lab.site()
    s, _ = lab.started(site, certs=certs, workers=workers)
    for _ in range(10):
        raw = dial(s.https_port)
        c = TlsConn(raw.sock, insecure_context(), handshake=False)
        real, held = c.sock, []

        class Hold:
            """Keeps what is sent until told."""
            def sendall(self, data):
                held.append(bytes(data))

            def __getattr__(self, name):
                return getattr(real, name)
        with pytest.raises(ssl.SSLWantReadError):
            c.tls.do_handshake()
        c._flush()  # pylint: disable=protected-access
        while True:
            c._fill()  # pylint: disable=protected-access
            try:
                c.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                c._flush()  # pylint: disable=protected-access
        c.sock = Hold()
        c.send(request("test.pgrok.me", "/early"))
        c.sock = real
        real.sendall(b"".join(held))
        assert c.response().body == b"site GET /early\n"
        c.close()


def test_old_versions_are_refused(lab, certs):
    s = lab.server(certs=certs)
    for port in (s.https_port, s.tunnel_port):
        ctx = insecure_context()
        ctx.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning):
            ctx.minimum_version = ssl.TLSVersion.TLSv1
            ctx.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(Aborted):
            dial_tls(port, context=ctx)


@pytest.mark.parametrize("group", ["prime256v1", "secp384r1", "X25519"])
def test_groups(lab, certs, group):
    """What Go clients and modern ones offer; the Go server had no X25519."""
    s = lab.server(certs=certs)
    import subprocess
    for port in (s.https_port, s.tunnel_port):
        out = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-groups", group,
                              "-brief"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, check=False).stdout
        assert "CONNECTION ESTABLISHED" in out, out


def test_certificate_shown(lab, certs):
    s = lab.server(certs=certs)
    for port in (s.https_port, s.tunnel_port):
        with socket.create_connection(("127.0.0.1", port)) as raw:
            with context(certs.ca).wrap_socket(raw, server_hostname="x.pgrok.me") as t:
                assert t.getpeercert(True) == der_of(certs.server)


@pytest.mark.parametrize("ask, has_body", [
    (request("test.pgrok.me"), True),
    (request("test.pgrok.me", method="HEAD"), False),
    (request("test.pgrok.me", method="DELETE"), True),
    (b"G\r\n", True),
    (b"GET / HTTP/2.0\r\n", True),
], ids=["GET", "HEAD", "DELETE", "no request", "HTTP/2"])
def test_plain_http_to_the_https_port(lab, ask, has_body):
    """A page that says so, without TLS, however the request comes in; TLS is served as ever."""
    site = lab.site()
    s, _ = lab.started(site)
    for step in (1, 1000):
        with dial(s.https_port) as c:
            for at in range(0, len(ask), step):
                c.send(ask[at:at + step])
            r = c.response(head_only=True)
            assert (r.status, r.header("Connection")) == (400, "close")
            rest, how = c.recv_rest()
            assert how == "eof"
            assert (b"https" in rest) == has_body and bool(rest) == has_body
    assert not site.requests
    assert get(s.https_port, "test.pgrok.me", tls=True).status == 200


def test_404_and_401_over_tls(lab):
    site = lab.site()
    s, _ = lab.started(site, "-httpauth=u:p")
    assert get(s.https_port, "nope.pgrok.me", tls=True).status == 404
    with dial_tls(s.https_port) as c:
        c.send(request("test.pgrok.me"))
        assert c.response().status == 401
        c.send(request("test.pgrok.me", headers=["Connection: close"]))
        assert c.response().status == 401
        assert c.recv_rest() == (b"", "eof"), "close_notify is missing"
    assert get(s.https_port, "test.pgrok.me", tls=True, auth="u:p").status == 200


def test_names_are_per_protocol(pair):
    """http and https tunnels of one name are separate; nothing redirects one to the other."""
    a, b = pair.lab.site(name="A"), pair.lab.site(name="B")
    s = pair.server()
    pair.client(s, "-subdomain=x", "-proto=http", a.port)
    pair.client(s, "-subdomain=x", "-proto=https", b.port)
    assert get(s.http_port, f"x.pgrok.me:{s.http_port}").body == b"A GET /\n"
    assert get(s.https_port, f"x.pgrok.me:{s.https_port}", tls=True).body == b"B GET /\n"


def test_mutual_tls_for_visitors(lab, certs):
    """-tlsClientCA: visitors of https tunnels show a certificate; http and clients need none."""
    site = lab.site()
    s, _ = lab.started(site, certs=certs, client_kw={})
    s.end()
    s = lab.server(f"-tlsClientCA={certs.ca}", certs=certs)
    lab.client(s, "-subdomain=test", site.port, tunnels=2)
    with pytest.raises((Aborted, AssertionError)):
        get(s.https_port, "test.pgrok.me", tls=True)
    good = insecure_context()
    good.load_cert_chain(certs.client, certs.client_key)
    assert get(s.https_port, "test.pgrok.me", tls=True, context=good).status == 200
    bad = insecure_context()
    bad.load_cert_chain(certs.stranger, certs.stranger_key)
    with pytest.raises(Aborted):
        get(s.https_port, "test.pgrok.me", tls=True, context=bad)
    assert get(s.http_port, "test.pgrok.me").status == 200


def test_truncation_is_seen(lab, engine):
    """The local service dies inside its answer: the visitor sees no clean end."""
    def app(r, c):
        c.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"part")
        c.reset()
        return False
    site = lab.site(app)
    s, _ = lab.started(site, engine=engine)
    with dial_tls(s.https_port) as c:
        c.send(request("test.pgrok.me"))
        assert c.recv_rest()[1] == "abort"


def test_until_eof_answer_ends_cleanly(pair, engine):
    site = pair.lab.site(lambda r, c: c.send(b"HTTP/1.0 200 OK\r\n\r\n" + b"e" * 300000) and False)
    s = pair.server(engine=engine)
    pair.client(s, "-subdomain=test", site.port, tunnels=2, engine=engine)
    with dial_tls(s.https_port) as c:
        c.send(request(f"test.pgrok.me:{s.https_port}"))
        got, how = c.recv_rest()
        assert got.endswith(b"e" * 300000) and len(got) == 300000 + 19
        if pair.ours:
            assert how == "eof"


def test_session_resumption(lab, certs):
    """A second visit may resume; it is routed like the first."""
    site = lab.site(lambda r, c: answer(200, b"ok"))
    s, _ = lab.started(site, certs=certs)
    ctx = context(certs.ca)
    session = None
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", s.https_port)) as raw:
            with ctx.wrap_socket(raw, server_hostname="test.pgrok.me", session=session) as t:
                t.sendall(request("test.pgrok.me", close=True))
                got = b""
                while True:
                    part = t.recv(65536)
                    if not part:
                        break
                    got += part
                assert got.endswith(b"ok")
                session = t.session
