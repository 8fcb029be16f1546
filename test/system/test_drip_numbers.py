"""What Drip's server tells its operator, told by pgrokd: /health, /stats, /metrics; of both families."""

import threading
import time

import pytest

from lib.admin import Admin
from lib.backends import answer
from lib.drip_rig import OurServer
from lib.drip_wire import Refused
from lib.env import free_port
from lib.net import dial, eventually, get, request

# The names that Drip's dashboards ask for, and the labels that tell their samples apart.
NAMES = {
    "tunnel_count": (), "tunnel_registrations_total": (), "tunnel_registration_failures_total": ("reason",),
    "tunnels_by_ip": ("ip",), "active_connections": (), "connections_total": (),
    "bytes_received_total": (), "bytes_sent_total": (),
    "tunnel_bytes_received_total": ("subdomain", "tunnel_id", "type"),
    "tunnel_bytes_sent_total": ("subdomain", "tunnel_id", "type"),
    "tunnel_active_connections": ("subdomain", "tunnel_id", "type"),
    "requests_total": (), "http_requests_in_flight": (),
    "http_request_duration_seconds_count": ("method", "status"),
    "rate_limit_rejections_total": ("type",),
    "worker_pool_size": (), "worker_pool_active_workers": (),
}


class Told:
    """/metrics, read once."""

    def __init__(self, admin):
        self.all = admin.metrics()

    def get(self, name, **labels):
        return self.all.get(("drip_" + name, tuple(sorted(labels.items()))), 0)

    def labels(self, name):
        return [dict(labels) for n, labels in self.all if n == "drip_" + name]


def started(lab, certs, *flags, workers=2):
    port = free_port()
    rig = OurServer(lab, certs, f"-adminAddr=127.0.0.1:{port}", *flags, server_kw={"workers": workers})
    return rig, rig.server, Admin(port)



def test_health(lab, certs):
    rig, s, a = started(lab, certs)
    assert a.json("/health")["active_tunnels"] == 0
    way = rig.tunnel(lab.site(), name="one")
    health = a.json("/health")
    assert health["status"] == "ok" and abs(health["timestamp"] - time.time()) < 60
    assert health["active_tunnels"] == a.stats()["tunnels"] == len(a.tunnels()) > 0
    rig.client.close()
    eventually(lambda: a.json("/health")["active_tunnels"] == 0)
    for path in ("/health", "/stats", "/metrics"):  # the service's own, if it is asked for
        assert get(s.http_port, way.host.split(":")[0], path).status == 404


def test_service_keeps_its_paths(lab, certs):
    rig, s, _ = started(lab, certs)
    way = rig.tunnel(lab.site(lambda r, c: answer(200, r.target.encode())), name="one")
    for path in ("/health", "/stats", "/metrics"):
        assert way.get(path).body == path.encode()


def test_stats(lab, certs):
    """Their keys stand beside ours; a tunnel of either family is a row."""
    rig, s, a = started(lab, certs)
    stats = a.json("/stats")
    assert stats["total_tunnels"] == 0 and stats["tunnels"] == [] and stats["ready"] is True
    body = lab.site(lambda r, c: answer(200, b"x" * 1000))
    way = rig.tunnel(body, name="one")
    rig.tunnel(body, kind="tcp")
    port = rig.client.tcp_port()
    lab.client(s, "-subdomain=two", "-proto=http", "-authtoken=sekrit", body.port)
    assert way.get().status == get(s.http_port, "two.pgrok.me").status == get(port, "x").status == 200

    def rows():
        stats = a.json("/stats")
        assert stats["total_tunnels"] == len(stats["tunnels"])
        assert len(stats["workers"]) == 2
        return {(t["subdomain"], t["tunnel_type"]): t for t in stats["tunnels"]}
    eventually(lambda: not any(t["active_connections"] for t in rows().values()))
    seen = rows()
    assert {("one", "https"), ("two", "http"), (f"tcp-{port}", "tcp")} <= set(seen)
    for key in (("one", "https"), ("two", "http"), (f"tcp-{port}", "tcp")):
        t = seen[key]
        assert set(t) == {"active_connections", "bytes_in", "bytes_out", "last_active", "subdomain", "total_bytes",
                          "tunnel_type"}
        assert 0 < t["bytes_in"] < 1000 < t["bytes_out"] and t["total_bytes"] == t["bytes_in"] + t["bytes_out"], t
        assert abs(t["last_active"] - time.time()) < 60
    with dial(port):
        eventually(lambda: rows()[f"tcp-{port}", "tcp"]["active_connections"] == 1)


def test_names(lab, certs):
    """Each is there once something has happened; without the prefix none is."""
    rig, s, a = started(lab, certs, "-metricsPrefix=drip", "-tunnelRate=5")
    way = rig.tunnel(lab.site(), name="one")
    assert way.get().status == 200
    told = Told(a)
    for name, labels in NAMES.items():
        seen = told.labels(name)
        assert seen and all(tuple(sorted(x)) == labels for x in seen), name
    assert told.get("worker_pool_size") == 2
    port = free_port()
    lab.server(f"-adminAddr=127.0.0.1:{port}")
    assert not {n.partition("_")[2] for n, _ in Admin(port).metrics()} & (set(NAMES) - {"requests_total"})


