"""Fixtures of the system tests. Real binaries on loopback; see lib/ for what they are made of."""

import itertools
import os
import shutil
import threading

import pytest

from lib import backends, env, golike, procs
from lib.certs import Certs


def pytest_configure(config):
    config.addinivalue_line("markers", "threads: crosses worker threads (run under TSan as well)")
    config.addinivalue_line("markers", "scaled: needs PGROK_TIME_SCALE (a debug or sanitizer build)")
    config.addinivalue_line("markers", "big: moves much data or many connections")


def pytest_sessionstart():
    for name in ("pgrokd", "pgrok"):
        if not (env.BIN / name).exists():
            pytest.exit(f"{env.BIN / name} is not there: run make, or set PGROK_BIN", returncode=2)


def pytest_runtest_logreport(report):
    """FAILURES=FILE: a line for each failure, with its reason (with xdist, written by the one who hears them all)."""
    path = os.environ.get("FAILURES")
    if not path or not report.failed or os.environ.get("PYTEST_XDIST_WORKER"):
        return
    crash = getattr(report.longrepr, "reprcrash", None)
    reason = (crash.message if crash else str(report.longrepr)).strip().split("\n")[0]
    with open(path, "a", encoding="utf-8") as out:
        out.write(f"{report.nodeid} ({report.when}): {reason[:300]}\n")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, "report_" + call.when, outcome.get_result())


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    return Certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="session")
def state_dir(tmp_path_factory):
    """The certificate of servers that were given none: the first one's is the others', too."""
    return tmp_path_factory.mktemp("state")


PAIR = ("key.pem", "cert.pem")


class Lab:
    """Makes whatever a test needs and ends it afterwards."""

    def __init__(self, state_dir, tmp_path):
        self.state_dir, self.tmp = state_dir, tmp_path
        self.things = []
        self.threads = []
        self.counter = itertools.count()

    def keep(self, thing):
        self.things.append(thing)
        return thing

    def server(self, *flags, **kw):
        own = self.new_state()
        kw.setdefault("state_dir", own)
        server = self.keep(procs.Server(*flags, **kw))
        for name in PAIR:
            if (own / name).exists() and not (self.state_dir / name).exists():
                shutil.copy2(own / name, self.state_dir)
        return server

    def new_state(self):
        """A state directory in which nothing is known but the session's certificate."""
        own = self.tmp / f"state{next(self.counter)}"
        own.mkdir()
        for name in PAIR:
            if (self.state_dir / name).exists():
                shutil.copy2(self.state_dir / name, own)
        return own

    def again(self, server, **changes):
        return self.keep(server.again(**changes))

    def client(self, server, *args, **kw):
        return self.keep(procs.Client(server, *args, **kw))

    def backend(self, handler, **kw):
        return self.keep(backends.Backend(handler, **kw))

    def site(self, app=None, name="site", **kw):
        return self.backend(backends.http(app, name), **kw)

    def relay(self, *args, **kw):
        return self.keep(backends.Relay(*args, **kw))

    def proxy(self, *args):
        return self.keep(backends.ConnectProxy(*args))

    def socks(self, *args):
        return self.keep(backends.SocksProxy(*args))

    def goclient(self, server, **kw):
        return self.keep(golike.GoClient(server if isinstance(server, int) else server.tunnel_port, **kw))

    def goserver(self, certs, **kw):
        return self.keep(golike.GoServer(certs, **kw))

    def config(self, text):
        """A configuration file; bytes or text."""
        p = self.tmp / f"pgrok{next(self.counter)}.yml"
        p.write_bytes(text if isinstance(text, bytes) else text.encode())
        return p

    def thread(self, fn, *args):
        """Runs fn beside the test; its exception fails the test in join()."""
        t = Thread(fn, args)
        self.threads.append(t)
        t.start()
        return t

    def started(self, backend, *flags, subdomain="test", proto=None, client_kw=None, **kw):
        """The usual set: a server, and a client with a tunnel to `backend`: (server, client)."""
        s = self.server(**kw)
        args = list(flags)
        if subdomain:
            args.append(f"-subdomain={subdomain}")
        if proto:
            args.append(f"-proto={proto}")
        ckw = {"engine": kw.get("engine"), "scale": kw.get("scale"),
               "tunnels": len((proto or "http+https").split("+"))}
        ckw.update(client_kw or {})
        return s, self.client(s, *args, backend.port, **ckw)

    def finish(self):
        bad = []
        for thing in reversed(self.things):
            if isinstance(thing, procs.Proc):
                bad += thing.finish()
        for thing in reversed(self.things):
            if not isinstance(thing, procs.Proc):
                thing.close()
        return bad


class Thread(threading.Thread):
    def __init__(self, fn, args):
        super().__init__(daemon=True)
        self.fn, self.args2 = fn, args
        self.value = self.error = None

    def run(self):
        try:
            self.value = self.fn(*self.args2)
        except BaseException as e:  # pylint: disable=broad-except
            self.error = e

    def result(self, timeout=None):
        self.join(timeout or env.WAIT * 4)
        assert not self.is_alive(), "a helper thread did not end"
        if self.error:
            raise self.error
        return self.value


@pytest.fixture
def lab(request, state_dir, tmp_path):
    x = Lab(state_dir, tmp_path)
    yield x
    bad = x.finish()
    rep = getattr(request.node, "report_call", None)
    if bad or (rep is not None and rep.failed):
        for thing in x.things:
            if isinstance(thing, procs.Proc):
                print(f"---- {thing.name} ({' '.join(thing.argv)})")
                print(thing.last_words())
    assert not bad, "; ".join(bad)


# A sanitizer sees each way once; all pairings run without.
@pytest.fixture(params=["direct", "bufferevent-nomux"] if env.SANITIZED else
                ["direct", "bufferevent", "direct-nomux", "bufferevent-nomux"])
def engine(request):
    """How bytes move: the kind of stream, and whether visitors share one connection to the server."""
    return request.param


@pytest.fixture(params=[4] if env.SANITIZED else [1, 4], ids=lambda n: f"w{n}")
def workers(request):
    return request.param


def _pairs():
    """Which programs play server and client: ours, and the Go ones where they are named."""
    out = [pytest.param((None, None), id="c-c")]
    if env.GO_PGROK:
        out.append(pytest.param((None, env.GO_PGROK), id="c-go"))
    if env.GO_PGROKD:
        out.append(pytest.param((env.GO_PGROKD, None), id="go-c"))
    if env.GO_PGROK and env.GO_PGROKD:
        out.append(pytest.param((env.GO_PGROKD, env.GO_PGROK), id="go-go"))
    return out


class Pair:
    """A server and a client program; the cases that hold for Go as well use this."""

    def __init__(self, lab, programs):
        self.lab = lab
        self.server_program, self.client_program = programs

    @property
    def ours(self):
        return not self.server_program and not self.client_program

    def server(self, *flags, **kw):
        return self.lab.server(*flags, program=self.server_program, **kw)

    def client(self, server, *args, **kw):
        return self.lab.client(server, *args, program=self.client_program, **kw)


@pytest.fixture(params=_pairs())
def pair(request, lab):
    return Pair(lab, request.param)
