"""Tokens: who may come, what each may have, from the attackers' side as well; reload in mid-flight."""

import hashlib
import os
import re
import signal
import threading
import time

import pytest

from lib import env
from lib.golike import auth, connect, message, read_message, req_tunnel, send_message
from lib.net import Aborted, dial, eventually, get, request

NOT_YOURS = "is not one of your token's"


def hashed(token):
    return "sha256:" + hashlib.sha256(token.encode()).hexdigest()


class File:
    """A server's file of tokens, which the test writes again."""

    def __init__(self, lab, text):
        self.path = lab.config("")
        self.write(text)

    def write(self, text):
        new = self.path.with_suffix(".new")
        new.write_text("tokens:\n" + text if text else "tokens: []\n")
        os.replace(new, self.path)


TEAM = f"""\
- name: alice
  token: {hashed("ta")}
  subdomains: [alice, "alice-*"]
  hostnames: [shop.example.org]
  tunnels: 3
- name: bob
  token: tb
  subdomains: "*"
  protos: [http, tcp]
"""


def with_admin(lab, *flags, **kw):
    port = env.free_port()
    s = lab.server(*flags, f"-adminAddr=127.0.0.1:{port}", **kw)
    s.admin_port = port
    return s


@pytest.fixture
def team(lab):
    """The team's server and its file."""
    f = File(lab, TEAM)
    return lab.server(f"-authTokens={f.path}"), f


def refused(server, user, client_id="", **kw):
    """The error of an AuthResp."""
    with connect(server.tunnel_port, **kw) as c:
        send_message(c, auth(client_id, user=user))
        kind, answer = read_message(c)
        assert kind == "AuthResp" and answer["Error"] and not answer.get("ClientId"), answer
        assert read_message(c) is None
        return answer["Error"]


def error(client, protocol="http", **kw):
    a = client.tunnel(protocol, answers=1, **kw)[0]
    assert a["Error"] and not a["Url"], a
    return a["Error"]


def number(server, name, **labels):
    """One of the server's metrics."""
    text = get(server.admin_port, f"127.0.0.1:{server.admin_port}", "/metrics").body.decode()
    shown = ",".join(f'{k}="{v}"' for k, v in labels.items())
    return int(re.search(rf"^pgrok_{name}\{{{shown}\}} (\d+)$", text, re.M)[1])


def reload(server, done="Reloaded"):
    mark = server.mark()
    server.send(signal.SIGHUP)
    server.wait_log(done, after=mark)
    return mark


# ---- who may come ----

def test_who_may_come(lab, team, workers):
    f = File(lab, TEAM)
    s = with_admin(lab, f"-authTokens={f.path}", workers=workers)
    assert s.has("Tokens are checked: there are 2") and not s.has("Tokens are not checked")
    a = lab.goclient(s, user="ta")
    assert a.url(subdomain="alice").startswith("http://alice.pgrok.me")
    s.wait_log(r"Client \w+ of alice connected from 127")
    s.wait_log(r"Registered new tunnel on: ctl:\w+ of alice")
    assert "unknown" in refused(s, "tc")
    assert "unknown" in refused(s, "TA")
    assert "unknown" in refused(s, "ta ")
    assert "unknown" in refused(s, hashed("ta"))
    assert "wants a token" in refused(s, "")
    text = s.text()
    assert hashed("ta")[7:] not in text and not re.search(r"\b(ta|tb|tc)\b", text)
    assert number(s, "clients_refused_total", reason="token") == 5
    assert number(s, "clients_refused_total", reason="version") == 0


def test_nobody_and_everybody(lab):
    f = File(lab, "")
    s = lab.server(f"-authTokens={f.path}")
    for user in ("", "ta"):
        refused(s, user)
    s = lab.server()
    lab.goclient(s, user="ta").url()
    s.wait_log("Tokens are not checked")


def test_in_the_servers_file(lab):
    conf = lab.config("reserved: admin\ntokens:\n- {name: alice, token: ta}\n")
    s = lab.server(f"-config={conf}")
    lab.goclient(s, user="ta").url()
    refused(s, "tb")
    assert reload(s, "Tokens are checked: there are 1")


