"""Where the programs are, which flavour they are, and how patient the tests have to be."""

import os
import random
import socket
import subprocess
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FLAVOR = os.environ.get("PGROK_FLAVOR", "release")
BIN = Path(os.environ.get("PGROK_BIN", ROOT / "bin")).resolve()
SANITIZED = FLAVOR in ("asan", "tsan")
HAS_TIME_SCALE = FLAVOR != "release"
GO_PGROK = os.environ.get("GO_PGROK")
GO_PGROKD = os.environ.get("GO_PGROKD")

# How long an awaited event may take: generous, a busy machine is no failure.
WAIT = 60.0 if SANITIZED else 30.0

MB = 1 << 20


def fewer(n):
    """How much of a load: a quarter under a sanitizer, which looks for faults and not for limits."""
    return n // 4 if SANITIZED else n


_timed_lock = threading.Lock()
_timed_bin = None


def timed_bin():
    """The folder of binaries that accept PGROK_TIME_SCALE; built when it is not there."""
    global _timed_bin
    with _timed_lock:
        if _timed_bin is None:
            named = os.environ.get("PGROK_TIMED_BIN")
            if named:
                _timed_bin = Path(named).resolve()
            elif HAS_TIME_SCALE:
                _timed_bin = BIN
            else:
                out = subprocess.run(["make", "-s", "-j2", "scaled"], cwd=ROOT,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     text=True, check=False)
                assert out.returncode == 0, "make scaled failed:\n" + out.stdout
                _timed_bin = ROOT / "build" / "release" / "timed"
        return _timed_bin


_handed_out = set()
_port_lock = threading.Lock()


def free_port():
    """
    A port nobody listens on, never the same twice, nor one that tests run side by side (xdist) may be
    given. Below the range the system hands to outgoing connections, so that none of the tests' own
    can take it meanwhile.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    with _port_lock:
        for _ in range(1000):
            port = random.randrange(10000 + worker, 32000, workers)
            if port in _handed_out:
                continue
            try:
                with socket.socket(socket.AF_INET6) as s:
                    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                    s.bind(("::", port))
            except OSError:
                continue
            _handed_out.add(port)
            return port
    raise AssertionError("no free port")
