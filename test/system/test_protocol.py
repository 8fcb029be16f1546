"""The wire: every bad first message, the control connection's rules, messages cut in every way."""

import json
import os
import struct
import time

import pytest

from lib import env
from lib.backends import answer
from lib.golike import (CUTS, GO_SAFE, GoClient, auth, connect, frame, message, read_message, req_tunnel,
                        send_joined, send_message)
from lib.net import Aborted, dial, eventually, get, request


def length(n, order="<"):
    return struct.pack(order + "q", n)


def framed(body):
    body = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    return length(len(body)) + body


AUTH = frame(auth())[1]

# What is sent first on the tunnel port; the server closes at once and says nothing.
FIRST = {
    "length 0": length(0),
    "length too short": length(len(AUTH) - 1) + AUTH,
    "length -1": length(-1),
    "length -2^63": b"\0" * 7 + b"\x80",
    "length 200 MB": length(200 << 20) + b"{}",
    "length 64 KiB + 1": length((64 << 10) + 1) + b"{",
    "length 2^40": length(1 << 40),
    "length 2^48": length(1 << 48),
    "length 2^62": length(1 << 62),
    "big-endian": length(len(AUTH), ">") + AUTH,
    "no JSON": framed(b"hello"),
    "half JSON": framed(AUTH[:-1]),
    "more than JSON": framed(AUTH + b"{}"),
    "array": framed([1]),
    "null": framed(b"null"),
    "number": framed(b"7"),
    "string": framed(b'"Auth"'),
    "unknown Type": framed({"Type": "Nope", "Payload": {}}),
    "no Type": framed({"Payload": {}}),
    "empty object": framed({}),
    "Type in lower case": framed({"Type": "auth", "Payload": {"Version": "2"}}),
    "Type a number": framed({"Type": 1, "Payload": {}}),
    "no Payload": framed({"Type": "Auth"}),
    "Payload null": framed({"Type": "Auth", "Payload": None}),
    "Payload an array": framed({"Type": "Auth", "Payload": []}),
    "Payload text": framed({"Type": "Auth", "Payload": "x"}),
    "Version a number": framed({"Type": "Auth", "Payload": {"Version": 2}}),
    "ClientId an object": framed({"Type": "Auth", "Payload": {"Version": "2", "ClientId": {}}}),
    "invalid UTF-8 around": framed(b'\xff\xfe{"Type":"Ping","Payload":{}}'),
    "NUL": framed(b"\0" * 20),
    "deep": framed(b"[" * 30000),
    "Ping": framed(message("Ping")),
    "Pong": framed(message("Pong")),
    "ReqTunnel": framed(req_tunnel()),
    "ReqProxy": framed(message("ReqProxy")),
    "AuthResp": framed(message("AuthResp", Version="2", MmVersion="3.0", ClientId="x", Error="")),
    "StartProxy": framed(message("StartProxy", Url="http://x", ClientAddr="1.2.3.4:5")),
    "RegProxy of nobody": framed(message("RegProxy", ClientId="deadbeef")),
    "RegProxy without id": framed(message("RegProxy", ClientId="")),
    "RegProxy null": framed({"Type": "RegProxy", "Payload": None}),
    "noise": bytes(range(256)) * 4,
}


@pytest.fixture(scope="module")
def first_server(state_dir, tmp_path_factory):
    from conftest import Lab
    lab = Lab(state_dir, tmp_path_factory.mktemp("first"))
    s = lab.server(workers=2)
    yield s
    with GoClient(s.tunnel_port) as c:
        c.url("http", subdomain="alive")
    if not env.SANITIZED:
        assert s.pss_mb() < 40
    bad = lab.finish()
    assert not bad, bad


@pytest.mark.parametrize("name", FIRST)
def test_bad_first_message(first_server, name):
    start = time.monotonic()
    c = connect(first_server.tunnel_port)
    c.send(FIRST[name])
    assert c.recv_rest()[0] == b""
    assert time.monotonic() - start < 8, "not at once"
    c.close()


def test_not_tls(first_server):
    for data in (b"GET / HTTP/1.1\r\n\r\n", framed(auth()), b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 100):
        with dial(first_server.tunnel_port) as c:
            c.send(data)
            got, _ = c.recv_rest()
            assert b"Auth" not in got


@pytest.mark.scaled
@pytest.mark.parametrize("what", ["nothing", "no handshake", "half a handshake", "part of a header",
                                  "header only", "part of a body", "bytes that drip"])
