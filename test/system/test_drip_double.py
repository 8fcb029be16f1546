"""The hand-made Drip peers against each other: what the tests of our own ends rely on."""

import socket
import threading
import time

import pytest

from lib import backends, drip_cases, drip_wire as wire, env
from lib.drip_client import DripClient, discover
from lib.drip_rig import TOKEN, Doubles
from lib.drip_server import DripServer
from lib.drip_wire import Refused
from lib.drip_yamux import (ACK, DATA, FIN, FIRST_WINDOW, GOAWAY, PING, RST, SYN, WINDOW, Session, head)
from lib.env import MB
from lib.net import Conn, Short, eventually

pytestmark = pytest.mark.skipif(env.SANITIZED, reason="none of our programs runs")


@pytest.mark.parametrize("case", drip_cases.MATRIX, ids=drip_cases.name_of)
def test_matrix(lab, certs, case):
    rig = Doubles(lab, certs)
    fn, kind = case
    fn(rig, kind)
    assert not rig.faults()


@pytest.mark.parametrize("transport", ["tcp", "wss", "auto"])
@pytest.mark.parametrize("cut", wire.CUTS)
def test_cuts(lab, certs, cut, transport):
    rig = Doubles(lab, certs, {"cut": cut}, {"cut": cut, "transport": transport})
    way = rig.tunnel(lab.site())
    assert way.get("/x").body == b"site GET /x\n"
    assert rig.server.asked["discover"] == (4 if transport == "auto" else 0)
    assert rig.server.every[0].transports == ["wss" if transport == "wss" else "tcp"] * 4
    assert not rig.faults()


@pytest.mark.parametrize("case", [drip_cases.case_upload, drip_cases.case_websocket], ids=lambda c: c.__name__[5:])
def test_wss(lab, certs, case):
    rig = Doubles(lab, certs, client_kw={"transport": "wss"})
    case(rig, "http")
    assert not rig.faults()


