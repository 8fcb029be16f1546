"""Local services behind a tunnel, a thread a connection."""

import asyncio
import base64
import hashlib
import os
import re
import socket
import struct
import threading
import time

from .env import WAIT
from .net import Aborted, Conn, Short, read_chunked


class Backend:
    """Listens on loopback; handler(conn, backend) runs in a thread for each connection."""

    def __init__(self, handler, host="127.0.0.1", port=0, backlog=512, rcvbuf=None):
        self.handler = handler
        self.lock = threading.Condition()
        self.accepted = 0
        self.requests = []
        self.seen = b""      # every byte of every connection, for handlers that note it
        self.conns = []
        self.closed = False
        self.listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if rcvbuf:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.listener.bind((host, port))
        self.listener.listen(backlog)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            c = Conn(s)
            with self.lock:
                if self.closed:
                    s.close()
                    return
                self.accepted += 1
                self.conns.append(c)
                self.lock.notify_all()
            threading.Thread(target=self._run, args=(c,), daemon=True).start()

    def _run(self, c):
        try:
            self.handler(c, self)
        except (Aborted, Short, OSError, ValueError):
            pass
        finally:
            c.close()

    def note(self, data):
        with self.lock:
            self.seen += data
            self.lock.notify_all()

    def note_request(self, r):
        with self.lock:
            self.requests.append(r)
            self.lock.notify_all()

    def _wait(self, check, timeout, what):
        with self.lock:
            assert self.lock.wait_for(check, timeout or WAIT), f"the local service got no {what}"

    def wait_accepted(self, n=1, timeout=None):
        self._wait(lambda: self.accepted >= n, timeout, f"{n} connections")

    def wait_requests(self, n=1, timeout=None):
        self._wait(lambda: len(self.requests) >= n, timeout, f"{n} requests")
        return self.requests

    def wait_seen(self, text, timeout=None):
        self._wait(lambda: text in self.seen, timeout, repr(text))

    def close(self):
        with self.lock:
            self.closed = True
            conns = list(self.conns)
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for c in conns:
            try:
                c.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Request:
    def __init__(self, head):
        self.head = head
        lines = head.split(b"\r\n")
        self.method, self.target, self.version = (lines[0].decode("latin1").split(" ") + ["", ""])[:3]
        self.headers = [(k.decode("latin1").strip(), v.strip().decode("latin1"))
                        for k, _, v in (x.partition(b":") for x in lines[1:] if x)]
        self.body = b""

    def header(self, name, default=None):
        for k, v in self.headers:
            if k.lower() == name.lower():
                return v
        return default


def read_request(c, backend=None):
    """The next request, None at a clean end. `backend` notes every byte."""
    got = b""
    while b"\r\n\r\n" not in got:
        part = c.recv()
        if not part:
            if got:
                raise Short(repr(got[:200]))
            return None
        got = (got + part).lstrip(b"\r\n")  # empty lines in front are nothing
        if backend:
            backend.note(part)
    at = got.index(b"\r\n\r\n") + 4
    c.buf = got[at:] + c.buf
    r = Request(got[:at])
    if (r.header("Transfer-Encoding") or "").lower() == "chunked":
        r.body = read_chunked(Noting(c, backend) if backend else c)
    elif r.header("Content-Length"):
        r.body = (Noting(c, backend) if backend else c).recv_exact(int(r.header("Content-Length")))
    return r


class Noting:
    """A connection whose freshly read bytes the backend notes."""

    def __init__(self, c, backend):
        self.c, self.backend = c, backend

    def recv_exact(self, n):
        held = len(self.c.buf)
        data = self.c.recv_exact(n)
        self.backend.note(data[held:])
        return data

    def recv_until(self, sep):
        before = self.c.buf
        data = self.c.recv_until(sep)
        self.backend.note((data + self.c.buf)[len(before):])
        return data


def answer(status, body, headers=(), reason="OK"):
    lines = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(body)}"] + list(headers)
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def http(app=None, name="site"):
    """
    HTTP/1.1 with keep-alive. app(request, conn) returns the answer's bytes, or None after it has
    answered by itself, or False to end the connection. Default: says who it is and echoes.
    """
    def default(r, _c):
        return answer(200, f"{name} {r.method} {r.target}\n".encode() + r.body,
                      ["Content-Type: text/plain"])

    def handler(c, backend):
        while True:
            r = read_request(c, backend)
            if r is None:
                return
            backend.note_request(r)
            out = (app or default)(r, c)
            if out is False:
                return
            if out is not None:
                c.send(out)
            if (r.header("Connection") or "").lower() == "close":
                return
    return handler


