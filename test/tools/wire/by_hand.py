"""Sessions with peers made by hand: what a Go program, or one that breaks the rules, gets from ours."""

import json
import struct
import threading
import time

from lib.env import free_port
from lib.golike import CUTS, GoClient, GoServer, auth, frame, message, req_tunnel, send_joined
from lib.net import eventually

from .ends import Peer
from .ours import PAUSE, ask, pattern, reply
from .play import session


# ---- clients by hand, our server ----

class Hand:
    """Our server, the wire, and clients made by hand."""

    def __init__(self, s, *flags, quick=False, **kw):
        self.s = s
        self.server = s.server(*flags, **kw)
        self.wire = s.wire(self.server.tunnel_port, quick=quick)

    def says(self, label, *said, stays=False, cut="go"):
        """One connection that says this as its first; it closes then, unless it stays."""
        peer = self.s.step(label, self.s.by_hand, self.wire, *said, cut=cut)
        if stays:
            return peer
        return self.s.step("it closes", peer.close)

    def control(self, label="a client connects", client_id="", leaves=False, **kw):
        """
        With a proxy connection, which comes at once and stays, or leaves: how many the server asks for
        depends on how long it had to wait for the first one, and later on how many are there.
        """
        def both():
            peer = self.s.by_hand(self.wire, auth(client_id, **kw))
            eventually(lambda: b"AuthResp" in peer.got(), step=0.001)
            mine = last(peer)["ClientId"]
            return peer, self.s.by_hand(self.wire, message("RegProxy", ClientId=mine))
        peer, proxy = self.s.step(label, both)
        if leaves:
            self.s.step("its proxy connection leaves", proxy.close)
        return peer

    def asks(self, peer, label, protocol="http", cut="go", **kw):
        self.s.step(f"it asks for {label}", peer.say, req_tunnel(protocol, req_id="req", **kw), cut)

    def refused(self, label, request):
        """A visitor whose answer is the server's."""
        v = self.s.visitor(self.server.http_port)
        self.s.step(label, v.send, request)
        self.s.step("the visitor closes", v.close)

    def end(self, *peers):
        for peer in peers:
            self.s.step("a client closes", peer.close)
        self.s.end(self.server)


def messages(data):
    """What a peer has got."""
    out = []
    while len(data) >= 8:
        n = struct.unpack("<q", data[:8])[0]
        out.append(json.loads(data[8:8 + n]))
        data = data[8 + n:]
    return out


def last(peer, kind="AuthResp"):
    return [m["Payload"] for m in messages(peer.got()) if m["Type"] == kind][-1]


def payload(text):
    return ('{"Type":"Auth","Payload":' + text + "}").encode()


@session()
def hand_auth(s):
    """AuthResp: ids that are kept and that are not, features, versions, odd JSON, pieces and joined ones."""
    h = Hand(s)
    for label, said in {
            "as Go": auth(), "with features": auth(Features="ping mux close"),
            "with some features": auth(Features="close news"), "with a token": auth(user="tök&<en>"),
            "with a long token": auth(user="x" * 20000), "id kept": auth("abc"), "id of 64": auth("A" * 64),
            "id of 65": auth("A" * 65), "id with signs": auth("../../<x>&é"), "version 1": auth(version="1"),
            "no version": auth(version=""), "a long version": auth(version="3" * 40),
            "keys in lower case": '{"type":"Auth","payload":{"version":"2"}}',
            "keys in capitals": '{"TYPE":"Auth","PAYLOAD":{"VERSION":"2","extra":[1,{"a":null}]},"More":1}',
            "a key twice": payload('{"Version":"1","Version":"2"}').decode(),
            "escapes": payload('{"Version":"\\u0032","ClientId":"\\u0061b"}').decode()}.items():
        h.says(label, said)
    for cut in CUTS:
        h.says(f"cut: {cut}", auth(cut.replace("-", "")), req_tunnel(subdomain="x", req_id="r<&>"),
               message("Ping"), cut=cut)
    peer = s.step("a client connects", s.by_hand, h.wire)
    s.step("all in one record", send_joined, peer.conn,
           [auth("joined"), req_tunnel("http", subdomain="j", req_id="1"), message("Ping"),
            req_tunnel("https", subdomain="j", req_id="2"), message("Ping")])
    h.end(peer)