def test_silence_ends(lab, what):
    """One deadline of 10 s over handshake and first message."""
    s = lab.server(scale=0.1)
    start = time.monotonic()
    if what in ("no handshake", "half a handshake"):
        c = dial(s.tunnel_port)
        if what != "no handshake":
            c.send(b"\x16\x03\x01\x02\x00\x01")
        c.recv_rest()
    else:
        c = connect(s.tunnel_port)
        c.send({"part of a header": b"\x7d\0\0", "header only": length(125),
                "part of a body": length(125) + AUTH[:50]}.get(what, b""))
        if what == "bytes that drip":
            with pytest.raises(Aborted):
                for b in framed(auth()) + b"x" * 1000:
                    c.send(bytes([b]))
                    c.settimeout(0.05)
                    try:
                        c.recv()
                        raise Aborted("ended")
                    except TimeoutError:
                        pass
        else:
            assert c.recv_rest()[0] == b""
    took = time.monotonic() - start
    assert 0.7 < took < (5 if what == "bytes that drip" else 15), took
    c.close()


def test_largest_message(lab):
    """64 KiB of body is taken, in four TLS records."""
    s = lab.server()
    pad = (64 << 10) - len(AUTH)
    c = connect(s.tunnel_port)
    hdr, body = frame(auth(user="x" * pad))
    assert len(body) == 64 << 10
    c.send(hdr + body)
    assert read_message(c)[0] == "AuthResp"
    c.close()


# ---- Auth ----

def test_auth_answer(lab):
    s = lab.server()
    c = lab.goclient(s)
    r = c.auth_resp
    assert (r["Version"], r["MmVersion"], r["Error"]) == ("2", "3.0", "")
    assert len(c.client_id) == 32 and all(x in "0123456789abcdef" for x in c.client_id)
    c.wait_asked(1)
    c.ping()


@pytest.mark.parametrize("body", [
    '{"type":"Auth","payload":{"version":"2"}}',
    '{"TYPE":"Auth","PAYLOAD":{"VERSION":"2","extra":[1,{"a":null}]},"More":1}',
    ' {"Payload" : {"Version":"2"} , "Type":"Auth"}\n',
    '{"Type":"Auth","Payload":{"Version":"\\u0032","User":"\\u00e9\\ud83d\\ude00"}}',
    '{"Type":"Auth","Payload":{"Version":"1","Version":"2"}}',
    '{"Type":"Auth","Payload":{"Version":"2","User":null}}',
])
def test_lenient_json(lab, body):
    """As Go's reader is."""
    s = lab.server()
    c = connect(s.tunnel_port)
    send_message(c, body)
    kind, p = read_message(c)
    assert kind == "AuthResp" and not p["Error"]
    c.close()


@pytest.mark.parametrize("version", ["1", "", "3", "2.0", "v2"])
def test_wrong_version(lab, version):
    s = lab.server()
    c = connect(s.tunnel_port)
    send_message(c, auth(version=version))
    kind, p = read_message(c)
    assert kind == "AuthResp"
    assert p["Error"] == f"Incompatible versions. Server 3.0, client {version}. " \
        "Download a new version at https://github.com/jerson/pgrok"
    assert p["ClientId"] == ""
    assert c.recv_rest() == (b"", "eof")
    c.close()


def test_wrong_version_of_the_server(lab, certs):
    """The client says what the server said and ends with status 1."""
    g = lab.goserver(certs, on_auth=lambda ctl, r: dict(r, Error="Incompatible versions. Server 9, client 2."))
    c = lab.client(g.addr, 8080, wait=False)
    c.expect_exit(1)
    assert "Failed to authenticate to server: Incompatible versions. Server 9, client 2." in c.text("err")


@pytest.mark.parametrize("given,kept", [("abc", True), ("A" * 64, True), ("0", True), ("A" * 65, False),
                                        ("../../<x>&é", False), ("a b", False), ("a-b", False), ("a\n", False)])
def test_client_ids(lab, given, kept):
    """1-64 of [0-9A-Za-z]; for anything else a new one is given."""
    s = lab.server()
    c = lab.goclient(s, client_id=given)
    assert (c.client_id == given) == kept
    assert c.client_id


