"""What is measured. A scenario gets a freshly started peer (a cell) and returns its figures."""
import json
import random
import re
import subprocess
import time

import procs
from procs import Failure

UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}


class Figure:
    """A column: its key in a cell's result, what it means, and which way is better."""

    def __init__(self, key, head, better, form="{:.3g}", plot=None):
        self.key, self.head, self.better, self.form, self.plot = key, head, better, form, plot


class Scenario:
    name = ""
    title = ""
    needs = ("web",)   # tunnels besides which none is made
    figures = ()
    repeats = None     # rounds at most
    wants_http = False  # the http tunnel of ours takes part

    def place(self, bench):
        return bench.loopback

    def takes(self, peer):
        return peer.has_tunnel and (self.wants_http or not peer.http_name)

    def tunnels(self, bench, place):
        return [(name, bench.ports.take(), bench.services(place).address(name)) for name in self.needs]

    def measure(self, bench, cell):
        raise NotImplementedError

    def seconds(self, bench):
        """About how long a cell takes, start and end included."""
        return bench.seconds + 1.0


def per_unit(cpu_s, units, scale):
    return cpu_s * scale / units if units else None


def loaded(cell, work):
    """Runs the load; returns its result and the CPU seconds that the peer spent meanwhile."""
    before = procs.cpu_seconds(cell.procs)
    result = work()
    return result, procs.cpu_seconds(cell.procs) - before


class Rest(Scenario):
    name, title = "rest", "Start and rest"
    figures = (Figure("first_ms", "first answer ms", "low", "{:.0f}", "Start to first answer (ms)"),
               Figure("rest_kib", "at rest KiB", "low", "{:.0f}", "Memory at rest, both ends (KiB)"))

    def seconds(self, bench):
        return 2.0

    def measure(self, bench, cell):
        time.sleep(1.0)
        return {"first_ms": cell.first_answer * 1000, "rest_kib": procs.pss_kib(cell.procs)}


def time_of(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * UNITS[unit]


class KeepAlive(Scenario):
    name, title, wants_http = "keepalive", "Keep-alive requests (wrk -t1 -c32)", True
    figures = (Figure("rate", "req/s", "high", "{:.0f}", "Keep-alive requests/s"),
               Figure("p50", "p50 us", "low", "{:.0f}"), Figure("p99", "p99 us", "low", "{:.0f}"),
               Figure("cpu", "CPU us/req", "low", "{:.1f}", "CPU per request (us)"))

    def takes(self, peer):
        return True

    def measure(self, bench, cell):
        address, name = cell.web()
        bench.warm_up(cell)
        cmd = ["wrk", "-t1", "-c32", f"-d{max(1, round(bench.seconds))}s", "--latency", "-H",
               f"Host: {name}", f"http://{address[0]}:{address[1]}/"]
        out, cpu = loaded(cell, lambda: procs.run(cmd, bench.log("wrk"), bench.seconds + 15))
        trouble = re.search(r"(Socket errors|Non-2xx).*", out)
        if trouble and "read 0, write 0" not in trouble[0]:
            raise Failure(f"wrk: {trouble[0]}")
        count = int(re.search(r"(\d+) requests in", out)[1])
        quantiles = dict(re.findall(r"^\s+(\d\d)%\s+(\S+)", out, re.M))
        return {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]),
                "p50": time_of(quantiles["50"]), "p99": time_of(quantiles["99"]),
                "cpu": per_unit(cpu, count, 1e6)}


class NewConnection(Scenario):
    name, title, wants_http = "newconn", "A new connection for each request (32 at a time)", True
    figures = (Figure("rate", "conn/s", "high", "{:.0f}", "New connections/s"),
               Figure("p50", "p50 us", "low", "{:.0f}"), Figure("p99", "p99 us", "low", "{:.0f}"),
               Figure("cpu", "CPU us/conn", "low", "{:.1f}", "CPU per new connection (us)"))

    def takes(self, peer):
        return True

    def measure(self, bench, cell):
        bench.warm_up(cell)
        got, cpu = loaded(cell, lambda: bench.conn(cell, bench.seconds, 32))
        return {"rate": got["count"] / got["seconds"], "p50": got["p50"], "p99": got["p99"],
                "cpu": per_unit(cpu, got["count"], 1e6)}


