"""The client's screen, seen in tmux; what it leaves behind; plain lines and JSON where there is none."""

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import termios
import threading
import time

import pytest

from lib import backends, env
from lib.net import dial, eventually, get, request
from lib.procs import SAN_ENV, SANITIZER, empty_config

PGROK = env.BIN / "pgrok"
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7][;m]")


class Tmux:
    """A tmux of our own with one window, in which a shell runs `pgrok` with these arguments."""

    def __init__(self, tmp, width=80, height=24, term=None, extra_env=None):
        self.tmp, self.width, self.height = tmp, width, height
        self.reports = tmp / "reports"
        self.reports.mkdir()
        self.env = {k: v for k, v in os.environ.items()
                    if k not in ("TMUX", "NO_COLOR", "LC_ALL", "LANG") and not k.lower().endswith("_proxy")}
        self.env.update({"LC_ALL": "C.UTF-8", "PS1": "$ ", "ENV": ""})
        self.env.update(SAN_ENV)
        for k in SAN_ENV:
            self.env[k] += f":log_path={self.reports}/report"
        self.env.update(extra_env or {})
        self.term = term

    def tmux(self, *args):
        out = subprocess.run(["tmux", "-S", str(self.tmp / "tmux"), "-f", "/dev/null", *map(str, args)],
                             env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             encoding="utf-8", check=False)
        assert out.returncode == 0, (args, out.stdout)
        return out.stdout

    def client(self, server, *args, log=None, inspect="disabled"):
        addr = server if isinstance(server, str) else server.tunnel_addr
        self.log = self.tmp / "pgrok.log"
        return [PGROK, f"-config={empty_config()}", f"-serveraddr={addr}", f"-inspectaddr={inspect}",
                f"-log={log or self.log}", *args]

    def run(self, argv, stdin=""):
        """The shell notes the terminal's modes before and after, and the status."""
        words = " ".join(shlex.quote(str(a)) for a in argv)
        term = "" if self.term is None else f"export TERM={shlex.quote(self.term)};"
        script = (f"trap : INT QUIT; {term} echo EARLIER; stty -g >{self.tmp}/before; {words} {stdin}; s=$?;"
                  f"stty -g >{self.tmp}/after; echo status=$s; exec sleep 1000")
        self.tmux("new-session", "-d", "-x", self.width, "-y", self.height, "sh", "-c", script)
        return self

    def shell(self):
        self.tmux("new-session", "-d", "-x", self.width, "-y", self.height, "bash", "--norc", "-i")
        self.wait(r"^\$")

    def screen(self, colours=False):
        return self.tmux("capture-pane", "-p", *(["-e"] if colours else []))

    def lines(self):
        return self.screen().splitlines()

    def keys(self, *names):
        self.tmux("send-keys", *names)

    def size(self, width, height):
        self.tmux("resize-window", "-x", width, "-y", height)

    def wait(self, pattern, colours=False):
        rx = re.compile(pattern, re.M)
        try:
            eventually(lambda: rx.search(self.screen(colours)), what=pattern)
        except AssertionError as e:
            raise AssertionError(f"{e}; the screen:\n{self.screen()}") from None
        return rx.search(self.screen(colours))

    def pid(self):
        """Of the client: the child of the window's shell."""
        shell = self.tmux("display-message", "-p", "#{pane_pid}").strip()
        out = subprocess.run(["ps", "-o", "pid=", "--ppid", shell], stdout=subprocess.PIPE, text=True,
                             check=True).stdout.split()
        assert len(out) == 1, out
        return int(out[0])

    def cursor_shown(self):
        return self.tmux("display-message", "-p", "#{cursor_flag}").strip() == "1"

    def assert_left(self, status):
        """The terminal is as it was: contents, cursor, modes; nothing of the screen is left on it."""
        self.wait(rf"^status={status}$")
        text = self.screen()
        assert text.startswith("EARLIER\n"), text
        assert "Tunnel Status" not in text and "Forwarding" not in text, text
        assert (self.tmp / "before").read_text() == (self.tmp / "after").read_text(), "modes of the terminal"
        assert self.cursor_shown()

    def close(self):
        subprocess.run(["tmux", "-S", str(self.tmp / "tmux"), "kill-server"], env=self.env,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)

    def reported(self):
        return [t for f in sorted(self.reports.iterdir()) for t in f.read_text().splitlines()
                if SANITIZER.search(t)]


