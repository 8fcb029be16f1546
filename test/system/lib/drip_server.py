"""
A Drip server made by hand: registers tunnels, serves visitors on the same TLS port, and on ports of
tcp tunnels. It passes answers on as they come, which the Go program does not.
"""

import collections
import hmac
import ipaddress
import json
import os
import random
import re
import secrets
import socket
import string
import threading
import time
import urllib.parse

from . import drip_http as http, drip_wire as wire
from .backends import Request
from .drip_yamux import Session
from .env import WAIT, free_port
from .net import Aborted, Conn, Short, TlsConn, read_head

RESERVED = set("www api admin app mail ftp blog shop status health test dev staging".split())
NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
REGISTER_KEYS = {"token": str, "custom_subdomain": str, "tunnel_type": str, "local_port": int,
                 "connection_type": str, "tunnel_id": str, "pool_capabilities": dict, "ip_access": dict,
                 "proxy_auth": dict}
DATA_KEYS = {"tunnel_id": str, "token": str, "connection_id": str}


def decoded(obj, keys):
    """The fields of a payload, absent ones empty; None if a Go decoder would refuse it."""
    if not isinstance(obj, dict):
        return {} if obj is None else None
    out = {}
    for k, v in obj.items():
        want = keys.get(k.lower())
        if want and v is not None:
            if not isinstance(v, want) or isinstance(v, bool) and want is int:
                return None
            out[k.lower()] = v
    return out


def allowed(rules, address):
    """Deny first; an allow list that is not empty must name the address. Bad entries are skipped."""
    def named(entries):
        nets = []
        for e in entries or ():
            try:
                nets.append(ipaddress.ip_network(e.strip(), strict=False))
            except ValueError:
                pass
        return nets, any(ipaddress.ip_address(address) in n for n in nets)
    _, denied = named(rules.get("deny_ips"))
    nets, hit = named(rules.get("allow_ips"))
    return not denied and (hit or not nets)


class Tunnel:
    """A registration with its sessions."""

    def __init__(self, server, reg, name, port):
        self.server, self.reg, self.name, self.port = server, reg, name, port
        self.kind, self.token = reg.get("tunnel_type"), reg.get("token", "")
        self.id = secrets.token_hex(16)
        self.grouped = "pool_capabilities" in reg and reg.get("connection_type") == "primary"
        self.primary, self.data = None, {}
        self.joined = 0
        self.transports = []      # of every connection, as they came
        self.logins = set()
        self.ended = threading.Event()
        self.listener = None

    @property
    def sessions(self):
        with self.server.lock:
            return ([self.primary] if self.primary else []) + list(self.data.values())

    @property
    def faults(self):
        """What the client did against the rules."""
        return [f"{s.name}: {f}" for s in self.sessions for f in s.faults]

    def wait_data(self, n, timeout=None):
        """n data sessions live."""
        lock = self.server.lock
        with lock:
            assert lock.wait_for(lambda: len(self.data) >= n, timeout or WAIT), f"no {n} data sessions"
            return list(self.data.values())

    def wait_joined(self, n, timeout=None):
        """n data sessions have been, living or not."""
        lock = self.server.lock
        with lock:
            assert lock.wait_for(lambda: self.joined >= n, timeout or WAIT), f"no {n} data sessions"

    def open(self, data=b""):
        """A stream on the session with the fewest; the primary one only if it is alone."""
        for _ in range(3):
            with self.server.lock:
                live = list(self.data.values()) or [self.primary]
            live = sorted((s for s in live if s.usable() and s.load() < 256), key=lambda s: s.load())
            for s in live:
                try:
                    return s.open(data)
                except (BrokenPipeError, Aborted):
                    continue
            time.sleep(0.005)
        raise BrokenPipeError("no session takes a stream")

    def close(self):
        for s in self.sessions:
            s.close()

    def wait_end(self, timeout=None):
        assert self.ended.wait(timeout or WAIT), "the tunnel lives on"


