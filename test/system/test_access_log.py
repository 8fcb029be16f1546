"""The access log: a line for each request, whoever answered it; bounded, and never in anybody's way."""

import json
import re
import signal

import pytest

from lib.backends import answer, websocket
from lib.env import WAIT, free_port
from lib.net import dial, eventually, get, request

pytestmark = pytest.mark.threads

COMBINED = re.compile(r'(\S+) - (\S+) \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "([^"]*)" (\d{3}|-) (\d+) '
                      r'"((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)" "([^"]*)" (\d+) (\d+\.\d{3}|-) (\d+\.\d{3})')


class Log:
    def __init__(self, path):
        self.path = path

    def text(self, path=None):
        path = path or self.path
        return path.read_text(encoding="ascii") if path.exists() else ""

    def wait(self, n):
        """The first n lines, once they are there; there are no others."""
        lines = eventually(lambda: (x := self.text().splitlines()) and len(x) >= n and x, what=f"{n} lines")
        assert len(lines) == n, lines
        return lines

    def json(self, n):
        return [json.loads(x) for x in self.wait(n)]


@pytest.fixture
def log(lab):
    return Log(lab.tmp / "access.log")


def test_json(lab, log, workers):
    """Answered by the service, by the server itself, after an upgrade; with the owner."""
    tokens = lab.config("tokens:\n- {name: alice, token: ta}\n")
    s = lab.server(f"-accessLog={log.path}", "-accessLogFormat=json", f"-authTokens={tokens}", workers=workers)
    site = lab.site(lambda r, c: answer(404 if r.target == "/no" else 200, b"x" * 1000))
    lab.client(s, "-authtoken=ta", "-subdomain=a", site.port, tunnels=2)
    lab.client(s, "-authtoken=ta", "-subdomain=locked", "-httpauth=me:pw", site.port, tunnels=2)
    head = request("a.pgrok.me", "/?q=1", headers=["User-Agent: tester/1", "Referer: http://from.example/"])
    with dial(s.http_port) as v:
        v.send(head)
        assert v.response().status == 200
        v.send(request("a.pgrok.me", "/no"))
        assert v.response().status == 404
    one, two = log.json(2)
    assert (one["addr"], one["owner"], one["proto"], one["method"], one["host"], one["target"], one["status"]) == \
        ("127.0.0.1", "alice", "http", "GET", "a.pgrok.me", "/?q=1", 200)
    assert (one["agent"], one["referer"], one["bytes_in"]) == ("tester/1", "http://from.example/", len(head))
    assert 1000 < one["bytes_out"] < 1300 and 0 < one["first_byte_ms"] <= one["all_ms"] < WAIT * 1000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one["time"])
    assert two["status"] == 404 and two["target"] == "/no" and two["agent"] == two["referer"] == ""
    get(s.https_port, "a.pgrok.me", "/s", tls=True)
    assert get(s.http_port, "nobody.pgrok.me").status == 404
    assert get(s.http_port, "locked.pgrok.me", auth=None).status == 401
    assert get(s.http_port, "locked.pgrok.me", auth="me:pw").status == 200
    with dial(s.http_port) as v:
        v.send(b"GET /\x01 HTTP/1.1\r\n\r\n")
        assert v.response().status == 400
    rows = log.json(7)[2:]
    assert sorted((r["proto"], r["host"], r["status"], r["owner"]) for r in rows) == sorted([
        ("https", "a.pgrok.me", 200, "alice"), ("http", "nobody.pgrok.me", 404, ""),
        ("http", "locked.pgrok.me", 401, ""), ("http", "locked.pgrok.me", 200, "alice"), ("http", "", 400, "")])
    assert "pw" not in log.text() and "Basic" not in log.text()


