"""Answers as pictures: SVG 1.1 that reads without a script, a style sheet or a font; pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from app.journeys.canvas import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    MARGIN,
    RED,
    WIDTH,
    Answer,
    box,
    document,
    shade,
    share,
    short,
    text,
)
from app.journeys.pictures_over_time import DRAWINGS as OVER_TIME
from app.journeys.pictures_places import DRAWINGS
from app.journeys.vega import deviation

#: How a path's end is drawn.
END_COLOURS = {"drop": RED, "in_progress": AMBER, "continues": GREY, "arrived": GREEN}
#: Colours of labels in a Sankey diagram, told apart by most people with a colour deficiency
#: (Okabe and Ito 2008, without black and yellow).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")


def draw(answer: Answer) -> str:
    """Return an answer as an SVG document; raises ValueError for one that has no picture."""
    kind = answer["kind"]
    drawings = {
        **DRAWINGS,
        **OVER_TIME,
        "funnel": _funnel,
        "matrix": _matrix,
        "paths": _paths,
        "switches": _switches,
        "attribution": _attribution,
        "conformance": _conformance,
    }
    if kind not in drawings:
        raise ValueError(f"there is no picture of {kind}; there is one of {', '.join(drawings)}")
    return drawings[kind](answer)


def _funnel(answer: Answer) -> str:
    result = answer["result"]
    steps, status = result["steps"], result["status"]
    most = max((step["n"] for step in steps), default=0) or 1
    left, row = 240, 46
    wide: float = WIDTH - left - 200
    parts = []
    for number, step in enumerate(steps):
        y, width = float(number * row), wide * step["n"] / most
        name = step["name"] or f"step {number + 1}"
        parts += [
            text(left - 12, y + 20, short(name, 30), anchor="end"),
            box(left, y, wide, 30, "#eef1f5", name),
            box(left, y, width, 30, BLUE, f"{name}: {step['n']:,}"),
            text(left + wide + 12, y + 20, f"{step['n']:,}   {share(step['from_first'])}"),
        ]
    y, x = len(steps) * row + 14.0, float(left)
    entered = status["entered"] or 1
    colours = {"converted": GREEN, "in_progress": AMBER, "dropped": RED, "excluded": GREY}
    for how, colour in colours.items():
        width = wide * status[how] / entered
        parts.append(box(x, y, width, 16, colour, f"{how}: {status[how]:,}"))
        x += width
    for number, (how, colour) in enumerate(colours.items()):
        at = left + number * 150
        parts.append(box(at, y + 28, 10, 10, colour, how))
        parts.append(text(at + 16, y + 38, f"{how.replace('_', ' ')} {status[how]:,}", size=12))
    closed = result["rates"]["closed"]
    title = f"Funnel: {share(result['rates']['raw']) or '–'} convert"
    if closed is not None and closed != result["rates"]["raw"]:
        title += f", {share(closed)} of those that are over"
    return document(answer, title, y + 48, parts)


def _label(part: Mapping[str, Any]) -> str:
    name = part.get("name")
    if isinstance(name, Mapping):
        name = name.get("en") or name.get("fr")
    return str(name or part["id"])


def _grid(
    columns: list[str], rows: list[str], cells: Mapping[tuple[int, int], tuple[float, str, str]]
) -> list[str]:
    """A heat map: of each (row, column) a share, the text in it and what it says in words."""
    left, high = 170, 54
    wide = (WIDTH - left - MARGIN) / max(len(columns), 1)
    parts = [
        text(left + (c + 0.5) * wide, 14, short(name, int(wide / 7)), anchor="middle")
        for c, name in enumerate(columns)
    ]
    for r, name in enumerate(rows):
        y = 26 + r * high
        parts.append(text(left - 12, y + 30, short(name, 20), anchor="end"))
        for c in range(len(columns)):
            depth, said, tip = cells.get((r, c), (0.0, "", ""))
            fill, ink = shade(depth)
            x = left + c * wide
            parts.append(box(x + 1, y + 1, wide - 2, high - 2, fill, tip))
            for line, words in enumerate(said.split("\n")):
                size = 14 if line == 0 else 11
                at = y + 24 + 16 * line
                parts.append(text(x + wide / 2, at, words, size=size, fill=ink, anchor="middle"))
    return parts


def _matrix(answer: Answer) -> str:
    result = answer["result"]
    stages, channels = result["stages"], result["channels"]
    columns = {stage["id"]: number for number, stage in enumerate(stages)}
    rows = {channel["id"]: number for number, channel in enumerate(channels)}
    most = max((cell["profiles"] for cell in result["cells"]), default=0) or 1
    marks = {"planned_not_observed": "planned, unseen", "observed_not_planned": "unplanned"}
    cells = {}
    for cell in result["cells"]:
        said = f"{cell['profiles']:,}" if cell["observed"] else "–" if cell["planned"] else ""
        note = marks.get(cell["status"], "")
        if cell["drop_rate"] is not None:
            note = note or f"{share(cell['drop_rate'])} drop"
        tip = f"{cell['stage']}, {cell['channel']}: {cell['profiles']:,} profiles"
        place = (rows[cell["channel"]], columns[cell["stage"]])
        cells[place] = (cell["profiles"] / most, f"{said}\n{note}", tip)
    heads = [f"{_label(stage)} ({stage['profiles']:,})" for stage in stages]
    sides = [f"{_label(channel)} ({channel['profiles']:,})" for channel in channels]
    title = f"Profiles by stage and channel ({result['profiles']:,} in all)"
    return document(answer, title, 26 + 54 * len(channels), _grid(heads, sides, cells))


def _switches(answer: Answer) -> str:
    result = answer["result"]
    ids = list(dict.fromkeys(n for m in result["channels"] for n in (m["source"], m["target"])))
    most = max((move["n"] for move in result["channels"]), default=0) or 1
    cells = {
        (ids.index(move["source"]), ids.index(move["target"])): (
            move["n"] / most,
            f"{move['n']:,}\n{move['profiles']:,} profiles",
            f"{move['source']} to {move['target']}: {move['n']:,}",
        )
        for move in result["channels"]
    }
    title = f"Changes of channel: {share(result['rate']) or '–'} of neighbouring events"
    heads, sides = [f"to {name}" for name in ids], [f"from {name}" for name in ids]
    return document(answer, title, 26 + 54 * len(ids), _grid(heads, sides, cells))


def _conformance(answer: Answer) -> str:
    result = answer["result"]
    rows = [(deviation(one), one["ways"], share(one["share"])) for one in result["deviations"][:20]]
    fit = share(result["all"]["share_fit"]) or "–"
    title = f"{fit} of {result['compared']:,} ways are as they should be"
    return document(answer, title, 34 * len(rows) + 8, _bars(rows))


def _bars(rows: list[tuple[str, int, str]]) -> list[str]:
    """A bar for each row: its name, its number and what stands behind it."""
    most = max((n for _, n, _ in rows), default=0) or 1
    left, parts = 300, []
    wide: float = WIDTH - left - 160
    for number, (name, n, said) in enumerate(rows):
        y = number * 34.0
        parts += [
            text(left - 12, y + 17, short(name, 40), anchor="end"),
            box(left, y, wide * n / most, 24, BLUE, f"{name}: {n:,}"),
            text(left + wide * n / most + 8, y + 17, f"{n:,}   {said}"),
        ]
    return parts


def _attribution(answer: Answer) -> str:
    result = answer["result"]
    models, channels = list(result["sums"]), result["channels"]
    most = max((c["conversions"] for one in channels for c in one["credits"].values()), default=0)
    cells = {}
    for row, one in enumerate(channels):
        for column, model in enumerate(models):
            n = one["credits"][model]["conversions"]
            part = share(n / result["conversions"]) if result["conversions"] else ""
            tip = f"{model} gives {short(one['label'], 80)} {n:,.2f} conversions"
            cells[row, column] = (max(n, 0) / (most or 1), f"{n:,.1f}\n{part}", tip)
    heads = [model.replace("_", " ") for model in models]
    sides = [short(one["label"], 20) for one in channels]
    title = f"Credit for {result['conversions']:,} conversions,"
    title += f" {result['unattributed']:,} without a touch"
    return document(answer, title, 26 + 54 * len(channels), _grid(heads, sides, cells))


def _paths(answer: Answer) -> str:
    """A Sankey diagram: nodes as high as their paths are many, links as wide."""
    result = answer["result"]
    nodes, links = result["flow"]["nodes"], result["flow"]["links"]
    by_step: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for node in nodes:
        by_step[node["step"]].append(node)
    steps = sorted(by_step)
    tall, gap = 430.0, 14.0
    fullest = max((sum(n["n"] for n in by_step[step]) for step in steps), default=1)
    crowded = max((len(by_step[step]) for step in steps), default=1)
    scale = max(tall - gap * (crowded - 1), 60.0) / fullest
    wide = (WIDTH - 2 * MARGIN - 150) / max(len(steps) - 1, 1)
    colours = _colours(nodes)
    tops: dict[tuple[int, str | None], float] = {}
    for step in steps:
        y = 0.0
        for node in by_step[step]:
            tops[step, node["label"]] = y
            y += node["n"] * scale + gap
    height = max((tops[n["step"], n["label"]] + n["n"] * scale for n in nodes), default=40.0)
    parts, labels = [], []
    leaves, enters = dict(tops), dict(tops)
    # From top to bottom on both sides, so that links of one node do not cross each other.
    for link in sorted(links, key=lambda one: (tops[_from(one)], tops[_to(one)])):
        one, two = _from(link), _to(link)
        x0 = MARGIN + steps.index(link["step"]) * wide + 14
        x1 = MARGIN + steps.index(link["step"] + 1) * wide
        thick = link["n"] * scale
        y0, y1 = leaves[one] + thick / 2, enters[two] + thick / 2
        leaves[one] += thick
        enters[two] += thick
        middle = (x0 + x1) / 2
        tip = f"{short(link['source'], 80)} → {short(link['target'], 80)}: {link['n']:,}"
        parts.append(
            f'<path d="M{x0:.1f} {y0:.1f} C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f}'
            f' {x1:.1f} {y1:.1f}" fill="none" stroke={quoteattr(colours[link["source"]])}'
            f' stroke-opacity="0.35" stroke-width="{max(thick, 0.6):.1f}">'
            f"<title>{escape(tip)}</title></path>"
        )
    for node in nodes:
        x = MARGIN + steps.index(node["step"]) * wide
        top, thick = tops[node["step"], node["label"]], node["n"] * scale
        tip = f"{short(node['label'], 80)}, step {node['step']}: {node['n']:,}"
        parts.append(box(x, top, 14, max(thick, 1), colours[node["label"]], tip))
        y = leaves[node["step"], node["label"]]
        for how, colour in END_COLOURS.items():
            part = node["ends"][how] * scale
            if part and how != "arrived":
                parts.append(box(x + 14, y, 5, part, colour, f"{how}: {node['ends'][how]:,}"))
                y += part
        if thick >= 7 or len(by_step[node["step"]]) <= 12:
            n = f"{node['n']:,}"
            said = f"{short(node['label'], max(int((wide - 30) / 7) - len(n), 6))} {n}"
            labels.append(text(x + 22, top + max(thick / 2, 3) + 4, said, size=12))
    key = height + 26
    for number, (how, colour) in enumerate(END_COLOURS.items()):
        x = MARGIN + number * 170
        said = f"{how.replace('_', ' ')} {result['ends'][how]:,}"
        labels += [
            box(x, key, 10, 10, colour, how),
            text(x + 16, key + 10, said, size=12),
        ]
    title = f"{result['paths']:,} paths of {result['profiles']:,} profiles,"
    title += f" {result['distinct']:,} different routes"
    return document(answer, title, key + 16, [*parts, *labels])


def _from(link: Mapping[str, Any]) -> tuple[int, str | None]:
    return link["step"], link["source"]


def _to(link: Mapping[str, Any]) -> tuple[int, str | None]:
    return link["step"] + 1, link["target"]


def _colours(nodes: Iterable[Mapping[str, Any]]) -> dict[str | None, str]:
    names = dict.fromkeys(node["label"] for node in nodes if node["label"] is not None)
    found: dict[str | None, str] = {
        name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)
    }
    return {**found, None: GREY}
