"""The client's configuration file: what it starts, what it refuses and how it says so."""

import pytest

from lib import backends, env
from lib.net import dial, get
from lib.procs import run

PGROK = env.BIN / "pgrok"


def test_start(pair, workers):
    """The example of the documentation: one tunnel by name."""
    site = pair.lab.site()
    s = pair.server(workers=workers)
    cfg = pair.lab.config(f"""\
tunnels:
  test:
    proto:
      http: {site.port}
      https: {site.port}
  other:
    proto:
      http: 1
""")
    c = pair.client(s, "start", "test", config=cfg, tunnels=2)
    assert sorted(c.urls()) == [f"http://test.pgrok.me:{s.http_port}",
                                f"https://test.pgrok.me:{s.https_port}"]
    assert get(s.http_port, f"test.pgrok.me:{s.http_port}").status == 200
    assert get(s.https_port, f"test.pgrok.me:{s.https_port}", tls=True).status == 200
    assert get(s.http_port, f"other.pgrok.me:{s.http_port}").status == 404


ALL = """\
auth_token: abc
tunnels:
  web:
    subdomain: shop
    auth: "u:p"
    proto:
      http: {a}
  api.example.com:
    proto:
      http: 127.0.0.1:{b}
      https: 127.0.0.1:{b}
  named:
    hostname: by.name.example
    proto:
      https: {a}
  ssh:
    remote_port: {port}
    proto:
      tcp: {e}
"""


def all_config(lab):
    a, b = lab.site(name="A"), lab.site(name="B")
    e = lab.backend(backends.echo)
    port = env.free_port()
    return lab.config(ALL.format(a=a.port, b=b.port, e=e.port, port=port)), port


def test_start_all(lab, workers):
    cfg, port = all_config(lab)
    s = lab.server(workers=workers)
    c = lab.client(s, "start-all", config=cfg, tunnels=5)
    assert sorted(c.urls()) == sorted([
        f"http://shop.pgrok.me:{s.http_port}", "http://api.example.com", "https://api.example.com",
        "https://by.name.example", f"tcp://pgrok.me:{port}"])
    assert get(s.http_port, "shop.pgrok.me").status == 401
    assert get(s.http_port, "shop.pgrok.me", auth="u:p").body == b"A GET /\n"
    assert get(s.http_port, "api.example.com").body == b"B GET /\n"
    assert get(s.https_port, "by.name.example", tls=True).body == b"A GET /\n"
    with dial(port) as v:
        v.send(b"x")
        assert v.recv_exact(1) == b"x"


def test_start_several(pair):
    cfg, port = all_config(pair.lab)
    s = pair.server()
    c = pair.client(s, "start", "web", "ssh", config=cfg, tunnels=2)
    assert sorted(c.urls()) == [f"http://shop.pgrok.me:{s.http_port}", f"tcp://pgrok.me:{port}"]
    assert get(s.http_port, f"shop.pgrok.me:{s.http_port}", auth="u:p").body == b"A GET /\n"


def test_what_is_sent(lab, certs):
    """Name to subdomain, or to hostname with a dot; category; token; port."""
    cfg, port = all_config(lab)
    g = lab.goserver(certs)
    lab.client(g.addr, "start-all", config=cfg, tunnels=5)
    ctl = g.wait_control()
    assert ctl.auth["User"] == "abc"
    assert (ctl.auth["Version"], ctl.auth["MmVersion"], ctl.auth["ClientId"]) == ("2", "3.0", "")
    ctl.wait_request(4)
    by = {r["Category"]: r for r in ctl.requests}
    assert by["web"]["Subdomain"] == "shop" and by["web"]["HttpAuth"] == "u:p"
    assert by["web"]["Protocol"] == "http"
    assert by["api.example.com"]["Hostname"] == "api.example.com"
    assert by["api.example.com"]["Subdomain"] == ""
    assert sorted(by["api.example.com"]["Protocol"].split("+")) == ["http", "https"]
    assert by["named"]["Hostname"] == "by.name.example" and by["named"]["Subdomain"] == ""
    assert by["ssh"]["RemotePort"] == port and by["ssh"]["Protocol"] == "tcp"
    assert len({r["ReqId"] for r in ctl.requests}) == 4


def test_command_line_tunnel_is_called_default(lab, certs):
    g = lab.goserver(certs)
    lab.client(g.addr, "-authtoken=tok", "-httpauth=a:b", "-hostname=h.example", "-subdomain=s", 8080,
               tunnels=2)
    ctl = g.wait_control()
    r = ctl.wait_request()
    assert ctl.auth["User"] == "tok"
    assert (r["Category"], r["HttpAuth"], r["Hostname"], r["Subdomain"]) == \
        ("default", "a:b", "h.example", "s")
    assert sorted(r["Protocol"].split("+")) == ["http", "https"]


