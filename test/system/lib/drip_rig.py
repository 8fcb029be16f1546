"""
A Drip tunnel from a visitor to a local service, whoever plays its ends, so that the same cases run with
the hand-made peers, with ours, and with the real program that $DRIP names.
"""

import json
import os

from . import procs
from .drip_client import DripClient
from .drip_server import DripServer
from .drip_wire import connect
from .env import WAIT, free_port
from .net import dial, eventually, request

DRIP = os.environ.get("DRIP")
TOKEN = "sekrit"
TYPES = ("http", "https", "tcp")


class RealDrip(procs.Proc):
    """`drip`, with a home of its own."""

    def __init__(self, home, *args):
        super().__init__([DRIP, *args], "drip", extra_env={"HOME": str(home)}, cwd=home)

    def checks_errors(self):
        return False


class Way:
    """From a visitor to the tunnel. port, host: where http visitors go and what they ask for."""

    def __init__(self, url, port, backend=None):
        self.url, self.port, self.backend = url, port, backend
        self.host = url.split("://")[1].split("/")[0]
        self.name = self.host.split(".")[0]

    def dial(self, timeout=None):
        """A visitor's connection: TLS, or for a tcp tunnel plain."""
        if self.url.startswith("tcp://"):
            return dial(int(self.url.rsplit(":", 1)[1]), timeout=timeout)
        c = connect(self.port, name=self.host.split(":")[0])
        c.settimeout(timeout or WAIT)
        return c

    def get(self, path="/", **kw):
        with self.dial() as c:
            method = kw.get("method", "GET")
            c.send(request(self.host, path, close=True, **kw))
            return c.response(method=method)


def client_config(lab, addr, port, kind, name, transport="tcp", allow=(), deny=(), auth=None, **keys):
    """The file of a pgrok user, with one tunnel."""
    address = f"https://127.0.0.1:{port}" if kind == "https" else port
    lines = [f"server_addr: {addr}", "protocol: drip", f"auth_token: {TOKEN}", f"transport: {transport}", "tunnels:",
             f"  {name or 'some'}:", f"    proto: {{{'tcp' if kind == 'tcp' else 'http'}: '{address}'}}"]
    if allow:
        lines.append(f"    allow_ips: {json.dumps(list(allow))}")
    if deny:
        lines.append(f"    deny_ips: {json.dumps(list(deny))}")
    if auth:
        lines.append(f"    {auth[0]}: {json.dumps(auth[1])}")
    lines += [f"    {k}: {v}" for k, v in keys.items()]
    return lab.config("\n".join(lines) + "\n")


class Rig:
    """tunnel() opens one and returns its Way. ours: which of our programs is in it ("", server, client)."""

    ours = ""
    go_like = False     # the far end has the Go program's own faults

    def __init__(self, lab, certs):
        self.lab, self.certs = lab, certs
        self.doubles = []
        self.client = self.server = None

    def faults(self):
        return [f for d in self.doubles for f in d.faults]

    def port_of(self, service):
        return service if isinstance(service, int) else service.port


class Doubles(Rig):
    """Both ends by hand. server_kw, client_kw: what they take besides."""

    def __init__(self, lab, certs, server_kw=None, client_kw=None):
        super().__init__(lab, certs)
        self.client_kw = client_kw or {}
        args = {"token": TOKEN, "half_close": True, "reset": True, **(server_kw or {})}
        self.server = lab.keep(DripServer(certs, **args))
        self.doubles.append(self.server)

    def tunnel(self, service, kind="http", name="", **kw):
        args = {"token": TOKEN, "half_close": True, **self.client_kw, **kw}
        n = len(self.server.every)
        self.client = self.lab.keep(DripClient(self.server.port, self.port_of(service), kind, name, **args))
        self.doubles += [self.client, self.server.wait_tunnel(n + 1)]
        return Way(self.client.url, self.server.port, service)