class Paced(Scenario):
    name, wants_http = "paced", True
    figures = (Figure("p50", "p50 us", "low", "{:.0f}"), Figure("p99", "p99 us", "low", "{:.0f}",
               "Latency at a fixed rate, p99 (us)"), Figure("p999", "p99.9 us", "low", "{:.0f}"),
               Figure("cpu", "CPU us/req", "low", "{:.1f}"),
               Figure("unanswered", "unanswered", "low", "{:.0f}"))

    def __init__(self, bench):
        self.title = f"Latency at {bench.rate} requests/s, whatever the answers do (32 connections)"

    def takes(self, peer):
        return True

    def measure(self, bench, cell):
        address, name = cell.web()
        bench.warm_up(cell)
        cmd = [bench.tool("paced"), *address, bench.rate, bench.seconds, 32, name]
        got, cpu = loaded(cell, lambda: procs.run_json(cmd, bench.log("paced"), bench.seconds + 30))
        return {"p50": got["p50"], "p99": got["p99"], "p999": got["p999"], "unanswered": got["errors"],
                "cpu": per_unit(cpu, got["count"], 1e6)}


def iperf(bench, cell, seconds, *more):
    """Gb/s and bytes that arrived."""
    address = cell.public("bulk")
    cmd = ["iperf3", "-J", "-c", address[0], "-p", address[1], "-t", seconds, *more]
    for last in (False, True):
        try:
            got = procs.run_json(cmd, bench.log("iperf3"), seconds + 15)["end"]["sum_received"]
            return got["bits_per_second"] / 1e9, got["bytes"]
        except (Failure, KeyError, json.JSONDecodeError) as why:
            # The server may still be busy with the end of what came before.
            if last:
                raise Failure(f"iperf3: {' '.join(str(why).split())[-200:]}") from None
            time.sleep(0.5)


class Bulk(Scenario):
    needs = ("web", "bulk")

    def __init__(self, name, title, *flags):
        self.name, self.title, self.flags = name, title, flags
        self.figures = (Figure("gbps", "Gb/s", "high", "{:.2f}", f"{title} (Gb/s)"),
                        Figure("cpu", "CPU s/GB", "low", "{:.2f}", f"{title}, CPU (s/GB)"))

    def takes(self, peer):
        return not peer.http_name

    def measure(self, bench, cell):
        seconds = max(1, round(bench.seconds))
        (gbps, count), cpu = loaded(cell, lambda: iperf(bench, cell, seconds, *self.flags))
        return {"gbps": gbps, "cpu": per_unit(cpu, count, 1e9)}


class Ping(Scenario):
    name, title, needs = "ping", "One byte there and back", ("web", "echo")
    figures = (Figure("p50", "p50 us", "low", "{:.0f}", "1-byte ping, p50 (us)"),
               Figure("p99", "p99 us", "low", "{:.0f}"), Figure("cpu", "CPU us/ping", "low", "{:.1f}"))

    def takes(self, peer):
        return not peer.http_name

    def measure(self, bench, cell):
        got, cpu = loaded(cell, lambda: bench.ping(cell, bench.seconds))
        return {"p50": got["p50"], "p99": got["p99"], "cpu": per_unit(cpu, got["count"], 1e6)}


def ping_beside_bulk(bench, cell, seconds, lead):
    """Ping for so many seconds, `lead` seconds after a download began that goes on until the end."""
    address = cell.public("bulk")
    bulk = procs.spawn(["iperf3", "-J", "-c", address[0], "-p", address[1], "-R", "-t",
                        max(1, round(seconds + lead)) + 1], bench.log("iperf3"), stdout=subprocess.PIPE)
    try:
        time.sleep(lead)
        got = bench.ping(cell, seconds)
        out, _ = bulk.communicate(timeout=seconds + lead + 20)
        gbps = json.loads(out)["end"]["sum_received"]["bits_per_second"] / 1e9
    except (subprocess.TimeoutExpired, KeyError, json.JSONDecodeError):
        raise Failure("iperf3 did not finish beside the ping") from None
    finally:
        procs.end([bulk])
    return {"p50": got["p50"], "p99": got["p99"], "gbps": gbps}


class PingUnderLoad(Scenario):
    name, title = "pingbulk", "One byte there and back, beside a bulk download"
    needs = ("web", "echo", "bulk")
    figures = (Figure("p50", "p50 us", "low", "{:.0f}", "Ping beside a download, p50 (us)"),
               Figure("p99", "p99 us", "low", "{:.0f}"), Figure("gbps", "Gb/s meanwhile", "high", "{:.2f}"))

    def takes(self, peer):
        return not peer.http_name

    def seconds(self, bench):
        return bench.seconds + 2.5

    def measure(self, bench, cell):
        return ping_beside_bulk(bench, cell, bench.seconds, 0.4)