def length(n, order="<"):
    return struct.pack(order + "q", n)


def framed(body):
    return b"".join(frame(body))


AUTH = frame(auth())[1]
BAD = {
    "length 0": length(0), "length too short": length(len(AUTH) - 1) + AUTH, "length -1": length(-1),
    "length 2^40": length(1 << 40), "length 64 KiB + 1": length((64 << 10) + 1) + b"{",
    "big-endian": length(len(AUTH), ">") + AUTH, "no JSON": framed(b"hello"), "half JSON": framed(AUTH[:-1]),
    "array": framed(b"[1]"), "null": framed(b"null"), "unknown Type": framed(message("Nope")),
    "no Type": framed({"Payload": {}}), "no Payload": framed({"Type": "Auth"}),
    "Payload null": framed({"Type": "Auth", "Payload": None}),
    "Version a number": framed(payload('{"Version":2}')),
    "Ping": framed(message("Ping")), "ReqTunnel": framed(req_tunnel(req_id="r")),
    "StartProxy": framed(message("StartProxy", Url="http://x", ClientAddr="1.2.3.4:5")),
    "RegProxy with an unknown id": framed(message("RegProxy", ClientId="deadbeef")),
    "RegProxy without id": framed(message("RegProxy", ClientId="")),
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"}


@session()
def hand_first(s):
    """Bad first messages: the server closes and says nothing."""
    h = Hand(s)
    for label, data in BAD.items():
        h.says(label, data)
    h.end()


@session()
def hand_tunnels(s):
    """NewTunnel: every protocol, several at once, random names, a hostname, a port; and the order."""
    h = Hand(s)
    a = h.control()
    for label, protocol, kw in (
            ("http", "http", {"subdomain": "a"}), ("https", "https", {"subdomain": "a"}),
            ("both", "https+http", {"subdomain": "b"}), ("a random name", "http", {}),
            ("one for both", "http+https", {}), ("tcp", "tcp", {}), ("all", "https+tcp+http", {"subdomain": "c"}),
            ("a hostname", "http", {"hostname": "My.Example.COM", "subdomain": "no"}),
            ("a hostname with a port", "http", {"hostname": "example.com:8080"}),
            ("a name with blanks and capitals", "http", {"subdomain": " Sub "}),
            ("a name with dots", "http", {"subdomain": "x.y_z-1"}),
            ("a port", "tcp", {"remote_port": free_port()})):
        h.asks(a, label, protocol, **kw)
    h.end(a)


@session()
def hand_refused(s):
    """NewTunnel with an Error: each text, and what becomes of the connection."""
    h = Hand(s, "-tcpPorts=10000-32767")
    taken = free_port()
    a = h.control()
    h.asks(a, "http", subdomain="dup")
    h.asks(a, "tcp", "tcp", remote_port=taken)
    for label, protocol, kw in (
            ("what it has", "http", {"subdomain": "dup"}), ("no such protocol", "udp", {}),
            ("nothing", "", {}), ("HTTP", "HTTP", {}), ("a long protocol", "x" * 150, {}),
            ("a good and a bad one", "http+udp", {}), ("a bad and a good one", "udp+http", {}),
            ("https free, http taken", "https+http", {"subdomain": "dup"}),
            ("http taken, https free", "http+https", {"subdomain": "dup"}),
            ("a random name and a bad one", "http+https+udp", {}),
            ("a name with a blank", "http", {"subdomain": "a b"}), ("a name with &", "http", {"subdomain": "a&b"}),
            ("a name with ä", "http", {"subdomain": "ä"}), ("a name with a port", "http", {"subdomain": "a:1"}),
            ("a long name", "http", {"subdomain": "a" * 254}),
            ("a long hostname", "http", {"hostname": "a" * 254}),
            ("a hostname with a slash", "http", {"hostname": "a/b"}),
            ("too long credentials", "http", {"subdomain": "z", "http_auth": "u:" + "p" * 1023}),
            ("a port that is taken", "tcp", {"remote_port": taken}),
            ("a port that is not allowed", "tcp", {"remote_port": 40000})):
        h.asks(a, label, protocol, **kw)
    s.step("it pings", a.say, message("Ping"))
    b = h.control("another client connects")
    h.asks(b, "what the first one has", subdomain="dup")
    c = h.control("another client connects", user="token")
    h.asks(c, "nothing good", "udp+http")
    h.end(b, c, a)


@session()
def hand_names(s):
    """Names and ports that are remembered: for the same id, for the same address with the same token."""
    h = Hand(s)
    for label, client_id, kw in (("a client", "one", {}), ("the same again", "one", {}),
                                 ("another one", "two", {}), ("one with a token", "three", {"user": "tok"}),
                                 ("another one with it", "four", {"user": "tok"})):
        a = h.control(label, client_id, **kw)
        h.asks(a, "any name", "http+https")
        h.asks(a, "any name for another tunnel", "http", category="other")
        h.asks(a, "any port", "tcp")
        s.step("it closes", a.close)
    h.end()


@session()
def hand_off(s):
    """A server that listens for http only, with VHOST."""
    h = Hand(s, https=False, extra_env={"VHOST": "vhost.example:9999"})
    a = h.control()
    h.asks(a, "http", subdomain="a")
    h.asks(a, "https", "https", subdomain="a")
    h.asks(a, "both", "http+https", subdomain="b")
    h.asks(a, "a hostname", hostname="h.example")
    h.asks(a, "tcp", "tcp")
    h.end(a)


@session()
def hand_many(s):
    """256 tunnels, and one too many."""
    h = Hand(s)
    a = h.control()
    s.step("it asks for 256", send_joined, a.conn,
           [req_tunnel("http", subdomain=f"n{i}", req_id=str(i)) for i in range(256)])
    h.asks(a, "one more", subdomain="more")
    s.step("it pings", a.say, message("Ping"))
    h.end(a)


@session()
def hand_control(s):
    """What a control connection ignores, and what ends it."""
    h = Hand(s)
    a = h.control(client_id="ignored")
    h.asks(a, "http", subdomain="x")
    for said in (message("Pong"), auth("other"), message("RegProxy", ClientId="x"), message("ReqProxy"),
                 message("StartProxy", Url="x", ClientAddr="y"),
                 message("AuthResp", Version="2", MmVersion="3.0", ClientId="x", Error=""),
                 message("NewTunnel", ReqId="req", Url="http://x", Protocol="http", Error="closed"),
                 {"Type": "Ping", "Payload": None}, {"Type": "ReqTunnel", "Payload": None}):
        s.step(f"it says {said['Type']}" + ("" if said["Payload"] is not None else " null"), a.say, said)
    s.step("it pings", a.say, message("Ping"))
    for label, data in {
            "unknown Type": framed(message("Nope")), "no JSON": framed(b"hello"),
            "no Payload": framed({"Type": "Ping"}), "length -1": length(-1), "length 0": length(0),
            "length 64 KiB + 1": length((64 << 10) + 1),
            "RemotePort 70000": framed(b'{"Type":"ReqTunnel","Payload":{"Protocol":"tcp","RemotePort":70000}}'),
            "RemotePort text": framed(b'{"Type":"ReqTunnel","Payload":{"Protocol":"tcp","RemotePort":"80"}}'),
            "Subdomain a number":
                framed(b'{"Type":"ReqTunnel","Payload":{"Protocol":"http","Subdomain":5}}')}.items():
        b = h.control(client_id="ends")
        h.asks(b, "http", subdomain="y")
        s.step(label, b.send, data)
        s.step("it closes", b.close)
    h.end(a)


def register(h, client_id, label="a proxy connection", **more):
    return h.says(label, message("RegProxy", ClientId=client_id, **more), stays=True)


@session()
def hand_replaced(s):
    """A second connection with the same id: the first one ends, its visitors stay, its name is free."""
    h = Hand(s)
    a = h.control(client_id="same", leaves=True)
    h.asks(a, "http", subdomain="test")
    used, idle = register(h, "same"), register(h, "same")
    v = s.visitor(h.server.http_port)
    s.step("GET", v.send, ask())
    b = h.control("the same client again", "same", leaves=True)
    h.asks(b, "http", subdomain="test")
    s.step("the first visitor is answered", used.send, reply())
    for peer in (used, idle, v):
        s.step("it closes", peer.close)
    again = register(h, "same")
    v = s.visitor(h.server.http_port)
    s.step("GET", v.send, ask())
    s.step("the visitor is answered", again.send, reply())
    for peer in (again, v, a):
        s.step("it closes", peer.close)
    h.end(b)


@session()
def hand_pool(s):
    """Proxy connections that wait: one that leaves, one that speaks, one too many, ids that are not known."""
    h = Hand(s)
    a = h.control(client_id="pool", leaves=True)
    h.asks(a, "http", subdomain="test")
    leaves = register(h, "pool")
    s.step("it leaves", leaves.close)
    speaks = register(h, "pool")
    s.step("it speaks", speaks.send, b"hello")
    s.step("it closes", speaks.close)
    s.step("it closes", register(h, "unknown").close)
    shared = register(h, "pool", "one that asks for mux, which was not agreed", Mux=1)
    s.step("it closes", shared.close)
    many = [register(h, "pool") for _ in range(11)]
    s.step("the client closes", a.close)
    for peer in many:
        s.step("it closes", peer.close)
    h.end()


@session()
def hand_waiting(s):
    """Visitors that wait: served by a late connection, 502 when their client goes, 503 for one too many."""
    h = Hand(s)
    a = h.control(client_id="late", leaves=True)
    h.asks(a, "both", "http+https", subdomain="test")
    v = s.visitor(h.server.http_port)
    s.step("GET", v.send, ask())
    proxy = register(h, "late", "a late proxy connection")
    s.step("it answers", proxy.send, reply())
    for peer in (v, proxy):
        s.step("it closes", peer.close)
    vs = [s.visitor(h.server.http_port), s.visitor(h.server.https_port, tls=True), s.visitor(h.server.http_port)]
    for v, method in zip(vs, ("GET", "GET", "HEAD")):
        s.step(f"the visitor asks ({method})", v.send, ask(method=method))

    def crowd():
        for _ in range(253):
            s.dial_visitor(h.server.http_port, shown=False).send(ask())
    s.step("253 more", crowd)
    for method in ("GET", "HEAD"):
        h.refused(f"one too many ({method})", ask(method=method))
    s.step("the client closes", a.close)
    for v in vs:
        s.step("the visitor closes", v.close)
    h.end()


# Requests that can't be read, as far as they differ in what the server does with them.
BAD_REQUESTS = {
    "both lengths":
        b"POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unequal lengths": b"POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "only LF": b"GET / HTTP/1.1\nHost: H\n\n", "NUL": b"GET / HTTP/1.1\r\nHost: H\r\nX: a\0b\r\n\r\n",
    "two Host": b"GET / HTTP/1.1\r\nHost: H\r\nHost: H\r\n\r\n", "no Host": b"GET / HTTP/1.1\r\nX: y\r\n\r\n",
    "no version": b"GET /\r\nHost: H\r\n\r\n", "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x01" * 40 + b"\r\n\r\n",
    "too long": b"GET / HTTP/1.1\r\nHost: H\r\nX: " + b"y" * 70000 + b"\r\n\r\n"}


@session()
def hand_pages(s):
    """Pages of a server without clients: 400 and 404 over http and https, for HEAD and HTTP/1.0."""
    h = Hand(s)
    for label, request in BAD_REQUESTS.items():
        h.refused(label, request.replace(b": H\r\n", b": test.pgrok.me\r\n"))
    for label, request in (("GET", ask()), ("HEAD", ask(method="HEAD")), ("HTTP/1.0", ask(version="1.0")),
                           ("HTTP/1.0 without Host", b"GET / HTTP/1.0\r\n\r\n"),
                           ("an absolute target", b"GET http://<x>.y/ HTTP/1.1\r\nHost: z\r\n\r\n"),
                           ("CONNECT", b"CONNECT test.pgrok.me:443 HTTP/1.1\r\nHost: test.pgrok.me:443\r\n\r\n")):
        h.refused(label, request)
    for label, request in (("https GET", ask()), ("https nonsense", b"nonsense\r\n\r\n")):
        v = s.visitor(h.server.https_port, tls=True)
        s.step(label, v.send, request)
        s.step("the visitor closes", v.close)
    h.end()


class Go(Hand):
    """The same with a client that does what the Go client does; visitors' connections are ours to use."""

    def __init__(self, s, protocol="http"):
        super().__init__(s, quick=True)
        self.taken, self.arrived = [], threading.Condition()
        self.go = s.step("a Go client connects", GoClient, self.wire.port, on_visit=self._visit)
        s.step("it asks for a tunnel", self.go.send, req_tunnel(protocol, subdomain="test", req_id="req"))

    def _visit(self, conn, _start):
        peer = Peer(self.s, self.s.name_peer("by-hand"), conn, shown=False)
        with self.arrived:
            self.taken.append(peer)
            self.arrived.notify_all()
        peer.done.wait()

    def visit(self, scheme, request, answer, ends):
        """ends: "go" or "visitor", who closes first. Not two in a second, see PAUSE."""
        time.sleep(PAUSE)
        n = len(self.taken)
        ports = {"http": self.server.http_port, "https": self.server.https_port}
        port = ports.get(scheme) or int(last_url(self, "tcp").rsplit(":", 1)[1])
        v = self.s.visitor(port, tls=scheme == "https")
        self.s.step("the visitor asks", v.send, request)
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.taken) > n, 30)
        peer = self.taken[n]
        if answer:
            self.s.step("Go answers", peer.send, answer)
        for x in (peer, v) if ends == "go" else (v, peer):
            self.s.step("Go closes" if x is peer else "the visitor closes", x.close)


