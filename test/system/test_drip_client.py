"""pgrok at a Drip server made by hand: everything through a tunnel, what it says, coming back, hostile servers."""

import json
import threading
import time

import pytest

from lib import backends, drip_cases, drip_wire as wire
from lib.drip_rig import DRIP, TOKEN, OurClient, RealServer
from lib.drip_server import DripServer
from lib.drip_yamux import ACK, DATA, FIN, GOAWAY, PING, RST, SYN, WINDOW, head
from lib.env import MB, WAIT, free_port
from lib.net import Aborted, eventually, request


@pytest.mark.parametrize("case", drip_cases.MATRIX, ids=drip_cases.name_of)
def test_matrix(lab, certs, case):
    rig = OurClient(lab, certs)
    fn, kind = case
    fn(rig, kind)
    assert not rig.faults()


@pytest.mark.skipif(not DRIP, reason="DRIP names no program")
@pytest.mark.parametrize("case", drip_cases.WITH_GO, ids=drip_cases.name_of)
def test_matrix_with_the_real_server(lab, certs, case):
    rig = RealServer(lab, certs)
    fn, kind = case
    fn(rig, kind)


@pytest.mark.parametrize("engine", ["direct", "bufferevent"])
@pytest.mark.parametrize("case", [drip_cases.case_upload, drip_cases.case_download, drip_cases.case_websocket],
                         ids=lambda c: c.__name__[5:])
def test_engines(lab, certs, engine, case):
    rig = OurClient(lab, certs, client_kw={"engine": engine})
    case(rig, "http")
    assert not rig.faults()


@pytest.mark.parametrize("cut", wire.CUTS)
def test_cuts(lab, certs, cut):
    rig = OurClient(lab, certs, {"cut": cut})
    way = rig.tunnel(lab.site())
    assert way.get("/x").body == b"site GET /x\n"
    assert not rig.faults()


# -- what it says --

def test_register(lab, certs):
    site = lab.site()
    rig = OurClient(lab, certs)
    rig.tunnel(site, name="myapp", allow=["127.0.0.0/8", "::1"], deny=["10.0.0.1"], auth=("bearer", "b-t.k_/~+="))
    r = rig.server.registers[0]
    assert r["token"] == TOKEN and r["custom_subdomain"] == "myapp" and r["tunnel_type"] == "http"
    assert r["local_port"] == site.port and r["connection_type"] == "primary"
    assert r["pool_capabilities"]["version"] == 1 and r["pool_capabilities"]["max_data_conns"] >= 1
    assert r["ip_access"]["deny_ips"] == ["10.0.0.1"] and len(r["ip_access"]["allow_ips"]) == 2
    assert r["proxy_auth"] == {"enabled": True, "type": "bearer", "token": "b-t.k_/~+="}


def test_register_with_little(lab, certs):
    rig = OurClient(lab, certs)
    rig.tunnel(lab.backend(backends.echo), "tcp", remote_port=31999)
    r = rig.server.registers[0]
    assert r["tunnel_type"] == "tcp" and r["custom_subdomain"] == "tcp-31999"
    assert "ip_access" not in r and "proxy_auth" not in r


def test_data_sessions(lab, certs):
    """They join, carry the streams, and are replaced when they are lost."""
    rig = OurClient(lab, certs)
    way = rig.tunnel(lab.site(), name="pool")
    t = rig.server.every[0]
    data = t.wait_data(1)
    assert way.get("/").status == 200 and t.primary.opened == 0
    names = [s.name for s in data]
    assert len(set(names)) == len(names)
    for s in data:
        s.close()
    t.wait_joined(len(data) + 1)
    assert eventually(lambda: way.get("/").status == 200)
    assert rig.client.alive() and len(rig.server.registers) == 1


