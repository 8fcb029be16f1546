"""
A client and a server made by hand that behave on the wire as the Go programs do: header and body in
two TLS records, every body read with a single read, everything closed at the first EOF.
"""

import json
import os
import queue
import selectors
import socket
import ssl
import struct
import threading

from .env import WAIT
from .net import Aborted, Conn, Short, TlsConn, dial

# How a message, or several, may be cut into TLS records. The first group is what a Go peer can read
# as well; the second only one that collects a body from any pieces.
GO_SAFE = ("go", "one", "hdr-split", "hdr-3-rest")
CUTS = GO_SAFE + ("body-halves", "bytes", "hdr-and-half")


def frame(obj):
    """Header and body of a message (text is taken as it is)."""
    body = obj if isinstance(obj, bytes) else \
        (obj if isinstance(obj, str) else json.dumps(obj, separators=(",", ":"))).encode()
    return struct.pack("<q", len(body)), body


def message(kind, **payload):
    return {"Type": kind, "Payload": payload}


def send_message(conn, obj, cut="go"):
    hdr, body = frame(obj)
    if cut == "go":
        conn.send(hdr).send(body)
    elif cut == "one":
        conn.send(hdr + body)
    elif cut == "hdr-split":
        conn.send(hdr[:3]).send(hdr[3:]).send(body)
    elif cut == "hdr-3-rest":
        conn.send(hdr[:3]).send(hdr[3:] + body)
    elif cut == "body-halves":
        conn.send(hdr).send(body[:len(body) // 2]).send(body[len(body) // 2:])
    elif cut == "hdr-and-half":
        conn.send(hdr + body[:len(body) // 2]).send(body[len(body) // 2:])
    elif cut == "bytes":
        for b in hdr + body:
            conn.send(bytes([b]))
    else:
        raise ValueError(cut)


def send_joined(conn, objs):
    """All in one TLS record."""
    conn.send(b"".join(h + b for h, b in map(frame, objs)))


class SplitBody(Exception):
    """A body did not come with one read: a Go peer would have given up here."""


def read_message(conn):
    """(type, payload), None at a clean end. As Go does: one read for the body."""
    hdr = b""
    while len(hdr) < 8:
        part = conn.read_once(8 - len(hdr))
        if not part:
            return None
        hdr += part
    n = struct.unpack("<q", hdr)[0]
    assert 0 < n <= 1 << 20, f"odd length {n}"
    body = conn.read_once(n)
    if len(body) != n:
        raise SplitBody(f"Expected to read {n} bytes, but only read {len(body)}")
    obj = json.loads(body)
    assert set(obj) == {"Type", "Payload"}, obj
    return obj["Type"], obj["Payload"]


def auth(client_id="", version="2", user="", **more):
    return message("Auth", Version=version, MmVersion="3.0", User=user, Password="", OS="linux",
                   Arch="amd64", ClientId=client_id, **more)


def req_tunnel(protocol="http", subdomain="", hostname="", http_auth="", remote_port=0, req_id=None,
               category="default"):
    return message("ReqTunnel", Category=category, ReqId=req_id or os.urandom(8).hex(),
                   Protocol=protocol, Hostname=hostname, Subdomain=subdomain, HttpAuth=http_auth,
                   RemotePort=remote_port)


def connect(port, host="127.0.0.1", source=None, context=None):
    c = dial(port, host, source)
    try:
        return TlsConn(c.sock, context)
    except BaseException:
        c.close()
        raise


def shown_id(client_id):
    """What the log shows of a ClientId."""
    return client_id[:8] if len(client_id) > 8 else client_id[:len(client_id) // 2] + "*"


class GoClient:
    """
    A client on `port`. local: port of the local service; or on_visit(conn, start_proxy) is called in
    a thread for each visitor. proxies=False: never opens one.
    """

    def __init__(self, port, local=None, on_visit=None, client_id="", user="", cut="go", proxies=True,
                 source=None, context=None, host="127.0.0.1"):
        self.port, self.local, self.on_visit, self.cut = port, local, on_visit, cut
        self.host, self.source, self.context = host, source, context
        self.proxies = proxies
        self.answers = queue.Queue()   # NewTunnel payloads
        self.pongs = queue.Queue()
        self.others = queue.Queue()
        self.asked = 0                 # ReqProxy seen
        self.ended = threading.Event()
        self.fault = None
        self.lock = threading.Condition()
        self.idle = []
        self.all = []
        self.conn = connect(port, host, source, context)
        self.send(auth(client_id, user=user))
        got = read_message(self.conn)
        if got is None:
            raise Short("no AuthResp")
        kind, self.auth_resp = got
        assert kind == "AuthResp", got
        assert not self.auth_resp["Error"], self.auth_resp
        self.client_id = self.auth_resp["ClientId"]
        self.conn.sock.settimeout(None)
        threading.Thread(target=self._control, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def send(self, obj):
        send_message(self.conn, obj, self.cut)

    def _control(self):
        try:
            while True:
                got = read_message(self.conn)
                if got is None:
                    break
                kind, payload = got
                if kind == "ReqProxy":
                    with self.lock:
                        self.asked += 1
                        self.lock.notify_all()
                    if self.proxies:
                        threading.Thread(target=self.proxy, daemon=True).start()
                elif kind == "NewTunnel":
                    self.answers.put(payload)
                elif kind == "Pong":
                    self.pongs.put(payload)
                else:
                    self.others.put(got)
        except Exception as e:  # kept for the test to see  # pylint: disable=broad-except
            self.fault = e
        self.ended.set()
        with self.lock:
            idle, self.idle = self.idle, []
        for c in idle:
            _end(c)

    def proxy(self):
        """One proxy connection, to its end."""
        try:
            c = connect(self.port, self.host, self.source, self.context)
        except (OSError, Aborted):
            return
        with self.lock:
            self.idle.append(c)
            self.all.append(c)
            self.lock.notify_all()
        try:
            send_message(c, message("RegProxy", ClientId=self.client_id), self.cut)
            c.sock.settimeout(None)
            got = read_message(c)
        except (OSError, Aborted, ValueError):
            got = None
        with self.lock:
            if c in self.idle:
                self.idle.remove(c)
        if got is None:
            _end(c)
            return
        kind, start = got
        assert kind == "StartProxy", got
        try:
            if self.on_visit:
                self.on_visit(c, start)
            elif self.local:
                self._join(c)
        except (OSError, Aborted, Short, ValueError):
            pass
        finally:
            c.close()  # with close_notify, as Go does

    def _join(self, c):
        """Go's conn.Join: copies both ways; the first end of either closes both."""
        local = Conn(socket.create_connection(("127.0.0.1", self.local), WAIT))
        local.sock.settimeout(None)
        # A TLS object is not for two threads at once: one thread serves both ways.
        sel = selectors.DefaultSelector()
        sel.register(c.sock, selectors.EVENT_READ, "tunnel")
        sel.register(local.sock, selectors.EVENT_READ, "local")
        try:
            while self._drain(c, local) and not c.raw_eof:
                for key, _ in sel.select():
                    if key.data == "tunnel":
                        c._fill()  # pylint: disable=protected-access
                        continue
                    data = local.sock.recv(1 << 16)
                    if not data:
                        return
                    c.send(data)
        finally:
            local.close()

    @staticmethod
    def _drain(c, local):
        """Hands on what the TLS object holds; False at its end."""
        while True:
            try:
                with c.tls_lock:
                    data = c.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                return True
            except ssl.SSLError:
                return False
            if not data:
                return False
            local.sock.sendall(data)

    def wait_asked(self, n=1):
        with self.lock:
            assert self.lock.wait_for(lambda: self.asked >= n, WAIT), f"no {n} ReqProxy"

    def wait_idle(self, n=1):
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.idle) >= n, WAIT), f"no {n} idle proxies"

    def tunnel(self, protocol="http", answers=None, **kw):
        """Asks; returns the NewTunnel payloads (one a protocol)."""
        self.send(req_tunnel(protocol, **kw))
        return [self.answers.get(timeout=WAIT) for _ in range(answers or len(protocol.split("+")))]

    def url(self, protocol="http", **kw):
        (a,) = self.tunnel(protocol, **kw)
        assert not a["Error"], a
        return a["Url"]

    def ping(self):
        self.send(message("Ping"))
        self.pongs.get(timeout=WAIT)

    def wait_end(self, timeout=None):
        assert self.ended.wait(timeout or WAIT), "the control connection did not end"

    def end_control(self):
        """Its visitors stay."""
        _end(self.conn)

    def close(self):
        with self.lock:
            conns = [self.conn] + self.all
        for c in conns:
            _end(c)


def _end(c):
    """Ends a connection another thread may be reading."""
    _end_socket(c.sock)


def _end_socket(s):
    try:
        s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    try:
        s.close()
    except OSError:
        pass


class GoControl:
    """The server's side of one control connection."""

    def __init__(self, server, conn, auth_payload, client_id):
        self.server, self.conn, self.auth, self.client_id = server, conn, auth_payload, client_id
        self.requests = []
        self.pings = 0
        self.ended = threading.Event()

    def send(self, obj):
        send_message(self.conn, obj, self.server.cut)

    def raw(self, data):
        self.conn.send(data)

    def end(self):
        _end(self.conn)

    def wait_request(self, n=1):
        lock = self.server.lock
        with lock:
            assert lock.wait_for(lambda: len(self.requests) >= n, WAIT), f"no {n} ReqTunnel"
            return self.requests[n - 1]

    def wait_pings(self, n=1, timeout=None):
        lock = self.server.lock
        with lock:
            assert lock.wait_for(lambda: self.pings >= n, timeout or WAIT), f"no {n} Ping"


class GoServer:
    """
    A server for clients. `plan` may replace what it does: auth(server, payload) -> payload of the
    AuthResp or None (say nothing), tunnel(control, payload) -> list of NewTunnel payloads, pong
    (bool). RegProxies are pooled whatever keys they carry.
    """

    def __init__(self, certs, cut="go", domain="pgrok.me", port=0, on_auth=None, on_tunnel=None,
                 pong=True, ask=True, context=None):
        self.cut, self.domain = cut, domain
        self.on_auth, self.on_tunnel, self.pong, self.ask = on_auth, on_tunnel, pong, ask
        self.lock = threading.Condition()
        self.controls = []
        self.proxies = []         # (conn, payload), oldest first
        self.registered = 0
        self.faults = []
        self.accepted = 0
        self.conns = []
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certs.server, certs.server_key)
        self.context = context
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(128)
        self.port = self.listener.getsockname()[1]
        self.addr = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.accepted += 1
                self.conns.append(s)
                self.lock.notify_all()
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        try:
            c = TlsConn(s, self.context, server_side=True)
            c.sock.settimeout(None)
            got = read_message(c)
            if got is None:
                return
            kind, payload = got
            if kind == "Auth":
                self._control(c, payload)
            elif kind == "RegProxy":
                with self.lock:
                    self.proxies.append((c, payload))
                    self.registered += 1
                    self.lock.notify_all()
            else:
                _end(c)
        except (OSError, Aborted, ValueError):
            _end_socket(s)
        except Exception as e:  # pylint: disable=broad-except
            self.faults.append(e)
            _end_socket(s)

    def _control(self, c, payload):
        ctl = GoControl(self, c, payload, payload["ClientId"] or os.urandom(16).hex())
        resp = {"Version": "2", "MmVersion": "3.0", "ClientId": ctl.client_id, "Error": ""}
        if self.on_auth:
            resp = self.on_auth(ctl, resp)
        with self.lock:
            self.controls.append(ctl)
            self.lock.notify_all()
        if resp is None:
            return
        ctl.send(message("AuthResp", **resp))
        if resp["Error"]:
            _end(c)
            return
        if self.ask:
            ctl.send(message("ReqProxy"))
        try:
            while True:
                got = read_message(c)
                if got is None:
                    break
                self._handle(ctl, *got)
        except (OSError, Aborted, ValueError):
            pass
        finally:
            ctl.ended.set()
            _end(c)

    def _handle(self, ctl, kind, payload):
        if kind == "Ping":
            with self.lock:
                ctl.pings += 1
                self.lock.notify_all()
            if self.pong:
                ctl.send(message("Pong"))
        elif kind == "ReqTunnel":
            out = (self.on_tunnel or self.grant)(ctl, payload)
            for p in out:
                ctl.send(p if isinstance(p, (bytes, str)) else message("NewTunnel", **p))
            with self.lock:
                ctl.requests.append(payload)
                self.lock.notify_all()

    def grant(self, _ctl, p):
        """What the Go server answers when all is well."""
        out = []
        for proto in p["Protocol"].split("+"):
            if proto == "tcp":
                url = f"tcp://{self.domain}:{p['RemotePort'] or 31234}"
            else:
                name = p["Hostname"] or f"{p['Subdomain'] or os.urandom(4).hex()}.{self.domain}:18080"
                url = f"{proto}://{name}"
            out.append({"ReqId": p["ReqId"], "Url": url, "Protocol": proto, "Error": ""})
        return out

    def wait_control(self, n=1, timeout=None):
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.controls) >= n, timeout or WAIT), \
                f"no {n} control connections; {self.faults}"
            return self.controls[n - 1]

    def wait_accepted(self, n, timeout=None):
        with self.lock:
            assert self.lock.wait_for(lambda: self.accepted >= n, timeout or WAIT), \
                f"{self.accepted} connections, not {n}"

    def take(self, timeout=None):
        """The oldest pooled proxy connection."""
        with self.lock:
            assert self.lock.wait_for(lambda: self.proxies, timeout or WAIT), \
                f"no proxy connection; {self.faults}"
            return self.proxies.pop(0)

    def visit(self, url, client_addr="127.0.0.1:33216", ctl=None):
        """A visitor joined with a proxy connection; a new one is asked for, as Go does."""
        c, _ = self.take()
        send_message(c, message("StartProxy", Url=url, ClientAddr=client_addr), self.cut)
        (ctl or self.controls[-1]).send(message("ReqProxy"))
        c.sock.settimeout(WAIT)
        return c

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        with self.lock:
            conns = list(self.conns)
        for s in conns:
            _end_socket(s)