@pytest.mark.parametrize("token", ["ta", "", "wrong"])
def test_our_client(lab, team, token):
    """It serves with a token; without one it says why and ends with status 1."""
    s, _ = team
    site = lab.site()
    args = [f"-authtoken={token}"] if token else []
    if token == "ta":
        c = lab.client(s, *args, "-subdomain=alice", site.port, tunnels=2)
        assert get(s.http_port, c.host()).status == 200
        return
    c = lab.client(s, *args, "-subdomain=alice", site.port, wait=False)
    c.wait_log("Failed to authenticate to server: .*token")
    c.expect_exit(1)


def test_go_client_serves(lab, team):
    s, _ = team
    site = lab.site()
    c = lab.goclient(s, local=site.port, user="ta")
    url = c.url(subdomain="alice")
    assert get(s.http_port, url.split("//")[1]).status == 200


# ---- what each may have ----

@pytest.mark.parametrize("wish", [
    {"subdomain": "bob"}, {"subdomain": "alicE2"}, {"subdomain": "alice.x"}, {"subdomain": "x.alice"},
    {"subdomain": "alic"}, {"subdomain": "alice-x.y"}, {"hostname": "bob.pgrok.me"},
    {"hostname": "BOB.PGROK.ME"}, {"hostname": "bob.pgrok.me."}, {"hostname": "bob.pgrok.me:80"},
    {"hostname": "bob.pgrok.me.:443"}, {"hostname": "shop.example.com"}, {"hostname": "example.org"},
    {"hostname": "x.shop.example.org"}, {"hostname": "shop.example.org.evil.org"},
    {"hostname": "alice"}, {"hostname": "alice.evil.org"}, {"hostname": "xn--alice-9x.pgrok.me"},
    {"hostname": "127.0.0.1"}, {"hostname": "127.1"}, {"subdomain": "shop.example.org"},
], ids=lambda w: next(iter(w.values())))
def test_names_of_others(lab, team, wish):
    s, _ = team
    a = lab.goclient(s, user="ta")
    a.url(subdomain="alice")  # so that a refusal does not end it
    assert NOT_YOURS in error(a, **wish)
    assert "subdomain alice, alice-*; hostname shop.example.org" in error(a, **wish)


@pytest.mark.parametrize("wish", [
    {"subdomain": "alic\u00e9"}, {"subdomain": "\uff41lice"}, {"hostname": "\u24d0lice.pgrok.me"},
    {"hostname": "[::1]"}, {"hostname": "alice.pgrok.me/x"}, {"hostname": "b@alice.pgrok.me"},
    {"hostname": "alice..pgrok.me"}, {"subdomain": "alice-*"}, {"subdomain": "*"},
], ids=lambda w: ascii(next(iter(w.values()))))
def test_no_names(lab, team, wish):
    s, _ = team
    a = lab.goclient(s, user="ta")
    a.url(subdomain="alice")
    assert "Invalid" in error(a, **wish)


@pytest.mark.parametrize("wish", [
    {"subdomain": "ALICE"}, {"subdomain": " alice "}, {"hostname": "alice.pgrok.me"},
    {"hostname": "Alice.Pgrok.Me."}, {"hostname": "alice.pgrok.me:80"}, {"subdomain": "alice-x"},
    {"hostname": "shop.example.org"}, {"hostname": "SHOP.example.org:8080"},
], ids=lambda w: next(iter(w.values())))
def test_own_names(lab, team, wish):
    s, _ = team
    lab.goclient(s, user="ta").url(**wish)


def test_by_chance(lab, team):
    """Names that nobody asks for: only where all names are allowed."""
    s, _ = team
    a = lab.goclient(s, user="ta")
    a.url(subdomain="alice")
    assert "names by chance" in error(a)
    b = lab.goclient(s, user="tb")
    assert re.match(r"http://[0-9a-f]{8}\.", b.url())
    assert "does not allow https" in error(b, "https")
    first, second = b.tunnel("http+https")
    assert first["Url"] and "does not allow https" in second["Error"]


def test_ports(lab):
    port = env.free_port()
    other = env.free_port()
    f = File(lab, f"- {{name: a, token: ta, tcp_ports: {port}}}\n- {{name: b, token: tb, tcp_ports: []}}\n")
    s = lab.server(f"-authTokens={f.path}")
    a = lab.goclient(s, user="ta")
    assert a.url("tcp").endswith(f":{port}")  # unasked, too
    assert f"Port {other} {NOT_YOURS}: {port}-{port}" in error(a, "tcp", remote_port=other)
    assert "No port" in error(a, "tcp")
    b = lab.goclient(s, user="tb")
    b.url()
    assert "does not allow ports" in error(b, "tcp")
    assert NOT_YOURS in error(b, "tcp", remote_port=port)


