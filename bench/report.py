"""What came out: medians over the rounds, ratios within the run, as Markdown, SVG and JSON."""
import json
import os
import platform
import statistics
import subprocess
import time
from xml.sax.saxutils import escape

import peers

OURS_FIRST = ("pgrok", "pgrok-nomux", "pgrok-once", "pgrok-bev", "pgrok-bev-nomux", "pgrok-http",
              "pgrok-drip", "pgrok-guarded")
COLOURS = {"ours": "#2f6f4f", "ours2": "#8fb8a2", "peer": "#8a8f98", "none": "#d5d8dc"}


class Results:
    def __init__(self, bench):
        self.bench = bench
        self.rows = []   # (round, scenario, peer, {figure: value})
        self.means = {}  # scenario -> how the line was made
        self.began = time.time()

    def add(self, number, scenario, peer, got):
        self.rows.append((number, scenario, peer, got))

    def values(self, scenario, peer, key):
        """{round: value}"""
        return {n: got[key] for n, s, p, got in self.rows
                if s == scenario and p == peer and got.get(key) is not None}

    def median(self, scenario, peer, key):
        found = self.values(scenario, peer, key)
        return statistics.median(found.values()) if found else None

    def ratios(self, scenario, peer, base, key):
        """base / peer in each round that has both."""
        ours, theirs = self.values(scenario, base, key), self.values(scenario, peer, key)
        return [ours[n] / theirs[n] for n in ours if theirs.get(n)]


def cpu_model():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def congestion_control():
    try:
        with open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="ascii") as f:
            return f.read().strip()
    except OSError:
        return "unknown"


def shown(figure, value):
    return "-" if value is None else figure.form.format(value)


def markdown_table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def measured_peers(bench, results, scenario):
    there = {p for _, s, p, _ in results.rows if s == scenario.name}
    return [p for p in bench.peers if p.name in there]


def best_of(figure, values):
    values = [v for v in values if v is not None]
    if not values:
        return None
    return max(values) if figure.better == "high" else min(values)


def scenario_table(bench, results, scenario):
    found = measured_peers(bench, results, scenario)
    medians = {(p.name, f.key): results.median(scenario.name, p.name, f.key)
               for p in found for f in scenario.figures}
    rows = []
    for peer in found:
        row = [peer.title]
        for figure in scenario.figures:
            value = medians[peer.name, figure.key]
            best = best_of(figure, [medians[p.name, figure.key] for p in found if p.has_tunnel])
            text = shown(figure, value)
            row.append(f"**{text}**" if peer.has_tunnel and value is not None and value == best else text)
        rows.append(row)
    how = results.means.get(scenario.name)
    note = f"\nThe line: {how}.\n" if how else ""
    return f"### {scenario.title}\n{note}\n" + \
        markdown_table(["peer"] + [f.head for f in scenario.figures], rows)


def ratio_table(bench, results, base):
    """A row for each figure, a column for each peer."""
    others = [p for p in bench.peers if p.name != base.name]
    rows = []
    for scenario in bench.scenarios:
        for figure in scenario.figures:
            if figure.key in ("unanswered", "alive"):
                continue
            wins = "higher" if figure.better == "high" else "lower"
            row = [f"{scenario.name}: {figure.head} ({wins} wins)"]
            for peer in others:
                found = results.ratios(scenario.name, peer.name, base.name, figure.key)
                if not found:
                    row.append("-")
                    continue
                spread = f" ({min(found):.2f}-{max(found):.2f})" if len(found) > 1 else ""
                row.append(f"{statistics.median(found):.2f}{spread}")
            if any(cell != "-" for cell in row[1:]):
                rows.append(row)
    return markdown_table([f"{base.title} /"] + [p.title for p in others], rows) if rows else ""


def source_state(root):
    if not peers.program("git"):
        return "unknown"
    done = subprocess.run(["git", "-C", root, "describe", "--always", "--dirty"], capture_output=True,
                          text=True, check=False)
    return done.stdout.strip() or "unknown"


def machine_lines(bench, results):
    versions = ", ".join(f"{p.title} {p.version()}".strip() for p in bench.peers
                         if p.has_tunnel and not p.name.startswith("pgrok-"))
    done = max(row[0] for row in results.rows)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 ** 30
    tools = (peers.first_line(peers.program("iperf3"), "--version"),
             peers.first_line(peers.program("nginx"), "-v").replace("nginx version: ", ""))
    lines = [f"Made {time.strftime('%Y-%m-%d %H:%M', time.localtime(results.began))}, {done} of "
             f"{bench.rounds} rounds, {bench.seconds:g} s a load, "
             f"{(time.time() - results.began) / 60:.0f} min.",
             f"Machine: {cpu_model()}, {os.cpu_count()} cores, {memory:.0f} GiB; Linux {platform.release()}; "
             f"congestion control {congestion_control()}.",
             f"pgrok: source {source_state(bench.root)}. Peers: {versions}. Behind them: {', '.join(tools)}."]
    if bench.absent:
        absent = (f"{title} ({why})" for title, why in bench.absent.items())
        lines.append(f"Left out: {'; '.join(absent)}.")
    return "\n".join(f"* {line}" for line in lines)


