"""Connections that come back: killed, frozen and restarted ends, names that stay, streams that outlive."""

import re
import signal
import threading
import time

import pytest

from lib import backends, env
from lib.golike import auth, connect, message, read_message, req_tunnel, send_message
from lib.net import Aborted, dial, eventually, get, request, status_of


def test_client_killed(pair, workers):
    """SIGKILL: the URL is 404, and the name its owner's, who is known by the token."""
    site = pair.lab.site()
    s = pair.server(workers=workers)
    c = pair.client(s, "-authtoken=t", "-subdomain=x", site.port, tunnels=2)
    host = f"x.pgrok.me:{s.http_port}"
    assert get(s.http_port, host).status == 200
    c.kill()
    eventually(lambda: status_of(s.http_port, host) == 404)
    pair.client(s, "-authtoken=t", "-subdomain=x", site.port, tunnels=2)
    assert get(s.http_port, host).status == 200


@pytest.mark.scaled
def test_client_stopped(lab, workers):
    """SIGSTOP: dropped for want of a Ping; after SIGCONT it is back with the same random name."""
    site = lab.site()
    s, c = lab.started(site, subdomain=None, scale=0.1, workers=workers)
    host = c.host()
    assert get(s.http_port, host).status == 200
    c.allow(".*")
    c.send(signal.SIGSTOP)
    s.wait_log("Lost heartbeat|lost heartbeat")
    eventually(lambda: get(s.http_port, host).status == 404)
    mark = c.mark()
    c.send(signal.SIGCONT)
    assert c.wait_tunnels(2, after=mark)
    assert c.host() == host
    assert get(s.http_port, host).status == 200


def test_visitor_of_a_stopped_client_waits(lab):
    """A frozen client that comes to in time serves who waits."""
    site = lab.site()
    s, c = lab.started(site)
    c.send(signal.SIGSTOP)
    conns = [dial(s.http_port) for _ in range(3)]
    for v in conns:
        v.send(request("test.pgrok.me"))
    conns[2].nothing_for(0.5)
    c.send(signal.SIGCONT)
    for v in conns:
        assert v.response().status == 200
        v.close()


@pytest.mark.scaled
def test_server_stopped(lab, workers):
    """
    SIGSTOP of the server, as when its machine is moved: the Pings that came meanwhile are read before
    any client is judged, and visitors have their time, too.
    """
    site = lab.site()
    s = lab.server(scale=0.1, workers=workers)
    clients = [lab.goclient(s) for _ in range(40)]
    lab.client(s, "-subdomain=x", site.port, tunnels=2, scale=0.1)
    with dial(s.http_port) as v:
        v.send(request("x.pgrok.me"))
        assert v.response().status == 200
        for c in clients:
            c.send(message("Ping"))
        for c in clients:
            c.pongs.get(timeout=env.WAIT)
        s.send(signal.SIGSTOP)
        v.send(request("x.pgrok.me"))
        for c in clients:
            c.send(message("Ping"))
        time.sleep(4)  # a client may be silent for 3 s
        s.send(signal.SIGCONT)
        for c in clients:
            c.pongs.get(timeout=env.WAIT)
            c.ping()
        assert v.response().status == 200
    assert not s.has("Lost heartbeat")


# ---- what becomes of visitors ----

@pytest.mark.scaled
@pytest.mark.parametrize("mux", ["true", "false"])
def test_504_of_a_frozen_client(lab, mux):
    """It takes no notice of the visitor for 10 s: a page, long before it is dropped itself."""
    s, c = lab.started(lab.site(), f"-mux={mux}", scale=0.1)
    assert get(s.http_port, "test.pgrok.me").status == 200
    c.allow(".*")
    c.send(signal.SIGSTOP)
    with dial(s.http_port) as v:
        v.send(request("test.pgrok.me", "/", "POST", headers=["Content-Length: 1000"]))
        assert v.response().status == 504
    assert not s.has("Lost heartbeat")


@pytest.mark.scaled
def test_slow_service_is_no_frozen_client(lab):
    """Not a byte for longer than that from a service, whose client is well."""
    go = threading.Event()

    def app(r, _c):
        assert go.wait(env.WAIT)
        return backends.answer(200, b"late")
    s, _ = lab.started(lab.site(app), scale=0.1)
    with dial(s.http_port) as v:
        v.send(request("test.pgrok.me"))
        v.nothing_for(2.5)
        go.set()
        assert v.response().body == b"late"