class Idle(Scenario):
    name, needs = "idle", ("web", "echo")
    figures = (Figure("kib", "KiB/connection", "low", "{:.1f}", "Memory per idle connection (KiB)"),
               Figure("alive", "alive at the end", "high", "{:.0f}"))

    def __init__(self, bench):
        self.title = f"{bench.idle} idle connections"

    def seconds(self, bench):
        return 3.0

    def measure(self, bench, cell):
        bench.ping(cell, 0.1)
        before = procs.pss_kib(cell.procs)
        tool = procs.spawn([bench.tool("idle"), *cell.public("echo"), bench.idle], bench.log("idle"),
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            held = int(procs.read_line(tool, 60).split()[1])
            # Time to give back what only a busy connection needs.
            time.sleep(1.0)
            after = procs.pss_kib(cell.procs)
            tool.stdin.write(b"\n")
            tool.stdin.flush()
            alive = int(procs.read_line(tool, 30).split()[1])
        finally:
            procs.end([tool])
        if held < bench.idle:
            raise Failure(f"only {held} of {bench.idle} connections came through")
        return {"kib": (after - before) / held, "alive": alive}


class Tunnels(Scenario):
    name = "tunnels"
    figures = (Figure("seconds", "s until all are up", "low", "{:.2f}"),
               Figure("kib", "KiB in all", "low", "{:.0f}", "Memory with many tunnels (KiB)"),
               Figure("cpu", "CPU us/tunnel", "low", "{:.0f}"))

    def __init__(self, bench):
        self.title = f"{bench.tunnels} tcp tunnels registered"

    def seconds(self, bench):
        return 4.0

    def tunnels(self, bench, place):
        local = bench.services(place).address("web")
        return [("web" if i == 0 else f"t{i}", port, local)
                for i, port in enumerate(bench.ports.take_row(bench.tunnels))]

    def measure(self, bench, cell):
        # The cell is handed over when all tunnels listen; see Cell.start().
        time.sleep(0.5)
        cpu, kib = procs.cpu_seconds(cell.procs), procs.pss_kib(cell.procs)
        for name, port, _ in random.sample(cell.tunnels, min(10, len(cell.tunnels))):
            if not procs.http_once((cell.place.public_ip, port), "bench.test", 10):
                raise Failure(f"tunnel {name} is registered but does not answer")
        return {"seconds": cell.all_up, "kib": kib,
                "cpu": per_unit(cpu, bench.tunnels, 1e6)}


class Wan(Scenario):
    needs = ("web", "echo", "bulk")
    repeats = 3
    figures = (Figure("down", "1 stream Mb/s", "high", "{:.0f}", "1 stream (Mb/s)"),
               Figure("down4", "4 streams Mb/s", "high", "{:.0f}", "4 streams (Mb/s)"),
               Figure("ping", "ping p50 ms", "low", "{:.1f}"),
               Figure("beside", "beside 1 stream", "low", "{:.1f}", "ping beside 1 stream, p50 (ms)"),
               Figure("visitor", "new visitor p50 ms", "low", "{:.1f}", "new visitor, p50 (ms)"),
               Figure("visitor99", "p99 ms", "low", "{:.1f}"))

    def __init__(self, name, bench, rtt_ms, loss=0):
        self.name, self.rtt_ms, self.loss = name, rtt_ms, loss
        self.title = f"A line of {rtt_ms} ms" + (f" and {loss:g} % loss" if loss else "") + \
            f", {bench.wan_mbit} Mb/s"

    def place(self, bench):
        return bench.wan(self.rtt_ms, self.loss)

    def takes(self, peer):
        return not peer.http_name and "bev" not in peer.name

    def seconds(self, bench):
        return 2 * self.times(bench) + 10.0 + bench.seconds

    def times(self, bench):
        return 2 + max(2, round(bench.seconds * 2))

    def measure(self, bench, cell):
        # The first two seconds are the start of TCP, which no tunnel can hide.
        bulk = self.times(bench) - 2, "-R", "-O", 2
        return {"down": iperf(bench, cell, *bulk)[0] * 1000,
                "down4": iperf(bench, cell, *bulk, "-P", 4)[0] * 1000,
                "ping": bench.ping(cell, 1.0)["p50"] / 1000,
                "beside": ping_beside_bulk(bench, cell, bench.seconds, 2)["p50"] / 1000,
                **self.visitors(bench, cell)}

    def visitors(self, bench, cell):
        got = bench.conn(cell, max(2.0, bench.seconds), 1)
        return {"visitor": got["p50"] / 1000, "visitor99": got["p99"] / 1000}


def all_scenarios(bench):
    return [Rest(), KeepAlive(), NewConnection(), Paced(bench), Bulk("down", "Download", "-R"),
            Bulk("up", "Upload"), Bulk("streams", "Download, 8 streams", "-R", "-P", "8"), Ping(),
            PingUnderLoad(), Idle(bench), Tunnels(bench), Wan("wan20", bench, 20),
            Wan("wan50", bench, 50), Wan("wan100", bench, 100), Wan("wan100loss", bench, 100, 1)]
