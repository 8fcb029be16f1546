"""pgrokd for Drip's clients: everything through a tunnel, registering, data sessions, hostile ones, both families."""

import re
import threading
import time

import pytest

from lib import backends, drip_cases, drip_wire as wire
from lib.drip_client import DripClient, discover
from lib.drip_rig import DRIP, TOKEN, OurServer, RealClient
from lib.drip_wire import Refused
from lib.drip_yamux import ACK, DATA, FIN, FIRST_WINDOW, GOAWAY, PING, RST, SYN, WINDOW, head
from lib.env import MB, WAIT
from lib.golike import GoClient
from lib.net import Aborted, Short, dial, eventually, get, request


@pytest.mark.parametrize("case", drip_cases.MATRIX, ids=drip_cases.name_of)
def test_matrix(lab, certs, case):
    rig = OurServer(lab, certs)
    fn, kind = case
    fn(rig, kind)
    assert not rig.faults()


@pytest.mark.skipif(not DRIP, reason="DRIP names no program")
@pytest.mark.parametrize("case", drip_cases.WITH_GO, ids=drip_cases.name_of)
def test_matrix_with_the_real_client(lab, certs, case):
    rig = RealClient(lab, certs)
    fn, kind = case
    fn(rig, kind)


@pytest.mark.parametrize("cut", wire.CUTS)
def test_cuts(lab, certs, cut):
    """Frames and yamux in any pieces; the first byte may come alone."""
    rig = OurServer(lab, certs, client_kw={"cut": cut})
    way = rig.tunnel(lab.site())
    assert way.get("/x").body == b"site GET /x\n"
    tcp = rig.tunnel(lab.backend(backends.echo), "tcp")
    with tcp.dial() as c:
        c.send(b"hello")
        assert c.recv_exact(5) == b"hello"
    assert not rig.faults()


@pytest.mark.parametrize("engine", ["direct", "bufferevent"])
@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.threads
def test_engines_and_workers(lab, certs, engine, workers):
    """Data connections come to any worker, and go home."""
    rig = OurServer(lab, certs, server_kw={"engine": engine, "workers": workers})
    drip_cases.case_parallel(rig, "http", 20)
    assert rig.client.served[0] == 0 and min(rig.client.served[1:]) > 0, rig.client.served
    drip_cases.case_upload(rig, "http")
    drip_cases.case_download(rig, "http")
    drip_cases.case_tcp(rig, "tcp")
    assert not rig.faults()


# -- registering --

def server(lab, certs, *flags, **kw):
    return OurServer(lab, certs, *flags, server_kw=kw).server


def client(lab, s, **kw):
    kw.setdefault("token", TOKEN)
    kw.setdefault("on_stream", lambda st: None)
    return lab.keep(DripClient(s.tunnel_port, **kw))


def test_ack(lab, certs):
    s = server(lab, certs)
    c = client(lab, s, name="myapp")
    assert c.ack["subdomain"] == "myapp" and c.ack["message"] == "Tunnel registered successfully"
    assert c.ack["url"] == f"https://myapp.pgrok.me:{s.https_port}"
    assert re.fullmatch("[0-9a-f]{32}", c.ack["tunnel_id"]) and c.ack["supports_data_conn"] is True
    assert c.ack["recommended_conns"] == 4 and "port" not in c.ack
    c = client(lab, s, kind="tcp")
    assert c.ack["subdomain"] == f"tcp-{c.ack['port']}" and c.ack["url"] == f"tcp://pgrok.me:{c.ack['port']}"
    c = client(lab, s, capabilities=False)
    assert set(c.ack) == {"subdomain", "url", "message"}
    assert re.fullmatch("[a-z0-9]{6,8}", c.name)


REFUSALS = [
    (dict(kind="udp", token="bad"), "tunnel_type_not_allowed", "Tunnel type 'udp' is not allowed on this server"),
    (dict(token="bad", name="www"), "authentication_failed", "Invalid authentication token"),
    (dict(name="No"), "registration_failed", "tunnel registration failed: invalid subdomain format"),
    (dict(name="ab"), "registration_failed", "tunnel registration failed: invalid subdomain format"),
    (dict(name="a" * 64), "registration_failed", "tunnel registration failed: invalid subdomain format"),
    (dict(name="a\u00e9b"), "registration_failed", "tunnel registration failed: invalid subdomain format"),
    (dict(name="www"), "registration_failed", "tunnel registration failed: subdomain is reserved"),
    (dict(name="taken"), "registration_failed", "tunnel registration failed: subdomain is already taken"),
    (dict(kind="tcp", name="taken"), "registration_failed", "tunnel registration failed: subdomain is already taken"),
]