def test_too_many_tunnels(lab, team, workers):
    """All clients of a token together; what is closed can be opened again."""
    f = File(lab, TEAM)
    s = lab.server(f"-authTokens={f.path}", workers=workers)
    one, two = lab.goclient(s, user="ta"), lab.goclient(s, user="ta")
    one.url(subdomain="alice")
    one.url(hostname="shop.example.org")
    two.url(subdomain="alice-2")
    assert "your token allows 3 at once" in error(two, subdomain="alice-3")
    assert "your token allows 3 at once" in error(one, subdomain="alice-3")
    one.close()
    s.wait_log(r"\[http://(alice|shop)[^]]*\] Closed: ", count=2)
    two.url(subdomain="alice-3")
    two.url(subdomain="alice-4")
    assert "at once" in error(two, subdomain="alice-5")


def test_too_many_visitors(lab):
    f = File(lab, "- {name: a, token: ta, visitors: 1}\n")
    s = lab.server(f"-authTokens={f.path}", workers=2)
    sink = lab.site()
    c = lab.client(s, "-authtoken=ta", "-proto=http+tcp", "-subdomain=a", sink.port, tunnels=2)
    with dial(c.tcp_port()) as held:
        held.send(request("x", "/"))
        assert held.response().status == 200
        assert get(s.http_port, c.host()).status == 503
        f.write("- {name: a, token: ta, visitors: 2}\n")
        reload(s)
        eventually(lambda: get(s.http_port, c.host()).status == 200, what="what was open keeps the old limit")
        f.write("- {name: a, token: ta, visitors: 1}\n")
        reload(s)
        eventually(lambda: get(s.http_port, c.host()).status == 503)
    eventually(lambda: get(s.http_port, c.host()).status == 200)


# ---- on somebody else's behalf ----

def test_replayed_client_id(lab, team):
    """Neither the connection nor the names of a client go to one that knows its id."""
    s, _ = team
    a = lab.goclient(s, user="ta", client_id="known")
    a.url(subdomain="alice")
    assert "in use with another token" in refused(s, "tb", "known")
    assert "unknown" in refused(s, "tc", "known")
    a.ping()
    mark = s.mark()
    a.close()
    s.wait_log(r"\[http://alice[^]]*\] Closed: ", after=mark)
    b = lab.goclient(s, user="tb", client_id="known")
    b.url()
    assert "held for its owner" in error(b, subdomain="alice")
    lab.goclient(s, user="ta", client_id="other").url(subdomain="alice")


@pytest.mark.parametrize("flags,seconds", [([], 86400), (["-namesKeep=20m"], 1200)])
def test_names_are_kept(lab, team, flags, seconds):
    """For a day while a laptop sleeps, over a restart as well."""
    _, f = team
    s = lab.server(f"-authTokens={f.path}", *flags)
    b = lab.goclient(s, user="tb", client_id="b")
    b.url(subdomain="bob")
    mark = s.mark()
    b.close()
    s.wait_log(r"\[http://bob[^]]*\] Closed: ", after=mark)
    f.write(TEAM + "- {name: carol, token: tc}\n")
    reload(s)

    def left():
        c = lab.goclient(s, user="tc")
        return int(re.search(r"held for its owner for another (\d+) s", error(c, subdomain="bob"))[1])
    assert seconds - 60 < left() <= seconds
    s.end()
    s = lab.again(s)
    assert seconds - 60 < left() <= seconds
    lab.goclient(s, user="tb").url(subdomain="bob")


def test_new_token_of_an_owner(lab, team):
    """What is held is held for the owner, whichever his token is, and for no one else."""
    s, f = team
    other = lab.goclient(s, user="tb")
    other.url(subdomain="bobs")
    old = lab.goclient(s, user="ta")
    url = old.url(subdomain="alice")
    mark = s.mark()
    old.close()
    s.wait_log(re.escape(url) + r"\] Closed: ", after=mark)
    f.write(TEAM.replace(hashed("ta"), "another"))
    reload(s)
    assert "is held for its owner" in error(other, subdomain="alice")
    assert lab.goclient(s, user="another").url(subdomain="alice") == url


