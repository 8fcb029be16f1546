#!/usr/bin/env python3
"""Measures pgrok beside other tunnels on the same work, on this machine. See bench/README.md.

Settings come from the environment (or from the command line of make):
  ROUNDS=5          how often each measurement is made; the report shows medians
  QUICK=1           one short round, to see that all works
  ONLY=a,b          these peers alone          SCENARIOS=a,b   these scenarios alone (wan: all of them)
  DURATION=2        length of one load (s)     RATE=5000       requests/s of the open-loop scenario
  IDLE=2000         idle connections           TUNNELS=1000    registered tunnels
  WAN_MBIT=200      bottleneck of the long lines
Run it with --list to see peers and scenarios.
"""
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import peers  # noqa: E402
import places  # noqa: E402
import procs  # noqa: E402
import report  # noqa: E402
import scenarios  # noqa: E402
from procs import Failure  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
TOOLS = ("ping", "conn", "paced", "idle", "echo", "delay", "relay")
NEEDED = ("wrk", "nginx", "iperf3", "openssl", "ss")


def setting(name, default):
    text = os.environ.get(name, "")
    try:
        return type(default)(text) if text else default
    except ValueError:
        sys.exit(f"bench: {name}={text} is not a number")


def names_of(variable):
    return [word for word in os.environ.get(variable, "").replace(" ", ",").split(",") if word]