def test_go_bytes(lab):
    """What the server sends is what Go sends: key order, all keys, escapes, one record a body."""
    s = lab.server()
    c = connect(s.tunnel_port)
    send_message(c, auth("abc"))

    def raw():
        n = struct.unpack("<q", c.recv_exact(8))[0]
        return c.recv_exact(n).decode()
    assert raw() == '{"Type":"AuthResp","Payload":{"Version":"2","MmVersion":"3.0","ClientId":"abc","Error":""}}'
    assert raw() == '{"Type":"ReqProxy","Payload":{}}'
    send_message(c, req_tunnel("http", subdomain="x", req_id="<r&>"))
    assert raw() == '{"Type":"NewTunnel","Payload":{"ReqId":"\\u003cr\\u0026\\u003e","Url":"http://x.pgrok.me:' \
        f'{s.http_port}","Protocol":"http","Error":""}}}}'
    send_message(c, message("Ping"))
    assert raw() == '{"Type":"Pong","Payload":{}}'
    c.close()


# ---- tunnels on a control connection ----

def test_error_texts(lab):
    s = lab.server(https=False)
    a = lab.goclient(s)
    a.url("http", subdomain="dup")

    def err(protocol, **kw):
        (p,) = a.tunnel(protocol, answers=1, **kw)
        assert (p["ReqId"], p["Url"], p["Protocol"]) == ("", "", "")
        return p["Error"]
    assert err("http", subdomain="dup") == \
        f"The tunnel http://dup.pgrok.me:{s.http_port} is already registered."
    assert err("udp") == "Protocol udp is not supported"
    assert err("") == "Protocol  is not supported"
    assert err("HTTP") == "Protocol HTTP is not supported"
    assert err("https", subdomain="x") == "Not listening for https connections"
    a.ping()  # it has a tunnel: it stays


def test_error_without_a_tunnel_ends_the_connection(lab):
    s = lab.server()
    c = lab.goclient(s)
    (p,) = c.tunnel("udp")
    assert p["Error"] == "Protocol udp is not supported"
    c.wait_end()
    assert c.fault is None, c.fault


def test_first_error_stops_the_rest(lab):
    s = lab.server()
    c = lab.goclient(s)
    (p,) = c.tunnel("udp+http", answers=1, subdomain="one")
    assert "udp" in p["Error"]
    c.wait_end()
    assert c.answers.empty()
    d = lab.goclient(s)
    good, bad = d.tunnel("http+udp", answers=2, subdomain="two")
    assert good["Url"] == f"http://two.pgrok.me:{s.http_port}" and "udp" in bad["Error"]
    d.ping()


def test_answers_come_in_the_order_asked(lab):
    s = lab.server()
    c = lab.goclient(s)
    for order in ("http+https", "https+http", "tcp+http", "https+tcp+http"):
        got = c.tunnel(order, subdomain="s" + order.replace("+", "-"))
        assert [p["Protocol"] for p in got] == order.split("+")


def test_duplicate_half(lab):
    """http is taken, https is free: one error, and the https name is not kept."""
    s = lab.server()
    lab.goclient(s).url("http", subdomain="d")
    c = lab.goclient(s)
    c.url("http", subdomain="other")
    p = c.tunnel("http+https", answers=1, subdomain="d")[0]
    assert "already registered" in p["Error"]
    assert lab.goclient(s).url("https", subdomain="d") == f"https://d.pgrok.me:{s.https_port}"


@pytest.mark.parametrize("name", ["a b", "ä", "x/y", "a&b", "<x>", "a" * 254, "a:b", "\u0001"])
def test_bad_names(lab, name):
    s = lab.server()
    c = lab.goclient(s)
    c.url("http", subdomain="keep")
    assert c.tunnel("http", subdomain=name)[0]["Error"]
    assert c.tunnel("http", hostname=name + "/")[0]["Error"]
    c.ping()


@pytest.mark.parametrize("name,url", [(" Sub ", "sub"), ("a.b.c", "a.b.c"), ("x_y-z9", "x_y-z9")])
def test_good_names(lab, name, url):
    s = lab.server()
    assert lab.goclient(s).url("http", subdomain=name) == f"http://{url}.pgrok.me:{s.http_port}"


def test_tunnel_limit(lab):
    """256 tunnels on one control connection."""
    s = lab.server()
    c = lab.goclient(s)
    for i in range(256):
        c.send(req_tunnel("http", subdomain=f"n{i}"))
    for i in range(256):
        assert not c.answers.get(timeout=env.WAIT)["Error"]
    assert c.tunnel("http", subdomain="one-more")[0]["Error"]
    c.ping()


IGNORED = [message("Pong"), auth("other"), message("RegProxy", ClientId="x"),
           message("StartProxy", Url="x", ClientAddr="y"),
           message("AuthResp", Version="2", MmVersion="3.0", ClientId="x", Error=""),
           {"Type": "Ping", "Payload": None}, {"Type": "ReqTunnel", "Payload": None}]