def echo(c, _backend):
    """Raw bytes back; ends its direction when the peer has."""
    while True:
        data = c.recv(1 << 18)
        if not data:
            c.half_close()
            return
        c.send(data)


def sink(c, backend):
    """Reads to the end and answers with what it got: count and digest."""
    h, n = hashlib.sha256(), 0
    while True:
        data = c.recv(1 << 18)
        if not data:
            break
        h.update(data)
        n += len(data)
    c.send(f"{n} {h.hexdigest()}\n".encode())
    c.half_close()


def source(total):
    """
    Sends `total` bytes of the pattern, as soon and as late as they are taken; counts what has gone
    out in backend.sent.
    """
    def handler(c, backend):
        c.settimeout(None)
        for piece in pattern(total):
            c.send(piece)
            with backend.lock:
                backend.sent = getattr(backend, "sent", 0) + len(piece)
        c.half_close()
        while c.recv():
            pass
    return handler


class Gathering:
    """HTTP for thousands at once, on one thread: `n` requests must have come before any is answered."""

    def __init__(self, n):
        self.n, self.asked = n, 0
        self.loop = asyncio.new_event_loop()
        server = self.loop.run_until_complete(self._listen())
        self.port = server.sockets[0].getsockname()[1]
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    async def _listen(self):
        self.all = asyncio.Event()
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=4096)

    async def _serve(self, r, w):
        try:
            head = await r.readuntil(b"\r\n\r\n")
            self.asked += 1
            if self.asked == self.n:
                self.all.set()
            await asyncio.wait_for(self.all.wait(), WAIT)
            w.write(answer(200, head.split(b" ")[1]))
            await w.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            pass
        finally:
            w.close()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)


_BLOCK = os.urandom((1 << 20) + 7)


def pattern_block():
    """A mebibyte (and an odd bit) of noise: shifted, lost or doubled bytes change the digest."""
    return _BLOCK


def pattern(total, piece=1 << 18):
    """Yields `total` bytes in pieces."""
    block = memoryview(pattern_block())
    at = 0
    while total:
        n = min(piece, total, len(block) - at)
        yield block[at:at + n]
        total -= n
        at = (at + n) % len(block)


def pattern_digest(total):
    h = hashlib.sha256()
    for p in pattern(total, 1 << 20):
        h.update(p)
    return h.hexdigest()


