"""
One connection, many hosts: front proxies that pool their connections to the server by address, and
clients that do the same. Each service says its name in its answers, so that a wrong one is seen.
"""

import json
import os
import random
import shutil
import threading
import zlib

import pytest

from lib import backends, env, procs
from lib.env import free_port
from lib.net import dial, dial_tls, eventually, request

pytestmark = pytest.mark.threads

NAMES = ("a", "b", "c")


def needs(program):
    """Where a program is missing its tests are skipped, but not in CI, where it is installed."""
    if shutil.which(program):
        return
    assert not os.environ.get("CI"), f"{program} is not installed"
    pytest.skip(f"without {program}")


class Named:
    """A service that says who it is, what was asked, and what came with it."""

    def __init__(self, lab, name):
        self.name = name
        self.backend = lab.backend(backends.http(self.app))
        self.port = self.backend.port

    def app(self, r, _c):
        return backends.answer(200, said(self.name, r.method, r.target, r.body))


def said(name, method, target, body=b""):
    return f"{name} {method} {target} {zlib.crc32(body)}".encode()


def fleet(lab, workers, engine=None, golike=True):
    """Three tunnels of three clients: visitors share a connection, have their own, and as Go's."""
    s = lab.server(workers=workers, engine=engine)
    a, b, c = (Named(lab, name) for name in NAMES)
    lab.client(s, "-subdomain=a", a.port, tunnels=2)
    lab.client(s, "-subdomain=b", "-mux=false", b.port, tunnels=2)
    if golike:
        go = lab.goclient(s, local=c.port)
        go.url("http", subdomain="c")
        go.url("https", subdomain="c")
    else:
        lab.client(s, "-subdomain=c", c.port, tunnels=2)
    return s


class Script:
    """Requests in a random order, and what is to come back."""

    def __init__(self, seed, n, gone=0.1):
        dice = random.Random(seed)
        self.steps = []
        for i in range(n):
            target = f"/{seed}/{i}"
            if dice.random() < gone:
                self.steps.append(("nope", "GET", target, b"", 404))
                continue
            method = dice.choice(("GET", "GET", "POST"))
            body = dice.randbytes(dice.choice((0, 10, 3000))) if method == "POST" else b""
            self.steps.append((dice.choice(NAMES), method, target, body, 200))

    def bytes_of(self, step):
        name, method, target, body, _ = step
        return request(f"{name}.pgrok.me", target, method, body=body)

    @staticmethod
    def right(step, status, body):
        name, method, target, sent, want = step
        if status != want:
            return False
        return body == said(name, method, target, sent) if want == 200 else b"not found" in body


def talk(open_conn, script, depth=1):
    """Up to `depth` requests under way at once; the number of wrong answers, and the first."""
    wrong = []
    with open_conn() as v:
        for at in range(0, len(script.steps), depth):
            steps = script.steps[at:at + depth]
            v.send(b"".join(map(script.bytes_of, steps)))
            for step in steps:
                r = v.response()
                if not script.right(step, r.status, r.body):
                    wrong.append((step[:3], r.status, r.body[:200]))
    return wrong


def talk_all(open_conn, scripts, depth=1):
    wrong, threads = [], []
    failed = []

    def one(script):
        try:
            wrong.extend(talk(open_conn, script, depth))
        except Exception as e:  # noqa: BLE001 - it fails the test below
            failed.append(repr(e))
    for script in scripts:
        threads.append(threading.Thread(target=one, args=(script,)))
        threads[-1].start()
    for t in threads:
        t.join()
    assert not failed, failed[:3]
    assert not wrong, f"{len(wrong)} wrong answers, the first: {wrong[0]}"


# ---- without a proxy ----

@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_any_order(lab, engine, workers, tls):
    """Both engines: a bufferevent, too, can leave its worker."""
    s = fleet(lab, workers, engine)
    talk_all((lambda: dial_tls(s.https_port)) if tls else (lambda: dial(s.http_port)),
             [Script(seed, 100) for seed in range(4)], depth=3)


@pytest.mark.big
def test_ten_thousand(lab, workers):
    """Half of them by each number of workers, half of them over TLS, up to 5 under way at once."""
    s = fleet(lab, workers, golike=False)
    count = iter(range(100))
    lock = threading.Lock()

    def open_conn():
        with lock:
            tls = next(count) % 2
        return dial_tls(s.https_port) if tls else dial(s.http_port)
    talk_all(open_conn, [Script(seed, env.fewer(625)) for seed in range(8)], depth=5)


