"""The real programs as objects: started, waited for by their log's words, ended, judged."""

import atexit
import os
import re
import resource
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from . import env
from .env import WAIT, free_port

SANITIZER = re.compile(
    r"ERROR: (Address|Leak|Memory)Sanitizer|WARNING: ThreadSanitizer|runtime error:"
    r"|SUMMARY: \w*Sanitizer|Assertion .* failed|stack smashing|double free|corrupted")
ERROR_LINE = re.compile(r"\[(EROR|ERRO|ERROR)\]")

SAN_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:exitcode=86:strict_string_checks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "exitcode=86:second_deadlock_stack=1:history_size=4",
}


class Proc:
    """
    A child process whose output lines are kept. finish() ends it and asserts that it went as it
    should: status 0 after SIGTERM, no sanitizer report, no error line that was not announced.
    """

    def __init__(self, argv, name, extra_env=None, cwd=None, nofile=None, prefix=()):
        self.name = name
        self.argv = [str(a) for a in argv]
        self.lines = []      # (stream, text)
        self.cond = threading.Condition()
        self.open_streams = 2
        self.expected_status = None
        self.allowed = []    # error lines that belong to the test
        self.finished = False
        full_env = {k: v for k, v in os.environ.items()
                    if k.lower() not in ("http_proxy", "https_proxy", "no_proxy", "all_proxy")}
        full_env.pop("PGROK_TIME_SCALE", None)
        full_env.update(SAN_ENV)
        full_env.update(extra_env or {})

        def limit():
            if nofile:
                resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))

        self.p = subprocess.Popen(list(prefix) + self.argv, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd,
                                  pipesize=1 << 20,  # the programs do not wait for a reader
                                  env=full_env, preexec_fn=limit if nofile else None)
        self.readers = [threading.Thread(target=self._read, args=(self.p.stdout, "out"), daemon=True),
                        threading.Thread(target=self._read, args=(self.p.stderr, "err"), daemon=True)]
        for t in self.readers:
            t.start()

    @property
    def pid(self):
        return self.p.pid

    def _read(self, pipe, stream):
        for raw in pipe:
            with self.cond:
                self.lines.append((stream, raw.decode("utf-8", "backslashreplace").rstrip("\n")))
                self.cond.notify_all()
        with self.cond:
            self.open_streams -= 1
            self.cond.notify_all()

    # -- its words --

    def mark(self):
        """A place in the log: wait_log(..., after=mark) looks only at what comes later."""
        with self.cond:
            return len(self.lines)

    def text(self, stream=None):
        with self.cond:
            return "\n".join(t for s, t in self.lines if stream in (None, s))

    def wait_log(self, pattern, after=0, timeout=None, count=1):
        """The match of `pattern` in a line (the count-th); fails when the process ends instead."""
        rx = re.compile(pattern)
        end = time.monotonic() + (timeout or WAIT)
        with self.cond:
            at, seen = after, 0
            while True:
                while at < len(self.lines):
                    m = rx.search(self.lines[at][1])
                    at += 1
                    if m:
                        seen += 1
                        if seen >= count:
                            return m
                left = end - time.monotonic()
                if self.open_streams == 0 or left <= 0:
                    why = "ended" if self.open_streams == 0 else "said nothing of it"
                    tail = "\n".join(t for _, t in self.lines[-40:])
                    raise AssertionError(f"{self.name} {why}, awaited {pattern!r}; its last words:\n{tail}")
                self.cond.wait(min(left, 1.0))

    def has(self, pattern, after=0):
        rx = re.compile(pattern)
        with self.cond:
            return any(rx.search(t) for _, t in self.lines[after:])

    def count(self, pattern, after=0):
        rx = re.compile(pattern)
        with self.cond:
            return sum(1 for _, t in self.lines[after:] if rx.search(t))

    def allow(self, pattern):
        """An error line like this is no surprise in this test."""
        self.allowed.append(re.compile(pattern))
        return self

    # -- its life --

    def alive(self):
        return self.p.poll() is None

    def wait_exit(self, timeout=None):
        status = self.p.wait(timeout or WAIT)
        for t in self.readers:
            t.join(WAIT)
        return status

    def expect_exit(self, status, timeout=None):
        got = self.wait_exit(timeout)
        assert got == status, f"{self.name} ended with {got}, not {status}:\n{self.text()[-3000:]}"
        self.expected_status = status
        if status:
            self.allow(".*")
        return self

    def send(self, sig):
        self.p.send_signal(sig)
        if sig == signal.SIGSTOP:  # one thread takes it, the others run on until that one has its turn
            while not self._is_stopped():
                time.sleep(0.001)

    def _is_stopped(self):
        tasks = Path(f"/proc/{self.p.pid}/task").glob("*/stat")
        return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in tasks)

    def kill(self):
        """SIGKILL: no chance to say goodbye."""
        self.p.kill()
        self.wait_exit()
        self.expected_status = -signal.SIGKILL

    def stop(self, sig=signal.SIGTERM):
        """Tells it to end, waits for it."""
        if self.alive():
            self.p.send_signal(sig)
        return self.wait_exit()

    def end(self):
        """Tells it to end and asserts that it does so as it should."""
        status = self.stop()
        assert status in self.term_status(), f"{self.name}: status {status} after SIGTERM"
        self.expected_status = status

    def pss_mb(self):
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as f:
            return int(re.search(r"^Pss:\s+(\d+) kB", f.read(), re.M)[1]) / 1024

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def finish(self):
        """Ends the process if it lives; a list of complaints."""
        if self.finished:
            return []
        self.finished = True
        bad = []
        if self.alive():
            self.p.send_signal(signal.SIGCONT)
            self.p.send_signal(signal.SIGTERM)
            try:
                status = self.wait_exit(WAIT)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.wait_exit()
                bad.append(f"{self.name}: did not end within {WAIT:.0f} s of SIGTERM")
                status = None
            wanted = self.term_status()
            if status is not None and status not in wanted:
                bad.append(f"{self.name}: status {status} after SIGTERM, not {wanted[0]}")
        else:
            status = self.wait_exit()
            if status != self.expected_status:
                bad.append(f"{self.name}: ended by itself with status {status}")
        with self.cond:
            lines = list(self.lines)
        for _, t in lines:
            if SANITIZER.search(t):
                bad.append(f"{self.name}: {t}")
                break
        if self.checks_errors():
            for _, t in lines:
                if ERROR_LINE.search(t) and not any(a.search(t) for a in self.allowed):
                    bad.append(f"{self.name}: unexpected error line: {t}")
                    break
        return bad

    def last_words(self, n=60):
        """What to show of a failed test: the end of the log, or a sanitizer's report."""
        lines = [t for _, t in self.lines]
        at = next((i for i, t in enumerate(lines) if SANITIZER.search(t)), None)
        if at is not None:
            return "\n".join(lines[max(0, at - 20):at + n])
        return "\n".join(lines[-n:])

    def term_status(self):
        return [0]

    def checks_errors(self):
        return True