def test_refusals(lab, certs):
    """With the codes and texts that the client looks for; the connection is closed behind them."""
    s = server(lab, certs)
    client(lab, s, name="taken")
    for args, code, message in REFUSALS:
        with pytest.raises(Refused) as e:
            client(lab, s, **args)
        assert (e.value.code, e.value.message) == (code, message), args
    with pytest.raises(Refused) as e:
        client(lab, s, allow=["10.0.0.0/33"])
    assert e.value.code == "registration_failed" and "10.0.0.0/33" in e.value.message
    for phrase in ("authentication", "subdomain is already taken", "subdomain is reserved"):
        assert phrase not in str(e.value)


def test_tcp_ports(lab, certs):
    """tcp-N asks for a port; another name keeps the name."""
    s = server(lab, certs)
    first = client(lab, s, kind="tcp")
    with pytest.raises(Refused) as e:
        client(lab, s, kind="tcp", name=first.name + "0" if len(first.name) < 9 else "tcp-80")
    assert e.value.code == "registration_failed"
    assert e.value.message.startswith("failed to allocate requested port"), e.value
    named = client(lab, s, kind="tcp", name="my-ssh")
    assert named.name == "my-ssh" and named.ack["port"] != first.ack["port"]
    port = first.ack["port"]
    first.close()
    again = eventually(lambda: again_if_free(lab, s, f"tcp-{port}"))
    assert again.ack["port"] == port


def again_if_free(lab, s, name):
    try:
        return client(lab, s, kind="tcp", name=name)
    except Refused:
        return None


BAD_FIRST = {
    "trailing": wire.frame(wire.REGISTER, b'{"token":"sekrit"}x'),
    "empty": wire.frame(wire.REGISTER),
    "array": wire.frame(wire.REGISTER, []),
    "bom": wire.frame(wire.REGISTER, b'\xef\xbb\xbf{"token":"sekrit"}'),
    "text-as-port": wire.frame(wire.REGISTER, {"token": TOKEN, "tunnel_type": "http", "local_port": "1"}),
    "half-a-port": wire.frame(wire.REGISTER, {"token": TOKEN, "tunnel_type": "http", "local_port": 1.5}),
    "text-as-list": wire.frame(wire.REGISTER, {"token": TOKEN, "tunnel_type": "http", "ip_access": {"allow_ips": "x"}}),
    "too-long": wire.frame(wire.REGISTER, b"{", wire.MAX_PAYLOAD + 1),
    "much-too-long": wire.frame(wire.REGISTER, b"{", 0xFFFFFFFF),
    "nul": wire.frame(wire.REGISTER, {"token": TOKEN, "tunnel_type": "http", "custom_subdomain": "a\0bc"}),
    "heartbeat": wire.frame(wire.HEARTBEAT, b"{}"),
    "ack": wire.frame(wire.REGISTER_ACK, {"subdomain": "x"}),
    "unknown-type": wire.frame(9, {}),
    "deep": wire.frame(wire.REGISTER, b'{"x":' * 50000 + b"1" + b"}" * 50000),
}


@pytest.mark.parametrize("first", BAD_FIRST.values(), ids=BAD_FIRST)
def test_bad_first_frames(lab, certs, first):
    """Closed with no answer, or with one; the server lives on."""
    s = server(lab, certs)
    c = wire.connect(s.tunnel_port)
    try:
        wire.send_cut(c, *first)
    except (Aborted, OSError):
        pass  # it does not read all that it won't take
    got, _ = c.recv_rest()
    assert not got or got[4] == wire.ERROR, got
    c.close()
    assert client(lab, s, data=1).name


def test_odd_payloads(lab, certs):
    """What a Go decoder takes: keys in any case, null, unknown keys, escapes, the last of two."""
    s = server(lab, certs)
    for text in (b' {"TUNNEL_TYPE" : "http", "token":"sekrit", "local_port":null, "x":[{"y":{}}], '
                 b'"Custom_Subdomain":"ab-\\u0063"}\n',
                 b'{"token":"x","token":"sekrit","tunnel_type":"udp","tunnel_type":"http","custom_subdomain":"ab-c"}'):
        c = client(lab, s, register=text)
        assert c.name == "ab-c"
        c.close()
        eventually(lambda: gone(s, c))


