"""
HTTP inside Drip's streams, as both Go programs do it: one plaintext request and its answer a stream,
the answer's framing lost, its head in crumbs. Bodies are passed on as they come.
"""

import socket
import threading

from .backends import Request
from .env import WAIT
from .net import Aborted, Conn, Response, Short, TlsConn, insecure_context, read_head

HOP = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
       "transfer-encoding", "proxy-connection"}
PAGE = ("<!DOCTYPE html><html><head><title>502 - Local Service Unavailable</title></head><body>"
        "<h1>502</h1><p>Nothing answers on port {port}.</p></body></html>")


def header(headers, name, default=None):
    return next((v for k, v in headers if k.lower() == name.lower()), default)


def is_websocket(headers):
    return (header(headers, "Upgrade") or "").lower() == "websocket" and \
        "upgrade" in (header(headers, "Connection") or "").lower()


def dropped(headers):
    """Names of fields that end at this hop."""
    named = {w.strip().lower() for k, v in headers if k.lower() == "connection" for w in v.split(",")}
    return HOP | named


def pieces(conn, n):
    """n bytes as they come."""
    while n:
        piece = conn.recv(min(n, 1 << 16))
        if not piece:
            raise Short(f"{n} bytes of a body are missing")
        n -= len(piece)
        yield piece


def chunks(conn):
    """A chunked body as it comes, without its frames."""
    while True:
        size = int(conn.recv_until(b"\r\n").split(b";")[0], 16)
        if size == 0:
            while conn.recv_until(b"\r\n") != b"\r\n":
                pass
            return
        yield from pieces(conn, size)
        assert conn.recv_exact(2) == b"\r\n"


def rest(conn):
    while True:
        piece = conn.recv(1 << 16)
        if not piece:
            return
        yield piece


def body(conn, headers, answer_to=None, status=0):
    """A body's pieces. answer_to: the method, if it is an answer's, which may end with the stream."""
    if answer_to and (answer_to == "HEAD" or status in (204, 304) or status < 200):
        return iter(())
    if (header(headers, "Transfer-Encoding") or "").lower() == "chunked":
        return chunks(conn)
    length = header(headers, "Content-Length")
    if length is not None:
        return pieces(conn, int(length))
    return rest(conn) if answer_to else iter(())


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def copy(a, b):
    """Bytes until a's clean end."""
    for piece in rest(a):
        b.send(piece)


def both_ways(a, b, half_close=False):
    """Copies until one direction ends, which ends both, as in Go; with half_close until both have."""
    over = threading.Event()
    left = [2]

    def one_way(x, y):
        try:
            copy(x, y)
            if half_close:
                y.half_close()
        except (Aborted, Short, OSError, ValueError):
            left[0] = 0
        left[0] -= 1
        if not half_close or left[0] <= 0:
            over.set()

    for pair in ((a, b), (b, a)):
        threading.Thread(target=one_way, args=pair, daemon=True).start()
    while not over.wait(1.0):
        pass


def shut(conn):
    """Ends what another thread may be reading."""
    sock = getattr(conn, "sock", None)
    if sock is not None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
    conn.close()


def no_timeout(conn):
    conn.settimeout(None)
    return conn


