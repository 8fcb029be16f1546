"""
What the hand-made Drip peers write and read: frames, TLS 1.3, and the websocket that may carry both.
Written from the description of the protocol alone, apart from the code that it tests.
"""

import base64
import hashlib
import json
import os
import socket
import ssl
import struct
import threading

from . import backends
from .env import WAIT
from .net import Aborted, Conn, TlsConn, dial

REGISTER, REGISTER_ACK, HEARTBEAT, HEARTBEAT_ACK, CLOSE, ERROR, DATA_CONNECT, DATA_CONNECT_ACK = range(1, 9)
MAX_PAYLOAD = 1 << 20

# How a head and its body may be cut into TLS records: as Go does, in one, byte by byte, through the
# middle of both.
CUTS = ("go", "one", "bytes", "halves")


def send_cut(conn, head, body, cut="go"):
    if cut == "one" or not body:
        pieces = [head + body]
    elif cut == "go":
        pieces = [head, body]
    elif cut == "halves":
        pieces = [head[:2], head[2:] + body[:len(body) // 2], body[len(body) // 2:]]
    else:
        assert cut == "bytes", cut
        pieces = [bytes([b]) for b in head + body]
    for piece in pieces:
        if piece:
            conn.send(piece)


def go_json(obj):
    """As Go's encoder writes it: three characters are escaped."""
    text = json.dumps(obj, separators=(",", ":"), ensure_ascii=False)
    for c in "<>&":
        text = text.replace(c, f"\\u{ord(c):04x}")
    return text.encode()


def frame(kind, payload=b"", length=None):
    """(head, body). payload: bytes as they are, else JSON; length: what the head says of it."""
    body = payload if isinstance(payload, bytes) else go_json(payload)
    return struct.pack(">IB", len(body) if length is None else length, kind), body


def send_frame(conn, kind, payload=b"", cut="go"):
    head, body = frame(kind, payload)
    send_cut(conn, head, body, cut)


def read_frame(conn):
    """(kind, object), None at a clean end before the first byte. An empty payload is b""."""
    first = conn.recv(1)
    if not first:
        return None
    n, kind = struct.unpack(">IB", first + conn.recv_exact(4))
    assert n <= MAX_PAYLOAD, f"a frame of {n} bytes"
    body = conn.recv_exact(n)
    return kind, json.loads(body) if body else b""


def client_context(ca=None):
    """TLS 1.3 and nothing else, as Drip. Without a CA every certificate will do."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.minimum_version = ssl.TLSVersion.TLSv1_3
    if ca:
        ctx.load_verify_locations(ca)
    else:
        ctx.check_hostname = False
        ctx.verify_mode = ssl.CERT_NONE
    return ctx


def server_context(crt, key):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.minimum_version = ssl.TLSVersion.TLSv1_3
    ctx.load_cert_chain(crt, key)
    return ctx


def connect(port, host="127.0.0.1", context=None, name=None, source=None):
    """A TLS connection that several threads may use; name: what is asked for as SNI."""
    c = dial(port, host, source)
    try:
        tls = TlsConn(c.sock, context or client_context(), server_name=name)
        assert tls.tls.version() == "TLSv1.3"
        return tls
    except BaseException:
        c.close()
        raise


def drop(conn):
    """Ends a connection that other threads use; its close_notify goes out unless a writer is stuck."""
    def goodbye():
        try:
            conn.half_close()
        except (OSError, ValueError, Aborted):
            pass
    t = threading.Thread(target=goodbye, daemon=True)
    t.start()
    t.join(0.5)
    try:
        conn.sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Bytes(Conn):
    """A stream of bytes that is no socket, with the calls of Conn. Subclasses bring _recv, _send, half_close."""

    def __init__(self, timeout=None):  # pylint: disable=super-init-not-called
        self.buf = b""
        self.timeout = timeout or WAIT

    def settimeout(self, seconds):
        self.timeout = seconds

    def fileno(self):
        raise OSError("no descriptor")

    def local(self):
        raise OSError("no address")

    def fin(self):
        self.half_close()


class Refused(Exception):
    """The server said no: a code and a message."""

    def __init__(self, code, message):
        super().__init__(f"{code} - {message}")
        self.code, self.message = code, message


class WsConn(Bytes):
    """
    The bytes in the binary messages of a websocket. client: masks what it sends. piece: the largest
    message that it sends (0: as it comes).
    """

    def __init__(self, conn, client, piece=0):
        super().__init__()
        self.conn, self.client, self.piece = conn, client, piece
        self.sock = conn.sock
        self.lock = threading.Lock()
        self.pings = self.pongs = 0
        self.texts = []
        self.close_code = None
        self.closed = False
        self.partial = b""

    def settimeout(self, seconds):
        self.conn.settimeout(seconds)

    def message(self, data, op=2):
        with self.lock:
            self.conn.send(backends.ws_frame(bytes(data), op, mask=self.client))

    def raw(self, data):
        with self.lock:
            self.conn.send(data)

    def ping(self, data=b"?"):
        self.message(data, 9)

    def _send(self, data):
        step = self.piece or max(len(data), 1)
        for at in range(0, len(data), step):
            self.message(data[at:at + step])

    def _recv(self, n):
        while not self.partial:
            op, data = backends.ws_read(self.conn)
            if op in (0, 2):
                self.partial = data
            elif op == 1:
                self.texts.append(data)
            elif op == 9:
                self.pings += 1
                self.message(data, 10)
            elif op == 10:
                self.pongs += 1
            elif op == 8:
                self.close_code = struct.unpack(">H", data[:2])[0] if len(data) >= 2 else None
                self._answer_close()
                return b""
        out, self.partial = self.partial[:n], self.partial[n:]
        return out

    def _answer_close(self):
        try:
            self.half_close()
        except (OSError, Aborted):
            pass

    def half_close(self):
        """Says 1000, once: there is no half of a websocket."""
        if not self.closed:
            self.closed = True
            self.message(struct.pack(">H", 1000), 8)

    def close(self):
        try:
            self.half_close()
        except (OSError, Aborted):
            pass
        self.conn.close()


def accept_key(key):
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    return base64.b64encode(digest).decode()


def upgrade(conn, host, token="", path="/_drip/ws"):
    """The client's side of a websocket; returns what carries the bytes. Fails with the answer's status."""
    key = base64.b64encode(os.urandom(16)).decode()
    auth = f"Authorization: Bearer {token}\r\n" if token else ""
    conn.send((f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Go-http-client/1.1\r\n{auth}"
               f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
               "Upgrade: websocket\r\n\r\n").encode())
    r = conn.response(head_only=True)
    if r.status != 101:
        raise Refused(str(r.status), conn.recv_exact(int(r.header("Content-Length", "0"))).decode())
    assert r.header("Sec-WebSocket-Accept") == accept_key(key), r
    assert r.header("Upgrade").lower() == "websocket" and "upgrade" in r.header("Connection").lower(), r
    assert r.header("Sec-WebSocket-Extensions") is None, r
    return WsConn(conn, client=True)