def websocket(c, backend):
    """RFC 6455 as far as an echo needs it."""
    r = read_request(c, backend)
    backend.note_request(r)
    key = r.header("Sec-WebSocket-Key")
    accept = base64.b64encode(hashlib.sha1(
        (key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    c.send((f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n").encode())
    while True:
        op, data = ws_read(c)
        if op == 8:
            c.send(ws_frame(data, op=8))
            return
        c.send(ws_frame(data, op))


def ws_frame(data, op=2, mask=False):
    n = len(data)
    bit = 0x80 if mask else 0
    head = bytes([0x80 | op])
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", n)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", n)
    if not mask:
        return head + data
    key = b"\x11\x22\x33\x44"
    return head + key + _xor(data, key)


def _xor(data, key):
    n = len(data)
    full = (key * (n // 4 + 1))[:n]
    return (int.from_bytes(data, "big") ^ int.from_bytes(full, "big")).to_bytes(n, "big")


def ws_read(c):
    b0, b1 = c.recv_exact(2)
    n = b1 & 0x7F
    if n == 126:
        n = struct.unpack(">H", c.recv_exact(2))[0]
    elif n == 127:
        n = struct.unpack(">Q", c.recv_exact(8))[0]
    key = c.recv_exact(4) if b1 & 0x80 else None
    data = c.recv_exact(n)
    return b0 & 0x0F, _xor(data, key) if key else data


class ConnectProxy:
    """An HTTP proxy that knows CONNECT only; credentials "user:password" or None."""

    def __init__(self, credentials=None):
        self.credentials = credentials
        self.heads = []
        self.tunnels = []
        self.backend = Backend(self._serve)
        self.port = self.backend.port
        self.lock = self.backend.lock

    def _serve(self, c, _backend):
        head = c.recv_until(b"\r\n\r\n")
        with self.lock:
            self.heads.append(head)
            self.lock.notify_all()
        m = re.match(rb"CONNECT ([^ ]+):(\d+) HTTP/1\.[01]\r\n", head)
        if not m:
            c.send(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
            return
        if self.credentials is not None:
            want = b"Basic " + base64.b64encode(self.credentials.encode())
            if not re.search(rb"\r\nProxy-Authorization: " + re.escape(want) + rb"\r\n", head, re.I):
                c.send(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
        up = socket.create_connection((m[1].decode(), int(m[2])), WAIT)
        with self.lock:
            self.tunnels.append((c.sock, up))
        c.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        if c.buf:
            up.sendall(c.buf)
        t = threading.Thread(target=_copy, args=(c.sock, up), daemon=True)
        t.start()
        _copy(up, c.sock)
        t.join(WAIT)
        up.close()

    def wait_heads(self, n=1):
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.heads) >= n, WAIT), "the proxy was not asked"
            return list(self.heads)

    def close(self):
        self.backend.close()
        for pair in self.tunnels:
            for s in pair:
                _shut(s)


class SocksProxy:
    """SOCKS5, CONNECT only (RFC 1928, 1929); credentials (user, password) in bytes, or None. asked: (kind, host, port)."""

    def __init__(self, credentials=None):
        self.credentials = credentials
        self.asked = []
        self.methods = []
        self.tunnels = []
        self.backend = Backend(self._serve)
        self.port = self.backend.port
        self.lock = self.backend.lock

    def _log_in(self, c):
        version, n = c.recv_exact(2)
        methods = c.recv_exact(n)
        with self.lock:
            self.methods.append(methods)
        if version != 5 or (self.credentials and 2 not in methods):
            c.send(b"\5\xff")
            return False
        c.send(b"\5\2" if self.credentials else b"\5\0")
        if not self.credentials:
            return True
        c.recv_exact(1)
        got = tuple(c.recv_exact(c.recv_exact(1)[0]) for _ in range(2))
        c.send(b"\1\0" if got == self.credentials else b"\1\1")
        return got == self.credentials

    def _serve(self, c, _backend):
        if not self._log_in(c):
            return
        _, command, _, kind = c.recv_exact(4)
        raw = c.recv_exact({1: 4, 4: 16}.get(kind) or c.recv_exact(1)[0])
        host = raw.decode() if kind == 3 else socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, raw)
        port = int.from_bytes(c.recv_exact(2), "big")
        with self.lock:
            self.asked.append(({1: "v4", 3: "name", 4: "v6"}[kind], host, port))
            self.lock.notify_all()
        assert command == 1
        try:
            up = socket.create_connection((host, port), WAIT)
        except OSError:
            c.send(b"\5\5\0\1\0\0\0\0\0\0")
            return
        with self.lock:
            self.tunnels.append((c.sock, up))
        c.send(b"\5\0\0\3\1x\0\1")  # any kind of address may stand here
        if c.buf:
            up.sendall(c.buf)
        t = threading.Thread(target=_copy, args=(c.sock, up), daemon=True)
        t.start()
        _copy(up, c.sock)
        t.join(WAIT)
        up.close()

    def wait_asked(self, n=1):
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.asked) >= n, WAIT), "the proxy was not asked"
            return list(self.asked)

    def close(self):
        self.backend.close()
        for pair in self.tunnels:
            for s in pair:
                _shut(s)


def _shut(s, how=socket.SHUT_RDWR):
    try:
        s.shutdown(how)
    except OSError:
        pass


def _copy(a, b):
    a.settimeout(None)
    try:
        while True:
            data = a.recv(1 << 16)
            if not data:
                break
            b.sendall(data)
    except OSError:
        pass
    _shut(b, socket.SHUT_WR)


class Relay:
    """
    A wire between a peer and `target`: can delay, cut everything, fall silent, and hand bytes on in
    pieces of `chop`.
    """

    def __init__(self, target, delay=0.0, chop=0):
        self.target, self.delay, self.chop = target, delay, chop
        self.pairs = []
        self.go = threading.Event()
        self.go.set()
        self.backend = Backend(self._serve)
        self.port = self.backend.port

    def _serve(self, c, _backend):
        up = socket.create_connection(("127.0.0.1", self.target), WAIT)
        up.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pairs.append((c.sock, up))
        t = threading.Thread(target=self._pump, args=(c.sock, up), daemon=True)
        t.start()
        self._pump(up, c.sock)
        t.join(WAIT)
        up.close()

    def _pump(self, a, b):
        a.settimeout(None)
        try:
            while True:
                data = a.recv(1 << 16)
                self.go.wait()
                if not data:
                    break
                if self.delay:
                    time.sleep(self.delay)
                if self.chop:
                    for at in range(0, len(data), self.chop):
                        b.sendall(data[at:at + self.chop])
                else:
                    b.sendall(data)
        except OSError:
            pass
        _shut(b, socket.SHUT_WR)

    def drop_all(self):
        """Every connection through it ends, as when a router forgets them."""
        for pair in self.pairs:
            for s in pair:
                _shut(s)
        self.pairs = []

    def freeze(self):
        self.go.clear()

    def thaw(self):
        self.go.set()

    def close(self):
        self.thaw()
        self.backend.close()
        self.drop_all()