@pytest.mark.parametrize("msg", IGNORED, ids=lambda m: m["Type"] + ("" if m["Payload"] else " null"))
def test_ignored_on_a_control_connection(lab, msg):
    s = lab.server()
    c = lab.goclient(s)
    url = c.url("http", subdomain="x")
    c.send(msg)
    c.ping()
    assert c.tunnel("http", subdomain="x")[0]["Error"].startswith(f"The tunnel {url} is already")


KILLS = {
    "unknown Type": framed({"Type": "Nope", "Payload": {}}),
    "no JSON": framed(b"hello"),
    "no Payload": framed({"Type": "Ping"}),
    "length -1": length(-1),
    "length 2^62": length(1 << 62),
    "length 0": length(0),
    "length 64 KiB + 1": length((64 << 10) + 1),
    "RemotePort 70000": framed({"Type": "ReqTunnel", "Payload": {"Protocol": "tcp", "RemotePort": 70000}}),
    "RemotePort -1": framed({"Type": "ReqTunnel", "Payload": {"Protocol": "tcp", "RemotePort": -1}}),
    "RemotePort text": framed({"Type": "ReqTunnel", "Payload": {"Protocol": "tcp", "RemotePort": "80"}}),
    "RemotePort 1.5": framed(b'{"Type":"ReqTunnel","Payload":{"Protocol":"tcp","RemotePort":1.5}}'),
    "Subdomain a number": framed({"Type": "ReqTunnel", "Payload": {"Protocol": "http", "Subdomain": 5}}),
}


@pytest.mark.parametrize("name", KILLS)
def test_ends_a_control_connection(lab, name):
    """The connection ends, and its tunnels with it."""
    s = lab.server()
    c = lab.goclient(s)
    c.url("http", subdomain="x")
    c.conn.send(KILLS[name])
    c.wait_end()
    eventually(lambda: get(s.http_port, "x.pgrok.me").status == 404)
    lab.goclient(s, client_id=c.client_id).url("http", subdomain="x")


# ---- the ways a message may be cut ----

@pytest.mark.parametrize("cut", CUTS)
def test_server_takes_any_pieces(lab, cut, workers):
    site = lab.site()
    s = lab.server(workers=workers)
    c = lab.goclient(s, local=site.port, cut=cut)
    c.url("http", subdomain="x")
    for i in range(6):
        assert get(s.http_port, "x.pgrok.me", f"/{i}").body == f"site GET /{i}\n".encode()
    c.ping()


def test_server_takes_joined_messages(lab):
    """Auth and everything after it in one record, and torn on the wire."""
    s = lab.server()
    for chop in (0, 1, 7):
        port = lab.relay(s.tunnel_port, chop=chop).port if chop else s.tunnel_port
        c = connect(port)
        send_joined(c, [auth(), req_tunnel("http", subdomain=f"j{chop}"), message("Ping"),
                        req_tunnel("https", subdomain=f"j{chop}"), message("Ping")])
        got = [read_message(c)[0] for _ in range(6)]
        assert sorted(got) == ["AuthResp", "NewTunnel", "NewTunnel", "Pong", "Pong", "ReqProxy"]
        assert got[0] == "AuthResp"
        c.close()


def test_forty_tunnels_each_body_in_one_read(lab, workers):
    """A Go client with 40 tunnels, all asked for back to back, comes online."""
    site = lab.site()
    s = lab.server(workers=workers)
    c = lab.goclient(s, local=site.port)
    send_joined(c.conn, [req_tunnel("http+https", subdomain=f"t{i}") for i in range(40)])
    got = [c.answers.get(timeout=env.WAIT) for _ in range(80)]
    assert not [p for p in got if p["Error"]]
    assert c.fault is None
    for i in (0, 17, 39):
        assert get(s.http_port, f"t{i}.pgrok.me").status == 200
    c.ping()


def test_go_client_end_to_end(lab, workers):
    site = lab.site()
    s = lab.server(workers=workers)
    c = lab.goclient(s, local=site.port)
    c.tunnel("http+https", subdomain="x")
    for i in range(20):
        assert get(s.http_port, "x.pgrok.me", f"/{i}", method="POST", body=b"b" * 30000).body \
            == f"site POST /{i}\n".encode() + b"b" * 30000
        assert get(s.https_port, "x.pgrok.me", tls=True).status == 200
    assert c.fault is None