@pytest.mark.scaled
def test_lost_client_takes_its_visitors_along(lab):
    """Silent for its time: 502 to who has nothing of an answer, a cut that shows to who has some."""
    def app(r, c):
        if r.target == "/half":
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            return None
        return backends.answer(200, b"whole")
    s, c = lab.started(lab.site(app), scale=0.1)
    c.allow(".*")
    none, half = dial(s.http_port), dial(s.http_port)
    for v in (none, half):
        v.send(request("test.pgrok.me"))
        assert v.response().body == b"whole"
    half.send(request("test.pgrok.me", "/half"))
    half.recv_until(b"\r\n\r\nhalf")
    c.send(signal.SIGSTOP)
    none.send(request("test.pgrok.me"))
    assert none.response().status == 502
    with pytest.raises(Aborted):
        half.recv_all()
    s.wait_log("Lost heartbeat")
    none.close()
    half.close()


@pytest.mark.parametrize("mux", ["true", "false"])
def test_visitor_at_rest_outlives_the_connection(lab, workers, mux):
    """The client's line breaks between two requests of a visitor: the second one waits for it."""
    site = lab.site()
    s = lab.server(workers=workers)
    wire = lab.relay(s.tunnel_port)
    c = lab.client(f"127.0.0.1:{wire.port}", "-subdomain=x", f"-mux={mux}", site.port, tunnels=2)
    c.allow(".*")
    with dial(s.http_port) as v:
        v.send(request("x.pgrok.me", "/1"))
        assert v.response().status == 200
        wire.drop_all()
        s.wait_log(r"\[ctl:[0-9a-f]+\] Closed")
        v.send(request("x.pgrok.me", "/2"))
        assert v.response().body == b"site GET /2\n"
    assert [r.target for r in site.requests] == ["/1", "/2"]


@pytest.mark.scaled
def test_visitor_at_rest_waits_in_vain(lab):
    s, c = lab.started(lab.site(), scale=0.1)
    with dial(s.http_port) as v:
        v.send(request("test.pgrok.me"))
        assert v.response().status == 200
        c.kill()
        s.wait_log(r"\[ctl:[0-9a-f]+\] Closed")
        began = time.monotonic()
        v.send(request("test.pgrok.me"))
        assert v.response().status == 502
        assert time.monotonic() - began > 0.9
        v.send(request("other.pgrok.me"))
        assert v.response().status == 404


@pytest.mark.parametrize("how", ["term", "kill"])
def test_server_restarted(pair, how):
    """The client is back with the same name, with the ClientId it had."""
    site = pair.lab.site()
    s = pair.server()
    c = pair.client(s, "-subdomain=same", site.port, tunnels=2)
    urls = sorted(c.urls())
    c.allow(".*")
    mark = c.mark()
    s.end() if how == "term" else s.kill()
    s2 = pair.lab.again(s)
    assert sorted(c.wait_tunnels(2, after=mark)) == urls
    eventually(lambda: status_of(s2.http_port, f"same.pgrok.me:{s2.http_port}") == 200)


def test_random_name_survives_a_restart(lab, tmp_path):
    """REGISTRY_CACHE_FILE keeps who had which name and port; it is JSON, written at exit too."""
    import json
    cache = tmp_path / "registry.json"
    site = lab.site()
    s = lab.server(extra_env={"REGISTRY_CACHE_FILE": str(cache)})
    cfg = lab.config(f"tunnels:\n  t:\n    proto:\n      tcp: {site.port}\n")
    c = lab.client(s, site.port, tunnels=2)
    t = lab.client(s, "start", "t", config=cfg)
    for x in (c, t):
        x.allow(".*")
    urls, tcp_urls = sorted(c.urls()), t.urls()
    marks = c.mark(), t.mark()
    s.end()
    json.loads(cache.read_text())
    assert cache.stat().st_mode & 0o777 == 0o600
    s2 = lab.again(s)
    assert sorted(c.wait_tunnels(2, after=marks[0])) == urls
    assert t.wait_tunnels(1, after=marks[1]) == tcp_urls
    assert get(s2.http_port, urls[0].split("//")[1]).status == 200