def markdown(bench, results, plot):
    parts = ["# Benchmark\n", machine_lines(bench, results) + "\n",
             "Medians over the rounds; the best tunnel of each column is **bold**. CPU is that of both "
             "daemons together, memory (PSS) likewise. Only ratios within one run mean something; "
             "bench/README.md says how to read each column.\n", f"![plot]({plot})\n"]
    parts += [scenario_table(bench, results, s) for s in bench.scenarios
              if measured_peers(bench, results, s)]
    base = base_peer(bench, results)
    table = ratio_table(bench, results, base) if base else ""
    if table:
        parts.append(f"## Ratios\n\n{base.title} divided by each peer in the same round: median "
                     f"(smallest-largest).\n\n{table}")
    if bench.failures:
        parts.append("## Failed\n\n" + "\n".join(f"* {text}" for text in bench.failures) + "\n")
    return "\n".join(parts)


def base_peer(bench, results):
    there = {p for _, _, p, _ in results.rows}
    for name in OURS_FIRST:
        for peer in bench.peers:
            if peer.name == name and name in there:
                return peer
    return None


def colour(peer):
    if not peer.has_tunnel:
        return COLOURS["none"]
    if not peer.name.startswith("pgrok"):
        return COLOURS["peer"]
    return COLOURS["ours"] if peer.name == "pgrok" else COLOURS["ours2"]


def panel(bench, results, scenario, figure, width):
    """One figure as bars; returns (svg, height). No tunnel at all would dwarf the rest in most."""
    bars = [(p, results.median(scenario.name, p.name, figure.key))
            for p in measured_peers(bench, results, scenario)]
    bars = [(p, v) for p, v in bars if v is not None]
    if not bars:
        return None
    scale = max((v for p, v in bars if p.has_tunnel), default=0) or max(v for _, v in bars) or 1
    left, right, step = 160, 70, 18
    room = width - left - right
    better = "higher is better" if figure.better == "high" else "lower is better"
    title = figure.plot if not scenario.name.startswith("wan") else f"{scenario.title}: {figure.plot}"
    out = [f'<text x="0" y="14" class="h">{escape(title)}</text>',
           f'<text x="0" y="28" class="s">{better}</text>']
    for i, (peer, value) in enumerate(bars):
        y = 36 + i * step
        size = max(1.0, min(1.0, max(0.0, value) / scale) * room)
        beyond = " »" if value > scale else ""
        out.append(f'<text x="{left - 6}" y="{y + 11}" class="n">{escape(peer.title)}</text>'
                   f'<rect x="{left}" y="{y}" width="{size:.1f}" height="{step - 4}" fill="{colour(peer)}"/>'
                   f'<text x="{left + size + 4:.1f}" y="{y + 11}" class="v">'
                   f'{escape(figure.form.format(value))}{beyond}</text>')
    return "".join(out), 36 + len(bars) * step + 20


def svg(bench, results):
    columns, width, gap, top = 2, 480, 30, 46
    heights, body = [top] * columns, []
    for scenario in bench.scenarios:
        for figure in scenario.figures:
            made = panel(bench, results, scenario, figure, width) if figure.plot else None
            if not made:
                continue
            column = heights.index(min(heights))
            body.append(f'<g transform="translate({gap + column * (width + gap)},{heights[column]})">'
                        f'{made[0]}</g>')
            heights[column] += made[1]
    whole = gap + columns * (width + gap)
    date = time.strftime("%Y-%m-%d", time.localtime(results.began))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="{max(heights) + 10}" '
            f'viewBox="0 0 {whole} {max(heights) + 10}">\n<style>text{{font-family:sans-serif;fill:#222}}'
            '.t{font-size:18px;font-weight:bold}.h{font-size:13px;font-weight:bold}'
            '.s{font-size:10px;fill:#777}.n{font-size:11px;text-anchor:end}.v{font-size:11px}</style>\n'
            f'<rect width="100%" height="100%" fill="#fff"/><text x="{gap}" y="28" class="t">'
            f'Tunnels on one machine, same work, {date} (medians)</text>\n' + "\n".join(body) + "\n</svg>\n")


def write(bench, results, folder):
    os.makedirs(folder, exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(results.began))
    path = os.path.join(folder, stamp)
    text = markdown(bench, results, f"{stamp}.svg")
    rows = [{"round": n, "scenario": s, "peer": p, **got} for n, s, p, got in results.rows]
    for end, content in ((".md", text), (".svg", svg(bench, results)),
                         (".json", json.dumps({"rows": rows, "failures": bench.failures}, indent=1))):
        with open(path + end, "w", encoding="utf-8") as f:
            f.write(content)
    print(f"\n{text}\nwritten: {os.path.relpath(path)}.md, .svg, .json", flush=True)
