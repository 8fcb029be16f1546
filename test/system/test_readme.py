"""
What README.md and docs/ tell people to type, typed; what they say of flags, keys and messages, looked
up; and the demo, as `make demo ONCE=1` runs it.

The word behind a block's fence says how it is tried:

  sh           typed; a program that stays is awaited, and every tunnel of a client is visited
  text         right behind `sh`: what that prints ("..." stands for anything)
  yaml         a configuration file, named in its first line: no complaint, all its tunnels work; one
               whose name begins with "pgrokd" is a server's, and -check has no complaint
  nginx, caddyfile, haproxy    started in front of the server, and tunnels visited through it
  ini          a systemd unit, or a drop-in for the one before it: systemd-analyze has no complaint

A block right below `<!-- not run: why -->` is left alone. Any other block is a failure.

Each part of a page that begins with "## " stands for itself: a folder of its own, nothing running. A
server, services and a default configuration that its examples need and that it does not make are there.
Names below tunnel.example.com lead to this machine, and ports are others, which are free.
"""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
from dataclasses import dataclass, field

import pytest

from lib.backends import Backend, answer, http, read_request, websocket, ws_frame, ws_read
from lib.certs import Certs
from lib.env import BIN, FLAVOR, ROOT, WAIT, free_port
from lib.inspector import Inspector
from lib.net import Aborted, Short, dial, dial_tls, eventually, get, request
from lib.procs import Proc

DOMAIN = "tunnel.example.com"
LETSENCRYPT = f"/etc/letsencrypt/live/{DOMAIN}"
PAGES = [ROOT / "README.md"] + sorted((ROOT / "docs").glob("*.md"))
LINKING = PAGES + [ROOT / p for p in ("bench/README.md", "bench/SCALING.md", "assets/inspect/API.md",
                                      "CONTRIBUTING.md")]
HTTP, HTTPS, CLIENTS, INSPECTOR, ADMIN = 80, 443, 4443, 4040, 4041
SERVICES = (22, 3000, 8080, 8081)
PORTS = (HTTP, HTTPS, CLIENTS, INSPECTOR, ADMIN, 8000, 8443, 9443, 20022) + SERVICES
FRONTS = ("nginx", "caddyfile", "haproxy")
PORT = re.compile(r"(?<=[:= ])(%s)(?![\w.%%-])" % "|".join(map(str, PORTS)))


# ---- a page and its blocks ----

@dataclass
class Block:
    lang: str
    text: str
    line: int
    spared: bool  # "not run"
    follows: bool = False  # nothing but blank lines between it and the block before it


@dataclass
class Part:
    page: str
    title: str
    blocks: list = field(default_factory=list)
    top: "Part" = None  # of its page


def parts_of(path):
    """The parts of a page; complains of code that is in no fenced block."""
    parts = [Part(path.name, "top")]
    lines = path.read_text(encoding="utf-8").split("\n")
    at, spared, follows = 0, False, False
    while at < len(lines):
        line = lines[at]
        fence = re.match(r"( *)```(\S*)", line)
        if fence:
            end = next(i for i in range(at + 1, len(lines)) if lines[i] == fence[1] + "```")
            text = textwrap.dedent("\n".join(lines[at + 1:end]) + "\n")
            parts[-1].blocks.append(Block(fence[2], text, at + 1, spared, follows))
            at, spared, follows = end + 1, False, True
            continue
        assert not re.match(r"( {4}|\t)\s*\S", line) or lines[at - 1].strip(), \
            f"{path.name}:{at + 1}: an indented block; a fence says how it is tried"
        if line.startswith("## "):
            parts.append(Part(path.name, line[3:], top=parts[0]))
        if line.strip():
            spared = bool(re.fullmatch(r"\s*<!-- not run: .+ -->", line))
            follows = False
        at += 1
    return parts