def gone(s, c):
    return get(s.https_port, c.host_name(), tls=True).status == 404


def test_a_frame_of_one_mebibyte(lab, certs):
    s = server(lab, certs)
    obj = {"token": TOKEN, "tunnel_type": "http", "custom_subdomain": "big", "filler": ""}
    obj["filler"] = "x" * (wire.MAX_PAYLOAD - len(wire.go_json(obj)))
    assert client(lab, s, register=obj, data=0).name == "big"


def test_joining(lab, certs):
    s = server(lab, certs)
    c = client(lab, s, data=1)
    for changes, code, message in (({"tunnel_id": "0" * 32}, "join_failed", "Tunnel not found"),
                                   ({"tunnel_id": ""}, "join_failed", "Tunnel not found"),
                                   ({"token": "x"}, "authentication_failed", "Invalid authentication token")):
        with pytest.raises(Refused) as e:
            c.join(**changes)
        assert (e.value.code, e.value.message) == (code, message)
    assert c.join() and not c.faults


def test_discover_and_other_http(lab, certs):
    s = server(lab, certs)
    r = discover(s.tunnel_port)
    assert r.status == 200 and r.header("Content-Type") == "application/json", r
    assert b'"version":"1"' in r.body and b'"tcp"' in r.body
    with wire.connect(s.tunnel_port) as c:
        c.send(request("x", "/nothing-here", close=True))
        assert c.response().status == 404


def test_a_pgrok_message_of_256_bytes(lab, certs):
    """Its length begins with a zero, as Drip's does."""
    s = server(lab, certs)
    for size in (256, 512):
        obj = b'{"Type":"Auth","Payload":{"Version":"2","MmVersion":"3.0","User":"%s","Password":"","OS":"linux",' \
              b'"Arch":"amd64","ClientId":""}}'
        text = obj % (b"x" * (size - len(obj % b"")))
        assert len(text) == size
        with wire.connect(s.tunnel_port) as c:
            c.send(size.to_bytes(8, "little") + text)
            assert b"AuthResp" in c.recv_exact(8 + 20)


# -- what the streams are like --

class Raw:
    """Streams in the hands of the test."""

    def __init__(self, lab, certs, **kw):
        self.rig = OurServer(lab, certs)
        self.came = []
        self.lock = threading.Condition()
        self.over = threading.Event()
        self.way = self.rig.tunnel(1, on_stream=self._stream, **{"data": 1, **kw})

    def _stream(self, st):
        with self.lock:
            self.came.append(st)
            self.lock.notify_all()
        self.over.wait(WAIT)

    def stream(self, n=1):
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.came) >= n, WAIT), f"{len(self.came)} streams, not {n}"
            return self.came[n - 1]

    def close(self):
        self.over.set()


@pytest.fixture
def raw(lab, certs):
    return lab.keep(Raw(lab, certs))


def test_a_request_in_its_stream(raw):
    """One stream a request; what is known of the visitor is set, not what he says of himself."""
    way = raw.way
    c = way.dial()
    c.send(request(way.host, "/p?a=%20", method="POST", body=b"abc", headers=(
        "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: gopher", "X-Forwarded-Host: evil", "X-A: 1")))
    st = raw.stream()
    got = st.recv_until(b"\r\n\r\n")
    assert got.startswith(b"POST /p?a=%20 HTTP/1.1\r\n") and f"\r\nHost: {way.host}\r\n".encode() in got
    for field in (b"X-Forwarded-For: 127.0.0.1", b"X-Forwarded-Proto: https", f"X-Forwarded-Host: {way.host}".encode(),
                  b"X-A: 1", b"Content-Length: 3"):
        assert len(re.findall(rb"(?i)\r\n" + re.escape(field) + rb"\r\n", got)) == 1, (field, got)
    assert b"9.9.9.9" not in got and b"evil" not in got
    assert st.recv_exact(3) == b"abc" and not st.peer_fin
    st.send(b"HTTP/1.1 200 OK\r\n\r\nunframed")
    r = c.response(head_only=True)
    assert r.status == 200 and c.recv_until(b"unframed")
    st.half_close()
    st.wait_fin()
    assert sum(f & FIN for f, _ in st.frames) == FIN
    c.recv_until(b"0\r\n\r\n")
    c.send(request(way.host, "/next"))
    assert raw.stream(2).recv_until(b"\r\n\r\n").startswith(b"GET /next ")
    assert not raw.rig.client.faults


