"""Sessions that wait for the programs' timers; they cost time, not work."""

from lib.golike import message

from .by_hand import URL, GoSide, Hand, register
from .ours import ask
from .play import session


@session(limit=75)
def slow_server(s):
    """A first message that never ends; 504 when a client opens no connection; a client that says no Ping."""
    h = Hand(s)
    a = h.control(client_id="silent", leaves=True)
    h.asks(a, "http", subdomain="test")
    half = h.says("half a message", b"\x7d\0\0", stays=True)
    vs = [s.visitor(h.server.http_port) for _ in range(2)]
    for v, method in zip(vs, ("GET", "HEAD")):
        s.step(f"the visitor asks ({method})", v.send, ask(method=method))
    s.step("10 s later", until=lambda: half.gone and all(v.gone for v in vs))
    for x in vs + [half]:
        s.step("it closes", x.close)
    idle = register(h, "silent")
    s.step("30 s later", until=lambda: a.gone and idle.gone)
    h.end(idle, a)


@session(limit=75)
def slow_challenge(s):
    """The owner's token wants the owner's name: one that answers, one that is silent, one of Go's."""
    h = Hand(s)

    def owner(label, name, **kw):
        peer = h.control(label, user="token", **kw)
        h.asks(peer, "a name", subdomain=name)
        return peer
    alive = owner("one that knows Ping", "alive", Features="ping")
    dead = owner("one that knows Ping and is silent", "dead", Features="ping")
    go = owner("one as Go's", "go")
    other = h.control("another token", user="other")
    h.asks(other, "that name", subdomain="alive")
    heir = h.control("the same token", user="token")
    h.asks(heir, "a name of its own", subdomain="heir")
    h.asks(heir, "the first name", subdomain="alive")
    s.step("its owner answers", alive.say, message("Pong"))
    h.asks(heir, "the silent one's", subdomain="dead")
    s.step("5 s later", until=lambda: dead.gone)
    h.asks(heir, "the Go client's", subdomain="go")
    before = len(heir.got())
    s.step("5 s later", until=lambda: len(heir.got()) > before)
    h.asks(heir, "two at once", "http+https", subdomain="alive")
    s.step("its owner speaks", alive.say, message("Ping"))
    h.end(dead, other, go, alive, heir)


@session(limit=75)
def slow_client(s):
    """Our client's Ping, and its end when no Pong comes: it comes back with its id."""
    g = GoSide(s, "-subdomain=test", "-proto=http", pong=False)
    s.step("20 s later", until=lambda: g.go.controls[0].pings)
    s.step("15 s later, and back", until=lambda: len(g.go.controls) > 1 and g.go.controls[1].requests)
    g.end()


@session(limit=75)
def slow_pong(s):
    """Our client's Ping and a Pong; meanwhile a proxy connection waits."""
    g = GoSide(s, "-subdomain=test", "-proto=http")
    s.step("20 s later", until=lambda: g.go.controls[0].pings)
    v = g.start(URL)
    s.step("GET", v.send, ask())
    s.step("the service closes", g.service.conn().close)
    s.step("the server closes", v.close)
    g.end()
