"""From events to lines: messages and frames taken apart, names replaced, in an order that is always the same."""

import hashlib
import json
import re
import struct

from .ends import WAYS

SHOWN_MAX = 700  # bytes of one line


class Reader:
    """One direction of a connection as bytes, with the records and steps that they came in."""

    def __init__(self, events):
        pieces = [(step, e) for step, e in events if isinstance(e, bytes)]
        self.data = b"".join(e for _, e in pieces)
        self.ends, at = [], 0
        for step, e in pieces:
            at += len(e)
            self.ends.append((at, step, len(e)))
        self.at = self.first = 0  # first: of the records, that of the next byte

    def take(self, n):
        """(bytes, step, sizes of the records that they share with others or with each other)."""
        if self.at + n > len(self.data):
            return None
        begin, self.at = self.at, self.at + n
        touched = []
        while not touched or touched[-1][0] < self.at:
            touched.append(self.ends[self.first + len(touched)])
        if touched[-1][0] == self.at:
            self.first += 1
        self.first += len(touched) - 1
        whole = len(touched) == 1 and touched[0][2] == n
        return self.data[begin:self.at], touched[-1][1], None if whole else [x[2] for x in touched]

    def message(self):
        """The next message: (text, step, sizes); None: what follows is none."""
        head = self.data[self.at:self.at + 8]
        n = struct.unpack("<q", head)[0] if len(head) == 8 else 0
        if not 0 < n <= 1 << 17 or self.at + 8 + n > len(self.data):
            return None
        if self.data[self.at + 8:self.at + 9] != b"{":
            return None
        body, step, sizes = self.take(8 + n)
        return body[8:], step, sizes

    def rest(self):
        """What is left, step by step."""
        out = []
        begin = self.at
        for end, step, _ in self.ends:
            if end <= begin:
                continue
            piece = self.data[begin:end]
            begin = end
            if out and out[-1][0] == step:
                out[-1] = (step, out[-1][1] + piece)
            else:
                out.append((step, piece))
        self.at = len(self.data)
        return out


DATA, WINDOW, PING, GOAWAY = range(4)
TYPES = ("DATA", "WINDOW", "PING", "GOAWAY")
FIN = 4
FLAGS = ((1, "SYN"), (2, "ACK"), (FIN, "FIN"), (8, "RST"))
FEW = 16384  # bytes that leave in one frame


def read_frames(reader):
    """[[step, type, flags, stream, length, payload]], up to the first that is broken or not complete."""
    out = []
    while len(reader.data) >= reader.at + 12:
        version, kind, flags, stream, length = struct.unpack_from(">BBHII", reader.data, reader.at)
        size = 12 + (length if kind == DATA else 0)
        if version or kind > GOAWAY or len(reader.data) < reader.at + size:
            break
        whole, step, _ = reader.take(size)
        out.append([step, kind, flags, stream, length, whole[12:]])
    return out


def frames_as_lines(frames):
    """By step and stream, DATA joined, without what timing decides."""
    pings, joined = set(), []
    for step, kind, flags, stream, length, payload in sorted(frames, key=lambda f: (f[0], f[3])):
        last = joined[-1] if joined else [None] * 6
        if kind == WINDOW and not flags or kind == PING and flags in pings:
            continue
        if kind == PING:
            pings.add(flags)
        if kind == DATA and (last[0], last[1], last[3]) == (step, DATA, stream):
            last[2] |= flags
            last[5] += payload
        else:
            joined.append([step, kind, flags, stream, length, payload])
    for step, kind, flags, stream, length, payload in fins_apart(joined):
        line = {"frame": TYPES[kind], "flags": " ".join(n for bit, n in FLAGS if flags & bit),
                "stream": stream}
        if kind in (PING, GOAWAY):
            line["length"] = length
        if kind == DATA:
            inner = Reader([(step, payload)])
            m = inner.message()
            if m:
                line["message"] = m[0]
            line["payload"] = payload[inner.at:]
        yield step, line


def fins_apart(frames):
    """Whether a FIN rides on the last of much data or follows it is a matter of chance."""
    for step, kind, flags, stream, length, payload in frames:
        apart = kind == DATA and flags & FIN and len(payload) > FEW
        yield step, kind, flags & ~FIN if apart else flags, stream, length, payload
        if apart:
            yield step, WINDOW, FIN, stream, 0, b""


def link_lines(link):
    """[(step, dir, line)] of one connection, texts still as bytes."""
    ways = {way: Reader(link.events[way]) for way in WAYS}
    kind = link.kind()
    out = []

    def messages(way, most):
        while most:
            m = ways[way].message()
            if not m:
                return
            line = {"message": m[0]}
            if m[2]:
                line["records"] = " ".join(map(str, m[2]))
            out.append((m[1], way, line))
            most -= 1

    if link.hello:
        out.append((link.hello[0], "c2s", {"hello": link.hello[1]}))
    if link.tls:
        out.append((link.tls[0], "s2c", {"tls": link.tls[1]}))
    # Whether a last GOAWAY comes out before the end of the other side comes in is a matter of chance.
    ends = [step for events in link.events.values() for step, e in events if isinstance(e, str)]
    over = ends[0] if len(ends) == 2 and ends[0] == ends[1] else None
    for way in ways:
        messages(way, -1 if kind in ("control", "other") else 1)
        if kind in ("mux", "reused"):
            out += [(step, way, line) for step, line in frames_as_lines(read_frames(ways[way]))
                    if (step, line["frame"]) != (over, "GOAWAY")]
        out += [(step, way, {"bytes": data}) for step, data in ways[way].rest()]
        end = next(((step, e) for step, e in link.events[way] if isinstance(e, str)), None)
        if end:
            out.append((end[0], way, {"end": end[1]}))
    return out