def test_cache_is_written_while_running(lab, tmp_path):
    cache = tmp_path / "registry.json"
    s = lab.server(extra_env={"REGISTRY_CACHE_FILE": str(cache)})
    c = lab.client(s, 1, tunnels=2)
    name = c.host().split(".")[0]
    eventually(lambda: cache.exists() and name in cache.read_text())
    s.kill()
    c.allow(".*")


def test_old_gob_cache_is_kept_aside(lab, tmp_path):
    cache = tmp_path / "registry"
    gob = b"\x1d\xff\x81\x02\x01\x01\x0a[]cacheItem\x01\xff\x82\x00\x01\xff\x80\x00\x00"
    cache.write_bytes(gob)
    s = lab.server(extra_env={"REGISTRY_CACHE_FILE": str(cache)})
    s.allow("gob|registry|cache")
    lab.client(s, 1, tunnels=2).end()
    s.end()
    assert (tmp_path / "registry.gob").read_bytes() == gob
    import json
    json.loads(cache.read_text())


def test_broken_cache_is_no_obstacle(lab, tmp_path):
    cache = tmp_path / "registry"
    for text in ("{", "[1,2]", '{"a": 5}', "null", "#!/bin/sh", ""):
        cache.write_text(text)
        s = lab.server(extra_env={"REGISTRY_CACHE_FILE": str(cache)})
        s.allow("left alone")
        lab.client(s, 1, tunnels=2).end()
        s.end()
        assert bool(text) == (cache.read_text() == text), "what is not ours stays as it is"
    s = lab.server(extra_env={"REGISTRY_CACHE_FILE": "/nonexistent/dir/file"})
    s.allow(".*")
    lab.client(s, 1, tunnels=2)


def test_control_connection_lost(lab, engine):
    """The wire is cut: same ClientId, same name, at once, no 'already registered'."""
    site = lab.site()
    s = lab.server(engine=engine)
    wire = lab.relay(s.tunnel_port)
    c = lab.client(f"127.0.0.1:{wire.port}", site.port, tunnels=2, engine=engine)
    c.allow(".*")
    urls = sorted(c.urls())
    for _ in range(2):
        mark = c.mark()
        wire.drop_all()
        assert sorted(c.wait_tunnels(2, after=mark)) == urls
        host = c.host()
        eventually(lambda: get(s.http_port, host).status == 200)
    assert not c.has("already registered")


def test_reconnect_sends_the_client_id(lab, certs):
    g = lab.goserver(certs)
    c = lab.client(g.addr, "-subdomain=x", "-proto=http", 8080)
    c.allow(".*")
    first = g.wait_control()
    for i in range(2, 4):
        g.controls[-1].end()
        again = g.wait_control(i)
        assert again.auth["ClientId"] == first.client_id
        assert again.wait_request()["Subdomain"] == "x"
    ids = [ctl.requests[0]["ReqId"] for ctl in g.controls]
    assert len(set(ids)) == 3, "ReqIds are new each time"


def test_refusal_on_a_reconnect_is_retried(lab, certs):
    """The first refusal is final; later ones may be a name not yet free."""
    state = {"n": 0}

    def tunnel(ctl, p):
        state["n"] += 1
        if state["n"] == 2:
            return [{"ReqId": "", "Url": "", "Protocol": "", "Error": "already registered."}]
        return ctl.server.grant(ctl, p)
    g = lab.goserver(certs, on_tunnel=tunnel)
    c = lab.client(g.addr, "-subdomain=x", "-proto=http", 8080)
    c.allow(".*")
    mark = c.mark()
    g.controls[0].end()
    c.wait_log(r"Tunnel established at http://x", after=mark)
    assert state["n"] >= 3


def test_auth_refusal_on_a_reconnect_is_retried(lab, certs):
    state = {"n": 0}

    def on_auth(ctl, r):
        state["n"] += 1
        return dict(r, Error="not now", ClientId="") if state["n"] == 2 else r
    g = lab.goserver(certs, on_auth=on_auth)
    c = lab.client(g.addr, "-subdomain=x", "-proto=http", 8080)
    c.allow(".*")
    mark = c.mark()
    g.controls[0].end()
    c.wait_log(r"Tunnel established at http://x", after=mark)
    assert state["n"] >= 3


