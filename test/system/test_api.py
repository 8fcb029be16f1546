"""The inspector's API as programs written for ngrok's agent, HAR readers and Prometheus take it."""

import base64
import gzip
import json
import re
import time

import pytest

from lib import env
from lib.backends import answer
from lib.inspector import Inspector, started
from lib.metrics import parse_metrics
from lib.net import dial, eventually, get, request

ERRORS = [
    ("GET", "/api/tunnels/none", None, 404), ("DELETE", "/api/tunnels/none", None, 404),
    ("GET", "/api/requests/http/0123456789abcdef", None, 404), ("GET", "/api/requests/http/x", None, 404),
    ("DELETE", "/api/requests/http/x", None, 404), ("PATCH", "/api/requests/http/x", b"{}", 404),
    ("GET", "/api/nothing", None, 404), ("POST", "/api/status", b"{}", 405), ("PUT", "/api/tunnels", b"{}", 405),
    ("GET", "/api/requests/http?limit=-1", None, 400), ("POST", "/api/requests/http", b"no JSON", 400),
    ("POST", "/api/requests/http", b'{"id":"0123456789abcdef"}', 404), ("POST", "/api/tunnels", b"{}", 400),
    ("POST", "/api/tunnels", b'{"name":"n","addr":"1","proto":"gopher"}', 400),
    ("POST", "/api/tunnels", b"x" * (5 << 20), 413),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory, state_dir):
    from conftest import Lab
    lab = Lab(state_dir, tmp_path_factory.mktemp("api"))
    yield started(lab, lab.site())[1]
    assert not lab.finish()


@pytest.mark.parametrize("method,path,body,status", ERRORS, ids=[f"{m} {p} {s}" for m, p, _, s in ERRORS])
def test_error_shape(shared, method, path, body, status):
    r = shared.ask(path, method, body, ["Content-Type: application/json"])
    assert r.status == status and r.header("Content-Type") == "application/json; charset=utf-8"
    e = json.loads(r.body)
    assert list(e) == ["error_code", "status_code", "msg", "details"]
    assert isinstance(e["error_code"], int) and e["status_code"] == status
    assert e["msg"] and e["details"] == {"err": e["msg"]}