def last_url(go, scheme):
    while not go.go.answers.empty():
        a = go.go.answers.get()
        go.urls = getattr(go, "urls", []) + [a["Url"]]
    return next(u for u in go.urls if u.startswith(scheme))


@session()
def go_client_http(s):
    """A Go client and our server: visits over http, each on a connection of its own."""
    g = Go(s)
    g.visit("http", ask(), reply(), "go")
    g.visit("http", ask("/", method="POST", body=b"x" * 5000), reply(b"y" * 5000), "visitor")
    g.visit("http", ask(), None, "go")
    s.step("it pings", g.go.send, message("Ping"))
    time.sleep(PAUSE)
    v = s.visitor(g.server.http_port)
    s.step("the visitor asks in two pieces", v.send, ask()[:20])
    s.step("the rest", v.send, ask()[20:])
    s.step("the visitor has said all", v.half_close)
    s.step("Go answers", g.taken[-1].send, reply())
    s.step("Go closes", g.taken[-1].close)
    s.step("the visitor closes", v.close)
    g.end()


@session()
def go_client_others(s):
    """The same over https and tcp."""
    g = Go(s, "https+tcp")
    g.visit("https", ask(), reply(), "go")
    g.visit("https", ask("/", method="POST", body=b"x" * 5000), reply(b"y" * 5000), "visitor")
    g.visit("tcp", b"hello", b"back", "go")
    g.visit("tcp", b"hello", b"back", "visitor")
    g.end()


