"""Whose a name is: held for its owner after a cut and over a restart; names and ports that no tunnel has."""

import json
import re
import signal
import socket
import time

import pytest

from lib import backends, env
from lib.golike import message, req_tunnel, shown_id
from lib.net import dial, eventually, get

HELD = r"The tunnel (\S+) is held for its owner for another (\d+) s\."


def held(answer):
    """Of a refusal: how many seconds the name is held yet."""
    m = re.fullmatch(HELD, answer["Error"])
    assert m and not answer["Url"], answer
    return int(m[2])


def stranger(lab, server, **kw):
    """A client that has a tunnel, so that a refusal does not end it."""
    c = lab.goclient(server, **kw)
    c.url("http", subdomain=f"s{c.client_id[:8].lower()}")
    return c


def cut(server, client):
    """The connection breaks, and the server has seen it."""
    mark = server.mark()
    client.close()
    server.wait_log(f"Closed: .*client {re.escape(shown_id(client.client_id))}", after=mark)


# ---- held for their owner ----

@pytest.mark.parametrize("what", [{"subdomain": "shop"}, {"hostname": "shop.example.org"}, {}],
                         ids=["subdomain", "hostname", "random"])
def test_held_after_a_cut(lab, workers, what):
    """A stranger does not get it, however often it asks; its owner does, at once."""
    s = lab.server(workers=workers)
    owner = lab.goclient(s, client_id="owner")
    url = owner.url("http", **what)
    cut(s, owner)
    other = stranger(lab, s)
    name = url.split("//")[1].split(":")[0]
    for spelling in (name, name.upper() + ".", name + ":80"):
        for _ in range(5):
            assert 60 < held(other.tunnel("http", hostname=spelling)[0]) <= 90
    back = lab.goclient(s, client_id="owner")
    assert back.url("http", **what) == url
    assert "already registered" in other.tunnel("http", hostname=name)[0]["Error"]


def test_held_for_the_token(lab):
    """Another client with the owner's token has it at once, one with another token has not."""
    s = lab.server()
    owner = lab.goclient(s, user="t")
    url = owner.url("http", subdomain="shop")
    cut(s, owner)
    held(stranger(lab, s, user="other").tunnel("http", subdomain="shop")[0])
    held(stranger(lab, s).tunnel("http", subdomain="shop")[0])
    assert lab.goclient(s, user="t").url("http", subdomain="shop") == url


@pytest.mark.scaled
def test_held_for_a_time(lab):
    """Then it is whose who asks; asking all the time does not prolong it."""
    s = lab.server(scale=0.03)
    owner = lab.goclient(s)
    owner.url("http", subdomain="shop")
    began = time.monotonic()
    cut(s, owner)
    other = stranger(lab, s)
    while True:
        a = other.tunnel("http", subdomain="shop")[0]
        if not a["Error"]:
            break
        assert held(a) <= 3
        other.ping()
        time.sleep(0.05)
    took = time.monotonic() - began
    assert took >= 90 * 0.03, f"free after {took:.1f} s"
    assert took < env.WAIT


def test_given_back_is_free(lab):
    """A client that ends by itself holds nothing; one that is killed does."""
    s = lab.server()
    other = stranger(lab, s)
    c = lab.client(s, "-subdomain=shop", "-proto=http+tcp", 1, tunnels=2)
    port = c.tcp_port()
    c.end()
    s.wait_log("Closed: its client closed it", count=2)
    assert not other.tunnel("http", subdomain="shop")[0]["Error"]
    assert not other.tunnel("tcp", remote_port=port)[0]["Error"]
    c = lab.client(s, "-subdomain=blog", "-proto=http+tcp", 1, tunnels=2)
    port = c.tcp_port()
    mark = s.mark()
    c.kill()
    s.wait_log("Closed: its control connection closed", after=mark, count=2)
    held(other.tunnel("http", subdomain="blog")[0])
    held(other.tunnel("tcp", remote_port=port)[0])


def test_ports_are_held(lab):
    """Nor is a held port given to one who asks for any."""
    port = env.free_port()
    s = lab.server(f"-tcpPorts={port}-{port}")
    owner = lab.goclient(s, client_id="owner")
    url = owner.url("tcp")
    cut(s, owner)
    other = stranger(lab, s)
    held(other.tunnel("tcp", remote_port=port)[0])
    assert "No port for a TCP tunnel is free" in other.tunnel("tcp")[0]["Error"]
    assert lab.goclient(s, client_id="owner").url("tcp") == url


