"""Prometheus' text format, read strictly."""

import re

SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"')


def parse_metrics(text):
    """The text format 0.0.4, strictly: {name: [(labels, value)]}."""
    samples, types, helped, order = {}, {}, set(), []
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in helped, f"two HELP of {name}"
            helped.add(name)
        elif line.startswith("# TYPE "):
            name, kind = line.split(" ")[2:]
            assert name not in types and kind in ("counter", "gauge", "summary", "histogram", "untyped")
            types[name] = kind
            order.append(name)
        else:
            m = SAMPLE.match(line)
            assert m, line
            family = m[1] if m[1] in types else re.sub("_(sum|count|bucket)$", "", m[1])
            assert family == order[-1], f"{line}: apart from its TYPE"
            labels, rest = {}, m[2] or ""
            while rest:
                one = LABEL.match(rest)
                assert one and one[1] not in labels, line
                labels[one[1]] = re.sub(r"\\(.)", lambda x: "\n" if x[1] == "n" else x[1], one[2])
                rest = rest[one.end():]
                assert not rest or rest.startswith(","), line
                rest = rest[1:]
            samples.setdefault(m[1], []).append((labels, float(m[3])))
            if types[family] == "counter":
                assert m[1].endswith("_total"), line
    assert set(types) == helped
    return samples
