"""
When has everything happened that was to happen? When all threads of the programs sleep and no byte is on
its way to one of them. Linux tells both, in /proc.
"""

import json
import os
import socket
import struct
import time

QUIET_WAIT = 60  # seconds


class Observer:
    """
    A process of its own, because a thread that looks at its own process disturbs it. Asked with pids of
    programs, it answers when they and the process that made it are quiet.
    """

    def __init__(self):
        ask, self.ask = os.pipe()
        self.heard, say = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(ask)
            os.close(say)
            return
        os.close(self.ask)
        os.close(self.heard)
        try:
            with os.fdopen(ask) as questions:
                for line in questions:
                    os.write(say, (_wait(json.loads(line), os.getppid()) + "\n").encode())
        finally:
            os._exit(0)

    def wait(self, pids):
        os.write(self.ask, (json.dumps(pids) + "\n").encode())
        said = b""
        while not said.endswith(b"\n"):
            piece = os.read(self.heard, 4096)
            assert piece, "the observer is gone"
            said += piece
        assert said == b"\n", "not quiet: " + said.decode()

    def close(self):
        os.close(self.ask)
        os.close(self.heard)
        os.waitpid(self.pid, 0)


def _wait(pids, recorder):
    """"" when they are quiet; else what is not."""
    carriers = _carriers()
    tables = SocketTables()
    end, pause = time.monotonic() + QUIET_WAIT, 0.001
    while True:
        # Nobody ran from `before` to the last line, so all that is seen between is one moment.
        before = _runs(pids + [recorder])
        busy = _awake(before) or tables.busy(pids, recorder, strict=not carriers) or _carrying(carriers)
        if not busy and _runs(pids + [recorder]) == before:
            return ""
        if time.monotonic() > end:
            return busy or "threads wake up again and again"
        time.sleep(pause)
        pause = min(pause * 2, 0.016)


# ---- threads ----

def _runs(pids):
    """{thread: how often and how long it ran}."""
    found = {}
    for path in (p for pid in pids for p in _listed(f"/proc/{pid}/task")):
        try:
            found[path] = _read(path + "/schedstat")
        except OSError:
            continue  # it has just ended
    return found


def _read(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def _state(path):
    return _read(path + "/stat").rpartition(b")")[2][1:2]


def _awake(threads):
    for path in threads:
        try:
            if _state(path) not in b"SZX":
                return f"{path} does not sleep"
        except OSError:
            continue
    return ""


def _carriers():
    """
    The kernel's threads that hand over what a sender could not hand over by itself. In a container
    they can't be seen; then it is waited until all is acknowledged, which takes longer.
    """
    found = []
    for path in _listed("/proc"):
        try:
            if path[6:].isdigit() and _read(path + "/comm").startswith((b"ksoftirqd/", b"backlog_napi/")):
                found.append(path)
        except OSError:
            continue
    return found


def _carrying(carriers):
    """Each has to be seen asleep once, after everything else was."""
    for path in carriers:
        for _ in range(1000):
            if _state(path) != b"R":
                break
            time.sleep(0.001)
        else:
            return path
    return ""


def _listed(folder):
    try:
        return [f"{folder}/{name}" for name in os.listdir(folder)]
    except OSError:
        return []


# ---- sockets ----

SYN_SENT, SYN_RECV, TIME_WAIT, CLOSE_WAIT, LISTEN = 2, 3, 6, 8, 10


class SocketTables:
    """The kernel's TCP sockets, asked for by netlink (sock_diag(7)): /proc/net/tcp is slow where many linger."""

    def __init__(self):
        self.link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)  # NETLINK_SOCK_DIAG

    def rows(self):
        """(local, remote, state, unread, unsent, inode) of those over IPv4 that are not in TIME_WAIT."""
        ask = struct.pack("=BBBBI48x", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xfff & ~(1 << TIME_WAIT))
        self.link.send(struct.pack("=IHHII", 16 + len(ask), 20, 0x301, 1, 0) + ask)
        while True:
            data = self.link.recv(1 << 20)
            at = 0
            while at < len(data):
                size, kind = struct.unpack_from("=IH", data, at)
                if kind in (2, 3):  # an error, the end
                    assert kind == 3, "sock_diag does not answer"
                    return
                yield self._row(data[at + 16:at + size])
                at += size + 3 & ~3

    @staticmethod
    def _row(m):
        state = m[1]
        unread, unsent, _, inode = struct.unpack_from("=IIII", m, 56)
        unsent *= state != LISTEN  # it is the length of its queue
        return m[4:6] + m[8:24], m[6:8] + m[24:40], state, unread, unsent, inode

    def busy(self, pids, recorder, strict):
        """
        A socket that holds bytes or is being connected, also one that a program has closed already. What
        the recorder sent counts as under way until it is acknowledged only if strict.
        """
        programs, own = _inodes(pids), _inodes([recorder])
        orphans, peers = [], set()
        for row in list(self.rows()):
            local, remote, state, unread, unsent, inode = row
            moving = state in (SYN_SENT, SYN_RECV)
            if inode in programs or inode in own:
                peers.add((remote, local))
                # An end that nobody has to look at yet counts as one byte.
                if moving or unread > (state == CLOSE_WAIT) or unsent and (strict or inode in programs):
                    return self._said(row)
            elif inode == 0 and (moving or unsent):
                orphans.append(row)
        return next((self._said(row) for row in orphans if row[:2] in peers), "")

    @staticmethod
    def _said(row):
        ports = [int.from_bytes(end[:2], "big") for end in row[:2]]
        return f"socket {ports[0]} -> {ports[1]}: state {row[2]}, {row[3]} unread, {row[4]} unsent"


def _inodes(pids):
    found = set()
    for path in (p for pid in pids for p in _listed(f"/proc/{pid}/fd")):
        try:
            target = os.readlink(path)
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(int(target[8:-1]))
    return found