@pytest.mark.parametrize("crumb", [1, 3])
def test_an_answer_in_crumbs(raw, crumb):
    c = raw.way.dial()
    c.send(request(raw.way.host, "/"))
    st = raw.stream()
    st.recv_until(b"\r\n\r\n")
    text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello"
    for at in range(0, len(text), crumb):
        st.send(text[at:at + crumb])
    st.half_close()
    r = c.response()
    assert (r.status, r.body, r.header("X-A")) == (200, b"hello", "b")


@pytest.mark.parametrize("answer", [b"", b"junk\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"],
                         ids=["none", "junk", "half"])
@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_no_answer(raw, answer, reset):
    """502, and the visitor's next request is served."""
    c = raw.way.dial()
    c.send(request(raw.way.host, "/", close=True))
    st = raw.stream()
    st.recv_until(b"\r\n\r\n")
    if answer:
        st.send(answer)
    (st.reset if reset else st.half_close)()
    assert c.response().status == 502
    assert raw.rig.client.primary.ping() < WAIT


@pytest.mark.parametrize("framing", [b"Content-Length: 100\r\n", b"Transfer-Encoding: chunked\r\n", b""],
                         ids=["length", "chunked", "unframed"])
def test_a_cut_answer_is_seen_as_cut(raw, framing):
    """Broken off with RST: the visitor's connection ends without the end of the body."""
    c = raw.way.dial()
    c.send(request(raw.way.host, "/"))
    st = raw.stream()
    st.recv_until(b"\r\n\r\n")
    st.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
    assert c.response(head_only=True).status == 200
    st.reset()
    rest, how = c.recv_rest()
    assert b"0\r\n\r\n" not in rest and how in ("eof", "abort")


def test_visitor_leaves_before_the_answer(raw):
    """RST: no one will read it."""
    c = raw.way.dial()
    c.send(request(raw.way.host, "/"))
    st = raw.stream()
    st.recv_until(b"\r\n\r\n")
    c.reset()
    st.wait_broken()


def test_visitor_leaves_in_the_answer(raw):
    c = raw.way.dial()
    c.send(request(raw.way.host, "/"))
    st = raw.stream()
    st.recv_until(b"\r\n\r\n")
    st.send(b"HTTP/1.1 200 OK\r\n\r\nbegin")
    c.response(head_only=True)
    c.reset()
    st.wait_broken()


def test_an_answer_to_what_is_not_read(raw):
    """The client answers, and takes no more of the request: its end is in our hands. No later request may wait for it."""
    c = raw.way.dial()
    body = b"x" * (2 * FIRST_WINDOW + 30000)
    feeder = raw.rig.lab.thread(c.send, request(raw.way.host, "/", method="POST", body=body))
    st = raw.stream()
    st.reading = False
    st.wait_got(2 * FIRST_WINDOW)
    feeder.result()
    st.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    st.half_close()
    r = c.response()
    assert r.status == 413
    if r.header("Connection") != "close":
        c.send(request(raw.way.host, "/next"))
        assert raw.stream(2).recv_until(b"\r\n\r\n").startswith(b"GET /next ")


def test_informational_answers(raw):
    c = raw.way.dial()
    c.send(request(raw.way.host, "/"))
    st = raw.stream()
    st.recv_until(b"\r\n\r\n")
    st.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    r = c.response(head_only=True)
    assert (r.status, r.header("Link")) == (103, "</a>")
    st.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert c.response().status == 204


def test_old_visitor(raw):
    """HTTP/1.0: no chunks, and the end of the body is the connection's."""
    c = raw.way.dial()
    c.send(f"GET / HTTP/1.0\r\nHost: {raw.way.host}\r\n\r\n".encode())
    st = raw.stream()
    st.recv_until(b"\r\n\r\n")
    st.send(b"HTTP/1.1 200 OK\r\n\r\nbody")
    st.half_close()
    assert c.recv_all().endswith(b"\r\n\r\nbody")


def test_a_bearer_token_of_any_characters(lab, certs):
    """As Drip's client sends it, three of them escaped."""
    rig = OurServer(lab, certs)
    way = rig.tunnel(lab.site(), auth=("bearer", "b<t>&"))
    assert way.get("/", headers=["Authorization: Bearer b<t>&"]).status == 200
    assert way.get("/", headers=["Authorization: Bearer b"]).status == 401