# ---- a server by hand, our client ----

class GoSide:
    """A server made by hand that behaves as the Go server does, the wire, a local service, our client."""

    def __init__(self, s, *args, wait=True, cut="go", client=None, **kw):
        self.s = s
        self.service = s.service()
        self.go = GoServer(s.certs, cut=cut, **kw)
        self.wire = s.wire(self.go.port)
        self.client = s.step("the client starts", s.client, self.wire.addr, *args, self.service.port, wait=wait,
                             **(client or {}))

    def visit(self, url):
        """The connection that StartProxy is said on, as a peer."""
        return Peer(self.s, self.s.name_peer("by-hand"), self.go.visit(url), shown=False)

    def start(self, url, label="a visitor"):
        return self.s.step(label, self.visit, url)

    def end(self):
        self.s.end(self.client)


URL = "http://test.pgrok.me:18080"


@session()
def go_server(s):
    """Our client and a Go server: visits, a proxy connection for each; who ends first; three ReqProxy at once."""
    g = GoSide(s, "-subdomain=test", "-proto=http", "-httpauth=u:p", "-authtoken=tok")
    for ends in ("service", "server"):
        v = g.start(URL)
        s.step("GET", v.send, ask())
        s.step("the service answers", g.service.conn().send, reply())
        both = [("the service closes", g.service.conn().close), ("the server closes", v.close)]
        for label, fn in both if ends == "service" else both[::-1]:
            s.step(label, fn)
    v = g.start(URL)
    s.step("a large POST", v.send, ask("/up", method="POST", body=pattern(300 << 10)))
    s.step("a large answer", g.service.conn().send, reply(pattern(1 << 20)))
    s.step("the server closes", v.close)
    s.step("the service closes", g.service.conn().close)
    v = g.start(URL)
    s.step("GET", v.send, ask())
    s.step("the server resets", v.reset)
    s.step("the service closes", g.service.conn().close)
    control = g.go.controls[0]
    for _ in range(3):
        s.step("ReqProxy", control.send, message("ReqProxy"))
    g.end()


