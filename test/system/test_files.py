"""A folder as a tunnel's local service: what visitors find, and what they never do."""

import hashlib
import os
import re
import subprocess

import pytest

from lib import backends, env
from lib.net import dial, eventually, get, request
from lib.procs import empty_config, run

HOST = "site.pgrok.me"


@pytest.fixture(name="site")
def _site(tmp_path):
    """The folder, and beside it what must not be reached."""
    root = tmp_path / "site"
    root.mkdir()
    (root / "index.html").write_text("<h1>welcome</h1>")
    (root / "a b&c.txt").write_text("text")
    (root / "empty").write_text("")
    (root / "digits").write_text("0123456789")
    (root / ".secret").write_text("hidden")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("hidden")
    (root / "list").mkdir()
    for name in ("b.txt", "a.txt", "<i>.txt", "日本.txt", ".dot"):
        (root / "list" / name).write_text(name)
    (root / "list" / "folder").mkdir()
    (root / "bare").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("hidden")
    (root / "to-file").symlink_to("list/a.txt")
    (root / "to-outside").symlink_to(tmp_path / "outside")
    (root / "to-secret").symlink_to("../outside/secret.txt")
    (root / "to-etc").symlink_to("/etc")
    (root / "list" / "to-secret.txt").symlink_to("../../outside/secret.txt")
    os.mkfifo(root / "pipe")
    return root


@pytest.fixture(name="up")
def _up(lab, site):
    """up(): a server and a client that serves the folder; visit() asks it over http."""
    class Up:
        def start(self, *flags, **kw):
            self.server = lab.server(engine=kw.get("engine"))
            self.client = lab.client(self.server, "-subdomain=site", *flags, site, tunnels=2, **kw)
            self.client.wait_log(f" -> |Tunnel established at https://{HOST}")
            return self

        def get(self, path="/", **kw):
            return get(self.server.http_port, f"{HOST}:{self.server.http_port}", path, **kw)
    return Up()


def test_index(up, engine):
    up.start(engine=engine)
    for tls in (False, True):
        port = up.server.https_port if tls else up.server.http_port
        r = get(port, f"{HOST}:{port}", "/", tls=tls)
        assert (r.status, r.body) == (200, b"<h1>welcome</h1>")
        assert r.header("Content-Type") == "text/html; charset=utf-8"
        assert r.header("X-Content-Type-Options") == "nosniff"
    assert up.get("/index.html").body == b"<h1>welcome</h1>"
    assert up.get("/?x=1").body == b"<h1>welcome</h1>"


def test_curl(up, tmp_path):
    up.start()
    s = up.server
    url = f"http://{HOST}:{s.http_port}"
    base = ["curl", "-sS", "--path-as-is", "--resolve", f"{HOST}:{s.http_port}:127.0.0.1"]
    out = subprocess.run(base + [f"{url}/a%20b%26c.txt", f"{url}/to-file", f"{url}/list/"],
                         stdout=subprocess.PIPE, check=True).stdout
    assert out.startswith(b"texta.txt<!DOCTYPE html>")
    # Begun somewhere in the middle, as after a lost connection.
    part = tmp_path / "part"
    part.write_text("0123")
    subprocess.run(base + ["-C", "-", "-o", part, f"{url}/digits"], check=True)
    assert part.read_text() == "0123456789"
    out = subprocess.run(base + ["-L", f"{url}/list"], stdout=subprocess.PIPE, check=True).stdout
    assert b"a.txt" in out
    out = subprocess.run(base + ["-w", "%{http_code}", "-o", "/dev/null", f"{url}/../outside/secret.txt"],
                         stdout=subprocess.PIPE, check=True).stdout
    assert out == b"404"


def test_listing(up):
    """Sorted, folders first, escaped, with sizes; nothing that can't be fetched; each link works."""
    up.start()
    r = up.get("/list/")
    assert r.status == 200 and r.header("Content-Type") == "text/html; charset=utf-8"
    text = r.body.decode()
    links = re.findall(r'<a href="([^"]*)">([^<]*)</a>', text)
    assert [x for x, _ in links] == ["../", "./folder/", "./%3Ci%3E.txt", "./a.txt", "./b.txt",
                                     "./%E6%97%A5%E6%9C%AC.txt"]
    assert links[2][1] == "&#60;i&#62;.txt" and links[-1][1] == "日本.txt"
    assert "<td>5<td>" in text and "<i>" not in text
    assert "dot" not in text and "secret" not in text
    for href, _ in links[2:]:
        assert up.get("/list/" + href[2:]).status == 200
    assert "There is nothing here" in up.get("/bare/").body.decode()


