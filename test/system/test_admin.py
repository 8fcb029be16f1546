"""The admin listener: who may ask, what it tells, and that asking holds nobody up."""

import json
import pathlib
import re
import signal
import threading

import pytest

from lib.admin import Admin, started
from lib.backends import answer
from lib.env import ROOT, free_port
from lib.net import dial, eventually, get, request

pytestmark = pytest.mark.threads

TOKEN = "s3cret-token"


# ---- who may ask ----

def test_off_by_default(lab):
    s = lab.server()
    assert not s.has("for the operator")
    assert get(s.http_port, "127.0.0.1", "/health").status == 404


def test_health_and_hosts(lab):
    s, a = started(lab)
    assert a.ask("/health").status == a.ask("/ready").status == 200
    assert a.ask("/health", host="localhost").status == 200
    assert a.ask("/nothing").status == 404
    assert a.ask("/health", method="POST").status == 405
    # A page of another site whose name leads to this address, or that sends its visitor's browser here.
    for host in ("evil.example", "pgrok.me", "x.pgrok.me"):
        assert a.ask("/tunnels", host=host).status == 403
    for field in ("Origin: http://evil.example", "Sec-Fetch-Site: cross-site"):
        assert a.ask("/tunnels/x.pgrok.me", method="DELETE", headers=[field]).status == 403
    assert get(s.http_port, f"127.0.0.1:{a.port}", "/health").status == 404  # never on tunnels' ports


@pytest.mark.parametrize("how", ["value", "file"])
def test_token(lab, how):
    file = lab.tmp / "token"
    file.write_text(TOKEN + "\n")
    s, a = started(lab, f"-adminToken={TOKEN}" if how == "value" else f"-adminToken=@{file}")
    for path in ("/health", "/ready", "/stats", "/metrics", "/tunnels", "/nothing"):
        assert a.ask(path).status == a.ask(path, token=TOKEN[:-1]).status == a.ask(path, token=TOKEN + "x").status \
            == 401
        assert a.ask(path, token=TOKEN).status == (404 if path == "/nothing" else 200)
    assert a.ask("/tunnels/x", method="DELETE").status == 401
    assert a.ask("/health", token=TOKEN, host="pgrok.me").status == 200
    assert a.ask("/health", token=TOKEN, host="evil.example").status == 403
    assert TOKEN not in s.text()


@pytest.mark.parametrize("flags, why", [
    (["-adminAddr=0.0.0.0:0"], "-adminAddr: 0.0.0.0:0 .* needs -adminToken"),
    (["-adminAddr=127.0.0.1:0", "-adminToken=@/nowhere/token"], "-adminToken: open /nowhere/token: "),
    (["-adminAddr=127.0.0.1:0", "-adminToken=@/dev/null"], "-adminToken: /dev/null is empty"),
    (["-adminAddr=127.0.0.1:0", "-adminToken=a b"], "-adminToken: a token is of visible"),
    (["-adminAddr=nonsense"], "-adminAddr: "),
    (["-metricsPrefix=a-b"], "-metricsPrefix: 'a-b'"),
    (["-stopDelay=-1"], "-stopDelay: -1 is not from 0 to 3600"),
])
def test_refuses_to_start(lab, flags, why):
    s = lab.server(*flags, wait=False)
    s.expect_exit(1)
    assert re.search(why, s.text("err")), s.text()


# ---- ready ----

def test_not_ready_while_it_stops(lab):
    s, a = started(lab, "-stopDelay=3600")
    assert a.ask("/ready").body == b"ready\n" and a.metrics()["pgrok_ready", ()] == 1
    s.send(signal.SIGTERM)
    s.wait_log("stopping in 3600 s")
    r = a.ask("/ready")
    assert r.status == 503 and r.body == b"stopping\n"
    assert a.ask("/health").status == 200 and a.metrics()["pgrok_ready", ()] == 0
    assert get(s.http_port, "x.pgrok.me").status == 404  # it goes on
    s.send(signal.SIGTERM)
    s.expect_exit(0)