@pytest.fixture(name="tmux")
def _tmux(tmp_path):
    """A factory; what it made is ended and looked at for sanitizer reports."""
    made = []

    def make(**kw):
        folder = tmp_path / f"tmux{len(made)}"
        folder.mkdir()
        made.append(Tmux(folder, **kw))
        return made[-1]
    yield make
    for t in made:
        t.close()
    for t in made:
        assert not t.reported()


@pytest.fixture(name="up")
def _up(lab, tmux):
    """A server, a site, and a client whose screen is online: (screen, server)."""
    def make(*args, subdomain="tui", stdin="", **kw):
        site = lab.site()
        s = lab.server()
        t = tmux(**kw)
        t.run(t.client(s, f"-subdomain={subdomain}", *args, site.port), stdin)
        t.wait(r"^Tunnel Status +online")
        t.site, t.server = site, s
        return t
    return make


def test_rows(up):
    t = up()
    s = t.server
    lines = t.lines()
    assert lines[0] == "pgrok".ljust(64) + "(Ctrl+C to quit)"
    assert lines[1] == ""
    assert lines[2] == "Tunnel Status                 online"
    assert lines[3] == "Version                       3.0/3.0"
    assert re.fullmatch(r"Latency {23}\d+\.\d+ ms", lines[4])
    assert lines[5] == f"Forwarding                    http://tui.pgrok.me:{s.http_port} -> 127.0.0.1:{t.site.port}"
    assert lines[6] == f"Forwarding                    https://tui.pgrok.me:{s.https_port} -> 127.0.0.1:{t.site.port}"
    assert lines[7] == "Web Interface                 disabled"
    assert lines[8] == "# Conn                        0"
    assert lines[9] == "Avg Conn Time                 0.00ms"
    assert lines[10] == "Bytes In/Out                  0 B / 0 B"
    assert not t.cursor_shown()
    for _ in range(3):
        assert get(s.http_port, f"tui.pgrok.me:{s.http_port}").status == 200
    t.wait(r"^# Conn +3$")
    t.wait(r"^Avg Conn Time +\d+\.\d\dms$")
    t.wait(r"^Bytes In/Out +[1-9]\d* B / [1-9]\d* B")
    # The log went to its file, none of it on the screen.
    assert "Tunnel established at" in t.log.read_text()
    assert "INFO" not in t.screen()


def test_requests(lab, tmux):
    """Newest first, without their queries, with coloured status; one that waits has none yet."""
    go = threading.Event()

    def app(r, _c):
        if "slow" in r.target:
            assert go.wait(env.WAIT)
        status = int(m[1]) if (m := re.match(r"/s(\d+)", r.target)) else 200
        return backends.answer(status, b"", reason={404: "Not Found", 302: "Found"}.get(status, "Word"))
    site = lab.site(app)
    s = lab.server()
    host = f"tui.pgrok.me:{s.http_port}"
    t = tmux(height=30)
    port = env.free_port()
    t.run(t.client(s, "-subdomain=tui", site.port, inspect=f"127.0.0.1:{port}"))
    t.wait(r"^Tunnel Status +online")
    t.wait(rf"^Web Interface {{17}}http://127\.0\.0\.1:{port}$")
    assert "HTTP Requests" not in t.screen()
    for path in ("/first?token=secret", "/s302", "/s404/with/a/path/that/is/long/and/longer", "/s503"):
        get(s.http_port, host, path)
    with dial(s.http_port) as v:
        v.send(request(host, "/slow", method="POST"))
        t.wait(r"^POST /slow$")
        lines = t.lines()
        at = lines.index("HTTP Requests")
        assert lines[at - 1] == "" and lines[at + 1] == "-------------" and lines[at + 2] == ""
        assert [re.sub(" {3,}", "  ", x) for x in lines[at + 3:at + 8]] == [
            "POST /slow", "GET /s503  503 Word", "GET /s404/with/a/path/that/is/long/and/lon\u2026 404 Not Found",
            "GET /s302  302 Found", "GET /first  200 Word"]
        assert all(x.index(" 50") == 43 for x in lines if "503 W" in x)
        go.set()
        assert v.response().status == 200
    t.wait(r"^POST /slow {34}200 Word$")
    text = t.screen(colours=True)
    for code, colour in ((503, 31), (404, 33), (302, 36)):
        assert re.search(rf"\x1b\[{colour}m{code}", text), text
    assert not re.search(r"\x1b\[3[1-6]m200", text)
    assert "secret" not in text
    t.keys("q")
    t.assert_left(0)


