"""
yamux as Drip speaks it, a thread a session: strict about the other end (what a Go peer would break off
for is a fault here), and able to break every rule itself.
"""

import collections
import queue
import struct
import threading
import time

from .drip_wire import Bytes, drop, send_cut
from .env import WAIT
from .net import Aborted, Short

DATA, WINDOW, PING, GOAWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
FIRST_WINDOW = 262144
MAX_WINDOW = 524288
HEAD = struct.Struct(">BBHII")

Frame = collections.namedtuple("Frame", "kind flags sid value")


def head(kind, flags, sid, value, version=0):
    return HEAD.pack(version, kind, flags, sid, value & 0xFFFFFFFF)


class Stream(Bytes):
    """One stream, with the calls of a connection. settimeout() bounds every wait."""

    def __init__(self, session, sid, ours):
        super().__init__()
        self.session, self.sid, self.ours = session, sid, ours
        self.rx = bytearray()
        self.got = 0              # bytes that have come
        self.credit = FIRST_WINDOW      # what the other end may still send
        self.window = FIRST_WINDOW      # what we may still send
        self.acked = False
        self.peer_fin = self.fin_sent = self.broken = False
        self.reading = True       # False: the window opens no further
        self.frames = []          # (flags, kind) of all that came

    @property
    def open(self):
        return not self.broken and not (self.peer_fin and self.fin_sent)

    def _wait(self, check, what):
        if not self.session.lock.wait_for(check, self.timeout):
            raise TimeoutError(f"stream {self.sid} of {self.session.name}: no {what}")

    def wait(self, check, what, timeout=None):
        with self.session.lock:
            assert self.session.lock.wait_for(check, timeout or WAIT), \
                f"stream {self.sid} of {self.session.name}: {what}"

    def wait_acked(self):
        self.wait(lambda: self.acked or self.broken, "not ACKed")
        assert self.acked

    def wait_fin(self, timeout=None):
        self.wait(lambda: self.peer_fin, "no FIN", timeout)

    def wait_over(self, timeout=None):
        """FIN or RST, or the session's end."""
        self.wait(lambda: self.peer_fin or self.broken or self.session.over, "lives on", timeout)

    def wait_broken(self, timeout=None):
        self.wait(lambda: self.broken or self.session.over, "no RST", timeout)

    def wait_got(self, n, timeout=None):
        self.wait(lambda: self.got >= n, f"{n} bytes did not come, {self.got} have", timeout)

    def _recv(self, n):
        s = self.session
        with s.lock:
            self._wait(lambda: self.rx or self.peer_fin or self.broken or s.over, "bytes")
            if not self.rx:
                if self.peer_fin and not self.broken:
                    return b""
                raise ConnectionResetError(f"stream {self.sid}: reset")
            out = bytes(self.rx[:n])
            del self.rx[:n]
            delta = s.max_window - len(self.rx) - self.credit
            if not self.reading or self.peer_fin or self.broken or delta < s.max_window // 2:
                return out
            self.credit += delta
        s.write(WINDOW, 0, self.sid, delta, quiet=True)
        return out

    def _send(self, data):
        view, s = memoryview(data), self.session
        while view:
            with s.lock:
                self._wait(lambda: self.window or self.broken or s.over or self.fin_sent, "window")
                if self.broken or s.over or self.fin_sent:
                    raise BrokenPipeError(f"stream {self.sid} is not open")
                n = min(self.window, len(view), s.piece)
                self.window -= n
            s.write(DATA, 0, self.sid, n, bytes(view[:n]))
            view = view[n:]

    def half_close(self):
        """FIN, once, as a window update without a window."""
        s = self.session
        with s.lock:
            if self.fin_sent or self.broken:
                return
            self.fin_sent = True
            s.forget(self)
        s.write(WINDOW, FIN, self.sid, 0, quiet=True)

    def reset(self):
        s = self.session
        with s.lock:
            if self.broken or not self.open:
                return
            self.broken = True
            s.forget(self)
            s.lock.notify_all()
        s.write(WINDOW, RST, self.sid, 0, quiet=True)

    def close(self):
        self.half_close()

    def cut(self):
        self.reset()


