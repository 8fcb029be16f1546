"""Trust: what the client verifies, mutual TLS, the server's own certificate, reload."""

import re
import shutil
import signal
import socket
import ssl
import stat

import pytest

from lib.certs import der_of, pin_of
from lib.golike import GoClient
from lib.net import Aborted, Short, dial_tls, eventually, get, insecure_context, request



def shown(port, name="x.pgrok.me", context=None):
    """The certificate a port shows, DER."""
    with socket.create_connection(("127.0.0.1", port), 30) as raw:
        with (context or insecure_context()).wrap_socket(raw, server_hostname=name) as t:
            return t.getpeercert(True)


def named(server, host="localhost"):
    return f"{host}:{server.tunnel_port}"


# ---- the client verifies ----

def works(lab, s, addr, *flags, **kw):
    site = lab.site()
    c = lab.client(addr, *flags, "-subdomain=ok", site.port, tunnels=2, **kw)
    assert get(s.http_port, "ok.pgrok.me").status == 200
    return c


def refused(lab, addr, *flags, word="certificate|verif|x509|pin", **kw):
    """Retries for ever and says why; nothing is established."""
    c = lab.client(addr, *flags, "-subdomain=no", 1, wait=False, **kw)
    c.allow(".*")
    c.wait_log(word)
    assert c.alive()
    assert not c.urls()
    return c


def test_root_ca(lab, certs):
    s = lab.server(certs=certs)
    works(lab, s, s.tunnel_addr, f"-rootCA={certs.ca}")
    refused(lab, s.tunnel_addr, f"-rootCA={certs.other_ca}", word="x509|signed by unknown|verif")


def test_root_cas_in_the_config(lab, certs):
    s = lab.server(certs=certs)
    works(lab, s, s.tunnel_addr, config=lab.config(f"root_cas: {certs.ca}\n"))
    refused(lab, s.tunnel_addr, config=lab.config(f"root_cas: {certs.other_ca}\n"))


def test_name_is_verified(lab, certs):
    class Elsewhere:
        server, server_key = certs.elsewhere, certs.elsewhere_key
    s = lab.server(certs=Elsewhere)
    refused(lab, s.tunnel_addr, f"-rootCA={certs.ca}")
    refused(lab, named(s), f"-rootCA={certs.ca}")


def test_host_roots(lab, certs):
    """trust_host_root_certs: the system's roots, here replaced by SSL_CERT_FILE."""
    s = lab.server(certs=certs)
    cfg = lab.config("trust_host_root_certs: true\n")
    works(lab, s, named(s), config=cfg, extra_env={"SSL_CERT_FILE": str(certs.ca)})
    refused(lab, named(s), config=cfg, extra_env={"SSL_CERT_FILE": str(certs.other_ca)})
    # A file made for the Go client, which ignored the key, needs a word on it.
    refused(lab, named(s), config=cfg, word="trust_host_root_certs, which the Go client ignored.*"
            "server_pin or root_cas")


def test_pin(lab, certs):
    s = lab.server(certs=certs)
    works(lab, s, s.tunnel_addr, config=lab.config(f"server_pin: {pin_of(certs.server)}\n"))
    refused(lab, s.tunnel_addr, config=lab.config(f"server_pin: {pin_of(certs.server2)}\n"), word="pin")


@pytest.mark.parametrize("pin", ["sha256//short", "md5//AAAA", "nonsense", "sha256//" + "!" * 44])
def test_bad_pin(lab, pin):
    c = lab.client("127.0.0.1:1", "80", config=lab.config(f"server_pin: {pin}\n"), wait=False)
    c.expect_exit(1)
    assert "server_pin" in c.text()


def test_bad_root_file(lab, tmp_path):
    for path in ("/nonexistent.pem", tmp_path, "/dev/null"):
        c = lab.client("127.0.0.1:1", f"-rootCA={path}", "80", wait=False)
        c.expect_exit(1)
        assert str(path) in c.text()


def test_without_rules_it_says_so_with_the_pin(lab, certs):
    """As pgrok always did: anything is accepted, but said once, with the pin to use."""
    s = lab.server(certs=certs)
    c = works(lab, s, s.tunnel_addr)
    warns = [t for _, t in c.lines if "[WARN]" in t]
    assert any(pin_of(certs.server) in t for t in warns), warns
    assert len([t for t in warns if "sha256//" in t]) == 1, "once"
    c.end()
    pin = re.search(r"sha256//[A-Za-z0-9+/]{43}=", "\n".join(warns))[0]
    works(lab, s, s.tunnel_addr, config=lab.config(f"server_pin: {pin}\n"))