def test_redirect_to_a_folder(up):
    up.start()
    r = up.get("/list?x=1&y=../z")
    assert r.status == 301 and r.header("Location") == "/list/?x=1&y=../z"
    r = up.get("//list")
    assert r.status == 301 and r.header("Location") == "/list/"
    assert up.get("/digits/").status == 404


@pytest.mark.parametrize("path,status", [
    ("/../outside/secret.txt", 404), ("/list/../../outside/secret.txt", 404),
    ("/%2e%2e/outside/secret.txt", 404), ("/..%2foutside/secret.txt", 404),
    ("/list/..%2f..%2foutside%2fsecret.txt", 404), ("/....//outside", 404),
    ("//etc/passwd", 404), ("/..\\outside\\secret.txt", 404),
    ("/to-outside/secret.txt", 403), ("/to-outside/", 403), ("/to-outside", 403), ("/to-secret", 403),
    ("/to-etc/passwd", 403), ("/list/to-secret.txt", 403),
    ("/.secret", 404), ("/%2esecret", 404), ("/.git/config", 404), ("/list/.dot", 404), ("/.", 404),
    ("/pipe", 403), ("/absent", 404), ("/list/absent", 404), ("/digits/x", 404),
    ("/digits%00.html", 400), ("/%", 400), ("/" + "x" * 300, 404),
])
def test_nothing_else_is_reached(up, path, status):
    up.start()
    r = up.get(path)
    assert r.status == status
    assert b"hidden" not in r.body and b"root:" not in r.body
    assert r.header("Content-Type") == "text/html; charset=utf-8"
    assert str(status).encode() in r.body


def test_link_made_later(up, site, tmp_path):
    """What a path leads to is looked at with each request."""
    up.start()
    assert up.get("/list/a.txt").status == 200
    (site / "list").rename(tmp_path / "gone")
    (site / "list").symlink_to(tmp_path / "outside")
    assert up.get("/list/secret.txt").status == 403


def test_methods(up):
    up.start()
    r = up.get("/digits", method="HEAD")
    assert (r.status, r.header("Content-Length"), r.body) == (200, "10", b"")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        r = up.get("/digits", method=method, body=b"x" * 70000 if method == "POST" else b"")
        assert r.status == 405 and r.header("Allow") == "GET, HEAD"


@pytest.mark.parametrize("value,status,body,content_range", [
    ("bytes=2-4", 206, b"234", "bytes 2-4/10"), ("bytes=7-", 206, b"789", "bytes 7-9/10"),
    ("bytes=-3", 206, b"789", "bytes 7-9/10"), ("bytes=0-99", 206, b"0123456789", "bytes 0-9/10"),
    ("bytes=10-", 416, None, "bytes */10"), ("bytes=5-2", 200, b"0123456789", None),
    ("bytes=0-1,4-5", 200, b"0123456789", None), ("lines=1-2", 200, b"0123456789", None),
])
def test_ranges(up, value, status, body, content_range):
    up.start()
    r = up.get("/digits", headers=[f"Range: {value}"])
    assert r.status == status and r.header("Content-Range") == content_range
    assert body is None or r.body == body
    assert up.get("/empty", headers=[f"Range: {value}"]).status == (416 if re.match(r"bytes=\d*-\d*$", value) and value != "bytes=5-2" else 200)


