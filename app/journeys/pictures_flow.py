"""Paths as a Sankey diagram: nodes as high as their paths are many, links as wide; pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from app.journeys import canvas
from app.journeys.canvas import AMBER, GREEN, GREY, MARGIN, RED, WIDTH, Answer, box, text
from app.journeys.wording import Wording

#: So many names a column shows; what is rarer is drawn as other, with how many names that is.
MOST = 7
#: A name that fewer of the paths than this go through at a step is drawn as other.
LEAST = 0.01
#: Colours of labels that most people with a colour deficiency tell apart (Okabe and Ito 2008, Tol
#: 2021); the grey is for other alone.
COLOURS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00",
    "#882255", "#999933", "#332288", "#44aa99", "#aa4499", "#661100",
)  # fmt: skip
ENDS = ("drop", "in_progress", "continues")
Place = tuple[int, str | None]


@dataclass(slots=True)
class _Node:
    n: int
    ends: Counter[str]
    #: How many names are in it, and whether it holds what the answer itself calls other too.
    names: int
    more: bool = False


def _folded(
    nodes: Iterable[Mapping[str, Any]], links: Iterable[Mapping[str, Any]], paths: int
) -> tuple[dict[int, dict[str | None, _Node]], Counter[tuple[Place, Place]]]:
    """Put the rare names of each step into other; every path stays where it was."""
    by_step: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for node in nodes:
        by_step[node["step"]].append(node)
    columns: dict[int, dict[str | None, _Node]] = {}
    shown: set[Place] = set()
    for step in sorted(by_step):
        named = sorted((n for n in by_step[step] if n["label"] is not None),
                       key=lambda one: -one["n"])  # fmt: skip
        kept = [one for one in named[:MOST] if one["n"] >= LEAST * paths]
        shown |= {(step, one["label"]) for one in kept}
        column: dict[str | None, _Node] = {}
        rest = [one for one in by_step[step] if (step, one["label"]) not in shown]
        for one in (*kept, *rest):
            label = one["label"] if (step, one["label"]) in shown else None
            whole = column.setdefault(label, _Node(0, Counter(), 0))
            whole.n += one["n"]
            whole.ends.update(one["ends"])
            whole.names += one["label"] is not None
            whole.more |= one["label"] is None
        columns[step] = column
    flows: Counter[tuple[Place, Place]] = Counter()

    def place(step: int, label: str | None) -> Place:
        return (step, label) if (step, label) in shown else (step, None)

    for link in links:
        source = place(link["step"], link["source"])
        target = place(link["step"] + 1, link["target"])
        flows[source, target] += link["n"]
    return columns, flows


def _paths(answer: Answer, say: Wording) -> str:
    result, kinds = answer["result"], answer["semantics"]["label"]
    columns, flows = _folded(result["flow"]["nodes"], result["flow"]["links"], result["paths"])
    steps, tall, gap, head = list(columns), 470.0, 17.0, 18.0
    fullest = max((sum(n.n for n in column.values()) for column in columns.values()), default=1)
    crowded = max((len(column) for column in columns.values()), default=1)
    scale = max(tall - gap * (crowded - 1), 60.0) / max(fullest, 1)
    wide = (WIDTH - 2 * MARGIN - 160) / max(len(steps) - 1, 1)
    colours = _colours(columns)
    tops: dict[Place, float] = {}
    for step, column in columns.items():
        y = head
        for label, node in column.items():
            tops[step, label] = y
            y += node.n * scale + gap
    parts, labels, deepest = [], [], head
    for number, step in enumerate(steps):
        labels.append(text(MARGIN + number * wide, 6, _step(step, say), size=11, fill=canvas.SMALL))
    leaves, enters = dict(tops), dict(tops)
    # From top to bottom on both sides, so that links of one node do not cross each other.
    for (one, two), n in sorted(flows.items(), key=lambda f: (tops[f[0][0]], tops[f[0][1]])):
        x0 = MARGIN + steps.index(one[0]) * wide + 14
        x1 = MARGIN + steps.index(two[0]) * wide
        thick = n * scale
        y0, y1 = leaves[one] + thick / 2, enters[two] + thick / 2
        leaves[one] += thick
        enters[two] += thick
        middle = (x0 + x1) / 2
        ways = [canvas.short(say.label(kinds, end[1]), 80) for end in (one, two)]
        parts.append(
            f'<path d="M{x0:.1f} {y0:.1f} C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f}'
            f' {x1:.1f} {y1:.1f}" fill="none" stroke={quoteattr(colours[one[1]])}'
            f' stroke-opacity="0.35" stroke-width="{max(thick, 0.6):.1f}">'
            f"<title>{escape(f'{ways[0]} → {ways[1]}: {say.number(n)}')}</title></path>"
        )
    ends = _ends(say)
    for step, column in columns.items():
        x = MARGIN + steps.index(step) * wide
        for label, node in column.items():
            top, thick = tops[step, label], node.n * scale
            name = _name(label, node, kinds, say)
            tip = f"{canvas.short(name, 80)}, {_step(step, say)}: {say.number(node.n)}"
            parts.append(box(x, top, 14, max(thick, 1.5), colours[label], tip))
            y = leaves[step, label]
            for how in ENDS:
                colour, said_end = ends[how]
                high = node.ends[how] * scale
                if high:
                    tip = f"{canvas.short(name, 80)}, {said_end}: {say.number(node.ends[how])}"
                    parts.append(box(x + 14, y, 6, high, colour, tip))
                    y += high
            figure = say.number(node.n)
            room = (wide if step != steps[-1] else 160) - 34 - 8 * len(figure)
            said = f"{canvas.fit(name, room, 12)} {figure}"
            labels.append(text(x + 24, top + max(thick / 2, 3) + 4, said, size=12, halo=True))
            deepest = max(deepest, top + max(thick, 12))
    key, below = canvas.legend(
        MARGIN, deepest + 26,
        [(f"{said} {say.number(result['ends'][how])}", colour)
         for how, (colour, said) in ends.items()
         if how != "arrived" or result["ends"]["arrived"]],
    )  # fmt: skip
    paths, who, routes = (say.number(result[k]) for k in ("paths", "profiles", "distinct"))
    title = say.say(
        f"{paths} paths of {who} people, {routes} different routes",
        f"{paths} parcours de {who} personnes, {routes} chemins différents",
    )
    return canvas.document(answer, title, below + 4, [*parts, *labels, *key], say)


def _ends(say: Wording) -> dict[str, tuple[str, str]]:
    return {
        "drop": (RED, say.say("ended here", "s'arrêtent ici")),
        "in_progress": (AMBER, say.say("may still go on", "peuvent encore continuer")),
        "continues": (GREY, say.say("go on, beyond the picture", "continuent hors de l'image")),
        "arrived": (GREEN, say.say("arrived", "arrivés")),
    }


def _step(step: int, say: Wording) -> str:
    if step == 0:
        return say.say("start", "départ")
    return say.say(f"step {step:+d}", f"étape {step:+d}")


def _name(label: str | None, node: _Node, kinds: str, say: Wording) -> str:
    name = say.label(kinds, label)
    if label is not None or not node.names:
        return name
    return f"{name} ({node.names}{'+' if node.more else ''})"


def _colours(columns: Mapping[int, Mapping[str | None, _Node]]) -> dict[str | None, str]:
    names: Counter[str] = Counter()
    for column in columns.values():
        names.update({label: node.n for label, node in column.items() if label is not None})
    # The most frequent first, so that colours come twice among the rarest alone.
    found: dict[str | None, str] = {
        name: COLOURS[number % len(COLOURS)] for number, (name, _) in enumerate(names.most_common())
    }
    return {**found, None: GREY}


DRAWINGS: dict[str, Callable[[Answer, Wording], str]] = {"paths": _paths}