# ---- what it tells ----

def test_tunnels(lab, workers):
    s, a = started(lab, workers=workers)
    assert a.tunnels() == {}
    clients = [lab.goclient(s, proxies=False) for _ in range(4)]
    for i, c in enumerate(clients):
        for k in range(75):
            c.url(subdomain=f"n{i}-{k}")
    site = lab.site(lambda r, c: answer(200, b"hello"))
    client = lab.client(s, "-subdomain=real", "-proto=http+tcp", site.port, tunnels=2)
    seen = a.tunnels()
    assert len(seen) == 4 * 75 + 2
    url = f"http://real.pgrok.me:{s.http_port}"
    row = seen[url]
    assert (row["name"], row["owner"], row["visitors"], row["visitors_now"]) == ("real.pgrok.me", "", 0, 0)
    assert row["last_request"] is None and row["rtt_ms"] > 0
    tcp = next(t for u, t in seen.items() if u.startswith("tcp://"))
    assert tcp["name"] == ":" + tcp["url"].rpartition(":")[2]
    # Live numbers, of a visitor that is still there.
    with dial(s.http_port) as v:
        v.send(request("real.pgrok.me"))
        head = v.response()
        assert head.body == b"hello"
        row = eventually(lambda: (t := a.tunnels()[url])["bytes_out"] and t)
        assert row["visitors"] == row["visitors_now"] == 1
        assert row["bytes_in"] == len(request("real.pgrok.me")) and row["last_request"] >= row["since"]
    eventually(lambda: a.tunnels()[url]["visitors_now"] == 0)
    client.end()
    assert len(a.tunnels()) == 4 * 75


def test_close(lab, workers):
    """A tunnel closes on both protocols; its client hears of it, and does not open it again."""
    s, a = started(lab, workers=workers)
    site = lab.site()
    one = lab.client(s, "-subdomain=one", site.port, tunnels=2)
    assert get(s.http_port, "one.pgrok.me").status == 200
    assert a.ask("/tunnels/two.pgrok.me", method="DELETE").status == 404
    closed = a.json("/tunnels/one.pgrok.me", "DELETE")["closed"]
    assert sorted(u.split(":")[0] for u in closed) == ["http", "https"]
    assert get(s.http_port, "one.pgrok.me").status == 404 and a.tunnels() == {}
    one.expect_exit(1)
    assert "closed by the operator" in one.text("err")
    assert a.ask("/tunnels/one.pgrok.me", method="DELETE").status == 404
    # Of a client with another tunnel only that one goes.
    conf = lab.config(json.dumps({"tunnels": {
        "a": {"subdomain": "a", "proto": {"http": site.port}}, "b": {"subdomain": "b", "proto": {"http": site.port}}}}))
    both = lab.client(s, "start-all", config=conf, tunnels=2)
    assert a.json("/tunnels/a.pgrok.me", "DELETE")["closed"] == [f"http://a.pgrok.me:{s.http_port}"]
    both.wait_log("The server has closed http://a.pgrok.me.*: closed by the operator")
    assert get(s.http_port, "a.pgrok.me").status == 404 and get(s.http_port, "b.pgrok.me").status == 200
    assert both.alive()


def test_close_of_a_go_client(lab):
    """It is told with the message that it ends on, and its connection closes."""
    s, a = started(lab)
    go = lab.goclient(s, proxies=False)
    go.url(subdomain="a")
    tcp = next(t for t in [*a.tunnels().values()])
    assert a.ask(f"/tunnels/{tcp['name']}", method="DELETE").status == 200
    assert go.answers.get(timeout=20)["Error"].endswith("closed by the operator")
    go.wait_end()
    port = lab.goclient(s, proxies=False).url("tcp").rpartition(":")[2]
    assert len(a.json(f"/tunnels/:{port}", "DELETE")["closed"]) == 1


# ---- metrics ----

