"""The command line: every row of the Go pair's table, texts and exit statuses."""

import hashlib
import re
import signal
import subprocess

import pytest

from lib import env
from lib.golike import GoClient
from lib.net import eventually
from lib.procs import empty_config, run

PGROK = env.BIN / "pgrok"
PGROKD = env.BIN / "pgrokd"

TUNNELS = """\
tunnels:
  one:
    proto:
      http: 8001
  two:
    proto:
      tcp: 8002
"""


def pgrok(*args, config=True, **kw):
    cfg = [f"-config={empty_config()}"] if config else []
    return run(PGROK, *cfg, *args, **kw)


def test_nothing():
    status, out, err = pgrok()
    assert (status, err) == (1, "")
    assert "Error: Specify a local port to tunnel to, or an pgrok command.\n\n" \
           "Example: To expose port 80, run 'pgrok 80'\n" in out


@pytest.mark.parametrize("args", [["help"], ["-h"], ["--help"], ["-help"]])
def test_help(args):
    status, out, err = run(PGROK, *args)
    assert (status, err) == (0, "")
    for flag in ("authtoken", "config", "hostname", "httpauth", "inspectaddr", "inspectpublic", "log",
                 "log-level", "proto", "serveraddr", "subdomain", "tls", "tlsClientCrt", "tlsClientKey",
                 "rootCA", "engine"):
        assert re.search(rf"^ +-{flag}\b", out, re.M), flag
    for command in ("start", "start-all", "list", "version", "help"):
        assert re.search(rf"\b{command}\b", out), command
    assert out.index("The server:") < out.index("-serveraddr") < out.index("The log:") < out.index("-log")


@pytest.mark.parametrize("flag", ["-badflag", "--badflag", "-badflag=1"])
def test_unknown_flag(flag):
    status, out, err = pgrok(flag)
    assert status == 2
    name = flag.lstrip("-").split("=")[0]
    assert err == f"flag provided but not defined: -{name}\n'pgrok -h' lists the flags.\n"
    assert out == ""


@pytest.mark.parametrize("args", [["version"], ["version", "more", "words"], ["-version"], ["--version"]])
def test_version(args):
    """This project's own, and that of the Go pair whose protocol it speaks."""
    for program in (PGROK, PGROKD):
        status, out, err = run(program, *args)
        assert (status, err) == (0, "")
        assert re.fullmatch(rf"{program.name} \d+\.\d+\.\d+ \(protocol of pgrok 3\.0\)\n", out), out


def test_list(tmp_path):
    cfg = tmp_path / "c.yml"
    cfg.write_text(TUNNELS)
    for more in ([], ["ignored"]):
        status, out, _ = run(PGROK, f"-config={cfg}", "list", *more)
        assert status == 0
        assert sorted(out.splitlines()) == ["one", "two"]
    status, out, _ = pgrok("list")
    assert (status, out) == (0, "")


def one(status_wanted, text, *args, **kw):
    status, out, err = pgrok(*args, **kw)
    assert status == status_wanted, (status, out, err)
    assert text in out + err, (out, err)


def test_start_without_names():
    one(1, "You must specify at least one tunnel to start\n", "start")


def test_start_unknown(tmp_path):
    cfg = tmp_path / "c.yml"
    cfg.write_text(TUNNELS)
    want = "Requested to start tunnel nope which is not defined in the config file.\n"
    for names in (["nope"], ["one", "nope"]):
        status, out, err = run(PGROK, f"-config={cfg}", "start", *names)
        assert status == 1
        assert want in out + err


def test_two_ports():
    one(1, "You may only specify one port to tunnel to on the command line, got 2: [80 90]\n", "80", "90")


def test_flags_after_the_port_are_arguments():
    one(1, "You may only specify one port to tunnel to on the command line, got 2: "
        "[18888 -proto=tcp]\n", "18888", "-proto=tcp")
    one(1, "Flags stand before the port or command.\n", "18888", "-proto=tcp")


def test_credentials_without_a_colon(tmp_path):
    """No visitor could ever give them."""
    one(1, "-httpauth: user:password is wanted, there is no ':'\n", "-httpauth=secret", "80")
    cfg = tmp_path / "c.yml"
    cfg.write_text("tunnels:\n  a:\n    auth: secret\n    proto: {http: 80}\n")
    status, out, err = run(PGROK, f"-config={cfg}", "start", "a")
    assert (status, err) == (1, "")
    assert out == f"{cfg}:3: tunnels.a.auth: user:password is wanted, there is no ':'\n"


