"""SIGUSR1: what each worker has and has done, in the log."""

import re
import signal
import threading

import pytest

from lib.net import dial, eventually, get, request

pytestmark = pytest.mark.threads

NOW = ("half-open", "clients", "tunnels", "visitors waiting", "joined")


def census(s):
    """One line for each worker and one for all: {who: {number: value}}."""
    mark = s.mark()
    s.send(signal.SIGUSR1)
    s.wait_log(r"\[census\] total: ", after=mark)
    rows = {}
    for line in s.text().split("\n")[mark:]:
        m = re.search(r"\[census\] ([^ ]+): now (.*); since the start (.*)", line)
        if m:
            now, ever = (dict(re.findall(r"([a-z][a-z -]*?) (\d+)", part)) for part in m.groups()[1:])
            rows[m[1]] = {**{k: int(v) for k, v in now.items()},
                          **{"all " + k: int(v) for k, v in ever.items()}}
    return rows


def test_census(lab, workers):
    """Half-open connections, clients, tunnels and visitors, as they come and go."""
    s = lab.server(workers=workers)
    seen = census(s)
    assert sorted(seen) == sorted(["total"] + [f"worker:{i}" for i in range(workers)])
    assert set(seen["total"].values()) == {0}

    go_on = threading.Event()

    def serve(conn, _start):
        conn.recv_until(b"\r\n\r\n")
        go_on.wait(30)
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        conn.recv()

    serving = lab.goclient(s, on_visit=serve)
    idle = lab.goclient(s, proxies=False)
    assert serving.url(subdomain="a") and serving.url("https", subdomain="a") and idle.url(subdomain="b")
    silent = dial(s.http_port)
    joined, waiting = dial(s.http_port), dial(s.http_port)
    joined.send(request("a.pgrok.me"))
    waiting.send(request("b.pgrok.me"))
    assert get(s.http_port, "c.pgrok.me").status == 404

    def total(*wanted):
        """The total once its numbers of this moment are these."""
        def look():
            t = census(s)["total"]
            return tuple(t[k] for k in NOW) == wanted and t
        return eventually(look, what=f"{NOW} = {wanted}")
    t = total(1, 2, 3, 1, 1)
    assert t["all accepted http"] == 4 and t["all https"] == 0
    assert t["all tunnel"] >= 3  # two Auths and a RegProxy
    assert t["all clients"] == 2 and t["all tunnels"] == 3 and t["all pages"] == 1
    assert t["all visitors"] == 1 and t["all out"] == 0
    assert workers > 1 or t["all moved"] == 0

    go_on.set()
    assert joined.response().body == b"hello"
    for c in (joined, waiting, silent):
        c.close()
    idle.close()
    t = total(0, 1, 2, 0, 0)
    assert t["all clients"] == 2 and t["all tunnels"] == 3
    assert t["all bytes in"] == len(request("a.pgrok.me"))
    assert t["all out"] == len(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    rows = census(s)
    for key, value in rows["total"].items():
        assert value == sum(n[key] for who, n in rows.items() if who != "total"), key


def test_census_while_it_ends(lab):
    """A question that is under way when the server is told to end harms nothing."""
    for _ in range(5):
        s = lab.server(workers=4)
        for _ in range(20):
            s.send(signal.SIGUSR1)
        s.send(signal.SIGTERM)
        s.expect_exit(0)
