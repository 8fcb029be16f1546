"""Processes of the benchmark: started, measured, and ended by their pid."""
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
libc = ctypes.CDLL(None, use_errno=True)
running = []


class Failure(Exception):
    """One measurement did not come about. The run goes on with the next."""


def adopt_orphans():
    """What a daemon leaves behind becomes our child, and is waited for like one."""
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)


def reap(pids):
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(cmd, log, **more):
    """Starts a daemon or a tool in a session of its own, so that Ctrl+C reaches only us."""
    with open(log, "ab") as out:
        more.setdefault("stdout", out)
        proc = subprocess.Popen([str(word) for word in cmd], stderr=out, start_new_session=True,
                                preexec_fn=die_with_parent,
                                **{"stdin": subprocess.DEVNULL, **more})
    proc.log = log
    running.append(proc)
    return proc


def stat(pid):
    """(parent, start time, CPU ticks with those of reaped children), or None."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            fields = f.read().rsplit(b")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return int(fields[1]), int(fields[19]), sum(int(n) for n in fields[11:15])


def lives(pid, started):
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            fields = f.read().rsplit(b")", 1)[1].split()
    except (OSError, IndexError):
        return False
    return int(fields[19]) == started and fields[0] != b"Z"


def tree(procs):
    """The pids of these processes and of all that they started: {pid: start time}."""
    stats = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            one = stat(int(name))
            if one:
                stats[int(name)] = one
    found = {p.pid for p in procs if p.pid in stats}
    grown = True
    while grown:
        more = {pid for pid, one in stats.items() if one[0] in found} - found
        grown = bool(more)
        found |= more
    return {pid: stats[pid][1] for pid in found}


def cpu_seconds(procs):
    """User and system time of the processes, all threads, and of what they started."""
    return sum((stat(pid) or (0, 0, 0))[2] for pid in tree(procs)) / TICKS


def pss_kib(procs):
    total = 0
    for pid in tree(procs):
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
        except (OSError, ValueError):
            continue
    return total


def signal_tree(pids, number):
    """Only those that still are who they were: a pid may have been given away meanwhile."""
    for pid, started in pids.items():
        if lives(pid, started):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass


def end(procs):
    """Ends these processes and all that they started."""
    procs = [p for p in procs if p]
    pids = tree(procs)
    signal_tree(pids, signal.SIGTERM)
    last = time.monotonic() + 2
    while time.monotonic() < last:
        for p in procs:
            p.poll()
        if not any(lives(pid, started) for pid, started in pids.items()):
            break
        time.sleep(0.01)
    signal_tree(pids, signal.SIGKILL)
    for p in procs:
        p.wait()
    reap(pids)
    for p in procs:
        if p in running:
            running.remove(p)
        for pipe in (p.stdin, p.stdout):
            if pipe:
                pipe.close()


def end_all():
    end(list(running))


def log_tail(proc, lines=3):
    try:
        with open(proc.log, "rb") as f:
            f.seek(max(0, os.fstat(f.fileno()).st_size - 2000))
            text = f.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""
    return " | ".join(text.splitlines()[-lines:])


def run(cmd, log, timeout):
    """Runs a load tool to its end. Returns what it printed."""
    proc = spawn(cmd, log, stdout=subprocess.PIPE)
    try:
        out, _ = proc.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failure(f"{os.path.basename(str(cmd[0]))} took more than {timeout:.0f} s") from None
    finally:
        end([proc])
    text = out.decode("utf-8", "replace")
    if proc.returncode != 0:
        said = text.strip()[-300:] if "error" in text else log_tail(proc)
        raise Failure(f"{os.path.basename(str(cmd[0]))}: {said}")
    return text


def run_json(cmd, log, timeout):
    return json.loads(run(cmd, log, timeout))


def read_line(proc, timeout):
    """A line from a tool that runs on."""
    ready, _, _ = select.select([proc.stdout], [], [], timeout)
    line = proc.stdout.readline().decode() if ready else ""
    if not line:
        raise Failure(f"{os.path.basename(proc.args[0])}: {log_tail(proc) or 'no answer in time'}")
    return line.strip()


def accepts(address, timeout=1.0):
    try:
        socket.create_connection(address, timeout).close()
        return True
    except OSError:
        return False


def await_port(proc, address, timeout=10):
    last = time.monotonic() + timeout
    while not accepts(address):
        if proc.poll() is not None:
            raise Failure(f"{os.path.basename(proc.args[0])} ended: {log_tail(proc)}")
        if time.monotonic() > last:
            raise Failure(f"nothing listens on {address[0]}:{address[1]}: {log_tail(proc)}")
        time.sleep(0.005)


def http_once(address, name, timeout=2.0):
    """One GET on a new connection: True if it was answered with 200."""
    try:
        with socket.create_connection(address, timeout) as s:
            s.settimeout(timeout)
            s.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            got = b""
            while b"\r\n\r\n" not in got:
                piece = s.recv(4096)
                if not piece:
                    return False
                got += piece
            return got.startswith(b"HTTP/1.1 200")
    except OSError:
        return False


class Ports:
    """Free ports below those that the kernel gives to outgoing connections."""

    def __init__(self):
        with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
            first = int(f.read().split()[0])
        self.low, self.high = (10000, first) if first > 14000 else (10000, 32000)
        # Two runs at the same time should not want the same ports.
        self.at = self.low + os.getpid() * 37 % (self.high - self.low)

    def is_free(self, port):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("", port))
            except OSError:
                return False
        return True

    def take(self):
        for _ in range(self.high - self.low):
            self.at += 1
            if self.at >= self.high:
                self.at = self.low
            if self.is_free(self.at):
                return self.at
        raise Failure("no free port")

    def take_row(self, count):
        """That many ports, one after the other."""
        tries = 0
        row = [self.take()]
        while len(row) < count:
            port = self.take()
            row = row + [port] if port == row[-1] + 1 else [port]
            tries += 1
            if tries > 50 * count:
                raise Failure(f"no {count} free ports in a row")
        return row
