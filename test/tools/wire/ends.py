"""Connections as events: what a wake-up brings, the man in the middle, the far ends."""

import re
import select
import socket
import ssl
import struct
import threading
import time

from lib.golike import send_message
from lib.net import Aborted, Conn, TlsConn, dial

from .quiet import QUIET_WAIT

# How a direction ends. The last: not at all, the recorder cut the connection.
CLOSE_NOTIFY, FIN, RESET, EOF, BROKEN = "close_notify", "fin", "reset", "eof", "broken TLS"
CUT = "cut by the recorder"

WAYS = ("c2s", "s2c")
LATE = 0.25  # seconds; with 0.5 and a visitor each second the server asks for one more


def drain(conn, ended=False):
    """The records that lie in a TLS connection, each one piece, and perhaps its end (a str)."""
    out = []
    while True:
        try:
            with conn.tls_lock:
                piece = conn.tls.read(1 << 16)
        except ssl.SSLWantReadError:
            return out + ([FIN] if ended else [])
        except ssl.SSLZeroReturnError:
            piece = b""
        except ssl.SSLEOFError:
            return out + [FIN]
        except ssl.SSLError:
            return out + [BROKEN]
        if not piece:
            conn.notified = True  # what follows has no meaning, but the socket's own end
            return out + [CLOSE_NOTIFY] + ([FIN] if ended else [])
        out.append(piece)


def acknowledge(conn):
    """Now: the programs ask whether what they sent was acknowledged, and wait with a reset until it is."""
    conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def pull(conn):
    """Reads once; pieces of bytes, and perhaps an end."""
    try:
        data = conn.sock.recv(1 << 18)
        acknowledge(conn)
    except ConnectionError:
        return [RESET]
    if not isinstance(conn, TlsConn):
        return [data or EOF]
    if getattr(conn, "notified", False):
        return [] if data else [FIN]
    with conn.tls_lock:
        if data:
            conn.inb.write(data)
        else:
            conn.inb.write_eof()
    return drain(conn, not data)


def end_socket(conn, how):
    """Passes an end on. No thread may wait in a call on this socket, or a reset would stay away."""
    try:
        if how == CLOSE_NOTIFY:
            conn.half_close()
        elif how in (RESET, BROKEN):
            conn.reset()
        else:
            conn.fin()
    except (OSError, ValueError, Aborted):
        pass


# ---- the man in the middle ----