def shape(value):
    """Keys and kinds of values, as deep as they go."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


METER = {k: "number" for k in ("count", "rate1", "rate5", "rate15", "p50", "p90", "p95", "p99")}
TUNNEL = {"name": "str", "uri": "str", "public_url": "str", "proto": "str",
          "config": {"addr": "str", "inspect": "bool"},
          "metrics": {"conns": {**METER, "gauge": "number"}, "http": METER}}
NGROK_REQUEST = {
    "uri": "str", "id": "str", "tunnel_name": "str", "remote_addr": "str", "start": "str", "duration": "number",
    "request": {"method": "str", "proto": "str", "headers": {"X-Test": ["str"]}, "uri": "str", "raw": "str"},
    "response": {"status": "str", "status_code": "number", "proto": "str",
                 "headers": {"Content-Length": ["str"], "Content-Type": ["str"]}, "raw": "str"}}


def has_shape(got, want):
    if isinstance(want, dict):
        return isinstance(got, dict) and all(k in got and has_shape(got[k], v) for k, v in want.items())
    return got == want


def test_ngrok_shapes(lab):
    visit, i = started(lab, lab.site())
    visit("/a?b=c", headers=["X-Test: 1"])
    e = i.wait_entries()[0]
    listed = i.get("/api/requests/http")
    assert list(listed) == ["uri", "requests"] and has_shape(shape(listed["requests"][0]), NGROK_REQUEST)
    assert has_shape(shape(i.one(e["id"])), NGROK_REQUEST)
    tunnels = i.get("/api/tunnels")
    assert list(tunnels) == ["tunnels", "uri"] and has_shape(shape(tunnels["tunnels"][0]), TUNNEL)
    assert has_shape(shape(i.get("/api/tunnels/default")), TUNNEL)
    assert has_shape(shape(i.get("/api/status")), {"status": "str", "agent_version": "str", "uri": "str",
                                                   "session": {"legs": [{"region": "str", "latency": "str"}]}})
    # What a program that replays sends, and nothing else.
    assert i.ask("/api/requests/http", "POST", {"id": e["id"], "tunnel_name": "default"}).status == 204
    assert i.ask("/api/requests/http", "DELETE").status == 204


def test_ngrok_programs_start_tunnels(lab):
    """The bodies that pyngrok and ngrok's Node wrapper send."""
    site = lab.site()
    _, i = started(lab, site)

    def protos():
        return sorted((t["name"], t["proto"]) for t in i.get("/api/tunnels")["tunnels"] if t["name"] != "default")

    t = i.post("/api/tunnels", {"name": "http-8000-uuid", "addr": f"http://localhost:{site.port}", "proto": "http",
                                "schemes": ["https"], "inspect": True}, 201)
    assert t["public_url"].startswith("https://") and t["config"] == {"addr": f"localhost:{site.port}", "inspect": True}
    assert has_shape(shape(t), TUNNEL)
    assert i.ask(t["uri"], "DELETE").status == 204
    t = i.post("/api/tunnels", {"name": "u", "proto": "http", "addr": str(site.port), "authtoken": "x",
                                "bind_tls": "both", "domain": "own.example", "basic_auth": ["me:secret"]}, 201)
    assert protos() == [("u", "https"), ("u (http)", "http")]
    host = f"own.example:{i.server.http_port}"
    assert get(i.server.http_port, host, "/").status == 401
    assert get(i.server.http_port, host, "/", auth="me:secret").status == 200
    assert i.ask("/api/tunnels/u", "DELETE").status == 204
    assert protos() == []
    # What would keep visitors out is never passed over in silence.
    for more in ({"oauth": {"provider": "google"}}, {"ip_restriction": {"allow_cidrs": ["10.0.0.0/8"]}},
                 {"basic_auth": []}, {"auth": "no colon"}, {"allow_ips": ["10.0.0.0/33"]}, {"paths": []},
                 {"proxy_proto": 3}, {"methods": "GET x"}, {"request_headers": "x"}, {"auth_preflight": True}, {"mutual_tls_cas": "x"}, {"schemes": []}, {"schemes": ["tcp"]},
                 {"proto": "tcp", "schemes": ["http"]}, {"inspect": "false"}, {"addr": "unix:relative"},
                 {"host_header": "a b"}, {"x_forwarded": "yes"}, {"insecure": True},
                 {"addr": "http://localhost:1/path"}, {"name": "n" * 201}, {"name": ""}, {"addr": 0}):
        r = i.post("/api/tunnels", {"name": "x", "proto": "http", "addr": "1", **more}, 400)
        assert r["msg"], more
    assert protos() == []


def test_tunnels_are_started_with_rules(lab):
    """The keys that a tunnel has in the file, with the same meaning and the same errors."""
    site = lab.site()
    _, i = started(lab, site)

    def visit(path="/", **kw):
        return get(i.server.http_port, "guarded.pgrok.me", path, **kw)

    i.post("/api/tunnels", {"name": "guarded", "proto": "http", "addr": site.port, "subdomain": "guarded",
                            "basic_auth": ["a:b", "c:d"], "bearer": "token", "deny_ips": ["127.0.0.9"],
                            "methods": ["DELETE"], "paths": "/admin", "auth_preflight": True,
                            "request_headers": {"X-From": "api"}}, 201)
    assert visit().status == 401
    assert visit(auth="a:b").status == visit(auth="c:d").status == 200
    assert visit(headers=["Authorization: Bearer token"]).status == 200
    assert visit(auth="a:b", source="127.0.0.9").status == 403
    assert visit("/admin/x", auth="a:b").status == 403
    assert visit(auth="a:b", method="DELETE").status == 403
    assert site.requests[-1].header("X-From") == "api"
    r = i.post("/api/tunnels", {"name": "x", "proto": "http", "addr": "1", "deny_ips": ["10.0.0.0/33"]}, 400)
    assert r["msg"].startswith("deny_ips"), r
    r = i.post("/api/tunnels", {"name": "x", "proto": "http", "addr": "1", "allowips": "::1"}, 400)
    assert "allowips" in r["msg"] and "allow_ips" in r["msg"], r


