"""Heat maps: the stage × channel matrix, changes of channel, credit by model; pure."""

from collections.abc import Callable, Mapping
from typing import Any

from app.journeys import canvas
from app.journeys.canvas import AMBER, MARGIN, RED, WIDTH, Answer, box, shade, text
from app.journeys.least import LEAST
from app.journeys.sentences import text as said_in
from app.journeys.wording import Wording

LEFT = 190
#: Surveys of which a cell shows the figure; the answer has them all.
SURVEYS = 3
#: Of each (row, column): a share, the lines in it, what it says in words, the colour of its edge.
Cells = Mapping[tuple[int, int], tuple[float, str, str, str | None]]


#: A column is no narrower: of 30 stages there was no number to be read.
LEAST_WIDE = 92


def _width(columns: int) -> int:
    """Return how wide a picture with so many columns is."""
    return max(WIDTH, LEFT + MARGIN + LEAST_WIDE * columns)


def _grid(columns: list[str], rows: list[str], cells: Cells, high: int = 54) -> list[str]:
    """A heat map; a head may have a second line, smaller."""
    wide = (_width(len(columns)) - LEFT - MARGIN) / max(len(columns), 1)
    parts = []
    for c, name in enumerate(columns):
        for line, words in enumerate(name.split("\n")):
            size = 13 if line == 0 else 11
            x, fitting = LEFT + (c + 0.5) * wide, canvas.fit(words, wide - 4, size)
            parts.append(text(x, 4 + 15 * line, fitting, size=size, anchor="middle"))
    for r, name in enumerate(rows):
        y = 30 + r * high
        for line, words in enumerate(name.split("\n")):
            at, size = y + high / 2 - 2 + 16 * line, 13 if line == 0 else 11
            fitting = canvas.fit(words, LEFT - 24, size)
            parts.append(text(LEFT - 12, at, fitting, size=size, anchor="end"))
        for c in range(len(columns)):
            depth, said, tip, edge = cells.get((r, c), (0.0, "", "", None))
            fill, ink = shade(depth)
            x = LEFT + c * wide
            parts.append(box(x + 2, y + 2, wide - 4, high - 4, fill, tip, edge=edge))
            for line, words in enumerate(said.split("\n")):
                size = 14 if line == 0 else 11
                fitting, base = canvas.fit(words, wide - 8, size), y + 22 + 15 * line
                middle = x + wide / 2
                parts.append(text(middle, base, fitting, size=size, fill=ink, anchor="middle"))
    return parts


def _named(part: Mapping[str, Any], kind: str, say: Wording) -> str:
    name = part.get("name")
    if isinstance(name, Mapping):
        both = [name.get(say.language), name.get("en"), name.get("fr")]
        return str(next((one for one in both if one), part["id"]))
    return said_in(name, say.name(kind, part["id"]), say.language)


#: What people say of a touchpoint in the cell, where it is not neutral.
_SAID = {
    "enchantment": ("said: enchanting", "dit\u00a0: enchantement"),
    "irritant": ("said: irritant", "dit\u00a0: irritant"),
    "rupture": ("said: a break", "dit\u00a0: rupture"),
}


def _judged(cell: Mapping[str, Any], say: Wording) -> list[str]:
    """How a cell is judged: by the friction that is computed, by customers, by whoever drew it."""
    lines = []
    if cell.get("friction") is not None:
        lines.append(f"friction {say.number(cell['friction'])} / 100")
    for one in cell.get("voice", ())[:SURVEYS]:
        figure = say.score(one["instrument"], one["value"]) if one["n"] >= LEAST else "–"
        lines.append(f"{say.instrument(one['instrument'])} {figure} ({say.number(one['n'])})")
    said = [_SAID[one["assessment"]] for one in cell.get("declared", ())
            if one["assessment"] in _SAID]  # fmt: skip
    return [*lines, say.say(*said[0])] if said else lines