def commands_of(text):
    """The lines of a shell block, continuation lines joined, comments gone."""
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = (re.sub(r"(^|\s+)#.*", "", line).strip() for line in joined.split("\n"))
    return [line for line in lines if line]


def stays(command):
    """Does this command run until it is ended?"""
    words = [w for w in command.split() if w != "sudo" and not re.match(r"[A-Z_]+=", w)]
    if words[0] == "pgrok":
        return not {"list", "version", "help", "-h"} & set(words)
    if words[0] == "pgrokd":
        return not {"-check", "hash-token", "-h"} & set(words)
    return command.startswith("python3 -m http.server")


def output_pattern(text):
    return re.escape(text.rstrip("\n")).replace(r"\.\.\.", ".*?")


# ---- names ----

class NameProxy:
    """The way to tunnel.example.com: an HTTP proxy that leads CONNECT to this machine's port."""

    def __init__(self, port_of):
        self.port_of = port_of
        self.backend = Backend(self.serve)

    def serve(self, conn, _backend):
        m = re.match(rb"CONNECT ([^ ]+):(\d+) ", conn.recv_until(b"\r\n\r\n"))
        assert m[1].decode() == DOMAIN
        up = socket.create_connection(("127.0.0.1", self.port_of(int(m[2]))), WAIT)
        conn.send(b"HTTP/1.1 200 OK\r\n\r\n")
        t = threading.Thread(target=self.copy, args=(conn.sock, up), daemon=True)
        t.start()
        self.copy(up, conn.sock)
        t.join(WAIT)
        up.close()

    @staticmethod
    def copy(a, b):
        a.settimeout(None)
        try:
            while data := a.recv(1 << 16):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass


# ---- the reader ----

