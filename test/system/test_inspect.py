"""The inspector: what is captured, its API, its WebSockets, replays, who may ask. See API.md."""

import base64
import gzip
import json
import re
import time
import urllib.parse
import zlib

import pytest

from lib import env
from lib.backends import answer, ws_frame, ws_read
from lib.inspector import Inspector, started
from lib.net import dial, eventually, get, request


# -- what is captured --

def test_one_request(lab):
    visit, i = started(lab, lab.site())
    visit("/hello?a=1&b=x%20y&a=3", headers=["X-Test: 1", "x-lower: v", "X-Test: 2"])
    e = i.wait_entries()[0]
    assert re.fullmatch("[0-9a-f]{16}", e["id"])
    assert (e["method"], e["path"], e["status"], e["reason"]) == ("GET", "/hello?a=1&b=x%20y&a=3", 200, "OK")
    assert (e["kind"], e["state"], e["tunnel_name"], e["proto"]) == ("http", "done", "default", "http")
    assert e["url"] == f"http://{i.public}" and e["host"] == i.public
    assert e["remote_addr"].startswith("127.0.0.1:")
    assert (e["req_size"], e["resp_size"], e["truncated"]) == (0, 32, False)
    assert abs(e["start_ms"] / 1000 - time.time()) < 60 and 0 < e["duration_ms"] < 30000
    x = i.one(e["id"])
    assert x["request"]["headers"]["X-Test"] == ["1", "2"]
    assert ["x-lower", "v"] in x["request"]["header_list"]
    assert base64.b64decode(x["request"]["raw"]).startswith(b"GET /hello?a=1")
    assert base64.b64decode(x["response"]["raw"]).endswith(b"site GET /hello?a=1&b=x%20y&a=3\n")
    assert (x["response"]["status"], x["response"]["status_code"]) == ("200 OK", 200)
    t = x["timing"]
    assert 0 < t["connect_ns"] <= t["first_byte_ns"] <= t["last_byte_ns"]
    assert x["entry"]["id"] == e["id"]
    assert "raw" not in i.get(f"/api/requests/http/{e['id']}?raw=0")["request"]


def test_keep_alive_pipelined_chunked_interim(lab):
    def app(r, c):
        if r.target == "/early":
            c.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        if r.target == "/chunked":
            return (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"5\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 6\r\n\r\n")
        return answer(200, b"for " + r.target.encode())

    _, i = started(lab, lab.site(app))
    with dial(i.server.http_port) as c:
        c.send(request(i.public, "/one") + request(i.public, "/chunked") +
               request(i.public, "/early") + request(i.public, "/h", method="HEAD"))
        assert c.response().body == b"for /one"
        assert c.response().body == b"hello!"
        assert c.response(head_only=True).status == 103
        assert c.response().body == b"for /early"
    h, early, chunked, one = i.wait_entries(4)
    assert [x["path"] for x in (one, chunked, early, h)] == ["/one", "/chunked", "/early", "/h"]
    assert i.body(chunked["id"]).body == b"hello!"
    x = i.one(chunked["id"])
    assert x["response"]["trailers"] == [["X-Sum", "6"]]
    assert x["timing"]["connect_ns"] == 0
    assert [n["status"] for n in i.one(early["id"])["response"]["interim"]] == [103]
    assert i.body(h["id"]).body == b""


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw deflate"])
def test_decoded_bodies(lab, coding):
    text = b"what is inside " * 1000
    z = zlib.compressobj(wbits=-15)
    packed = {"gzip": gzip.compress(text), "deflate": zlib.compress(text),
              "raw deflate": z.compress(text) + z.flush()}[coding]
    name = coding.split()[-1]
    visit, i = started(lab, lab.site(lambda r, c: answer(200, packed, [f"Content-Encoding: {name}"])))
    assert visit().body == packed
    e = i.wait_entries()[0]
    assert i.body(e["id"]).body == packed
    r = i.body(e["id"], query="&decode=1")
    assert r.body == text and r.header("X-Body-Decoded") == name
    assert r.header("Content-Type") == "application/octet-stream"
    part = i.body(e["id"], query="&decode=1&offset=5&limit=7")
    assert part.body == text[5:12] and part.header("X-Body-Total") == str(len(text))