def test_connections_are_metered(lab):
    """conns of each tunnel as ngrok counts them, tcp ones too."""
    site = lab.site()
    s, port = lab.server(), env.free_port()
    c = lab.client(s, "-subdomain=test", "-proto=http+tcp", site.port, inspect=f"127.0.0.1:{port}", tunnels=2)
    i = Inspector(port)

    def conns(name):
        return i.get("/api/tunnels/" + name)["metrics"]["conns"]

    host = c.host()
    with dial(s.http_port) as one, dial(s.http_port) as two, dial(c.tcp_port()) as tcp:
        for v in (one, two, tcp):
            v.send(request(host, "/"))
            assert v.response().status == 200
        assert (conns("default%20%28http%29")["count"], conns("default%20%28http%29")["gauge"]) == (2, 2)
        assert (conns("default%20%28tcp%29")["count"], conns("default%20%28tcp%29")["gauge"]) == (1, 1)
        assert conns("default%20%28http%29")["p50"] == 0
        time.sleep(0.3)
    eventually(lambda: conns("default%20%28http%29")["gauge"] == 0)
    assert conns("default%20%28http%29")["count"] == 2 and 2.5e8 < conns("default%20%28http%29")["p50"] < 3e10
    s.stop()
    s.expected_status = 0
    lab.again(s)
    eventually(lambda: i.get("/api/status")["status"] == "online")
    assert conns("default%20%28http%29")["count"] == 2


def test_no_session(lab):
    """The words that ngrok's wrappers wait for and try again."""
    _, i = started(lab, lab.site())
    i.server.stop()
    i.server.expected_status = 0
    eventually(lambda: i.get("/api/status")["status"] == "reconnecting")
    e = i.post("/api/tunnels", {"name": "x", "proto": "http", "addr": "1"}, 502)
    assert e["details"]["err"] == "tunnel session not ready yet"


def test_tunnels_come_and_go_for_ever(lab):
    """A script opens one for each of its runs: their number has no end, but what is open at once has."""
    site = lab.site()
    _, i = started(lab, site)
    for n in range(300):
        t = i.post("/api/tunnels", {"name": f"run{n}", "proto": "http", "addr": site.port, "subdomain": "run"}, 201)
        assert t["public_url"].startswith("http://run.")
        if n % 50 == 0:
            host = t["public_url"].split("://")[1]
            with dial(i.server.http_port) as c:
                c.send(request(host, "/"))
                assert c.response().status == 200
                assert i.ask(f"/api/tunnels/run{n}", "DELETE").status == 204
        else:
            assert i.ask(f"/api/tunnels/run{n}", "DELETE").status == 204
    assert [t["name"] for t in i.get("/api/tunnels")["tunnels"]] == ["default"]
    assert [e["tunnel_name"] for e in i.wait_entries(6)] == ["run250", "run200", "run150", "run100", "run50", "run0"]
    assert set(re.findall(r'tunnel="([^"]+)"', i.ask("/metrics").body.decode())) == {"default"}


# -- HAR 1.2 --