@session()
def go_server_tcp(s):
    """The same with a tcp tunnel; then without a local service: tcp ends, http gets the 502 page."""
    g = GoSide(s, "-subdomain=test", "-proto=tcp+http", client={"tunnels": 2})
    v = g.start("tcp://pgrok.me:31234")
    s.step("the service speaks first", g.service.conn().send, b"SSH\r\n")
    s.step("the visitor speaks", v.send, b"hello")
    s.step("the service closes", g.service.conn().close)
    s.step("the server closes", v.close)
    s.step("the service stops", g.service.stop)
    for url, request in (("tcp://pgrok.me:31234", b""), (URL, ask()),
                         (URL, ask(method="POST", body=pattern(1 << 17)))):
        v = g.start(url)
        if request:
            s.step("the visitor asks", v.send, request)
        s.step("the server closes", v.close)
    g.end()


@session()
def go_server_odd(s):
    """A server that says what it should not: on the control connection and on proxy connections."""
    g = GoSide(s, "-subdomain=test", "-proto=http")
    control = g.go.controls[0]
    for said in (message("Ping"), message("Pong"), message("StartProxy", Url="x", ClientAddr="y"),
                 message("AuthResp", Version="2", MmVersion="3.0", ClientId="x", Error=""),
                 message("Auth", Version="2"), {"Type": "Pong", "Payload": None},
                 message("NewTunnel", ReqId="unknown", Url="http://u", Protocol="http", Error="")):
        s.step(f"it says {said['Type']}" + ("" if said["Payload"] is not None else " null"), control.send, said)

    def proxy(*said):
        conn, _ = g.go.take()
        peer = Peer(s, s.name_peer("by-hand"), conn, shown=False)
        for x in said:
            if isinstance(x, bytes):
                peer.send(x)
            else:
                peer.say(x)
        return peer
    for label, said in {
            "StartProxy for an unknown URL": message("StartProxy", Url="http://other", ClientAddr="1.2.3.4:5"),
            "Ping on a proxy connection": message("Ping"), "no JSON": framed(b"hello"),
            "length -1": length(-1)}.items():
        peer = s.step(label, proxy, said)
        s.step("it closes", peer.close)
        s.step("ReqProxy", control.send, message("ReqProxy"))
    peer = s.step("StartProxy and bytes in one record", proxy,
                  framed(message("StartProxy", Url=URL, ClientAddr="1.2.3.4:5")) + ask())
    s.step("the service answers", g.service.conn().send, reply())
    s.step("it closes", peer.close)
    s.step("the service closes", g.service.conn().close)
    for label, data in (("unknown Type", framed(message("Nope"))), ("length -1", length(-1))):
        control = g.go.controls[-1]
        n = len(g.go.controls)
        s.step(label, control.raw, data)
        s.step("the client comes back", until=lambda: len(g.go.controls) > n and g.go.controls[-1].requests)
    g.end()


