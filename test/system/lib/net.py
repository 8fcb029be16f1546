"""Sockets for tests: plain and TLS with the same calls, where every kind of end can be told apart."""

import re
import socket
import ssl
import struct
import threading
import time

from .env import WAIT


class Aborted(Exception):
    """The connection ended otherwise than by a clean FIN (plain) or close_notify (TLS)."""


class Short(Exception):
    """The peer ended cleanly, but before all that was expected had come."""


class Conn:
    """A plain TCP connection with a read buffer."""

    def __init__(self, sock, timeout=None):
        self.sock = sock
        self.buf = b""
        self.sock.settimeout(timeout or WAIT)
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # -- what the kinds differ in --

    def _recv(self, n):
        return self.sock.recv(n)

    def _send(self, data):
        self.sock.sendall(data)

    def half_close(self):
        """Ends this direction; reading goes on."""
        self.sock.shutdown(socket.SHUT_WR)

    # -- common --

    def settimeout(self, seconds):
        self.sock.settimeout(seconds)

    def send(self, data):
        try:
            self._send(data)
        except (ConnectionError, ssl.SSLError) as e:
            raise Aborted(str(e)) from e
        return self

    def recv(self, n=65536):
        """Some bytes; b"" = the peer ended cleanly."""
        if self.buf:
            out, self.buf = self.buf[:n], self.buf[n:]
            return out
        try:
            return self._recv(n)
        except (ConnectionError, ssl.SSLError) as e:
            raise Aborted(str(e)) from e

    def recv_exact(self, n):
        parts = []
        while n:
            part = self.recv(min(n, 1 << 20))
            if not part:
                raise Short(f"ended with {n} bytes missing, got {b''.join(parts)[:300]!r}")
            parts.append(part)
            n -= len(part)
        return b"".join(parts)

    def recv_until(self, sep, limit=1 << 20):
        """Everything up to and with `sep`."""
        got = b""
        while sep not in got:
            part = self.recv()
            if not part:
                raise Short(f"ended before {sep!r}: {got[:300]!r}")
            got += part
            assert len(got) < limit, f"no {sep!r} in {limit} bytes"
        at = got.index(sep) + len(sep)
        self.buf = got[at:] + self.buf
        return got[:at]

    def recv_all(self):
        """Everything until the peer's clean end."""
        parts = []
        while True:
            part = self.recv()
            if not part:
                return b"".join(parts)
            parts.append(part)

    def recv_rest(self):
        """(bytes, how): how is "eof" or "abort"."""
        parts = []
        while True:
            try:
                part = self.recv()
            except Aborted:
                return b"".join(parts), "abort"
            if not part:
                return b"".join(parts), "eof"
            parts.append(part)

    def nothing_for(self, seconds):
        """Asserts that neither bytes nor an end come for a while."""
        assert not self.buf, self.buf
        self.settimeout(seconds)
        try:
            got = self._recv(65536)
        except (socket.timeout, TimeoutError):
            return
        finally:
            self.settimeout(WAIT)
        raise AssertionError(f"unexpected: {got[:300]!r}")

    def response(self, head_only=False, method="GET"):
        return read_response(self, head_only=head_only, method=method)

    def fileno(self):
        return self.sock.fileno()

    def local(self):
        host, port = self.sock.getsockname()[:2]
        return f"{host}:{port}"

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass

    def reset(self):
        """Closes with a RST."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.sock.close()

    def fin(self):
        """A bare FIN: on TLS that is no clean end."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def insecure_context():
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    return ctx


class TlsConn(Conn):
    """
    TLS over memory buffers: half-close, bare FIN and truncated records can be produced and seen,
    and one recv() is one SSL_read, which returns bytes of one record at most.
    """

    def __init__(self, sock, context=None, server_side=False, server_name=None, timeout=None,
                 handshake=True):
        super().__init__(sock, timeout)
        self.inb, self.outb = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.raw_eof = False
        self.tls_lock, self.send_lock = threading.Lock(), threading.Lock()
        self.tls = (context or insecure_context()).wrap_bio(
            self.inb, self.outb, server_side=server_side, server_hostname=server_name)
        if handshake:
            self.handshake()

    def _flush(self):
        # What another thread is just about to send is no affair of ours: a reader must not wait for it.
        with self.tls_lock:
            if not self.outb.pending:
                return
        with self.send_lock:
            with self.tls_lock:
                data = self.outb.read()
            self.sock.sendall(data)

    def _fill(self):
        data = self.sock.recv(1 << 18)
        with self.tls_lock:
            if data:
                self.inb.write(data)
            else:
                self.raw_eof = True
                self.inb.write_eof()

    def handshake(self):
        while True:
            try:
                self.tls.do_handshake()
                self._flush()
                return
            except ssl.SSLWantReadError:
                self._flush()
                if self.raw_eof:
                    raise Aborted("EOF in the handshake") from None
                try:
                    self._fill()
                except ConnectionError as e:
                    raise Aborted(str(e)) from e
            except ssl.SSLError as e:
                try:
                    self._flush()
                except OSError:
                    pass
                raise Aborted(str(e)) from e

    def read_once(self, n):
        """What a single SSL_read returns (Go reads a message body like this)."""
        assert not self.buf
        return self._recv(n)

    def _recv(self, n):
        while True:
            try:
                with self.tls_lock:
                    return self.tls.read(n)
            except ssl.SSLWantReadError:
                if self.raw_eof:
                    raise Aborted("FIN without close_notify") from None
                self._flush()
                self._fill()
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLEOFError as e:
                raise Aborted("FIN without close_notify") from e

    def _send(self, data):
        view = memoryview(data)
        # Records are made and sent a piece at a time, so that a blocked peer blocks us.
        for at in range(0, len(view), 1 << 18):
            piece = view[at:at + (1 << 18)]
            with self.send_lock:
                with self.tls_lock:
                    while piece:
                        piece = piece[self.tls.write(piece):]
                    out = self.outb.read()
                self.sock.sendall(out)

    def half_close(self):
        with self.tls_lock:
            try:
                self.tls.unwrap()
            except (ssl.SSLWantReadError, ssl.SSLError):
                pass
        self._flush()

    def close(self):
        """close_notify, then close."""
        try:
            self.half_close()
        except (OSError, ValueError):
            pass
        super().close()

    def cut(self):
        """Closes without close_notify."""
        super().close()