# -- sessions --

def test_pings(lab, certs):
    s = server(lab, certs)
    c = client(lab, s, yamux={"ping": None})
    for session in c.sessions:
        for _ in range(3):
            session.ping()
    assert not c.faults


def test_lost_and_leaving_data_sessions(lab, certs):
    rig = OurServer(lab, certs)
    way = rig.tunnel(lab.site(), data=3)
    c = rig.client
    assert way.get("/").status == 200 and c.served[0] == 0
    c.data[0].close()
    c.data[1].leave()
    before = c.served
    for _ in range(4):
        assert way.get("/").status == 200
    assert c.served[0] == 0 and c.served[2] == before[2] and c.served[3] == before[3] + 4
    c.data[1].close()
    c.data[2].close()
    assert eventually(lambda: way.get("/").status == 200)
    assert c.served[0] >= 1
    c.join()
    eventually(lambda: way.get("/").status == 200 and c.data[3].served)
    assert not c.faults


def test_a_dead_primary_ends_the_tunnel(lab, certs):
    rig = OurServer(lab, certs)
    way = rig.tunnel(lab.site(), name="dead")
    rig.client.primary.conn.cut()
    for session in rig.client.data:
        session.wait_end()
    assert eventually(lambda: way.get("/").status == 404)


def test_least_loaded(lab, certs):
    """Streams go where there are the fewest."""
    rig = OurServer(lab, certs)
    drip_cases.case_parallel(rig, "http", 30)
    assert rig.client.served == [0, 10, 10, 10]


# What a client does on a session, with a stream of a visitor open.
TOO_MUCH = b"x" * (MB + 1)
HOSTILE = {
    "second-fin": [(WINDOW, FIN, 0, 0), (WINDOW, FIN, 0, 0)],
    "second-ack": [(WINDOW, ACK, 0, 0)],
    "overrun": [(DATA, 0, 0, len(TOO_MUCH), TOO_MUCH)],
    "window-overflow": [(WINDOW, 0, 0, 0xFFFFFFFF), (WINDOW, 0, 0, 0xFFFFFFFF)],
    "syn-on-a-live-id": [(WINDOW, SYN, 0, 0)],
    "stream-of-its-own": [(WINDOW, SYN, 3, 0), (DATA, 0, 3, 2, b"hi"), (WINDOW, FIN, 3, 0)],
    "stream-0": [(DATA, 0, -1, 1, b"x")],
    "unknown-id": [(DATA, 0, 90, 5, b"ghost"), (WINDOW, FIN, 92, 0), (WINDOW, RST, 94, 0)],
    "data-after-fin": [(WINDOW, FIN, 0, 0), (DATA, 0, 0, 1, b"x")],
    "rst-after-fin": [(WINDOW, FIN, 0, 0), (WINDOW, RST, 0, 0)],
    "type": [(4, 0, 0, 0)],
    "go-away-1": [(GOAWAY, 0, -1, 1)],
    "pings": [(PING, SYN, -1, i) for i in range(2000)],
    "odd-flags": [(WINDOW, SYN | ACK | FIN | RST, 0, 0)],
    "drip-frame": [(0, 0, 0, 0, b"\0\0\0\2\3{}")],
}


@pytest.mark.parametrize("act", HOSTILE)
def test_hostile_sessions(lab, certs, act):
    """Its session may end; the server, the other tunnel and the next one go on."""
    raw_one = lab.keep(Raw(lab, certs))
    s = raw_one.rig.server
    good = raw_one.rig.tunnel(lab.site(), name="good")
    v = raw_one.way.dial()
    v.send(request(raw_one.way.host, "/"))
    st = raw_one.stream()
    for kind, flags, beside, *rest in HOSTILE[act]:
        st.session.write(kind, flags, st.sid + beside, *rest, quiet=True)
    assert good.get("/").status == 200
    raw_one.close()
    c = client(lab, s, data=1)
    assert c.primary.ping() < WAIT and s.alive()


def test_another_version_of_yamux(lab, certs):
    s = server(lab, certs)
    c = client(lab, s, data=1)
    c.data[0].raw(head(PING, SYN, 0, 1, version=1))
    c.data[0].wait_end()
    assert c.primary.ping() < WAIT


