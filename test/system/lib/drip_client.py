"""A Drip client made by hand: registers, joins data sessions, serves what the server opens."""

import json
import threading

from . import drip_wire as wire
from .drip_http import LocalHttp, LocalTcp
from .drip_wire import Refused
from .drip_yamux import Session
from .env import WAIT
from .net import Short


def discover(port, host="127.0.0.1", context=None):
    """What the server says of itself: the answer, its body read."""
    with wire.connect(port, host, context) as c:
        c.send((f"GET /_drip/discover HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: Go-http-client/1.1\r\n"
                "Accept-Encoding: gzip\r\n\r\n").encode())
        return c.response()


class DripClient:
    """
    One tunnel. local: port of the service, served as Go does (or better: half_close); on_stream(stream)
    instead gets every stream. data: how many data sessions beside the primary one. transport: tcp, wss,
    or auto, which asks first. register: replaces the payload of the first frame, as an object or bytes.
    yamux: what Session takes besides. Refused, if the server says no.
    """

    def __init__(self, port, local=None, kind="http", name="", token="", data=3, on_stream=None,
                 transport="tcp", allow=(), deny=(), auth=None, register=None, capabilities=True, cut="go",
                 half_close=False, context=None, sni=None, host="127.0.0.1", source=None, yamux=None):
        self.port, self.kind, self.token, self.transport, self.cut = port, kind, token, transport, cut
        self.context, self.sni, self.host, self.source = context, sni, host, source
        self.yamux = {"ping": 2.0, "cut": cut, **(yamux or {})}
        self.on_stream = on_stream or self._local(local, half_close)
        self.lock = threading.Condition()
        self.primary = None
        self.data = []
        self.numbers = 0
        self.closed = threading.Event()
        self.ended = threading.Event()
        self.register = register if register is not None else \
            self._register(name, local, allow, deny, auth, capabilities)
        conn = self._connect()
        try:
            wire.send_frame(conn, wire.REGISTER, self.register, cut)
            self.ack = self._answer(conn, wire.REGISTER_ACK)
        except BaseException:
            wire.drop(conn)
            raise
        self.name, self.url = self.ack["subdomain"], self.ack["url"]
        self.primary = self._session(conn, "primary", on_end=lambda _s: self._over())
        if self.ack.get("supports_data_conn") and self.ack.get("tunnel_id"):
            for _ in range(data):
                self.join()

    def _local(self, port, half_close):
        if self.kind == "tcp":
            return LocalTcp(port, half_close)
        return LocalHttp(port, tls=self.kind == "https")

    def _register(self, name, local, allow, deny, auth, capabilities):
        out = {"token": self.token, "custom_subdomain": name, "tunnel_type": self.kind,
               "local_port": local or 0, "connection_type": "primary"}
        if capabilities:
            out["pool_capabilities"] = {"max_data_conns": 31, "version": 1}
        if allow or deny:
            lists = {"allow_ips": list(allow), "deny_ips": list(deny)}
            out["ip_access"] = {k: v for k, v in lists.items() if v}
        if auth:
            kind, secret = auth
            out["proxy_auth"] = {"enabled": True, "type": kind,
                                 "password" if kind == "password" else "token": secret}
        return out

    def _connect(self):
        how = self.transport
        if how == "auto":
            how = self._discovered()
        conn = wire.connect(self.port, self.host, self.context, self.sni, self.source)
        return wire.upgrade(conn, f"{self.host}:{self.port}", self.token) if how == "wss" else conn

    def _discovered(self):
        try:
            r = discover(self.port, self.host, self.context)
            return "wss" if r.status == 200 and json.loads(r.body).get("preferred") == "wss" else "tcp"
        except (OSError, Short, ValueError):
            return "tcp"

    @staticmethod
    def _answer(conn, wanted):
        got = wire.read_frame(conn)
        if got is None:
            raise Short("closed without an answer")
        kind, obj = got
        if kind == wire.ERROR:
            raise Refused(obj["code"], obj["message"])
        assert kind == wanted, got
        return obj

    def _session(self, conn, name, on_end=None):
        return Session(conn, odd=False, on_stream=self.on_stream, name=name, on_end=on_end, **self.yamux)

    def join(self, **changes):
        """Another data session. changes: keys of its first frame."""
        with self.lock:
            self.numbers += 1
            ask = {"tunnel_id": self.ack.get("tunnel_id", ""), "token": self.token,
                   "connection_id": f"data-{self.numbers}"}
        ask.update(changes)
        conn = self._connect()
        try:
            wire.send_frame(conn, wire.DATA_CONNECT, ask, self.cut)
            ack = self._answer(conn, wire.DATA_CONNECT_ACK)
            if not ack["accepted"]:
                raise Refused(*ack["message"].split(": ", 1))
        except BaseException:
            wire.drop(conn)
            raise
        assert ack["connection_id"] == ask["connection_id"], ack
        s = self._session(conn, ask["connection_id"])
        with self.lock:
            self.data.append(s)
        return s

    @property
    def sessions(self):
        with self.lock:
            return ([self.primary] if self.primary else []) + self.data

    @property
    def served(self):
        """How many streams each session had, the primary one's first."""
        return [s.served for s in self.sessions]

    @property
    def faults(self):
        """What the server did against the rules."""
        return [f"{s.name}: {f}" for s in self.sessions for f in s.faults]

    def host_name(self):
        """What a visitor says as Host."""
        return self.url.split("://")[1].split("/")[0]

    def tcp_port(self):
        return int(self.url.rsplit(":", 1)[1])

    def _over(self):
        self.ended.set()
        self.close()

    def wait_end(self, timeout=None):
        assert self.ended.wait(timeout or WAIT), "the tunnel did not end"
        return self.primary.why

    def close(self):
        """Every connection, as Drip ends: with no word."""
        if self.closed.is_set():
            return
        self.closed.set()
        for s in self.sessions:
            s.close()
