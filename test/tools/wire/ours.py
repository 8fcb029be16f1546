"""Sessions of our own pair, and what all sessions have in common: HTTP as bytes, visitors and their ends."""

import time

from lib.env import free_port
from lib.inspector import Inspector

from .play import TEST, session


# ---- HTTP as bytes ----

def ask(path="/", *fields, method="GET", host=TEST, body=b"", version="1.1"):
    lines = [f"{method} {path} HTTP/{version}", f"Host: {host}", *fields]
    if body and not any("Transfer-Encoding" in f for f in fields):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin1") + body


def reply(body=b"hello\n", *fields, status="200 OK", length=True):
    lines = [f"HTTP/1.1 {status}", *fields] + ([f"Content-Length: {len(body)}"] if length else [])
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


CHUNKS = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: v\r\n\r\n"
UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
           "Sec-WebSocket-Version: 13")
SWITCH = reply(b"", "Upgrade: websocket", "Connection: Upgrade",
               "Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=", status="101 Switching Protocols",
               length=False)


def pattern(n):
    return bytes(range(256)) * (n // 256)


# ---- who takes part ----

class Pair:
    """Our server, the wire, a local service and our client."""

    def __init__(self, s, *args, server=(), engine=None, wire=None, config=None, tunnels=1, pause=0, **kw):
        self.s, self.pause = s, pause
        self.service = s.service()
        self.server = s.server(*server, engine=engine)
        self.wire = s.wire(self.server.tunnel_port, quick=pause > 0, **(wire or {}))
        if config:
            kw["config"] = s.config(config.replace("PORT", str(self.service.port)))
        else:
            args += (self.service.port,)
        self.client = s.step("the client starts", s.client, self.wire.addr, *args, engine=engine, tunnels=tunnels,
                             **kw)

    def visitor(self, scheme="http"):
        ports = {"http": lambda: self.server.http_port, "https": lambda: self.server.https_port,
                 "tcp": self.client.tcp_port}
        time.sleep(self.pause)
        return self.s.visitor(ports[scheme](), tls=scheme == "https")

    def exchange(self, v, what, request, *answers):
        """A request, which the service's newest connection answers, perhaps in several steps."""
        self.s.step(what, v.send, request)
        for answer in answers:
            self.s.step("the service answers", self.service.conn().send, answer)

    def over(self, v, service=None):
        """The visitor goes, then the service, as a program does that sees the end."""
        self.s.step("the visitor closes", v.close)
        self.s.step("the service closes", (service or self.service.conn()).close)

    def visit(self, scheme="http", host=TEST, label="GET"):
        """One whole visit."""
        v = self.visitor(scheme)
        self.exchange(v, label, ask(host=host), reply())
        self.over(v)

    def polite(self, v):
        """
        The visitor and the service close as soon as they see the end. Who has to linger for them does so
        for 2 s, which a step may take on a busy machine.
        """
        v.polite = self.service.conn().polite = True

    def refused(self, v, label, request):
        """What is answered before it gets to the service."""
        v.polite = True
        self.s.step(label, v.send, request)

    def end(self):
        self.s.end(self.client)
        self.s.end(self.server)


def cut(s, link, what):
    s.step(f"{what} is cut at the server", link.cut_server)
    s.step(f"{what} is cut at the client", link.cut_client)


# ---- what visitors do, however they are carried ----

def requests(p):
    """Everything that a keep-alive connection can carry."""
    v = p.visitor()
    p.exchange(v, "GET", ask("/a?b=c", "X-odd:  Kept ", "Cookie: a=b"), reply(b"first\n", "Set-Cookie: x=y"))
    p.exchange(v, "HEAD", ask(method="HEAD"), reply(b"", "Content-Length: 100", length=False))
    p.exchange(v, "GET, not modified", ask("/304"),
               reply(b"", "Content-Length: 500", status="304 Not Modified", length=False))
    p.exchange(v, "GET, no content", ask("/204"), reply(b"", status="204 No Content", length=False))
    p.exchange(v, "POST", ask("/post", method="POST", body=b"x" * 300), reply(b"y" * 300))
    p.exchange(v, "POST in chunks", ask("/post", "Transfer-Encoding: chunked", method="POST", body=CHUNKS),
               reply(CHUNKS, "Transfer-Encoding: chunked", length=False))
    p.exchange(v, "PUT, expecting 100", ask("/put", "Expect: 100-continue", "Content-Length: 5", method="PUT"),
               reply(b"", status="100 Continue", length=False))
    p.exchange(v, "the body", b"hello", reply(b"thanks"))
    p.exchange(v, "GET, not found", ask("/404"), reply(b"not here", status="404 Not Found"))
    p.exchange(v, "three at once", ask("/1") + ask("/2", method="HEAD") + ask("/3"), reply(b"one"),
               reply(b"", "Content-Length: 9", length=False) + reply(b"three"))
    p.over(v)


def ends(p):
    """Who ends how: the other side must see the same."""
    s = p.s
    v = p.visitor()
    p.exchange(v, "HTTP/1.0 GET", ask(version="1.0"), reply(b"until the end", length=False))
    s.step("the service closes", p.service.conn().close)
    s.step("the visitor closes", v.close)
    v = p.visitor()
    s.step("GET", v.send, ask("/half"))
    s.step("the visitor has said all", v.half_close)
    s.step("the service answers", p.service.conn().send, reply())
    s.step("the service closes", p.service.conn().close)
    s.step("the visitor closes", v.close)
    v = p.visitor()
    p.exchange(v, "GET", ask("/reset"), reply(b"beg", "Content-Length: 100", length=False))
    s.step("the visitor resets", v.reset)
    s.step("the service closes", p.service.conn().close)
    v = p.visitor()
    p.exchange(v, "GET", ask("/reset"), reply(b"beg", "Content-Length: 100", length=False))
    s.step("the service resets", p.service.conn().reset)
    s.step("the visitor closes", v.close)


def upgrade(p, scheme="http"):
    """101, then bytes as they are; and one that is refused."""
    s = p.s
    v = p.visitor(scheme)
    p.exchange(v, "upgrade", ask("/ws", *UPGRADE), SWITCH)
    s.step("the visitor speaks", v.send, b"\x81\x85\x11\x22\x33\x44yGP\x28~")
    p.exchange(v, "and once more", b"GET / HTTP/1.1\r\nHost: other\r\n\r\n", b"\x81\x05hello")
    s.step("the service closes", p.service.conn().close)
    s.step("the visitor closes", v.close)
    v = p.visitor(scheme)
    p.exchange(v, "upgrade, refused", ask("/ws", *UPGRADE), reply(b"no", status="400 Bad Request"))
    p.exchange(v, "GET", ask(), reply())
    p.over(v)


def refusals(p):
    """Later requests on a connection that may not pass."""
    s = p.s
    for label, data in (("GET of another host", ask(host="nope.pgrok.me")), ("nonsense", b"nonsense\r\n\r\n")):
        v = p.visitor()
        p.exchange(v, "GET", ask(), reply())
        p.polite(v)
        s.step(label, v.send, data)
    v = p.visitor()
    p.exchange(v, "GET and one of another host", ask() + ask(host="nope.pgrok.me"))
    p.polite(v)
    s.step("the service answers", p.service.conn().send, reply())


def bulk(p, scheme="http"):
    """More than a window each way."""
    v = p.visitor(scheme)
    p.exchange(v, "a large POST", ask("/up", method="POST", body=pattern(300 << 10)), reply(pattern(2 << 20)))
    p.over(v)


def raw(p):
    """A tcp tunnel: bytes, and every end."""
    s = p.s
    v = p.visitor("tcp")
    p.exchange(v, "the visitor speaks", b"hello\0\xff", b"\r\nhi\r\n")
    s.step("the visitor has said all", v.half_close)
    s.step("the service speaks on", p.service.conn().send, b"more")
    s.step("the service closes", p.service.conn().close)
    s.step("the visitor closes", v.close)
    v = p.visitor("tcp")
    s.step("the service speaks first", p.service.conn().send, b"SSH-2.0-x\r\n")
    s.step("the service has said all", p.service.conn().half_close)
    s.step("the visitor speaks on", v.send, b"SSH-2.0-y\r\n")
    p.over(v)
    v = p.visitor("tcp")
    p.exchange(v, "the visitor speaks", b"a", b"b")
    s.step("the visitor resets", v.reset)
    s.step("the service closes", p.service.conn().close)
    v = p.visitor("tcp")
    p.exchange(v, "the visitor speaks", b"a", b"b")
    s.step("the service resets", p.service.conn().reset)
    s.step("the visitor closes", v.close)


def several(p, scheme="http"):
    """Three visitors at once, answered in another order."""
    vs, services = [], []
    for n in (1, 2, 3):
        vs.append(p.visitor(scheme))
        p.s.step(f"no. {n} asks", vs[-1].send, ask(f"/{n}") if scheme == "http" else b"%d" % n)
        services.append(p.service.conn())
    for n in (3, 1, 2):
        answer = b"to %d" % n
        p.s.step(f"no. {n} is answered", services[n - 1].send, reply(answer) if scheme == "http" else answer)
    for n in (2, 3, 1):
        p.over(vs[n - 1], services[n - 1])


# ---- shared connection ----

HTTP = ("-subdomain=test", "-proto=http")


@session()
def mux_requests(s):
    """Our pair, visitors share a connection (yamux): requests and answers of every kind; TLS."""
    p = Pair(s, *HTTP, wire={"hellos": True})
    requests(p)
    p.end()


@session()
def mux_ends(s):
    """The same: half-close, resets, three visitors at once."""
    p = Pair(s, *HTTP)
    ends(p)
    several(p)
    p.end()


@session()
def mux_upgrade(s):
    """The same: upgrades, later requests that are refused, bulk."""
    p = Pair(s, *HTTP)
    upgrade(p)
    refusals(p)
    bulk(p)
    p.end()


@session()
def mux_https(s):
    """The same over https, asked for together with http: one ReqTunnel, two NewTunnels."""
    p = Pair(s, "-subdomain=test", tunnels=2)
    v = p.visitor("https")
    p.exchange(v, "GET", ask(), reply())
    p.exchange(v, "POST", ask(method="POST", body=b"x" * 1000), reply(b"y" * 1000))
    s.step("the visitor has said all", v.half_close)
    s.step("the service closes", p.service.conn().close)
    s.step("the visitor closes", v.close)
    upgrade(p, "https")
    bulk(p, "https")
    p.visit()
    p.end()


@session()
def mux_tcp(s):
    """The same with a tcp tunnel: bytes, every end, bulk, three at once."""
    p = Pair(s, "-proto=tcp")
    raw(p)
    v = p.visitor("tcp")
    p.exchange(v, "much", pattern(1 << 20), pattern(1 << 20))
    p.over(v)
    several(p, "tcp")
    p.end()


@session()
def mux_auth(s):
    """-httpauth: 401 for no, wrong and oddly spelt credentials, for a later request, for HEAD."""
    p = Pair(s, *HTTP, "-httpauth=u:p")
    good = "Authorization: Basic dTpw"
    for fields in ((), ("Authorization: Basic dTpx",), ("Authorization: basic dTpw",),
                   ("Authorization: Bearer dTpw",)):
        p.refused(p.visitor(), "GET with " + (fields[0] if fields else "nothing"), ask("/", *fields))
    p.refused(p.visitor(), "HEAD with nothing", ask(method="HEAD"))
    v = p.visitor()
    p.exchange(v, "GET", ask("/", good), reply())
    p.polite(v)
    p.exchange(v, "GET and one without", ask("/", good) + ask("/never"), reply())
    v = p.visitor()
    p.exchange(v, "GET", ask("/", good), reply())
    p.polite(v)
    s.step("HEAD without", v.send, ask(method="HEAD"))
    p.end()


DEAD = """
tunnels:
  test:
    proto: {"http": "127.0.0.1:PORT", "https": "127.0.0.1:PORT"}
  raw:
    proto: {"tcp": "127.0.0.1:PORT"}
"""


@session()
def mux_dead(s):
    """The local service is not there: the client's 502, with tcp a reset; then it is there."""
    p = Pair(s, "start-all", config=DEAD, tunnels=3)
    s.step("the service stops", p.service.stop)
    for scheme, request in (("http", ask()), ("http", ask(method="HEAD")), ("https", ask()),
                            ("http", ask(method="POST", body=pattern(100 << 10)))):
        p.refused(p.visitor(scheme), "the visitor asks", request)
    v = p.visitor("tcp")
    s.step("the visitor closes", v.close)
    p.service = s.step("the service is back", s.service, p.service.port)
    p.visit()
    p.end()


CONFIG = """
auth_token: s3cr&<t>é
tunnels:
  Web:
    auth: u:p
    proto: {"http": "127.0.0.1:PORT", "https": "127.0.0.1:PORT"}
  shop.example.org:
    proto: {"http": "127.0.0.1:PORT"}
  plain:
    proto: {"http": "127.0.0.1:PORT"}
    mux: false
  ssh:
    remote_port: 0
    proto: {"tcp": "127.0.0.1:PORT"}
  both:
    hostname: both.example.org
    subdomain: both
    proto: {"https": "127.0.0.1:PORT"}
"""


@session()
def mux_config(s):
    """Tunnels of a file, one with `mux: false`, which gets connections of its own; a token."""
    p = Pair(s, "start-all", config=CONFIG, tunnels=6)
    p.visit(host="shop.example.org")
    for _ in range(2):
        p.visit(host="plain.pgrok.me")
    v = p.visitor("https")
    p.exchange(v, "GET", ask(host="both.example.org"), reply())
    p.over(v)
    vs, services = [], []
    for _ in range(2):
        vs.append(p.visitor())
        p.exchange(vs[-1], "GET, and the visitor stays", ask(host="plain.pgrok.me"), reply())
        services.append(p.service.conn())
    for v, service in zip(vs, services):
        p.over(v, service)
    p.end()


@session()
def mux_random(s):
    """No name: one random name for both protocols, another one for the inspector's tunnel."""
    port = free_port()
    s.ports[port] = "<inspector>"
    p = Pair(s, "-inspectpublic", tunnels=3, inspect=f"127.0.0.1:{port}")
    name = p.client.host("https").split(":")[0]
    p.visit("https", host=name)
    p.end()


@session()
def mux_far(s):
    """A slow line: four sessions, and visitors spread over them."""
    p = Pair(s, "-proto=tcp", wire={"mux_max": 4, "delay": 0.012})
    s.step("it has measured", until=lambda: len(p.wire.of("mux")) >= 4)

    def one_more():
        v = p.visitor("tcp")
        s.step("the visitor speaks", v.send, b"x")
        return v, p.service.conn()
    there = [one_more() for _ in range(6)]
    for x in there[1::2]:
        p.over(*x)
    there[1::2] = [one_more() for _ in range(3)]
    for x in there:
        p.over(*x)
    p.end()


def two_visitors(p):
    """One at rest, one in the middle of an answer; the service's connection of the second."""
    for answer in (reply(), reply(b"beg", "Content-Length: 9", length=False)):
        v = p.visitor()
        p.exchange(v, "GET", ask(), answer)
        p.polite(v)
    return p.service.conn()


@session()
def mux_lost(s):
    """The shared session is lost, then the control connection; each comes back. Then the client is gone."""
    p = Pair(s, *HTTP)
    two_visitors(p)
    cut(s, p.wire.of("mux")[0], "the shared session")
    s.step("it comes back", until=lambda: len(p.wire.of("mux")) >= 2)
    busy = two_visitors(p)
    cut(s, p.wire.of("control")[0], "the control connection")
    s.step("it comes back", until=lambda: len(p.wire.of("mux")) >= 3)
    s.step("the old answer goes on", busy.send, b"ending")
    p.visit()
    s.end(p.client)
    p.refused(p.visitor(), "GET", ask())
    s.end(p.server)


@session()
def mux_server_ends(s):
    """The server ends first, with a visitor that waits for the rest of an answer."""
    p = Pair(s, *HTTP)
    v = p.visitor()
    p.exchange(v, "GET", ask(), reply(b"beg", "Content-Length: 100", length=False))
    s.step("no client may come any more", p.wire.stop)
    s.end(p.server)
    s.step("the visitor closes", v.close)
    s.end(p.client)


@session()
def mux_ordered(s):
    """Tunnels opened and closed at run time, by the inspector's API; one that is refused."""
    port = free_port()
    s.ports[port] = "<inspector>"
    p = Pair(s, *HTTP, inspect=f"127.0.0.1:{port}")
    api = Inspector(port)

    def order(label, name, **more):
        s.step(label, api.ask, "/api/tunnels", "POST",
               {"name": name, "addr": f"127.0.0.1:{p.service.port}", **more})
    order("a tunnel is ordered", "more", proto="http", subdomain="more")
    p.visit(host="more.pgrok.me")
    order("one that is refused", "again", proto="http", subdomain="more")
    order("a tcp tunnel", "raw", proto="tcp")
    s.step("the first is closed", api.ask, "/api/tunnels/more", "DELETE")
    p.refused(p.visitor(), "GET", ask(host="more.pgrok.me"))
    s.step("the second is closed", api.ask, "/api/tunnels/raw", "DELETE")
    p.end()


@session()
def mux_bufferevent(s):
    """The shared connection with the other engine."""
    p = Pair(s, "-subdomain=test", tunnels=2, engine="bufferevent")
    requests(p)
    upgrade(p, "https")
    bulk(p)
    p.end()


# ---- connections that are used again ----

@session()
def reused_http(s):
    """-mux=false at the client: each visitor has a connection of its own, which the next one uses again."""
    p = Pair(s, *HTTP, "-mux=false")
    requests(p)
    several(p)
    p.visit()
    p.end()


@session()
def reused_ends(s):
    """The same: half-close, resets, upgrades, refusals."""
    p = Pair(s, *HTTP, "-mux=false")
    ends(p)
    upgrade(p)
    refusals(p)
    p.end()


@session()
def reused_tcp(s):
    """The same with a tcp tunnel."""
    p = Pair(s, "-proto=tcp", "-mux=false")
    raw(p)
    several(p, "tcp")
    p.end()


@session()
def reused_lost(s):
    """The same: an idle connection is lost, one in use, the control connection."""
    p = Pair(s, *HTTP, "-mux=false")
    p.visit()
    cut(s, p.wire.of("reused")[0], "the idle one")
    v = p.visitor()
    p.exchange(v, "GET", ask(), reply())
    p.polite(v)
    cut(s, p.wire.of("reused")[1], "the used one")
    busy = two_visitors(p)
    cut(s, p.wire.of("control")[0], "the control connection")
    s.step("it comes back", until=lambda: len(p.client.urls()) >= 2)
    s.step("the old answer goes on", busy.send, b"ending")
    p.visit()
    p.end()


@session()
def reused_bufferevent(s):
    """The same with the other engine."""
    p = Pair(s, *HTTP, engine="bufferevent-nomux")
    requests(p)
    ends(p)
    p.end()


# ---- connections that are used once ----

# How many connections the server keeps ready follows from the visitors of a second: never two here.
PAUSE = 1.1


@session()
def once_requests(s):
    """-mux=false at the server: a connection for each visitor, as between Go programs; TLS."""
    p = Pair(s, *HTTP, server=("-mux=false",), pause=PAUSE, wire={"hellos": True})
    requests(p)
    several(p)
    p.end()


@session()
def once_ends(s):
    """The same: half-close, resets, upgrades."""
    p = Pair(s, *HTTP, server=("-mux=false",), pause=PAUSE)
    ends(p)
    upgrade(p)
    p.end()


@session()
def once_tcp(s):
    """The same with a tcp tunnel."""
    p = Pair(s, "-proto=tcp", server=("-mux=false",), pause=PAUSE)
    raw(p)
    p.end()


@session()
def once_bufferevent(s):
    """The same with the other engine, over https."""
    p = Pair(s, "-subdomain=test", server=("-mux=false",), pause=PAUSE, tunnels=2, engine="bufferevent")
    upgrade(p, "https")
    refusals(p)
    p.end()