def test_password_of_a_tcp_tunnel(tmp_path):
    """It would guard nothing."""
    want = "a password protects http and https only: every visitor of this tcp tunnel would get in\n"
    one(1, f"-httpauth: {want}", "-proto=tcp", "-httpauth=a:b", "22")
    cfg = tmp_path / "c.yml"
    cfg.write_text("tunnels:\n  a:\n    auth: a:b\n    proto: {tcp: 22}\n")
    status, out, _ = run(PGROK, f"-config={cfg}", "start", "a")
    assert (status, out) == (1, f"{cfg}:3: tunnels.a: auth: {want}")


def test_start_all_with_nothing():
    status, out, _ = pgrok("-serveraddr=127.0.0.1:1", "start-all")
    assert status == 1
    assert re.fullmatch(r"There are no tunnels to start: .* has none\. .* -inspectpublic\n", out)


def test_server_without_https(lab):
    """Left out if nobody asked for it by name; else the refusal counts."""
    site = lab.site()
    s = lab.server(https=False)
    c = lab.client(s, "-subdomain=a", site.port)
    c.wait_log("The server has no https: http only")
    assert c.urls() == [f"http://a.pgrok.me:{s.http_port}"]
    c = lab.client(s, "-subdomain=b", "-proto=http+https", site.port, wait=False)
    c.expect_exit(1)
    assert "Not listening for https connections" in c.text("err")


def test_inspect_address_of_another_machine():
    one(1, "-inspectaddr (inspect_addr): listen tcp 192.0.2.1:80: bind: ", "-serveraddr=127.0.0.1:1",
        "-inspectaddr=192.0.2.1:80", "80")


@pytest.mark.parametrize("address", ["foo", "10.0.0.1"])
def test_bad_address(address):
    one(1, f"Invalid address  '{address}': address {address}: missing port in address\n", address)


@pytest.mark.parametrize("proto,bad", [("foo", "foo"), ("http+foo", "foo"), ("HTTP", "HTTP"), ("", "")])
def test_bad_proto(proto, bad):
    one(1, f"-proto: Invalid protocol for default: {bad}\n", f"-proto={proto}", "80")


@pytest.mark.parametrize("command", [["80"], ["start", "x"], ["start-all"], ["list"]])
def test_missing_config(command):
    status, out, err = run(PGROK, "-config=/nonexistent.yml", *command)
    assert status == 1
    assert "Failed to read configuration file /nonexistent.yml: open /nonexistent.yml: " \
           "no such file or directory\n" in out + err


def test_no_server(tmp_path):
    """Nothing is dialled that was not asked for."""
    cfg = tmp_path / "c.yml"
    cfg.write_text("serveraddr: h:1\n")
    status, out, err = run(PGROK, f"-config={cfg}", "8080")
    assert status == 1
    assert f"no server: -serveraddr=HOST:PORT, or server_addr in {cfg}\n" in out
    assert "serveraddr: unknown key, ignored; did you mean server_addr?\n" in err


def test_forms_of_ngrok():
    one(1, "no command http: write pgrok -proto=http 8080\n", "http", "8080")


def test_deep_nesting_is_refused_at_once(tmp_path):
    cfg = tmp_path / "c.yml"
    cfg.write_text("a: " + "[" * 100000)
    status, out, _ = run(PGROK, f"-config={cfg}", "list")
    assert (status, out) == (1, f"{cfg}:1: lists and mappings nested more than 32 deep\n")


def test_bad_server_addr():
    one(1, "Invalid address server_addr 'foo': address foo: missing port in address\n",
        "-serveraddr=foo", "80")
    one(1, "Invalid address inspect_addr 'foo': address foo: missing port in address\n",
        "-inspectaddr=foo", "80")


def test_bad_proxy_scheme():
    for name in ("http_proxy", "ALL_PROXY"):
        one(1, f"{name}: Proxy url scheme must be 'http', 'https', 'socks5' or 'socks5h', got socks4\n",
            "-serveraddr=127.0.0.1:1", "80", extra_env={name: "socks4://127.0.0.1:1080"})