def test_brotli_and_zstd(lab):
    """Packed beforehand: Python has neither."""
    packed = {"br": bytes.fromhex("0b028068656c6c6f03"),
              "zstd": bytes.fromhex("28b52ffd200529000068656c6c6f")}
    visit, i = started(lab, lab.site(lambda r, c: answer(200, packed[r.target[1:]],
                                                         [f"Content-Encoding: {r.target[1:]}"])))
    known = i.get("/api/status")["capture"]["decode"]
    for name in packed:
        visit("/" + name)
        r = i.body(i.wait_entries()[0]["id"], query="&decode=1")
        if name not in known:
            assert r.header("X-Body-Error") == "not supported"
        else:
            assert r.body == b"hello" and r.header("X-Body-Decoded") == name


def test_bomb_is_bounded(lab):
    packed = gzip.compress(bytes(200 << 20), 9)
    visit, i = started(lab, lab.site(lambda r, c: answer(200, packed, ["Content-Encoding: gzip"])))
    visit()
    r = i.body(i.wait_entries()[0]["id"], query="&decode=1")
    assert len(r.body) == 16 << 20 and r.header("X-Body-Truncated") == "true"
    assert r.header("X-Body-Error") == "too long when decoded"


def test_websocket_frames(lab):
    from lib import backends
    _, i = started(lab, lab.backend(backends.websocket))
    live = i.live()
    live.event("hello")
    with dial(i.server.http_port) as c:
        c.send(request(i.public, "/ws", headers=[
            "Connection: Upgrade", "Upgrade: WebSocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]))
        assert c.response(head_only=True).status == 101
        e = eventually(lambda: [x for x in i.entries() if x["kind"] == "websocket"])[0]
        assert e["state"] == "open"
        live.say({"watch": e["id"]})
        c.send(ws_frame(b"early", 1, mask=True))
        ws_read(c)
        c.send(ws_frame("grüße".encode(), 1, mask=True))
        assert ws_read(c) == (1, "grüße".encode())
        f = live.event("frame")
        while f["frame"].get("text") != "grüße":
            f = live.event("frame")
        assert f["id"] == e["id"]
        c.send(ws_frame(b"\0\xff", 2, mask=True) + ws_frame(b"p", 9, mask=True))
        ws_read(c), ws_read(c)
        c.send(ws_frame(b"\x03\xe8bye", 8, mask=True))
        ws_read(c)
    i.wait_entries()
    frames = i.frames(e["id"])
    said = [(f["from"], f["type"], f.get("text") or f.get("data") or f.get("reason")) for f in frames]
    assert ("client", "text", "early") in said and ("server", "text", "grüße") in said
    assert ("client", "binary", base64.b64encode(b"\0\xff").decode()) in said
    assert ("client", "close", "bye") in said and frames[-1]["code"] == 1000
    more = i.get(f"/api/requests/http/{e['id']}/frames?after=2&limit=1")
    assert [f["n"] for f in more["frames"]] == [3] and more["more"]


def test_server_sent_events(lab):
    def app(r, c):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n")
        for n in range(3):
            c.send(f"event: tick\nid: {n}\ndata: {n}\n\n".encode())
        c.recv()
        return False

    _, i = started(lab, lab.site(app))
    with dial(i.server.http_port) as c:
        c.send(request(i.public, "/events"))
        c.recv_until(b"data: 2\n\n")
        e = i.wait_entries(state="open")[0]
        frames = eventually(lambda: len(i.frames(e["id"])) == 3 and i.frames(e["id"]))
        assert e["kind"] == "sse"
        assert [(f["event"], f["id"], f["text"]) for f in frames] == [
            ("tick", "0", "0"), ("tick", "1", "1"), ("tick", "2", "2")]
    assert i.wait_entries()[0]["state"] == "done"


GARBAGE = [b"\x00\x01\x02 no head at all \r\n\r\n more", b"HTTP/1.1 two hundred\r\n\r\n",
           b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/2.0 200 OK\r\n\r\n", b"x" * 100000]


@pytest.mark.parametrize("n", range(len(GARBAGE)))
@pytest.mark.parametrize("engine", ["direct", "direct-nomux"])
def test_garbage_passes_untouched(lab, n, engine):
    def backend(c, _b):
        c.recv_until(b"\r\n\r\n")
        c.send(GARBAGE[n])
        c.half_close()
        while c.recv():
            pass

    _, i = started(lab, lab.backend(backend), engine=engine)
    with dial(i.server.http_port) as c:
        c.send(request(i.public, "/"))
        assert c.recv_rest()[0] == GARBAGE[n]
    e = i.wait_entries(state="failed")[0]
    assert e["error"] == "not HTTP/1"
    assert i.get("/api/status")["capture"]["unfollowed"] == 1


def test_upgrade_to_something_else(lab):
    def backend(c, _b):
        c.recv_until(b"\r\n\r\n")
        c.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        while True:
            data = c.recv()
            if not data:
                return
            c.send(data)

    _, i = started(lab, lab.backend(backend))
    with dial(i.server.http_port) as c:
        c.send(request(i.public, "/", headers=["Connection: Upgrade", "Upgrade: echo"]))
        assert c.response(head_only=True).status == 101
        for part in (b"\x00\xff" * 1000, b"GET / HTTP/1.1\r\n\r\n", b"z"):
            c.send(part)
            assert c.recv_exact(len(part)) == part
    assert i.wait_entries()[0]["status"] == 101


def test_expect_continue(lab):
    def backend(c, b):
        c.recv_until(b"\r\n\r\n")
        c.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = c.recv_exact(3)
        c.send(answer(200, b"got " + body))

    _, i = started(lab, lab.backend(backend))
    with dial(i.server.http_port) as c:
        c.send(request(i.public, "/", method="PUT",
                       headers=["Content-Length: 3", "Expect: 100-continue"]))
        assert c.response(head_only=True).status == 100
        c.send(b"abc")
        assert c.response().body == b"got abc"
    x = i.one(i.wait_entries()[0]["id"])
    assert x["request"]["body"]["size"] == 3 and x["response"]["interim"][0]["status"] == 100


# -- bounds --

def test_total_is_bounded(lab):
    conf = lab.config("inspect_max_total: 2M\ninspect_max_body: 100K\n")
    visit, i = started(lab, lab.site(lambda r, c: answer(200, bytes(90000))),
                       client_kw={"config": conf})
    visit("/pinned")
    pinned = i.wait_entries()[0]
    r = i.ask(f"/api/requests/http/{pinned['id']}", "PATCH",
              {"pinned": True, "mark": "red", "note": "keep it"})
    assert r.status == 200 and json.loads(r.body)["pinned"]
    for n in range(60):
        visit(f"/{n}")
    state = eventually(lambda: [s for s in [i.get("/api/status")["capture"]] if s["begun"] == 61])[0]
    assert state["bytes"] <= 2 << 20 and state["evicted"] > 30
    left = i.entries()
    assert [x["note"] for x in left if x["pinned"]] == ["keep it"]
    assert i.ask("/api/requests/http?keep=pinned", "DELETE").status == 204
    assert [x["id"] for x in i.entries()] == [pinned["id"]]
    assert i.ask("/api/requests/http", "DELETE").status == 204
    assert i.entries() == []


@pytest.mark.parametrize("how", ["tunnel", "db_size"])
def test_switched_off(lab, how):
    site = lab.site()
    s = lab.server()
    port = env.free_port()
    conf = lab.config("inspect_db_size: -1\ntunnels: {t: {subdomain: test, proto: {http: %d}}}\n" % site.port
                      if how == "db_size" else
                      "tunnels: {t: {subdomain: test, inspect: false, proto: {http: %d}}}\n" % site.port)
    lab.client(s, "start", "t", config=conf, inspect=f"127.0.0.1:{port}")
    i = Inspector(port)
    assert get(s.http_port, "test.pgrok.me", "/").status == 200
    assert i.entries() == []
    assert i.get("/api/tunnels/t")["config"]["inspect"] is False


# -- for tools --

def test_compatible_paths(lab):
    _, i = started(lab, lab.site())
    for path in ("/", "/nonsense", "/http/in/"):
        r = i.ask(path)
        assert (r.status, r.header("Location")) == (302, "/http/in")
    r = i.ask("/http/in")
    assert r.status == 200 and r.header("Content-Type").startswith("text/html")
    assert "default-src 'none'" in r.header("Content-Security-Policy")
    assert i.ask("/static/nothing.css").status == 404
    assert i.ask("/static/../API.md").status == 404
    assert i.get("/api/nothing", 404)["status_code"] == 404


def test_compatible_websocket(lab):
    """Keys and values as the Go inspector sends them."""
    def app(r, c):
        return answer(404, b"{}", ["Content-Type: application/json", "X-Two: a", "x-two: b"], "Nope")

    visit, i = started(lab, lab.site(app))
    ws = i.live("/_ws")
    assert ws.answer.status == 101
    visit("/p%20q?b=2&a=1&a=3", method="POST", body=b"a=1&b=%20&c",
          headers=["Content-Type: application/x-www-form-urlencoded; charset=utf-8"])
    t = ws.message()
    assert list(t) == ["Id", "Duration", "Start", "ConnCtx", "Req", "Resp"]
    assert t["ConnCtx"]["Tunnel"] == {"PublicUrl": f"http://{i.public}", "Protocol": {"Txns": {}},
                                      "LocalAddr": i.entries() and t["ConnCtx"]["Tunnel"]["LocalAddr"]}
    assert t["ConnCtx"]["ClientAddr"].startswith("127.0.0.1:")
    req = t["Req"]
    assert (req["MethodPath"], req["Params"]) == ("POST /p q", {"a": ["1", "3"], "b": ["2"]})
    assert "Host" not in req["Header"] and req["Header"]["Content-Length"] == ["11"]
    assert req["Body"] == {"RawContentType": "application/x-www-form-urlencoded; charset=utf-8",
                           "ContentType": "application/x-www-form-urlencoded", "Text": "YT0xJmI9JTIwJmM=",
                           "Length": 11, "Error": "", "ErrorOffset": -1,
                           "Form": {"a": ["1"], "b": [" "], "c": [""]}}
    resp = t["Resp"]
    assert (resp["Status"], resp["Binary"]) == ("404 Nope", False)
    assert resp["Header"]["X-Two"] == ["a", "b"] and list(resp["Header"]) == sorted(resp["Header"])
    assert base64.b64decode(resp["Raw"]).endswith(b"\r\n\r\n{}")
    visit("/j", method="POST", body=b'{"a": 1,}', headers=["Content-Type: application/json"])
    body = ws.message()["Req"]["Body"]
    assert (body["Error"], body["ErrorOffset"]) == (
        "invalid character '}' looking for beginning of object key string", 9)
    # A replay by its path, as pgrok's page does it.
    r = i.ask("/http/in/replay", "POST", f"txnid={t['Id']}".encode(),
              ["Content-Type: application/x-www-form-urlencoded"])
    assert (r.status, r.body) == (200, b"OK")
    again = ws.message()
    assert again["Id"] != t["Id"] and again["ConnCtx"]["ClientAddr"] == "127.0.0.1"
    assert again["Req"]["Body"]["Text"] == req["Body"]["Text"]
    assert i.ask(f"/http/in/replay?txnid={t['Id']}").status == 405
    assert i.ask("/http/in/replay", "POST", b"txnid=0123456789abcdef",
                 ["Content-Type: application/x-www-form-urlencoded"]).status == 400


def test_lists_and_har(lab):
    visit, i = started(lab, lab.site())
    for n in range(5):
        visit(f"/{n}?q=a%20b", method="POST", body=b"body")
    newest = i.wait_entries(5)
    assert [e["path"][1] for e in newest] == list("43210")
    page = i.get(f"/api/entries?limit=2&before={newest[1]['id']}")
    assert [e["path"][1] for e in page["entries"]] == ["2", "1"] and page["more"] is True
    got = i.get("/api/requests/http?limit=2")
    assert got["uri"] == "/api/requests/http" and len(got["requests"]) == 2
    assert got["requests"][0]["uri"] == f"/api/requests/http/{newest[0]['id']}"
    assert i.get("/api/requests/http?tunnel_name=other")["requests"] == []
    assert i.get("/api/requests/http?limit=0", 400)["msg"]
    log = i.get("/api/requests/http.har")["log"]
    assert log["version"] == "1.2" and len(log["entries"]) == 5
    h = log["entries"][0]
    assert h["request"]["url"] == f"http://{i.public}/0?q=a%20b"
    assert h["request"]["postData"]["text"] == "body"
    assert h["response"]["content"]["text"].startswith("site POST /0")
    assert set(h["timings"]) >= {"send", "wait", "receive"}
    two = i.get(f"/api/requests/http.har?ids={newest[0]['id']},{newest[4]['id']}")
    assert len(two["log"]["entries"]) == 2
    assert i.ask(f"/api/requests/http/{newest[0]['id']}", "DELETE").status == 204
    assert i.get(f"/api/requests/http/{newest[0]['id']}", 404)


def test_search(lab):
    def app(r, c):
        body = gzip.compress(b"Herring " + r.target.encode()) if "packed" in r.target else b"cod"
        return answer(200, body, ["X-Colour: Vermilion"] +
                      (["Content-Encoding: gzip"] if "packed" in r.target else []))

    visit, i = started(lab, lab.site(app))
    for path in ("/one", "/packed", "/two"):
        visit(path, method="POST", body=b"a Sardine" if path == "/one" else b"none",
              headers=["X-Path: " + path])
    ids = {e["path"]: e["id"] for e in i.wait_entries(3)}

    def search(where, text, **more):
        query = urllib.parse.urlencode({"in": where, "text": text, **more})
        return {p for p, n in ids.items() if n in i.get(f"/api/search?{query}")["ids"]}

    assert search("header", "x-colour: vermilion") == set(ids)
    assert search("header", "X-Path: /one") == {"/one"}
    assert search("body", "sardine") == {"/one"}
    assert search("body", "herring /PACKED") == {"/packed"}
    assert search("body", "x-path") == set()
    assert search("body", "cod", ids=f"{ids['/two']},0,{ids['/packed']},") == {"/two"}
    assert search("body", "cod") == {"/one", "/two"}
    for bad in ("in=body", "in=body&text=", "text=x", "in=path&text=x", "in=body&text=" + "x" * 300):
        assert i.ask("/api/search?" + bad).status == 400
    assert i.ask("/api/search?in=body&text=cod", method="HEAD").status == 200


def test_search_leaves_the_traffic_its_turn(lab):
    """Bombs that take seconds to decode: a visitor is answered meanwhile; who leaves ends his search."""
    count = env.fewer(400)
    bomb = gzip.compress(bytes(8 << 20))
    visit, i = started(lab, lab.site(lambda r, c: answer(200, bomb, ["Content-Encoding: gzip"])))
    with dial(i.server.http_port) as c:
        for _ in range(count):
            c.send(request(i.public, "/"))
            assert c.response().status == 200
    i.wait_entries(count)
    with dial(i.port) as c:
        c.send(request(i.host, "/api/search?in=body&text=nothing"))
        began = time.monotonic()
        slowest = 0
        for _ in range(20):
            at = time.monotonic()
            assert visit().status == 200
            slowest = max(slowest, time.monotonic() - at)
        answered = time.monotonic() - began
        left = dial(i.port)
        left.send(request(i.host, "/api/search?in=body&text=other"))
        left.close()
        assert json.loads(c.response().body)["ids"] == []
        took = time.monotonic() - began
    # The slowest visitor waited for a bomb or two of the hundreds.
    assert slowest < took / 3, (slowest, answered, took)


def test_tunnels_status_metrics(lab):
    visit, i = started(lab, lab.site(), proto="http+https")
    t = {x["name"]: x for x in i.get("/api/tunnels")["tunnels"]}
    assert set(t) == {"default", "default (http)"}
    assert t["default"]["proto"] == "https" and t["default"]["public_url"].startswith("https://test.")
    assert t["default (http)"]["uri"] == "/api/tunnels/default%20%28http%29"
    assert i.get("/api/tunnels/default%20%28http%29")["public_url"] == f"http://{i.public}"
    assert i.get("/api/tunnels/none", 404)["status_code"] == 404
    visit()
    i.wait_entries()
    assert i.get("/api/tunnels/default%20%28http%29")["metrics"]["http"]["count"] == 1
    status = i.get("/api/status")
    assert status["status"] == "online" and status["uri"] == "/api/status"
    assert status["counters"]["connections"] == 1
    text = i.ask("/metrics").body.decode()
    assert 'pgrok_http_requests_total{tunnel="default (http)",status="2xx"} 1\n' in text
    assert "\npgrok_up 1\n" in text
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \S+ .*|pgrok_\w+(\{.*\})? [-+.e\d]+', line), line


# -- live --

def test_live_events(lab):
    hold = []

    def app(r, c):
        if r.target == "/wait":
            eventually(lambda: hold)
        return answer(200, b"x" * 10)

    visit, i = started(lab, lab.site(app))
    ws = i.live()
    hello = ws.event()
    assert hello["ev"] == "hello" and hello["state"]["status"] == "online"
    assert hello["state"]["tunnels"][0]["public_url"] == f"http://{i.public}"
    t = lab.thread(visit, "/wait")
    begun = ws.event("begun")["entry"]
    assert (begun["path"], begun["state"], begun["status"]) == ("/wait", "open", 0)
    hold.append(1)
    done = ws.event("finished")["entry"]
    assert (done["id"], done["status"], done["resp_size"]) == (begun["id"], 200, 10)
    assert done["rev"] > begun["rev"]
    t.result()
    i.ask(f"/api/requests/http/{done['id']}", "PATCH", {"pinned": True})
    assert ws.event("updated")["entry"]["pinned"]
    visit("/gone")
    other = ws.event("finished")["entry"]["id"]
    i.ask(f"/api/requests/http/{other}", "DELETE")
    assert ws.event("evicted")["ids"] == [other]
    i.ask("/api/requests/http?keep=pinned", "DELETE")
    assert ws.event("cleared")["kept"] == [done["id"]]
    assert ws.event("state")["state"]["counters"]["connections"] >= 2


def test_slow_page_is_dropped(lab):
    """A page that does not read costs a bounded queue, and no request waits for it."""
    visit, i = started(lab, lab.site(lambda r, c: answer(200, b"y" * 300000)))
    ws = i.live("/_ws")
    before = i.client.pss_mb()
    for _ in range(60):
        assert len(visit().body) == 300000
    assert i.client.pss_mb() - before < (200 if env.SANITIZED else 60)
    ws.close()


# -- replays --

def test_replay(lab):
    site = lab.site()
    visit, i = started(lab, site)
    visit("/first?x=1", method="POST", body=b"payload", headers=["X-Sign: abc"])
    e = i.wait_entries()[0]
    first = site.wait_requests()[0]
    assert i.post("/api/requests/http", {"id": e["id"]}, 204) is None
    again = site.wait_requests(2)[1]
    assert (again.target, again.body, again.header("X-Sign")) == (first.target, b"payload", "abc")
    r = i.wait_entries(2)[0]
    assert (r["origin"], r["edited"], r["remote_addr"]) == (e["id"], False, "")
    ids = i.post("/api/requests/http", {
        "id": e["id"], "method": "PUT", "path": "/other?y=2", "body": "new and longer",
        "headers": [["Host", "elsewhere"], ["X-Sign", "changed"], ["Content-Length", "3"]]})["ids"]
    put = site.wait_requests(3)[2]
    assert (put.method, put.target, put.body) == ("PUT", "/other?y=2", b"new and longer")
    assert (put.header("Host"), put.header("X-Sign")) == ("elsewhere", "changed")
    r = i.wait_entries(3)[0]
    assert (r["id"], r["edited"], r["status"]) == (ids[0], True, 200)


def test_replay_many_and_from_nothing(lab):
    site = lab.site()
    visit, i = started(lab, site)
    ids = i.post("/api/requests/http", {"method": "GET", "path": "/made/up", "times": 5,
                                        "headers": {"X-A": ["1", "2"]}})["ids"]
    assert len(set(ids)) == 5
    done = i.wait_entries(5)
    assert [e["id"] for e in reversed(done)] == ids
    r = site.wait_requests(5)[0]
    assert r.header("Host") == i.public and [v for k, v in r.headers if k == "X-A"] == ["1", "2"]


def test_replay_chunked_and_refusals(lab):
    site = lab.site()
    conf = lab.config("inspect_max_body: 10\n")
    visit, i = started(lab, site, client_kw={"config": conf})
    with dial(i.server.http_port) as c:
        c.send(request(i.public, "/c", method="POST", headers=["Transfer-Encoding: chunked"]) +
               b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        c.response()
    e = i.wait_entries()[0]
    i.post("/api/requests/http", {"id": e["id"]}, 204)
    again = site.wait_requests(2)[1]
    assert again.body == b"abcde" and again.header("Content-Length") == "5"
    assert again.header("Transfer-Encoding") is None
    visit("/long", method="POST", body=b"x" * 11)
    long = i.wait_entries(3)[0]
    assert "not kept whole" in i.post("/api/requests/http", {"id": long["id"]}, 409)["msg"]
    i.post("/api/requests/http", {"id": long["id"], "body_base64": "AAH/"})
    assert site.wait_requests(4)[3].body == b"\x00\x01\xff"
    for bad, status in (({"id": "0" * 16}, 404), ({}, 400), ({"id": e["id"], "times": 0}, 400),
                        ({"id": e["id"], "times": 101}, 400), ({"id": e["id"], "path": "no"}, 400),
                        ({"id": e["id"], "method": "GET /x HTTP/1.1\r\nA"}, 400),
                        ({"id": e["id"], "headers": [["A", "b\r\nC: d"]]}, 400),
                        ({"id": e["id"], "tunnel_name": "no"}, 404), ([], 400),
                        ({"id": e["id"], "body_base64": "*"}, 400)):
        assert i.post("/api/requests/http", bad, status)["msg"]


def test_replay_to_nobody(lab):
    site = lab.site()
    visit, i = started(lab, site)
    visit("/x")
    e = i.wait_entries()[0]
    site.close()
    i.post("/api/requests/http", {"id": e["id"]}, 204)
    failed = i.wait_entries(state="failed")[0]
    assert failed["origin"] == e["id"] and "not there" in failed["error"]


def test_port_taken(lab):
    taken = lab.site()
    s = lab.server()
    c = lab.client(s, "-subdomain=test", "-proto=http", taken.port, inspect=f"127.0.0.1:{taken.port}")
    url = c.wait_log(r"web interface at http://(\S+)")[1]
    assert not url.endswith(f":{taken.port}")
    assert Inspector(int(url.rsplit(":", 1)[1])).get("/api/status")["status"] == "online"


@pytest.mark.parametrize("n", [20])
def test_many_requests_keep_the_bound(lab, n):
    """Keep-alive traffic in quantity: everything is counted, the store stays within its bound."""
    conf = lab.config("inspect_max_total: 1M\n")
    _, i = started(lab, lab.site(), client_kw={"config": conf})
    with dial(i.server.http_port) as c:
        for _ in range(n):
            c.send(b"".join(request(i.public, f"/{k}") for k in range(30)))
            for _ in range(30):
                assert c.response().status == 200
    s = eventually(lambda: [x for x in [i.get("/api/status")["capture"]] if x["begun"] == n * 30])[0]
    assert s["bytes"] <= 1 << 20 and s["unfollowed"] == 0


def captured():
    with open(env.ROOT / "test" / "data" / "inspector.jsonl", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def as_received(txn):
    """The request before the Go client wrote it again: without what it added."""
    head, sep, body = base64.b64decode(txn["Req"]["Raw"]).partition(b"\r\n\r\n")
    lines = [x for x in head.split(b"\r\n")
             if not (x.startswith(b"User-Agent: Go-http-client") and "User-Agent" not in txn["Req"]["Header"])
             and not (x == b"Accept-Encoding: gzip" and "Accept-Encoding" not in txn["Req"]["Header"])]
    return b"\r\n".join(lines) + sep + body


@pytest.mark.parametrize("n", range(len(captured())), ids=lambda n: captured()[n]["case"].replace(" ", "-"))
def test_like_the_captured_ones(lab, n):
    """What the Go inspector said about the same bytes, key by key, in its order."""
    want = captured()[n]["json"]
    reply = base64.b64decode(want["Resp"]["Raw"])

    def backend(c, _b):
        c.recv_until(b"\r\n\r\n")
        c.send(reply)
        while c.recv():
            pass

    _, i = started(lab, lab.backend(backend))
    ws = i.live("/_ws")
    host = re.search(rb"\r\nHost: ([^\r]+)", base64.b64decode(want["Req"]["Raw"]))[1]
    with dial(i.server.http_port) as c:
        c.send(as_received(want).replace(b"\r\nHost: " + host, b"\r\nHost: " + i.public.encode()))
        got = ws.message()
    assert list(got) == list(want) and list(got["ConnCtx"]) == list(want["ConnCtx"])
    assert re.fullmatch("[0-9a-f]{16}", got["Id"]) and got["Duration"] > 0
    assert list(got["Req"]) == list(want["Req"]) and list(got["Req"]["Body"]) == list(want["Req"]["Body"])
    for side in ("Req", "Resp"):
        got_side, want_side = dict(got[side]), dict(want[side])
        if side == "Req":
            got_side.pop("Raw"), want_side.pop("Raw")
        assert list(got_side["Header"]) == list(want_side["Header"])
        if want_side["Body"]["ContentType"].endswith("/xml"):
            got_side["Body"].pop("ErrorOffset"), want_side["Body"].pop("ErrorOffset")
        assert got_side == want_side


# -- tunnels at run time --

def test_open_and_close_tunnels(lab):
    first, second = lab.site(name="first"), lab.site(name="second")
    visit, i = started(lab, first)
    ws = i.live()
    ws.event("hello")
    t = i.post("/api/tunnels", {"name": "more", "proto": "http", "addr": second.port,
                                "subdomain": "more"}, 201)
    assert t["name"] == "more" and t["public_url"].startswith("http://more.pgrok.me")
    assert len(ws.event("state")["state"]["tunnels"]) == 2
    host = t["public_url"].split("://")[1]
    assert get(i.server.http_port, host, "/").body == b"second GET /\n"
    assert visit("/").body == b"first GET /\n"
    assert {e["tunnel_name"] for e in i.wait_entries(2)} == {"default", "more"}
    # Its name and its URL are taken.
    assert "already" in i.post("/api/tunnels", {"name": "more", "addr": 1}, 400)["msg"]
    assert i.post("/api/tunnels", {"name": "other", "proto": "http", "addr": 1,
                                   "subdomain": "test"}, 502)["msg"]
    for bad in ({}, {"name": "x"}, {"name": "x", "addr": "nonsense"},
                {"name": "x", "addr": 1, "proto": "gopher"}, {"name": "x", "addr": 70000}):
        assert i.post("/api/tunnels", bad, 400)["msg"]
    control = i.server.count("Closed: .*client closed the connection")
    assert i.ask("/api/tunnels/more", "DELETE").status == 204
    i.get("/api/tunnels/more", 404)
    eventually(lambda: get(i.server.http_port, host, "/").status == 404)
    assert visit("/").status == 200
    assert i.server.count("Closed: .*client closed the connection") == control
    # Both names are free again, and a reconnect asks for what is open, no more.
    i.post("/api/tunnels", {"name": "more", "proto": "http", "addr": second.port,
                            "subdomain": "more"}, 201)
    assert i.ask("/api/tunnels/default", "DELETE").status == 204
    assert [x["name"] for x in i.get("/api/tunnels")["tunnels"]] == ["more"]
    mark = i.client.mark()
    port = i.server.ports
    i.server.stop()
    i.server.expected_status = 0
    lab.again(i.server)
    i.client.wait_tunnels(1, after=mark)
    eventually(lambda: i.get("/api/status")["status"] == "online")
    assert [x["online"] for x in i.get("/api/tunnels")["tunnels"]] == [True]
    assert port == i.server.ports


def test_close_the_only_tunnel(lab):
    visit, i = started(lab, lab.site())
    assert i.ask("/api/tunnels/default", "DELETE").status == 204
    assert i.get("/api/tunnels")["tunnels"] == []
    assert i.get("/api/status")["status"] == "online"
    assert i.ask("/api/tunnels/default", "DELETE").status == 404


def test_close_with_a_go_server(lab, certs):
    """It knows no way: a new session without the tunnel, and the answer says so."""
    g = lab.goserver(certs)
    port = env.free_port()
    conf = lab.config("tunnels: {a: {proto: {http: 1}}, b: {proto: {http: 2}}}\n")
    c = lab.client(g.addr, "start", "a", "b", config=conf, inspect=f"127.0.0.1:{port}", tunnels=2)
    i = Inspector(port)
    mark = c.mark()
    r = i.ask("/api/tunnels/a", "DELETE")
    assert r.status == 200 and "again without it" in json.loads(r.body)["msg"]
    c.wait_tunnels(1, after=mark)
    eventually(lambda: [x["name"] for x in i.get("/api/tunnels")["tunnels"]] == ["b"])
    assert i.post("/api/tunnels", {"name": "c", "proto": "http", "addr": 3}, 201)["name"] == "c"