def test_metrics(lab, workers):
    s, a = started(lab, "-metricsPrefix=x_1", workers=workers)

    def app(r, c):
        return answer(404 if r.target == "/no" else 200, b"hello")
    site = lab.site(app)
    lab.client(s, "-subdomain=a", "-proto=http", site.port)
    # Its control connection, and the one that its visitors share.
    eventually(lambda: (t := a.stats())["connections_accepted"]["tunnel"] == 2 and not t["half_open_connections"])
    before = a.metrics()
    for path in ("/", "/", "/no"):
        get(s.http_port, "a.pgrok.me", path)
    get(s.http_port, "nobody.pgrok.me")
    refused = lab.goclient(s, proxies=False)
    assert refused.tunnel(subdomain="a")[0]["Error"]
    refused.wait_end()
    eventually(lambda: not (t := a.stats())["visitors"]["joined"] and t["clients"] == 1
               and not t["half_open_connections"])
    after = a.metrics()
    moved = {k: after[k] - before[k] for k in after if after[k] != before[k]}

    def took(name, **labels):
        return moved.pop(("x_1_" + name, tuple(sorted(labels.items()))), 0)
    assert took("requests_total") == 3 and took("visitors_joined_total") == 3
    assert took("answers_total", status="2xx") == 2 and took("answers_total", status="4xx") == 1
    assert took("pages_total", status="404") == 1
    assert took("connections_accepted_total", port="http") == 4
    assert took("connections_accepted_total", port="tunnel") == 1
    assert took("clients_connected_total") == 1
    assert took("tunnels_refused_total", reason="taken") + took("tunnels_refused_total", reason="held") == 1
    assert took("visitor_bytes_total", **{"from": "visitors"}) > 0
    assert took("visitor_bytes_total", **{"from": "tunnels"}) > 15
    assert took("first_byte_seconds_count") == took("first_byte_seconds_bucket", le="+Inf") == 3
    assert took("first_byte_seconds_sum") > 0
    for gone in ("connections_moved_total", "memory_bytes", "mux_memory_bytes"):
        took(gone)
    assert {k[0] for k in moved} <= {"x_1_first_byte_seconds_bucket"}
    buckets = [(float(dict(k[1])["le"]), v) for k, v in after.items() if k[0] == "x_1_first_byte_seconds_bucket"]
    assert [v for _, v in sorted(buckets)] == sorted(v for _, v in buckets)
    # The same numbers as JSON, and for each worker.
    stats = a.json("/stats")
    assert len(stats["workers"]) == workers and stats["ready"] is True
    assert stats["total"]["answers"]["2xx"] == 2 and stats["total"]["first_byte_seconds"]["count"] == 3
    assert sum(w["requests"] for w in stats["workers"]) == 3


def test_slow_scrapers(lab):
    """Readers that ask for much and take nothing hold up neither visitors nor each other."""
    s, a = started(lab, workers=2)
    site = lab.site()
    lab.client(s, "-subdomain=a", "-proto=http", site.port)
    many = [lab.goclient(s, proxies=False) for _ in range(4)]
    for i, c in enumerate(many):
        for k in range(100):
            c.url(subdomain=f"n{i}-{k}")
    slow = [dial(a.port, rcvbuf=2048) for _ in range(8)]
    ask = request(a.host, "/tunnels")
    for c in slow:
        c.send(ask * 20)
    for _ in range(5):
        assert get(s.http_port, "a.pgrok.me").status == 200 and a.ask("/metrics").status == 200
    assert len(a.tunnels()) == 401
    for c in slow:
        c.close()
    eventually(lambda: len(a.tunnels()) == 401)


def test_asked_while_it_ends(lab):
    """What is under way when the server ends harms nothing."""
    for _ in range(3):
        s, a = started(lab, workers=4)
        conns = [dial(a.port) for _ in range(20)]
        for i, c in enumerate(conns):
            c.send(request(a.host, ("/metrics", "/tunnels", "/stats")[i % 3]))
        s.send(signal.SIGTERM)
        s.expect_exit(0)
        for c in conns:
            c.close()