@pytest.mark.parametrize("crt,key", [("/nonexistent.pem", "/nonexistent.key"), ("/dev/null", "/dev/null")])
def test_unreadable_client_certificate(crt, key):
    status, out, err = pgrok(f"-tlsClientCrt={crt}", f"-tlsClientKey={key}", "-serveraddr=127.0.0.1:1", "80")
    assert status == 1
    assert crt in out + err or "tlsClientCrt" in out + err


def test_unknown_engine():
    status, out, err = pgrok("-engine=steam", "80")
    assert status == 1
    assert "engine" in out + err


def test_text_that_is_not_utf8():
    for flag in (b"-subdomain=\xff", b"-authtoken=\xc3", b"-hostname=\xed\xa0\x80"):
        p = subprocess.run([str(PGROK), f"-config={empty_config()}", flag, "80"],
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=env.WAIT, check=False)
        assert p.returncode in (1, 2), p
        assert p.stderr


@pytest.mark.parametrize("form", [["-subdomain=x"], ["-subdomain", "x"], ["--subdomain=x"],
                                  ["--subdomain", "x"]])
def test_flag_forms(lab, certs, form):
    g = lab.goserver(certs)
    c = lab.client(g.addr, *form, 8080, tunnels=2)
    assert g.wait_control().wait_request()["Subdomain"] == "x"
    assert len(c.urls()) == 2


def test_booleans_take_no_word(lab, certs):
    """-tls alone is a switch; the port after it is an argument. It has no effect."""
    g = lab.goserver(certs)
    for flag in ("-tls", "-tls=false", "-tls=true", "--tls"):
        lab.client(g.addr, flag, "-proto=http", 8080).end()


def test_double_dash(lab, certs):
    g = lab.goserver(certs)
    lab.client(g.addr, "-proto=http", "--", 8080)


def test_port_and_address(lab, certs):
    """A number is 127.0.0.1:number; host:port is taken as it is."""
    g = lab.goserver(certs, on_tunnel=None)
    site = lab.site()
    for what in (site.port, f"127.0.0.1:{site.port}", f"localhost:{site.port}"):
        c = lab.client(g.addr, "-proto=http", "-subdomain=x", what)
        v = g.visit(c.urls()[0])
        v.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert v.response().status == 200
        c.end()
        g.proxies.clear()


def test_refused_tunnel(lab):
    """The message on stderr, status 1 (the Go client: 0)."""
    s = lab.server()
    lab.client(s, "-subdomain=dup", "-proto=http", 1)
    c = lab.client(s, "-subdomain=dup", "-proto=http", 1, wait=False)
    c.expect_exit(1)
    assert f"Server failed to allocate tunnel: The tunnel http://dup.pgrok.me:{s.http_port} is " \
           "already registered." in c.text("err")


def test_refused_auth(lab, certs):
    g = lab.goserver(certs, on_auth=lambda ctl, r: dict(r, Error="no such account"))
    c = lab.client(g.addr, 8080, wait=False)
    c.expect_exit(1)
    assert "Failed to authenticate to server: no such account" in c.text("err")


def test_unreachable_server_is_retried(lab, certs):
    """It runs on, and is there when the server is."""
    port = env.free_port()
    c = lab.client(f"127.0.0.1:{port}", "-proto=http", 8080, wait=False)
    c.allow(".*")
    c.wait_log(r"refused")
    g = lab.goserver(certs, port=port)
    g.wait_control()
    c.wait_tunnels(1)


@pytest.mark.parametrize("signame", ["SIGINT", "SIGTERM"])
def test_signals(lab, certs, signame):
    g = lab.goserver(certs)
    for i, log in enumerate(("stdout", "none")):
        c = lab.client(g.addr, "-proto=http", 8080, log=log, wait=log == "stdout")
        g.wait_control(i + 1).wait_request()
        assert c.stop(getattr(signal, signame)) == 0
        c.expected_status = 0


