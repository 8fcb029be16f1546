"""The copy for the inspector never blocks, slows or changes what it is a copy of; its bounds."""

import os
import random
import struct
import threading
import time
import zlib

import pytest

from lib import backends, env
from lib.backends import answer, ws_frame
from lib.inspector import started
from lib.net import dial, eventually, request

NOISE = os.urandom(300_000)


def script(*steps):
    """Who says what, in turn: {"c": bytes} of the visitor, {"s": bytes} of the local service."""
    return [(who, data) for step in steps for who, data in step.items()]


def head(*lines):
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunked(body, size, trailers=b""):
    parts = [body[at:at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x;a=b\r\n%s\r\n" % (len(x), x) for x in parts) + b"0\r\n" + trailers + b"\r\n"


def h2_frame(kind, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, 0, 0, 0, 0, 0]) + payload


def deflated(text, z):
    packed = (z.compress(text) + z.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return bytes([0xc1]) + ws_frame(packed)[1:]


OK = "HTTP/1.1 200 OK"


def dialogues(host):
    """What a copy might trip over. The Host is the tunnel's; everything else is free."""
    z = zlib.compressobj(wbits=-15)
    get = request(host, "/")
    upgrade = request(host, "/ws", headers=["Upgrade: websocket", "Connection: Upgrade",
                                            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="])
    odd_case = request(host, "/ws", headers=["uPGRaDE: WEBsocket", "cONNECTION: uPGRADE"])
    switch = head("HTTP/1.1 101 Switching Protocols", "upgrade: WebSocket", "Connection: upgrade")
    packing = head("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
                   "Sec-WebSocket-Extensions: permessage-deflate")
    many = b"".join(request(host, f"/{n}") for n in range(30))
    return {
        "no HTTP": script({"c": get, "s": NOISE[:5000]}),
        "HTTP/0.9": script({"c": get, "s": b"<html>no head at all"}),
        "zeros": script({"c": get, "s": bytes(100_000)}),
        "bare LF": script({"c": get, "s": b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc"}, {"c": get, "s": NOISE[:9]}),
        "status 999": script({"c": get, "s": head("HTTP/1.1 999 What") + NOISE[:99]}),
        "endless head": script({"c": get, "s": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 20_000}),
        "two lengths": script({"c": get, "s": head(OK, "Content-Length: 3", "Content-Length: 4") + b"abcd"}),
        "negative length": script({"c": get, "s": head(OK, "Content-Length: -3") + b"abcd"}),
        "longer than said": script({"c": get, "s": head(OK, "Content-Length: 3") + NOISE[:70_000]}),
        "100, then the body": script(
            {"c": request(host, "/", method="PUT", headers=["Content-Length: 70000", "Expect: 100-continue"]),
             "s": head("HTTP/1.1 100 Continue")}, {"c": NOISE[:70_000], "s": answer(200, b"ok")}),
        "twenty 103": script({"c": get, "s": head("HTTP/1.1 103 Early Hints", "Link: </x>") * 20 + answer(200, b"x")}),
        "answer before the body": script(
            {"c": request(host, "/", method="POST", headers=["Content-Length: 9"]) + b"abc"},
            {"s": answer(413, b"no")}, {"c": b"defghi" + get, "s": answer(200, b"yes")}),
        "pipelined": script({"c": many, "s": b"".join(answer(200, NOISE[:n * 100]) for n in range(30))}),
        "HEAD, 204, 304": script({"c": request(host, "/", method="HEAD") + get + get, "s":
                                  head(OK, "Content-Length: 999") + head("HTTP/1.1 204 No") +
                                  head("HTTP/1.1 304 Not Modified", "Content-Length: 7")},
                                 {"c": get, "s": answer(200, b"")}),
        "chunked both ways": script(
            {"c": request(host, "/", method="POST", headers=["Transfer-Encoding: chunked"]) +
             b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"},
            {"s": head(OK, "Transfer-Encoding: chunked") + chunked(NOISE, 1000, b"X-Sum: 5\r\n")},
            {"c": get, "s": answer(200, b"next")}),
        "chunks of one byte": script({"c": get, "s": head(OK, "Transfer-Encoding: chunked") + chunked(NOISE[:5000], 1)}),
        "broken chunk": script({"c": get, "s": head(OK, "Transfer-Encoding: chunked") + b"5\r\nhelloworld" + NOISE[:3000]}),
        "until the end": script({"c": get, "s": head("HTTP/1.0 200 OK") + NOISE}),
        "broken gzip": script({"c": get, "s": head(OK, "Content-Encoding: gzip", "Content-Length: 2000") + NOISE[:2000]}),
        "h2c": script(
            {"c": request(host, "/", headers=["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
                                              "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"]),
             "s": head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: h2c") + h2_frame(4)},
            {"c": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + h2_frame(4) + h2_frame(0, NOISE[:9000])},
            {"s": h2_frame(1, NOISE[:40]) + h2_frame(0, NOISE[:9000])}),
        "h2c refused": script(
            {"c": request(host, "/", headers=["Connection: Upgrade", "Upgrade: h2c"]), "s": answer(200, b"1.1")},
            {"c": get, "s": answer(200, b"still")}),
        "websocket": script(
            {"c": odd_case, "s": switch + ws_frame(b"glued to the head", 1)},
            {"c": ws_frame(NOISE[:70_000], 2, mask=True) + ws_frame(b"", 9, mask=True)},
            {"s": b"\x01\x03one\x89\x01p\x80\x03two" + ws_frame(NOISE, 2)}, {"c": ws_frame(b"\x03\xe8", 8, mask=True)}),
        "websocket, packed": script(
            {"c": upgrade, "s": packing + b"".join(deflated(b"again and again " * 50, z) for _ in range(20))},
            {"c": ws_frame(b"plain", 1, mask=True)}, {"s": b"\xc1\x05\xff\xff\xff\xff\xff" + NOISE[:5000]}),
        "websocket, broken": script({"c": upgrade, "s": switch + b"\xf3\x7f" + NOISE}, {"c": NOISE}),
        "websocket, impossible length": script({"c": upgrade, "s": switch + b"\x82\x7f" + b"\xff" * 8 + NOISE[:2000]}),
        "101 to nobody": script({"c": get, "s": switch + NOISE[:2000]}),
        "events": script({"c": get, "s": head(OK, "Content-Type: text/event-stream") + b"data: x\n\n"},
                         {"s": b"data: " + b"y" * 250_000 + b"\0\xff\r\rid: 1\r\n"}, {"s": b"\n" * 5000}),
        "two answers": script({"c": get, "s": answer(200, b"x") * 2}, {"c": get, "s": answer(200, b"y")}),
    }


def visit(port, service, steps):
    """Plays a dialogue; both must have got what the other said, to the byte, and then the end."""
    with dial(port) as c, service.expect(steps) as result:
        for who, data in steps:
            if who == "c":
                c.send(data)
            else:
                assert c.recv_exact(len(data)) == data
        c.half_close()
        assert c.recv_rest()[0] == b""
        assert result() is True


class Service:
    """The other half of a dialogue."""

    def __init__(self, lab):
        self.steps, self.outcome, self.done = None, None, threading.Event()
        self.port = lab.backend(self.play).port

    def expect(self, steps):
        self.steps = steps
        self.outcome = None
        self.done.clear()
        return self

    def __enter__(self):
        def result():
            assert self.done.wait(env.WAIT), "the local service is not through"
            return self.outcome
        return result

    def __exit__(self, *exc):
        pass

    def play(self, c, _b):
        rng = random.Random(1)
        try:
            for who, data in self.steps:
                if who == "c":
                    got = c.recv_exact(len(data))
                    assert got == data, f"{got[:200]!r} instead of {data[:200]!r}"
                    continue
                for at in range(0, len(data), 50_000):
                    piece, cut = data[at:at + 50_000], rng.randrange(1, 60)
                    c.send(piece[:cut]), c.send(piece[cut:])
            c.half_close()
            self.outcome = c.recv_all() == b""
        except AssertionError as e:
            self.outcome = str(e)
        finally:
            self.done.set()


# Room for everything, hardly any (so that things go while they are in progress), none.
ROOM = {"room": "", "tight": "inspect_max_body: 3000\ninspect_max_total: 16K\n", "none": "inspect_max_total: 1\n"}


@pytest.mark.parametrize("room", ROOM)
def test_no_byte_is_changed(lab, engine, room):
    service = Service(lab)
    _, i = started(lab, service, engine=engine, client_kw={"config": lab.config(ROOM[room])})
    page, tool = i.live(), i.live("/_ws")
    for name, steps in dialogues(i.public).items():
        try:
            visit(i.server.http_port, service, steps)
        except Exception as e:
            raise AssertionError(f"{name}: {e}") from e
    seen = eventually(lambda: [s for s in [i.get("/api/status")["capture"]]
                               if s["begun"] + s["lost"] >= len(dialogues(i.public))])[0]
    assert seen["bytes"] <= seen["max_bytes"] and seen["unfollowed"] >= (1 if room == "none" else 8)
    assert (seen["begun"] > 50) == (room != "none")
    page.close(), tool.close()


def test_packed_frames_are_read(lab):
    """permessage-deflate, messages leaning on those before; then one that can't be unpacked."""
    service = Service(lab)
    _, i = started(lab, service)
    visit(i.server.http_port, service, dialogues(i.public)["websocket, packed"])
    frames = i.frames(i.wait_entries()[0]["id"])
    assert [f.get("text") for f in frames if f["from"] == "server"][:20] == ["again and again " * 50] * 20
    assert all(f["compressed"] and f["size"] == 800 for f in frames if f.get("text", "").startswith("again"))
    assert [(f["text"], f["compressed"]) for f in frames if f["from"] == "client"] == [("plain", False)]
    assert [f["encoded"] for f in frames if f["compressed"]] == [False] * 20 + [True]


# -- time --

def test_timing_is_split(lab):
    """To the local service's answer to the dial, the request's end, the first byte, the last one."""
    begun = threading.Event()

    def backend(c, _b):
        c.recv_until(b"ab")
        begun.set()
        c.recv_exact(2)
        time.sleep(0.4)
        c.send(head("HTTP/1.1 100 Continue"))  # does not count
        time.sleep(0.4)
        c.send(head(OK, "Content-Length: 2") + b"a")
        time.sleep(0.4)
        c.send(b"b")
        c.recv()

    _, i = started(lab, lab.backend(backend))
    with dial(i.server.http_port) as c:
        c.send(request(i.public, "/", method="POST", headers=["Content-Length: 4"]) + b"ab")
        assert begun.wait(env.WAIT)
        time.sleep(0.4)
        c.send(b"cd")
        c.response(head_only=True)
        c.response()
        e = i.wait_entries()[0]
    t = {k: v / 1e9 for k, v in i.one(e["id"])["timing"].items()}
    assert 0 < t["connect_ns"] < t["request_sent_ns"] and t["request_sent_ns"] >= 0.3
    assert t["first_byte_ns"] - t["request_sent_ns"] >= 0.6 and t["last_byte_ns"] - t["first_byte_ns"] >= 0.2
    assert abs(e["duration_ms"] / 1000 - t["last_byte_ns"]) < 0.001


# -- bounds --

@pytest.mark.big
@pytest.mark.parametrize("way", ["down", "up"])
@pytest.mark.parametrize("engine", ["direct", "direct-nomux"])
def test_big_body_small_memory(lab, engine, way):
    total = (128 if env.SANITIZED else 512) << 20
    block = bytes(1 << 20)

    def backend(c, _b):
        c.recv_until(b"\r\n\r\n")
        if way == "down":
            c.send(head(OK, f"Content-Length: {total}"))
            for _ in range(total >> 20):
                c.send(block)
        else:
            receive(c)
            c.send(answer(200, b"ok"))

    def receive(c):
        left = total
        while left:
            left -= len(c.recv(min(left, 1 << 20)))

    _, i = started(lab, lab.backend(backend), engine=engine)
    before = i.client.pss_mb()
    with dial(i.server.http_port) as c:
        if way == "down":
            c.send(request(i.public, "/big"))
            c.response(head_only=True)
            receive(c)
        else:
            c.send(request(i.public, "/big", method="POST", headers=[f"Content-Length: {total}"]))
            for _ in range(total >> 20):
                c.send(block)
            assert c.response().body == b"ok"
    e = i.wait_entries()[0]
    assert e["resp_size" if way == "down" else "req_size"] == total and e["truncated"]
    assert i.one(e["id"])["response" if way == "down" else "request"]["body"]["kept"] == 1 << 20
    grown = i.client.pss_mb() - before
    # On a machine so busy that the path looks long, a connection's window grows to 16 MiB, and while its
    # buffer grows the old one stands beside the new. A sanitizer keeps what was freed.
    assert env.SANITIZED or grown < (40 if way == "up" else 12), f"{grown:.1f} MiB more"


@pytest.mark.big
@pytest.mark.parametrize("key", ["inspect_max_total", "inspect_db_size"])
def test_many_bodies_bounded_memory(lab, key):
    """What the process takes grows by no more than the configuration says, whatever the sizes are."""
    conf = lab.config(f"{key}: 24M\n")
    rng = random.Random(7)
    visit, i = started(lab, lab.site(lambda r, c: answer(200, bytes(int(r.target[1:])))),
                       client_kw={"config": conf})
    visit("/1")
    before = i.client.pss_mb()
    for _ in range(3):
        for _ in range(60):
            assert visit(f"/{rng.randrange(1 << 20)}").status == 200
        with dial(i.server.http_port) as c:
            for _ in range(env.fewer(1500)):
                c.send(request(i.public, f"/{rng.randrange(3000)}"))
                assert c.response().status == 200
    seen = i.get("/api/status")["capture"]
    assert 20 << 20 < seen["bytes"] <= 24 << 20 and seen["evicted"] > 60
    grown = i.client.pss_mb() - before
    assert env.SANITIZED or grown < 28, f"{grown:.1f} MiB more"