def test_server_addr_of_the_config_counts(lab, certs):
    """The Go client's flag default beat it."""
    g = lab.goserver(certs)
    cfg = lab.config(f"server_addr: {g.addr}\ninspect_addr: disabled\n")
    lab.client(None, "-proto=http", 8080, config=cfg, inspect=None)
    # The flag beats the configuration when it is given.
    other = lab.goserver(certs)
    lab.client(other.addr, "-proto=http", 8080, config=cfg)
    assert len(g.controls) == 1 and len(other.controls) == 1
    # An emptied flag leaves it to the configuration, which was the way with the Go client.
    lab.client(None, "-serveraddr=", "-inspectaddr=", "-proto=http", 8080, config=cfg, inspect=None)
    assert len(g.controls) == 2


def test_bad_addresses_in_the_config(lab):
    for key in ("server_addr", "inspect_addr"):
        cfg = lab.config(f"{key}: foo\n")
        status, out, err = run(PGROK, f"-config={cfg}", "80")
        assert status == 1
        assert f"Invalid address {key} 'foo': address foo: missing port in address" in out + err


def test_authtoken_flag_beats_the_config(lab, certs):
    g = lab.goserver(certs)
    cfg = lab.config("auth_token: from-file\n")
    lab.client(g.addr, "-proto=http", 8080, config=cfg)
    lab.client(g.addr, "-proto=http", "-authtoken=from-flag", 8080, config=cfg)
    assert [c.auth["User"] for c in g.controls] == ["from-file", "from-flag"]


@pytest.mark.parametrize("text,token", [
    ("0123", "0123"), ("1e3", "1e3"), ("true", "true"), ('"q"', "q"), ("~x", "~x"),
    ("<&>é", "<&>é")])
def test_text_keeps_its_spelling(lab, certs, text, token):
    g = lab.goserver(certs)
    lab.client(g.addr, "-proto=http", 8080, config=lab.config(f"auth_token: {text}\n"))
    assert g.controls[0].auth["User"] == token


def test_old_format(lab, certs):
    """A file that is nothing but one word is an auth token."""
    g = lab.goserver(certs)
    lab.client(g.addr, "-proto=http", 8080, config=lab.config("  aB3_-!x \n"))
    assert g.controls[0].auth["User"] == "aB3_-!x"


@pytest.mark.parametrize("text", ["", "# nothing\n", "unknown_key: 1\nTunnels: {}\n",
                                  "tunnels:\n  t:\n    Proto: x\n    color: red\n    proto: {http: 80}\n"])
def test_accepted(lab, text):
    status, out, err = run(PGROK, f"-config={lab.config(text)}", "list")
    assert status == 0, out + err


def test_names_that_are_numbers(lab):
    status, out, _ = run(PGROK, f"-config={lab.config('tunnels: {5: {proto: {http: 80}}}')}", "list")
    assert (status, out) == (0, "5\n")


def test_both_protocols_in_one_key(lab):
    """`http+https: 80` works (502 with the Go client)."""
    site = lab.site()
    s = lab.server()
    cfg = lab.config(f"tunnels:\n  both:\n    proto:\n      http+https: {site.port}\n")
    lab.client(s, "start", "both", config=cfg, tunnels=2)
    assert get(s.http_port, "both.pgrok.me").body == b"site GET /\n"
    assert get(s.https_port, "both.pgrok.me", tls=True).body == b"site GET /\n"


