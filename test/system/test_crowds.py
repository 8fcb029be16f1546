"""The limits that an operator sets: how many at once, how many a second; changed while the server runs."""

import re
import signal

import pytest

from lib import env
from lib.net import Aborted, Short, dial, dial_tls, eventually, get, request, status_of

pytestmark = pytest.mark.threads


class Limited:
    """A server with limits in its file, which may change, and a client with one tunnel of each kind."""

    def __init__(self, lab, limits, workers=2):
        self.conf, self.admin_port = lab.config(""), env.free_port()
        self.write(limits)
        self.s = lab.server(f"-config={self.conf}", "-loopbackExempt=false", workers=workers)
        site = lab.site()
        c = lab.client(self.s, "-subdomain=a", "-proto=http+https+tcp", site.port, tunnels=3)
        self.tcp_port = int(c.wait_log(r"established at tcp://\S+:(\d+)")[1])

    def write(self, limits):
        self.conf.write_text(f"adminAddr: 127.0.0.1:{self.admin_port}\nlimits: {limits}\n")

    def reload(self, limits):
        self.write(limits)
        mark = self.s.mark()
        self.s.send(signal.SIGHUP)
        self.s.wait_log("Reloaded", after=mark)

    def number(self, name, **labels):
        text = get(self.admin_port, f"127.0.0.1:{self.admin_port}", "/metrics").body.decode()
        shown = ",".join(f'{k}="{v}"' for k, v in labels.items())
        return int(re.search(rf"^pgrok_{name}\{{{shown}\}} (\d+)$", text, re.M)[1])

    def visit(self, source="127.0.0.2", tls=False):
        """A connection that has had an answer and stays; None: it was closed at once."""
        try:
            v = (dial_tls if tls else dial)(self.s.https_port if tls else self.s.http_port, source=source)
            v.send(request("a.pgrok.me"))
            assert v.response().status == 200
            return v
        except (Aborted, Short, OSError):
            return None

    def tcp_open(self, source="127.0.0.2"):
        """Is a visitor of the tcp tunnel let in?"""
        with dial(self.tcp_port, source=source) as v:
            try:
                v.send(request("x"))
                return v.recv() != b""
            except Aborted:
                return False


def test_connections_in_all(lab, workers):
    x = Limited(lab, "{maxConnections: 4}", workers)
    here = [x.visit(f"127.0.0.{2 + i}") for i in range(4)]
    assert all(here)
    assert not x.visit("127.0.0.9") and not x.visit("127.0.0.9", tls=True) and not x.tcp_open("127.0.0.9")
    assert x.number("connections_refused_total", reason="connections") == 3
    # Those who are in go on; clients do not count.
    here[0].send(request("a.pgrok.me"))
    assert here[0].response().status == 200
    lab.goclient(x.s).url(subdomain="b")
    here.pop().close()
    here.append(eventually(lambda: x.visit("127.0.0.9", tls=True)))
    x.reload("{maxConnections: 6}")
    here += [x.visit(), x.visit()]
    assert all(here) and not x.visit()
    x.reload("{}")
    assert x.tcp_open() and x.visit()
    for v in here:
        v.close()


def test_pages_and_moves_count_once(lab, workers):
    """A connection that has had a page, or goes from tunnel to tunnel, is still one."""
    x = Limited(lab, "{maxConnections: 2}", workers)
    site = lab.site()
    for i in range(4):
        lab.client(x.s, f"-subdomain=n{i}", "-proto=http", site.port)
    with dial(x.s.http_port) as v:
        for i in range(20):
            v.send(request(f"n{i % 4}.pgrok.me"))
            assert v.response().status == 200
            v.send(request("nobody.pgrok.me"))
            assert v.response().status == 404
        other = x.visit()
        assert other and not x.visit()
        other.close()
        eventually(x.visit).close()
    for _ in range(20):
        eventually(lambda: status_of(x.s.http_port, "nobody.pgrok.me") == 404)
    eventually(lambda: x.visit() and x.visit())