# ---- what is made of the metrics ----

def names_in(text):
    return set(re.findall(r"\bpgrok_[a-z_]+", text))


def labels_in(text):
    """[(metric, label, values)] of matchers with a fixed value."""
    out = []
    for name, body in re.findall(r"\b(pgrok_[a-z_]+)\{([^}]*)\}", text):
        for label, value in re.findall(r'(\w+)=~?"([^"$]+)"', body):
            out.append((name, label, value.split("|")))
    return out


@pytest.mark.parametrize("name", ["grafana.json", "alerts.yml"])
def test_dashboard_and_alerts(lab, name):
    """Every metric that they name is there, with the labels that they ask for, and the braces match."""
    _, a, _ = with_team(lab)
    there = a.metrics()
    text = (ROOT / "packaging" / name).read_text(encoding="utf-8")
    if name.endswith(".json"):
        board = json.loads(text)
        exprs = [t["expr"] for p in board["panels"] for t in p["targets"]]
        assert len({p["id"] for p in board["panels"]}) == len(board["panels"])
        exprs.append(board["templating"]["list"][1]["query"])
    else:
        yaml = pytest.importorskip("yaml")
        rules = [r for g in yaml.safe_load(text)["groups"] for r in g["rules"]]
        exprs = [r["expr"] for r in rules]
        assert all(r["annotations"]["summary"] and r["labels"]["severity"] for r in rules)
        assert len({r["alert"] for r in rules}) == len(rules)
    known = {metric for metric, _ in there}
    for expr in exprs:
        assert names_in(expr) <= known | {"up"}, expr
        for pair in ("()", "{}", "[]"):
            assert expr.count(pair[0]) == expr.count(pair[1]), expr
        for metric, label, values in labels_in(expr):
            have = {dict(labels).get(label) for m, labels in there if m == metric}
            assert set(values) <= have, (expr, have)
        for by in re.findall(r"by \(([^)]*)\)", expr):
            for label in set(re.split(r",\s*", by)) - {"instance"}:
                used = names_in(expr)
                assert any(label in dict(labels) for m, labels in there if m in used), (expr, label)
    if name.endswith(".json"):  # nothing that is told is left out of the picture
        bare = {re.sub("_(bucket|sum|count)$", "", m) for m in known}
        drawn = {re.sub("_(bucket|sum|count)$", "", m) for e in exprs for m in names_in(e)}
        assert bare - drawn == {"pgrok_workers"}


# ---- those who mean no good ----

def delete(name):
    return b"DELETE /tunnels/" + name + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("said", [
    b"\0" * 100, b"GET\r\n\r\n", b"GET /tunnels HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" * 50,
    delete(b""), delete(b"%00"), delete(b"%2e%2e"), delete(b":0"), delete(b":99999"), delete(b"a" * 5000),
    delete(b"[::1]:80"), delete(b"a%0d%0ab"), delete(b"\xff"),
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
    b"GET /tunnels HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 70000 + b"\r\n\r\n",
])
def test_malformed(lab, said):
    s, a = started(lab)
    with dial(a.port) as c:
        c.send(said)
        c.half_close()
        c.recv_rest()
    assert a.ask("/health").status == 200 and a.tunnels() == {}
    assert s.alive()


def test_more_than_may_ask(lab):
    """Connections beyond those that it keeps: the idle ones make room."""
    _, a = started(lab)
    idle = [dial(a.port) for _ in range(100)]
    for _ in range(5):
        assert a.ask("/ready").status == 200
    for c in idle:
        c.close()
    paths = ("/stats", "/metrics", "/tunnels", "/stats")
    many = [lab.thread(lambda: [a.ask(p).status for p in paths]) for _ in range(12)]
    assert [t.result() for t in many] == [[200] * 4] * 12