KINDS = ("control", "mux", "reused", "proxy", "other", "silent")


def named_links(session):
    """{name: link}: by kind, numbered as the header says."""
    links = [link for w in session.wires for link in w.links if not link.hidden]
    named = {}
    for kind in KINDS:
        of_kind = [link for link in links if link.kind() == kind]
        if kind in ("mux", "proxy", "reused"):
            of_kind.sort(key=lambda link: (first_use(link), link.mux(), steps_of(link)))
        for number, link in enumerate(of_kind, 1):
            named[f"{kind}-{number}"] = link
    return named


def first_use(link):
    """The step in which a visitor came to it."""
    data = b""
    for step, e in link.events["s2c"]:
        data += e if isinstance(e, bytes) else b""
        if re.search(rb'"Url":"(?!mux:")', data):
            return step
    return 1 << 30


def steps_of(link):
    """Those that no visitor came to are told apart by how they came and went."""
    return [[step for step, _ in link.events[way]] for way in WAYS]


class Names:
    """Placeholders for what is different each time."""

    def __init__(self, session):
        self.table, self.counts = {}, {}
        for port, name in session.ports.items():
            if port:
                self.table[f":{port}"] = ":" + name
        self.pattern = None

    def add(self, value, kind):
        if value not in self.table:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            colon = ":" if value.startswith(":") else ""
            self.table[value] = f"{colon}<{kind}-{self.counts[kind]}>"
            if kind == "client":
                self.table.setdefault(value[:8], f"<client-{self.counts[kind]}>")

    def learn(self, text):
        try:
            p = json.loads(text)["Payload"]
        except (ValueError, KeyError, TypeError):
            return
        if not isinstance(p, dict):
            return
        for key, kind in (("ClientId", "client"), ("ReqId", "req")):
            value = p.get(key)
            if isinstance(value, str) and re.fullmatch("[0-9a-f]{32}|[0-9a-f]{16}", value):
                self.add(value, kind)
        url = p.get("Url")
        m = re.match(r"https?://([0-9a-f]{8})\.", url) if isinstance(url, str) else None
        if m:
            self.add(m[1], "name")
        m = re.match(r"tcp://[^:]*(:\d+)$", url) if isinstance(url, str) else None
        if m:
            self.add(m[1], "tcp")

    def clean(self, data):
        text = data.decode("latin1") if isinstance(data, bytes) else data
        if self.pattern is None:
            words = sorted(self.table, key=len, reverse=True)
            self.pattern = re.compile("(" + "|".join(map(re.escape, words)) + r")(?![0-9a-f])")
        text = self.pattern.sub(lambda m: self.table[m[1]], text)
        text = re.sub(r'"MmVersion":"[^"]+"', '"MmVersion":"<software>"', text)
        text = re.sub(r"versions\. Server [^,]*,", "versions. Server <software>,", text)
        text = re.sub(r"\r\nDate: [^\r]*", "\r\nDate: <date>", text)
        return re.sub(r"\[ctl:[0-9a-f]{8}\]", "[ctl:<id>]", text)

    def shown(self, data):
        text = self.clean(data)
        if len(text) <= SHOWN_MAX:
            return text
        digest = hashlib.sha256(text.encode("latin1")).hexdigest()[:16]
        return f"{text[:60]}... {len(data)} bytes, sha256 {digest}"


def rows_of(session):
    """[(step, place in the step, number in the place, line)], in order."""
    named = named_links(session)
    rows = []
    for place, (at, link) in enumerate(named.items()):
        for number, (step, way, line) in enumerate(link_lines(link)):
            # When a program ends, what it still hears depends on what it has closed already.
            if at.startswith("control") or session.ending.get(step, way) == way:
                rows.append((step, (0, place, way), number, {"at": at, "dir": way, **line}))
    for peer in session.peers:
        kind, _, count = peer.name.partition("-")
        if peer.shown:
            for number, (step, line) in enumerate(peer_lines(peer)):
                rows.append((step, (1, int(count), kind), number, {"at": peer.name, **line}))
    return sorted(rows, key=lambda row: row[:3])


def lines_of(session):
    """The session's lines, in their order."""
    rows = rows_of(session)
    names = Names(session)
    for row in rows:
        if "message" in row[3]:
            names.learn(row[3]["message"])
    return fold([{"session": session.name, "step": f"{step:02} {session.steps[step - 1]}",
                  **{k: v if k in AS_IT_IS else names.shown(v) for k, v in line.items()}}
                 for step, _, _, line in rows])


AS_IT_IS = ("hello", "tls", "stream", "length")


def peer_lines(peer):
    """Bytes of one step and kind joined."""
    out = []
    for step, what, data in peer.events:
        if out and out[-1][0] == step and what in out[-1][1] and what != "end":
            out[-1][1][what] += data
        else:
            out.append((step, {what: data}))
    return out


def fold(lines):
    out = []
    for line in lines:
        if out and {k: v for k, v in out[-1].items() if k != "times"} == line:
            out[-1]["times"] = out[-1].get("times", 1) + 1
        else:
            out.append(line)
    return out