class LocalHttp:
    """The client's end of http and https streams, in front of a service on a local port."""

    def __init__(self, port, tls=False, host="127.0.0.1"):
        self.port, self.tls, self.host = port, tls, host
        default = 443 if tls else 80
        self.address = host if port == default else f"{host}:{port}"

    def dial(self):
        c = Conn(socket.create_connection((self.host, self.port), 3.0))
        return TlsConn(c.sock, insecure_context()) if self.tls else c

    def __call__(self, st):
        st.settimeout(WAIT)
        r = Request(read_head(st))
        st.settimeout(None)
        if is_websocket(r.headers):
            self.websocket(st, r)
            return
        try:
            local = self.dial()
        except OSError:
            page = PAGE.format(port=self.port).encode()
            st.send((f"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: {len(page)}\r\n"
                     "Content-Type: text/html; charset=utf-8\r\n\r\n").encode() + page)
            return
        try:
            self.exchange(st, r, local)
        finally:
            shut(local)

    def head(self, r):
        out = [f"{r.method} {r.target} HTTP/1.1", f"Host: {self.address}"]
        drop = dropped(r.headers) | {"host", "accept-encoding", "x-forwarded-host", "x-forwarded-proto"}
        out += [f"{k}: {v}" for k, v in r.headers if k.lower() not in drop]
        if (r.header("Transfer-Encoding") or "").lower() == "chunked":
            out.append("Transfer-Encoding: chunked")
        out += [f"X-Forwarded-Host: {r.header('Host')}", "X-Forwarded-Proto: https"]
        return ("\r\n".join(out) + "\r\n\r\n").encode("latin1")

    def exchange(self, st, r, local):
        local.send(self.head(r))
        threading.Thread(target=self.upload, args=(st, r, local), daemon=True).start()
        no_timeout(local)
        while True:
            a = Response(read_head(local), r.method)
            if a.status >= 200:
                break
        self.send_head(st, a)
        for piece in body(local, a.headers, r.method, a.status):
            st.send(piece)

    @staticmethod
    def upload(st, r, local):
        chunked = (r.header("Transfer-Encoding") or "").lower() == "chunked"
        try:
            for piece in body(st, r.headers):
                local.send(chunk(piece) if chunked else piece)
            if chunked:
                local.send(b"0\r\n\r\n")
        except (Aborted, Short, OSError, ValueError):
            pass  # the visitor has left, or the service has heard enough

    @staticmethod
    def send_head(st, a):
        """In crumbs: that is how Go's writer flushes."""
        st.send(f"{a.version} {a.status} {a.reason}\r\n".encode())
        for k, v in a.headers:
            if k.lower() != "transfer-encoding":
                for crumb in (k, ": ", v, "\r\n"):
                    if crumb:
                        st.send(crumb.encode("latin1"))
        st.send(b"\r\n")

    def websocket(self, st, r):
        try:
            local = self.dial()
        except OSError:
            st.send(b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Type: text/plain\r\n"
                    b"Content-Length: 29\r\n\r\nWebSocket backend unavailable")
            return
        out = [f"{r.method} {r.target} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        out += [f"{k}: {v}" for k, v in r.headers if k.lower() not in ("host", "x-forwarded-host")]
        out.append(f"X-Forwarded-Host: {r.header('Host')}")
        local.send(("\r\n".join(out) + "\r\n\r\n").encode("latin1"))
        both_ways(st, no_timeout(local))
        shut(local)


class LocalTcp:
    """The client's end of tcp streams. half_close: better than Go, whose first end ends both."""

    def __init__(self, port, half_close=False, host="127.0.0.1"):
        self.port, self.half_close, self.host = port, half_close, host

    def __call__(self, st):
        try:
            local = Conn(socket.create_connection((self.host, self.port), 10.0))
        except OSError:
            return
        st.settimeout(None)
        both_ways(st, no_timeout(local), self.half_close)
        shut(local)


# -- the server's end --


def canonical(name):
    return "-".join(w[:1].upper() + w[1:].lower() for w in name.split("-"))


def request_head(r):
    """The request as the Go server writes it into the stream."""
    own = [("Host", r.header("Host", ""))]
    agent = r.header("User-Agent")
    if agent != "":
        own.append(("User-Agent", agent or "Go-http-client/1.1"))
    close = r.version == "HTTP/1.0" or (r.header("Connection") or "").lower() == "close"
    if close:
        own.append(("Connection", "close"))
    for name in ("Content-Length", "Transfer-Encoding", "Trailer"):
        if r.header(name) is not None:
            own.append((name, r.header(name)))
    names = {k.lower() for k, _ in own} | {"user-agent"}
    own += sorted((canonical(k), v) for k, v in r.headers if k.lower() not in names)
    lines = [f"{r.method} {r.target} HTTP/1.1"] + [f"{k}: {v}" for k, v in own]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin1")


def write_body(conn, r, st):
    """The visitor's body into the stream; an answer that comes early ends the interest in it."""
    try:
        if (r.header("Expect") or "").lower() == "100-continue":
            conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if (r.header("Transfer-Encoding") or "").lower() == "chunked":
            for piece in chunks(conn):
                st.send(chunk(piece))
            st.send(b"0\r\n\r\n")
        else:
            for piece in body(conn, r.headers):
                st.send(piece)
        return True
    except (Aborted, Short, OSError, ValueError):
        return False


def relay_answer(st, conn, r, reset=False):
    """
    The answer from the stream to the visitor; whether his connection can go on. reset: ends the
    stream of a visitor who left with RST; Go says FIN.
    """
    try:
        a = Response(read_head(st), r.method)
    except (Short, Aborted, AssertionError, TimeoutError):
        conn.send(plain(502, "Read response failed", close=True))
        return False
    skip = {"connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-connection", "te", "trailer"}
    lines = [f"HTTP/1.1 {a.status} {a.reason}"]
    lines += [f"{k}: {v}" for k, v in a.headers if k.lower() not in skip]
    bodyless = r.method == "HEAD" or a.status in (204, 304)
    counted = header(a.headers, "Content-Length") is not None or bodyless
    keep = r.version == "HTTP/1.1" and (r.header("Connection") or "").lower() != "close"
    if not counted and keep:
        lines.append("Transfer-Encoding: chunked")
    if not keep:
        lines.append("Connection: close")
    try:
        conn.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin1"))
        for piece in body(st, a.headers, r.method, a.status):
            conn.send(piece if counted or not keep else chunk(piece))
        if not counted and keep:
            conn.send(b"0\r\n\r\n")
    except (Short, Aborted, OSError):
        if reset:
            st.reset()
        return False
    return keep


REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
           429: "Too Many Requests", 303: "See Other", 502: "Bad Gateway"}


def answer(status, text, kind="text/plain; charset=utf-8", headers=(), close=False):
    data = text if isinstance(text, bytes) else text.encode()
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", f"Content-Type: {kind}",
             f"Content-Length: {len(data)}"] + list(headers)
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + data


def plain(status, text, headers=(), close=False):
    """An error as Go's http.Error writes it."""
    return answer(status, text + "\n", headers=["X-Content-Type-Options: nosniff", *headers], close=close)
