"""Drip tunnels of a command line, a file and the inspector's API, at a server made by hand."""

import json

import pytest

from lib import backends, procs
from lib.drip_rig import TOKEN
from lib.drip_server import DripServer
from lib.env import BIN, free_port
from lib.inspector import Inspector
from lib.net import dial, eventually


@pytest.fixture
def server(lab, certs):
    return lab.keep(DripServer(certs, token=TOKEN, half_close=True))


def drip(lab, server, *args, transport="tcp", **kw):
    """The command line of a drip user."""
    return lab.client(server.addr, "-protocol=drip", f"-authtoken={TOKEN}", f"-transport={transport}", *args, **kw)


def config_of(lab, server, tunnels):
    return lab.config(f"protocol: drip\ntransport: tcp\nserver_addr: {server.addr}\n"
                      f"auth_token: {TOKEN}\ntunnels:\n{tunnels}")


def echo(tunnel, data=b"abc"):
    """A visitor's round trip."""
    st = tunnel.open()
    st.send(data)
    assert st.recv_exact(len(data)) == data
    st.close()


def test_command_line(lab, server):
    """Its tunnel ends with it, without a word but the connections' end."""
    service = lab.backend(backends.echo)
    client = drip(lab, server, "-proto=tcp", "-allowips=127.0.0.0/8", "-denyips=10.0.0.1,10.0.0.2", service.port)
    tunnel = server.wait_tunnel()
    assert tunnel.reg == {
        "token": TOKEN, "custom_subdomain": "", "tunnel_type": "tcp", "local_port": service.port,
        "connection_type": "primary", "pool_capabilities": {"max_data_conns": 31, "version": 1},
        "ip_access": {"allow_ips": ["127.0.0.0/8"], "deny_ips": ["10.0.0.1", "10.0.0.2"]}}
    assert client.urls() == [f"tcp://drip.test:{tunnel.port}"]
    tunnel.wait_data(3)
    echo(tunnel)
    assert not tunnel.faults
    client.end()
    tunnel.wait_end()
    assert tunnel.primary.why == "eof"  # and not a reset


def test_credentials(lab, server):
    site = lab.site()
    drip(lab, server, "-subdomain=one", "-bearer=b3ar", site.port)
    drip(lab, server, "-subdomain=two", "-password=open <sesame>", site.port)
    one, two = server.wait_tunnel(1), server.wait_tunnel(2)
    assert one.reg["proxy_auth"] == {"enabled": True, "type": "bearer", "token": "b3ar"}
    assert two.reg["proxy_auth"] == {"enabled": True, "type": "password", "password": "open <sesame>"}
    assert (one.name, two.name) == ("one", "two")


@pytest.mark.parametrize("transport, takes, asked", [
    ("tcp", ("tcp", "wss"), 0), ("auto", ("tcp", "wss"), 1), ("wss", ("tcp", "wss"), 0), ("auto", ("wss",), 1)],
    ids=["tcp", "auto", "wss", "auto-wss"])
def test_transports(lab, certs, transport, takes, asked):
    """All connections of a tunnel are made alike; the question is asked once."""
    server = lab.keep(DripServer(certs, token=TOKEN, transports=takes))
    drip(lab, server, "-proto=tcp", lab.backend(backends.echo).port, transport=transport)
    tunnel = server.wait_tunnel()
    tunnel.wait_data(3)
    assert server.asked["discover"] == asked
    assert tunnel.transports == ["wss" if transport == "wss" or takes == ("wss",) else "tcp"] * 4
    for _ in range(4):
        echo(tunnel, b"x" * 300000)
    assert not tunnel.faults


def test_a_file(lab, server):
    site, service, port = lab.site(), lab.backend(backends.echo), free_port()
    config = config_of(lab, server, f"  web: {{proto: {{http+https: {site.port}}}}}\n"
                                    f"  db: {{proto: {{tcp: {service.port}}}, remote_port: {port}}}\n"
                                    "  other: {hostname: a.b, proto: {http: 1}}\n")
    client = lab.client(None, "start", "web", "db", config=config, serveraddr=False, tunnels=2)
    server.wait_tunnel(2)  # its server is ready for visitors
    assert sorted(client.urls()) == [f"https://web.drip.test:{server.port}", f"tcp://drip.test:{port}"]
    assert {r["custom_subdomain"] for r in server.registers} == {"web", f"tcp-{port}"}
    with dial(port) as c:
        c.send(b"abc")
        assert c.recv_exact(3) == b"abc"