def test_upgrade_and_broken_off(lab, log):
    s = lab.server(f"-accessLog={log.path}", "-accessLogFormat=json")
    ws = lab.backend(websocket)
    lab.client(s, "-subdomain=ws", "-proto=http", ws.port)
    with dial(s.http_port) as v:
        v.send(request("ws.pgrok.me", headers=["Connection: Upgrade", "Upgrade: websocket",
                                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                                               "Sec-WebSocket-Version: 13"]))
        assert v.recv_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101")
        assert log.text() == ""
    assert log.json(1)[0]["status"] == 101

    def half(conn, _backend):
        conn.recv_until(b"\r\n\r\n")
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha")
        conn.recv()
    slow = lab.backend(half)
    lab.client(s, "-subdomain=slow", "-proto=http", slow.port)
    with dial(s.http_port) as v:
        v.send(request("slow.pgrok.me"))
        v.recv_until(b"\r\n\r\nha")
        v.reset()
    row = log.json(2)[1]
    assert row["status"] == 200 and row["bytes_out"] == len(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha")


def test_combined(lab, log):
    """Lines of the usual form, which nothing that visitors send can break."""
    s = lab.server(f"-accessLog={log.path}", "-accessLogQuery=false")
    site = lab.site()
    lab.client(s, "-subdomain=a", "-proto=http", site.port)
    evil = 'x" 200 1 "-" "-" "a.pgrok.me" 1 1.000 1.000 \\'
    get(s.http_port, "a.pgrok.me", "/p?token=secret", headers=[f"User-Agent: {evil}", "Referer: http://r/?s=1"])
    get(s.http_port, "a.pgrok.me", "/", headers=["User-Agent: caf\u00e9\t[2J"])
    one, two = (COMBINED.fullmatch(x) for x in log.wait(2))
    assert one[1] == "127.0.0.1" and one[2] == "-" and one[4] == "GET /p HTTP/1.1" and one[5] == "200"
    assert one[7] == "http://r/" and one[8] == evil.replace("\\", "\\\\").replace('"', '\\"') and one[9] == "a.pgrok.me"
    assert two[8] == r"caf\xe9\x09[2J"
    assert "secret" not in log.text()


def test_reopened_and_bounded(lab, log):
    """SIGHUP follows the name; above -log-max a new file is begun, at a start none is."""
    s = lab.server(f"-accessLog={log.path}", "-log-max=1")
    get(s.http_port, "one.pgrok.me")
    log.wait(1)
    moved = log.path.with_suffix(".moved")
    log.path.rename(moved)
    mark = s.mark()
    s.send(signal.SIGHUP)
    s.wait_log("Logs reopened", after=mark)
    get(s.http_port, "two.pgrok.me")
    assert "two.pgrok.me" in log.wait(1)[0] and "two" not in log.text(moved)
    s.end()
    s = lab.again(s)
    get(s.http_port, "three.pgrok.me")
    log.wait(2)
    # A line has a kilobyte and more.
    many = request("x.pgrok.me", "/" + "y" * 1000) * 100
    for _ in range(12):
        with dial(s.http_port) as v:
            v.send(many)
            for _ in range(100):
                assert v.response().status == 404
    old = eventually(lambda: (x := log.text(log.path.with_name("access.log.1"))) and x)
    assert "two.pgrok.me" in old
    s.end()
    assert len(re.findall("yyy HTTP", old + log.text())) == 1200


def test_a_full_disk(lab):
    """Its lines are lost, and counted; requests are not."""
    port = free_port()
    s = lab.server("-accessLog=/dev/full", f"-adminAddr=127.0.0.1:{port}")
    site = lab.site()
    lab.client(s, "-subdomain=a", "-proto=http", site.port)
    for _ in range(20):
        assert get(s.http_port, "a.pgrok.me").status == 200

    def lost():
        text = get(port, f"127.0.0.1:{port}", "/metrics").body.decode()
        return 'pgrok_access_log_lines_total{result="lost"} 20\n' in text
    eventually(lost)
    s.wait_log("Lines of the access log are lost")


@pytest.mark.parametrize("flags, why", [
    (["-accessLog=/nowhere/x"], "-accessLog: cannot open log file /nowhere/x: No such file or directory"),
    (["-accessLogFormat=xml"], "-accessLogFormat: 'xml' is neither combined nor json"),
])
def test_refuses_to_start(lab, flags, why):
    s = lab.server(*flags, wait=False)
    s.expect_exit(1)
    assert why in s.text("err")