class Reader:
    """Types what one part of a page says, in an empty folder."""

    def __init__(self, folder, certs):
        self.folder, self.certs = folder, certs
        self.ports = {}
        self.server = self.client = self.unit = self.config = None
        self.running, self.backends = [], []
        self.missing = []  # what could not be tried here
        self.names = NameProxy(self.port)
        self.env = {k: v for k, v in os.environ.items()
                    if k not in ("B", "BIN", "FLAVOR", "DEBUG", "VHOST", "STATE_DIRECTORY")}
        self.env.update(
            HOME=str(folder), MAKEFLAGS="", PATH=f"{BIN}:{os.environ['PATH']}",
            DESTDIR=str(folder / "destdir"), SSL_CERT_FILE=str(certs.ca),
            http_proxy=f"http://127.0.0.1:{self.names.backend.port}", no_proxy="127.0.0.1,localhost")
        live = folder / "letsencrypt"
        live.mkdir()
        shutil.copy(certs.server, live / "fullchain.pem")
        shutil.copy(certs.server_key, live / "privkey.pem")
        shutil.copy(ROOT / "debug.yml.example", folder)
        shutil.copy(certs.ca, folder / "ca.pem")  # pages make one in another part
        (folder / "site").mkdir()
        (folder / "site/index.html").write_text("a folder\n")
        (folder / ".curlrc").write_text("noproxy = *\n" + "".join(
            f'connect-to = ":{p}:127.0.0.1:{self.port(p)}"\n' for p in (HTTP, HTTPS)))

    def port(self, number):
        """The free port that stands for this one."""
        if number not in self.ports:
            self.ports[number] = free_port()
        return self.ports[number]

    def adapt(self, text):
        text = text.replace(LETSENCRYPT, str(self.folder / "letsencrypt"))
        text = text.replace("/usr/local/bin", str(BIN))
        # Addresses of the server keep their port: NameProxy knows it.
        return re.sub(rf"({DOMAIN}:(?:{CLIENTS}|{HTTPS})\b)|" + PORT.pattern,
                      lambda m: m[1] or str(self.port(int(m[2]))), text)

    # -- blocks --

    def read(self, part):
        blocks = [b for b in part.blocks if not b.spared]
        if {b.lang for b in blocks} & set(FRONTS):  # of the server that the page begins with
            blocks = [b for b in part.top.blocks if b.lang == "sh"] + blocks
        text = "\n".join(b.text for b in blocks)
        self.need_services(text)
        for i, b in enumerate(blocks):
            after = blocks[i + 1] if i + 1 < len(blocks) else None
            output = after if after and after.lang == "text" and after.follows else None
            try:
                self.try_block(b, output)
            except BaseException:
                print(f"---- {part.page}:{b.line}")
                raise

    def try_block(self, b, output):
        if b.lang == "sh":
            self.type(b.text, output)
        elif b.lang == "yaml":
            self.save_config(b.text)
        elif b.lang in FRONTS:
            getattr(self, "front_" + b.lang)(self.adapt(b.text))
        elif b.lang == "ini":
            self.check_unit(b.text)
        else:
            assert b.lang == "text" and b.follows, f"nobody tries a block of “{b.lang}” here"

    def need_services(self, text):
        """Those that the page talks of and does not start."""
        for number in map(int, set(PORT.findall(text))):
            if number in SERVICES and f"http.server --bind 127.0.0.1 {number}" not in text:
                self.backends.append(Backend(http(name=f"service {number}"), port=self.port(number)))

    # -- the shell --

    def type(self, text, output):
        commands = commands_of(text)
        if not any(map(stays, commands)):
            self.run(text, output)
            return
        for c in commands:
            last = output if c == commands[-1] else None
            if stays(c):
                self.start(c, last)
            else:
                self.run(c, last)

    def run(self, text, output):
        """To its end. Without expected output a failure is one."""
        cwd = self.folder
        if text.startswith("make"):
            if FLAVOR != "release" or BIN != ROOT / "bin":
                return
            cwd, text = ROOT, text.replace("make deps", "make -n deps")
        if "-config" not in text:  # the one in the home directory is not the page's
            text = re.sub(r"^pgrok\b", f"pgrok -config={self.config_file()}", text, flags=re.M)
        out = subprocess.run(["bash", "-ec", self.adapt(text.replace("sudo ", ""))], cwd=cwd,
                             env=self.env, timeout=WAIT * 10, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert output or out.returncode == 0, f"{text}\n{out.stdout}"
        if output:
            wanted = self.adapt(output.text)
            assert re.fullmatch(output_pattern(wanted), out.stdout.rstrip("\n"), re.S), \
                f"{text}\nprinted\n{out.stdout}\nand not\n{wanted}"

    def start(self, command, output):
        """A program that stays; back when it is ready, or has ended as the page says."""
        words = shlex.split(self.adapt(command))
        if words[0] == "sudo":
            del words[0]
        env = {}
        while re.match(r"[A-Z_]+=", words[0]):
            key, _, env[key] = words.pop(0).partition("=")
        if words[0] == "pgrokd":
            p = self.start_server(words[1:], env)
        elif words[0] == "pgrok":
            p = self.start_client(words[1:], env)
        else:
            p = self.spawn(words, env)
            eventually(lambda: p.alive() and port_open(int(words[-1])))
        if output:
            pattern = re.compile(output_pattern(self.adapt(output.text)), re.S)
            eventually(lambda: pattern.match(p.text()) or not p.alive())
            assert pattern.match(p.text()), f"{command}\nprinted\n{p.text()}\nand not\n{output.text}"
        else:
            assert p.alive(), f"{command}\n{p.text()}"

    def spawn(self, words, env=None):
        p = Proc(words, words[0], {**self.env, **(env or {})}, self.folder)
        self.running.append(p)
        return p

    @staticmethod
    def end(*procs):
        for p in procs:
            if p and p.alive():
                p.stop()

    # -- the server --

    def start_server(self, args, env=None):
        """On loopback only, whatever the page says; with the URLs that it would have there."""
        self.end(self.client, self.server)
        self.client, env = None, dict(env or {})
        flags = dict(a.lstrip("-").split("=", 1) for a in args)
        usual = "httpAddr" not in flags and "httpsAddr" not in flags
        for name, number in (("httpAddr", HTTP), ("httpsAddr", HTTPS), ("tunnelAddr", CLIENTS)):
            addr = flags.setdefault(name, f":{self.port(number)}")
            flags[name] = addr and "127.0.0.1:" + addr.rpartition(":")[2]
        flags.setdefault("tcpAddr", "127.0.0.1")
        flags.setdefault("stateDir", "state")
        if usual:
            env.setdefault("VHOST", flags.get("domain", DOMAIN))
        self.server = self.spawn(["pgrokd"] + [f"-{k}={v}" for k, v in flags.items()], env)
        self.server.wait_log("Listening for control and proxy connections on")
        self.server.flags = flags
        return self.server

    def need_server(self):
        live = self.folder / "letsencrypt"
        if not self.server:
            self.start_server([f"-domain={DOMAIN}", f"-tlsCrt={live}/fullchain.pem",
                               f"-tlsKey={live}/privkey.pem"])

    # -- the client --

    def save_config(self, text):
        """Checked at once; if it has tunnels, they work."""
        text = self.adapt(text)
        name = re.match(r"# (\S+)\n", text)
        assert name, "the first line of a configuration file is a comment with its name"
        path = self.folder / name[1].replace("~/", "")
        path.write_text(text)
        if path.name.startswith("pgrokd"):
            out = subprocess.run(["pgrokd", "-check", f"-config={path}"], env=self.env, check=False,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert out.returncode == 0, out.stdout
            return
        out = subprocess.run(["pgrok", f"-config={path}", "list"], env=self.env, check=False,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if name[1] == "~/.pgrok":
            self.config = path
        if out.returncode:  # then the page shows how it fails
            return
        assert "unknown key" not in out.stdout, out.stdout
        if out.stdout:
            self.start_client([f"-config={path}", "start-all"])
            self.end(self.client)

    def config_file(self):
        """That of the page, else one that names the server, and trusts it if it can."""
        if self.config:
            return self.config
        path = self.folder / "default.yml"
        pin = self.server and re.search(r"server_pin: (\S+)", self.server.text())
        path.write_text(f"server_addr: {DOMAIN}:{CLIENTS}\n" +
                        (f"server_pin: {pin[1]}\n" if pin else "trust_host_root_certs: true\n"))
        return path

    def start_client(self, args, env=None):
        self.need_server()
        self.end(self.client)
        given = next((a.split("=", 1)[1] for a in args if a.startswith("-config=")), None)
        config = self.folder / given if given else self.config_file()
        text = config.read_text()
        extra = [] if given else [f"-config={config}"]
        if "server_addr" not in text:
            extra.append(f"-serveraddr={DOMAIN}:{CLIENTS}")
        if "inspect_addr" not in text:
            extra.append(f"-inspectaddr=127.0.0.1:{self.port(INSPECTOR)}")
        self.client = p = self.spawn(["pgrok"] + extra + args, env)
        eventually(lambda: not p.alive() or self.online(), what="the client is online")
        if p.alive():
            for t in self.tunnels():
                self.visit(t["public_url"])
        return p

    def inspector(self):
        return Inspector(self.port(INSPECTOR))

    def online(self):
        try:
            return self.inspector().get("/api/status")["status"] == "online"
        except (OSError, Short, Aborted):
            return False

    def tunnels(self):
        return self.inspector().get("/api/tunnels")["tunnels"]

    def visit(self, url):
        """A visitor of this URL gets an answer of the service, or is asked for a password."""
        scheme, _, host = url.partition("://")
        if scheme == "tcp":
            r = get(int(host.rpartition(":")[2]), "localhost")
        else:
            addr = self.server.flags["httpAddr" if scheme == "http" else "httpsAddr"]
            # Not as the proxy that the server awaits, if it does.
            source = "127.0.0.2" if "proxyProtocol" in self.server.flags else None
            r = get(int(addr.rpartition(":")[2]), host, tls=scheme == "https", source=source)
        assert r.status in (200, 401), f"{url}: {r}"

    # -- in front of the server --

    def need(self, *programs):
        gone = [p for p in programs if not shutil.which(p)]
        self.missing += gone
        return not gone

    def front(self, words, ports, schemes):
        self.end(*[p for p in self.running if p not in (self.server, self.client)])
        p = self.spawn(words)
        eventually(lambda: not p.alive() or all(map(port_open, ports)), what=f"{words[0]} listens")
        assert p.alive(), p.text()
        self.front_visits(schemes)

    def front_nginx(self, text):
        if not self.need("nginx"):
            return
        stream = "stream {" in text
        module = "/usr/lib/nginx/modules/ngx_stream_module.so"
        if stream and not os.path.exists(module):
            self.missing.append("nginx's stream module")
            return
        text = re.sub(r"listen \[::\].*\n", "", text).replace("listen ", "listen 127.0.0.1:")
        temp = "".join(f"{k}_temp_path {self.folder}/{k};\n"
                       for k in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        path = self.folder / "nginx.conf"
        path.write_text((f"load_module {module};\n" if stream else "") +
                        f"daemon off; master_process off; pid {self.folder}/nginx.pid;\n"
                        "error_log stderr; events {}\n" +
                        (text if stream else f"http {{\naccess_log off;\n{temp}{text}}}\n"))
        self.front(["nginx", "-c", str(path)], [self.port(HTTPS)],
                   ("https",) if stream else ("http", "https"))

    def front_caddyfile(self, text):
        if not self.need("caddy"):
            return
        path = self.folder / "Caddyfile"
        path.write_text(f"{{\n\tadmin off\n\tauto_https off\n\tdefault_bind 127.0.0.1\n"
                        f"\thttp_port {self.port(HTTP)}\n"
                        f"\thttps_port {self.port(HTTPS)}\n}}\n{text}")
        self.front(["caddy", "run", "--config", str(path), "--adapter", "caddyfile"],
                   [self.port(HTTP), self.port(HTTPS)], ("http", "https"))

    def front_haproxy(self, text):
        if not self.need("haproxy"):
            return
        path = self.folder / "haproxy.cfg"
        path.write_text("global\n    maxconn 1000\n" + text.replace("bind :", "bind 127.0.0.1:"))
        self.front(["haproxy", "-db", "-f", str(path)], [self.port(HTTP), self.port(HTTPS)],
                   ("http", "https"))

    def front_visits(self, schemes):
        """Two tunnels: names told apart, a large body, a WebSocket; clients by port 443, if that works."""
        config = self.folder / "front.yml"
        by_443 = "https" in schemes and self.passes_clients()
        if not self.backends:
            self.backends += [Backend(http(name="one")), Backend(http(name="two")), Backend(websocket)]
        ports = [b.port for b in self.backends]
        config.write_text(
            f"server_addr: {DOMAIN}:{HTTPS if by_443 else CLIENTS}\ntrust_host_root_certs: true\n"
            f"tunnels:\n  one: {{proto: {{http+https: {ports[0]}}}}}\n"
            f"  two: {{proto: {{http+https: {ports[1]}}}}}\n")
        self.start_client([f"-config={config}", "start-all"])
        for t in self.tunnels():
            assert re.fullmatch(rf"https?://(one|two)\.{DOMAIN}", t["public_url"])
        for scheme in schemes:
            self.front_scheme(scheme)
        self.end(self.client)
        config.write_text(config.read_text().partition("tunnels:")[0] +
                          f"tunnels:\n  ws: {{proto: {{http+https: {ports[2]}}}}}\n")
        # A WebSocket's service answers no plain request, so nobody visits this one beforehand.
        self.client = self.spawn(["pgrok", f"-inspectaddr=127.0.0.1:{self.port(INSPECTOR)}",
                                  f"-config={config}", "start-all"])
        eventually(lambda: self.client.alive() and self.online())
        for scheme in schemes:
            self.front_websocket(scheme)

    def dial_front(self, scheme, host):
        if scheme == "http":
            return dial(self.port(HTTP))
        return dial_tls(self.port(HTTPS), name=host)

    def front_scheme(self, scheme):
        for i in range(6):
            name = ("one", "two")[i % 2]
            host = f"{name}.{DOMAIN}"
            with self.dial_front(scheme, host) as c:
                c.send(request(host, f"/{i}"))
                r = c.response()
                assert r.status == 200 and r.body.startswith(f"{name} GET".encode()), f"{scheme}: {r}"
        if scheme == "http":  # another proxy before this one may reuse its connections
            with self.dial_front(scheme, host) as c:
                names, r = ["one", "two", "one"], None
                while names and (r is None or (r.header("Connection") or "").lower() != "close"):
                    name = names.pop()
                    c.send(request(f"{name}.{DOMAIN}"))
                    r = c.response()
                    assert r.status == 200 and r.body.startswith(name.encode()), f"{name}: {r}"
        with self.dial_front(scheme, host) as c:
            body = b"x" * (2 << 20)
            c.send(request(host, method="POST", body=body))
            r = c.response()
            assert r.status == 200 and len(r.body) > len(body), f"{scheme}: {r.status}"

    def front_websocket(self, scheme):
        host = f"ws.{DOMAIN}"
        with self.dial_front(scheme, host) as c:
            c.send(request(host, headers=["Connection: Upgrade", "Upgrade: websocket",
                                          "Sec-WebSocket-Version: 13",
                                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]))
            assert c.response(head_only=True).status == 101
            c.send(ws_frame(b"hello", mask=True))
            assert ws_read(c) == (2, b"hello")

    def passes_clients(self):
        """Does port 443 lead to the clients' port if the domain itself is asked for?"""
        try:
            with dial_tls(self.port(HTTPS), name=DOMAIN) as c:
                c.send(b"GET /_drip/discover HTTP/1.0\r\n\r\n")
                return b"transports" in c.recv_rest()[0]
        except (OSError, Short, Aborted):
            return False

    # -- systemd --

    def check_unit(self, text):
        if not self.need("systemd-analyze"):
            return
        if "[Unit]" in text:
            self.unit = self.folder / "pgrokd.service"
            self.unit.write_text(self.adapt(text))
        else:
            (self.folder / "pgrokd.service.d").mkdir()
            (self.folder / "pgrokd.service.d/page.conf").write_text(self.adapt(text))
        out = subprocess.run(["systemd-analyze", "verify", str(self.unit)], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, check=False)
        assert str(self.folder) not in out.stdout, out.stdout

    # -- the end --

    def finish(self):
        self.end(*reversed(self.running))
        for b in self.backends + [self.names.backend]:
            b.close()


def port_open(port):
    try:
        socket.create_connection(("127.0.0.1", port), WAIT).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def example_certs(tmp_path_factory):
    return Certs(tmp_path_factory.mktemp("certs"), DOMAIN)


PARTS = [p for page in PAGES for p in parts_of(page) if any(not b.spared for b in p.blocks)]


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
@pytest.mark.parametrize("part", PARTS, ids=[f"{p.page}:{p.title}" for p in PARTS])
def test_examples(part, tmp_path, example_certs):
    reader = Reader(tmp_path, example_certs)
    try:
        reader.read(part)
    finally:
        reader.finish()
    if reader.missing:
        pytest.skip("without " + ", ".join(reader.missing))


# ---- what they say ----

def rows_of(page, heading):
    """First cells of the table below a heading."""
    text = page.read_text(encoding="utf-8").split(f"# {heading}\n")[1].split("\n#")[0]
    return [line.split("|")[1] for line in text.split("\n") if line.startswith("| `")]


@pytest.mark.parametrize("program,page", [("pgrokd", "server.md"), ("pgrok", "client.md")])
def test_flags_are_those_of_the_programs(program, page):
    """Every flag that -h shows has its row, and no row is invented."""
    out = subprocess.run([str(BIN / program), "-h"], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False, timeout=WAIT)
    assert out.returncode == 0
    shown = set(re.findall(r"^\s+-([A-Za-z-]+)\b", out.stdout, re.M))
    rows = rows_of(ROOT / "docs" / page, "Flags")
    assert shown == set(re.findall(r"`-([A-Za-z-]+)`", " ".join(rows)))


def test_keys_are_those_of_the_client():
    """The same of the configuration's keys."""
    source = "".join(p.read_text() for p in sorted((ROOT / "pgrok").rglob("*.c")))
    keys = set(re.findall(r'\{"([a-z_]+)", (?:yaml_)?set_', source))
    page = ROOT / "docs/client.md"
    rows = rows_of(page, "Keys") + rows_of(page, "Keys of a tunnel")
    assert keys == set(re.findall(r"`([a-z_]+)`", " ".join(rows)))


def source_strings():
    """All string literals of the programs, one a line, as they are printed; \0 for a directive."""
    literal = r'"(?:[^"\\\n]|\\.)*"'
    out = []
    for folder in ("common", "msg", "pgrokd", "pgrok"):
        for path in sorted((ROOT / folder).rglob("*.c")):
            for run in re.findall(rf"{literal}(?:\s+{literal})*", path.read_text()):
                text = "".join(s[1:-1] for s in re.findall(literal, run))
                text = re.sub(r"\\(.)", lambda m: " " if m[1] in "nrt" else m[1], text)
                out.append(re.sub(r"%[-+0#]*[\d*]*(\.[\d*]+)?(hh|h|ll|l|z|j)?[a-zA-Z]", "\0", text))
    return "\n".join(out)


def test_messages_are_those_of_the_programs():
    """Each message of troubleshooting.md can be printed: it is in the sources, or the system's."""
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^### `(.+)`$", text, re.M)
    assert len(messages) > 50
    strings = source_strings()
    system = {os.strerror(n).lower() for n in range(1, 134)} | {"tlsv13 alert certificate required"}

    def known(message):
        pattern = re.escape(message).replace(r"\.\.\.", ".{0,80}?")
        return message in system or re.search(pattern, strings)

    unknown = [m for m in messages if not known(m) and not all(map(known, m.split(": ")))]
    assert not unknown


def slugs_of(path):
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^( *)```.*?^\1```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-")
            for h in re.findall(r"^#+ (.+)$", text, re.M)}


@pytest.mark.parametrize("page", LINKING, ids=lambda p: str(p.relative_to(ROOT)))
def test_links(page):
    """Relative links lead to a file, and to a heading of it."""
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in slugs_of(path), f"{page.name}: {target}"


def test_tables_of_the_readme_are_parts_of_others():
    """Each figure has one place where it is kept; the README shows rows of it."""
    kept = (ROOT / "docs/compared.md").read_text() + (ROOT / "bench/README.md").read_text()
    rows = re.findall(r"^\| .*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert len(rows) > 6
    assert [r for r in rows if r not in kept] == []


# ---- the demo ----

def test_demo_once():
    out = subprocess.run([sys.executable, str(ROOT / "test/tools/demo.py"), "--once", str(BIN)],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                         timeout=WAIT * 4)
    assert out.returncode == 0, out.stdout
    assert out.stdout.count("ok: a request through") == 4


def test_demo_fails_when_a_program_does(tmp_path):
    for name, script in (("pgrokd", "echo no luck today; exit 3"), ("pgrok", "exit 0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    out = subprocess.run([sys.executable, str(ROOT / "test/tools/demo.py"), "--once", str(tmp_path)],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                         timeout=WAIT * 4)
    assert out.returncode == 1
    assert "no luck today" in out.stdout