class Services:
    """What stands behind the tunnels: nginx, an echo server, iperf3."""

    def __init__(self, bench, place):
        self.bench, self.place = bench, place
        self.ports = {name: bench.ports.take() for name in ("web", "echo", "bulk")}
        self.iperf = None
        folder = os.path.join(bench.folder, f"services-{self.ports['web']}")
        os.makedirs(folder)
        conf = peers.write(f"{folder}/nginx.conf", self.nginx_conf(folder))
        with place.private():
            self.procs = [
                procs.spawn([peers.program("nginx"), "-c", conf, "-e", f"{folder}/error.log"],
                            bench.log("nginx")),
                procs.spawn([bench.tool("echo"), *self.address("echo")], bench.log("echo"))]
            for proc, name in zip(self.procs, ("web", "echo")):
                procs.await_port(proc, self.address(name))

    def address(self, name):
        return self.place.private_ip, self.ports[name]

    def nginx_conf(self, folder):
        temps = "".join(f"  {kind}_temp_path {folder}/{kind};\n"
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return (f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nworker_rlimit_nofile 20000;\n"
                "events { worker_connections 8000; }\n"
                f"http {{\n{temps}  access_log off;\n  keepalive_requests 1000000000;\n"
                f"  server {{\n    listen {':'.join(map(str, self.address('web')))} backlog=4096;\n"
                '    location / { default_type text/plain; return 200 "Hello, world!\\n"; }\n  }\n}\n')

    def fresh_iperf(self):
        """A new one for each cell: an aborted test leaves the old one waiting."""
        procs.end([self.iperf])
        with self.place.private():
            self.iperf = procs.spawn(["iperf3", "-s", "-B", self.place.private_ip, "-p", self.ports["bulk"]],
                                     self.bench.log("iperf3-server"))
            listening_all([self.ports["bulk"]], 5)

    def close(self):
        procs.end([*self.procs, self.iperf])


def listening(ports):
    """How many of these ports somebody listens on, in the namespace we are in."""
    low, high = min(ports), max(ports)
    out = subprocess.run(["ss", "-ltnH", f"sport >= :{low} and sport <= :{high}"], capture_output=True,
                         text=True, check=False).stdout
    found = {int(line.split()[3].rsplit(":", 1)[1]) for line in out.splitlines()}
    return len(found & set(ports))


def listening_all(ports, timeout):
    last = time.monotonic() + timeout
    while (count := listening(ports)) < len(ports):
        if time.monotonic() > last:
            raise Failure(f"{count} of {len(ports)} ports listen")
        time.sleep(0.01)


class Cell:
    """One peer, freshly started for one scenario."""

    def __init__(self, bench, peer, scenario, place):
        self.bench, self.peer, self.place = bench, peer, place
        self.folder = tempfile.mkdtemp(prefix=f"{peer.name}-", dir=bench.folder)
        self.tunnels = scenario.tunnels(bench, place)
        self.procs = []
        self.first_answer = self.all_up = None

    def start(self):
        if any(name == "bulk" for name, _, _ in self.tunnels):
            self.bench.services(self.place).fresh_iperf()
        if not self.peer.has_tunnel:
            return
        self.procs += self.peer.server(self)
        began = time.monotonic()
        self.procs += self.peer.client(self)
        with self.place.public():
            if len(self.tunnels) < 10:
                self.await_answer(began)
            # The http tunnel has no port of its own.
            ports = [port for name, port, _ in self.tunnels if not (self.peer.http_name and name == "web")]
            if ports:
                listening_all(ports, 30)
            self.all_up = time.monotonic() - began

    def await_answer(self, began):
        address, name = self.web()
        while not procs.http_once(address, name):
            dead = [p for p in self.procs if p.poll() is not None]
            if dead or time.monotonic() - began > 15:
                last = (dead or self.procs)[-1]
                raise Failure(f"{'ended' if dead else 'no answer'}: {procs.log_tail(last)}")
            time.sleep(0.002)
        self.first_answer = time.monotonic() - began

    def public(self, name):
        """Where a visitor goes for this service."""
        for tunnel, port, local in self.tunnels:
            if tunnel == name:
                if not self.peer.has_tunnel:
                    return self.place.across(local)
                return self.place.public_ip, port
        raise KeyError(name)

    def web(self):
        return self.peer.web_address(self), self.peer.http_name or "bench.test"

    def close(self):
        procs.end(self.procs)
        shutil.rmtree(self.folder, ignore_errors=True)


class Bench:
    def __init__(self):
        self.root = os.path.dirname(HERE)
        quick = setting("QUICK", 0)
        self.rounds = setting("ROUNDS", 1 if quick else 5)
        self.seconds = setting("DURATION", 1.0 if quick else 2.0)
        self.rate = setting("RATE", 5000)
        self.idle = setting("IDLE", 500 if quick else 2000)
        self.tunnels = setting("TUNNELS", 250 if quick else 1000)
        self.wan_mbit = setting("WAN_MBIT", 200)
        self.loopback = places.Loopback()
        self.place_now = None
        self.services_of = {}
        self.ports = procs.Ports()
        self.folder = tempfile.mkdtemp(prefix="pgrok-bench-")
        self.peers = peers.all_peers(self)
        self.scenarios = scenarios.all_scenarios(self)
        if quick and not names_of("SCENARIOS"):
            self.scenarios = [s for s in self.scenarios if s.name not in ("wan20", "wan100", "wan100loss")]
        self.absent = {}
        self.failures = []

    def tool(self, name):
        return os.path.join(self.folder, "tools", name)

    def log(self, name):
        return os.path.join(self.folder, f"{name}.log")

    def build_tools(self):
        os.makedirs(os.path.join(self.folder, "tools"))
        for name in TOOLS:
            cmd = [os.environ.get("CC", "cc"), "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-o",
                   self.tool(name), os.path.join(HERE, "tools", f"{name}.c")]
            subprocess.run(cmd, check=True)

    def services(self, place):
        if place not in self.services_of:
            self.services_of[place] = Services(self, place)
        return self.services_of[place]

    def wan(self, rtt_ms, loss):
        """The long line; one at a time, kept while a scenario goes through its peers."""
        self.leave_place()
        self.place_now = places.open_wan(self, rtt_ms, loss, self.wan_mbit)
        return self.place_now

    def leave_place(self):
        place, self.place_now = self.place_now, None
        if place:
            services = self.services_of.pop(place, None)
            if services:
                services.close()
            place.close()

    # Loads that several scenarios use.

    def conn(self, cell, seconds, count):
        address, name = cell.web()
        got = procs.run_json([self.tool("conn"), *address, seconds, count, name], self.log("conn"),
                             seconds + 15)
        if got["errors"] or not got["count"]:
            raise Failure(f"{got['errors']} visitors failed, {got['count']} did not")
        return got

    def ping(self, cell, seconds):
        return procs.run_json([self.tool("ping"), *cell.public("echo"), seconds], self.log("ping"),
                              seconds + 30)

    def warm_up(self, cell):
        self.conn(cell, 0.3, 8)

    # The run.

    def choose(self):
        only = names_of("ONLY")
        unknown = set(only) - {p.name for p in self.peers}
        wanted = names_of("SCENARIOS")
        unknown |= set(wanted) - {s.name for s in self.scenarios} - {"wan"}
        if unknown:
            sys.exit(f"bench: unknown: {', '.join(sorted(unknown))} (see bench.py --list)")
        if wanted:
            self.scenarios = [s for s in self.scenarios
                              if s.name in wanted or ("wan" in wanted and s.name.startswith("wan"))]
        self.peers = [p for p in self.peers if not only or p.name in only]
        for peer in self.peers:
            why = peer.missing()
            if why:
                self.absent[peer.title] = why
        self.peers = [p for p in self.peers if p.title not in self.absent]

    def prepare(self):
        for peer in self.peers:
            folder = os.path.join(self.folder, f"keys-{peer.name}")
            os.makedirs(folder)
            peer.prepare(folder)

    def estimate(self):
        return sum(s.seconds(self) * min(self.rounds, s.repeats or self.rounds) *
                   sum(s.takes(p) for p in self.peers) for s in self.scenarios)

    def measure(self, scenario, peer, place):
        cell = Cell(self, peer, scenario, place)
        try:
            cell.start()
            with place.public():
                got = scenario.measure(self, cell)
            if not peer.has_tunnel:
                got.pop("cpu", None)
            return got
        finally:
            cell.close()

    def run_scenario(self, number, scenario, turn, results):
        try:
            place = scenario.place(self)
        except Failure as why:
            self.failed(scenario, None, why)
            return
        results.means[scenario.name] = getattr(place, "means", None)
        takers = [p for p in self.peers if scenario.takes(p)]
        turn %= max(1, len(takers))
        for peer in takers[turn:] + takers[:turn]:
            head = f"[{number}/{self.rounds} {scenario.name}]"
            try:
                got = self.measure(scenario, peer, place)
            except (Failure, OSError, subprocess.SubprocessError, ValueError, TypeError) as why:
                self.failed(scenario, peer, why)
                continue
            results.add(number, scenario.name, peer.name, got)
            said = "  ".join(f"{figure.form.format(got[figure.key])} {figure.head}"
                             for figure in scenario.figures if got.get(figure.key) is not None)
            print(f"{head:<20} {peer.name:<16} {said}", flush=True)
        self.leave_place()

    def failed(self, scenario, peer, why):
        text = f"{scenario.name}, {peer.title if peer else 'all'}: {why}"
        self.failures.append(text)
        print(f"failed: {text}", flush=True)

    def run(self, results):
        for number in range(1, self.rounds + 1):
            for turn, scenario in enumerate(self.scenarios):
                if not scenario.repeats or number <= scenario.repeats:
                    self.run_scenario(number, scenario, number - 1 + turn, results)

    def close(self):
        procs.end_all()
        if self.place_now:
            self.place_now.close()
        if os.environ.get("KEEP"):
            print(f"logs are in {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


def stop(number, frame):
    raise KeyboardInterrupt


def show_list(bench):
    print("peers:     " + " ".join(p.name for p in bench.peers))
    print("scenarios: " + " ".join(s.name for s in bench.scenarios) + " (wan: all that begin so)")


def main():
    if platform.system() != "Linux":
        sys.exit("bench: runs on Linux")
    missing = [name for name in NEEDED if not peers.program(name)]
    if "-h" in sys.argv or "--help" in sys.argv:
        print(__doc__)
        return 0
    if missing and "--list" not in sys.argv:
        sys.exit(f"bench: {', '.join(missing)} missing: run `make bench-deps`")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    procs.adopt_orphans()
    bench = Bench()
    results, status = report.Results(bench), 0
    try:
        if "--list" in sys.argv:
            show_list(bench)
            return 0
        bench.choose()
        for title, why in bench.absent.items():
            print(f"left out: {title} ({why})")
        bench.build_tools()
        bench.prepare()
        print(f"{len(bench.peers)} peers, {len(bench.scenarios)} scenarios, {bench.rounds} rounds: "
              f"about {bench.estimate() / 60:.0f} min. Ctrl+C ends it; what is there is reported.",
              flush=True)
        bench.run(results)
    except KeyboardInterrupt:
        print("\ninterrupted", flush=True)
        status = 130
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        bench.close()
        if results.rows:
            report.write(bench, results, os.path.join(HERE, "results"))
    return status or (1 if bench.failures else 0)


if __name__ == "__main__":
    sys.exit(main())