@pytest.mark.parametrize("how", ["term", "kill"])
def test_held_over_a_restart(lab, how):
    s = lab.server()
    port = env.free_port()
    owner = lab.goclient(s, client_id="secretid", user="secrettoken")
    owner.url("http", subdomain="shop")
    owner.url("tcp", remote_port=port)
    lost = lab.goclient(s, client_id="lost")
    lost.url("http", subdomain="blog")
    cut(s, lost)
    state = s.settings["state_dir"] / "names.json"
    if how == "term":
        s.end()
    else:
        eventually(lambda: state.exists() and all(
            x in state.read_text() for x in ("//shop.", "//blog.", f":{port}")))
        s.kill()
    text = state.read_text()
    assert len(json.loads(text)["names"]) == 3
    assert "secret" not in text, "an id or a token in clear"
    assert state.stat().st_mode & 0o777 == 0o600
    s = lab.again(s)
    other = stranger(lab, s)
    assert held(other.tunnel("http", subdomain="shop")[0]) > 60
    held(other.tunnel("tcp", remote_port=port)[0])
    held(other.tunnel("http", subdomain="blog")[0])
    assert not lab.goclient(s, user="secrettoken").tunnel("http", subdomain="shop")[0]["Error"]
    back = lab.goclient(s, client_id="secretid")
    assert not back.tunnel("tcp", remote_port=port)[0]["Error"]
    assert not lab.goclient(s, client_id="lost").tunnel("http", subdomain="blog")[0]["Error"]


def test_state_that_is_not_ours(lab):
    """Left alone, with a message."""
    state = lab.new_state()
    for text in ("no json", '{"names": 7}', '{"version":1,"domain":"other.me","names":[]}'):
        (state / "names.json").write_text(text)
        s = lab.server(state_dir=state)
        s.allow("left alone")
        lab.goclient(s).url("http")
        s.end()
        assert (state / "names.json").read_text() == text
        assert s.has(r"-stateDir \S+names.json is left alone, names are not saved: ")


# ---- a port that comes back ----

@pytest.mark.parametrize("proto", ["tcp", "http", "https+tcp"])
def test_same_after_a_restart_without_state(lab, proto):
    """A random name, a port: the client alone remembers them."""
    e = lab.backend(backends.echo)
    s = lab.server()
    n = len(proto.split("+"))
    c = lab.client(s, f"-proto={proto}", e.port, tunnels=n)
    c.allow(".*")
    urls = c.urls()
    for _ in range(2):
        mark = c.mark()
        s.end()
        s = lab.again(s, state_dir=lab.new_state())
        assert c.wait_tunnels(n, after=mark) == urls


def test_names_that_were_not_given(lab):
    """LastName is for random names: it asks for no other, and no way around what is reserved or taken."""
    s = lab.server()
    lab.goclient(s).url("http", hostname="0123abcd.pgrok.me")
    c = stranger(lab, s)
    for last in ("shop", "www", "0123ABCD", "0123abcd", "", "0123abcde", "../0123a"):
        ask = req_tunnel("http")
        ask["Payload"]["LastName"] = last
        c.send(ask)
        a = c.answers.get(timeout=env.WAIT)
        assert re.fullmatch(rf"http://[0-9a-f]{{8}}\.pgrok\.me:{s.http_port}", a["Url"]), a
        assert "//0123abcd." not in a["Url"]


def test_port_that_another_has_now(lab):
    """Then it is another one, not a refusal."""
    e = lab.backend(backends.echo)
    s = lab.server()
    c = lab.client(s, "-proto=tcp", e.port)
    c.allow(".*")
    port = c.tcp_port()
    mark = c.mark()
    s.end()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("0.0.0.0", port))
        taken.listen(1)
        lab.again(s)
        c.wait_tunnels(1, after=mark)
        assert c.tcp_port(after=mark) != port
    with dial(c.tcp_port(after=mark)) as v:
        v.send(b"x")
        assert v.recv_exact(1) == b"x"


# ---- no tunnel's ----

OWN = ["pgrok.me", "PGROK.me", "pgrok.me.", "pgrok.me:80", "pgrok.me.:443", "www.pgrok.me", "mail.pgrok.me.",
       "localhost", "127.0.0.1", "127.0.0.1:80"]


def test_the_servers_own_names(lab, certs):
    s = lab.server(certs=certs)
    c = stranger(lab, s)
    for name in OWN:
        for proto in ("http", "https"):
            a = c.tunnel(proto, hostname=name)[0]
            assert re.fullmatch(r"The name \S+ is reserved\.", a["Error"]), (name, a)
    for word in ("www", "WWW", "mail", "smtp", "autodiscover", "wpad", "mta-sts"):
        assert "is reserved" in c.tunnel("http", subdomain=word)[0]["Error"], word
    for word in ("shop", "www2", "www.shop", "a.www"):
        assert not c.tunnel("http", subdomain=word)[0]["Error"], word
    assert not c.tunnel("http", hostname="www.example.org")[0]["Error"]
    assert get(s.http_port, "pgrok.me").status == 404


