"""The admin listener of a server."""

import json

from .env import free_port
from .metrics import parse_metrics
from .net import get


class Admin:
    def __init__(self, port, token=None, host=None):
        self.port, self.token, self.host = port, token, host or f"127.0.0.1:{port}"

    def ask(self, path, method="GET", host=None, headers=(), token=None):
        token = token or self.token
        auth = [f"Authorization: Bearer {token}"] if token else []
        return get(self.port, host or self.host, path, method=method, headers=[*auth, *headers])

    def json(self, path, method="GET"):
        r = self.ask(path, method)
        assert r.status == 200, r
        assert r.header("Content-Type") == "application/json; charset=utf-8"
        return json.loads(r.body)

    def stats(self):
        return self.json("/stats")["total"]

    def tunnels(self):
        return {t["url"]: t for t in self.json("/tunnels")["tunnels"]}

    def metrics(self):
        """{(name, labels): value}"""
        r = self.ask("/metrics")
        assert r.status == 200 and r.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
        return {(name, tuple(sorted(labels.items()))): value
                for name, samples in parse_metrics(r.body.decode()).items() for labels, value in samples}


def started(lab, *flags, **kw):
    port = free_port()
    s = lab.server(f"-adminAddr=127.0.0.1:{port}", *flags, **kw)
    return s, Admin(port)