@pytest.mark.scaled
def test_back_off(lab, certs):
    """1 s doubling with jitter while nobody is there."""
    port = env.free_port()
    c = lab.client(f"127.0.0.1:{port}", "-proto=http", 8080, wait=False, scale=0.05)
    c.allow(".*")
    start = time.monotonic()
    c.wait_log(r"refused", count=6)
    took = time.monotonic() - start
    # 1 + 2 + 4 + 8 + 16 s, scaled, less the jitter.
    assert took > 31 * 0.05 * 0.4, took
    g = lab.goserver(certs, port=port)
    g.wait_control()


# ---- who has a name ----

def test_duplicate_name(pair):
    """The second is refused; the first is not touched."""
    site = pair.lab.site()
    s = pair.server()
    pair.client(s, "-subdomain=dup", site.port, tunnels=2)
    c = pair.client(s, "-subdomain=dup", 1, wait=False)
    c.expect_exit(0 if c.go else 1)
    assert re.search(r"Server failed to allocate tunnel: The tunnel https?://dup\.pgrok\.me:\d+ is already "
                     r"registered\.", c.text())
    host = f"dup.pgrok.me:{s.http_port}"
    assert get(s.http_port, host).body == b"site GET /\n"


def test_replacement_by_client_id(lab, workers):
    """A new control with a living one's id: old one ended, its pool closed, names taken over."""
    a, b = lab.site(name="A"), lab.site(name="B")
    s = lab.server(workers=workers)
    old = lab.goclient(s, local=a.port)
    url = old.url("http", subdomain="x")
    old.wait_idle(1)
    new = lab.goclient(s, local=b.port, client_id=old.client_id)
    assert new.client_id == old.client_id
    old.wait_end()
    assert new.url("http", subdomain="x") == url
    assert get(s.http_port, "x.pgrok.me").body == b"B GET /\n"
    eventually(lambda: not old.idle)
    new.ping()


def test_replacement_again_and_again(lab, workers):
    s = lab.server(workers=workers)
    site = lab.site()
    cid, url = "", None
    for _ in range(15):
        c = lab.goclient(s, local=site.port, client_id=cid)
        cid = c.client_id
        got = c.url("http", subdomain="x")
        assert url in (None, got)
        url = got
    assert get(s.http_port, "x.pgrok.me").status == 200


def test_another_id_must_wait(lab):
    s = lab.server()
    c = lab.goclient(s)
    url = c.url("http", subdomain="x")
    d = lab.goclient(s)
    assert d.tunnel("http", subdomain="x")[0]["Error"] == f"The tunnel {url} is already registered."
    c.close()
    assert lab.goclient(s, client_id=c.client_id).url("http", subdomain="x") == url


def test_joined_streams_outlive_the_control_connection(lab, engine):
    """Bytes under way go on; the pool is closed; the URL is 404."""
    e = lab.backend(backends.echo)
    s = lab.server(engine=engine)
    c = lab.goclient(s, local=e.port)
    port = int(c.url("tcp").rsplit(":", 1)[1])
    c.url("http", subdomain="x")
    with dial(port) as v:
        v.send(b"one")
        assert v.recv_exact(3) == b"one"
        c.wait_idle(1)
        c.conn.sock.shutdown(2)
        c.wait_end()
        eventually(lambda: get(s.http_port, "x.pgrok.me").status == 404)
        for i in range(20):
            v.send(b"%05d" % i * 1000)
            assert v.recv_exact(5000) == b"%05d" % i * 1000
        v.half_close()
        assert v.recv_rest()[0] == b""


def test_our_client_keeps_joined_streams(lab, certs):
    """The other end: the control connection goes, an answer under way is completed."""
    step = threading.Semaphore(0)

    def app(r, c):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none")
        assert step.acquire(timeout=30)
        c.send(b"two")
    g = lab.goserver(certs)
    c = lab.client(g.addr, "-subdomain=x", "-proto=http", lab.site(app).port)
    c.allow(".*")
    v = g.visit(c.urls()[0])
    v.send(request("x"))
    assert v.recv_until(b"one").endswith(b"one")
    g.controls[0].end()
    g.wait_control(2)
    step.release()
    assert v.recv_exact(3) == b"two"