def test_log_to_a_file(lab, certs, tmp_path):
    """Created 0640; an older one is renamed to .1, .2 ...; plain status lines on the terminal."""
    g = lab.goserver(certs)
    log = tmp_path / "pgrok.log"
    for i in range(3):
        c = lab.client(g.addr, "-proto=http", "-subdomain=x", 8080, log=log, wait=False)
        g.wait_control(i + 1).wait_request()
        eventually(lambda: log.exists() and "Tunnel established at http://x.pgrok.me:18080" in log.read_text())
        eventually(lambda: c.has("http://x.pgrok.me:18080"), what="a status line on stdout")
        c.end()
    assert log.stat().st_mode & 0o777 == 0o640
    first = log.read_text().splitlines()[0]
    assert re.match(r"\[\d{4}/\d\d/\d\d \d\d:\d\d:\d\d UTC\] \[\w{4}\] ", first), first
    assert (tmp_path / "pgrok.log.1").exists() and (tmp_path / "pgrok.log.2").exists()


def test_log_level(lab, certs):
    g = lab.goserver(certs)
    c = lab.client(g.addr, "-proto=http", "-log-level=ERROR", 8080, wait=False)
    g.wait_control().wait_request()
    c.end()
    assert "INFO" not in c.text() and "DEBG" not in c.text()
    status, out, err = pgrok("-log-level=LOUD", "-log=stdout", "-serveraddr=127.0.0.1:1", "80")
    assert status == 1 and "LOUD" in out + err


def test_log_line_format(lab, certs):
    g = lab.goserver(certs)
    c = lab.client(g.addr, "-proto=http", 8080)
    line = next(t for _, t in c.lines if "Tunnel established" in t)
    assert re.match(r"\[\d{4}/\d\d/\d\d \d\d:\d\d:\d\d UTC\] \[INFO\] ", line), line


def test_what_answers_is_no_tunnel_port(lab):
    """A wrong port is the commonest slip: the message says so, and a proxy's fault is the proxy's."""
    s = lab.server()
    for port, why in ((s.http_port, r"TLS: wrong version number \(no TLS there; is it the right port\?\)"),
                      (s.https_port, r"bad length of a message \(is it the server's port for clients\?\)")):
        lab.client(f"127.0.0.1:{port}", "-proto=http", 80, wait=False).allow(".*").wait_log(why)
    gone = {"http_proxy": f"http://127.0.0.1:{env.free_port()}"}
    c = lab.client(s, "-proto=http", 80, wait=False, extra_env=gone).allow(".*")
    c.wait_log("http_proxy: dial tcp 127.0.0.1:.*: connection refused")


# ---- pgrokd ----

@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_server_help(flag):
    status, out, err = run(PGROKD, flag)
    assert (status, err) == (0, "")
    for name in ("domain", "httpAddr", "httpsAddr", "tunnelAddr", "tunnelTLSClientCA", "tlsCrt", "tlsKey",
                 "tlsClientCA", "log", "log-level", "workers", "engine", "tcpAddr", "tcpPorts", "stateDir"):
        assert re.search(rf"^ +-{name}\b", out, re.M), name


def test_warning_of_unchecked_tokens(lab, certs):
    """Not where a client needs a certificate."""
    lab.server().wait_log("Tokens are not checked")
    assert not lab.server(f"-tunnelTLSClientCA={certs.ca}").has("Tokens are not checked")


def test_server_without_domain():
    status, out, err = run(PGROKD, "-httpAddr=127.0.0.1:0", "-httpsAddr=", "-tunnelAddr=127.0.0.1:0")
    assert status == 1
    assert "no domain: -domain=NAME" in err


def test_server_unknown_flag():
    status, _, err = run(PGROKD, "-badflag")
    assert status == 2
    assert err == "flag provided but not defined: -badflag\n'pgrokd -h' lists the flags.\n"


@pytest.mark.parametrize("flags,word", [
    (["-workers=x"], "workers"), (["-workers=-3"], "workers"),
    (["-engine=steam"], "engine"), (["-tcpPorts=9-1"], "tcpPorts"), (["-tcpPorts=x"], "tcpPorts"),
    (["-tcpPorts=1-70000"], "tcpPorts"), (["-httpAddr=nonsense"], "httpAddr|missing port"),
    (["-log-level=LOUD"], "log-level|LOUD"), (["-log=/nonexistent/dir/x.log"], "/nonexistent/dir"),
    (["-tlsCrt=/nonexistent.pem", "-tlsKey=/nonexistent.key"], "tlsCrt|/nonexistent.pem"),
    (["-httpsAddr=127.0.0.1:0", "-tlsClientCA=/nonexistent.pem"], "tlsClientCA|/nonexistent.pem"),
    (["-tunnelTLSClientCA=/nonexistent.pem"], "tunnelTLSClientCA|/nonexistent.pem"),
    (["-tcpAddr=not an address"], "tcpAddr|not an address"),
])
def test_server_bad_option(tmp_path, flags, word):
    """The message names the option; status 1 (2 for what the flag parser itself refuses)."""
    status, out, err = run(PGROKD, "-domain=pgrok.test", "-httpAddr=127.0.0.1:0", "-httpsAddr=", "-tunnelAddr=127.0.0.1:0",
                           f"-stateDir={tmp_path}", *flags)
    assert status == (2 if flags == ["-workers=x"] else 1), (status, out, err)
    assert re.search(word, err), err
    assert "[EROR]" not in out, "said twice"


