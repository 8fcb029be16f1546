"""A session: who takes part, and time, which goes by steps."""

import os
import socket
import tempfile

from lib.golike import connect
from lib.net import Conn, TlsConn, eventually
from lib.procs import Client, Server

from .ends import RESET, Peer, Service, Wire
from .quiet import Observer

SESSIONS = {}  # name -> (function, seconds that it may take)
TEST = "test.pgrok.me"
LIMIT = 18  # seconds; after 20 s a client says Ping, after 30 s a server drops one that does not


def session(limit=LIMIT):
    """A session to be recorded; its name is the function's, with dashes."""
    def add(fn):
        SESSIONS[fn.__name__.replace("_", "-")] = (fn, limit)
        return fn
    return add


class Session:
    def __init__(self, name, certs):
        self.name, self.certs = name, certs
        self.observer = Observer()  # before there are threads
        self.steps, self.now = [], 0
        self.procs, self.wires, self.peers = [], [], []
        self.ending = {}  # step -> the way that the program which ends in it speaks
        self.counts = {}
        self.ports = {}  # number -> placeholder

    def name_peer(self, kind):
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return f"{kind}-{self.counts[kind]}"

    # -- who takes part --

    def server(self, *flags, **kw):
        kw.setdefault("workers", 2)
        kw.setdefault("state_dir", tempfile.mkdtemp(dir=self.certs.folder))
        s = Server("-tcpAddr=127.0.0.1", *flags, certs=self.certs, **kw)
        self.procs.append(s)
        self.ports.update({s.http_port: "<http>", s.https_port: "<https>", s.tunnel_port: "<tunnel>"})
        return s

    def wire(self, target, **kw):
        w = Wire(self, target, **kw)
        self.wires.append(w)
        self.ports[w.port] = "<wire>"
        return w

    def client(self, addr, *args, **kw):
        c = Client(addr, *args, program=os.environ.get("WIRE_CLIENT"), **kw)
        self.procs.append(c)
        return c

    def service(self, port=0):
        x = Service(self, port)
        if x.port not in self.ports:
            self.ports[x.port] = f"<{self.name_peer('local')}>"
        return x

    def config(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".yml", dir=self.certs.folder, delete=False) as f:
            f.write(text)
        return f.name

    def visitor(self, port, tls=False, **kw):
        """One more visitor, in a step of its own."""
        return self.step("a visitor connects", self.dial_visitor, port, tls, **kw)

    def dial_visitor(self, port, tls=False, shown=True):
        name = self.name_peer("visitor") if shown else "crowd"
        ended = None
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        self.ports[sock.getsockname()[1]] = f"<{name}>"
        try:
            sock.connect(("127.0.0.1", port))
        except ConnectionResetError:  # accepted, and reset before this thread ran again
            ended = RESET
        conn = TlsConn(sock, server_name=TEST) if tls else Conn(sock)
        return Peer(self, name, conn, shown, ended)

    def by_hand(self, wire, *said, cut="go"):
        """A client made by hand that connects and says this. What it says is seen on the wire."""
        peer = Peer(self, self.name_peer("by-hand"), connect(wire.port), shown=False)
        for obj in said:
            if isinstance(obj, bytes):
                peer.send(obj)
            else:
                peer.say(obj, cut)
        return peer

    # -- time --

    def step(self, label, fn=None, *args, until=None, **kw):
        """Does it, waits for `until` to be true, then for quiet; the value of fn."""
        self.now += 1
        self.steps.append(label)
        value = fn(*args, **kw) if fn else None
        if until:
            eventually(until, timeout=90, step=0.005, what=label)
        self.quiet()
        return value

    def quiet(self):
        """What the man in the middle holds for a while is not to be seen from outside."""
        pids = [os.getpid()] + [p.pid for p in self.procs]
        before = None
        while before != [(w.in_hand.moved, 0) for w in self.wires]:
            before = [(w.in_hand.moved, w.in_hand.held) for w in self.wires]
            self.observer.wait(pids)

    def end(self, proc):
        """A program ends by SIGTERM, in a step."""
        server = isinstance(proc, Server)
        self.ending[self.now + 1] = "s2c" if server else "c2s"
        self.step(f"the {'server' if server else 'client'} ends", proc.stop)

    def close(self):
        for p in self.procs:
            if p.alive():
                p.kill()
            p.wait_exit()
        self.observer.close()