def test_client_waits_while_the_server_is_away(lab):
    """Minutes of absence are no end; here a few attempts."""
    site = lab.site()
    s, c = lab.started(site)
    c.allow(".*")
    mark = c.mark()
    s.end()
    c.wait_log("refused", after=mark)
    with pytest.raises(OSError):
        dial(s.http_port, timeout=1)
    s2 = lab.again(s)
    c.wait_tunnels(2, after=mark)
    assert get(s2.http_port, "test.pgrok.me").status == 200


@pytest.mark.scaled
def test_frozen_wire(lab):
    """Nothing arrives any more, without an end: both sides notice by the heartbeat."""
    site = lab.site()
    s = lab.server(scale=0.1)
    wire = lab.relay(s.tunnel_port)
    c = lab.client(f"127.0.0.1:{wire.port}", "-subdomain=x", site.port, tunnels=2, scale=0.1)
    c.allow(".*")
    wire.freeze()
    s.wait_log("Lost heartbeat|lost heartbeat")
    eventually(lambda: get(s.http_port, "x.pgrok.me").status == 404)
    mark = c.mark()
    wire.thaw()
    c.wait_tunnels(2, after=mark)
    assert get(s.http_port, "x.pgrok.me").status == 200


def test_server_that_ends_ends_its_visitors(lab):
    """SIGTERM with visitors in the middle: they see an end, the daemon leaves with status 0."""
    go = threading.Event()

    def app(r, c):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\npart")
        go.wait(30)
        return False
    s, c = lab.started(lab.site(app))
    c.allow(".*")
    with dial(s.http_port) as v:
        v.send(request("test.pgrok.me"))
        v.recv_until(b"part")
        s.end()
        assert v.recv_rest()[0] == b""
    go.set()


# ---- names that are remembered, names that are taken over ----

def test_random_name_goes_with_the_token(lab):
    """The next client with the token gets the name; another token or none gets another."""
    s = lab.server()

    def name(*flags):
        c = lab.client(s, *flags, "-proto=http", 1)
        url = c.urls()[0]
        c.end()
        eventually(lambda: get(s.http_port, url.split("//")[1]).status == 404)
        return url
    first = name("-authtoken=alice")
    assert name("-authtoken=alice") == first
    others = [name("-authtoken=bob"), name(), name()]
    assert first not in others
    assert others[1] != others[2], "names are not remembered by address"
    assert name("-authtoken=alice") == first


def test_random_name_goes_with_the_client_id(lab):
    s = lab.server()
    c = lab.goclient(s, client_id="abc")
    url = c.url("http")
    c.close()
    eventually(lambda: get(s.http_port, url.split("//")[1]).status == 404)
    assert lab.goclient(s, client_id="xyz").url("http") != url
    assert lab.goclient(s, client_id="abc").url("http") == url


@pytest.mark.scaled
def test_take_over_from_a_frozen_owner(lab, workers):
    """Same token: the owner is asked, does not answer for 5 s, loses its name."""
    a, b = lab.site(name="A"), lab.site(name="B")
    s = lab.server(scale=0.2, workers=workers)
    old = lab.client(s, "-authtoken=t", "-subdomain=x", "-proto=http", a.port, scale=0.2)
    old.allow(".*")
    old.send(signal.SIGSTOP)
    new = lab.client(s, "-authtoken=t", "-subdomain=x", "-proto=http", b.port, scale=0.2)
    assert get(s.http_port, "x.pgrok.me").body == b"B GET /\n"
    old.send(signal.SIGCONT)
    # It comes back, finds the new owner alive, and does not get the name.
    old.wait_log("already registered")
    assert get(s.http_port, "x.pgrok.me").body == b"B GET /\n"
    assert new.alive() and old.alive()
    # When the new one leaves, it has the name again.
    mark = old.mark()
    new.end()
    old.wait_log("Tunnel established at", after=mark)
    assert get(s.http_port, "x.pgrok.me").body == b"A GET /\n"