class Link:
    """One connection through the man in the middle. One thread reads both sides and hands on."""

    def __init__(self, wire, sock):
        self.wire, self.sock = wire, sock
        self.client = self.server = None
        self.events = {way: [] for way in WAYS}  # (step, bytes, or a str: the end)
        self.gone = {way: False for way in WAYS}  # not even to be read any more
        self.hello = self.tls = None
        self.hidden = self.is_mux = self.over = False
        self.wake, self.woken = socket.socketpair()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        try:
            self._accept()
            self._carry()
        except (OSError, Aborted, ValueError):
            pass
        finally:
            self.over = True
            for conn in (self.client, self.server):
                if conn:
                    conn.sock.close()
            self.sock.close()

    def _now(self):
        return self.wire.session.now

    def _accept(self):
        first = self.sock.recv(1 << 14, socket.MSG_PEEK)
        self.client = TlsConn(self.sock, self.wire.context, server_side=True)
        self.client.sock.settimeout(None)
        acknowledge(self.client)
        if self.wire.hellos:
            self.hello = (self._now(), read_hello(first))

    def _dial(self):
        """Not before the client has said something: a connection that is hidden never gets there."""
        self.server = TlsConn(dial(self.wire.target).sock)
        self.server.sock.settimeout(None)
        acknowledge(self.server)
        chosen = self.server.tls
        if self.wire.hellos:
            self.tls = (self._now(), [chosen.version(), chosen.cipher()[0], chosen.selected_alpn_protocol()])

    def _open(self):
        """Those that are still to be read: after a close_notify until the socket ends, too."""
        return [(conn, way) for conn, way in ((self.client, "c2s"), (self.server, "s2c"))
                if conn and not self.gone[way]]

    def _carry(self):
        self._take("c2s", drain(self.client))
        while self._open():
            ready, _, _ = select.select([self.woken] + [conn.sock for conn, _ in self._open()], [], [])
            if self.woken in ready:
                self._cut(self.woken.recv(1))
            for conn, way in self._open():
                if conn.sock in ready and not self.gone[way]:
                    self._take(way, pull(conn))

    def _take(self, way, pieces):
        with self.wire.in_hand:
            for piece in pieces:
                if self.gone[way]:
                    return
                if way == "c2s" and not self.server and not self.hidden:
                    self.hidden = self.wire.hides(self, piece)
                    if not self.hidden:
                        self._dial()
                if isinstance(piece, str):
                    self._pass_end(way, piece)
                else:
                    self._pass_on(way, piece)

    def _pass_on(self, way, piece):
        self.events[way].append((self._now(), piece))
        if self.hidden:
            return
        if way == "s2c" and self.is_mux and self.wire.delay:
            time.sleep(self.wire.delay)
        try:
            (self.server if way == "c2s" else self.client).send(piece)
            self.wire.watch(piece)
        except (OSError, Aborted):
            # It has reset the connection, which is told only once: now.
            self._pass_end("s2c" if way == "c2s" else "c2s", RESET)

    def _pass_end(self, way, how):
        """Only a direction's first end is an event: how a socket ends after its close_notify is not."""
        if self.gone[way]:
            return
        if not any(isinstance(e, str) for _, e in self.events[way]):
            self.events[way].append((self._now(), how))
        self.gone[way] = how != CLOSE_NOTIFY
        if how in (RESET, BROKEN):
            self.gone = {w: True for w in WAYS}  # the other socket is closed with a reset, too
        if not self.hidden:
            end_socket(self.server if way == "c2s" else self.client, how)

    def _cut(self, side):
        conn, way = (self.client, "c2s") if side == b"c" else (self.server, "s2c")
        self.events[way].append((self._now(), CUT))
        self.gone[way] = True
        end_socket(conn, RESET)

    def cut_client(self):
        """As when a router forgets it and tells the client: the server does not know yet."""
        self.wake.send(b"c")

    def cut_server(self):
        self.wake.send(b"s")

    def _said(self):
        """How the client begins."""
        return b"".join(e for _, e in self.events["c2s"][:200] if isinstance(e, bytes))

    def mux(self):
        """The number that its RegProxy asks for; 0 for none."""
        m = re.search(rb'"Mux":(\d+)', self._said()[:200])
        return int(m[1]) if m else 0

    def kind(self):
        said = self._said()
        if b'"Auth"' in said[:60]:
            return "control"
        if b'"RegProxy"' not in said[:60]:
            return "other" if said else "silent"
        # A server that does not agree takes it for an ordinary one.
        agreed = any(b'"mux:"' in e for _, e in self.events["s2c"][:2] if isinstance(e, bytes))
        return {1: "mux", 2: "reused"}.get(self.mux(), "proxy") if agreed else "proxy"


class InHand:
    """Counts what was read and not yet handed on."""

    def __init__(self):
        self.lock, self.moved, self.held = threading.Lock(), 0, 0

    def __enter__(self):
        with self.lock:
            self.moved += 1
            self.held += 1

    def __exit__(self, *exc):
        with self.lock:
            self.held -= 1