def test_web_interface_that_can_not_be(lab, tmux):
    """A fault at the start, when the screen is there already."""
    site = lab.site()
    t = tmux(width=120)
    t.run(t.client(lab.server(), site.port, inspect="192.0.2.1:4040"))
    t.wait(r"192\.0\.2\.1")
    t.assert_left(1)


def test_bytes_of_a_connection_that_lasts(lab, up):
    """Counted while they flow, not when the connection ends; with a rate."""
    t = up("-proto=tcp", subdomain="x", width=100)
    port = int(t.wait(r"tcp://pgrok\.me:(\d+)")[1])
    with dial(port) as v:
        v.send(request("x", body=b"x" * 200000, method="POST"))
        v.response()
        t.wait(r"^Bytes In/Out +20\d\.\d kB / 20\d\.\d kB")
        v.send(request("x", body=b"x" * 300000, method="POST"))
        v.response()
        t.wait(r"^Bytes In/Out +50\d\.\d kB / 50\d\.\d kB \([\d.]+ kB/s, [\d.]+ kB/s\)$")
        t.wait(r"^Bytes In/Out +50\d\.\d kB / 50\d\.\d kB$")
        t.wait(r"^# Conn +1$")


def test_colours(up):
    t = up()
    text = t.screen(colours=True)
    assert re.search(r"\x1b\[1m\x1b\[34mpgrok", text), text
    assert re.search(r"\x1b\[32mTunnel Status", text), text


def test_no_color(up):
    t = up(extra_env={"NO_COLOR": "1"})
    assert not COLOUR.search(t.screen(colours=True))
    assert "\x1b[1mpgrok" in t.screen(colours=True)


def test_resize(up):
    t = up()
    for width, height in ((40, 10), (120, 30), (20, 5), (1, 1), (40, 10), (80, 24)):
        t.size(width, height)
        if width >= 40:
            t.wait(r"^pgrok +\S.*$")
            t.wait(r"^Tunnel Status +online$")
        if width == 40:
            t.wait(rf"^  http://tui\.pgrok\.me:{t.server.http_port}$")
            t.wait(rf"^  https://tui\.pgrok\.me:{t.server.https_port}$")
            assert all(len(line) <= 40 for line in t.lines())
        elif width >= 80:
            t.wait(rf"^Forwarding +http://tui\.pgrok\.me:{t.server.http_port} -> 127\.0\.0\.1:{t.site.port}$")
            t.wait(r"^pgrok {%d}\(Ctrl\+C to quit\)$" % (width - 21))
    t.keys("q")
    t.assert_left(0)


@pytest.mark.parametrize("key", ["q", "C-c"])
def test_quit(up, key):
    t = up()
    t.keys(key)
    t.assert_left(0)


def test_other_keys_do_nothing(up):
    t = up()
    t.keys("x", "Escape", "Up", "F5", "Enter", "C-s", "é", "C-l")
    assert get(t.server.http_port, f"tui.pgrok.me:{t.server.http_port}").status == 200
    t.wait(r"^# Conn +1$")
    assert "x" not in t.lines()[-1]


@pytest.mark.parametrize("signame,status", [("SIGTERM", 0), ("SIGINT", 0)])
def test_end_signals(up, signame, status):
    t = up()
    os.kill(t.pid(), getattr(signal, signame))
    t.assert_left(status)