def test_large_body_goes_along(lab, workers):
    """More than is ever held, behind a request that waits for the answer before it."""
    s = fleet(lab, workers)
    body = os.urandom(1 << 20)
    with dial(s.http_port) as v:
        sent = lab.thread(v.send, request("a.pgrok.me", "/1") +
                          request("b.pgrok.me", "/2", "POST", body=body) +
                          request("c.pgrok.me", "/3", "POST", body=body))
        assert v.response().body == said("a", "GET", "/1")
        assert v.response().body == said("b", "POST", "/2", body)
        assert v.response().body == said("c", "POST", "/3", body)
        sent.join()


def test_password_of_the_tunnel_it_goes_to(lab, workers):
    """401 and its connection stays; the right password, then the other tunnel, then without one."""
    a, b = Named(lab, "a"), Named(lab, "b")
    s = lab.server(workers=workers)
    lab.client(s, "-subdomain=a", a.port, tunnels=2)
    lab.client(s, "-subdomain=b", "-httpauth=u:p", b.port, tunnels=2)
    for tls in (False, True):
        with (dial_tls(s.https_port) if tls else dial(s.http_port)) as v:
            for host, auth, want in (("a", None, 200), ("b", None, 401), ("b", "u:p", 200),
                                     ("a", None, 200), ("b", "u:x", 401), ("b", "u:p", 200)):
                v.send(request(f"{host}.pgrok.me", "/x", auth=auth))
                r = v.response()
                assert r.status == want, (host, auth, r)
                assert want != 200 or r.body == said(host, "GET", "/x")


def test_connection_made_for_another_tunnel(lab):
    """
    https: who asked for one tunnel by SNI is not let in at another that has a password, even with
    it. Elsewhere SNI is not looked at: most front proxies send none, or always the same.
    """
    a, b = Named(lab, "a"), Named(lab, "b")
    s = lab.server(workers=1)
    lab.client(s, "-subdomain=a", a.port, tunnels=2)
    lab.client(s, "-subdomain=b", "-httpauth=u:p", b.port, tunnels=2)

    def ask(sni, *requests):
        with dial_tls(s.https_port, name=sni) as v:
            out = []
            for host, auth in requests:
                v.send(request(f"{host}.pgrok.me", "/x", auth=auth))
                out.append(v.response().status)
            if out[-1] == 421:
                assert v.recv_rest() == (b"", "eof")
            return out
    assert ask("a.pgrok.me", ("a", None), ("b", "u:p")) == [200, 421]
    assert ask("a.pgrok.me", ("b", "u:p")) == [421]
    assert ask("b.pgrok.me", ("b", "u:p"), ("a", None), ("b", "u:p")) == [200, 200, 200]
    assert ask("proxy.pgrok.me", ("a", None), ("b", "u:p"), ("a", None)) == [200, 200, 200]
    assert [r.target for r in b.backend.requests] == ["/x"] * 3


# ---- behind a proxy ----