def is_go(program):
    return program in (env.GO_PGROK, env.GO_PGROKD)


class Server(Proc):
    """pgrokd on free loopback ports. http, https: False = switched off."""

    def __init__(self, *flags, domain="pgrok.me", http=True, https=True, workers=None, engine=None,
                 certs=None, extra_env=None, scale=None, ports=None, host="127.0.0.1", program=None,
                 state_dir=None, nofile=None, wait=True, prefix=(), name="pgrokd", log="stdout",
                 cwd=None):
        self.program = str(program or (env.timed_bin() if scale else env.BIN) / "pgrokd")
        self.go = is_go(self.program)
        self.domain, self.host = domain, host
        self.settings = dict(domain=domain, http=http, https=https, workers=workers, engine=engine,
                             certs=certs, extra_env=extra_env, scale=scale, host=host,
                             program=program, state_dir=state_dir, nofile=nofile, prefix=prefix,
                             name=name, log=log, cwd=cwd)
        self.flags = flags
        extra_env = dict(extra_env or {})
        if scale:
            extra_env["PGROK_TIME_SCALE"] = str(scale)
        for attempt in range(5):
            hp, sp, tp = ports or (free_port(), free_port(), free_port())
            self.http_port = hp if http else None
            self.https_port = sp if https else None
            self.tunnel_port = tp
            shown = f"[{host}]" if ":" in host else host
            argv = [self.program, f"-domain={domain}", f"-log={log}", "-log-level=DEBUG",
                    f"-httpAddr={shown}:{hp}" if http else "-httpAddr=",
                    f"-httpsAddr={shown}:{sp}" if https else "-httpsAddr=",
                    f"-tunnelAddr={shown}:{tp}"]
            if certs:
                argv += [f"-tlsCrt={certs.server}", f"-tlsKey={certs.server_key}"]
            if not self.go:
                if workers:
                    argv.append(f"-workers={workers}")
                if engine:
                    argv.append(f"-engine={engine.split('-')[0]}")
                if state_dir:
                    argv.append(f"-stateDir={state_dir}")
            super().__init__(argv + list(flags), name, extra_env, cwd, nofile, prefix)
            if not wait:
                return
            try:
                self.wait_log("Listening for control and proxy connections on")
                return
            except AssertionError:
                if ports or attempt == 4 or "address already in use" not in self.text():
                    self.wait_failed()
                    raise

    def wait_failed(self):
        if self.alive():
            self.p.kill()
        self.wait_exit()

    @property
    def tunnel_addr(self):
        return f"[{self.host}]:{self.tunnel_port}" if ":" in self.host else f"{self.host}:{self.tunnel_port}"

    @property
    def ports(self):
        return (self.http_port or free_port(), self.https_port or free_port(), self.tunnel_port)

    def again(self, **changes):
        """Another one with the same ports and settings (this one has ended)."""
        s = dict(self.settings)
        s.update(changes)
        return Server(*self.flags, ports=self.ports, **s)

    def term_status(self):
        return [-signal.SIGTERM] if self.go else [0]

    def checks_errors(self):
        return not self.go