def test_request_with_the_first_bytes_in_any_record(lab):
    """StartProxy is a record of its own or shares one; raw bytes follow it without a gap."""
    seen = []

    def visit(c, start):
        seen.append(start)
        head = c.recv_until(b"\r\n\r\n")
        c.send(answer(200, head))
    s = lab.server()
    c = lab.goclient(s, on_visit=visit)
    url = c.url("http", subdomain="x")
    with dial(s.http_port) as v:
        ask = request("x.pgrok.me", "/q", headers=["X-Test: <&>"])
        v.send(ask)
        assert v.response().body == ask
        assert seen[0] == {"Url": url, "ClientAddr": v.local()}


# ---- proxies ----

def test_proxy_pool_limit(lab):
    """What was not asked for is not kept without bound."""
    s = lab.server()
    c = lab.goclient(s, proxies=False)
    c.url("http", subdomain="x")
    conns = []
    for _ in range(100):
        p = connect(s.tunnel_port)
        send_message(p, message("RegProxy", ClientId=c.client_id))
        conns.append(p)

    gone = set()

    def count():
        for i, p in enumerate(conns):
            if i not in gone:
                p.settimeout(0.005)
                try:
                    p.recv(1)
                    gone.add(i)
                except Aborted:
                    gone.add(i)
                except TimeoutError:
                    pass
        return len(gone) >= 36
    eventually(count, what="no pooled connection was refused")
    assert len(gone) <= 90, "the pool holds fewer than ten"
    for p in conns:
        p.close()


def test_pool_is_refilled(lab):
    """Every visitor that takes one has another asked for."""
    site = lab.site()
    s = lab.server()
    c = lab.goclient(s, local=site.port)
    c.url("http", subdomain="x")
    c.wait_idle(1)
    for i in range(5):
        before = c.asked
        assert get(s.http_port, "x.pgrok.me").status == 200
        c.wait_asked(before + 1)


def test_dead_pooled_proxy_is_skipped(lab):
    """A pooled connection that ended by FIN, close_notify or RST is not given to a visitor."""
    site = lab.site()
    s = lab.server()
    for how in ("fin", "close", "reset"):
        c = lab.goclient(s, local=site.port, proxies=False)
        c.url("http", subdomain=how)
        p = connect(s.tunnel_port)
        mark = s.mark()
        send_message(p, message("RegProxy", ClientId=c.client_id))
        c.ping()
        getattr(p, how)()
        s.wait_log("/pooled.*Closed", after=mark)
        c.proxies = True
        assert get(s.http_port, f"{how}.pgrok.me").status == 200, how


def test_pooled_proxy_that_talks_is_dropped(lab):
    """Nothing may come on a pooled connection."""
    s = lab.server()
    c = lab.goclient(s, proxies=False)
    c.url("http", subdomain="x")
    p = connect(s.tunnel_port)
    send_message(p, message("RegProxy", ClientId=c.client_id))
    p.send(b"surprise")
    assert p.recv_rest()[0] == b""
    c.ping()


@pytest.mark.scaled
def test_pooled_proxies_do_not_expire(lab):
    """They are good after minutes (the Go server's failed after 60 s)."""
    site = lab.site()
    s = lab.server(scale=0.01)
    c = lab.goclient(s, local=site.port)
    stop = []
    url = c.url("http", subdomain="x")
    c.wait_idle(1)
    asked = c.asked

    def pings():
        while not stop:
            c.ping()
            time.sleep(0.05)
    t = lab.thread(pings)
    time.sleep(2)
    p = c.idle[0]
    stop.append(1)
    t.result()
    assert c.idle and c.idle[0] is p and c.asked == asked
    c.proxies = False
    with dial(s.http_port) as v:
        v.send(request(url.split("//")[1]))
        assert v.response().status == 200


# ---- our client and a server made by hand ----

@pytest.mark.parametrize("cut", CUTS)
def test_client_takes_any_pieces(lab, certs, cut):
    site = lab.site()
    g = lab.goserver(certs, cut=cut)
    c = lab.client(g.addr, "-subdomain=x", "-proto=http", site.port)
    for i in range(5):
        v = g.visit(c.urls()[0])
        v.send(request("x", f"/{i}"))
        assert v.response().body == f"site GET /{i}\n".encode()
        v.close()
    assert not g.faults