def test_server_certificate_without_key(certs, tmp_path):
    status, _, err = run(PGROKD, "-domain=pgrok.test", f"-tlsCrt={certs.server}", "-httpAddr=127.0.0.1:0",
                         "-httpsAddr=127.0.0.1:0", "-tunnelAddr=127.0.0.1:0", f"-stateDir={tmp_path}")
    assert status == 1 and "tlsKey" in err
    status, _, err = run(PGROKD, "-domain=pgrok.test", f"-tlsCrt={certs.server}", f"-tlsKey={certs.client_key}",
                         "-httpAddr=127.0.0.1:0", "-httpsAddr=127.0.0.1:0", "-tunnelAddr=127.0.0.1:0",
                         f"-stateDir={tmp_path}")
    assert status == 1 and err


def test_server_file(lab, tmp_path):
    """Every flag may stand in a file; one on the command line beats it."""
    conf = lab.config("domain: other.me\nworkers: 1\nreserved: admin\nlog-level: ERROR\n")
    s = lab.server(f"-config={conf}")
    c = lab.goclient(s)
    assert "reserved" in c.tunnel("http", subdomain="admin")[0]["Error"]
    c = lab.goclient(s)
    assert c.url("http", subdomain="www") == f"http://www.pgrok.me:{s.http_port}"
    s.wait_log("Registered new tunnel on")  # -log-level=DEBUG


def check(lab, text, *flags, state):
    conf = lab.config(text)
    return conf, run(PGROKD, "-check", f"-config={conf}", f"-stateDir={state}", *flags)


def test_server_check(lab, certs, tmp_path):
    """It reads all that the server would read, listens nowhere and writes nothing."""
    state = tmp_path / "check"
    state.mkdir()
    good = f"domain: x.me\nhttpAddr: :80\nhttpsAddr: ''\ntlsCrt: {certs.server}\ntlsKey: {certs.server_key}\n"
    _, (status, out, err) = check(lab, good, state=state)
    assert (status, err) == (0, ""), err
    assert re.search(r"^domain +x\.me$", out, re.M) and re.search(r"^https +off$", out, re.M), out
    assert re.search(r"^http +:80$", out, re.M) and re.search(r"^admin +off$", out, re.M), out
    assert re.search(r"^tokens +not checked: anyone", out, re.M), out
    _, (status, out, err) = check(lab, good + "adminAddr: 127.0.0.1:1\ntokens: [{name: a, token: b}]\n", state=state)
    assert (status, err) == (0, "") and re.search(r"^tokens +1$", out, re.M), out
    assert re.search(r"^admin +127\.0\.0\.1:1$", out, re.M), out
    assert "is not for names below" not in out
    assert re.findall(r"^limit +(.*)$", out, re.M) == ["maxHalfOpen 4096", "maxHalfOpenPerAddress 256", "maxWaiting 1024"]
    _, (_, out, _) = check(lab, good + "limits: {maxHalfOpen: 9, tunnelBandwidth: 8Mbit/s}\n", state=state)
    assert {"maxHalfOpen 9", "tunnelBandwidth 1000000"} <= set(re.findall(r"^limit +(.*)$", out, re.M)), out
    conf, (status, out, err) = check(lab, good + "\nworkerz: 3\n", state=state)
    assert (status, out, err) == (1, "", f"{conf}:7: workerz: unknown key; did you mean workers?\n")
    _, (status, out, err) = check(lab, good, "-tunnelTLSClientCA=/nonexistent.pem", state=state)
    assert status == 1 and "-tunnelTLSClientCA" in err and not out
    _, (status, out, err) = check(lab, "domain: x.me\n", state=state)
    assert (status, err) == (0, "") and re.search(r"^certificate +self-signed$", out, re.M)
    assert list(state.iterdir()) == []


