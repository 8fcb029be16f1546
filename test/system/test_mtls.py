"""
Certificates that a tunnel's visitors must show (mtls_ca): asked for in the handshake by the name in
the ClientHello, looked at with every request, never carried over to another tunnel or connection.
"""

import pytest

from lib import golike
from lib.env import BIN
from lib.net import Aborted, TlsConn, dial, dial_tls, get, insecure_context, request
from lib.procs import run

HOST = "test.pgrok.me"
SECRET = "/secret"


def context_of(crt=None, key=None):
    c = insecure_context()
    if crt:
        c.load_cert_chain(crt, key)
    return c


@pytest.fixture
def guarded(lab, certs, engine):
    """A tunnel for holders of certificates of certs.ca, one of others' CA, and an open one: (server, site)."""
    site = lab.site()
    s = lab.server(certs=certs, engine=engine)
    config = lab.config(
        "tunnels:\n"
        f"  test: {{proto: {{https: {site.port}}}, mtls_ca: {certs.ca}}}\n"
        f"  same: {{proto: {{https: {site.port}}}, mtls_ca: {certs.ca}}}\n"
        f"  other: {{proto: {{https: {site.port}}}, mtls_ca: {certs.other_ca}}}\n"
        f"  open: {{proto: {{https: {site.port}}}}}\n")
    lab.client(s, "start-all", config=config, tunnels=4, engine=engine)
    return s, site


def test_good(guarded, certs):
    s, site = guarded
    with dial_tls(s.https_port, name=HOST, context=context_of(certs.client, certs.client_key)) as c:
        for i in range(3):
            c.send(request(HOST, f"/{i}") + request(HOST, f"/{i}b"))
            assert [c.response().status for _ in range(2)] == [200, 200]
    assert len(site.requests) == 6
    stranger = context_of(certs.stranger, certs.stranger_key)
    assert get(s.https_port, "other.pgrok.me", tls=True, context=stranger).status == 200
    assert get(s.https_port, "open.pgrok.me", tls=True).status == 200


@pytest.mark.parametrize("who", ["none", "foreign", "self-signed", "the server's own"])
def test_bad(guarded, certs, who):
    s, site = guarded
    pairs = {"none": (), "foreign": (certs.stranger, certs.stranger_key),
             "self-signed": (certs.other_ca, certs.folder / "other-ca.key"),
             "the server's own": (certs.server, certs.ca)}
    if who == "the server's own":
        pairs[who] = (certs.elsewhere, certs.elsewhere_key)  # of the CA, but whoever has it may come
        assert get(s.https_port, HOST, tls=True, context=context_of(*pairs[who])).status == 200
        return
    with pytest.raises(Aborted):
        get(s.https_port, HOST, tls=True, context=context_of(*pairs[who]))
    assert not site.requests


@pytest.mark.parametrize("name", [None, "open.pgrok.me", "same.pgrok.me", "unknown.pgrok.me", "127.0.0.1"])
def test_another_name_in_the_handshake(guarded, certs, name):
    """However good the certificate: the connection was not made for this tunnel."""
    s, site = guarded
    with dial_tls(s.https_port, name=name, context=context_of(certs.client, certs.client_key)) as c:
        c.send(request(HOST, SECRET))
        assert c.response().status == 421
    with dial_tls(s.https_port, name=name, context=context_of(certs.client, certs.client_key)) as c:
        if name in ("open.pgrok.me", "same.pgrok.me"):
            c.send(request(name) + request(HOST, SECRET))
            assert [c.response().status for _ in range(2)] == [200, 421]
        else:
            c.send(request("unknown.pgrok.me") + request(HOST, SECRET))
            assert [c.response().status for _ in range(2)] == [404, 421]
    assert all(r.target != SECRET for r in site.requests)


@pytest.mark.parametrize("name", ["TEST.pgrok.me", "Test.PGROK.me"])
def test_spellings_of_the_name(guarded, certs, name):
    s, _ = guarded
    with pytest.raises(Aborted):
        get(s.https_port, name, tls=True)
    assert get(s.https_port, name, tls=True, context=context_of(certs.client, certs.client_key)).status == 200


