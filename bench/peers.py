"""The tunnels that are compared: how each is found, configured and started.

A peer gets a list of tunnels (name, public port, local address) and starts its two ends with
`server()` and `client()`. All listen on the place's addresses only, keep to a folder of their own, and
are ended by the caller. TLS stands between the two ends of each, and the client believes the
server's certificate, so that no peer is spared work that another does.
"""
import os
import re
import shutil
import subprocess

import procs

OWN_TUNNELS_MAX = 250  # a client of ours asks for at most 256


class Peer:
    name = title = ""
    http_name = None  # set: http tunnels by this Host instead of a port of their own
    has_tunnel = True

    def __init__(self, bench):
        self.bench = bench

    def missing(self):
        """Why it can't take part, or None."""
        return None

    def version(self):
        return ""

    def prepare(self, folder):
        """Keys and certificates, once a run."""

    def web_address(self, cell):
        return cell.public("web")

    def spawn(self, cell, part, cmd, **more):
        return procs.spawn(cmd, self.bench.log(f"{self.name}-{part}"), cwd=cell.folder, **more)


def program(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")


def first_line(*cmd):
    done = subprocess.run(cmd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else ""


def make_certificate(folder):
    crt, key = f"{folder}/cert.pem", f"{folder}/key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "30", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost", "-keyout", key, "-out", crt],
                   check=True, capture_output=True)
    return crt, key


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    return path


class Nothing(Peer):
    name, title = "none", "no tunnel"
    has_tunnel = False

    def server(self, cell):
        return []

    def client(self, cell):
        return []


class Haproxy(Peer):
    """A forward pair: TCP -> TLS -> TCP, one thread each. It dials towards the service and so has no
    control connection to keep; what it costs is the floor of a relay with a handshake per visitor."""
    name, title = "haproxy", "haproxy pair"

    def missing(self):
        return None if program("haproxy") else "haproxy is not installed"

    def version(self):
        return first_line(program("haproxy"), "-v").replace("HAProxy version ", "").split(" ")[0]

    def prepare(self, folder):
        crt, key = make_certificate(folder)
        self.pem = f"{folder}/both.pem"
        with open(self.pem, "w", encoding="ascii") as out:
            for part in (crt, key):
                with open(part, encoding="ascii") as f:
                    out.write(f.read())

    def config(self, cell, part, rows):
        head = ("global\n  nbthread 1\n  maxconn 8000\ndefaults\n  mode tcp\n  timeout connect 10s\n"
                "  timeout client 1h\n  timeout server 1h\n")
        return write(f"{cell.folder}/{part}.cfg", head + "".join(rows))

    # The far end is the one beside the services; it must stand first.
    def server(self, cell):
        cell.hops = {name: (cell.place.private_ip, self.bench.ports.take()) for name, _, _ in cell.tunnels}
        rows = [f"listen {name}\n  bind {':'.join(map(str, cell.hops[name]))} ssl crt {self.pem}\n"
                f"  server s {local[0]}:{local[1]}\n" for name, _, local in cell.tunnels]
        cfg = self.config(cell, "far", rows)
        with cell.place.private():
            proc = self.spawn(cell, "far", [program("haproxy"), "-db", "-f", cfg])
            procs.await_port(proc, cell.hops[cell.tunnels[-1][0]])
        return [proc]

    def client(self, cell):
        rows = []
        for name, port, _ in cell.tunnels:
            hop = cell.place.across(cell.hops[name])
            rows.append(f"listen {name}\n  bind {cell.place.public_ip}:{port}\n"
                        f"  server s {hop[0]}:{hop[1]} ssl verify none\n")
        cfg = self.config(cell, "near", rows)
        with cell.place.public():
            return [self.spawn(cell, "near", [program("haproxy"), "-db", "-f", cfg])]