@pytest.mark.parametrize("why", ["no-tunnel-id", "refused", "silent"])
def test_the_primary_alone(lab, certs, why):
    """Where there are no data sessions, or the server will have none."""
    kw = {"no-tunnel-id": {"data": False}, "refused": {"on_data": lambda s, a: "join_failed: Tunnel not found"},
          "silent": {"on_data": lambda s, a: False}}[why]
    rig = OurClient(lab, certs, kw)
    way = rig.tunnel(lab.site())
    for _ in range(3):
        assert way.get("/").status == 200
    assert rig.server.every[0].primary.opened == 3 and not rig.faults()


def test_pings(lab, certs):
    """It pings, and answers at once, on every session."""
    rig = OurClient(lab, certs, {"yamux": {"ping": None}})
    rig.tunnel(lab.site())
    t = rig.server.every[0]
    t.wait_data(1)
    for s in t.sessions:
        s.ping()
        s.wait_pinged(1)
    assert not rig.faults()


def test_streams_are_acked_at_once(lab, certs):
    """Before the service is dialled, once each, and a FIN once each."""
    accepted = threading.Event()

    def handler(c, _b):
        accepted.wait(WAIT)
        c.recv_until(b"\r\n\r\n")
        c.send(backends.answer(200, b"x"))
    rig = OurClient(lab, certs)
    rig.tunnel(lab.backend(handler))
    t = rig.server.every[0]
    st = t.open()
    st.wait_acked()
    st.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    accepted.set()
    assert st.recv_rest()[0].endswith(b"x")
    assert sum(1 for f, _ in st.frames if f & ACK) == 1 and sum(1 for f, _ in st.frames if f & FIN) == 1
    assert not rig.faults()


def test_the_request_ends_by_its_framing(lab, certs):
    """No FIN comes; and an answer with no length in the service's way ends with one."""
    def app(r, c):
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    rig = OurClient(lab, certs)
    rig.tunnel(lab.site(app))
    for text in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
                 b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"):
        st = rig.server.every[0].open(text)
        got, how = st.recv_rest()
        assert got.startswith(b"HTTP/1.1 200 ") and b"hello" in got and how == "eof"
        st.half_close()


@pytest.mark.parametrize("how", ["rst", "fin"])
def test_visitor_leaves(lab, certs, how):
    """Either is the visitor's end: the service learns of it."""
    rig = OurClient(lab, certs, {"reset": how == "rst"})
    drip_cases.case_visitor_leaves(rig, "http")


# -- refusals --

FATAL = [("authentication_failed", "Invalid authentication token"),
         ("registration_failed", "tunnel registration failed: subdomain is already taken"),
         ("registration_failed", "tunnel registration failed: subdomain is reserved"),
         ("registration_failed", "tunnel registration failed: invalid subdomain format")]


@pytest.mark.parametrize("error", FATAL, ids=lambda e: e[1].split(": ")[-1].replace(" ", "-"))
def test_fatal_refusals(lab, certs, error):
    s = lab.keep(DripServer(certs, on_register=lambda s, r: error))
    rig = OurClient(lab, certs)
    c = lab.client(None, "start", "x", config=rig.config(lab.site(), "http", "x", server_port=s.port),
                   serveraddr=False, wait=False)
    c.expect_exit(1)
    assert error[1].split(": ")[-1] in c.text()
    assert len(s.registers) == 1


FOR_NOW = {"limit": ("registration_failed", "tunnel registration failed: maximum tunnel limit reached"),
           "rate": ("registration_failed", "tunnel registration failed: rate limit exceeded, try again later"),
           "port": ("registration_failed", "failed to allocate port: no available port in range 1-2"),
           "closed": False}


@pytest.mark.parametrize("answer", FOR_NOW.values(), ids=FOR_NOW)
def test_other_refusals_are_tried_again(lab, certs, answer):
    tries = []

    def refuse_once(_s, r):
        tries.append(r)
        return answer if len(tries) == 1 else None
    rig = OurClient(lab, certs, {"on_register": refuse_once})
    way = rig.tunnel(lab.site())
    assert way.get("/").status == 200 and len(tries) == 2