def test_second_auth(lab, team):
    """On the connection of a client it changes nothing; behind a refusal neither."""
    s, _ = team
    a = lab.goclient(s, user="ta")
    a.url(subdomain="alice")
    a.send(auth(user="tb"))
    a.send(auth(a.client_id, user="tb"))
    assert NOT_YOURS in error(a, subdomain="bob")
    with connect(s.tunnel_port) as c:
        send_message(c, auth(user="tc"))
        try:
            send_message(c, auth(user="tb"))
            send_message(c, req_tunnel(subdomain="bob"))
        except Aborted:
            pass
        kind, answer = read_message(c)
        assert kind == "AuthResp" and answer["Error"]
        assert read_message(c) is None


def test_reg_proxy_without_client(lab, team):
    s, _ = team
    with connect(s.tunnel_port) as c:
        send_message(c, message("RegProxy", ClientId="nobody"))
        assert read_message(c) is None


# ---- guessing ----

@pytest.mark.scaled
def test_guessing(lab, team):
    """The answers come later and later, then none does, before TLS; others do not notice."""
    _, f = team
    s = with_admin(lab, f"-authTokens={f.path}", "-loopbackExempt=false", scale=0.2)
    took = []
    for _ in range(10):
        began = time.monotonic()
        assert "unknown" in refused(s, "tc")
        took.append(time.monotonic() - began)
    assert took[9] > 9 * 0.25 * 0.2 > took[0], took
    with pytest.raises((Aborted, OSError)):
        connect(s.tunnel_port)
    lab.goclient(s, user="ta", source="127.0.0.2").url(subdomain="alice")
    assert number(s, "clients_refused_total", reason="token") == 10
    assert number(s, "connections_refused_total", reason="guesses") >= 1

    def let_in():
        try:
            with connect(s.tunnel_port):
                return True
        except (Aborted, OSError):
            return False
    eventually(let_in, timeout=20)


# ---- reload in mid-flight ----

def test_revoked(lab, workers):
    """Its clients, tunnels and visitors are gone within a second; nobody else notices."""
    f = File(lab, TEAM)
    s = lab.server(f"-authTokens={f.path}", workers=workers)

    def slow(c, b):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
        c.recv_rest()
    a = lab.client(s, "-authtoken=ta", "-subdomain=alice", lab.backend(slow).port, tunnels=2)
    site = lab.site()
    b = lab.goclient(s, local=site.port, user="tb")
    url = b.url(subdomain="bob").split("//")[1]
    with dial(s.http_port) as visitor:
        visitor.send(request(a.host()))
        assert visitor.recv(1)
        f.write("- {name: bob, token: tb}\n")
        began = time.monotonic()
        mark = reload(s)
        s.wait_log("Closed: its token is not known any more .*of alice", after=mark)
        with pytest.raises(Aborted):
            while visitor.recv():
                pass
            raise Aborted("ended early")
        assert time.monotonic() - began < 1 + env.WAIT / 20
    assert get(s.http_port, a.host()).status == 404
    assert get(s.http_port, url).status == 200
    b.ping()
    a.wait_log("The token is unknown to this server")
    f.write(TEAM)
    mark = a.mark()
    reload(s)
    a.wait_tunnels(2, after=mark)


def test_revoked_after_its_control_connection(lab, workers):
    """What a visitor still gets from a client that has left is ended as well, and no one else's."""
    f = File(lab, TEAM)
    s = lab.server(f"-authTokens={f.path}", workers=workers)

    gate = threading.Event()

    def slow(c, b):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx")
        gate.wait(env.WAIT)
        c.send(b"y")
    visitors = []
    for name, token in (("alice", "ta"), ("bob", "tb")):
        g = lab.goclient(s, local=lab.backend(slow).port, user=token)
        c = dial(s.http_port)
        c.send(request(g.url(subdomain=name).split("//")[1]))
        assert c.recv_until(b"\r\n\r\nx")
        visitors.append(c)
        mark = s.mark()
        g.end_control()
        s.wait_log(rf"\[http://{name}[^]]*\] Closed: ", after=mark)
    f.write("- {name: bob, token: tb}\n")
    mark = reload(s)
    s.wait_log("Closed: the token of its tunnel's owner is not known", after=mark)
    with visitors[0] as c, pytest.raises(Aborted):
        while c.recv():
            pass
    gate.set()
    with visitors[1] as c:
        assert c.recv(1) == b"y"