def test_events(lab, server):
    client = drip(lab, server, "-log-format=json", "-subdomain=myapp", lab.site().port, log="none", wait=False)
    client.wait_log('"state":"online"')
    events = [json.loads(t) for t in client.text("out").splitlines()]
    tunnel = next(e for e in events if e["event"] == "tunnel")
    assert tunnel["url"] == f"https://myapp.drip.test:{server.port}" and tunnel["proto"] == "https"
    assert [e["state"] for e in events if e["event"] == "state"][-1] == "online"
    mark = client.mark()
    server.drop_all()
    client.wait_log('"state":"reconnecting".*"retry_ms"', after=mark)
    client.wait_log('"state":"online"', after=mark)


def test_inspector(lab, server):
    """Requests are captured as those of other tunnels; a replay goes to the service."""
    site, port = lab.site(), free_port()
    client = drip(lab, server, "-subdomain=myapp", site.port, inspect=f"127.0.0.1:{port}")
    web = Inspector(port)
    c, host = server.visit("myapp")
    with c:
        c.send(f"POST /p HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc".encode())
        assert c.response().body == b"site POST /p\nabc"
    e = web.wait_entries()[0]
    assert (e["method"], e["path"], e["status"]) == ("POST", "/p", 200), e
    assert web.ask("/api/requests/http", "POST", {"id": e["id"], "tunnel_name": "default"}).status == 204
    assert site.wait_requests(2)[1].body == b"abc"
    assert client.alive()


def test_api(lab, server):
    """Tunnels come and go at run time, each with connections of its own."""
    service, port = lab.backend(backends.echo), free_port()
    drip(lab, server, "-proto=tcp", service.port, inspect=f"127.0.0.1:{port}")
    web = Inspector(port)
    answer = web.post("/api/tunnels", {"name": "second", "proto": "tcp", "addr": str(service.port)}, 201)
    assert answer["public_url"].startswith("tcp://drip.test:")
    second = server.wait_tunnel(2)
    echo(second)
    assert web.ask("/api/tunnels/second", "DELETE").status == 204
    second.wait_end()
    echo(server.wait_tunnel(1))
    # A visitor on the primary connection does not hold it.
    web.post("/api/tunnels", {"name": "third", "proto": "tcp", "addr": str(service.port)}, 201)
    third = server.wait_tunnel(3)
    st = third.primary.open(b"abc")
    assert st.recv_exact(3) == b"abc"
    assert web.ask("/api/tunnels/third", "DELETE").status == 204
    third.wait_end()
    r = web.post("/api/tunnels", {"name": "x", "proto": "http", "addr": "1", "hostname": "a.b"}, 400)
    assert "a Drip server has names below its own domain only" in json.dumps(r), r
    eventually(lambda: web.get("/api/status")["status"] == "online")


@pytest.mark.parametrize("keys, why", [
    ("hostname: a.b", "hostname: a Drip server has names below its own domain only"),
    ("auth: 'u:p'", "auth: a Drip server knows no users: password or bearer is what it can ask for"),
    ("mtls_ca: {ca}", "mtls_ca: a Drip server asks for no certificates"),
    ("forward_auth: 'http://x/'", "forward_auth: a Drip server asks no other service"),
], ids=["hostname", "auth", "mtls_ca", "forward_auth"])
def test_what_it_can_not_do(lab, server, certs, keys, why):
    config = config_of(lab, server, f"  web:\n    proto: {{https: 1}}\n    {keys.format(ca=certs.ca)}\n")
    status, out, _ = procs.run(BIN / "pgrok", f"-config={config}", "start", "web")
    assert status == 1 and f"{config}:8: tunnels.web.{why}" in out, out


@pytest.mark.parametrize("flags, why", [
    (["-protocol=drip", "-httpauth=u:p"], "-httpauth: a Drip server knows no users"),
    (["-protocol=frp"], "-protocol: 'frp' is neither pgrok nor drip"),
    (["-transport=wss"], "-transport: only a Drip server has transports"),
], ids=["auth", "protocol", "transport"])
def test_flags_it_can_not_have(flags, why):
    status, out, _ = procs.run(BIN / "pgrok", f"-config={procs.empty_config()}", "-serveraddr=127.0.0.1:1", *flags, "8080")
    assert status == 1 and why in out, out