class Session:
    """
    odd: opens odd ids (a Drip server; a Drip client accepts only). on_stream(stream) gets each stream
    of the other end in a thread; without it they wait in `accepted`. acks: ACK at once; a number delays
    it that many seconds; False never does. ping: seconds between our own. pongs=False: answers none.
    """

    def __init__(self, conn, odd, on_stream=None, max_window=MAX_WINDOW, ping=None, ping_limit=10.0,
                 pongs=True, acks=True, cut="go", piece=1 << 18, name="session", on_end=None):
        self.conn, self.odd, self.on_stream, self.name = conn, odd, on_stream, name
        self.max_window, self.acks, self.pongs, self.cut, self.piece = max_window, acks, pongs, cut, piece
        self.on_end = on_end
        self.lock = threading.Condition()
        self.out_lock = threading.Lock()
        self.open_lock = threading.Lock()   # ids rise on the wire as well
        self.chores = queue.Queue()         # what the reader wants written: it must never wait itself
        self.streams = {}
        self.accepted = queue.Queue()
        self.next_id = 1 if odd else 2
        self.last_theirs = 0
        self.opened = self.served = 0       # streams ever: ours, theirs
        self.pinged = 0                     # pings that came
        self.ping_next = 0
        self.asked = set()                  # values of ours without an answer
        self.frames = collections.deque(maxlen=20000)
        self.goaway = None                  # the other end's code
        self.leaving = False                # we said it
        self.faults = []
        self.over = False
        self.why = ""
        self.ended = threading.Event()
        conn.settimeout(None)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        threading.Thread(target=self._write_chores, daemon=True).start()
        if ping:
            threading.Thread(target=self._ping, args=(ping, ping_limit), daemon=True).start()

    # -- writing --

    def write(self, kind, flags, sid, value, body=b"", quiet=False):
        """One frame. quiet: no matter if the session is over."""
        try:
            with self.out_lock:
                send_cut(self.conn, head(kind, flags, sid, value), body, self.cut)
        except (Aborted, OSError, ValueError) as e:
            if not quiet:
                raise BrokenPipeError(f"{self.name}: {e}") from e

    def _write_chores(self):
        while True:
            chore = self.chores.get()
            if chore is None:
                return
            chore()

    def later(self, *frame):
        self.chores.put(lambda: self.write(*frame, quiet=True))

    def raw(self, data):
        """Whatever it is, in one record."""
        with self.out_lock:
            self.conn.send(data)

    def joined(self, frames):
        """Frames (kind, flags, id, value, body) in one record."""
        self.raw(b"".join(head(*f[:4]) + (f[4] if len(f) > 4 else b"") for f in frames))

    # -- streams --

    def open(self, data=b""):
        """A stream of ours; does not wait for its ACK, as Go does not."""
        with self.open_lock:
            with self.lock:
                if not self.usable():
                    raise BrokenPipeError(f"{self.name} takes no streams")
                st = Stream(self, self.next_id, True)
                st.credit = self.max_window
                self.next_id += 2
                self.streams[st.sid] = st
                self.opened += 1
            self.write(WINDOW, SYN, st.sid, self.max_window - FIRST_WINDOW)
        if data:
            st.send(data)
        return st

    def take(self):
        return self.accepted.get(timeout=WAIT)

    def forget(self, st):
        """With the lock held."""
        if not st.open:
            self.streams.pop(st.sid, None)
        self.lock.notify_all()

    def ack(self, st):
        """The one ACK of a stream of the other end."""
        with self.lock:
            if st.acked or not st.open:
                return
            st.acked = True
            delta = self.max_window - FIRST_WINDOW
            st.credit += delta
        self.write(WINDOW, ACK, st.sid, delta, quiet=True)

    def load(self):
        with self.lock:
            return len(self.streams)

    def usable(self):
        return not self.over and self.goaway is None

    # -- reading --

    def _read(self):
        try:
            while True:
                first = self.conn.recv(1)
                if not first:
                    self.why = self.why or "eof"
                    break
                version, kind, flags, sid, value = HEAD.unpack(first + self.conn.recv_exact(11))
                self.frames.append(Frame(kind, flags, sid, value))
                if version != 0 or kind > GOAWAY:
                    raise Fault(f"version {version}, type {kind}")
                if not self._frame(kind, flags, sid, value):
                    break
        except Fault as e:
            self.faults.append(str(e))
            self.why = str(e)
            self.write(GOAWAY, 0, 0, 1, quiet=True)
        except (Short, Aborted, OSError, ValueError) as e:
            self.why = self.why or str(e) or repr(e)
        self._end()

    def _frame(self, kind, flags, sid, value):
        if kind == PING:
            self._pinged(flags, value)
        elif kind == GOAWAY:
            with self.lock:
                self.goaway = value
                self.lock.notify_all()
            if value:
                self.why = f"GO_AWAY {value}"
                return False
        else:
            self._stream_frame(kind, flags, sid, value)
        return True

    def _pinged(self, flags, value):
        with self.lock:
            if flags & SYN:
                self.pinged += 1
            else:
                self.asked.discard(value)
            self.lock.notify_all()
        if flags & SYN and self.pongs:
            self.later(PING, ACK, 0, value)

    def _stream_frame(self, kind, flags, sid, value):
        if sid == 0:
            raise Fault("stream 0")
        if flags & SYN:
            self._syn(sid)
        with self.lock:
            st = self.streams.get(sid)
            if st:
                self._flags(st, kind, flags)
                if kind == WINDOW:
                    st.window += value
        if kind == DATA:
            self._body(st, value)
        with self.lock:
            if st:
                if flags & FIN:
                    st.peer_fin = True
                if flags & RST:
                    st.broken = True
                    st.rx.clear()  # as a Go reader loses it
                self.forget(st)

    @staticmethod
    def _flags(st, kind, flags):
        st.frames.append((flags, kind))
        if flags & ACK:
            if not st.ours or st.acked:
                raise Fault(f"stream {st.sid}: an ACK that none waits for")
            st.acked = True
        elif st.ours and not st.acked and not flags & RST:
            raise Fault(f"stream {st.sid}: its first frame has no ACK")
        if flags & FIN and st.peer_fin:
            raise Fault(f"stream {st.sid}: a second FIN")

    def _syn(self, sid):
        with self.lock:
            if sid in self.streams:
                raise Fault(f"SYN on stream {sid}, which is open")
            if sid % 2 == self.odd or sid <= self.last_theirs:
                raise Fault(f"SYN on stream {sid} of the wrong end or age")
            self.last_theirs = sid
            if self.leaving:
                reject = True
            else:
                reject = False
                st = Stream(self, sid, False)
                self.streams[sid] = st
                self.served += 1
        if reject:
            self.later(WINDOW, RST, sid, 0)
        elif self.acks is True:
            self.chores.put(lambda: self._accept(st))
        elif self.acks:
            timer = threading.Timer(self.acks, self._accept, (st,))
            timer.daemon = True
            timer.start()
        else:
            self._hand_out(st)

    def _accept(self, st):
        self.ack(st)
        self._hand_out(st)

    def _hand_out(self, st):
        if self.on_stream:
            threading.Thread(target=self._serve, args=(st,), daemon=True).start()
        else:
            self.accepted.put(st)

    def _serve(self, st):
        try:
            self.on_stream(st)
        except (Aborted, Short, OSError, ValueError):
            st.reset()
        except Exception as e:  # for the test to see  # pylint: disable=broad-except
            self.faults.append(repr(e))
            st.reset()
        finally:
            st.close()

    def _body(self, st, n):
        if st:
            with self.lock:
                if n > st.credit:
                    raise Fault(f"stream {st.sid}: {n} bytes, {st.credit} were allowed")
                if n and st.peer_fin:
                    raise Fault(f"stream {st.sid}: bytes after its FIN")
                st.credit -= n
        while n:
            piece = self.conn.recv(min(n, 1 << 16))
            if not piece:
                raise Short("ended inside a DATA frame")
            n -= len(piece)
            if not st:
                continue
            with self.lock:
                st.got += len(piece)
                if not st.broken:
                    st.rx += piece
                self.lock.notify_all()

    def _end(self):
        with self.lock:
            self.over = True
            self.streams.clear()
            self.lock.notify_all()
        self.chores.put(None)
        drop(self.conn)
        self.conn.sock.close()
        self.ended.set()
        if self.on_end:
            self.on_end(self)

    # -- pings --

    def ping(self):
        """One of ours; returns the seconds that its answer took."""
        start = time.monotonic()
        assert self._ping_once(WAIT), f"{self.name}: no answer to a ping"
        return time.monotonic() - start

    def _ping_once(self, limit):
        with self.lock:
            value = self.ping_next
            self.ping_next += 1
            self.asked.add(value)
        self.write(PING, SYN, 0, value, quiet=True)
        with self.lock:
            return self.lock.wait_for(lambda: value not in self.asked or self.over, limit) and not self.over

    def _ping(self, every, limit):
        missed = 0
        while not self.ended.wait(every):
            missed = 0 if self._ping_once(limit) else missed + 1
            if missed == 3:
                self.close("three pings without an answer")

    # -- waiting and ending --

    def wait(self, check, what, timeout=None):
        with self.lock:
            assert self.lock.wait_for(check, timeout or WAIT), \
                f"{self.name}: no {what} ({self.why}; {self.faults})"

    def wait_idle(self, timeout=None):
        self.wait(lambda: not self.streams, "rest", timeout)

    def wait_opened(self, n=1):
        self.wait(lambda: self.served >= n, f"{n} streams")

    def wait_pinged(self, n=1, timeout=None):
        self.wait(lambda: self.pinged >= n, f"{n} pings", timeout)

    def wait_end(self, timeout=None):
        assert self.ended.wait(timeout or WAIT), f"{self.name} did not end"
        return self.why

    def leave(self, code=0):
        """GO_AWAY, and the other end knows; streams go on. With none it may end the session."""
        with self.lock:
            self.leaving = True
        self.write(GOAWAY, 0, 0, code)
        assert self._ping_once(WAIT) or self.over

    def close(self, why="closed here"):
        """As Drip does: the connection ends, with no word of it in yamux."""
        self.why = self.why or why
        drop(self.conn)


class Fault(Exception):
    """What a Go peer would break the session off for."""