def test_proxy_connections_are_verified_too(lab, certs, tmp_path):
    """The server's certificate changes to one that is not trusted: no new connection is accepted."""
    crt, key = tmp_path / "s.pem", tmp_path / "s.key"
    shutil.copy(certs.server, crt)
    shutil.copy(certs.server_key, key)

    class Here:
        server, server_key = crt, key
    s = lab.server(certs=Here)
    c = works(lab, s, s.tunnel_addr, "-mux=false",
              config=lab.config(f"server_pin: {pin_of(certs.server)}\n"))
    c.allow(".*")
    shutil.copy(certs.server2, crt)
    shutil.copy(certs.server2_key, key)
    s.send(signal.SIGHUP)
    eventually(lambda: shown(s.tunnel_port) == der_of(certs.server2))
    # What was pooled before may still serve; beyond it nothing does.
    visitors = [dial_tls(s.https_port, name="ok.pgrok.me") for _ in range(6)]
    for v in visitors:
        v.send(request("ok.pgrok.me"))
    c.wait_log("pin")
    for v in visitors:
        v.cut()


# ---- mutual TLS ----

def test_mutual_tls(pair, certs):
    site = pair.lab.site()
    s = pair.server(f"-tunnelTLSClientCA={certs.ca}", certs=certs)
    pair.client(s, f"-tlsClientCrt={certs.client}", f"-tlsClientKey={certs.client_key}", "-subdomain=x",
                site.port, tunnels=2)
    host = f"x.pgrok.me:{s.http_port}"
    for _ in range(4):
        assert get(s.http_port, host).status == 200
    # Visitors need none.
    assert get(s.https_port, f"x.pgrok.me:{s.https_port}", tls=True).status == 200


def test_mutual_tls_in_the_config(lab, certs):
    s = lab.server(f"-tunnelTLSClientCA={certs.ca}", certs=certs)
    works(lab, s, s.tunnel_addr, config=lab.config(
        f"tls_client_crt: {certs.client}\ntls_client_key: {certs.client_key}\n"))


def test_mutual_tls_refusals(lab, certs):
    s = lab.server(f"-tunnelTLSClientCA={certs.ca}", certs=certs)
    for flags in ((), (f"-tlsClientCrt={certs.stranger}", f"-tlsClientKey={certs.stranger_key}")):
        c = lab.client(s, *flags, "-subdomain=x", "80", wait=False)
        c.allow(".*")
        c.wait_log("certificate|alert|tls|TLS")
        assert not c.urls()
    with pytest.raises((Aborted, Short, OSError)):
        GoClient(s.tunnel_port)
    ctx = insecure_context()
    ctx.load_cert_chain(certs.client, certs.client_key)
    with GoClient(s.tunnel_port, context=ctx) as g:
        g.ping()


def test_proxy_connections_need_a_certificate_too(lab, certs):
    """Knowing a ClientId is not enough."""
    from lib.golike import connect, message, send_message
    s = lab.server(f"-tunnelTLSClientCA={certs.ca}", certs=certs)
    ctx = insecure_context()
    ctx.load_cert_chain(certs.client, certs.client_key)
    g = lab.goclient(s, context=ctx, proxies=False)
    try:
        c = connect(s.tunnel_port)
        send_message(c, message("RegProxy", ClientId=g.client_id))
        assert c.recv_rest()[0] == b""
    except Aborted:
        pass
    g.ping()


# ---- the server's own certificate ----

def test_self_made_certificate(lab, tmp_path):
    """P-256, for the domain and below it, kept with its key (0600) across restarts."""
    state = tmp_path / "state"
    s = lab.server(state_dir=state)
    der = shown(s.https_port)
    assert shown(s.tunnel_port) == der
    files = {p.name: p for p in state.iterdir()}
    keys = [p for p in files.values() if "PRIVATE KEY" in p.read_text()]
    assert len(keys) == 1 and stat.S_IMODE(keys[0].stat().st_mode) == 0o600
    import subprocess
    text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-text"], input=der,
                          stdout=subprocess.PIPE, check=True).stdout.decode()
    assert "DNS:pgrok.me" in text and "DNS:*.pgrok.me" in text
    assert "prime256v1" in text
    s.end()
    s2 = lab.again(s)
    assert shown(s2.https_port) == der
    # A client that trusts exactly this certificate.
    pem = ssl.DER_cert_to_PEM_cert(der)
    ca = tmp_path / "self.pem"
    ca.write_text(pem)
    ctx = ssl.create_default_context(cafile=str(ca))
    assert shown(s2.https_port, "any.pgrok.me", ctx) == der


def test_state_directory_variable(lab, tmp_path):
    state = tmp_path / "sd"
    state.mkdir()
    s = lab.server(state_dir=None, extra_env={"STATE_DIRECTORY": str(state)})
    assert list(state.iterdir())
    shown(s.tunnel_port)


def test_unwritable_state_dir(lab, tmp_path):
    """In memory then, and the log says that the pin will change."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    s = lab.server(state_dir=blocked / "below")
    s.allow(".*")
    first = shown(s.tunnel_port)
    assert re.search(r"pin|memory", s.text(), re.I)
    s.end()
    s2 = lab.again(s)
    s2.allow(".*")
    assert shown(s2.tunnel_port) != first


def test_reload_with_unwritable_state_dir(lab, tmp_path):
    """SIGHUP keeps the certificate that is in memory alone: clients may have pinned it."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    s = lab.server(state_dir=blocked / "below", workers=2)
    s.allow("pin|memory")
    first = {port: shown(port) for port in (s.https_port, s.tunnel_port)}
    mark = s.mark()
    s.send(signal.SIGHUP)
    s.wait_log("Reloaded, but for the certificate", after=mark)
    for port, der in first.items():
        assert all(shown(port) == der for _ in range(8))