def test_conditions(up, site):
    up.start()
    r = up.get("/digits")
    tag, date = r.header("ETag"), r.header("Last-Modified")
    assert re.fullmatch(r'"[0-9a-f-]+"', tag) and date.endswith(" GMT")
    assert r.header("Accept-Ranges") == "bytes"
    for field in (f"If-None-Match: {tag}", f'If-None-Match: "x", W/{tag}', "If-None-Match: *",
                  f"If-Modified-Since: {date}"):
        r = up.get("/digits", headers=[field])
        assert (r.status, r.body, r.header("ETag")) == (304, b"", tag), field
    for field in ('If-None-Match: "x"', "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
                  "If-Modified-Since: nonsense"):
        assert up.get("/digits", headers=[field]).status == 200, field
    # The tag counts more than the date.
    assert up.get("/digits", headers=['If-None-Match: "x"', f"If-Modified-Since: {date}"]).status == 200
    # A range of another version would be of no use.
    for field, status in ((f"If-Range: {tag}", 206), (f"If-Range: {date}", 206), ('If-Range: "x"', 200)):
        assert up.get("/digits", headers=["Range: bytes=1-2", field]).status == status, field
    (site / "digits").write_text("abcdefghijk")
    r = up.get("/digits", headers=[f"If-None-Match: {tag}"])
    assert (r.status, r.body) == (200, b"abcdefghijk")


def test_keep_alive_and_pipelined(up):
    up.start()
    host = f"{HOST}:{up.server.http_port}"
    paths = ["/digits", "/list", "/absent", "/empty", "/list/", "/", "/digits"] * 40
    with dial(up.server.http_port) as v:
        v.send(b"".join(request(host, p, close=False) for p in paths))
        got = [v.response().status for _ in paths]
    assert got == [200, 301, 404, 200, 200, 200, 200] * 40
    with dial(up.server.http_port) as v:
        v.send(request(host, "/digits", close=True))
        assert v.response().status == 200
        assert v.recv() == b""