@pytest.mark.scaled
def test_server_stopped_while_it_asks(lab, workers):
    """The owner's sign of life came while the whole server was paused: it is read before it is judged."""
    s = lab.server(scale=0.2, workers=workers)
    with connect(s.tunnel_port) as owner:
        def wait_for(kind):
            got = read_message(owner)
            while got[0] != kind:
                got = read_message(owner)
            return got[1]
        send_message(owner, auth(user="t", Features="ping"))
        assert not wait_for("AuthResp")["Error"]
        send_message(owner, req_tunnel(subdomain="x"))
        assert not wait_for("NewTunnel")["Error"]
        new = lab.goclient(s, user="t")
        new.send(req_tunnel(subdomain="x"))
        wait_for("Ping")
        s.send(signal.SIGSTOP)
        send_message(owner, message("Pong"))
        time.sleep(1.5)  # it has 1 s
        s.send(signal.SIGCONT)
        assert "already registered" in new.answers.get(timeout=env.WAIT)["Error"]
        send_message(owner, message("Ping"))
        wait_for("Pong")


def test_living_owner_keeps_its_name(lab, workers):
    """Same token, but the owner answers the ping."""
    a = lab.site(name="A")
    s = lab.server(workers=workers)
    lab.client(s, "-authtoken=t", "-subdomain=x", "-proto=http", a.port)
    new = lab.client(s, "-authtoken=t", "-subdomain=x", "-proto=http", 1, wait=False)
    new.expect_exit(1)
    assert "already registered" in new.text()
    assert get(s.http_port, "x.pgrok.me").body == b"A GET /\n"


@pytest.mark.parametrize("token", [None, "other"])
def test_nobody_else_takes_a_frozen_owners_name(lab, token):
    """Without the owner's token the answer is no, at once."""
    s = lab.server()
    old = lab.client(s, "-authtoken=t", "-subdomain=x", "-proto=http", 1)
    old.send(signal.SIGSTOP)
    start = time.monotonic()
    flags = [f"-authtoken={token}"] if token else []
    new = lab.client(s, *flags, "-subdomain=x", "-proto=http", 1, wait=False)
    new.expect_exit(1)
    assert time.monotonic() - start < 4, "it was not at once"
    old.send(signal.SIGCONT)


def test_tokenless_clients_do_not_take_over(lab):
    s = lab.server()
    old = lab.client(s, "-subdomain=x", "-proto=http", 1)
    old.send(signal.SIGSTOP)
    new = lab.client(s, "-subdomain=x", "-proto=http", 1, wait=False)
    new.expect_exit(1)
    old.send(signal.SIGCONT)


@pytest.mark.scaled
def test_go_owner_is_probed_and_keeps_its_name(lab):
    """An owner that can't be pinged: its kernel acknowledges, so it lives."""
    s = lab.server(scale=0.2)
    old = lab.goclient(s, user="t")
    old.url("http", subdomain="x")
    new = lab.goclient(s, user="t")
    assert "already registered" in new.tunnel("http", subdomain="x")[0]["Error"]
    old.ping()
    assert old.fault is None


@pytest.mark.scaled
@pytest.mark.threads
def test_many_bids_for_a_frozen_owners_name(lab):
    """One question at a time: who asked first gets the name, who asked meanwhile is refused."""
    s = lab.server(scale=0.2, workers=4)
    old = lab.client(s, "-authtoken=t", "-subdomain=x", "-proto=http", 1)
    old.allow(".*")
    old.send(signal.SIGSTOP)
    # A challenger that leaves takes its question with it.
    left = lab.goclient(s, user="t")
    left.send(req_tunnel("http", subdomain="x"))
    s.wait_log("Wants http://x")
    left.close()
    s.wait_log(f"Closed: .*client {left.client_id[:8]}")
    first = lab.goclient(s, user="t")
    first.send(req_tunnel("http", subdomain="x"))
    s.wait_log("Wants http://x", count=2)
    others = [lab.goclient(s, user="t") for _ in range(4)]
    for c in others:
        c.send(req_tunnel("http", subdomain="x"))
    got = [c.answers.get(timeout=env.WAIT)["Error"] for c in others]
    assert got.count("") == 0, got
    assert first.answers.get(timeout=env.WAIT)["Error"] == ""
    old.kill()