@pytest.mark.scaled
def test_a_stream_that_is_never_acked(lab, certs):
    """The visitor is told; no session hangs on it."""
    rig = OurServer(lab, certs, server_kw={"scale": 0.1})
    way = rig.tunnel(1, on_stream=lambda st: None, data=1, yamux={"acks": False, "ping": None})
    assert way.get("/").status in (502, 504)


def test_a_reader_that_stops(raw):
    """The server sends no more than the window; other streams go on."""
    way = raw.way
    c = way.dial()
    c.send(request(way.host, "/", method="POST", headers=[f"Content-Length: {8 * MB}"]))

    def feed():
        try:
            for piece in backends.pattern(8 * MB):
                c.send(piece)
        except (Aborted, OSError):
            pass
    threading.Thread(target=feed, daemon=True).start()
    st = raw.stream()
    st.reading = False
    st.wait_got(FIRST_WINDOW)
    other = way.dial()
    other.send(request(way.host, "/other"))
    assert raw.stream(2).recv_until(b"\r\n\r\n").startswith(b"GET /other ")
    assert st.got <= 2 * FIRST_WINDOW and not raw.rig.client.faults


# -- names --

def test_the_name_is_free_after_the_end(lab, certs):
    rig = OurServer(lab, certs)
    for i in range(3):
        way = eventually(lambda: tunnel_if_free(rig, lab.site(name=f"site{i}"), "again"))
        assert way.get("/").body == b"site%d GET /\n" % i
        rig.client.close()


def tunnel_if_free(rig, site, name):
    try:
        return rig.tunnel(site, name=name)
    except Refused as e:
        assert "subdomain is already taken" in e.message
        return None


@pytest.mark.scaled
def test_taken_over_from_a_silent_owner(lab, certs):
    """The same token, and an owner that does not answer: the name changes hands."""
    rig = OurServer(lab, certs, server_kw={"scale": 0.2})
    rig.tunnel(lab.site(name="old"), name="mine", yamux={"pongs": False, "ping": None})
    way = rig.tunnel(lab.site(name="new"), name="mine")
    assert way.get("/").body == b"new GET /\n"


def test_a_living_owner_keeps_its_name(lab, certs):
    rig = OurServer(lab, certs)
    way = rig.tunnel(lab.site(name="old"), name="mine")
    with pytest.raises(Refused, match="subdomain is already taken"):
        rig.tunnel(lab.site(name="new"), name="mine")
    assert way.get("/").body == b"old GET /\n"


def test_a_token_for_some_names(lab, certs):
    """Its client may have these, and no others; what another's token may have is not its."""
    tokens = lab.tmp / "some.yml"
    tokens.write_text("tokens:\n  - name: bees\n    token: bbb\n    subdomains: [bee]\n"
                      "  - name: plain\n    token: ppp\n    protos: [http]\n")
    s = lab.server(f"-authTokens={tokens}", certs=certs)
    for name in ("wasp", ""):
        with pytest.raises(Refused, match="invalid subdomain or rules"):
            client(lab, s, token="bbb", name=name)
    bee = client(lab, s, token="bbb", name="bee")
    assert bee.name == "bee"
    bee.token = "ppp"
    with pytest.raises(Refused, match="Invalid authentication token"):
        bee.join()
    assert f":{s.http_port}" in client(lab, s, token="ppp", data=0).url
    with pytest.raises(Refused, match="Your token does not allow tcp tunnels"):
        client(lab, s, token="ppp", kind="tcp")


# -- both families --

def pgrok_at(rig, site, name):
    return rig.lab.client(rig.server, f"-subdomain={name}", f"-authtoken={TOKEN}", site.port, tunnels=2)


def test_one_registry_for_both(lab, certs):
    rig = OurServer(lab, certs)
    c = pgrok_at(rig, lab.site(name="pgrok"), "first")
    with pytest.raises(Refused, match="subdomain is already taken"):
        rig.tunnel(lab.site(), name="first")
    rig.tunnel(lab.site(), name="second")
    other = lab.client(rig.server, "-subdomain=second", f"-authtoken={TOKEN}", 8080, wait=False)
    other.expect_exit(1)
    assert c.alive()


