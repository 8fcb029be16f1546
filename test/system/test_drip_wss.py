"""Drip over websockets: pgrokd's /_drip/ws for a client made by hand."""

import json
import threading

import pytest

from lib import backends, drip_cases, drip_wire as wire
from lib.drip_client import discover
from lib.drip_rig import TOKEN, OurServer
from lib.drip_wire import Refused
from lib.env import MB, WAIT
from lib.net import eventually, request

CASES = [drip_cases.case_request, drip_cases.case_live, drip_cases.case_duplex, drip_cases.case_websocket,
         drip_cases.case_upload, drip_cases.case_download, drip_cases.case_parallel, drip_cases.case_slow_reader,
         drip_cases.case_visitor_leaves]
MATRIX = [(c, "http") for c in CASES] + [(drip_cases.case_tcp, "tcp"), (drip_cases.case_tcp_half_close, "tcp")]


@pytest.mark.parametrize("case", MATRIX, ids=drip_cases.name_of)
def test_matrix(lab, certs, case):
    rig = OurServer(lab, certs, client_kw={"transport": "wss"})
    fn, kind = case
    fn(rig, kind)
    assert not rig.faults()


@pytest.mark.parametrize("cut", wire.CUTS)
def test_cuts(lab, certs, cut):
    """Frames and yamux in messages of any size."""
    rig = OurServer(lab, certs, client_kw={"transport": "wss", "cut": cut})
    way = rig.tunnel(lab.site())
    assert way.get("/x").body == b"site GET /x\n"
    assert not rig.faults()


@pytest.mark.parametrize("engine", ["direct", "bufferevent"])
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.threads
def test_engines_and_workers(lab, certs, engine, workers):
    """A websocket goes home in the middle of its frames, as any connection."""
    rig = OurServer(lab, certs, client_kw={"transport": "wss"}, server_kw={"engine": engine, "workers": workers})
    drip_cases.case_parallel(rig, "http", 20)
    assert rig.client.served[0] == 0 and min(rig.client.served[1:]) > 0, rig.client.served
    drip_cases.case_upload(rig, "http")
    drip_cases.case_download(rig, "http")
    assert not rig.faults()


@pytest.mark.parametrize("trusted", [True, False])
def test_behind_a_proxy(lab, certs, trusted):
    """Whom a trusted proxy speaks of is who guesses and asks; others say nothing of themselves."""
    rig = OurServer(lab, certs, *(["-trustedProxies=127.0.0.1"] if trusted else []))
    conn = wire.connect(rig.server.tunnel_port)
    ws = wire.upgrade(conn, "drip.test\r\nX-Forwarded-For: 203.0.113.9")
    wire.send_frame(ws, wire.REGISTER, {"token": TOKEN, "tunnel_type": "http"})
    assert wire.read_frame(ws)[0] == wire.REGISTER_ACK
    came = rig.server.wait_log(r"connected from ([0-9.]+)")[1]
    assert came == ("203.0.113.9" if trusted else "127.0.0.1")
    ws.close()


def test_mixed(lab, certs):
    """The primary session one way, data sessions the other; two tunnels side by side."""
    rig = OurServer(lab, certs)
    way = rig.tunnel(lab.keep(backends.Gathering(4)), data=1)
    client = rig.client
    client.transport = "wss"
    client.join()
    for t in [lab.thread(way.get, "/") for _ in range(4)]:
        assert t.result().status == 200
    assert client.served == [0, 2, 2]
    other = rig.tunnel(lab.site(name="other"), transport="wss")
    assert other.get("/").body == b"other GET /\n" and way.get("/").status == 200
    assert not rig.faults()


def test_discover(lab, certs):
    """wss is offered, tcp preferred: a client that asks takes that."""
    rig = OurServer(lab, certs)
    got = json.loads(discover(rig.server.tunnel_port).body)
    assert got["transports"] == ["tcp", "wss"] and got["preferred"] == "tcp"
    way = rig.tunnel(lab.site(), transport="auto")
    assert way.get("/").status == 200


UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
           "Sec-WebSocket-Version: 13")
BAD_REQUESTS = {
    "plain": ((), "GET"),
    "connection-alone": (UPGRADE[1:], "GET"),
    "upgrade-alone": (UPGRADE[:1] + UPGRADE[2:], "GET"),
    "no-key": (UPGRADE[:2] + UPGRADE[3:], "GET"),
    "bad-key": (UPGRADE[:2] + ("Sec-WebSocket-Key: x",) + UPGRADE[3:], "GET"),
    "old-version": (UPGRADE[:3] + ("Sec-WebSocket-Version: 8",), "GET"),
    "post": (UPGRADE, "POST"),
}


@pytest.mark.parametrize("bad", BAD_REQUESTS)
def test_no_websocket(lab, certs, bad):
    rig = OurServer(lab, certs)
    headers, method = BAD_REQUESTS[bad]
    with wire.connect(rig.server.tunnel_port) as c:
        c.send(request("x", "/_drip/ws", method=method, headers=headers, close=bad == "plain"))
        assert c.response().status == 400
    assert rig.tunnel(lab.site(), transport="wss").get("/").status == 200


def websocket(rig):
    """A websocket at the server, with nothing said on it."""
    conn = wire.connect(rig.server.tunnel_port)
    return wire.upgrade(conn, f"127.0.0.1:{rig.server.tunnel_port}", TOKEN)


def register(name, **more):
    fields = {"token": TOKEN, "tunnel_type": "http", "custom_subdomain": name, **more}
    return b"".join(wire.frame(wire.REGISTER, fields))