def check_har(entry):
    """What the specification says has to be there."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", entry["startedDateTime"])
    t = entry["timings"]
    assert all(t[k] >= 0 for k in ("send", "wait", "receive"))
    assert abs(entry["time"] - sum(v for v in t.values() if v >= 0)) < 0.001
    assert isinstance(entry["cache"], dict)
    req, resp = entry["request"], entry["response"]
    for k in ("method", "url", "httpVersion"):
        assert isinstance(req[k], str) and req[k]
    assert re.match(r"https?://", req["url"])
    for k in ("statusText", "httpVersion", "redirectURL"):
        assert isinstance(resp[k], str)
    for m in (req, resp):
        assert isinstance(m["headersSize"], int) and isinstance(m["bodySize"], int)
        for pair in m["headers"] + m["cookies"] + m.get("queryString", []):
            assert isinstance(pair["name"], str) and isinstance(pair["value"], str)
    assert isinstance(req["queryString"], list) and isinstance(resp["status"], int)
    assert isinstance(resp["content"]["size"], int) and isinstance(resp["content"]["mimeType"], str)
    if "postData" in req:
        assert isinstance(req["postData"]["mimeType"], str) and isinstance(req["postData"]["text"], str)


def test_har(lab):
    text = "grüße " * 100

    def app(r, c):
        if r.target == "/packed":
            return answer(200, gzip.compress(text.encode()), ["Content-Type: text/plain", "Content-Encoding: gzip"])
        if r.target == "/broken":
            return answer(200, b"no gzip", ["Content-Encoding: gzip"])
        if r.target == "/image":
            return answer(200, b"\x89PNG\0", ["Content-Type: image/png", "Set-Cookie: a=b=c; Path=/x; Secure; HttpOnly",
                                              "Set-Cookie: d=; Domain=h.example"])
        if r.target == "/cut":
            return False
        return answer(302, b"", ["Location: /there"], "Found")

    visit, i = started(lab, lab.site(app))
    with dial(i.server.http_port) as c:
        for path in ("/packed", "/broken", "/image"):
            c.send(request(i.public, path, headers=["Cookie: one=1; two = 2 ;; three"]))
            c.response()
    visit("/?a=1&b&&c=d=e&", method="POST", body=b"\xff\xfe", headers=["Content-Type: application/x-raw"])
    with dial(i.server.http_port) as c:
        c.send(request(i.public, "/cut"))
        c.recv_rest()
    i.wait_entries(5, state=None)
    i.wait_entries(1, state="failed")
    log = i.get("/api/requests/http.har")["log"]
    assert log["version"] == "1.2" and log["creator"]["name"] == "pgrok" and log["creator"]["version"]
    for entry in log["entries"]:
        check_har(entry)
    packed, broken, image, post, cut = log["entries"]
    content = packed["response"]["content"]
    assert content["text"] == text and "encoding" not in content
    assert content["size"] == len(text.encode()) == content["compression"] + packed["response"]["bodySize"]
    assert packed["timings"]["connect"] > 0 and broken["timings"]["connect"] == -1
    assert packed["request"]["cookies"] == [{"name": "one", "value": "1"}, {"name": "two", "value": "2"},
                                            {"name": "three", "value": ""}]
    assert broken["response"]["content"]["text"] == "no gzip" and "decoded" in broken["response"]["content"]["comment"]
    assert base64.b64decode(image["response"]["content"]["text"]) == b"\x89PNG\0"
    assert image["response"]["content"]["encoding"] == "base64"
    assert image["response"]["cookies"] == [{"name": "a", "value": "b=c", "path": "/x", "secure": True, "httpOnly": True},
                                            {"name": "d", "value": "", "domain": "h.example"}]
    assert post["request"]["queryString"] == [{"name": "a", "value": "1"}, {"name": "b", "value": ""},
                                              {"name": "c", "value": "d=e"}]
    assert base64.b64decode(post["request"]["postData"]["text"]) == b"\xff\xfe"
    assert (post["response"]["redirectURL"], post["response"]["statusText"]) == ("/there", "Found")
    assert (cut["response"]["status"], cut["response"]["bodySize"]) == (0, -1)


# -- Prometheus --

def test_metrics(lab):
    site = lab.site()
    name = 'a "b" \\c'
    conf = lab.config(json.dumps({"tunnels": {name: {"subdomain": "test", "proto": {"http": site.port}}}}))
    s = lab.server()
    port = env.free_port()
    c = lab.client(s, "start", name, config=conf, inspect=f"127.0.0.1:{port}")
    i = Inspector(port)
    host = c.host()
    parse_metrics(i.ask("/metrics").body.decode())
    for n in range(3):
        get(s.http_port, host, f"/{n}")
    i.wait_entries(3)
    r = i.ask("/metrics")
    assert r.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    m = parse_metrics(r.body.decode())
    assert m["pgrok_http_requests_total"] == [({"tunnel": name, "status": "2xx"}, 3)]
    assert m["pgrok_http_request_seconds_count"] == [({"tunnel": name}, 3)]
    assert m["pgrok_tunnel_up"] == [({"tunnel": name, "url": f"http://{host}"}, 1)]
    assert m["pgrok_up"] == [({}, 1)] and m["pgrok_connections_total"] == [({}, 3)]
    assert m["pgrok_sent_bytes_total"][0][1] > 0


def test_tunnels_by_the_api_alone(lab):
    """start-all with an empty configuration: -inspectpublic is what keeps the client, as its message says."""
    site, s, port = lab.site(), lab.server(), env.free_port()
    lab.client(s, "-inspectpublic", "start-all", inspect=f"127.0.0.1:{port}")
    i = Inspector(port)
    r = i.post("/api/tunnels", {"name": "late", "proto": "http", "addr": str(site.port),
                                "host_header": "svc.local", "x_forwarded": True}, 201)
    assert r["public_url"].startswith("http://")
    assert get(s.http_port, r["public_url"].split("//")[1]).status == 200
    assert site.requests[-1].header("Host") == "svc.local"