class OurServer(Rig):
    """pgrokd for a client made by hand."""

    ours = "server"

    def __init__(self, lab, certs, *flags, client_kw=None, server_kw=None):
        super().__init__(lab, certs)
        self.client_kw = client_kw or {}
        self.server = lab.server(*self.flags(), *flags, certs=certs, **(server_kw or {}))

    def flags(self):
        tokens = self.lab.tmp / "tokens.yml"
        tokens.write_text(f"tokens:\n  - name: drip\n    token: {TOKEN}\n")
        return [f"-authTokens={tokens}"]

    def tunnel(self, service, kind="http", name="", **kw):
        args = {"token": TOKEN, "half_close": True, **self.client_kw, **kw}
        self.client = self.lab.keep(DripClient(self.server.tunnel_port, self.port_of(service), kind, name, **args))
        self.doubles.append(self.client)
        return Way(self.client.url, self.server.https_port, service)


class OurClient(Rig):
    """pgrok at a server made by hand."""

    ours = "client"

    def __init__(self, lab, certs, server_kw=None, client_kw=None):
        super().__init__(lab, certs)
        self.client_kw = client_kw or {}
        self.server = lab.keep(DripServer(certs, **{"token": TOKEN, "half_close": True, **(server_kw or {})}))
        self.doubles.append(self.server)

    def config(self, service, kind, name, server_port=None, **kw):
        return client_config(self.lab, f"127.0.0.1:{server_port or self.server.port}", self.port_of(service), kind,
                             name, **kw)

    def tunnel(self, service, kind="http", name="", **kw):
        n = len(self.server.every)
        config = self.config(service, kind, name, **kw)
        self.client = self.lab.client(None, "start", name or "some", config=config, serveraddr=False,
                                      **self.client_kw)
        t = self.server.wait_tunnel(n + 1)
        self.doubles.append(t)
        return Way(self.client.urls()[-1], self.server.port, service)


class OurPair(OurServer):
    """pgrok at pgrokd, as if both were Drip's."""

    ours = "both"

    def tunnel(self, service, kind="http", name="", **kw):
        config = client_config(self.lab, self.server.tunnel_addr, self.port_of(service), kind, name,
                               **{**self.client_kw, **kw})
        self.client = self.lab.client(None, "start", name or "some", config=config, serveraddr=False)
        return Way(self.client.urls()[-1], self.server.https_port, service)


class RealClient(OurServer):
    """$DRIP at pgrokd."""

    go_like = True

    def tunnel(self, service, kind="http", name="", transport="tcp", allow=(), deny=(), auth=None):
        args = [kind, self.port_of(service), "-s", f"127.0.0.1:{self.server.tunnel_port}", "-t", TOKEN, "-k",
                "--transport", transport]
        args += ["-n", name] if name else []
        args += ["--allow-ip", ",".join(allow)] if allow else []
        args += ["--deny-ip", ",".join(deny)] if deny else []
        if auth:
            args += ["--auth" if auth[0] == "password" else "--auth-bearer", auth[1]]
        home = self.lab.new_state()
        self.client = self.lab.keep(RealDrip(home, *map(str, args)))
        url = self.client.wait_log(r"(?:https|tcp)://[\w.:-]+")[0]
        return Way(url, self.server.https_port, service)


class RealServer(OurClient):
    """pgrok at $DRIP."""

    go_like = True

    def __init__(self, lab, certs):
        Rig.__init__(self, lab, certs)
        self.port = free_port()
        home = lab.new_state()
        self.server = lab.keep(RealDrip(
            home, "server", "-p", str(self.port), "-d", "pgrok.me", "-t", TOKEN, "--tls-cert", str(certs.server),
            "--tls-key", str(certs.server_key)))
        eventually(self._listens, what="the drip server listens")

    def _listens(self):
        try:
            dial(self.port).close()
            return True
        except OSError:
            return False

    def tunnel(self, service, kind="http", name="", **kw):
        config = self.config(service, kind, name, server_port=self.port, **kw)
        self.client = self.lab.client(None, "start", name or "some", config=config, serveraddr=False)
        return Way(self.client.urls()[-1], self.port, service)