def dial(port, host="127.0.0.1", source=None, timeout=None, rcvbuf=None):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    s = socket.socket(family)
    s.settimeout(timeout or WAIT)
    if rcvbuf:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    if source:
        s.bind((source, 0))
    try:
        s.connect((host, port))
    except BaseException:
        s.close()
        raise
    return Conn(s, timeout)


def dial_tls(port, host="127.0.0.1", name=None, context=None, source=None, timeout=None):
    c = dial(port, host, source, timeout)
    try:
        return TlsConn(c.sock, context, server_name=name, timeout=timeout)
    except BaseException:
        c.close()
        raise


class Response:
    def __init__(self, head, method="GET"):
        self.head = head
        lines = head.split(b"\r\n") if b"\r\n" in head else head.split(b"\n")
        m = re.match(rb"^(HTTP/1\.[01]) (\d{3})(?: (.*))?$", lines[0])
        assert m, f"no status line: {head[:300]!r}"
        self.version, self.status, self.reason = m[1].decode(), int(m[2]), (m[3] or b"").decode()
        self.headers = []
        for line in lines[1:]:
            if line:
                k, _, v = line.partition(b":")
                self.headers.append((k.decode("latin1"), v.strip().decode("latin1")))
        self.body = b""
        self.method = method

    def header(self, name, default=None):
        for k, v in self.headers:
            if k.lower() == name.lower():
                return v
        return default

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:200]!r}>"


def read_head(conn):
    """A message head, ended by an empty line with CRLF or LF."""
    got = b""
    while True:
        m = re.search(rb"\r?\n\r?\n", got)
        if m:
            conn.buf = got[m.end():] + conn.buf
            return got[:m.end()]
        part = conn.recv()
        if not part:
            raise Short(f"ended inside a head: {got[:300]!r}")
        got += part


def read_chunked(conn):
    body = b""
    while True:
        size = int(conn.recv_until(b"\r\n").split(b";")[0], 16)
        if size == 0:
            while conn.recv_until(b"\r\n") != b"\r\n":
                pass
            return body
        body += conn.recv_exact(size)
        assert conn.recv_exact(2) == b"\r\n"


def read_response(conn, head_only=False, method="GET"):
    r = Response(read_head(conn), method)
    if head_only or method == "HEAD" or r.status in (204, 304) or 100 <= r.status < 200:
        return r
    if (r.header("Transfer-Encoding") or "").lower() == "chunked":
        r.body = read_chunked(conn)
    elif r.header("Content-Length") is not None:
        r.body = conn.recv_exact(int(r.header("Content-Length")))
    else:
        r.body = conn.recv_all()
    return r


def request(host, path="/", method="GET", headers=(), body=b"", close=False, auth=None):
    """A plain request's bytes."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    if auth:
        import base64
        lines.append("Authorization: Basic " + base64.b64encode(auth.encode()).decode())
    if body and not any(h.lower().startswith(("content-length", "transfer-enc")) for h in headers):
        lines.append(f"Content-Length: {len(body)}")
    lines += list(headers)
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin1") + body


def get(port, host, path="/", tls=False, context=None, source=None, addr="127.0.0.1", **kw):
    """One request on a connection of its own."""
    method = kw.get("method", "GET")
    c = dial_tls(port, addr, name=host.split(":")[0], context=context, source=source) if tls \
        else dial(port, addr, source=source)
    with c:
        c.send(request(host, path, close=True, **kw))
        return c.response(method=method)


def status_of(*args, **kw):
    """get()'s status; None for an end without an answer, as of a Go server whose tunnel just closes."""
    try:
        return get(*args, **kw).status
    except (Short, Aborted):
        return None


def eventually(check, timeout=None, step=0.02, what=None):
    """Polls for what no event announces; returns the first true value."""
    end = time.monotonic() + (timeout or WAIT)
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < end, f"did not come true: {what or check}"
        time.sleep(step)