class Wire:
    """
    The man in the middle: listens for clients of the server on port `target`. hellos: TLS is recorded,
    too. mux_max: further mux sessions of a client are left without an answer. delay: of a line, in seconds.
    quick: proxy connections must come as soon as they are asked for, or the session is worth nothing (late):
    how many the server asks for follows from how long it waits for one.
    """

    def __init__(self, session, target, hellos=False, mux_max=1, delay=0.0, quick=False):
        self.session, self.target = session, target
        self.quick, self.asked, self.late = quick, None, False
        self.hellos, self.delay = hellos, delay
        self.mux_max = mux_max
        self.links = []
        self.in_hand = InHand()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(session.certs.server, session.certs.server_key)
        self.context.num_tickets = 1
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.addr = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.links.append(Link(self, sock))

    def watch(self, piece):
        now = time.monotonic()
        if b'"ReqProxy"' in piece:
            self.asked = now
        elif b'"RegProxy"' in piece and self.asked:
            self.late |= self.quick and now - self.asked > LATE
            self.asked = None

    def hides(self, link, piece):
        """Is this a mux session beyond those that are to be seen? Each control connection may have as many."""
        if isinstance(piece, str) or b'"RegProxy"' not in piece or b'"Mux":1' not in piece:
            return False
        link.is_mux = True
        begin = max([n for n, x in enumerate(self.links) if x.kind() == "control"], default=0)
        there = [x for x in self.links[begin:] if x.is_mux and not x.hidden and not x.over and x is not link]
        return len(there) >= self.mux_max

    def stop(self):
        """A client that comes back is refused."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def of(self, kind):
        """The connections of a kind, in order."""
        return [link for link in self.links if not link.hidden and link.kind() == kind]


SHOWN = {0: "name", 10: "groups", 13: "signatures", 16: "alpn", 28: "record_limit", 43: "versions"}


def read_hello(data):
    """What a ClientHello (RFC 8446 section 4.1.2) offers, without what is random."""
    at = 5 + 4 + 2 + 32
    at += 1 + data[at]
    n = struct.unpack_from(">H", data, at)[0]
    out = {"ciphers": data[at + 2:at + 2 + n].hex(" ", 2)}
    at += 2 + n
    at += 1 + data[at]
    end = at + 2 + struct.unpack_from(">H", data, at)[0]
    at += 2
    kinds = []
    while at < end:
        kind, n = struct.unpack_from(">HH", data, at)
        body = data[at + 4:at + 4 + n]
        kinds.append(str(kind))
        if kind in SHOWN:
            out[SHOWN[kind]] = body.hex()
        if kind == 51:
            out["key_share"] = body[2:4].hex()
        at += 4 + n
    out["extensions"] = " ".join(kinds)
    return out


# ---- the far ends: visitors, the local service, peers made by hand ----

class Peer:
    """One end of a connection: a thread notes what comes, the session tells it what to do."""

    def __init__(self, session, name, conn, shown=True, ended=None):
        self.session, self.name, self.conn, self.shown = session, name, conn, shown
        self.events = []  # (step, "sent" or "got", bytes) or (step, "end", str)
        self.order, self.polite = None, False  # polite: closes as soon as the other side has ended
        self.end, self.gone = ended, bool(ended)
        if ended:
            self.events.append((session.now, "end", ended))
        self.wake, self.woken = socket.socketpair()
        self.done = threading.Event()
        conn.sock.settimeout(None)
        acknowledge(conn)
        session.peers.append(self)
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self):
        pieces = drain(self.conn) if isinstance(self.conn, TlsConn) else []
        while not self.order:
            for piece in pieces:
                self._take(piece)
            if self.order:
                break
            select.select([self.woken] + ([] if self.gone else [self.conn.sock]), [], [])
            if not self.order:
                pieces = pull(self.conn)
        if self.order == "reset":
            self.conn.reset()
        else:
            self.conn.close()
        self.done.set()

    def _take(self, piece):
        if isinstance(piece, bytes):
            self.events.append((self.session.now, "got", piece))
            return
        self.gone = piece != CLOSE_NOTIFY
        if not self.end:
            self.end = piece
            self.events.append((self.session.now, "end", piece))
        if self.polite:
            self.order = "close"

    def got(self):
        return b"".join(data for _, what, data in self.events if what == "got")

    def send(self, data):
        self.events.append((self.session.now, "sent", data))
        try:
            self.conn.send(data)
        except (OSError, Aborted):
            self.events.append((self.session.now, "end", "could not send"))

    def say(self, obj, cut="go"):
        """A message, as Go writes it: its length and its text in records of their own."""
        send_message(self.conn, obj, cut)

    def half_close(self):
        self.conn.half_close()

    def _leave(self, how):
        self.order = self.order or how
        self.wake.send(b"x")
        assert self.done.wait(QUIET_WAIT)

    def close(self):
        """As a program does that has read everything; on TLS with close_notify."""
        self._leave("close")

    def reset(self):
        self._leave("reset")


class Service:
    """The local service: its connections are peers, service-1 ... of the session."""

    def __init__(self, session, port=0):
        self.session, self.conns = session, []
        self.listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.arrived = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.arrived:
                self.conns.append(Peer(self.session, self.session.name_peer("service"), Conn(sock)))
                self.arrived.notify_all()

    def conn(self, n=0):
        """The n-th connection from the start; 0: the newest."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.conns) >= max(n, 1), QUIET_WAIT), "not dialled"
            return self.conns[n - 1]

    def stop(self):
        """A dial is refused from now on."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