# What a server may answer to a Register; each is tried again.
BAD_ANSWERS = {
    "error-without-json": wire.frame(wire.ERROR, b"no"),
    "empty-error": wire.frame(wire.ERROR),
    "empty-ack": wire.frame(wire.REGISTER_ACK),
    "ack-array": wire.frame(wire.REGISTER_ACK, b"[]"),
    "ack-of-other-types": wire.frame(wire.REGISTER_ACK, {"subdomain": 1, "url": [], "tunnel_id": {}}),
    "deep": wire.frame(wire.REGISTER_ACK, b'{"x":' * 50000 + b"1" + b"}" * 50000),
    "too-long": wire.frame(wire.REGISTER_ACK, b"{}", wire.MAX_PAYLOAD + 1),
    "another-type": wire.frame(wire.DATA_CONNECT_ACK, {"accepted": True, "connection_id": "x"}),
    "http": (b"HTTP/1.1 400 Bad Request\r\n", b"Content-Length: 0\r\n\r\n"),
    "half": (b"\0\0\0\x10\2{", b""),
}


@pytest.mark.parametrize("bad", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_bad_answers(lab, certs, bad):
    class Bad(DripServer):
        """Answers so the first time."""
        first = True

        def _send(self, conn, kind, obj):
            if self.first and kind == wire.REGISTER_ACK:
                self.first = False
                wire.send_cut(conn, *bad)
                wire.drop(conn)
                raise OSError("said it")
            super()._send(conn, kind, obj)
    rig = OurClient(lab, certs)
    rig.server.close()
    rig.server = lab.keep(Bad(certs, token=TOKEN))
    rig.server.on_register = lambda s, r: s.tunnels.clear()
    way = rig.tunnel(lab.site())
    assert way.get("/").status == 200 and len(rig.server.registers) == 2


def test_an_ack_with_more_and_less(lab, certs):
    """Unknown keys are fine; subdomain, url and message are enough."""
    def ack(s, r):
        return {"subdomain": "other-name", "url": "https://other-name.drip.test", "message": "\u00fc", "x": [1]}
    rig = OurClient(lab, certs, {"on_register": ack})
    way = rig.tunnel(lab.site(), name="myapp")
    assert way.url == "https://other-name.drip.test"


# -- coming back --

def test_reconnect_with_the_same_name(lab, certs):
    """A name the server chose is asked for again, as is the port of a tcp tunnel."""
    given = {"subdomain": "random-name", "url": "https://random-name.drip.test:1", "message": "ok"}
    rig = OurClient(lab, certs)
    rig.server.on_register = lambda s, r: given if not s.every else None
    rig.tunnel(lab.site())
    rig.server.every[0].primary.close()
    assert rig.server.wait_registers(2)[1]["custom_subdomain"] == "random-name"


def test_reconnect_of_a_port(lab, certs):
    rig = OurClient(lab, certs)
    way = rig.tunnel(lab.backend(backends.echo), "tcp")
    rig.server.every[0].primary.close()
    t = rig.server.wait_tunnel(2)
    assert t.name == f"tcp-{way.url.rsplit(':', 1)[1]}"
    with way.dial() as c:
        c.send(b"x")
        assert c.recv_exact(1) == b"x"


def test_server_restarted(lab, certs):
    rig = OurClient(lab, certs)
    way = rig.tunnel(lab.site(), name="stays")
    port = rig.server.port
    rig.server.close()
    rig.client.wait_log("(?i)connect", after=rig.client.mark())
    rig.server = lab.keep(DripServer(certs, token=TOKEN, port=port))
    assert rig.server.wait_tunnel(1).name == "stays"
    assert eventually(lambda: way.get("/").status == 200)


@pytest.mark.scaled
def test_a_silent_server_is_left(lab, certs):
    """No answer to its pings: another connection, with the same name."""
    rig = OurClient(lab, certs, {"yamux": {"ping": None}}, {"scale": 0.1})
    rig.tunnel(lab.site(), name="silent")
    rig.server.every[0].primary.pongs = False
    for s in rig.server.every[0].data.values():
        s.pongs = False
    rig.server.wait_registers(2)


def test_taken_for_a_while(lab, certs):
    """After a loss the server may still hold the name: that is no reason to end."""
    taken = ("registration_failed", "tunnel registration failed: subdomain is already taken")
    rig = OurClient(lab, certs)
    way = rig.tunnel(lab.site(), name="held")
    rig.server.on_register = lambda s, r: taken if len(s.registers) < 4 else None
    rig.server.every[0].primary.close()
    rig.server.wait_tunnel(2)
    assert way.get("/").status == 200


# -- the way there --

@pytest.mark.parametrize("discover", [None, 404, 0.3], ids=["said", "404", "slow"])
def test_auto(lab, certs, discover):
    rig = OurClient(lab, certs, {"discover": discover})
    way = rig.tunnel(lab.site(), transport="auto")
    assert way.get("/").status == 200 and rig.server.every[0].transports[0] == "tcp"


def test_no_such_transport(lab, certs):
    """The words end it at once."""
    rig = OurClient(lab, certs, {"transports": ["wss"]})
    c = lab.client(None, "start", "x", config=rig.config(lab.site(), "http", "x"), serveraddr=False, wait=False)
    c.expect_exit(1)
    assert "server only supports" in c.text()


def test_flags(lab, certs):
    """Without a file."""
    rig = OurClient(lab, certs)
    c = lab.client(rig.server.addr, "-protocol=drip", f"-authtoken={TOKEN}", "-subdomain=flags", lab.site().port)
    assert c.url("https").startswith("https://flags.drip.test")
    assert rig.server.registers[0]["custom_subdomain"] == "flags"


@pytest.mark.parametrize("key", ["hostname: shop.example.org", "auth: 'a:b'", "mtls_ca: ca.pem"])
def test_what_drip_cannot(lab, certs, key):
    rig = OurClient(lab, certs)
    name, value = key.split(": ")
    c = lab.client(None, "start", "x", config=rig.config(1, "http", "x", **{name: value}), serveraddr=False, wait=False)
    c.expect_exit(1)
    assert name in c.text() and "line" in c.text() or ":8" in c.text()


@pytest.mark.parametrize("good", [True, False])
def test_certificates(lab, certs, good):
    """As for pgrok servers; one that does not verify is tried again, not trusted."""
    rig = OurClient(lab, certs)
    path = rig.config(lab.site(), "http", "here")
    path.write_text(f"root_cas: {certs.ca if good else certs.other_ca}\n" + path.read_text())
    c = lab.client(None, "start", "here", config=path, serveraddr=False, wait=good)
    if good:
        assert c.urls()
    else:
        c.wait_log("(?i)certificate")
        assert not rig.server.registers and c.alive()


# -- hostile servers --

TOO_MUCH = b"x" * (MB + 1)
# What a server does on a session, with a stream of its own open; it may end the session, not the client.
HOSTILE = {
    "second-fin": [(WINDOW, FIN, 0, 0), (WINDOW, FIN, 0, 0)],
    "overrun": [(DATA, 0, 0, len(TOO_MUCH), TOO_MUCH)],
    "window-overflow": [(WINDOW, 0, 0, 0xFFFFFFFF), (WINDOW, 0, 0, 0xFFFFFFFF)],
    "syn-on-a-live-id": [(WINDOW, SYN, 0, 0)],
    "even-id": [(WINDOW, SYN, 3, 0)],
    "stream-0": [(DATA, 0, -1, 1, b"x")],
    "unknown-id": [(DATA, 0, 90, 5, b"ghost"), (WINDOW, FIN, 92, 0), (WINDOW, RST, 94, 0)],
    "data-after-fin": [(WINDOW, FIN, 0, 0), (DATA, 0, 0, 1, b"x")],
    "ack": [(WINDOW, ACK, 0, 0)],
    "type": [(4, 0, 0, 0)],
    "go-away": [(GOAWAY, 0, -1, 0)],
    "go-away-1": [(GOAWAY, 0, -1, 1)],
    "pings": [(PING, SYN, -1, i) for i in range(2000)],
    "odd-flags": [(WINDOW, SYN | ACK | FIN | RST, 0, 0)],
    "drip-frame": [(0, 0, 0, 0, b"\0\0\0\2\4{}")],
    "many-streams": [(WINDOW, SYN, 2 * i, 0) for i in range(1, 2000)],
}


@pytest.mark.parametrize("act", HOSTILE)
def test_hostile_servers(lab, certs, act):
    rig = OurClient(lab, certs, {"yamux": {"ping": None}})
    way = rig.tunnel(lab.site(), name="brave")
    t = rig.server.every[0]
    t.wait_data(1)
    st = t.open(b"GET / HTTP/1.1\r\nHost: x\r\n")
    st.wait_acked()
    for kind, flags, beside, *rest in HOSTILE[act]:
        st.session.write(kind, flags, st.sid + beside, *rest, quiet=True)
    assert eventually(lambda: served(way))
    assert rig.client.alive()


def served(way):
    try:
        return way.get("/").status == 200
    except (Aborted, OSError):
        return False


def test_another_version_of_yamux(lab, certs):
    rig = OurClient(lab, certs)
    way = rig.tunnel(lab.site(), name="brave")
    rig.server.every[0].primary.raw(head(PING, SYN, 0, 1, version=1))
    rig.server.wait_tunnel(2)
    assert eventually(lambda: served(way))


@pytest.mark.parametrize("text", [b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50000,
                                  b"\0" * 70000,
                                  b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                                  b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"],
                         ids=["short", "long", "zeroes", "two-lengths", "gzip"])
def test_bad_requests(lab, certs, text):
    """The stream ends; the others do not."""
    rig = OurClient(lab, certs)
    way = rig.tunnel(lab.site())
    st = rig.server.every[0].open()
    try:
        st.send(text)
        st.wait_over()
    except Aborted:
        pass
    assert way.get("/").status == 200 and not rig.faults()


@pytest.mark.scaled
@pytest.mark.parametrize("text", [b"", b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "empty-lines", "half"])
def test_requests_that_never_come(lab, certs, text):
    """Their streams end within 30 s (12 here, so that pings are not late on a busy machine)."""
    rig = OurClient(lab, certs, client_kw={"scale": 0.4})
    way = rig.tunnel(lab.site())
    st = rig.server.every[0].open(text)
    st.wait_over()
    assert way.get("/").status == 200 and not rig.faults()


# -- what hangs on the same model --

def test_events_and_inspector(lab, certs):
    """The inspector shows a Drip tunnel's requests as any other's."""
    import urllib.request
    rig = OurClient(lab, certs, client_kw={"inspect": f"127.0.0.1:{free_port()}"})
    way = rig.tunnel(lab.site(), name="seen")
    assert way.get("/look", method="POST", body=b"abc").status == 200
    addr = next(a.split("=", 1)[1] for a in rig.client.argv if a.startswith("-inspectaddr="))

    def requests():
        with urllib.request.urlopen(f"http://{addr}/api/requests/http", timeout=WAIT) as r:
            return json.load(r).get("requests")
    assert "/look" in json.dumps(eventually(requests))


def test_ends_at_once(lab, certs):
    """SIGTERM: every connection is closed, with streams open."""
    def app(_r, c):
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        c.recv()
        return False
    rig = OurClient(lab, certs)
    way = rig.tunnel(lab.site(app))
    c = way.dial()
    c.send(request(way.host, "/"))
    c.response(head_only=True)
    start = time.monotonic()
    rig.client.end()
    rig.server.every[0].wait_end()
    assert time.monotonic() - start < WAIT
