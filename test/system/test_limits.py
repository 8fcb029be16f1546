"""Too many, too slow, too much: the daemons keep serving who behaves."""

import os
import re
import time

import pytest

from lib import env
from lib.golike import connect, message, send_message
from lib.net import dial, dial_tls, eventually, get, request


def loris(port, count, first, addresses=5):
    """Half-open connections from several loopback addresses."""
    out = []
    for i in range(count):
        c = dial(port, source=f"127.0.0.{2 + i % addresses}")
        if first:
            c.send(first)
        out.append(c)
    return out


@pytest.mark.big
def test_slow_loris(lab, workers):
    """500 half-open heads and handshakes do not delay a good request."""
    site = lab.site()
    s, c = lab.started(site, workers=workers)
    bad = []
    try:
        bad += loris(s.http_port, 130, b"GET / HTTP/1.1\r\nHost: test.pgrok.me\r\nX-Slow: ")
        bad += loris(s.http_port, 60, None)
        bad += loris(s.https_port, 130, b"\x16\x03\x01\x00\xf8\x01\x00\x00")
        bad += loris(s.https_port, 60, None)
        bad += loris(s.tunnel_port, 60, b"\x16\x03\x01\x00\xf8\x01\x00\x00")
        bad += loris(s.tunnel_port, 60, None)
        times = []
        for i in range(20):
            start = time.monotonic()
            assert get(s.http_port, "test.pgrok.me").status == 200
            assert get(s.https_port, "test.pgrok.me", tls=True).status == 200
            times.append(time.monotonic() - start)
        assert sorted(times)[10] < (0.25 if not env.SANITIZED else 2), sorted(times)
        lab.goclient(s).url("http", subdomain="late")
        assert c.alive()
    finally:
        for x in bad:
            x.close()


@pytest.mark.scaled
def test_slow_loris_is_ended(lab):
    """10 s after its start each of them is gone."""
    s = lab.server(scale=0.1)
    bad = loris(s.http_port, 60, b"GET / HTTP/1.1\r\nX: ") + loris(s.https_port, 60, b"\x16\x03\x01")
    bad += loris(s.tunnel_port, 60, None)
    for x in bad:
        x.recv_rest()
        x.close()
    eventually(lambda: s.fds() < 100)


@pytest.mark.scaled
def test_half_open_from_loopback(lab):
    """Addresses of this machine are not counted: many are served (others: door_test, front_test)."""
    s = lab.server()
    conns = loris(s.http_port, 400, b"GET / HT", addresses=1)
    try:
        assert get(s.http_port, "nope", source="127.0.0.2").status == 404
    finally:
        for c in conns:
            c.close()


def test_out_of_descriptors(lab, workers):
    """EMFILE: no busy loop, and all is well once there are some again."""
    site = lab.site()
    s = lab.server(workers=workers, nofile=80)
    s.allow("descriptor|EMFILE|open files|accept")
    lab.client(s, "-subdomain=x", site.port, tunnels=2)
    assert get(s.http_port, "x.pgrok.me").status == 200
    crowd = []
    for _ in range(150):
        try:
            crowd.append(dial(s.http_port, timeout=5))
        except OSError:
            break
    cpu, start = s.cpu_seconds(), time.monotonic()
    time.sleep(1.5)
    used = (s.cpu_seconds() - cpu) / (time.monotonic() - start)
    assert used < 0.5, f"spins: {used:.2f} of a core"
    assert s.count("descriptor|EMFILE|open files") < 20
    for c in crowd:
        c.close()
    eventually(lambda: _ok(s))
    assert s.alive()


def test_descriptors_for_clients(lab, workers):
    """Visitors use up all that they can get: the last descriptors are for clients, who still come in."""
    site = lab.site()
    port = env.free_port()
    s = lab.server(f"-adminAddr=127.0.0.1:{port}", workers=workers, nofile=160)
    s.allow("too many open files")

    def shed():
        text = get(port, f"127.0.0.1:{port}", "/metrics").body.decode()
        return int(re.search(r'^pgrok_connections_refused_total{reason="descriptors"} (\d+)$', text, re.M)[1])
    crowd = [dial(s.http_port) for _ in range(250)]
    eventually(shed)
    lab.client(s, "-subdomain=x", site.port, tunnels=2)
    tcp = lab.goclient(s).url("tcp")
    with dial(int(tcp.rpartition(":")[2])) as v:
        v.recv_rest()
    assert s.count("visitors have to wait") <= 2, "once a minute, of all listeners together"
    for c in crowd:
        c.close()
    eventually(lambda: _ok(s))