# name: (text, what the message has to name beside the file, line counted from 1)
BAD = {
    "port too large": ("tunnels:\n  t:\n    remote_port: 70000\n    proto: {tcp: 22}\n", "remote_port", 3),
    "port negative": ("tunnels:\n  t:\n    remote_port: -1\n    proto: {tcp: 22}\n", "remote_port", 3),
    "port no number": ("tunnels:\n  t:\n    remote_port: abc\n    proto: {tcp: 22}\n", "remote_port", 3),
    "port a list": ("tunnels:\n  t:\n    remote_port: [1]\n    proto: {tcp: 22}\n", "remote_port", 3),
    "tunnels a list": ("tunnels: [a]\n", "tunnels", 1),
    "tunnel a word": ("tunnels:\n  t: web\n", "t", 2),
    "proto a word": ("tunnels:\n  t:\n    proto: http\n", "proto", 3),
    "token a map": ("auth_token: {a: b}\n", "auth_token", 1),
    "server_addr a list": ("a: 1\nserver_addr: [x]\n", "server_addr", 2),
    "flag no boolean": ("trust_host_root_certs: perhaps\n", "trust_host_root_certs", 1),
    "proto address a map": ("tunnels:\n  t:\n    proto:\n      http: {a: 1}\n", "http", 4),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_types_name_file_line_and_key(lab, name):
    text, key, line = BAD[name]
    cfg = lab.config(text)
    for command in (["list"], ["80"], ["start-all"]):
        status, out, err = run(PGROK, f"-config={cfg}", "-serveraddr=127.0.0.1:1", *command)
        assert status == 1, (status, out, err)
        said = out + err
        assert f"{cfg}:{line}: " in said and key in said, said


@pytest.mark.parametrize("text,message", [
    ("tunnels:\n  x:\n    subdomain: y\n", "Tunnel x does not specify any protocols to tunnel."),
    ("tunnels:\n  x:\n    proto:\n      ftp: 21\n", "Invalid protocol for tunnel x[ftp]: ftp"),
    ("tunnels:\n  x:\n    proto:\n      http: localhost\n",
     "Invalid address for tunnel x[http] 'localhost': address localhost: missing port in address"),
    ("tunnels:\n  x:\n    proto:\n      http: 0x49c8\n", "Invalid address for tunnel x[http]"),
])
def test_bad_tunnels(lab, text, message):
    """Checked for every command, also when another tunnel is started."""
    cfg = lab.config(text + "  good:\n    proto:\n      http: 80\n")
    for command in (["list"], ["80"], ["start", "good"]):
        status, out, err = run(PGROK, f"-config={cfg}", "-serveraddr=127.0.0.1:1", *command)
        assert status == 1
        # The Go client says "for for".
        assert message in (out + err).replace("for for", "for"), (out, err)


@pytest.mark.parametrize("text", [
    b"tunnels: [\n", b"a: b: c\n", b"\t- x\n  y: [\n", b"tunnels: {t: {proto: {tcp: localhost:22}}\n",
    b"auth_token: '\n"])
def test_bad_yaml(lab, text):
    cfg = lab.config(text)
    status, out, err = run(PGROK, f"-config={cfg}", "list")
    assert status == 1
    assert f"Error parsing configuration file {cfg}: YAML error: " in out + err, (out, err)
    assert "line" in out + err


def test_invalid_utf8(lab):
    cfg = lab.config(b"auth_token: \xff\xfe\n")
    status, out, err = run(PGROK, f"-config={cfg}", "list")
    assert status == 1
    assert str(cfg) in out + err


@pytest.mark.parametrize("text", ["~", "null\n", "---\n", "--- ~\n...\n"])
def test_null_document(lab, text):
    """Killed the Go client."""
    status, out, err = run(PGROK, f"-config={lab.config(text)}", "list")
    assert (status, out, err) == (0, "", "")


def test_config_is_a_folder(lab, tmp_path):
    status, out, err = run(PGROK, f"-config={tmp_path}", "list")
    assert status == 1
    assert f"Failed to read configuration file {tmp_path}" in out + err


def test_alias_bomb(lab):
    """Nested aliases must not eat the memory."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for i in range(1, 12):
        lines.append(f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 9) + "]")
    status, out, err = run(PGROK, f"-config={lab.config(chr(10).join(lines))}", "list", timeout=20)
    assert status == 0 and "a11: unknown key" in err, (status, out, err)


def test_secrets_stay_out_of_the_log(lab):
    """Neither token, credentials, Authorization nor the whole ClientId, on either side."""
    site = lab.site()
    s = lab.server("-log-level=DEBUG")
    c = lab.client(s, "-log-level=DEBUG", "-authtoken=s3cr3t-token", "-httpauth=joe:pa55word",
                   "-subdomain=x", site.port, tunnels=2)
    assert get(s.http_port, "x.pgrok.me", auth="joe:pa55word").status == 200
    assert get(s.http_port, "x.pgrok.me", auth="joe:wr0ngword").status == 401
    import base64
    import re
    secrets = ["s3cr3t-token", "pa55word", "wr0ngword",
               base64.b64encode(b"joe:pa55word").decode(), base64.b64encode(b"joe:wr0ngword").decode()]
    for p in (s, c):
        text = p.text()
        for secret in secrets:
            assert secret not in text, f"{p.name} logged {secret}"
        assert not re.search(r"\b[0-9a-f]{32}\b", text), f"{p.name} logged a whole ClientId"