def test_data_sessions(lab, certs):
    """They carry the streams, evenly; the primary one when they are gone; its end is the tunnel's."""
    rig = Doubles(lab, certs)
    drip_cases.case_parallel(rig, "http", 30)
    client, tunnel = rig.client, rig.server.every[0]
    assert client.served[0] == 0 and min(client.served[1:]) >= 5, client.served
    assert len(tunnel.wait_data(3)) == 3
    client.data[0].close()
    eventually(lambda: len(tunnel.data) == 2)
    client.data[1].leave()
    before = client.served
    way = rig.tunnel(lab.site(), data=0)
    first = tunnel.open(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    first.wait_over()
    assert client.data[1].served == before[2] and client.data[2].served == before[3] + 1
    assert way.get("/").status == 200 and rig.client.served == [1]
    client.primary.close()
    tunnel.wait_end()
    client.wait_end()
    assert all(s.ended.wait(10) for s in client.data)


REFUSALS = [
    (dict(kind="udp", token="bad"), "tunnel_type_not_allowed", "Tunnel type 'udp' is not allowed on this server"),
    (dict(token="bad", name="www"), "authentication_failed", "Invalid authentication token"),
    (dict(name="No"), "registration_failed", "tunnel registration failed: invalid subdomain format"),
    (dict(name="www"), "registration_failed", "tunnel registration failed: subdomain is reserved"),
    (dict(name="taken"), "registration_failed", "tunnel registration failed: subdomain is already taken"),
]


def test_refusals(lab, certs):
    s = lab.keep(DripServer(certs, token=TOKEN))
    c = lab.keep(DripClient(s.port, name="taken", token=TOKEN, data=1))
    for args, code, message in REFUSALS:
        with pytest.raises(Refused) as e:
            DripClient(s.port, **{"token": TOKEN, **args})
        assert (e.value.code, e.value.message) == (code, message)
    for changes, message in (({"tunnel_id": "0" * 32}, "Tunnel not found"),
                             ({"token": "x"}, "Invalid authentication token")):
        with pytest.raises(Refused) as e:
            c.join(**changes)
        assert e.value.message == message


BAD_FIRST = {
    "trailing": wire.frame(wire.REGISTER, b'{"token":"sekrit"}x'),
    "empty": wire.frame(wire.REGISTER),
    "array": wire.frame(wire.REGISTER, []),
    "text-as-port": wire.frame(wire.REGISTER, {"local_port": "1"}),
    "half-a-port": wire.frame(wire.REGISTER, {"local_port": 1.5}),
    "too-long": wire.frame(wire.REGISTER, b"{", wire.MAX_PAYLOAD + 1),
    "heartbeat": wire.frame(wire.HEARTBEAT),
    "unknown-type": wire.frame(9, {}),
}


@pytest.mark.parametrize("first", BAD_FIRST.values(), ids=BAD_FIRST)
def test_bad_first_frames(lab, certs, first):
    s = lab.keep(DripServer(certs))
    with wire.connect(s.port) as c:
        wire.send_cut(c, *first)
        assert c.recv_rest()[0] == b""


def test_odd_payloads(lab, certs):
    """What a Go decoder takes."""
    s = lab.keep(DripServer(certs))
    for text in (b' {"TUNNEL_TYPE" : "tcp", "token":null, "x":[{}], "Custom_Subdomain":"a-\\u0062"}\n',
                 b'{"tunnel_type":"udp","tunnel_type":"http","custom_subdomain":"a-b"}'):
        c = lab.keep(DripClient(s.port, register=text, kind="http", on_stream=lambda st: None))
        assert c.name == "a-b" and "tunnel_id" not in c.ack
        c.close()
        eventually(lambda: not s.tunnels)


def test_discover(lab, certs):
    s = lab.keep(DripServer(certs))
    r = discover(s.port)
    assert r.body == (b'{"preferred":"tcp","transports":["tcp","wss"],"tunnel_types":["http","https","tcp"],'
                      b'"version":"1"}')
    only = lab.keep(DripServer(certs, transports=["wss"]))
    assert b'"preferred":"wss"' in discover(only.port).body
    c = lab.keep(DripClient(only.port, transport="auto", data=1))
    assert only.every[0].transports == ["wss", "wss"] and c.name
    with pytest.raises(Short):
        DripClient(only.port, transport="tcp")
    none = lab.keep(DripServer(certs, transports=["tcp"]))
    with pytest.raises(Refused, match="403"):
        DripClient(none.port, transport="wss")


def test_go_like_half_close(lab, certs):
    """As the programs are: the first end of a direction ends both."""
    rig = Doubles(lab, certs, {"half_close": False}, {"half_close": False})
    way = rig.tunnel(lab.backend(backends.sink), "tcp")
    with way.dial() as c:
        c.send(b"abc").half_close()
        assert c.recv_rest()[0] == b""


class Two:
    """Two sessions on a socket pair: `server` opens odd ids."""

    def __init__(self, server=None, client=None):
        a, b = socket.socketpair()
        self.server = Session(Conn(a), odd=True, name="server", **(server or {}))
        self.client = Session(Conn(b), odd=False, name="client", **(client or {}))

    def stream(self):
        st = self.server.open()
        other = self.client.take()
        st.wait_acked()
        return st, other

    def close(self):
        self.server.close()
        self.client.close()


@pytest.fixture
def two(lab):
    return lab.keep(Two())


TOO_MUCH = b"x" * (2 * FIRST_WINDOW + 1)

# What one end does on an open stream, and what the other calls it. Frames: kind, flags, id (0: the
# stream's, else beside it), value, body.
HOSTILE = {
    "second-fin": ([(WINDOW, FIN, 0, 0), (WINDOW, FIN, 0, 0)], "a second FIN"),
    "overrun": ([(DATA, 0, 0, len(TOO_MUCH), TOO_MUCH)], "were allowed"),
    "second-ack": ([(WINDOW, ACK, 0, 0)], "an ACK that none waits for"),
    "syn-on-a-live-id": ([(WINDOW, SYN, 0, 0)], "which is open"),
    "even-id": ([(WINDOW, SYN, 3, 0)], "of the wrong end or age"),
    "old-id": ([(WINDOW, RST, 0, 0), (WINDOW, SYN, 0, 0)], "of the wrong end or age"),
    "stream-0": ([(DATA, 0, -1, 1, b"x")], "stream 0"),
    "type": ([(4, 0, 0, 0)], "version 0, type 4"),
    "data-after-fin": ([(WINDOW, FIN, 0, 0), (DATA, 0, 0, 1, b"x")], "bytes after its FIN"),
}


@pytest.mark.parametrize("act", HOSTILE)
def test_a_hostile_end_is_noticed(two, act):
    frames, words = HOSTILE[act]
    st, _ = two.stream()
    for kind, flags, beside, *rest in frames:
        two.server.write(kind, flags, st.sid + beside, *rest, quiet=True)
    two.client.wait_end()
    assert words in two.client.faults[0], two.client.faults
    two.server.wait_end()
    assert two.server.goaway == 1


def test_another_version(two):
    two.server.raw(head(PING, SYN, 0, 1, version=1))
    two.client.wait_end()
    assert two.client.faults == ["version 1, type 2"]


def test_no_ack_first(two):
    two.client.acks = False
    st = two.server.open()
    two.client.take()
    two.client.write(DATA, 0, st.sid, 1, b"x", quiet=True)
    two.server.wait_end()
    assert "its first frame has no ACK" in two.server.faults[0]


def test_windows(two):
    """A sender stops at the window; what a reader takes opens it."""
    st, other = two.stream()
    sender = threading.Thread(target=st.send, args=(b"x" * MB,), daemon=True)
    sender.start()
    other.wait_got(2 * FIRST_WINDOW)
    two.server.ping()
    assert other.got == 2 * FIRST_WINDOW and st.window == 0
    side, other_side = two.stream()
    side.send(b"others go on")
    assert other_side.recv_exact(12) == b"others go on"
    assert len(other.recv_exact(MB)) == MB
    sender.join(10)
    st.half_close()
    assert other.recv_rest() == (b"", "eof")
    other.half_close()
    st.wait_fin()
    side.reset()
    other_side.wait_broken()
    two.server.wait_idle()
    two.client.wait_idle()
    assert not two.server.faults and not two.client.faults


def test_joined_frames(two):
    """SYN, data and FIN in one record, on three streams at once."""
    two.server.joined([(WINDOW, SYN, i, 0) for i in (1, 3, 5)] +
                      [(DATA, FIN, i, 2, b"%d!" % i) for i in (5, 3, 1)] + [(PING, SYN, 0, 77)])
    for i in (1, 3, 5):
        assert two.client.take().recv_all() == b"%d!" % i
    eventually(lambda: any(f.kind == PING and f.flags == ACK and f.value == 77 for f in two.server.frames))


def test_go_away(two):
    st, other = two.stream()
    two.client.leave()
    two.server.wait(lambda: two.server.goaway == 0, "GO_AWAY")
    with pytest.raises(BrokenPipeError):
        two.server.open()
    st.send(b"goes on")
    assert other.recv_exact(7) == b"goes on"
    two.server.write(WINDOW, SYN, 3, 0)
    eventually(lambda: any(f.sid == 3 and f.flags & RST for f in two.server.frames))
    two.client.write(GOAWAY, 0, 0, 2)
    two.server.wait_end()


def test_pings(lab):
    two = lab.keep(Two({"ping": 0.05, "ping_limit": 0.2}, {"pongs": True}))
    two.client.wait_pinged(3)
    assert two.client.ping() < 5
    two.client.pongs = False
    start = time.monotonic()
    assert "three pings" in two.server.wait_end()
    assert time.monotonic() - start > 0.3


def test_unknown_ids_are_drained(two):
    two.server.write(DATA, 0, 99, 5, b"ghost")
    two.server.write(WINDOW, FIN, 97, 0)
    st, other = two.stream()
    st.send(b"x")
    assert other.recv_exact(1) == b"x"