def test_both_at_once(lab, certs):
    """pgrok, a Go client and Drip on one port, under some load."""
    rig = OurServer(lab, certs, server_kw={"workers": 2})
    pgrok_at(rig, lab.site(name="pgrok"), "pgrok")
    go = lab.keep(GoClient(rig.server.tunnel_port, local=lab.site(name="golang").port, user=TOKEN))
    go.tunnel("https", subdomain="golang")
    rig.tunnel(lab.site(name="drip"), name="drip-one")
    hosts = {"pgrok": b"pgrok", "golang": b"golang", "drip-one": b"drip"}

    def ask(name, n):
        for i in range(n):
            r = get(rig.server.https_port, f"{name}.pgrok.me", f"/{i}", tls=True)
            assert r.body == hosts[name] + b" GET /%d\n" % i
    for t in [lab.thread(ask, name, 20) for name in hosts for _ in range(3)]:
        t.result()
    assert not rig.faults()


def test_tls_12_is_for_pgrok(lab, certs):
    """An old client still comes in beside Drip's."""
    import ssl
    rig = OurServer(lab, certs)
    old = wire.client_context()
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    go = lab.keep(GoClient(rig.server.tunnel_port, local=lab.site(name="old").port, user=TOKEN, context=old))
    assert go.url("http", subdomain="old")


def test_a_plain_connection_is_no_harm(lab, certs):
    s = server(lab, certs)
    with dial(s.tunnel_port) as c:
        c.send(b"\0\0\0\2\1{}")
        c.recv_rest()
    with wire.connect(s.tunnel_port) as c:
        c.send(b"\0")
        with wire.connect(s.tunnel_port) as other:
            other.send(b"\0\0")
            assert client(lab, s).name
    start = time.monotonic()
    with pytest.raises((Short, Refused)):
        client(lab, s, register=b"nonsense")
    assert time.monotonic() - start < WAIT


@pytest.mark.parametrize("on", [True, False])
def test_the_https_port(lab, certs, on):
    """-dripOnHttps: 443 alone is enough, and visitors come there as before."""
    s = server(lab, certs, *(["-dripOnHttps"] if on else []))
    site = lab.site()
    if not on:
        with pytest.raises((Short, Aborted, OSError, AssertionError)):  # an answer of HTTP
            DripClient(s.https_port, site.port, token=TOKEN)
        return
    c = lab.keep(DripClient(s.https_port, site.port, token=TOKEN, name="both"))
    assert len(c.sessions) == 4
    for path in ("/a", "/b"):
        assert get(s.https_port, c.host_name(), path, tls=True).body == b"site GET " + path.encode() + b"\n"
    with wire.connect(s.https_port) as v:
        v.send(b"G")
        v.send(request(c.host_name(), "/c", close=True)[1:])
        assert v.response().status == 200
    with pytest.raises(Refused, match="Invalid authentication token"):
        DripClient(s.https_port, site.port, token="bad")
    assert not c.faults


@pytest.mark.parametrize("engine", ["direct", "bufferevent"])
@pytest.mark.parametrize("transport", ["wss", "auto"])
@pytest.mark.threads
def test_transports(lab, certs, transport, engine):
    """The same through a WebSocket; one that asks first is told that it needs none."""
    rig = OurServer(lab, certs, client_kw={"transport": transport}, server_kw={"engine": engine, "workers": 4})
    drip_cases.case_parallel(rig, "http", 20)
    assert rig.client.served[0] == 0 and min(rig.client.served[1:]) > 0, rig.client.served
    drip_cases.case_upload(rig, "http")
    drip_cases.case_download(rig, "http")
    drip_cases.case_websocket(rig, "http")
    drip_cases.case_tcp(rig, "tcp")
    assert not rig.faults()


def test_wss_on_the_https_port(lab, certs):
    """By the server's name; what a tunnel has at the same paths is its own."""
    s = server(lab, certs, "-dripOnHttps")
    site = lab.site()
    c = lab.keep(DripClient(s.https_port, site.port, token=TOKEN, transport="wss"))
    for path in ("/a", "/_drip/discover", "/_drip/ws", "/_dripping"):
        assert get(s.https_port, c.host_name(), path, tls=True).body == b"site GET " + path.encode() + b"\n"
    assert discover(s.https_port).status == 200
    assert get(s.https_port, "pgrok.me", "/_drip/ws", tls=True).status == 400
    assert get(s.https_port, "pgrok.me", "/_dripping", tls=True).status == 404
    with dial(s.https_port) as v:
        v.send(request("pgrok.me", "/_drip/discover"))
        assert v.response().status == 400
    assert not c.faults