def _ok(s):
    try:
        return get(s.http_port, "x.pgrok.me").status == 200
    except Exception:  # pylint: disable=broad-except
        return False


def test_client_out_of_descriptors(lab):
    """The client's side of the same: it recovers."""
    import resource
    site = lab.site()
    s, c = lab.started(site)
    c.allow(".*")
    resource.prlimit(c.pid, resource.RLIMIT_NOFILE, (24, 4096))
    crowd = []
    for _ in range(30):
        v = dial(s.http_port)
        v.send(request("test.pgrok.me"))
        crowd.append(v)
    c.wait_log("descriptor|open files")
    assert c.alive()
    for v in crowd:
        v.close()
    resource.prlimit(c.pid, resource.RLIMIT_NOFILE, (4096, 4096))

    def good():
        try:
            return get(s.http_port, "test.pgrok.me").status == 200
        except Exception:  # pylint: disable=broad-except
            return False
    eventually(good, timeout=60)


def test_second_server_on_a_port(lab, workers):
    """It refuses to start, with the address in its words; the first is not disturbed."""
    site = lab.site()
    s, _ = lab.started(site, workers=workers)
    other = env.free_port(), env.free_port(), env.free_port()
    for i, name in enumerate(("http", "https", "tunnel")):
        ports = list(other)
        ports[i] = s.ports[i]
        d = lab.server(ports=tuple(ports), workers=workers, wait=False)
        d.expect_exit(1)
        assert f"listen tcp 127.0.0.1:{ports[i]}: bind: address already in use" in d.text("err"), name
    for _ in range(8):
        assert get(s.http_port, "test.pgrok.me").status == 200


def test_restart_at_once(lab, workers):
    """Connections in TIME_WAIT do not keep the port."""
    site = lab.site()
    s = lab.server(workers=workers)
    for _ in range(3):
        c = lab.client(s, "-subdomain=x", site.port, tunnels=2)
        assert get(s.http_port, "x.pgrok.me").status == 200
        c.end()
        s.end()
        s = lab.again(s)


def test_waiting_cap(lab, workers):
    """
    256 visitors wait for a client that takes none for 3 s, the rest get 503 at once; others are not
    affected.
    """
    site = lab.site()
    s = lab.server(workers=workers)
    lazy = lab.goclient(s, proxies=False)
    lazy.url("http", subdomain="lazy")
    lab.client(s, "-subdomain=good", site.port, tunnels=2)
    conns = [dial(s.http_port) for _ in range(256)]
    for v in conns:
        v.send(request("lazy.pgrok.me"))
    lazy.wait_asked(129)  # what was asked for did not come: it is asked for again
    for _ in range(30):
        conns.append(dial(s.http_port))
        conns[-1].send(request("lazy.pgrok.me"))
        assert conns[-1].response().status == 503
    assert get(s.http_port, "good.pgrok.me").status == 200
    # What is asked for is bounded as well: 128 at once, each counted on for 3 s.
    assert lazy.asked <= 4 * 128
    for v in conns:
        v.close()


@pytest.mark.big
@pytest.mark.parametrize("n, golike", [(800, False), (300, True)], ids=["own", "golike"])
def test_many_at_once_without_mux(lab, workers, n, golike):
    """Each needs a connection of its own, which the client makes as fast as it can: all are served."""
    n = env.fewer(n)
    site = lab.site()
    s = lab.server(workers=workers)
    if golike:
        lab.goclient(s, local=site.port).url("http", subdomain="x")
    else:
        lab.client(s, "-subdomain=x", "-mux=false", site.port, tunnels=2)
    conns = [dial(s.http_port) for _ in range(n)]
    for i, v in enumerate(conns):
        v.send(request("x.pgrok.me", f"/{i}"))
    wrong = [r for r in ((i, v.response()) for i, v in enumerate(conns))
             if r[1].body != f"site GET /{r[0]}\n".encode()]
    assert not wrong, f"{len(wrong)} of {n} not served, the first: {wrong[0]}"
    for v in conns:
        v.close()