def test_bytes_behind_the_head(lab, certs):
    """The first frame may come with the request, and with a text, a ping and crumbs around it."""
    rig = OurServer(lab, certs)
    conn = wire.connect(rig.server.tunnel_port)
    text = register("hasty")
    frames = b"".join([backends.ws_frame(b"hello", 1, mask=True), backends.ws_frame(text[:3], 2, mask=True),
                       backends.ws_frame(b"?", 9, mask=True), backends.ws_frame(b"", 2, mask=True),
                       backends.ws_frame(text[3:], 2, mask=True)])
    conn.send(request("x", "/_drip/ws", headers=UPGRADE) + frames)
    assert conn.response(head_only=True).status == 101
    ws = wire.WsConn(conn, client=True)
    kind, ack = wire.read_frame(ws)
    assert kind == wire.REGISTER_ACK and ack["subdomain"] == "hasty" and ws.pongs == 1
    ws.close()


BAD_FRAMES = {
    "not-masked": backends.ws_frame(b"\0\0\0\2\1{}", 2),
    "reserved-bit": b"\xc2\x80\0\0\0\0",
    "unknown-kind": b"\x83\x80\0\0\0\0",
    "long-ping": b"\x89\xfe\0\x7e\0\0\0\0",
    "half-a-code": b"\x88\x81\0\0\0\0\3",
    "continuation": b"\x80\x81\0\0\0\0x",
    "padded-length": b"\x82\xfe\0\1\0\0\0\0x",
}


@pytest.mark.parametrize("bad", BAD_FRAMES)
@pytest.mark.parametrize("when", ["first", "later"])
def test_bad_frames(lab, certs, bad, when):
    """1002 and the end of that connection, of no other."""
    rig = OurServer(lab, certs)
    good = rig.tunnel(lab.site(), name="good", transport="wss")
    ws = websocket(rig)
    if when == "later":
        ws.send(register("bad-one"))
        assert wire.read_frame(ws)[0] == wire.REGISTER_ACK
    ws.raw(BAD_FRAMES[bad])
    ws.recv_rest()
    assert ws.close_code in (1002, None)
    ws.conn.close()
    assert good.get("/").status == 200


@pytest.mark.parametrize("end", ["close-frame", "close-notify", "cut"])
def test_ends(lab, certs, end):
    """However it ends, the tunnel does."""
    rig = OurServer(lab, certs)
    way = rig.tunnel(lab.site(), name="ends", transport="wss", data=0)
    conn = rig.client.primary.conn
    if end == "close-frame":
        conn.half_close()
    elif end == "close-notify":
        conn.conn.half_close()
    else:
        conn.conn.cut()
    assert eventually(lambda: way.get("/").status == 404)
    again = eventually(lambda: tunnel_if_free(rig, lab.site()))
    assert again.get("/").status == 200


def tunnel_if_free(rig, site):
    try:
        return rig.tunnel(site, name="ends", transport="wss")
    except Refused:
        return None


def test_refusals(lab, certs):
    """The same words, and a close frame behind them."""
    rig = OurServer(lab, certs)
    with pytest.raises(Refused, match="subdomain is reserved"):
        rig.tunnel(lab.site(), name="www", transport="wss")
    ws = websocket(rig)
    ws.send(b"".join(wire.frame(wire.REGISTER, {"token": "bad", "tunnel_type": "http"})))
    assert wire.read_frame(ws)[0] == wire.ERROR
    assert ws.recv_all() == b"" and ws.close_code == 1000
    ws.conn.close()


def test_other_first_words(lab, certs):
    """Only Drip is spoken inside."""
    rig = OurServer(lab, certs)
    for text in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x20\0\0\0\0\0\0\0" + b'{"Type":"Auth","Payload":{}}    ',
                 b"\0\x20\0\0\1"):
        ws = websocket(rig)
        ws.send(text)
        got, _ = ws.recv_rest()
        assert got == b""
        ws.conn.close()


@pytest.mark.scaled
def test_silence_inside(lab, certs):
    """As long as for any first words; pings do not count."""
    rig = OurServer(lab, certs, server_kw={"scale": 0.1})
    ws = websocket(rig)
    over = threading.Event()

    def pings():
        while not over.wait(0.2):
            try:
                ws.ping()
            except OSError:
                return
            except Exception:  # it is gone  # pylint: disable=broad-except
                return
    threading.Thread(target=pings, daemon=True).start()
    ws.conn.settimeout(WAIT)
    assert ws.recv_rest()[0] == b""
    over.set()


@pytest.mark.scaled
def test_it_pings(lab, certs):
    """Every 30 s, here every 0.9."""
    rig = OurServer(lab, certs, server_kw={"scale": 0.03})
    rig.tunnel(lab.site(), transport="wss", data=0)
    ws = rig.client.primary.conn
    eventually(lambda: ws.pings >= 2)
    assert not rig.faults()


def test_a_client_that_does_not_read(lab, certs):
    """What waits for it is bounded, and other clients are served."""
    rig = OurServer(lab, certs)
    other = rig.tunnel(lab.site(name="other"), transport="wss")
    release = threading.Event()
    rig.lab.keep(Release(release))
    way = rig.tunnel(1, on_stream=lambda st: release.wait(WAIT), data=0, transport="wss")
    c = way.dial()
    c.send(request(way.host, "/", method="POST", headers=[f"Content-Length: {4 * MB}"]))
    c.settimeout(1.0)
    try:
        for piece in backends.pattern(4 * MB):
            c.send(piece)
    except OSError:
        pass  # held back
    assert other.get("/").status == 200
    c.close()


class Release:
    """Lets threads of the test go at its end."""

    def __init__(self, event):
        self.event = event

    def close(self):
        self.event.set()