def test_gone_before_the_answer(lab):
    _, a = started(lab, workers=4)
    for path in ("/stats", "/metrics", "/tunnels") * 20:
        c = dial(a.port)
        c.send(request(a.host, path))
        c.reset()
    eventually(lambda: a.ask("/stats").status == 200)


def test_close_in_mid_flight(lab, workers):
    """What is on its way to visitors arrives; of those who close at the same time one does it."""
    s, a = started(lab, workers=workers)
    go_on = threading.Event()

    def serve(conn, _start):
        conn.recv_until(b"\r\n\r\n")
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100000)
        go_on.wait(30)
        conn.send(b"x" * 100000)
        conn.recv()
    go = lab.goclient(s, on_visit=serve)
    go.url(subdomain="a")
    visitors = [dial(s.http_port) for _ in range(6)]
    for v in visitors:
        v.send(request("a.pgrok.me"))
    heads = [v.recv_until(b"\r\n\r\n") for v in visitors]
    assert all(h.startswith(b"HTTP/1.1 200") for h in heads)
    closers = [lab.thread(lambda: a.ask("/tunnels/a.pgrok.me", "DELETE").status) for _ in range(8)]
    lists = [lab.thread(lambda: a.ask("/tunnels").status) for _ in range(4)]
    assert sorted(t.result() for t in closers) == [200] + [404] * 7
    assert {t.result() for t in lists} == {200}
    go.wait_end()
    go_on.set()
    for v in visitors:
        assert len(v.recv_exact(200000)) == 200000
        v.close()
    eventually(lambda: not a.stats()["visitors"]["joined"])


# ---- tokens ----

TEAM = "tokens:\n- {name: alice, token: ta, tunnels: 5}\n- {name: bob, token: tb, expires: 2099-01-31}\n"


def with_team(lab, text=TEAM, **kw):
    f = lab.config(text)
    s, a = started(lab, f"-authTokens={f}", **kw)
    return s, a, f


def reload(s):
    mark = s.mark()
    s.send(signal.SIGHUP)
    return mark


def revoked_file(s):
    return pathlib.Path(next(f for f in s.p.args if f.startswith("-stateDir=")).partition("=")[2]) / "revoked.txt"


def test_token_list(lab):
    s, a, _ = with_team(lab)
    lab.goclient(s, user="ta").url(subdomain="shop")
    got = a.json("/tokens")
    assert got["checked"] and got["tokens"] == [
        {"name": "alice", "expires": None, "tunnels_now": 1, "tunnels_most": 5, "visitors_now": 0, "visitors_most": None},
        {"name": "bob", "expires": "2099-02-01T00:00:00.000000Z", "tunnels_now": 0, "tunnels_most": None,
         "visitors_now": 0, "visitors_most": None}]
    assert {m: n for m, n in a.metrics().items() if "owner" in m[0]} == {
        ("pgrok_owner_tunnels", (("owner", "alice"),)): 1, ("pgrok_owner_tunnels", (("owner", "bob"),)): 0,
        ("pgrok_owner_visitors", (("owner", "alice"),)): 0, ("pgrok_owner_visitors", (("owner", "bob"),)): 0}
    _, a = started(lab)
    assert not [m for m, _ in a.metrics() if "owner" in m]
    assert a.json("/tokens") == {"checked": False, "tokens": []}
    assert a.ask("/tokens/alice/revoke", method="POST").status == 404