def test_connections_of_an_address(lab, workers):
    x = Limited(lab, "{maxConnectionsPerAddress: 3}", workers)
    here = [x.visit(), x.visit(tls=True), x.visit()]
    assert all(here)
    assert not x.visit() and not x.tcp_open()
    assert x.number("connections_refused_total", reason="address_connections") == 2
    assert x.visit("127.0.0.3") and x.tcp_open("127.0.0.3")
    for v in here:
        v.close()
    eventually(x.visit).close()


def test_half_open(lab):
    x = Limited(lab, "{maxHalfOpenPerAddress: 3}")
    silent = [dial(x.s.http_port, source="127.0.0.2") for _ in range(3)]
    eventually(lambda: x.number("connections_refused_total", reason="address") == 0 and not x.visit())
    assert x.visit("127.0.0.3")
    for v in silent:
        v.close()
    eventually(x.visit)
    x.reload("{maxHalfOpen: 4}")
    silent = [dial(x.s.http_port, source=f"127.0.1.{i}") for i in range(20)]
    eventually(lambda: x.number("connections_refused_total", reason="half_open") >= 15)
    for v in silent:
        v.close()


def until_too_many(visit):
    """How many got in before one did not. Each takes less than a second, or the limit is never met."""
    for i in range(200):
        if not visit():
            return i
    raise AssertionError("there is no limit")


def test_new_visitors(lab, workers):
    """429 with Retry-After, or a closed connection; requests of those who are in do not count."""
    x = Limited(lab, "{visitorRate: 1}", workers)
    first = x.visit()
    assert until_too_many(lambda: status_of(x.s.http_port, "a.pgrok.me", source="127.0.0.2") == 200) >= 4
    v = dial_tls(x.s.https_port, source="127.0.0.2")

    def refused():
        v = dial_tls(x.s.https_port, source="127.0.0.2")
        v.send(request("a.pgrok.me"))
        r = v.response()
        return r.status == 429 and r
    r = eventually(refused)
    assert r.header("Retry-After") == "1" and r.header("Connection") == "close" and b"in a second" in r.body
    for _ in range(20):
        first.send(request("a.pgrok.me"))
        assert first.response().status == 200
    assert x.visit("127.0.0.3")
    assert until_too_many(lambda: x.tcp_open("127.0.0.4")) >= 5
    assert x.number("connections_refused_total", reason="rate") >= 3
    assert x.number("pages_total", status="429") >= 2
    x.reload("{visitorRate: 0}")
    for _ in range(20):
        assert x.visit() and x.tcp_open("127.0.0.4")
    first.close()
    v.close()


def test_new_tunnels(lab):
    x = Limited(lab, "{tunnelRate: 1}")
    go = lab.goclient(x.s)
    answers = []

    def asks():
        answers.append(go.tunnel("http")[0])
        return not answers[-1]["Error"]
    assert until_too_many(asks) >= 1
    assert answers[-1]["Error"].startswith("Too many tunnels were asked for from your address")
    assert x.number("tunnels_refused_total", reason="rate") == 1
    x.reload("{tunnelRate: 0}")
    go = lab.goclient(x.s)
    for _ in range(20):
        assert not go.tunnel("http")[0]["Error"]


def test_waiting(lab):
    x = Limited(lab, "{maxWaiting: 3}")
    lab.goclient(x.s, proxies=False).url(subdomain="lazy")
    waiting = []

    def one_more():
        v = dial(x.s.http_port)
        waiting.append(v)
        v.send(request("lazy.pgrok.me"))
        v.settimeout(0.2)
        try:
            return v.response().status != 503
        except TimeoutError:
            return True
    assert until_too_many(one_more) == 3
    x.reload("{maxWaiting: 5}")
    assert until_too_many(one_more) == 2
    for v in waiting:
        v.close()


def test_errors(lab):
    """Each names file, line and key; and at a reload the old limits stay."""
    x = Limited(lab, "{maxConnections: 1}")
    one = x.visit()
    x.s.allow("Not reloaded")
    x.write("{maxConnections: many}")
    mark = x.s.mark()
    x.s.send(signal.SIGHUP)
    x.s.wait_log(rf"Not reloaded: {re.escape(str(x.conf))}:2: limits.maxConnections: many is not a whole number",
                 after=mark)
    assert not x.visit()
    one.close()