class Client(Proc):
    """
    pgrok against a server. args: what follows the flags (a port, "start x" ...). Waits until
    `tunnels` of them are established. engine: "direct" or "bufferevent", with "-nomux" for a
    connection to the server for each visitor.
    """

    def __init__(self, server, *args, config=None, engine=None, scale=None, extra_env=None, wait=True,
                 tunnels=1, program=None, log="stdout", name="pgrok", cwd=None, serveraddr=True,
                 prefix=(), inspect="disabled"):
        self.program = str(program or (env.timed_bin() if scale else env.BIN) / "pgrok")
        self.go = is_go(self.program)
        addr = server if isinstance(server, str) or server is None else server.tunnel_addr
        extra_env = dict(extra_env or {})
        if scale:
            extra_env["PGROK_TIME_SCALE"] = str(scale)
        if config is None:
            config = empty_config()
        argv = [self.program, f"-config={config}"]
        if log is not None:
            argv += [f"-log={log}", "-log-level=DEBUG"]
        if serveraddr and addr:
            argv.append(f"-serveraddr={addr}")
        if inspect is not None:
            argv.append(f"-inspectaddr={inspect}")
        if engine and not self.go:
            argv.append(f"-engine={engine.split('-')[0]}")
            if engine.endswith("-nomux"):
                argv.append("-mux=false")
        super().__init__(argv + [str(a) for a in args], name, extra_env, cwd, None, prefix)
        if wait:
            try:
                self.wait_tunnels(tunnels)
            except AssertionError:
                if self.alive():
                    self.p.kill()
                self.wait_exit()
                raise

    def wait_tunnels(self, n, after=0):
        self.wait_log(ESTABLISHED, after, count=n)
        return self.urls(after)

    def urls(self, after=0):
        with self.cond:
            return [m[1] for _, t in self.lines[after:] for m in [re.search(ESTABLISHED, t)] if m]

    def url(self, scheme, after=0):
        return next(u for u in self.urls(after) if u.startswith(scheme + "://"))

    def tcp_port(self, after=0):
        return int(self.url("tcp", after).rsplit(":", 1)[1])

    def host(self, scheme="http"):
        return self.url(scheme).split("://")[1]

    def term_status(self):
        return [-signal.SIGTERM] if self.go else [0]

    def checks_errors(self):
        return not self.go


ESTABLISHED = r"Tunnel established at (\S+)"
_empty = None


def empty_config():
    """An empty configuration file: the user's own is never read by a test."""
    global _empty
    if _empty is None:
        fd, _empty = tempfile.mkstemp(prefix="pgrok-test-", suffix=".yml")
        os.close(fd)
        atexit.register(os.unlink, _empty)
    return _empty


def run(program, *args, extra_env=None, timeout=None, cwd=None, stdin=""):
    """A short run to its end: (status, stdout, stderr)."""
    full_env = dict(os.environ)
    full_env.update(SAN_ENV)
    for k in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        full_env.pop(k, None)
        full_env.pop(k.upper(), None)
    full_env.update(extra_env or {})
    p = subprocess.run([str(program)] + [str(a) for a in args], input=stdin.encode(),
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=full_env, cwd=cwd,
                       timeout=timeout or WAIT, check=False)
    out, err = p.stdout.decode("utf-8", "backslashreplace"), p.stderr.decode("utf-8", "backslashreplace")
    assert not SANITIZER.search(out + err), out + err
    return p.returncode, out, err