def test_hash_token():
    def hashed(text):
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}\n"
    assert run(PGROKD, "hash-token", stdin="my secret\n") == (0, hashed("my secret"), "")
    assert run(PGROKD, "hash-token", stdin="without an end") == (0, hashed("without an end"), "")
    status, out, err = run(PGROKD, "hash-token", "-random")
    token, line = out.split("\n", 1)
    assert (status, err) == (0, "") and len(token) == 32 and line == hashed(token)
    assert run(PGROKD, "hash-token", "-random")[1] != out
    for stdin in ("", "\n"):
        status, out, err = run(PGROKD, "hash-token", stdin=stdin)
        assert (status, out) == (1, "") and err
    status, out, err = run(PGROKD, "hash-token", "mysecret")
    assert (status, out) == (2, "") and "mysecret" not in err


@pytest.mark.parametrize("words", [["foo"], ["-mux", "false", "-nonsense"]])
def test_server_refuses_extra_words(words):
    """`-mux false` would leave all flags behind it out."""
    status, out, err = run(PGROKD, "-domain=pgrok.test", *words)
    assert (status, out) == (2, "")
    assert re.match(r"unexpected argument '(foo|false)' ", err), err


@pytest.mark.parametrize("signame", ["SIGINT", "SIGTERM"])
def test_server_signals(lab, workers, signame):
    site = lab.site()
    s, c = lab.started(site, workers=workers)
    c.allow(".*")
    assert s.stop(getattr(signal, signame)) == 0
    s.expected_status = 0


def test_server_log_file(lab, tmp_path):
    log = tmp_path / "pgrokd.log"
    s = lab.server(log=log, wait=False)
    eventually(lambda: log.exists() and
               "Listening for control and proxy connections on" in log.read_text())
    assert log.stat().st_mode & 0o777 == 0o640
    s.end()


def test_server_log_none(lab):
    s = lab.server(log="none", wait=False)

    def up():
        try:
            return lab.keep(GoClient(s.tunnel_port))
        except OSError:
            return None
    eventually(up)
    s.end()
    assert s.text("out") == ""