def test_reserved_words_are_an_option(lab, certs):
    s = lab.server("-reserved=admin,api", certs=certs)
    c = stranger(lab, s)
    for word in ("admin", "api"):
        assert "is reserved" in c.tunnel("http", subdomain=word)[0]["Error"]
    assert "is reserved" in c.tunnel("http", hostname="pgrok.me")[0]["Error"]
    for name in ("www.pgrok.me", "localhost"):
        assert not c.tunnel("http", hostname=name)[0]["Error"]


def test_names_of_a_new_certificate(lab, certs):
    """A reload reserves what the certificate has now."""
    crt, key = lab.tmp / "crt.pem", lab.tmp / "key.pem"

    class Files:
        server, server_key = crt, key
    crt.write_bytes(certs.server.read_bytes())
    key.write_bytes(certs.server_key.read_bytes())
    s = lab.server(certs=Files)
    c = stranger(lab, s)
    assert not c.tunnel("http", hostname="elsewhere.example")[0]["Error"]
    assert "is reserved" in c.tunnel("http", hostname="localhost")[0]["Error"]
    crt.write_bytes(certs.elsewhere.read_bytes())
    key.write_bytes(certs.elsewhere_key.read_bytes())
    s.send(signal.SIGHUP)
    s.wait_log("Reloaded")
    c = stranger(lab, s)
    eventually(lambda: not c.tunnel("http", hostname="localhost")[0]["Error"])
    assert "is reserved" in c.tunnel("https", hostname="elsewhere.example")[0]["Error"]


def test_low_ports(lab):
    s = lab.server("-tcpAddr=127.0.0.7")
    c = stranger(lab, s)
    for port in (25, 53, 1023):
        a = c.tunnel("tcp", remote_port=port)[0]
        assert a["Error"] == f"Port {port} is not allowed here: only 1024-65535"
    assert int(c.url("tcp").rsplit(":", 1)[1]) >= 10000


# ---- work that is bounded ----

def test_many_refusals_end_a_control(lab):
    s = lab.server()
    lab.goclient(s).url("http", subdomain="shop")
    c = stranger(lab, s)
    for _ in range(200):
        c.send(req_tunnel("http", subdomain="shop"))
        if c.ended.wait(0.001):
            break
    c.wait_end()
    s.wait_log("Closed: too many of its tunnels were refused")
    assert c.answers.qsize() <= 100


def test_ports_of_other_programs(lab):
    """Most of the range is another program's: the one that is free is found, over several turns."""
    socks = []
    lo = 20000 + env.free_port() % 20000
    try:
        for port in range(lo, lo + 40):
            x = socket.socket()
            try:
                x.bind(("127.0.0.8", port))
                x.listen(1)
                socks.append(x)
            except OSError:
                x.close()
        free = socks.pop(len(socks) // 2)
        port = free.getsockname()[1]
        free.close()
        s = lab.server("-tcpAddr=127.0.0.8", f"-tcpPorts={lo}-{lo + 39}")
        c = stranger(lab, s)
        assert c.url("tcp") == f"tcp://pgrok.me:{port}"
        assert "No port for a TCP tunnel is free" in c.tunnel("tcp")[0]["Error"]
    finally:
        for x in socks:
            x.close()


def test_many_leave_at_once(lab):
    """Their tunnels are closed in portions: others do not wait for all of them."""
    s = lab.server("-log-level=INFO", workers=1)
    leaving = [lab.goclient(s, proxies=False) for _ in range(12)]
    for i, c in enumerate(leaving):
        for j in range(48):
            c.send(req_tunnel("http", subdomain=f"t{i}-{j}"))
    for c in leaving:
        for _ in range(48):
            assert not c.answers.get(timeout=env.WAIT)["Error"]
    other = stranger(lab, s, proxies=False)
    mark = s.mark()
    s.send(signal.SIGSTOP)
    for c in leaving:
        c.close()
    other.send(req_tunnel("http", subdomain="late"))
    s.send(signal.SIGCONT)
    assert not other.answers.get(timeout=env.WAIT)["Error"]
    s.wait_log("its control connection closed", after=mark, count=12 * 48)
    lines = s.text().split("\n")[mark:]
    late = next(i for i, t in enumerate(lines) if "http://late." in t and "Registered" in t)
    before = sum("its control connection closed" in t for t in lines[:late])
    assert before <= 320, f"{before} tunnels were closed before another client had its turn"
    other.send(message("Ping"))
    other.pongs.get(timeout=env.WAIT)