@pytest.mark.parametrize("family", ["drip", "pgrok"])
def test_live(lab, certs, family):
    """A request, while it is under way and behind it; a refusal; and what a closed tunnel leaves: nothing."""
    rig, s, a = started(lab, certs, "-metricsPrefix=drip", "-loopbackExempt=false")
    asked, go_on = threading.Event(), threading.Event()

    def app(r, c):
        asked.set()
        assert go_on.wait(30)
        return answer(404 if r.target == "/no" else 200, b"hello")
    site = lab.site(app)
    before = Told(a)
    if family == "drip":
        rig.tunnel(site, name="one")
    else:
        client = lab.client(s, "-subdomain=one", "-authtoken=sekrit", site.port, tunnels=2)
    host = f"one.pgrok.me:{s.http_port}"
    where = {"subdomain": "one", "tunnel_id": "one.pgrok.me", "type": "http"}
    with dial(s.http_port) as v:
        v.send(request(host, "/", method="DELETE"))
        assert asked.wait(30)
        told = Told(a)
        assert told.get("http_requests_in_flight") == 1
        assert told.get("tunnel_active_connections", **where) == 1
        assert told.get("worker_pool_active_workers") == 1
        assert told.get("tunnel_count") == told.get("tunnels_by_ip", ip="127.0.0.1") == 2
        assert told.get("tunnel_registrations_total") == 2
        assert told.get("active_connections") >= 2
        assert not told.labels("http_request_duration_seconds_count")
        go_on.set()
        assert v.response(method="DELETE").status == 200
        eventually(lambda: Told(a).get("http_requests_in_flight") == 0)
        v.send(request(host, "/no"))
        assert v.response().status == 404
        eventually(lambda: Told(a).get("http_request_duration_seconds_count", method="GET", status="4xx") == 1)
    eventually(lambda: Told(a).get("tunnel_active_connections", **where) == 0)
    # One that is broken off is not in flight any more.
    go_on.clear()
    asked.clear()
    with dial(s.http_port) as v:
        v.send(request(host, "/"))
        assert asked.wait(30)
        assert Told(a).get("http_requests_in_flight") == 1
    go_on.set()
    eventually(lambda: Told(a).get("http_requests_in_flight") == 0)
    told = Told(a)
    assert told.get("http_request_duration_seconds_count", method="DELETE", status="2xx") == 1
    assert told.get("http_request_duration_seconds_bucket", method="DELETE", status="2xx", le="+Inf") == 1
    assert told.get("requests_total") == 3
    assert told.get("connections_total") - before.get("connections_total") >= 3
    for way in ("received", "sent"):
        total = told.get(f"bytes_{way}_total")
        assert total == told.get(f"tunnel_bytes_{way}_total", **where) > 0
    if family == "drip":
        with pytest.raises(Refused):
            rig.tunnel(site, name="one")
        failed = {x["reason"]: Told(a).get("tunnel_registration_failures_total", **x)
                  for x in told.labels("tunnel_registration_failures_total")}
        assert sum(failed.values()) == failed["taken"] + failed["held"] == 1
        assert {"max_tunnels", "rate_limit"} <= set(failed)
        rig.doubles[0].close()
    else:
        client.end()
    eventually(lambda: Told(a).get("tunnel_count") == 0)
    told = Told(a)
    for name in ("tunnel_bytes_received_total", "tunnel_bytes_sent_total", "tunnel_active_connections",
                 "tunnels_by_ip"):
        assert not told.labels(name)


@pytest.mark.parametrize("family", ["drip", "pgrok"])
def test_until_the_end(lab, certs, family):
    """An answer that ends with its connection is complete, and has taken its time."""
    rig, s, a = started(lab, certs, "-metricsPrefix=drip")

    def service(c, _backend):
        c.recv_until(b"\r\n\r\n")
        c.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
    b = lab.backend(service)
    if family == "drip":
        rig.tunnel(b, name="one")
    else:
        lab.client(s, "-subdomain=one", "-authtoken=sekrit", b.port, tunnels=2)
    assert get(s.http_port, "one.pgrok.me").body == b"hello"
    eventually(lambda: Told(a).get("http_request_duration_seconds_count", method="GET", status="2xx") == 1)
    assert Told(a).get("http_requests_in_flight") == 0


def test_rate_limit(lab, certs):
    rig, s, a = started(lab, certs, "-metricsPrefix=drip", "-tunnelRate=1", "-loopbackExempt=false")
    site = lab.site()

    def refused():
        try:
            rig.tunnel(site)
        except Refused:
            pass
        told = Told(a)
        n = told.get("rate_limit_rejections_total", type="registration")
        assert n == told.get("tunnel_registration_failures_total", reason="rate_limit")
        return n
    eventually(refused)


def test_many(lab, certs):
    """More tunnels than a worker tells of in one turn, each once in each family."""
    rig, s, a = started(lab, certs, "-metricsPrefix=drip")
    for i in range(4):
        go = lab.goclient(s, proxies=False, user="sekrit")
        for k in range(75):
            go.url(subdomain=f"n{i * 75 + k}")
    told = Told(a)
    want = {f"n{k}" for k in range(300)}
    for name in ("tunnel_bytes_received_total", "tunnel_bytes_sent_total", "tunnel_active_connections"):
        rows = told.labels(name)
        assert {x["subdomain"] for x in rows} == want and len(rows) == 300
    assert told.get("tunnels_by_ip", ip="127.0.0.1") == 300
    assert len(a.json("/stats")["tunnels"]) == 300