def test_rights_taken_and_given(lab, workers):
    """A tunnel that is not allowed any more closes, the others stay; then it may open again."""
    f = File(lab, TEAM)
    s = lab.server(f"-authTokens={f.path}", workers=workers)
    site = lab.site()
    conf = lab.config("tunnels:\n"
                      f"  one: {{subdomain: alice, proto: {{http: {site.port}}}}}\n"
                      f"  two: {{subdomain: alice-2, proto: {{http: {site.port}}}}}\n")
    c = lab.client(s, "-authtoken=ta", "start", "one", "two", config=conf, tunnels=2)
    one, two = (f"{x}.pgrok.me:{s.http_port}" for x in ("alice", "alice-2"))
    with dial(s.http_port) as kept:
        kept.send(request(one))
        assert kept.response().status == 200
        f.write("- {name: alice, token: ta, subdomains: alice}\n")
        mark = reload(s)
        s.wait_log(rf"{re.escape(two)}\] Closed: The name alice-2 is not one of your token's", after=mark)
        c.wait_log("The server has closed .*alice-2.*is not one of your token's")
        assert get(s.http_port, two).status == 404
        kept.send(request(one))
        assert kept.response().status == 200
    assert not c.has("reconnect")
    f.write(TEAM)
    reload(s)
    lab.goclient(s, user="ta").url(subdomain="alice-2")


def test_fewer_tunnels(lab, team):
    """The youngest goes; a Go client, which can't be told of one, is told and goes, too."""
    s, f = team
    a = lab.goclient(s, user="ta")
    a.url(subdomain="alice")
    two = a.url(subdomain="alice-2")
    f.write("- {name: alice, token: ta, tunnels: 1}\n")
    mark = reload(s)
    s.wait_log(rf"{re.escape(two)}\] Closed: its token allows fewer tunnels now", after=mark)
    assert "allows fewer tunnels" in a.answers.get(timeout=env.WAIT)["Error"]


def test_opened_and_closed_to_all(lab):
    """Tokens come into force over clients that came without."""
    conf = lab.config("")
    s = lab.server(f"-config={conf}")
    a, none = lab.goclient(s, user="ta"), lab.goclient(s)
    a.url(subdomain="alice")
    none.url(subdomain="none")
    conf.write_text("tokens:\n- {name: alice, token: ta}\n")
    mark = reload(s)
    none.wait_end()
    s.wait_log("Tokens are checked: there are 1", after=mark)
    # Its names are its owner's from now on.
    a.wait_end()
    lab.goclient(s, user="ta").url(subdomain="alice")
    conf.write_text("")
    mark = reload(s)
    s.wait_log("Tokens are not checked", after=mark)
    lab.goclient(s).url()


@pytest.mark.parametrize("text,words", [
    ("- {name: alice, token: ta, subdomain: x}\n", r"\.yml:2: tokens\[0\].subdomain: unknown key; did you mean"),
    ("- {name: alice, token: ta, tcp_ports: x}\n", r"\.yml:2: tokens\[0\].tcp_ports: 'x' is neither"),
    ("- {name: alice\n", r"\.yml: YAML error: line \d"),
])
def test_broken_file(lab, team, text, words):
    """The old state stays."""
    s, f = team
    a = lab.goclient(s, user="ta")
    a.url(subdomain="alice")
    f.write(text)
    s.allow("Not reloaded")
    reload(s, "Not reloaded: -authTokens: .*" + words)
    a.ping()
    lab.goclient(s, user="tb").url()
    refused(s, "tc")


def test_expires(lab):
    """With no reload: the client is closed, and does not come back."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
    f = File(lab, f"- {{name: alice, token: ta, expires: {at}}}\n")
    s = lab.server(f"-authTokens={f.path}")
    a = lab.goclient(s, user="ta")
    a.url(subdomain="alice")
    a.wait_end()
    s.wait_log("Closed: its token has expired .*of alice")
    assert "expired" in refused(s, "ta")
