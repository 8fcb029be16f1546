"""The recorder of the wire (test/tools/wire_record.py): two recordings of the same programs are equal."""

import json
import subprocess
import sys

import pytest

from lib import env

SESSIONS = "mux-server-ends,mux-ordered,hand-off,go-server-overtaken"


def recorded(out):
    p = subprocess.run([sys.executable, str(env.ROOT / "test/tools/wire_record.py"), f"--only={SESSIONS}",
                        str(env.BIN), str(out)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       timeout=env.WAIT * 8, check=False)
    assert p.returncode == 0, p.stdout
    return out.read_text()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it needs /proc")
def test_recordings_are_equal(tmp_path):
    first = recorded(tmp_path / "first.jsonl")
    assert recorded(tmp_path / "second.jsonl") == first
    lines = [json.loads(line) for line in first.splitlines()]
    assert {line["session"] for line in lines} == set(SESSIONS.split(","))
    # One of each kind: a message, a frame with what a visitor asked, what the service got.
    assert [line["step"] for line in lines if '"Type":"AuthResp"' in line.get("message", "")
            and line["session"] == "mux-ordered"] == ["01 the client starts"]
    (asked,) = [line for line in lines if line.get("frame") == "DATA" and line["dir"] == "s2c"
                and line["session"] == "mux-ordered"]
    assert (asked["at"], asked["flags"], asked["stream"]) == ("mux-1", "SYN", 1)
    assert '"ClientAddr":"127.0.0.1:<visitor-1>"' in asked["message"]
    assert asked["payload"] == "GET / HTTP/1.1\r\nHost: more.pgrok.me\r\n\r\n"
    assert asked["payload"] in [line.get("got") for line in lines if line["at"] == "service-1"]