@pytest.mark.skipif(env.SANITIZED, reason="a sanitizer's own handlers decide what the status is")
@pytest.mark.parametrize("signame", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGQUIT", "SIGUSR1"])
def test_faults(up, signame):
    """A program that dies of a fault gives the terminal back, and dies of that fault."""
    t = up()
    sig = getattr(signal, signame)
    os.kill(t.pid(), sig)
    t.wait(r"^(.*dumped.*|.*fault.*|.*Abort.*|.*)\n*status=\d+$")
    t.assert_left(128 + sig)


def test_hangup_with_a_terminal_reopens_the_log(up):
    t = up()
    os.rename(t.log, t.log.with_suffix(".old"))
    os.kill(t.pid(), signal.SIGHUP)
    eventually(t.log.exists, what="the log's new file")
    t.keys("q")
    t.assert_left(0)


def test_terminal_closed(up):
    """The window is closed: the client ends, as it always did."""
    t = up()
    pid = t.pid()
    t.tmux("kill-server")
    eventually(lambda: not alive(pid), what="the client's end")


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_refused(lab, tmux):
    """The screen goes, then the message comes; status 1."""
    s = lab.server()
    lab.client(s, "-subdomain=dup", "-proto=http", 1)
    t = tmux(width=160)
    t.run(t.client(s, "-subdomain=dup", "-proto=http", 1))
    t.wait(r"^Server failed to allocate tunnel: The tunnel http://dup\.pgrok\.me:\d+ is already registered\.$")
    t.assert_left(1)


def test_bad_start_needs_no_screen(tmux):
    t = tmux()
    t.run([PGROK, "-log=none", f"-config={empty_config()}", "-tlsClientCrt=/nonexistent.pem",
           "-tlsClientKey=/nonexistent.pem", "-serveraddr=127.0.0.1:1", "80"])
    t.wait("nonexistent")
    t.assert_left(1)


@pytest.mark.parametrize("term", ["dumb", "no-such-terminal", ""])
def test_terminals_without_a_screen(lab, tmux, term):
    """Plain lines, and nothing that moves a cursor."""
    site = lab.site()
    s = lab.server()
    t = tmux(term=term)
    t.run(t.client(s, "-subdomain=x", "-proto=http", site.port))
    t.wait(rf"^Tunnel established at http://x\.pgrok\.me:{s.http_port}$")
    assert t.screen().startswith("EARLIER\n")
    t.keys("C-c")
    t.wait(r"status=0$")


def test_log_on_stdout_is_no_screen(lab, tmux):
    site = lab.site()
    s = lab.server()
    t = tmux(width=120)
    t.run(t.client(s, "-subdomain=x", "-proto=http", site.port, log="stdout"))
    t.wait(r"\[INFO\] .*Tunnel established at http://x\.pgrok\.me")
    assert "Tunnel Status" not in t.screen()


def test_keys_from_elsewhere(up):
    """stdin is no terminal: no keys, and its end is none of ours."""
    t = up(stdin="</dev/null")
    t.keys("q")
    assert get(t.server.http_port, f"tui.pgrok.me:{t.server.http_port}").status == 200
    t.wait(r"^# Conn +1$")
    t.keys("C-c")
    t.assert_left(0)


def test_stop_and_continue(lab, tmux):
    """Ctrl+Z gives the terminal back; in the background the tunnel works on; fg brings the screen."""
    site = lab.site()
    s = lab.server()
    t = tmux(width=120)
    t.shell()
    host = f"tui.pgrok.me:{s.http_port}"
    t.keys("-l", " ".join(shlex.quote(str(a)) for a in t.client(s, "-subdomain=tui", site.port)))
    t.keys("Enter")
    t.wait(r"^Tunnel Status +online")
    t.keys("C-z")
    t.wait(r"Stopped")
    assert "Tunnel Status" not in t.screen()
    assert t.cursor_shown()
    t.keys("b", "g", "Enter")
    eventually(lambda: get(s.http_port, host).status == 200)
    t.keys("-l", "echo still $((40 + 2))")
    t.keys("Enter")
    t.wait(r"^still 42$")
    assert "Tunnel Status" not in t.screen()
    t.keys("f", "g", "Enter")
    t.wait(r"^Tunnel Status +online")
    t.wait(r"^# Conn +[1-9]")
    t.keys("q")
    t.wait(r"^still 42$")
    assert "Tunnel Status" not in t.screen()


def test_started_in_the_background(lab, tmux):
    """No screen over a shell's prompt: plain lines."""
    site = lab.site()
    s = lab.server()
    t = tmux(width=120)
    t.shell()
    t.keys("-l", " ".join(shlex.quote(str(a)) for a in t.client(s, "-subdomain=tui", "-proto=http", site.port))
           + " &")
    t.keys("Enter")
    t.wait(r"^Tunnel established at http://tui\.pgrok\.me")
    t.keys("-l", "kill %1; wait; echo over")
    t.keys("Enter")
    t.wait(r"^over$")
    assert "Tunnel Status" not in t.screen()


def test_plain_lines_tell_the_inspector(lab):
    """Where it is, and that it is not where it was wanted."""
    s = lab.server()
    port = env.free_port()
    c = lab.client(s, "-subdomain=a", "80", log=None, inspect=f"127.0.0.1:{port}", tunnels=2)
    c.wait_log(f"^Web interface at http://127.0.0.1:{port}$")
    c = lab.client(s, "-subdomain=b", "80", log=None, inspect=f"127.0.0.1:{port}", tunnels=2)
    said = c.wait_log(rf"^Web interface at http://127.0.0.1:\d+ \(127.0.0.1:{port} is taken\)$")
    assert f"http://127.0.0.1:{port} " not in str(said)


def test_many_tunnels_scroll(lab, tmux):
    site = lab.site()
    s = lab.server()
    cfg = lab.config("tunnels:\n" + "".join(
        f"  t{i:02}:\n    subdomain: n{i:02}\n    proto:\n      http: {site.port}\n" for i in range(40)))
    t = tmux()
    argv = t.client(s, "start-all")
    argv[1] = f"-config={cfg}"
    t.run(argv)
    t.wait(r"^Tunnel Status +online")
    t.wait(r"^pgrok +j/k: 0 above, (\d+) below")
    assert re.search(r"//n00\.", t.screen()) and not re.search(r"//n39\.", t.screen())
    t.keys("j", "j", "j", "Down")
    t.wait(r"^pgrok +j/k: 4 above")
    t.keys("k")
    t.wait(r"^pgrok +j/k: 3 above")
    assert not re.search(r"//n00\.", t.screen())
    t.keys("G")
    t.wait(r"//n39\.")
    t.wait(r"^pgrok +j/k: \d+ above, 0 below")
    assert t.lines()[2].startswith("Tunnel Status"), "what is fixed does not scroll"
    t.keys("PageUp")
    t.wait(r"^pgrok +j/k: \d+ above, 12 below")
    t.keys("Home")
    t.wait(r"^pgrok +j/k: 0 above")
    # More room: less is scrolled away.
    t.keys("End")
    t.wait(r"//n39\.")
    t.size(80, 60)
    t.wait(r"//n00\.")
    t.wait(r"^pgrok +\(Ctrl\+C to quit\)")


def test_connection_lost_and_back(lab, up):
    t = up()
    s = t.server
    s.end()
    t.wait(r"^Tunnel Status +reconnecting \(in \d+ s: .*\)?")
    assert re.search(r"\x1b\[31mTunnel Status", t.screen(colours=True))
    lab.again(s)
    t.wait(r"^Tunnel Status +online$")


def test_local_service_is_not_there(lab, tmux):
    s = lab.server()
    t = tmux()
    t.run(t.client(s, "-subdomain=x", "-proto=http", env.free_port()))
    t.wait(r"^Tunnel Status +online")
    assert get(s.http_port, f"x.pgrok.me:{s.http_port}").status == 502
    t.wait(r"^Refused +1 \(nothing answers at the local address\)$")


def names_given(urls):
    def on_tunnel(_ctl, p):
        return [{"ReqId": p["ReqId"], "Url": u, "Protocol": "http", "Error": ""} for u in urls]
    return on_tunnel


def test_what_a_server_says_moves_no_cursor(lab, certs, tmux):
    """Wide characters keep their width, controls are shown as '?'."""
    g = lab.goserver(certs, on_tunnel=names_given(["http://日本語\x1b[2J\u202e.example"]))
    t = tmux()
    t.run(t.client(g.addr, "-proto=http", 8080))
    t.wait(r"^Forwarding {20}http://日本語\?\[2J\?\.example -> 127\.0\.0\.1:8080$")
    t.size(46, 24)
    t.wait(r"^Forwarding {6}http://日本語\?\[2J\?\.example$")
    t.keys("q")
    t.assert_left(0)


def test_terminal_of_another_tongue(lab, certs, tmux):
    g = lab.goserver(certs, on_tunnel=names_given(["http://日本.example"]))
    t = tmux(extra_env={"LC_ALL": "C"})
    t.run(t.client(g.addr, "-proto=http", 8080))
    t.wait(r"^Forwarding {20}http://\?\?\.example -> 127\.0\.0\.1:8080$")


class Pty:
    """A client on a terminal of our own, which is read only when the test wants."""

    def __init__(self, argv):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(SAN_ENV, TERM="xterm-256color", LC_ALL="C.UTF-8")
            os.execv(str(argv[0]), [str(a) for a in argv])

    def read(self, seconds, until=None):
        """(time, bytes) of each read within so long, or until these bytes came."""
        out, end = [], time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.fd], [], [], left)[0]:
                try:
                    out.append((time.monotonic(), os.read(self.fd, 65536)))
                except OSError:
                    break
                if until and until in b"".join(x for _, x in out):
                    break
        return out

    def close(self):
        """Ends it and returns what it left on the terminal."""
        os.kill(self.pid, signal.SIGTERM)
        rest = b"".join(x for _, x in self.read(env.WAIT))
        assert os.waitpid(self.pid, 0)[1] == 0
        os.close(self.fd)
        return rest