def _matrix(answer: Answer, say: Wording) -> str:
    result = answer["result"]
    stages, channels = result["stages"], result["channels"]
    columns = {stage["id"]: number for number, stage in enumerate(stages)}
    rows = {channel["id"]: number for number, channel in enumerate(channels)}
    most = max((cell["profiles"] for cell in result["cells"]), default=0) or 1
    edges = {"planned_not_observed": RED, "observed_not_planned": AMBER}
    cells, most_lines = {}, 2
    for cell in result["cells"]:
        n, rate = say.number(cell["profiles"]), say.share(cell["drop_rate"])
        lines = [n if cell["observed"] else "–" if cell["planned"] else ""]
        if cell["observed"] and rate:
            lines.append(say.say(f"{rate} lost", f"{rate} perdus"))
        lines += _judged(cell, say)
        most_lines = max(most_lines, len(lines))
        places = (say.name("stage", cell["stage"]), say.name("channel", cell["channel"]))
        tip = f"{places[0]}, {places[1]}: {n}; {cell['status'].replace('_', ' ')}"
        cells[rows[cell["channel"]], columns[cell["stage"]]] = (
            cell["profiles"] / most, "\n".join(lines), tip, edges.get(cell["status"])
        )  # fmt: skip
    heads = [f"{_named(stage, 'stage', say)}\n{say.number(stage['profiles'])}" for stage in stages]
    sides = [
        f"{_named(channel, 'channel', say)}\n{say.number(channel['profiles'])}"
        for channel in channels
    ]
    high = 24 + 15 * most_lines
    below: float = 30 + high * len(channels) + 16
    key, below = canvas.legend(
        MARGIN,
        below,
        [
            (say.say("happens, and is not on the map", "arrive, mais n'est pas prévu"), AMBER),
            (say.say("on the map, and never happens", "prévu, mais n'arrive jamais"), RED),
            (say.say("darker: more people", "plus foncé\u00a0: plus de personnes"), shade(0.8)[0]),
        ],
    )
    said = say.say(
        "Totals are distinct people, not sums of cells. Lost: no later stage, and silent for long.",
        "Les totaux comptent des personnes distinctes, pas la somme des cases."
        " Perdus\u00a0: aucune étape ensuite, et un long silence.",
    )
    key.append(text(MARGIN, below + 16, said, size=11, fill=canvas.SMALL))
    if any(_judged(cell, say) for cell in result["cells"]):
        said = say.say(
            "Friction is computed, 100 is the worst. In brackets: answers of customers. Said: by"
            " whoever drew the map.",
            "La friction est calculée, 100 est le pire. Entre parenthèses\u00a0: réponses de"
            " clients. Dit\u00a0: par les auteurs de la carte.",
        )
        below += 16
        key.append(text(MARGIN, below + 16, said, size=11, fill=canvas.SMALL))
    if any(one["n"] < LEAST for cell in result["cells"] for one in cell.get("voice", ())[:SURVEYS]):
        said = say.say(
            f"– (n): of fewer than {LEAST} answers no figure is drawn.",
            f"– (n)\u00a0: en dessous de {LEAST} réponses, aucun chiffre n'est montré.",
        )
        below += 16
        key.append(text(MARGIN, below + 16, said, size=11, fill=canvas.SMALL))
    n = say.number(result["profiles"])
    title = say.say(
        f"People by stage and channel: {n} in all",
        f"Personnes par étape et par canal\u00a0: {n} en tout",
    )
    return canvas.document(
        answer, title, below + 20, [*_grid(heads, sides, cells, high), *key], say,
        width=_width(len(heads)),
    )  # fmt: skip


def _switches(answer: Answer, say: Wording) -> str:
    result = answer["result"]
    ids = list(dict.fromkeys(n for m in result["channels"] for n in (m["source"], m["target"])))
    most = max((move["n"] for move in result["channels"]), default=0) or 1
    cells = {}
    for move in result["channels"]:
        n = say.number(move["n"])
        said = say.counted(move["profiles"], "person people", "personne personnes")
        tip = f"{say.name('channel', move['source'])} → {say.name('channel', move['target'])}: {n}"
        place = (ids.index(move["source"]), ids.index(move["target"]))
        cells[place] = (move["n"] / most, f"{n}\n{said}", tip, None)
    rate = say.share(result["rate"]) or "–"
    title = say.say(
        f"Changes of channel: {rate} of neighbouring events",
        f"Changements de canal\u00a0: {rate} des événements voisins",
    )
    names = [say.name("channel", one) for one in ids]
    heads = [say.say("to ", "vers ") + name for name in names]
    sides = [say.say("from ", "depuis ") + name for name in names]
    drawn, width = _grid(heads, sides, cells), _width(len(heads))
    return canvas.document(answer, title, 34 + 54 * len(ids), drawn, say, width=width)


_MODELS = {
    "first": "premier", "last": "dernier", "last_non_direct": "dernier hors direct",
    "linear": "linéaire", "position": "position", "j_shaped": "en J", "inverse_j": "en J inversé",
    "time_decay": "déclin temporel", "shapley": "Shapley", "shapley_rate": "Shapley, taux",
    "markov": "Markov",
}  # fmt: skip


def _attribution(answer: Answer, say: Wording) -> str:
    result = answer["result"]
    models, channels = list(result["sums"]), result["channels"]
    most = max((c["conversions"] for one in channels for c in one["credits"].values()), default=0)
    kinds = answer["semantics"]["label"]
    heads = [say.say(m.replace("_", " "), _MODELS.get(m, m)).replace(" ", "\n", 1) for m in models]
    names = [say.label(kinds, one["label"]) for one in channels]
    cells = {}
    for row, one in enumerate(channels):
        for column, model in enumerate(models):
            n = one["credits"][model]["conversions"]
            part = say.share(n / result["conversions"]) if result["conversions"] else ""
            tip = f"{model}, {canvas.short(names[row], 80)}: {say.number(n, 2)}"
            share = max(n, 0) / (most or 1)
            cells[row, column] = (share, f"{say.number(n, 1)}\n{part}", tip, None)
    n, without = say.number(result["conversions"]), say.number(result["unattributed"])
    title = say.say(
        f"Credit for {n} conversions, {without} of them without a touch",
        f"À qui revient le mérite de {n} conversions, dont {without} sans contact",
    )
    drawn, width = _grid(heads, names, cells), _width(len(heads))
    return canvas.document(answer, title, 34 + 54 * len(channels), drawn, say, width=width)


DRAWINGS: dict[str, Callable[[Answer, Wording], str]] = {
    "matrix": _matrix,
    "switches": _switches,
    "attribution": _attribution,
}
