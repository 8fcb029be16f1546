"""
What crosses worker threads: an Auth, a RegProxy and a visitor move once, from where they were accepted to
the client's home. Meant to be run under TSan too, where the same load is smaller.
"""

import random
import signal
import socket
import threading
import time

import pytest

from lib import env
from lib.backends import answer
from lib.golike import GoClient, connect, message, send_message
from lib.net import Aborted, Short, dial, dial_tls, eventually, get, request

pytestmark = pytest.mark.threads

W = 4
SMALL = env.SANITIZED


def rounds(n):
    return max(3, n // 4) if SMALL else n


def quiet(fn, *args):
    """Runs fn; a connection that failed is no fault here."""
    try:
        return fn(*args)
    except (Aborted, Short, OSError):
        return None


def test_two_auths_with_one_id(lab):
    """At the same time, on whichever workers: one is left, and it can have the name."""
    s = lab.server(workers=W)
    for i in range(rounds(25)):
        cid = f"same{i}"
        gate = threading.Barrier(4)

        def come(cid=cid, gate=gate):
            gate.wait(env.WAIT)
            return quiet(lambda: lab.keep(GoClient(s.tunnel_port, client_id=cid)))
        got = [t.result() for t in [lab.thread(come) for _ in range(4)]]
        got = [g for g in got if g]
        assert got
        eventually(lambda got=got: sum(not g.ended.is_set() for g in got) == 1)
        (last,) = [g for g in got if not g.ended.is_set()]
        assert last.url("http", subdomain=f"n{i}")
        last.ping()
        for g in got:
            g.close()


def test_auths_and_proxies_race(lab):
    """RegProxies of an id while controls with this id replace each other."""
    s = lab.server(workers=W)
    site = lab.site()
    stop = threading.Event()

    def proxies():
        while not stop.is_set():
            c = quiet(connect, s.tunnel_port)
            if c:
                quiet(send_message, c, message("RegProxy", ClientId="raced"))
                if random.random() < 0.5:
                    quiet(c.cut)
                else:
                    quiet(c.close)

    def visitors():
        while not stop.is_set():
            v = quiet(dial, s.http_port)
            if v:
                quiet(v.send, request("x.pgrok.me", close=True))
                if random.random() < 0.5:
                    v.settimeout(0.2)
                    quiet(v.recv)
                v.close()
    threads = [lab.thread(proxies) for _ in range(2)] + [lab.thread(visitors) for _ in range(2)]
    for _ in range(rounds(20)):
        c = lab.goclient(s, local=site.port, client_id="raced")
        assert c.url("http", subdomain="x")
        time.sleep(0.02)
    stop.set()
    for t in threads:
        t.result()
    eventually(lambda: get(s.http_port, "x.pgrok.me").status == 200)


@pytest.mark.scaled
def test_parcel_to_a_client_that_just_died(lab):
    """Visitors and proxies are on their way while the control ends: closed or 404, nothing worse."""
    s = lab.server(workers=W, scale=0.1)
    site = lab.site()
    for i in range(rounds(20)):
        c = lab.goclient(s, local=site.port)
        c.url("http", subdomain=f"d{i}")
        port = int(c.url("tcp").rsplit(":", 1)[1])
        visitors = [dial(s.http_port) for _ in range(6)] + [dial(port) for _ in range(3)]
        tls = [dial_tls(s.https_port) for _ in range(2)]
        gate = threading.Barrier(3)

        def ask(visitors=visitors, tls=tls, i=i, gate=gate):
            gate.wait(env.WAIT)
            for v in visitors + tls:
                quiet(v.send, request(f"d{i}.pgrok.me", close=True))

        def die(c=c, gate=gate):
            gate.wait(env.WAIT)
            if random.random() < 0.5:
                quiet(c.conn.reset)
            else:
                quiet(c.conn.sock.shutdown, socket.SHUT_RDWR)

        def register(c=c, gate=gate):
            conns = [connect(s.tunnel_port) for _ in range(3)]
            gate.wait(env.WAIT)
            for p in conns:
                quiet(send_message, p, message("RegProxy", ClientId=c.client_id))
            for p in conns:
                p.settimeout(0.05)
                quiet(p.recv_rest)
                p.cut()
        for t in [lab.thread(ask), lab.thread(die), lab.thread(register)]:
            t.result()
        c.close()
        for v in visitors + tls:
            data, _ = v.recv_rest()
            assert not data or data.startswith(b"HTTP/1.1 "), data[:100]
            v.close()
    with GoClient(s.tunnel_port) as g:
        g.url("http", subdomain="alive")


def test_names_race(lab):
    """Many clients want one name at the same moment: exactly one gets it."""
    s = lab.server(workers=W)
    for i in range(rounds(12)):
        clients = [lab.goclient(s) for _ in range(5)]
        gate = threading.Barrier(5)

        def want(c, i=i, gate=gate):
            gate.wait(env.WAIT)
            return c.tunnel("http", subdomain=f"r{i}")[0]["Error"]
        errors = [t.result() for t in [lab.thread(want, c) for c in clients]]
        assert errors.count("") == 1, errors
        for c in clients:
            c.close()


def test_many_clients_and_visitors(lab):
    """Several clients over four workers, visitors of all kinds, everything right."""
    s = lab.server(workers=W)
    sites = [lab.site(name=f"S{i}") for i in range(8)]
    clients = [lab.goclient(s, local=x.port) for x in sites]
    ports = []
    for i, c in enumerate(clients):
        c.tunnel("http+https", subdomain=f"m{i}")
        ports.append(int(c.url("tcp").rsplit(":", 1)[1]))
    n = rounds(25)

    def visit(k):
        rnd = random.Random(k)
        for j in range(n):
            i = rnd.randrange(8)
            kind = rnd.choice(["http", "https", "tcp", "keep"])
            want = f"S{i} GET /{k}/{j}\n".encode()
            host = f"m{i}.pgrok.me"
            if kind == "http":
                assert get(s.http_port, host, f"/{k}/{j}").body == want
            elif kind == "https":
                assert get(s.https_port, host, f"/{k}/{j}", tls=True).body == want
            elif kind == "tcp":
                assert get(ports[i], host, f"/{k}/{j}").body == want
            else:
                with dial(s.http_port) as v:
                    for _ in range(3):
                        v.send(request(host, f"/{k}/{j}"))
                        assert v.response().body == want
    for t in [lab.thread(visit, k) for k in range(6)]:
        t.result()
    assert not [c.fault for c in clients if c.fault]


def test_clients_come_and_go(lab):
    """The real client, killed and started, while visitors keep coming."""
    s = lab.server(workers=W)
    site = lab.site()
    stop = threading.Event()
    seen = {}

    def visitors():
        while not stop.is_set():
            r = quiet(get, s.http_port, "cg.pgrok.me")
            if r:
                seen[r.status] = seen.get(r.status, 0) + 1
    threads = [lab.thread(visitors) for _ in range(3)]
    for i in range(rounds(6)):
        c = lab.client(s, "-authtoken=t", "-subdomain=cg", site.port, tunnels=2)
        eventually(lambda: get(s.http_port, "cg.pgrok.me").status == 200)
        if i % 2:
            c.kill()
        else:
            c.end()
        eventually(lambda: get(s.http_port, "cg.pgrok.me").status == 404)
    stop.set()
    for t in threads:
        t.result()
    assert set(seen) <= {200, 404, 502, 503, 504}, seen
    assert seen.get(200) and seen.get(404)


def test_tcp_listeners_come_and_go(lab):
    """A tcp port is opened and closed at its home while visitors connect."""
    s = lab.server(workers=W)
    site = lab.site(lambda r, c: answer(200, b"x"))
    for i in range(rounds(12)):
        c = lab.goclient(s, local=site.port)
        port = int(c.url("tcp").rsplit(":", 1)[1])
        stop = threading.Event()

        def knock(port=port, stop=stop):
            while not stop.is_set():
                v = quiet(dial, port)
                if v:
                    quiet(v.send, request("x"))
                    v.settimeout(0.05)
                    quiet(v.recv)
                    v.close()
        t = lab.thread(knock)
        assert get(port, "x").status == 200
        c.close()
        stop.set()
        t.result()
        eventually(lambda port=port: not quiet_open(port))


def quiet_open(port):
    try:
        dial(port, timeout=2).close()
        return True
    except OSError:
        return False


def test_stop_under_load(lab):
    """SIGTERM while everything moves: status 0, no report."""
    for _ in range(rounds(4)):
        s = lab.server(workers=W)
        site = lab.site()
        clients = [lab.goclient(s, local=site.port) for _ in range(3)]
        for i, c in enumerate(clients):
            c.tunnel("http+https", subdomain=f"s{i}")
        stop = threading.Event()

        def visitors(s=s, stop=stop):
            while not stop.is_set():
                i = random.randrange(3)
                if random.random() < 0.5:
                    quiet(get, s.http_port, f"s{i}.pgrok.me")
                else:
                    c = quiet(connect, s.tunnel_port)
                    if c:
                        quiet(send_message, c, message("RegProxy", ClientId="nobody"))
                        quiet(c.cut)
        threads = [lab.thread(visitors) for _ in range(3)]
        time.sleep(0.3)
        s.end()
        stop.set()
        for t in threads:
            t.result()
        for c in clients:
            c.close()


def test_reload_while_moving(lab, certs):
    """SIGHUP swaps contexts on every worker while handshakes move between them."""
    s = lab.server(workers=W, certs=certs)
    site = lab.site()
    lab.client(s, "-subdomain=x", site.port, tunnels=2)
    stop = threading.Event()

    def visit():
        while not stop.is_set():
            assert get(s.https_port, "x.pgrok.me", tls=True).status == 200
    threads = [lab.thread(visit) for _ in range(3)]
    for _ in range(rounds(12)):
        s.send(signal.SIGHUP)
        time.sleep(0.05)
    stop.set()
    for t in threads:
        t.result()


def test_cache_written_while_names_change(lab, tmp_path):
    """The main thread writes what the workers change."""
    cache = tmp_path / "cache"
    s = lab.server(workers=W, extra_env={"REGISTRY_CACHE_FILE": str(cache)})

    def churn(k):
        for _ in range(rounds(12)):
            with GoClient(s.tunnel_port, client_id=f"k{k}") as c:
                c.url("http")
                c.url("tcp")
    for t in [lab.thread(churn, k) for k in range(4)]:
        t.result()
    eventually(cache.exists)