def pty_client(lab, tmp_path):
    site = lab.site()
    s = lab.server()
    p = Pty([PGROK, f"-config={empty_config()}", f"-serveraddr={s.tunnel_addr}", f"-log={tmp_path}/log",
             "-inspectaddr=disabled", "-subdomain=x", site.port])
    got = p.read(env.WAIT, until=b"online")
    assert b"online" in b"".join(x for _, x in got)
    return p, s


def test_drawn_ten_times_a_second_at_most(lab, tmp_path):
    p, s = pty_client(lab, tmp_path)
    stop = []

    def visit():
        n = 0
        with dial(s.http_port) as v:
            while not stop:
                v.send(request(f"x.pgrok.me:{s.http_port}", close=False))
                assert v.response().status == 200
                if n % 5 == 0:
                    assert get(s.http_port, f"x.pgrok.me:{s.http_port}").status == 200
                n += 1
        return n
    visitor = lab.thread(visit)
    times = [t for t, _ in p.read(2.5)]
    stop.append(1)
    assert visitor.result() > 60
    # Reads within a moment belong to one drawing; drawings without a pause would be one that does not end.
    drawings = []
    for t in times:
        if not drawings or t - drawings[-1][-1] > 0.02:
            drawings.append([])
        drawings[-1].append(t)
    assert 3 <= len(drawings) <= 28, len(drawings)
    longest = max(d[-1] - d[0] for d in drawings)
    assert longest < 0.09, f"drawn without a pause for {longest:.3f} s"
    # Nothing changes, nothing is drawn (rates go back to nothing first).
    p.read(2.5)
    assert not p.read(1.5)
    p.close()