class Ssh(Peer):
    name, title = "ssh", "ssh -R"
    cipher = "aes128-gcm@openssh.com"

    def missing(self):
        if not program("sshd") or not program("ssh"):
            return "openssh-server or openssh-client is not installed"
        return None

    def version(self):
        return first_line(program("ssh"), "-V").split(",")[0].replace("OpenSSH_", "OpenSSH ")

    def prepare(self, folder):
        self.folder = folder
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/{key}"],
                           check=True, capture_output=True)
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)

    def server(self, cell):
        port = self.bench.ports.take()
        cell.server_address = cell.place.public_ip, port
        cfg = write(f"{cell.folder}/sshd_config", f"""
Port {port}
ListenAddress {cell.place.public_ip}
HostKey {self.folder}/host
AuthorizedKeysFile {self.folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
AllowTcpForwarding yes
GatewayPorts clientspecified
Compression no
Ciphers {self.cipher}
LogLevel ERROR
""")
        with cell.place.public():
            proc = self.spawn(cell, "server", [program("sshd"), "-D", "-e", "-f", cfg])
            procs.await_port(proc, cell.server_address)
        return [proc]

    def client(self, cell):
        host, port = cell.place.across(cell.server_address)
        rows = "".join(f"  RemoteForward {cell.place.public_ip}:{port_} {local[0]}:{local[1]}\n"
                       for _, port_, local in cell.tunnels)
        cfg = write(f"{cell.folder}/ssh_config", f"""Host bench
  HostName {host}
  Port {port}
  IdentityFile {self.folder}/user
  IdentitiesOnly yes
  BatchMode yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  GlobalKnownHostsFile /dev/null
  ExitOnForwardFailure yes
  Compression no
  Ciphers {self.cipher}
  LogLevel ERROR
""" + rows)
        with cell.place.private():
            return [self.spawn(cell, "client", [program("ssh"), "-N", "-T", "-F", cfg, "bench"])]


class Pgrok(Peer):
    """Ours, in variants; and the Go pair, which takes the same configuration."""

    def __init__(self, bench, name, title, programs, flags=(), http=False, server_mux="true"):
        super().__init__(bench)
        self.name, self.title = name, title
        self.pgrok, self.pgrokd = programs
        self.wanted = dict(flags)
        self.server_mux = server_mux
        self.http_name = "bench.test" if http else None

    # What a variant says besides, to the server by flags and in the client's file.
    more_client = more_tunnel = ""

    def more_server(self, cell):
        return []

    def missing(self):
        for path in (self.pgrok, self.pgrokd):
            if not path or not os.access(path, os.X_OK):
                return f"no program {path or self.name}"
        self.knows = {path: known_flags(path) for path in (self.pgrok, self.pgrokd)}
        for flag in self.wanted:
            if not self.has(self.pgrok, flag):
                return f"{self.pgrok} has no flag -{flag}"
        return None

    def version(self):
        return first_line(self.pgrok, "version")

    def has(self, path, flag):
        return flag in self.knows[path]

    def flags(self, path, **values):
        """Those of the flags that this program has."""
        wanted = {**values, **self.wanted}
        if path == self.pgrokd:
            wanted.pop("mux", None)
        return [f"-{k}={v}" for k, v in wanted.items() if self.has(path, k)]

    def server(self, cell):
        ip, port, web = cell.place.public_ip, self.bench.ports.take(), self.bench.ports.take()
        cell.server_address, cell.http_address = (ip, port), (ip, web)
        cmd = [self.pgrokd, "-domain=pgrokd.test", f"-httpAddr={ip}:{web}", "-httpsAddr=",
               f"-tunnelAddr={ip}:{port}", "-log=stdout", "-log-level=WARN"]
        state = os.path.join(cell.folder, "state")
        os.makedirs(state, exist_ok=True)
        cmd += self.flags(self.pgrokd, stateDir=state, workers=1, tcpAddr=ip)
        if self.has(self.pgrokd, "mux"):
            cmd.append(f"-mux={self.server_mux}")
        cmd += self.more_server(cell)
        with cell.place.public():
            proc = self.spawn(cell, "server", cmd)
            procs.await_port(proc, cell.server_address)
        return [proc]

    def client(self, cell):
        host, port = cell.place.across(cell.server_address)
        found = []
        for start in range(0, len(cell.tunnels), OWN_TUNNELS_MAX):
            inspect = f"{cell.place.private_ip}:{self.bench.ports.take()}"
            rows = []
            for name, public_port, local in cell.tunnels[start:start + OWN_TUNNELS_MAX]:
                if self.http_name and name == "web":
                    rows.append(f"  web:\n    {self.web_name()}\n    proto:\n"
                                f"      http: {local[0]}:{local[1]}\n{self.more_tunnel}")
                else:
                    rows.append(f"  {name}:\n    remote_port: {public_port}\n    proto:\n"
                                f"      tcp: {local[0]}:{local[1]}\n")
            cfg = write(f"{cell.folder}/client{start}.yml",
                        f"server_addr: {host}:{port}\ninspect_addr: {inspect}\n{self.more_client}tunnels:\n" +
                        "".join(rows))
            cmd = [self.pgrok, f"-config={cfg}", f"-serveraddr={host}:{port}", f"-inspectaddr={inspect}",
                   "-log=stdout", "-log-level=WARN", *self.flags(self.pgrok), "start-all"]
            with cell.place.private():
                found.append(self.spawn(cell, "client", cmd))
        return found

    def web_name(self):
        return f"hostname: {self.http_name}"

    def web_address(self, cell):
        return cell.http_address if self.http_name else cell.public("web")