def test_revoke(lab, workers):
    """Out at once, over reloads and a restart, until its line goes or there is another token."""
    s, a, f = with_team(lab, workers=workers)
    site = lab.site()
    bob = lab.goclient(s, local=site.port, user="tb")
    url = bob.url(subdomain="bob").split("//")[1]
    alice = lab.client(s, "-authtoken=ta", "-subdomain=alice", site.port, tunnels=2)
    for path, method in (("/tokens/alice/revoke", "GET"), ("/tokens/alice", "POST"), ("/tokens/carol/revoke", "POST"),
                         ("/tokens//revoke", "POST"), ("/tokens/alice/revoke/x", "POST")):
        assert a.ask(path, method=method).status in (404, 405), path
    for field in ("Origin: http://evil.example", "Sec-Fetch-Site: cross-site"):
        assert a.ask("/tokens/alice/revoke", method="POST", headers=[field]).status == 403
    assert get(s.http_port, alice.host()).status == 200
    mark = s.mark()
    assert a.json("/tokens/alice/revoke", method="POST") == {"revoked": "alice"}
    s.wait_log("Closed: its token is not known any more .*of alice", after=mark)
    alice.wait_log("The token is unknown to this server")
    assert get(s.http_port, alice.host()).status == 404
    assert get(s.http_port, url).status == 200
    assert [t["name"] for t in a.json("/tokens")["tokens"]] == ["bob"]
    assert a.ask("/tokens/alice/revoke", method="POST").status == 404
    file = revoked_file(s)
    assert file.stat().st_mode & 0o777 == 0o600
    s.wait_log("Reloaded", after=reload(s))
    assert [t["name"] for t in a.json("/tokens")["tokens"]] == ["bob"]
    bob.ping()

    f.write_text(TEAM.replace("token: ta", "token: another"))
    s.wait_log("Tokens are checked: there are 2", after=reload(s))
    lab.goclient(s, user="another").close()
    f.write_text(TEAM)
    s.wait_log("Tokens are checked: there are 1", after=reload(s))
    s.send(signal.SIGTERM)
    s.expect_exit(0)
    s = lab.again(s)
    s.wait_log("Tokens are checked: there are 1")
    text = file.read_text()
    assert "alice sha256:" in text and "ta\n" not in text
    s.allow(r"revoked\.txt: line 1")
    file.write_text("alice sha256:12\n")
    s.wait_log(r"Not reloaded: .*revoked\.txt: line 1: ", after=reload(s))
    file.write_text(text.splitlines()[0] + "\n")
    mark = alice.mark()
    s.wait_log("Tokens are checked: there are 2", after=reload(s))
    alice.wait_tunnels(2, after=mark)


def test_revoked_file_that_is_not_one(lab):
    """Rather no server than one that lets in who was put out."""
    state = lab.tmp / "state"
    state.mkdir()
    (state / "revoked.txt").write_text("# ours\n\nalice\n")
    s = lab.server(f"-authTokens={lab.config(TEAM)}", state_dir=str(state), wait=False)
    s.expect_exit(1)
    assert re.search(r"revoked\.txt: line 3: OWNER sha256:HEX is wanted", s.text("err"))


# ---- the page ----

def test_page(lab):
    s, a = started(lab, f"-adminToken={TOKEN}")
    r = get(a.port, a.host, "/")
    assert r.status == 401 and b'name="token"' in r.body
    assert "form-action 'self'" in r.header("Content-Security-Policy")
    assert get(a.port, a.host, "/static/main.js").status == 401
    r = get(a.port, a.host, f"/?token={TOKEN}")
    assert r.status == 303 and r.header("Location") == "/" and "HttpOnly" in r.header("Set-Cookie")
    cookie = [f"Cookie: {r.header('Set-Cookie').split(';')[0]}"]
    r = get(a.port, a.host, "/", headers=cookie)
    assert r.status == 200 and b"/static/main.js" in r.body
    assert "script-src 'self'" in r.header("Content-Security-Policy")
    for name in set(re.findall(rb"/static/([\w.]+)", r.body)):
        assert get(a.port, a.host, f"/static/{name.decode()}", headers=cookie).status == 200
    assert get(a.port, a.host, "/static/list.js", headers=cookie).status == 404
    assert get(a.port, a.host, "/static/../inspect/dom.js", headers=cookie).status in (400, 404)
    # A cookie does not make a request of another site one of ours.
    assert get(a.port, a.host, "/tunnels/x", method="DELETE",
               headers=[*cookie, "Origin: http://evil.example"]).status == 403