@pytest.mark.parametrize("cut", GO_SAFE)
def test_client_of_a_go_server(lab, certs, cut, engine):
    """All the client sends can be read with single reads."""
    site = lab.site()
    g = lab.goserver(certs, cut=cut)
    cfg = lab.config("tunnels:\n" + "".join(
        f"  t{i}:\n    proto:\n      http: {site.port}\n" for i in range(40)))
    c = lab.client(g.addr, "-authtoken=" + "x" * 4000, "start-all", config=cfg, tunnels=40, engine=engine)
    assert g.controls[0].auth["User"] == "x" * 4000
    for i in range(10):
        v = g.visit(c.urls()[i])
        v.send(request("x", f"/{i}"))
        assert v.response().body == f"site GET /{i}\n".encode()
        v.close()
    assert not g.faults


def test_messages_joined_by_the_server(lab, certs):
    """NewTunnel with ReqProxy in one record; StartProxy with the visitor's first bytes."""
    site = lab.site()

    def tunnel(ctl, p):
        send_joined(ctl.conn, [message("NewTunnel", **x) for x in ctl.server.grant(ctl, p)] +
                    [message("ReqProxy"), message("ReqProxy")])
        return []

    g = lab.goserver(certs, on_tunnel=tunnel)
    c = lab.client(g.addr, "-subdomain=x", "-proto=http", site.port)
    for _ in range(3):
        p, _ = g.take()
        hdr, body = frame(message("StartProxy", Url=c.urls()[0], ClientAddr="9.9.9.9:9"))
        p.send(hdr + body + request("x", "/joined"))
        p.sock.settimeout(env.WAIT)
        assert p.response().body == b"site GET /joined\n"


def test_message_too_large_for_a_go_server(lab, certs):
    """A token that can't be sent in one record is refused with a clear error, not tried for ever."""
    g = lab.goserver(certs)
    c = lab.client(g.addr, "-authtoken=" + "x" * 20000, 8080, wait=False)
    c.expect_exit(1)
    assert c.text("err")
    assert not g.controls


def test_unknown_url_closes_that_proxy_only(lab, certs):
    site = lab.site()
    g = lab.goserver(certs)
    c = lab.client(g.addr, "-subdomain=x", "-proto=http", site.port)
    v = g.visit("http://other")
    assert v.recv_rest()[0] == b""
    v = g.visit(c.urls()[0])
    v.send(request("x"))
    assert v.response().status == 200
    assert len(g.controls) == 1


@pytest.mark.parametrize("data", [length(-1), length(1 << 40), length(0), framed(b"nonsense"),
                                  framed({"Type": "Nope", "Payload": {}})],
                         ids=["-1", "2^40", "0", "no JSON", "unknown Type"])
def test_bad_message_on_a_proxy(lab, certs, data):
    """That connection ends; the Go client crashed as a whole."""
    site = lab.site()
    g = lab.goserver(certs)
    c = lab.client(g.addr, "-subdomain=x", "-proto=http", site.port)
    p, _ = g.take()
    p.sock.settimeout(env.WAIT)
    p.send(data)
    assert p.recv_rest()[0] == b""
    g.controls[0].send(message("ReqProxy"))
    v = g.visit(c.urls()[0])
    v.send(request("x"))
    assert v.response().status == 200
    assert len(g.controls) == 1


@pytest.mark.parametrize("data", [length(-1), length(1 << 40), length(0), framed(b"nonsense"),
                                  framed({"Type": "Nope", "Payload": {}}), framed({"Type": "Ping"})],
                         ids=["-1", "2^40", "0", "no JSON", "unknown Type", "no Payload"])
def test_bad_message_on_the_control_connection(lab, certs, data):
    """The client reconnects, with its ClientId."""
    g = lab.goserver(certs)
    c = lab.client(g.addr, "-subdomain=x", "-proto=http", 8080)
    c.allow(".*")
    g.controls[0].raw(data)
    again = g.wait_control(2)
    assert again.auth["ClientId"] == g.controls[0].client_id
    assert again.wait_request()["Subdomain"] == "x"


@pytest.mark.parametrize("msg", [message("Ping"), message("Pong"), message("StartProxy", Url="x", ClientAddr="y"),
                                 message("RegProxy", ClientId="x"), auth(),
                                 message("AuthResp", Version="2", MmVersion="3.0", ClientId="z", Error=""),
                                 {"Type": "ReqProxy", "Payload": None}], ids=lambda m: m["Type"])
def test_ignored_by_the_client(lab, certs, msg):
    g = lab.goserver(certs)
    site = lab.site()
    c = lab.client(g.addr, "-subdomain=x", "-proto=http", site.port)
    g.controls[0].send(msg)
    v = g.visit(c.urls()[0])
    v.send(request("x"))
    assert v.response().status == 200
    assert len(g.controls) == 1 and not g.controls[0].ended.is_set()