class Front:
    """A proxy in front of the server: a port for its http port, and one for its https port."""

    def __init__(self, lab, server):
        self.lab, self.server = lab, server
        self.plain, self.tls = free_port(), free_port()
        self.folder = lab.tmp

    def start(self, *argv):
        p = self.lab.keep(procs.Proc(argv, argv[0], cwd=self.folder))
        p.allow(".*").term_status = lambda: [0, 143, -15]

        def listens():
            assert p.alive(), p.text()
            for port in (self.plain, self.tls):
                dial(port).close()
            return True

        def quietly():
            try:
                return listens()
            except OSError:
                return False
        eventually(quietly, what=f"{argv[0]} listens")
        return self

    def nginx(self):
        """upstream keepalive, the default since 1.29.7; four connections for all hosts."""
        def site(port, scheme, to):
            return (f"upstream {scheme}_up {{ server 127.0.0.1:{to}; keepalive 4; }}\n"
                    f"server {{ listen 127.0.0.1:{port}; location / {{\n"
                    f"proxy_pass {scheme}://{scheme}_up; proxy_http_version 1.1;\n"
                    'proxy_set_header Connection ""; proxy_set_header Host $host; } }\n')
        temp = "".join(f"{k}_temp_path {self.folder}/{k};\n"
                       for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        conf = self.folder / "nginx.conf"
        conf.write_text(f"daemon off; master_process off; pid {self.folder}/nginx.pid;\n"
                        "error_log stderr; events {}\n"
                        f"http {{ access_log off; {temp}\n"
                        f"{site(self.plain, 'http', self.server.http_port)}"
                        f"{site(self.tls, 'https', self.server.https_port)}}}\n")
        return self.start("nginx", "-c", conf)

    def haproxy(self):
        conf = self.folder / "haproxy.cfg"
        conf.write_text(f"""
global
    maxconn 1000
defaults
    mode http
    timeout connect 10s
    timeout client  60s
    timeout server  60s
    http-reuse always
listen plain
    bind 127.0.0.1:{self.plain}
    server pgrokd 127.0.0.1:{self.server.http_port}
listen tls
    bind 127.0.0.1:{self.tls}
    server pgrokd 127.0.0.1:{self.server.https_port} ssl verify none
""")
        return self.start("haproxy", "-db", "-f", conf)

    def caddy(self):
        """With its defaults, as far as they reach the server."""
        conf = self.folder / "Caddyfile"
        conf.write_text(f"""{{
	admin off
	auto_https off
	default_bind 127.0.0.1
}}
http://:{self.plain} {{
	reverse_proxy 127.0.0.1:{self.server.http_port}
}}
http://:{self.tls} {{
	reverse_proxy https://127.0.0.1:{self.server.https_port} {{
		header_up Host {{http.request.hostport}}
		transport http {{
			tls_insecure_skip_verify
		}}
	}}
}}
""")
        return self.start("caddy", "run", "--config", conf, "--adapter", "caddyfile")


@pytest.mark.parametrize("program", ["nginx", "haproxy", "caddy"])
def test_behind(lab, workers, program):
    needs(program)
    front = getattr(Front(lab, fleet(lab, workers)), program)()
    for port in (front.plain, front.tls):
        talk_all(lambda: dial(port), [Script(seed, 100) for seed in range(4)])


NODE = """
const [http, https] = [require('http'), require('https')];
const { plain, tls, steps } = JSON.parse(process.argv[2]);
const names = { http: [http, plain, {}], https: [https, tls, { rejectUnauthorized: false, servername: 'front.pgrok.me' }] };
const agents = { http: new http.Agent({ keepAlive: true, maxSockets: 2 }),
  https: new https.Agent({ keepAlive: true, maxSockets: 2 }) };
const out = [];
function ask(kind, [name, method, path, size], i) {
  const [lib, port, more] = names[kind];
  return new Promise((done) => {
    const r = lib.request({ host: '127.0.0.1', port, method, path, agent: agents[kind],
      headers: { Host: name + '.pgrok.me' }, ...more }, (a) => {
      let body = '';
      a.on('data', (d) => { body += d; });
      a.on('end', () => { out.push([kind, i, a.statusCode, body, r.socket.localPort]); done(); });
    });
    r.on('error', (e) => { out.push([kind, i, 0, String(e), false]); done(); });
    r.end(method === 'POST' ? 'x'.repeat(size) : undefined);
  });
}
(async () => {
  const all = [];
  steps.forEach((s, i) => { for (const kind of ['http', 'https']) all.push(ask(kind, s, i)); });
  await Promise.all(all);
  console.log(JSON.stringify(out));
  process.exit(0);
})();
"""


def test_nodes_agent(lab, workers):
    """Its agent keeps connections by address and port: two each carry all requests."""
    needs("node")
    s = fleet(lab, workers)
    script = Script(7, 150)
    steps = [(n, m, t, len(b)) for n, m, t, b, _ in script.steps]
    path = lab.tmp / "ask.js"
    path.write_text(NODE)
    p = lab.keep(procs.Proc(["node", path, json.dumps({"plain": s.http_port, "tls": s.https_port,
                                                       "steps": steps})], "node"))
    p.expect_exit(0)
    got = json.loads(p.text("out"))
    assert len(got) == 2 * len(steps)
    wrong = []
    for kind, i, status, body, _ in got:
        name, method, target, sent, want = script.steps[i]
        step = (name, method, target, b"x" * len(sent), want)
        if not script.right(step, status, body.encode()):
            wrong.append((kind, step[:3], status, body))
    assert not wrong, f"{len(wrong)} wrong answers, the first: {wrong[0]}"
    assert len({ours for *_, ours in got}) == 4, "each connection stays to its last request"