class Guarded(Pgrok):
    """Ours with all that an operator may want on: tokens, rules of the tunnel, access log, metrics."""

    more_client = "auth_token: bench\n"
    more_tunnel = ("    allow_ips: [0.0.0.0/0, '::/0']\n    deny_ips: 192.0.2.0/24\n    paths: /private\n"
                   "    methods: TRACE\n")

    def missing(self):
        why = super().missing()
        if not why and not {"accessLog", "adminAddr"} <= self.knows[self.pgrokd]:
            why = f"{self.pgrokd} has no access log"
        return why

    def more_server(self, cell):
        tokens = write(f"{cell.folder}/tokens.yml",
                       "tokens:\n- {name: bench, token: bench, tunnels: 1000, visitors: 100000}\n")
        return [f"-authTokens={tokens}", f"-accessLog={cell.folder}/access.log",
                f"-adminAddr=127.0.0.1:{self.bench.ports.take()}"]


class Drip(Pgrok):
    """Our client as one of Drip's, our server as Drip's: a stream for each request."""

    more_client = "protocol: drip\n"

    def __init__(self, *args, **more):
        super().__init__(*args, http=True, **more)
        self.http_name = "web.pgrokd.test"

    def missing(self):
        why = super().missing()
        if not why and "protocol" not in self.knows[self.pgrok]:
            why = f"{self.pgrok} knows no other protocol"
        return why

    def web_name(self):
        return "subdomain: web"


def known_flags(path):
    done = subprocess.run([path, "-h"], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, timeout=5)
    return set(re.findall(r"^\s*--?([A-Za-z][\w-]*)", done.stdout + done.stderr, re.M))


class Frp(Peer):
    name, title = "frp", "frp"

    def missing(self):
        return None if program("frps") and program("frpc") else "frps or frpc is not on PATH"

    def version(self):
        return first_line(program("frps"), "--version")

    def server(self, cell):
        ip, port = cell.place.public_ip, self.bench.ports.take()
        cell.server_address = ip, port
        cfg = write(f"{cell.folder}/frps.toml", f'bindAddr = "{ip}"\nbindPort = {port}\n'
                    f'proxyBindAddr = "{ip}"\ntransport.tls.force = true\nlog.level = "warn"\n')
        with cell.place.public():
            proc = self.spawn(cell, "server", [program("frps"), "-c", cfg])
            procs.await_port(proc, cell.server_address)
        return [proc]

    def client(self, cell):
        host, port = cell.place.across(cell.server_address)
        rows = [f'[[proxies]]\nname = "{name}"\ntype = "tcp"\nlocalIP = "{local[0]}"\n'
                f'localPort = {local[1]}\nremotePort = {public_port}\n'
                for name, public_port, local in cell.tunnels]
        cfg = write(f"{cell.folder}/frpc.toml", f'serverAddr = "{host}"\nserverPort = {port}\n'
                    'transport.tls.enable = true\nlog.level = "warn"\n' + "".join(rows))
        with cell.place.private():
            return [self.spawn(cell, "client", [program("frpc"), "-c", cfg])]