def test_http_1_0(up):
    up.start()
    with dial(up.server.http_port) as v:
        v.send(f"GET /digits HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
        text = v.recv_all()
    assert text.endswith(b"\r\n\r\n0123456789") and b"Connection: close" in text


@pytest.mark.big
def test_big_file(up, site, engine):
    """A hundred megabytes and more, whole and unharmed, with little memory; also slowly."""
    size = env.fewer(100) * env.MB + 12345
    h = hashlib.sha256()
    with open(site / "big", "wb") as f:
        for piece in backends.pattern(size):
            f.write(piece)
            h.update(piece)
    up.start(engine=engine)
    before = up.client.pss_mb()
    host = f"{HOST}:{up.server.http_port}"
    with dial(up.server.http_port) as slow, dial(up.server.http_port) as v:
        slow.send(request(host, "/big", close=True))
        slow.recv_exact(100)
        v.send(request(host, "/big", close=True))
        got, n = hashlib.sha256(), 0
        head = v.recv_until(b"\r\n\r\n")
        assert f"Content-Length: {size}\r\n".encode() in head
        assert b"application/octet-stream" in head
        while piece := v.recv(1 << 18):
            got.update(piece)
            n += len(piece)
        assert (n, got.digest()) == (size, h.digest())
        if not env.SANITIZED:
            assert up.client.pss_mb() - before < 25
        # Others are served meanwhile.
        assert up.get("/digits").status == 200
    r = up.get("/big", headers=[f"Range: bytes={size - 12345}-"])
    assert r.status == 206 and len(r.body) == 12345


def test_beyond_four_gigabytes(up, site):
    """A file with holes, as large as no 32 bits can say."""
    size = (5 << 30) + 7
    with open(site / "huge.bin", "wb") as f:
        f.truncate(size)
        f.seek((4 << 30) - 2)
        f.write(b"abcd")
        f.seek(size - 3)
        f.write(b"end")
    up.start()
    r = up.get("/huge.bin", method="HEAD")
    assert (r.status, r.header("Content-Length"), r.body) == (200, str(size), b"")
    for value, body, where in (("4294967293-4294967299", b"\0abcd\0\0", "4294967293-4294967299"),
                               ("-3", b"end", f"{size - 3}-{size - 1}"),
                               (f"{size - 1}-9999999999999", b"d", f"{size - 1}-{size - 1}")):
        r = up.get("/huge.bin", headers=[f"Range: bytes={value}"])
        assert (r.status, r.body, r.header("Content-Range")) == (206, body, f"bytes {where}/{size}")
    assert up.get("/huge.bin", headers=[f"Range: bytes={size}-"]).header("Content-Range") == f"bytes */{size}"
    # From there to the end, and through it.
    host = f"{HOST}:{up.server.http_port}"
    with dial(up.server.http_port) as v:
        v.send(request(host, "/huge.bin", headers=[f"Range: bytes={(4 << 30) - (4 << 20)}-{(4 << 30) + (4 << 20)}"]))
        body = v.response().body
        assert len(body) == (8 << 20) + 1 and body[(4 << 20) - 2:(4 << 20) + 2] == b"abcd"
    (site / "index.html").unlink()
    assert "<td>5.4 G<td>" in up.get("/").body.decode()


def test_file_gets_shorter(up, site):
    """The visitor sees that something is missing, and the client lives on."""
    with open(site / "big", "wb") as f:
        f.truncate(50 * env.MB)
    up.start()
    with dial(up.server.http_port, rcvbuf=1 << 16) as v:
        v.send(request(f"{HOST}:{up.server.http_port}", "/big", close=False))
        v.recv_until(b"\r\n\r\n")
        os.truncate(site / "big", 1000)
        body, _ = v.recv_rest()
        assert len(body) < 50 * env.MB
    assert up.get("/digits").status == 200


def test_descriptors_come_back(up):
    up.start()
    before = up.client.fds()
    for _ in range(30):
        up.get("/digits")
        up.get("/list/")
        up.get("/absent")
        with dial(up.server.http_port) as v:
            v.send(request(f"{HOST}:{up.server.http_port}", "/digits", close=False)[:-4])
    eventually(lambda: up.client.fds() <= before + 4, what="descriptors closed")


def test_folder_vanishes(up, site, tmp_path):
    up.start()
    site.rename(tmp_path / "moved")
    assert up.get("/").status == 502
    (tmp_path / "moved").rename(site)
    assert up.get("/").status == 200


def test_in_the_configuration(lab, site):
    s = lab.server()
    cfg = lab.config(f"tunnels:\n  a:\n    subdomain: a\n    proto:\n      http: file://{site}\n"
                     f"  b:\n    subdomain: b\n    proto:\n      http+https: {site}/list\n"
                     "  c:\n    subdomain: c\n    proto:\n      http: ./list\n")
    lab.client(s, "start", "a", "b", "c", config=cfg, tunnels=4, cwd=site)
    assert get(s.http_port, f"a.pgrok.me:{s.http_port}", "/digits").body == b"0123456789"
    assert get(s.https_port, f"b.pgrok.me:{s.https_port}", "/a.txt", tls=True).body == b"a.txt"
    assert get(s.http_port, f"c.pgrok.me:{s.http_port}", "/a.txt").body == b"a.txt"


@pytest.mark.parametrize("address,words", [
    ("./absent", "no such folder: ./absent"), ("/no/such", "no such folder: /no/such"),
    ("./digits", "not a folder: ./digits"), ("file://elsewhere/x", "not a folder of this machine"),
])
def test_no_such_folder(lab, site, address, words):
    status, out, err = run(env.BIN / "pgrok", f"-config={empty_config()}", address, cwd=site)
    assert status == 1 and words in out + err
    cfg = lab.config(f"tunnels:\n  t:\n    proto:\n      http: {address}\n")
    status, out, err = run(env.BIN / "pgrok", f"-config={cfg}", "start", "t", cwd=site)
    assert status == 1 and words in out + err
    assert re.search(rf"{re.escape(str(cfg))}:4: .*\bt\b.*http", out + err), out + err


def test_only_http(lab, site):
    for flag in ("-proto=tcp", "-proto=http+tcp"):
        status, out, err = run(env.BIN / "pgrok", f"-config={empty_config()}", flag, "./list", cwd=site)
        assert status == 1 and "a folder needs http or https" in out + err
    status, out, err = run(env.BIN / "pgrok", f"-config={empty_config()}", "-serveraddr=./list", "80", cwd=site)
    assert status == 1 and "server_addr" in out + err


def test_home(lab, site):
    s = lab.server()
    cfg = lab.config("tunnels:\n  t:\n    subdomain: t\n    proto:\n      http: ~/list\n")
    lab.client(s, "start", "t", config=cfg, extra_env={"HOME": str(site)})
    assert get(s.http_port, f"t.pgrok.me:{s.http_port}", "/b.txt").body == b"b.txt"