def test_new_tunnel_with_unknown_req_id(lab, certs):
    """No crash, whatever becomes of the connection."""
    g = lab.goserver(certs)
    c = lab.client(g.addr, "-subdomain=x", "-proto=http", 8080)
    c.allow(".*")
    g.controls[0].send(message("NewTunnel", ReqId="nope", Url="http://y", Protocol="http", Error=""))
    g.controls[0].send(message("NewTunnel", ReqId=g.controls[0].requests[0]["ReqId"], Url="gopher://y",
                               Protocol="gopher", Error=""))
    c.wait_log("opened http://y without a request")
    c.wait_log("opened gopher://y without a request")
    assert c.alive()
    assert "http://y" not in c.urls()


def test_error_in_a_later_new_tunnel(lab, certs):
    """At the first connect any refused tunnel ends the client."""
    g = lab.goserver(certs)
    c = lab.client(g.addr, "-subdomain=x", "-proto=http", 8080)
    g.controls[0].send(message("NewTunnel", ReqId="", Url="", Protocol="", Error="changed my mind"))
    c.expect_exit(1)
    assert "Server failed to allocate tunnel: changed my mind" in c.text("err")


def test_waiting_proxies_are_not_closed(lab, certs):
    """Our client never closes a proxy connection that waits."""
    g = lab.goserver(certs)
    lab.client(g.addr, "-subdomain=x", "-proto=http", 8080)
    p, _ = g.take()
    p.sock.settimeout(env.WAIT)
    p.nothing_for(2)


def test_proxy_that_fails_before_start_is_an_end(lab, certs):
    """A broken record on a waiting proxy is no trouble for the rest."""
    g = lab.goserver(certs)
    site = lab.site()
    c = lab.client(g.addr, "-subdomain=x", "-proto=http", site.port)
    p, _ = g.take()
    p.sock.sendall(b"\x17\x03\x03\x00\x20" + os.urandom(32))
    g.controls[0].send(message("ReqProxy"))
    v = g.visit(c.urls()[0])
    v.send(request("x"))
    assert v.response().status == 200


@pytest.mark.scaled
def test_heartbeat(lab, certs):
    """Ping at 20 s and every 20 s; no Pong for 15 s means reconnect with the same id."""
    g = lab.goserver(certs)
    lab.client(g.addr, "-proto=http", 8080, scale=0.05)
    ctl = g.wait_control()
    start = time.monotonic()
    ctl.wait_pings(3)
    assert time.monotonic() - start > 1.5
    assert len(g.controls) == 1


@pytest.mark.scaled
def test_no_pong(lab, certs):
    g = lab.goserver(certs, pong=False)
    c = lab.client(g.addr, "-proto=http", 8080, scale=0.05)
    c.allow(".*")
    first = g.wait_control()
    assert g.wait_control(2).auth["ClientId"] == first.client_id
    first.wait_pings(1)


@pytest.mark.scaled
def test_server_that_says_nothing(lab, certs):
    """No AuthResp: the Go client waited for ever."""
    g = lab.goserver(certs, on_auth=lambda ctl, r: None)
    c = lab.client(g.addr, "-proto=http", 8080, scale=0.05, wait=False)
    c.allow(".*")
    g.wait_control(2)


@pytest.mark.scaled
def test_only_ping_is_a_sign_of_life(lab):
    """A control connection without Ping ends after 30 s, whatever else it says."""
    s = lab.server(scale=0.05)
    silent, chatty, alive = lab.goclient(s), lab.goclient(s), lab.goclient(s)
    for i, c in enumerate((silent, chatty, alive)):
        c.url("http", subdomain=f"x{i}")
    stop = []

    def talk():
        while not stop:
            try:
                chatty.send(message("Pong"))
            except (Aborted, OSError):
                pass
            alive.ping()
            time.sleep(0.1)
    t = lab.thread(talk)
    silent.wait_end()
    chatty.wait_end()
    assert not alive.ended.is_set()
    stop.append(1)
    t.result()
    eventually(lambda: get(s.http_port, "x0.pgrok.me").status == 404)


def test_control_that_is_not_read(lab):
    """A client that never reads its answers can't fill the server's memory."""
    s = lab.server()
    c = connect(s.tunnel_port)
    send_message(c, auth())
    data = framed(message("Ping")) * 2000
    before = s.pss_mb()
    c.settimeout(3)
    try:
        for _ in range(400):
            c.send(data)
    except (Aborted, OSError):
        pass
    if not env.SANITIZED:
        assert s.pss_mb() < before + 16
    with GoClient(s.tunnel_port) as g:
        g.ping()
    c.cut()


