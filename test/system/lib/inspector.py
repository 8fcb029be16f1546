"""A client of the inspector: its API, and WebSockets of both kinds."""

import base64
import json
import os

from .backends import ws_frame, ws_read
from .env import WAIT, free_port
from .net import dial, eventually, get


def started(lab, site, *flags, **kw):
    """A server, a client with its inspector, and a tunnel http://test.pgrok.me: (visit, inspector)."""
    port = free_port()
    client_kw = {"inspect": f"127.0.0.1:{port}", **kw.pop("client_kw", {})}
    s, c = lab.started(site, *flags, proto=kw.pop("proto", "http"), client_kw=client_kw, **kw)
    i = Inspector(port)
    i.client, i.server = c, s
    i.public = f"test.pgrok.me:{s.http_port}"

    def visit(path="/", **kw):
        return get(s.http_port, i.public, path, **kw)
    return visit, i


class Inspector:
    def __init__(self, port, host=None):
        self.port, self.host = port, host or f"127.0.0.1:{port}"

    def ask(self, path, method="GET", body=None, headers=(), host=None):
        """The answer as it is. body: bytes, or something for JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers = [*headers, "Content-Type: application/json"]
        return get(self.port, host or self.host, path, method=method, body=body or b"",
                   headers=list(headers))

    def get(self, path, status=200):
        """The answer's JSON."""
        r = self.ask(path)
        assert r.status == status, r
        return json.loads(r.body)

    def post(self, path, body, status=202):
        r = self.ask(path, "POST", body)
        assert r.status == status, r
        return json.loads(r.body) if r.body else None

    def entries(self):
        return self.get("/api/entries")["entries"]

    def wait_entries(self, n=1, state="done"):
        """The newest first, when n of them are in that state."""
        def there():
            got = [e for e in self.entries() if state in (None, e["state"])]
            return got if len(got) >= n else None
        return eventually(there)

    def one(self, entry_id):
        return self.get(f"/api/requests/http/{entry_id}")

    def body(self, entry_id, side="response", query=""):
        return self.ask(f"/api/requests/http/{entry_id}/body?side={side}{query}")

    def frames(self, entry_id):
        return self.get(f"/api/requests/http/{entry_id}/frames")["frames"]

    def live(self, path="/api/ws", origin=None):
        return Live(self, path, origin)


class Live:
    """A WebSocket to the inspector. Events of /api/ws come one by one."""

    def __init__(self, inspector, path, origin=None):
        self.c = dial(inspector.port)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", f"Host: {inspector.host}", "Upgrade: websocket",
                 "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
        if origin:
            lines.append(f"Origin: {origin}")
        self.c.send(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.answer = self.c.response(head_only=True)
        self.queue = []

    def close(self):
        self.c.close()

    def message(self):
        while True:
            op, data = ws_read(self.c)
            if op == 9:
                self.c.send(ws_frame(data, 10, mask=True))
            else:
                assert op == 1, (op, data)
                return json.loads(data)

    def event(self, *kinds):
        """The next event of these kinds; others are passed over."""
        self.c.settimeout(WAIT)
        while True:
            while not self.queue:
                self.queue = self.message()["events"]
            e = self.queue.pop(0)
            if not kinds or e["ev"] in kinds:
                return e

    def say(self, what):
        self.c.send(ws_frame(json.dumps(what).encode(), 1, mask=True))
