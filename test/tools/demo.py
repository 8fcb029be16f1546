#!/usr/bin/env python3
"""A tunnel on one machine: pgrokd, a small site and pgrok on free loopback ports, tried out.

  demo.py [--once] [--valgrind] BINDIR

Stays until Ctrl+C; with --once it ends after the proof, status 0. Leaves nothing behind.
"""
import argparse
import ctypes
import http.client
import http.server
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

DOMAIN = "pgrok.localhost"  # browsers and curl take every name under localhost to loopback
HOST = "demo." + DOMAIN
START_SECONDS = 20

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>It works</title>
<style>body{{font:1.1em/1.6 system-ui,sans-serif;max-width:38em;margin:4em auto;padding:0 1em}}
code{{background:#8882;padding:.1em .3em;border-radius:.2em}}</style>
<h1>It works</h1>
<p>This page came from <code>{local}</code>, a service that only this machine can reach.
You asked for <code>{path}</code> of <code>{host}</code>.</p>
"""


class Failure(Exception):
    pass


class Site(http.server.BaseHTTPRequestHandler):
    """The private service: one page, whatever is asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        page = PAGE.format(
            local="%s:%d" % self.server.server_address,
            path=escape(self.path),
            host=escape(self.headers.get("Host", "")),
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *args):
        pass


class SiteServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A visitor who went away is no news."""


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;")


def free_ports(count):
    """Ports that were free a moment ago, all different."""
    socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def die_with_parent():
    """Even kill -9 of this script must not leave a daemon running (PR_SET_PDEATHSIG, Linux)."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    except AttributeError:
        pass


class Program:
    """A child process whose output is kept and can be waited for."""

    def __init__(self, name, argv):
        self.name = name
        self.lines = []
        self.changed = threading.Condition()
        self.over = False
        self.proc = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl+C is ours; the order of the end too
            preexec_fn=die_with_parent,
        )
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        for raw in self.proc.stdout:
            with self.changed:
                self.lines.append(raw.decode("utf-8", "replace").rstrip())
                self.changed.notify_all()
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def wait_for(self, pattern, count, seconds):
        """The first group of each of the first `count` lines that match."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while True:
                found = [m.group(1) for m in map(re.compile(pattern).search, self.lines) if m]
                if len(found) >= count:
                    return found
                left = deadline - time.monotonic()
                if self.over:
                    raise Failure(f"{self.name} ended early")
                if left <= 0:
                    raise Failure(f"{self.name} did not say “{pattern}” in {seconds} s")
                self.changed.wait(left)

    def stop(self, seconds):
        """SIGTERM, then SIGKILL; the exit status, None if it had to be killed."""
        if self.proc.poll() is None:
            self.proc.terminate()
        try:
            return self.proc.wait(seconds)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            return None


def fetch(url, port, context=None):
    """One request for the demo's page on a loopback port, as a visitor would send it."""
    if context:
        raw = socket.create_connection(("127.0.0.1", port), START_SECONDS)
        conn = http.client.HTTPConnection("127.0.0.1", port)
        conn.sock = context.wrap_socket(raw, server_hostname=HOST)
    else:
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    try:
        conn.request("GET", "/hello", headers={"Host": url.split("://")[1]})
        answer = conn.getresponse()
        body = answer.read().decode("utf-8", "replace")
        if context:
            conn.sock.unwrap()  # a TLS connection that just stops counts as broken off
    except (OSError, http.client.HTTPException) as e:
        raise Failure(f"no answer from {url}: {e!r}")
    finally:
        conn.close()
    if answer.status != 200 or "It works" not in body:
        raise Failure(f"{url} answered {answer.status} {answer.reason}: {body[:200]}")


class Demo:
    def __init__(self, options):
        self.options = options
        self.folder = tempfile.mkdtemp(prefix="pgrok-demo-")
        self.programs = []
        self.site = SiteServer(("127.0.0.1", 0), Site)
        threading.Thread(target=self.site.serve_forever, daemon=True).start()
        self.patience = START_SECONDS * (5 if options.valgrind else 1)

    def start(self, name, *args):
        argv = [os.path.join(self.options.bindir, name), *args]
        if self.options.valgrind:
            argv = [
                "valgrind", "--quiet", "--leak-check=full", "--errors-for-leak-kinds=definite",
                "--show-leak-kinds=definite", "--error-exitcode=99", "--fair-sched=yes", *argv,
            ]
        try:
            program = Program(name, argv)
        except OSError as e:
            raise Failure(str(e))
        self.programs.append(program)
        return program

    def up(self):
        """Starts everything; the public URLs by scheme."""
        http_port, https_port, tunnel_port = free_ports(3)
        state = os.path.join(self.folder, "state")
        server = self.start(
            "pgrokd", f"-domain={DOMAIN}", f"-httpAddr=127.0.0.1:{http_port}",
            f"-httpsAddr=127.0.0.1:{https_port}", f"-tunnelAddr=127.0.0.1:{tunnel_port}",
            "-tcpAddr=127.0.0.1", f"-stateDir={state}", "-log=stdout",
        )
        server.wait_for("(Listening for control and proxy connections on)", 1, self.patience)
        site = "127.0.0.1:%d" % self.site.server_address[1]
        files = os.path.join(self.folder, "files")
        os.makedirs(files)
        with open(os.path.join(files, "hello"), "w") as f:
            f.write("It works: this is a file.\n")
        self.config = os.path.join(self.folder, "demo.yml")
        with open(self.config, "w") as f:
            f.write(
                f"server_addr: 127.0.0.1:{tunnel_port}\n"
                "tunnels:\n"
                "  demo:\n    proto:\n"
                f"      http: {site}\n      https: {site}\n"
                "  demo-tcp:\n    proto:\n"
                f"      tcp: {site}\n"
                "  files:\n    proto:\n"
                f"      http: {files}\n"
            )
        client = self.start("pgrok", f"-config={self.config}", "-log=stdout", "start-all")
        urls = client.wait_for(r"Tunnel established at (\S+)", 4, self.patience)
        self.urls = {"folder" if "://files." in url else url.split("://")[0]: url for url in urls}
        if sorted(self.urls) != ["folder", "http", "https", "tcp"]:
            raise Failure(f"unexpected tunnels: {urls}")
        self.inspector = client.wait_for(r"web interface at (\S+)", 1, self.patience)[0]
        self.ports = {"http": http_port, "https": https_port, "folder": http_port}
        self.ports["tcp"] = int(self.urls["tcp"].rsplit(":", 1)[1])
        self.cert = os.path.join(state, "cert.pem")

    def prove(self):
        # The certificate that the server made for itself must fit the name of the tunnel.
        try:
            context = ssl.create_default_context(cafile=self.cert)
        except OSError as e:
            raise Failure(f"{self.cert}: {e}")
        for scheme in ("http", "https", "tcp", "folder"):
            fetch(self.urls[scheme], self.ports[scheme], context if scheme == "https" else None)
            print(f"  ok: a request through {self.urls[scheme]}")

    def describe(self):
        site = "127.0.0.1:%d" % self.site.server_address[1]
        print(
            f"\nThe private site {site} is now public (on this machine) at\n\n"
            f"  {self.urls['http']}/\n  {self.urls['https']}/   (self-signed certificate)\n"
            f"  {self.urls['tcp']}\n\n"
            "and so is a folder, without any service behind it, at\n\n"
            f"  {self.urls['folder']}/\n\n"
            f"The inspector, which shows every request, is at\n\n  {self.inspector}/\n\n"
            "Open one in a browser, or try\n\n"
            f"  curl -H 'Host: {HOST}:{self.ports['http']}' http://127.0.0.1:{self.ports['http']}/\n"
            f"  curl --cacert {self.cert} --resolve {HOST}:{self.ports['https']}:127.0.0.1"
            f" {self.urls['https']}/\n"
            f"  curl http://127.0.0.1:{self.ports['tcp']}/\n\n"
            f"Another tunnel, to a service of yours on port 8080:\n\n"
            f"  {os.path.join(self.options.bindir, 'pgrok')} -config={self.config}"
            " -log=stdout -subdomain=mine 8080\n\n"
            "Ctrl+C ends it all.",
            flush=True,
        )

    def watch(self):
        """Until Ctrl+C; a program that ends by itself is a failure."""
        while True:
            for program in self.programs:
                if program.proc.poll() is not None:
                    raise Failure(f"{program.name} ended, status {program.proc.returncode}")
            time.sleep(0.5)

    def down(self):
        """Stops what was started, the client first. The programs that did not end well."""
        bad = []
        well = (0,) if self.options.valgrind else (0, -signal.SIGTERM)
        for program in reversed(self.programs):
            status = program.stop(self.patience / 2)
            if status not in well:
                bad.append(f"{program.name} ended with status {status}")
        self.site.shutdown()
        self.site.server_close()
        return bad

    def tails(self):
        for program in self.programs:
            print(f"--- the last lines of {program.name}:", file=sys.stderr)
            for line in program.lines[-25:]:
                print("  " + line, file=sys.stderr)


def interrupt(*_):
    raise KeyboardInterrupt


def run(demo):
    """What went wrong, None if nothing did."""
    try:
        demo.up()
        demo.prove()
        if not demo.options.once:
            demo.describe()
            demo.watch()
    except Failure as e:
        return str(e)
    except KeyboardInterrupt:
        print()
        return None if not demo.options.once else "interrupted"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--once", action="store_true", help="end after the proof")
    parser.add_argument("--valgrind", action="store_true", help="run both under valgrind")
    parser.add_argument("bindir", metavar="BINDIR")
    demo = Demo(parser.parse_args())
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, interrupt)
    try:
        trouble = run(demo)
    finally:
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, signal.SIG_IGN)
        bad = demo.down()
        shutil.rmtree(demo.folder, ignore_errors=True)
    if not trouble and demo.options.once and bad:
        trouble = ", ".join(bad)
    if trouble:
        print(f"demo: {trouble}", file=sys.stderr)
        demo.tails()
        return 1
    if demo.options.once:
        print("demo: http, https, tcp and a folder work; everything is stopped again")
    return 0


sys.exit(main())