def test_truncated_tls(lab):
    """A bare FIN or RST at any point of the handshake or of a message does no harm."""
    s = lab.server()
    for how in ("fin", "reset", "cut"):
        raw = dial(s.tunnel_port)
        raw.send(b"\x16\x03\x01\x00\xf8\x01\x00")
        getattr(raw, how if how != "cut" else "close")()
        c = connect(s.tunnel_port)
        c.send(AUTH[:5])
        getattr(c, how)()
        c = connect(s.tunnel_port)
        send_message(c, auth(user="t"))
        read_message(c)
        send_message(c, req_tunnel("http", subdomain=how))
        getattr(c, how)()
    with GoClient(s.tunnel_port, user="t") as g:
        g.ping()
        eventually(lambda: all(not g.tunnel("http", subdomain=h)[0]["Error"] for h in ("reset",)))


# ---- what both ends may agree on ----

def test_features_are_named_only_to_who_named_some(lab):
    s = lab.server()
    c = connect(s.tunnel_port)
    send_message(c, auth(Features="mux ping nonsense"))
    kind, p = read_message(c)
    assert kind == "AuthResp"
    words = p["Features"].split()
    assert "mux" in words and "ping" in words and "nonsense" not in words
    c.close()


def test_mux_towards_a_server_that_pools_it(lab, certs):
    """Behind one address stands a Go server too: a connection meant for mux serves one visitor."""
    site = lab.site()
    g = lab.goserver(certs, on_auth=lambda ctl, r: dict(r, Features="mux ping"))
    c = lab.client(g.addr, "-subdomain=x", "-proto=http", site.port)
    seen = []
    for _ in range(3):
        p, reg = g.take()
        seen.append(reg.get("Mux", 0))
        send_message(p, message("StartProxy", Url=c.urls()[0], ClientAddr="9.9.9.9:9"))
        g.controls[0].send(message("ReqProxy"))
        p.sock.settimeout(env.WAIT)
        p.send(request("x", "/y"))
        assert p.response().body == b"site GET /y\n"
    assert 1 in seen, "it never asked for mux"


@pytest.mark.parametrize("flag", ["server", "client"])
def test_mux_switched_off(lab, flag):
    site = lab.site()
    s = lab.server(*(["-mux=false"] if flag == "server" else []))
    c = lab.client(s, *(["-mux=false"] if flag == "client" else []), "-subdomain=x", site.port, tunnels=2)
    for i in range(5):
        assert get(s.http_port, "x.pgrok.me", f"/{i}").status == 200
    assert not c.has(r"\[mux\].*up")


def test_bytes_that_are_no_mux(lab):
    """A session that breaks the rules is ended; the server and other clients live."""
    s = lab.server()
    control = connect(s.tunnel_port)
    send_message(control, auth("muxer", Features="mux ping"))
    assert read_message(control)[0] == "AuthResp"
    frames = {
        "noise": os.urandom(64),
        "wrong version": bytes([9, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]),
        "unknown type": bytes([0, 9, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]),
        "a stream opened by the client": bytes([0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]),
        "data for no stream": bytes([0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 4]) + b"data",
        "huge data": bytes([0, 0, 0, 0, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff]),
        "go away": bytes([0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    }
    for name, data in frames.items():
        p = connect(s.tunnel_port)
        send_message(p, message("RegProxy", ClientId="muxer", Mux=1))
        kind, start = read_message(p)
        assert kind == "StartProxy" and start["Url"] == "mux:", (name, kind, start)
        mark = s.mark()
        p.send(data)
        p.fin()
        s.wait_log("/shared.*Closed", after=mark)
        p.cut()
    send_message(control, message("Ping"))
    while read_message(control)[0] != "Pong":
        pass
    control.close()
    with GoClient(s.tunnel_port) as g:
        g.ping()


def test_pong_does_not_overtake(lab):
    """
    A Go client notes when it sent a Ping after it did, and takes a Pong that came before for an old
    one. So Pongs wait for 5 ms, one for each Ping; a client with Features gets its own at once.
    """
    s = lab.server()
    c = lab.goclient(s)
    for n in (1, 3):
        began = time.monotonic()
        for _ in range(n):
            c.send(message("Ping"))
        for _ in range(n):
            c.pongs.get(timeout=env.WAIT)
        assert time.monotonic() - began >= 0.004
    c.ping()
    assert c.pongs.empty()