@pytest.mark.parametrize("again", [True, False])
def test_a_terminal_that_takes_nothing_holds_up_nobody(lab, tmp_path, again):
    """Its output stands still: visitors are served, and the client ends when told."""
    p, s = pty_client(lab, tmp_path)
    slave = os.open(os.readlink(f"/proc/{p.pid}/fd/1"), os.O_RDWR | os.O_NOCTTY)
    termios.tcflow(slave, termios.TCOOFF)
    end = time.monotonic() + 2
    n = 0
    while time.monotonic() < end or n < 50:
        assert get(s.http_port, f"x.pgrok.me:{s.http_port}").status == 200
        n += 1
    assert not b"".join(x for _, x in p.read(0.1)).count(b"Conn"), "the terminal was not stopped"
    if again:
        termios.tcflow(slave, termios.TCOON)
    os.close(slave)
    rest = p.close()
    assert (b"\x1b[?1049l" in rest) == again, rest[-200:]


# ---- no terminal ----

@pytest.mark.parametrize("log", ["none", "file", "stdout"])
def test_events_for_scripts(lab, tmp_path, log):
    """-log-format=json: an object a line on stdout, wherever the log goes."""
    site = lab.site()
    s = lab.server()
    where = tmp_path / "log" if log == "file" else log
    c = lab.client(s, "-log-format=json", "-subdomain=x", site.port, log=where, wait=False)
    c.wait_log(r'"event":"tunnel","url":"http://')
    c.wait_log(r'"event":"tunnel","url":"https://')
    c.wait_log(r'"event":"state","state":"online"')
    s.end()
    c.wait_log(r'"event":"state","state":"reconnecting","error":"[^"]+","retry_ms":\d+}')
    c.end()
    said = [json.loads(x) for x in c.text("out").splitlines()]
    assert all("t" in x for x in said)
    events = [x for x in said if "event" in x]
    if log != "stdout":
        assert events == said, "log lines beside the events"
    tunnels = [x for x in events if x["event"] == "tunnel"]
    assert len(tunnels) == 2
    assert {k: v for k, v in tunnels[0].items() if k != "t"} in [
        {"event": "tunnel", "url": f"{p}://x.pgrok.me:{port}", "name": "default", "proto": p,
         "local": f"127.0.0.1:{site.port}"}
        for p, port in (("http", s.http_port), ("https", s.https_port))]
    if log == "file":
        assert '"event":"tunnel"' in where.read_text() and '"level":"info"' in where.read_text()


def test_refusal_as_an_event(lab):
    s = lab.server()
    lab.client(s, "-subdomain=dup", "-proto=http", 1)
    c = lab.client(s, "-log-format=json", "-subdomain=dup", "-proto=http", 1, log="none", wait=False)
    c.expect_exit(1)
    last = json.loads(c.text("out").splitlines()[-1])
    assert last["event"] == "refused" and "already registered" in last["error"]
    assert "already registered" in c.text("err")