class DripServer:
    """
    token: "" lets everyone in. transports, kinds: what is allowed. on_register(server, fields) may
    return (code, message) to refuse, False to close without a word, a dict to replace the answer, None.
    on_data(server, fields) likewise, with a message to refuse. data=False: no data sessions. cut: how
    frames are cut. yamux: what Session takes besides. reset: a visitor who leaves ends his stream with
    RST; half_close: tcp visitors may end one direction. discover: a status for /_drip/discover, or a delay in seconds.
    """

    def __init__(self, certs=None, domain="drip.test", token="", transports=("tcp", "wss"),
                 kinds=("http", "https", "tcp"), port=0, host="127.0.0.1", tcp_ports=None, on_register=None,
                 on_data=None, data=True, cut="go", yamux=None, reset=False, half_close=False, discover=None,
                 context=None, public_port=None):
        self.domain, self.token, self.transports, self.kinds = domain, token, list(transports), kinds
        self.host, self.tcp_ports = host, tcp_ports
        self.on_register, self.on_data, self.data, self.cut = on_register, on_data, data, cut
        self.yamux = {"ping": 2.0, "ping_limit": 6.0, "cut": cut, **(yamux or {})}
        self.reset, self.half_close, self.discover = reset, half_close, discover
        self.context = context or (wire.server_context(certs.server, certs.server_key) if certs else None)
        self.lock = threading.Condition()
        self.registering = threading.Lock()
        self.tunnels = {}
        self.every = []                    # tunnels ever registered
        self.registers = []                # fields of every Register that came
        self.asked = collections.Counter()  # connections by their kind
        self.conns, self.faults = [], []
        self.closed = False
        self.listener = self._listen(port)
        self.port = self.listener.getsockname()[1]
        self.public_port = public_port or self.port
        self.addr = f"{host}:{self.port}"
        threading.Thread(target=self._accept, args=(self.listener, self._first), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _listen(self, port):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((self.host, port))
        s.listen(256)
        return s

    def _accept(self, listener, serve):
        while True:
            try:
                s, peer = listener.accept()
            except OSError:
                return
            with self.lock:
                if self.closed:
                    s.close()
                    return
                self.conns.append(s)
            threading.Thread(target=self._run, args=(serve, s, peer[0]), daemon=True).start()

    def _run(self, serve, s, peer):
        try:
            serve(s, peer)
        except (Aborted, Short, OSError, ValueError):
            s.close()
        except Exception as e:  # for the test to see  # pylint: disable=broad-except
            self.faults.append(repr(e))
            s.close()

    # -- first bytes --

    def _first(self, s, peer):
        conn = TlsConn(s, self.context, server_side=True) if self.context else Conn(s)
        self._kind(conn, peer)

    def _kind(self, conn, peer, inside=False):
        got = b""
        while len(got) < 4:
            piece = conn.recv()
            if not piece:
                return
            got += piece
        conn.buf = got + conn.buf
        if got[:1].isalpha():
            self.asked["http"] += 1
            self._visitor(conn, peer)
        elif not inside and "tcp" not in self.transports:
            wire.drop(conn)
        else:
            self._frame(conn, "wss" if inside else "tcp")

    def _frame(self, conn, transport):
        try:
            got = wire.read_frame(conn)
        except (ValueError, AssertionError) as e:
            self.faults.append(f"first frame: {e}")
            got = None
        if got and got[0] == wire.REGISTER:
            self._register(conn, got[1], transport)
        elif got and got[0] == wire.DATA_CONNECT:
            self._join(conn, got[1], transport)
        else:
            wire.drop(conn)

    def _send(self, conn, kind, obj):
        wire.send_frame(conn, kind, obj, self.cut)

    # -- registering --

    def _register(self, conn, obj, transport):
        reg = decoded(obj, REGISTER_KEYS)
        with self.lock:
            self.asked["register"] += 1
            self.registers.append(reg)
            self.lock.notify_all()
        said = self.on_register(self, reg) if reg is not None and self.on_register else None
        if reg is None or said is False:
            wire.drop(conn)
            return
        tunnel, error = (None, said) if isinstance(said, tuple) else self._claim(reg)
        if error:
            self._send(conn, wire.ERROR, dict(zip(("code", "message"), error)))
            wire.drop(conn)
            return
        # In the order in which clients hear of them.
        with self.registering:
            self._send(conn, wire.REGISTER_ACK, said or self._ack(tunnel))
            self._begin(tunnel, conn, transport)

    def _begin(self, tunnel, conn, transport):
        tunnel.transports.append(transport)
        if tunnel.listener:
            threading.Thread(target=self._accept, daemon=True,
                             args=(tunnel.listener, lambda s, peer: self._tcp_visitor(tunnel, s, peer))).start()
        with self.lock:
            tunnel.primary = self._session(conn, "primary", tunnel.grouped, lambda _s: self._unregister(tunnel))
            self.every.append(tunnel)
            self.lock.notify_all()

    def _session(self, conn, name, grouped, on_end):
        args = {**self.yamux, **({} if grouped else {"ping": None})}
        return Session(conn, odd=True, name=name, on_end=on_end, **args)

    def _ack(self, t):
        out = {"subdomain": t.name}
        if t.kind == "tcp":
            out.update(port=t.port, url=f"tcp://{self.domain}:{t.port}")
        else:
            port = "" if self.public_port == 443 else f":{self.public_port}"
            out["url"] = f"https://{t.name}.{self.domain}{port}"
        out["message"] = "Tunnel registered successfully"
        if t.grouped and self.data:
            out.update(tunnel_id=t.id, supports_data_conn=True, recommended_conns=4)
        return out

    def _claim(self, reg):
        """(tunnel, None) or (None, (code, message)); the order of the checks is the program's."""
        kind, name = reg.get("tunnel_type", ""), reg.get("custom_subdomain", "")
        if kind not in self.kinds:
            return None, ("tunnel_type_not_allowed", f"Tunnel type '{kind}' is not allowed on this server")
        if self.token and reg.get("token") != self.token:
            return None, ("authentication_failed", "Invalid authentication token")
        port, listener = None, None
        if kind == "tcp":
            m = re.fullmatch(r"tcp-(\d{1,5})", name)
            wanted = int(m[1]) if m else None
            try:
                listener = self._listen(wanted if wanted is not None else free_port())
            except OSError:
                return None, ("registration_failed",
                              f"failed to allocate requested port {wanted}: requested port {wanted} already in use")
            port = listener.getsockname()[1]
            name = name or f"tcp-{port}"
        why = None
        with self.lock:
            if name and not NAME.fullmatch(name):
                why = "invalid subdomain format"
            elif name in RESERVED:
                why = "subdomain is reserved"
            elif name in self.tunnels:
                why = "subdomain is already taken"
            else:
                name = name or "".join(random.choices(string.ascii_lowercase + string.digits, k=6))
                t = Tunnel(self, reg, name, port)
                t.listener = listener
                self.tunnels[name] = t
        if why:
            if listener:
                listener.close()
            return None, ("registration_failed", f"tunnel registration failed: {why}")
        return t, None

    def _unregister(self, t):
        with self.lock:
            if self.tunnels.get(t.name) is t:
                del self.tunnels[t.name]
            data = list(t.data.values())
            self.lock.notify_all()
        if t.listener:
            _close_listener(t.listener)
        for s in data:
            s.close("the primary session has ended")
        t.ended.set()

    def _join(self, conn, obj, transport):
        ask = decoded(obj, DATA_KEYS)
        self.asked["data"] += 1
        t, why = self._joins(ask)
        said = self.on_data(self, ask) if self.on_data else None
        if said is False:
            wire.drop(conn)
            return
        why = said or why
        if why:
            self._send(conn, wire.DATA_CONNECT_ACK, {"accepted": False, "connection_id": "", "message": why})
            wire.drop(conn)
            return
        name = ask["connection_id"]
        self._send(conn, wire.DATA_CONNECT_ACK,
                   {"accepted": True, "connection_id": name, "message": "Data connection accepted"})
        t.transports.append(transport)
        with self.lock:
            t.data[name] = self._session(conn, name, True, lambda s: self._data_over(t, s))
            t.joined += 1
            self.lock.notify_all()

    def _joins(self, ask):
        if ask is None:
            return None, "invalid_request: Failed to parse data connect request"
        if not self.data:
            return None, "not_supported: Multi-connection not supported"
        if self.token and ask.get("token") != self.token:
            return None, "authentication_failed: Invalid authentication token"
        with self.lock:
            t = next((x for x in self.tunnels.values() if x.id == ask.get("tunnel_id")), None)
        if not t or (t.token and t.token != ask.get("token")):
            return None, "join_failed: Tunnel not found"
        return t, None

    def _data_over(self, t, s):
        with self.lock:
            if t.data.get(s.name) is s:
                del t.data[s.name]
            self.lock.notify_all()

    # -- visitors --

    def _tcp_visitor(self, t, s, peer):
        if not allowed(t.reg.get("ip_access") or {}, peer):
            s.close()
            return
        conn = http.no_timeout(Conn(s))
        st = t.open()
        st.settimeout(None)
        http.both_ways(conn, st, self.half_close)
        st.close()
        http.shut(conn)

    def _visitor(self, conn, peer):
        while True:
            try:
                r = Request(read_head(conn))
            except (Short, TimeoutError):
                break
            more = self._request(conn, r, peer)
            if more is None:
                return
            if not more:
                break
        wire.drop(conn)

    def _request(self, conn, r, peer):
        """One request; whether another may follow, None if the connection is another's now."""
        path = r.target.partition("?")[0]
        if path == "/_drip/discover":
            return self._discover(conn)
        if path == "/_drip/ws":
            return self._websocket(conn, r, peer)
        name, _, domain = r.header("Host", "").split(":")[0].partition(".")
        with self.lock:
            t = self.tunnels.get(name)
        if domain != self.domain or not t:
            conn.send(http.answer(404, "<title>Tunnel Not Found</title>", "text/html", close=True))
            return False
        refusal = self._refusal(t, r, peer, path, conn)
        if refusal:
            conn.send(refusal)
            return False
        if t.kind == "tcp":
            conn.send(http.plain(502, "Tunnel does not accept HTTP traffic", close=True))
            return False
        return self._proxy(conn, r, t)

    def _discover(self, conn):
        self.asked["discover"] += 1
        if isinstance(self.discover, float):
            time.sleep(self.discover)
        elif self.discover:
            conn.send(http.plain(self.discover, "404 page not found", close=True))
            return False
        only = self.transports[0] if len(self.transports) == 1 else "tcp"
        text = json.dumps({"preferred": only, "transports": self.transports, "tunnel_types": list(self.kinds),
                           "version": "1"}, separators=(",", ":"))
        conn.send(http.answer(200, text, "application/json", ["Cache-Control: no-cache"], close=True))
        return False

    def _websocket(self, conn, r, peer):
        if "wss" not in self.transports:
            conn.send(http.plain(403, "WebSocket transport not allowed on this server", close=True))
            return False
        if not http.is_websocket(r.headers):
            conn.send(http.plain(400, "Bad Request", close=True))
            return False
        conn.send(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   f"Sec-WebSocket-Accept: {wire.accept_key(r.header('Sec-WebSocket-Key'))}\r\n\r\n").encode())
        self.asked["ws"] += 1
        self._kind(wire.WsConn(conn, client=False), peer, inside=True)
        return None

    def _refusal(self, t, r, peer, path, conn):
        first = (r.header("X-Forwarded-For") or "").split(",")[0].strip()
        address = first or peer  # every test's peer is on loopback, which may speak of others
        try:
            if not allowed(t.reg.get("ip_access") or {}, address):
                return http.plain(403, "Access denied: your IP is not allowed", close=True)
        except ValueError:
            return http.plain(403, "Access denied: your IP is not allowed", close=True)
        auth = t.reg.get("proxy_auth") or {}
        if not auth.get("enabled"):
            return None
        if auth.get("type", "bearer").lower() == "bearer":
            given = r.header("Authorization") or ""
            if hmac.compare_digest(given.encode(), ("Bearer " + auth.get("token", "")).encode()):
                return None
            return http.plain(401, "Unauthorized: provide bearer token via Authorization header",
                              ['WWW-Authenticate: Bearer realm="drip"', "Cache-Control: no-store"], close=True)
        return self._password(t, auth.get("password", ""), r, path, conn)

    def _password(self, t, password, r, path, conn):
        cookie = re.search(rf"drip_auth_{t.name}=(\w+)", r.header("Cookie") or "")
        if cookie and cookie[1] in t.logins:
            return None
        error = ""
        if path == "/_drip/login" and r.method == "POST":
            form = b"".join(http.body(conn, r.headers)).decode()
            if urllib.parse.parse_qs(form).get("password") == [password]:
                login = os.urandom(32).hex()
                t.logins.add(login)
                return http.answer(303, "", headers=[
                    "Location: /", f"Set-Cookie: drip_auth_{t.name}={login}; Path=/; Max-Age=86400; HttpOnly; "
                    "Secure; SameSite=Lax"], close=True)
            error = '<p class="error">Invalid password</p>'
        page = f'{error}<form method="post" action="/_drip/login"><input name="password"><input name="redirect"></form>'
        return http.answer(401, page, "text/html", ["Cache-Control: no-store, no-cache, must-revalidate"], close=True)

    def _proxy(self, conn, r, t):
        try:
            st = t.open(http.request_head(r))
        except (BrokenPipeError, Aborted):
            conn.send(http.plain(502, "Tunnel unavailable", close=True))
            return False
        st.settimeout(None)
        if http.is_websocket(r.headers):
            http.both_ways(http.no_timeout(conn), st)
            st.close()
            return False
        done = []
        writer = threading.Thread(target=lambda: done.append(http.write_body(conn, r, st)), daemon=True)
        writer.start()
        keep = http.relay_answer(st, conn, r, self.reset)
        st.close()
        if keep:
            writer.join(1.0)
        return keep and done == [True]

    # -- for tests --

    def wait_tunnel(self, n=1, timeout=None):
        """The n-th registration."""
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.every) >= n, timeout or WAIT), \
                f"{len(self.every)} tunnels were registered, not {n}; {self.faults}"
            return self.every[n - 1]

    def wait_registers(self, n=1, timeout=None):
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.registers) >= n, timeout or WAIT), \
                f"{len(self.registers)} tries, not {n}"
            return self.registers

    def visit(self, name, timeout=None):
        """A visitor of NAME.domain: (connection, Host)."""
        host = f"{name}.{self.domain}"
        c = wire.connect(self.port, self.host, name=host)
        c.settimeout(timeout or WAIT)
        return c, f"{host}:{self.public_port}"

    def drop_all(self):
        """Every connection, as when the program is killed."""
        with self.lock:
            conns, self.conns = self.conns, []
        for s in conns:
            _shut(s)

    def close(self):
        with self.lock:
            self.closed = True
            tunnels = list(self.tunnels.values())
        _close_listener(self.listener)
        for t in tunnels:
            if t.listener:
                _close_listener(t.listener)
        self.drop_all()


def _shut(s):
    try:
        s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _close_listener(s):
    _shut(s)
    s.close()