def test_burst_on_an_empty_pool(lab, workers):
    """25 at once: all served, whatever the client opens."""
    site = lab.site()
    s = lab.server(workers=workers)
    c = lab.goclient(s, local=site.port)
    c.url("http", subdomain="x")
    conns = [dial(s.http_port) for _ in range(25)]
    for i, v in enumerate(conns):
        v.send(request("x.pgrok.me", f"/{i}"))
    for i, v in enumerate(conns):
        assert v.response().body == f"site GET /{i}\n".encode()
        v.close()
    assert c.fault is None


def test_burst_again(lab):
    """The counting of asked proxies does not drift: burst after burst is served."""
    site = lab.site()
    s, _ = lab.started(site)
    for _ in range(6):
        conns = [dial(s.http_port) for _ in range(40)]
        for v in conns:
            v.send(request("test.pgrok.me", close=True))
        for v in conns:
            assert v.response().status == 200
            v.close()


def test_lost_proxies_are_asked_for_again(lab):
    """A client that drops what it was asked for does not starve the next visitor."""
    site = lab.site()
    s = lab.server()
    c = lab.goclient(s, local=site.port, proxies=False)
    c.url("http", subdomain="x")
    for _ in range(5):
        v = dial(s.http_port)
        v.send(request("x.pgrok.me"))
        c.wait_asked(1)
        v.close()
    before = c.asked
    with dial(s.http_port) as v:
        v.send(request("x.pgrok.me"))
        c.wait_asked(before + 1)
        lab.thread(c.proxy)
        # One more for each visitor of before that is still counted.
        for _ in range(6):
            lab.thread(c.proxy)
        assert v.response().status == 200


@pytest.mark.big
def test_many_tls_handshakes_cut(lab, workers):
    """Visitors that vanish inside their handshake leave nothing behind."""
    s = lab.server(workers=workers)
    n = 300
    before = s.fds()
    for i in range(n):
        c = dial(s.https_port if i % 2 else s.tunnel_port)
        c.send(b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03" + os.urandom(i % 60))
        if i % 3 == 0:
            c.reset()
        else:
            c.close()
    eventually(lambda: s.fds() <= before + 5)


def test_flood_of_bad_auth(lab):
    """Wrong versions, unknown clients and noise in numbers, then a good client."""
    s = lab.server(workers=2)
    for i in range(60):
        c = connect(s.tunnel_port)
        send_message(c, message("RegProxy", ClientId=f"id{i}"))
        c.cut()
    lab.goclient(s).url("http", subdomain="x")


def test_idle_visitors_cost_little(lab):
    """300 idle connections: memory stays small, all are still served."""
    site = lab.site()
    s, c = lab.started(site)
    n = 300 if not env.SANITIZED else 50
    base = s.pss_mb(), c.pss_mb()
    conns = []
    for _ in range(n):
        v = dial(s.http_port)
        v.send(request("test.pgrok.me"))
        assert v.response().status == 200
        conns.append(v)
    if not env.SANITIZED:
        for p, b in ((s, base[0]), (c, base[1])):
            per = (p.pss_mb() - b) * 1024 / n
            assert per < 100, f"{p.name}: {per:.0f} KiB per idle visitor"
    for v in conns:
        v.send(request("test.pgrok.me", "/again"))
        assert v.response().status == 200
        v.close()


def test_huge_number_of_headers(lab):
    site = lab.site()
    s, _ = lab.started(site)
    r = get(s.http_port, "test.pgrok.me", headers=[f"X-{i}: y" for i in range(4000)])
    assert r.status == 200
    assert len(site.requests[0].headers) >= 4000


def test_sockets_are_closed_after_use(lab, workers):
    site = lab.site()
    s, c = lab.started(site, workers=workers)
    assert get(s.http_port, "test.pgrok.me").status == 200
    eventually(lambda: s.has("vis:.*Closed"))
    before = s.fds(), c.fds()
    for _ in range(30):
        get(s.http_port, "test.pgrok.me")
        get(s.https_port, "test.pgrok.me", tls=True)
        with dial(s.http_port) as v:
            v.send(request("nope"))
        with dial_tls(s.https_port) as v:
            v.send(b"GET")
    # A shared connection more may have come up; 120 visitors have left nothing behind.
    eventually(lambda: s.fds() <= before[0] + 4, what=f"{before[0]} descriptors of the server")
    eventually(lambda: c.fds() <= before[1] + 4, what=f"{before[1]} descriptors of the client")
