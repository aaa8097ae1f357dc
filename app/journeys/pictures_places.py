"""Pictures of places in a journey and of groups of people; pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from app.journeys import canvas
from app.journeys.canvas import AMBER, BLUE, GREEN, GREY, RED, TRACK, WIDTH, Answer
from app.journeys.least import LEAST
from app.journeys.wording import Wording

#: A row of bars: its name, of two lines perhaps, the parts of its bar as (share, colour, what it
#: says), and its figures.
Bar = tuple[str, Sequence[tuple[float, str, str]], str]
LEFT, ROW, PALE = 250, 40, "#a9c4dc"
WIDE: float = WIDTH - LEFT - 280
#: So many ways from one touchpoint to the next are drawn; the answer has them all.
WAYS = 15
#: Of each reason for friction: its colour, and what it is called.
REASONS = {
    "abandonment": ("#b3402e", "people leave", "abandon"),
    "slowness": ("#e0a63a", "it takes long", "lenteur"),
    "repetition": ("#7a5195", "the same again", "répétition"),
    "backtrack": ("#2f6690", "back to an earlier stage", "retour en arrière"),
    "escalation": ("#d55e00", "on to a costlier channel", "canal plus coûteux"),
    "failure": ("#5b2333", "failures", "échecs"),
    "voice": ("#1b7f5c", "what they say", "ce qu'ils disent"),
}
_STATES = {
    "detected": "détecté", "not_detected": "non détecté", "no_variation": "sans variation",
}  # fmt: skip
_ALIGNED = {"entry": "l'entrée", "milestone": "le jalon", "landmark": "le repère"}


def _rows(rows: Iterable[Bar], y: float) -> tuple[list[str], float]:
    """Rows of bars whose parts stand one after another, from a height on; and where they end."""
    parts = []
    for name, bar, figures in rows:
        lines = name.split("\n")
        for line, words in enumerate(lines):
            at, size = (y + 17, 13) if len(lines) == 1 else (y + 10 + 15 * line, 12)
            fitting = canvas.fit(words, LEFT - 30, size)
            parts.append(canvas.text(LEFT - 12, at, fitting, size=size, anchor="end"))
        parts.append(canvas.box(LEFT, y, WIDE, 24, TRACK, name.replace("\n", " ")))
        x = float(LEFT)
        for share, colour, tip in bar:
            parts.append(canvas.box(x, y, WIDE * share, 24, colour, tip))
            x += WIDE * share
        figures = canvas.fit(figures, 262, 12)
        parts.append(canvas.text(LEFT + WIDE + 12, y + 17, figures, size=12))
        y += ROW
    return parts, y


def _bars(
    rows: Iterable[Bar],
    key: Sequence[tuple[str, str]],
    say: Wording,
    *,
    more: tuple[str, Sequence[Bar]] = ("", ()),
) -> tuple[list[str], float]:
    """Rows of bars, `more` of them below a heading, and last what the colours mean."""
    parts, y = _rows(rows, 0.0)
    if not y:
        nothing = say.say("Nothing to show yet", "Rien à montrer pour l'instant")
        parts.append(canvas.text(LEFT, 14, nothing, fill=canvas.SMALL))
        y = float(ROW)
    heading, others = more
    if others:
        parts.append(canvas.text(canvas.MARGIN, y + 22, heading, size=15))
        drawn, y = _rows(others, y + 38)
        parts += drawn
    entries, below = canvas.legend(LEFT, y + 10, key)
    return [*parts, *entries], below + 4


def _beside(
    parts: list[str], high: float, calm: int, rare: int, say: Wording
) -> tuple[list[str], float]:
    """Say how many touchpoints have no bar, and why."""
    said = []
    if calm:
        said.append(
            say.say(
                f"touchpoints without any: {calm}", f"points de contact sans aucune\u00a0: {calm}"
            )
        )
    if rare:
        said.append(say.say(f"seen too rarely to judge: {rare}",
                            f"vus trop rarement pour en juger\u00a0: {rare}"))  # fmt: skip
    if not said:
        return parts, high
    line = canvas.text(LEFT, high + 14, "; ".join(said), size=12, fill=canvas.SMALL)
    return [*parts, line], high + 20


def _people(n: int, say: Wording) -> str:
    return say.counted(n, "person people", "personne personnes")


def _felt(one: Mapping[str, Any], name: str, say: Wording) -> Bar:
    """The bar of a score, by its reasons."""
    weights = sum(part["weight"] for part in one["components"]) or 1
    bar = []
    for part in one["components"]:
        colour, *both = REASONS[part["name"]]
        tip = f"{say.say(*both)}: {part['points']:.2f} / 1, n {say.number(part['n'])}"
        bar.append((part["points"] * part["weight"] / weights, colour, tip))
    score = say.number(one["score"])
    said = say.say(f"{score} of 100", f"{score} sur 100")
    return name, bar, f"{said} · {_people(one['profiles'], say)}"


def _friction(answer: Answer, say: Wording) -> str:
    touchpoints, ways = answer["result"]["touchpoints"], answer["result"].get("transitions", ())
    felt = [point for point in touchpoints if round(point["score"] or 0)]
    rare = sum(point["score"] is None for point in touchpoints)
    calm = len(touchpoints) - len(felt) - rare
    rows = [_felt(point, say.name("touchpoint", point["touchpoint"]), say) for point in felt]
    rough = [way for way in ways if round(way["score"] or 0)]
    moved = []
    for way in rough[:WAYS]:
        ends = (say.name("touchpoint", way[end]) for end in ("source", "target"))
        moved.append(_felt(way, "\n→ ".join(ends), say))
    heading = say.say(
        f"Ways from one touchpoint to the next: the roughest {len(moved)} of {len(ways)}",
        "D'un point de contact au suivant\u00a0: "
        + (
            "le passage le plus rude"
            if len(moved) == 1
            else f"les {len(moved)} passages les plus rudes"
        )
        + f", sur {len(ways)}",
    )
    key = [(say.say(english, french), colour) for colour, english, french in REASONS.values()]
    parts, high = _bars(rows, key, say, more=(heading, moved))
    parts, high = _beside(parts, high, calm, rare, say)
    title = say.say(
        "Friction of touchpoints from 0 to 100, by reason, the most harmful first",
        "Friction des points de contact, de 0 à 100, par cause, la plus nuisible d'abord",
    )
    return canvas.document(answer, title, high, parts, say)


def _drop_off(answer: Answer, say: Wording) -> str:
    result = answer["result"]
    states = {
        "moved": (GREEN, say.say("went on", "ont continué")),
        "in_progress": (AMBER, say.say("in progress", "en cours")),
        "dropped": (RED, say.say("lost", "perdus")),
        "unknown": (GREY, say.say("not known", "inconnu")),
    }
    rows: list[Bar] = []
    for stage in result["stages"]:
        whole = stage["reached"] or 1
        bar = [
            (stage[how] / whole, colour, f"{name}: {say.number(stage[how])}")
            for how, (colour, name) in states.items()
        ]
        said, rate = _people(stage["reached"], say), say.share(stage["drop_rate"])
        if rate:
            said += say.say(f" · {rate} lost", f" · {rate} perdus")
        if stage["lost_value"]:
            worth = say.amount(stage["lost_value"])
            said += say.say(f", worth {worth}", f", soit {worth}")
        rows.append((say.name("stage", stage["stage"]), bar, said))
    parts, high = _bars(rows, [(name, colour) for colour, name in states.values()], say)
    breaks = [
        say.name("touchpoint", place["touchpoint"]) for place in result["places"]
        if place["rupture"]
    ]  # fmt: skip
    title = say.say("Where people are lost, by stage", "Où l'on perd des personnes, par étape")
    if result.get("lost_value"):
        worth = say.amount(result["lost_value"])
        title += say.say(f": {worth} in all", f"\u00a0: {worth} en tout")
    if breaks:
        title += say.say("; breaks at ", "\u00a0; ruptures\u00a0: ") + ", ".join(breaks)
    return canvas.document(answer, title, high, parts, say)


def _voice(answer: Answer, say: Wording) -> str:
    colours = [
        (say.say("best answers", "meilleures réponses"), GREEN),
        (say.say("between", "entre les deux"), canvas.FAINT),
        (say.say("worst answers", "pires réponses"), RED),
    ]
    rows: list[Bar] = []
    for survey in answer["result"]["surveys"]:
        for one in survey["touchpoints"]:
            if not one["n"]:
                continue
            n, high, low = one["n"], one["high"], one["low"]
            sizes = (high, n - high - low, low)
            bar = [
                (size / n, colour, f"{said}: {say.number(size)}")
                for size, (said, colour) in zip(sizes, colours, strict=True)
            ]
            few = n < LEAST
            figure = say.score(survey["instrument"], one["value"])
            figure = say.say("too few", "trop peu") if few else figure
            answers = say.counted(n, "answer answers", "réponse réponses")
            instrument = say.instrument(survey["instrument"])
            name = f"{instrument} {say.name('touchpoint', one['touchpoint'])}"
            rows.append((name, [] if few else bar, f"{figure} · {answers}"))
    parts, high_ = _bars(rows, colours, say)
    title = say.say(
        "What customers say of touchpoints", "Ce que les clients disent des points de contact"
    )
    return canvas.document(answer, title, high_, parts, say)


def _moments(answer: Answer, say: Wording) -> str:
    colours = {
        "good": (say.say("after a good visit", "après une bonne visite"), GREEN),
        "bad": (say.say("after a bad visit", "après une mauvaise visite"), RED),
    }
    rows: list[Bar] = []
    moments = answer["result"]["moments"]
    judged = [one for one in moments if one["status"] != "insufficient_sample"]
    for one in judged:
        for side, (said, colour) in colours.items():
            part = one[side]
            state = one["status"].replace("_", " ")
            verdict = say.say(state, _STATES.get(one["status"], state)) if side == "good" else ""
            name = say.name("touchpoint", one["touchpoint"]) if side == "good" else ""
            share, n = say.share(part["share"]), say.number(part["n"])
            tip = f"{said}: {say.number(part['k'])} / {n}"
            figures = say.say(f"{share} of {n}", f"{share} de {n}")
            figures += f" · {verdict}" if verdict else ""
            rows.append((name, [(part["share"] or 0, colour, tip)], figures))
    parts, high = _bars(rows, list(colours.values()), say)
    parts, high = _beside(parts, high, 0, len(moments) - len(judged), say)
    title = say.say(
        "Moments of truth: who comes to the outcome after good and bad visits",
        "Moments de vérité\u00a0: qui aboutit après une bonne et une mauvaise visite",
    )
    return canvas.document(answer, title, high, parts, say)


def _compare(answer: Answer, say: Wording) -> str:
    rows: list[Bar] = []
    for comparison in answer["result"]["alignments"]:
        counted = comparison["counted_from"]
        since = say.say(f"from the {counted}", f"depuis {_ALIGNED.get(counted, counted)}")
        for measure, groups in comparison["outcomes"].items():
            for one in groups:
                low, high = one["interval"] or (0, 0)
                n = say.number(one["n"])
                tip = f"{say.number(one['k'])} / {n}, 95 %: {say.share(low)} – {say.share(high)}"
                bar = [(one["share"] or 0, BLUE, tip), (high - (one["share"] or 0), PALE, tip)]
                name = f"{one['variant']}, {since}"
                name = f"{measure}: {name}" if len(comparison["outcomes"]) > 1 else name
                share = say.share(one["share"])
                said = say.say(f"{share} of {n}", f"{share} de {n}")
                rows.append((name, bar, said if one["n"] else say.say("nobody", "personne")))
    key = [
        (say.say("share", "part"), BLUE),
        (say.say("up to the upper 95 % limit", "jusqu'à la borne haute à 95 %"), PALE),
    ]
    parts, high_ = _bars(rows, key, say)
    title = say.say("Variants compared", "Variantes comparées")
    return canvas.document(answer, title, high_ + 8, parts, say)


DRAWINGS: dict[str, Callable[[Answer, Wording], str]] = {
    "friction": _friction,
    "drop-off": _drop_off,
    "voice": _voice,
    "moments-of-truth": _moments,
    "compare": _compare,
}