def test_two_servers_make_one_pair(lab, tmp_path):
    """Started at the same time on one folder: both work, no half-written file stays."""
    state = tmp_path / "state"
    a = lab.server(state_dir=state, wait=False)
    b = lab.server(state_dir=state, wait=False)
    for s in (a, b):
        s.wait_log("Listening for control and proxy connections on")
        shown(s.tunnel_port)


def test_damaged_state(lab, tmp_path):
    """A broken kept certificate is a clear fault or replaced, never a crash."""
    state = tmp_path / "state"
    s = lab.server(state_dir=state)
    s.end()
    for p in state.iterdir():
        p.write_text("nonsense")
    s2 = lab.again(s, wait=False)
    s2.allow(".*")
    eventually(lambda: not s2.alive() or s2.has("Listening for control"))
    if not s2.alive():
        s2.expect_exit(1)
        assert str(state) in s2.text("err")


# ---- reload ----

def test_reload(lab, certs, workers, tmp_path):
    """SIGHUP: new certificate on every worker, connections stay."""
    crt, key = tmp_path / "s.pem", tmp_path / "s.key"
    shutil.copy(certs.server, crt)
    shutil.copy(certs.server_key, key)

    class Here:
        server, server_key = crt, key
    site = lab.site()
    s, c = lab.started(site, certs=Here, workers=workers)
    with dial_tls(s.https_port, name="test.pgrok.me") as v:
        v.send(request("test.pgrok.me"))
        assert v.response().status == 200
        shutil.copy(certs.server2, crt)
        shutil.copy(certs.server2_key, key)
        s.send(signal.SIGHUP)
        new = der_of(certs.server2)
        for port in (s.https_port, s.tunnel_port):
            eventually(lambda p=port: all(shown(p) == new for _ in range(12)))
        v.send(request("test.pgrok.me", "/still"))
        assert v.response().status == 200
    assert get(s.https_port, "test.pgrok.me", tls=True).status == 200
    assert len(c.urls()) == 2, "the client had to come again"


def test_reload_of_a_broken_file(lab, certs, tmp_path):
    """The old one stays in force; the log says why."""
    crt, key = tmp_path / "s.pem", tmp_path / "s.key"
    shutil.copy(certs.server, crt)
    shutil.copy(certs.server_key, key)

    class Here:
        server, server_key = crt, key
    s = lab.server(certs=Here)
    s.allow(".*")
    for text in ("", "nonsense", certs.server2.read_text()):  # the last does not fit the key
        crt.write_text(text)
        mark = s.mark()
        s.send(signal.SIGHUP)
        s.wait_log(re.escape(str(crt)) + "|tlsCrt|certificate|key", after=mark)
        assert shown(s.https_port) == der_of(certs.server)
    shutil.copy(certs.server2, crt)
    shutil.copy(certs.server2_key, key)
    s.send(signal.SIGHUP)
    eventually(lambda: shown(s.https_port) == der_of(certs.server2))


def test_reopened_log(lab, tmp_path):
    """SIGHUP reopens a log file that was moved away."""
    log = tmp_path / "d.log"
    s = lab.server(log=log, wait=False)
    eventually(lambda: log.exists() and "Listening for control" in log.read_text())
    log.rename(tmp_path / "moved")
    s.send(signal.SIGHUP)
    eventually(log.exists)
    lab.goclient(s).url("http", subdomain="x")
    eventually(lambda: "x.pgrok.me" in log.read_text())


def test_reload_under_load(lab, certs, workers, tmp_path):
    """Reloads while visitors come: no request fails."""
    site = lab.site()
    s, _ = lab.started(site, certs=certs, workers=workers)
    stop = []

    def visit():
        n = 0
        while not stop:
            assert get(s.https_port, "test.pgrok.me", tls=True).status == 200
            n += 1
        return n
    threads = [lab.thread(visit) for _ in range(3)]
    import time
    for _ in range(15):
        s.send(signal.SIGHUP)
        time.sleep(0.05)
    stop.append(1)
    assert sum(t.result() for t in threads) > 10


def test_suites(lab):
    """TLS 1.2 with ECDHE alone, on both ports: what was recorded stays closed to who steals the key."""
    s = lab.server()
    for port in (s.https_port, s.tunnel_port):
        for suites, ok in (("ECDHE", True), ("AES128-GCM-SHA256:AES256-SHA", False), ("DHE+AES", False)):
            ctx = insecure_context()
            ctx.maximum_version = ssl.TLSVersion.TLSv1_2
            ctx.set_ciphers(suites)
            if ok:
                with dial_tls(port, context=ctx) as c:
                    assert c.tls.cipher()[0].startswith("ECDHE-")
            else:
                with pytest.raises(Aborted):
                    dial_tls(port, context=ctx)