# What is wrong, and the one line that says so: with the name of the flag.
WRONG = {
    "pgrok": [
        ("-log=/nonexistent/x 80", "-log: cannot open log file /nonexistent/x: No such file or directory"),
        ("-log-level=LOUD 80", "-log-level is DEBUG, INFO, WARNING or ERROR, not 'LOUD'"),
        ("-log-format=xml 80", "-log-format is text or json, not 'xml'"),
        ("-log-max=-1 80", "-log-max is a number of megabytes, not -1"),
        ("-engine=fast 80", "-engine is direct or bufferevent, not 'fast'"),
        ("-proto=ftp 80", "-proto: Invalid protocol for default: ftp"),
        ("-proto=http+ 80", "-proto: Invalid protocol for default: "),
        ("-httpauth=secret 80", "-httpauth: user:password is wanted, there is no ':'"),
        ("-proto=tcp -httpauth=a:b 80", "-httpauth: a password protects http and https only: every visitor "
                                        "of this tcp tunnel would get in"),
        ("-hostname=https://a.b 80", "-hostname: 'https://a.b' is a URL, a name alone is wanted"),
        ("-subdomain=http://a 80", "-subdomain: 'http://a' is a URL, a name alone is wanted"),
        ("-tlsClientCrt=/none 80", "A client certificate needs its key too: -tlsClientKey (tls_client_key) "
                                   "is missing."),
        ("-tlsClientKey=/none 80", "A client certificate needs its key too: -tlsClientCrt (tls_client_crt) "
                                   "is missing."),
        ("-tlsClientCrt=/none -tlsClientKey=/none 80", "-tlsClientCrt (tls_client_crt) /none: no such file or "
                                                       "directory"),
        ("-rootCA=/none 80", "-rootCA (root_cas) /none: no such file or directory"),
        ("-inspectaddr=x 80", "Invalid address inspect_addr 'x': address x: missing port in address"),
        ("-serveraddr=a:0 80", "Invalid address server_addr: address a:0: nothing listens at port 0"),
        ("-serveraddr=a 80", "Invalid address server_addr 'a': address a: missing port in address"),
        ("0", "Invalid address  '0': address 127.0.0.1:0: nothing listens at port 0"),
        ("a:0", "Invalid address  'a:0': address a:0: nothing listens at port 0"),
    ],
    "pgrokd": [
        ("-log=/nonexistent/x", "-log: cannot open log file /nonexistent/x: No such file or directory"),
        ("-log-level=LOUD", "-log-level: 'LOUD' is none of DEBUG, INFO, WARNING, ERROR"),
        ("-log-format=xml", "-log-format: 'xml' is neither text nor json"),
        ("-log-max=-1", "-log-max: -1 is not at least 0"),
        ("-engine=fast", "-engine: 'fast' is neither direct nor bufferevent"),
        ("-workers=-1", "-workers: -1 is not from 1 to 64"),
        ("-workers=65", "-workers: 65 is not from 1 to 64"),
        ("-muxMemory=0", "-muxMemory: 0 is not at least 1"),
        ("-domain=https://x.me", "-domain: 'https://x.me' is a URL, a name alone is wanted"),
        ("-domain=x.me:80", "-domain: a name may not contain a port"),
        ("-domain=a/b", "-domain: a name may only contain letters, digits, '.', '-' and '_'"),
        ("-tlsCrt=/none", "-tlsCrt and -tlsKey: one is useless without the other"),
        ("-tlsCrt=/none -tlsKey=/none", "-tlsCrt /none: no such file or directory"),
        ("-tlsCrt={certs.server} -tlsKey=/none", "-tlsKey /none: no such file or directory"),
        ("-tlsCrt={certs.server} -tlsKey={certs.client_key}", "-tlsKey {certs.client_key}: key values mismatch"),
        ("-tlsClientCA=/none", "-tlsClientCA /none: no such file or directory"),
        ("-tunnelTLSClientCA=/none", "-tunnelTLSClientCA /none: no such file or directory"),
        ("-httpAddr=x", "-httpAddr: address x: missing port in address"),
        ("-httpsAddr=:99999", "-httpsAddr: address :99999: the port is not a number from 0 to 65535"),
        ("-tunnelAddr=", "-tunnelAddr: address : missing port in address"),
        ("-httpAddr=192.0.2.1:80", "-httpAddr: listen tcp 192.0.2.1:80: bind: cannot assign requested address"),
        ("-tcpAddr=x", "-tcpAddr: 'x' is not an IP address"),
        ("-tcpPorts=0-5", "-tcpPorts: '0-5' is not MIN-MAX with ports from 1 to 65535"),
        ("-reserved=a/b", "-reserved: 'a/b': a name may only contain letters, digits, '.', '-' and '_'"),
    ],
}


@pytest.mark.parametrize("program, flags, said", [(p, *row) for p, rows in WRONG.items() for row in rows])
def test_wrong_command_lines(program, flags, said, certs, tmp_path):
    """pgrok's on stdout, as the Go client's, pgrokd's on stderr."""
    usual = {"pgrok": ["-config=" + empty_config(), "-serveraddr=127.0.0.1:1", "-inspectaddr=disabled"],
             "pgrokd": ["-domain=x.me", "-httpAddr=127.0.0.1:0", "-httpsAddr=127.0.0.1:0",
                        "-tunnelAddr=127.0.0.1:0", "-log=none", f"-stateDir={tmp_path}"]}[program]
    status, out, err = run(env.BIN / program, *usual, *[f.format(certs=certs) for f in flags.split()])
    line = said.format(certs=certs) + "\n"
    assert (status, out, err) == ((1, line, "") if program == "pgrok" else (1, "", line))


@pytest.mark.parametrize("level", ["TRACE", "FINE", "FINEST", "CRITICAL", "warn", "Debug"])
def test_levels_of_the_go_programs(level):
    """A level that is known is not complained of: the next fault is."""
    assert pgrok(f"-log-level={level}", "0")[1].startswith("Invalid address")


def test_warned_of_names():
    _, _, err = pgrok("-subdomain=a", "-hostname=b", "-proto=tcp", "-httpauth=a:b", "80")
    assert err == "-subdomain has no effect beside -hostname.\n"
    _, _, err = pgrok("-subdomain=a.b", "-insecure", "80")
    assert err == ("-subdomain has a dot: the usual certificate, for one name below the server's domain, "
                   "does not cover it.\n")