def resuming(port, name, context, session):
    c = TlsConn(dial(port).sock, context, server_name=name, handshake=False)
    if session:
        c.tls.session = session
    c.handshake()
    return c


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_nothing_is_resumed(guarded, certs, version):
    """A ticket of a tunnel without rules opens no other; one with them gives none."""
    import ssl
    s, site = guarded
    plain = context_of()
    plain.maximum_version = plain.minimum_version = getattr(ssl.TLSVersion, version)
    with resuming(s.https_port, "open.pgrok.me", plain, None) as c:
        c.send(request("open.pgrok.me"))
        assert c.response().status == 200
        session = c.tls.session
    with resuming(s.https_port, "open.pgrok.me", plain, session) as c:
        assert c.tls.session_reused, "this test would prove nothing"
    with pytest.raises((Aborted, ssl.SSLError)):
        with resuming(s.https_port, HOST, plain, session) as c:
            c.send(request(HOST, SECRET))
            c.response()
    good = context_of(certs.client, certs.client_key)
    good.maximum_version = good.minimum_version = getattr(ssl.TLSVersion, version)
    with resuming(s.https_port, HOST, good, None) as c:
        c.send(request(HOST))
        assert c.response().status == 200
        session = c.tls.session
    if session and session.has_ticket:
        with resuming(s.https_port, HOST, good, session) as c:
            assert not c.tls.session_reused
    assert all(r.target != SECRET for r in site.requests)


def test_another_ca_from_now_on(lab, certs):
    """A connection that one CA vouched for is none that the next one did."""
    site = lab.site()
    s = lab.server(certs=certs)

    def client(ca):
        config = lab.config(f"tunnels:\n  test: {{proto: {{https: {site.port}}}, mtls_ca: {ca}}}\n")
        return lab.client(s, "start", "test", config=config)
    c = client(certs.ca)
    with dial_tls(s.https_port, name=HOST, context=context_of(certs.client, certs.client_key)) as v:
        v.send(request(HOST))
        assert v.response().status == 200
        c.end()
        client(certs.other_ca)
        v.send(request(HOST, SECRET))
        assert v.response().status == 421
    assert all(r.target != SECRET for r in site.requests)


def test_refused_tunnels(lab, certs, tmp_path):
    pem = certs.ca.read_text()
    s = lab.server(certs=certs)
    for proto, ca, says in (("http", pem, "mtls_ca: an http tunnel"), ("tcp", pem, "a tcp tunnel can't have that"),
                            ("https", "nonsense", "mtls_ca: no certificate in it"),
                            ("https", pem.replace("M", "N"), "mtls_ca: a certificate that can't be read"),
                            ("https", pem * 40, "mtls_ca: more than")):
        with golike.GoClient(s.tunnel_port) as c:
            want = golike.req_tunnel(proto, "x" if proto != "tcp" else "")
            want["Payload"]["MtlsCa"] = ca
            c.send(want)
            assert says in c.answers.get(timeout=20)["Error"]
    asks_all = lab.server(f"-tlsClientCA={certs.other_ca}", certs=certs)
    with golike.GoClient(asks_all.tunnel_port) as c:
        want = golike.req_tunnel("https", "x")
        want["Payload"]["MtlsCa"] = pem
        c.send(want)
        assert "certificates of its own CA" in c.answers.get(timeout=20)["Error"]
    for text, says in ((f"proto: {{http: 1}}, mtls_ca: {certs.ca}", "mtls_ca: an http tunnel shows no certificates"),
                       (f"proto: {{tcp: 1}}, mtls_ca: {certs.ca}", "mtls_ca: a tcp tunnel can have"),
                       ("proto: {https: 1}, mtls_ca: /none.pem", "mtls_ca: open /none.pem: no such file"),
                       (f"proto: {{https: 1}}, mtls_ca: {certs.client_key}", "a private key in it")):
        (tmp_path / "x.yml").write_text(f"tunnels:\n  t: {{{text}}}\n")
        status, out, _ = run(BIN / "pgrok", "-config=x.yml", "list", cwd=tmp_path)
        assert status == 1 and "x.yml:2: tunnels.t" in out and says in out, out