@session()
def go_server_overtaken(s):
    """A StartProxy that overtakes its NewTunnel waits for it."""
    late = []
    g = GoSide(s, "-subdomain=test", "-proto=http", wait=False, on_tunnel=lambda ctl, p: late.append(p) or [])
    v = g.start(URL, "StartProxy")
    s.step("NewTunnel", g.go.controls[0].send,
           message("NewTunnel", ReqId=late[0]["ReqId"], Url=URL, Protocol="http", Error=""))
    s.step("GET", v.send, ask())
    s.step("the service answers", g.service.conn().send, reply())
    s.step("the service closes", g.service.conn().close)
    s.step("the server closes", v.close)
    g.end()


@session()
def go_server_refuses(s):
    """AuthResp with an Error, NewTunnel with an Error, at once and later: the client ends."""
    def refuse(_ctl, resp):
        return dict(resp, Error="Incompatible versions. Server 9, client 2.")

    def refuse_tunnel(_ctl, _p):
        return [{"ReqId": "", "Url": "", "Protocol": "", "Error": "The tunnel is already registered."}]
    for kw in ({"on_auth": refuse}, {"on_tunnel": refuse_tunnel}):
        GoSide(s, "-subdomain=test", wait=False, ask=False, **kw)
    g = GoSide(s, "-subdomain=test", "-proto=http", ask=False)
    s.step("a late Error", g.go.controls[0].send,
           message("NewTunnel", ReqId="", Url="", Protocol="", Error="No more."))


@session()
def go_server_cuts(s):
    """Messages of the server in all kinds of pieces."""
    for cut in CUTS:
        g = GoSide(s, "-subdomain=test", "-proto=http", cut=cut)
        v = g.start(URL, f"a visitor, cut: {cut}")
        s.step("GET", v.send, ask())
        s.step("the service closes", g.service.conn().close)
        s.step("the server closes", v.close)
        g.end()


@session()
def go_server_mux(s):
    """A server that knows the words and pools every connection: each becomes an ordinary one."""
    g = GoSide(s, "-subdomain=test", "-proto=http", on_auth=lambda _ctl, r: dict(r, Features="mux ping close"))
    for mux in (1, 2):
        conn = next(conn for conn, said in g.go.proxies if said.get("Mux") == mux)
        peer = Peer(s, s.name_peer("by-hand"), conn, shown=False)
        s.step("StartProxy", peer.say, message("StartProxy", Url=URL, ClientAddr="127.0.0.1:33216"))
        s.step("GET", peer.send, ask())
        s.step("the service closes", g.service.conn().close)
        s.step("the server closes", peer.close)
    s.step("the client tries again", until=lambda: len(g.go.proxies) > 2)
    g.end()