class Rathole(Peer):
    name, title = "rathole", "rathole"

    def missing(self):
        return None if program("rathole") else "rathole is not on PATH"

    def version(self):
        done = subprocess.run([program("rathole"), "--version"], capture_output=True, text=True, check=False)
        found = [line for line in done.stdout.splitlines() if "ersion" in line]
        return found[0].split(":")[-1].strip() if found else ""

    def prepare(self, folder):
        self.crt, key = make_certificate(folder)
        self.pfx = f"{folder}/identity.pfx"
        subprocess.run(["openssl", "pkcs12", "-export", "-out", self.pfx, "-inkey", key, "-in", self.crt,
                        "-passout", "pass:bench"], check=True, capture_output=True)

    def server(self, cell):
        ip, port = cell.place.public_ip, self.bench.ports.take()
        cell.server_address = ip, port
        rows = [f'[server.services.{name}]\nbind_addr = "{ip}:{public_port}"\n'
                for name, public_port, _ in cell.tunnels]
        cfg = write(f"{cell.folder}/server.toml", f'[server]\nbind_addr = "{ip}:{port}"\n'
                    'default_token = "bench"\n[server.transport]\ntype = "tls"\n[server.transport.tls]\n'
                    f'pkcs12 = "{self.pfx}"\npkcs12_password = "bench"\n' + "".join(rows))
        with cell.place.public():
            proc = self.spawn(cell, "server", [program("rathole"), "--server", cfg])
            procs.await_port(proc, cell.server_address)
        return [proc]

    def client(self, cell):
        host, port = cell.place.across(cell.server_address)
        rows = [f'[client.services.{name}]\nlocal_addr = "{local[0]}:{local[1]}"\n'
                for name, _, local in cell.tunnels]
        cfg = write(f"{cell.folder}/client.toml", f'[client]\nremote_addr = "{host}:{port}"\n'
                    'default_token = "bench"\n[client.transport]\ntype = "tls"\n[client.transport.tls]\n'
                    f'trusted_root = "{self.crt}"\nhostname = "localhost"\n' + "".join(rows))
        with cell.place.private():
            return [self.spawn(cell, "client", [program("rathole"), "--client", cfg])]


def all_peers(bench):
    folder = os.environ.get("PGROK_BIN", os.path.join(bench.root, "bin"))
    ours = [os.path.join(folder, name) for name in ("pgrok", "pgrokd")]
    go = [os.environ.get("GO_PGROK"), os.environ.get("GO_PGROKD")]
    on, off = {"mux": "true"}, {"mux": "false"}
    bev = {"engine": "bufferevent"}
    found = [
        Nothing(bench), Haproxy(bench), Ssh(bench), Frp(bench), Rathole(bench),
        Pgrok(bench, "go-pgrok", "Go pgrok", go),
        Pgrok(bench, "pgrok", "pgrok", ours, on),
        Pgrok(bench, "pgrok-nomux", "pgrok, no mux", ours, off),
        Pgrok(bench, "pgrok-once", "pgrok, no mux, used once", ours, off, server_mux="false"),
        Pgrok(bench, "pgrok-bev", "pgrok, bufferevent", ours, {**bev, **on}),
        Pgrok(bench, "pgrok-bev-nomux", "pgrok, bufferevent, no mux", ours, {**bev, **off}),
        Pgrok(bench, "pgrok-http", "pgrok, http tunnel", ours, http=True),
        Drip(bench, "pgrok-drip", "pgrok, http tunnel, Drip's protocol", ours),
        Guarded(bench, "pgrok-guarded", "pgrok, http tunnel, tokens, rules, log, metrics", ours, http=True),
    ]
    # Before the client had the flag there was no mux.
    plain = found[6]
    if os.access(ours[0], os.X_OK) and "mux" not in known_flags(ours[0]):
        plain.wanted = {}
        found[9].wanted = bev
    return found
