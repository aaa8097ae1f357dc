"""Answers as pictures: SVG 1.1 that reads without a script, a style sheet or a font; pure."""

from collections.abc import Callable

from app.journeys import canvas, pictures_flow, pictures_grids, pictures_over_time, pictures_places
from app.journeys.canvas import AMBER, BLUE, GREEN, GREY, RED, TRACK, WIDTH, Answer, box, text
from app.journeys.wording import Wording

_DEVIATIONS = {
    "skipped": "passée", "inserted": "en plus", "forbidden": "interdite", "repeated": "répétée",
    "out_of_order": "dans le désordre", "wrong_channel": "autre canal", "late": "en retard",
}  # fmt: skip


def draw(answer: Answer, say: Wording | None = None) -> str:
    """Return an answer as an SVG document; raises ValueError for one that has no picture.

    In English, and by the identifiers of a map's parts, where no wording says otherwise.
    """
    kind = answer["kind"]
    if kind not in DRAWINGS:
        raise ValueError(f"there is no picture of {kind}; there is one of {', '.join(DRAWINGS)}")
    return DRAWINGS[kind](answer, say or Wording())


def _funnel(answer: Answer, say: Wording) -> str:
    result = answer["result"]
    steps, status = result["steps"], result["status"]
    most = max((step["n"] for step in steps), default=0) or 1
    left, row = 240, 52
    wide: float = WIDTH - left - 240
    parts = []
    for number, step in enumerate(steps):
        y, width = float(number * row), wide * step["n"] / most
        name = step["name"] or say.say(f"step {number + 1}", f"étape {number + 1}")
        n, of_all = say.number(step["n"]), say.share(step["from_first"])
        if number and step["from_previous"] is not None:
            gone = say.share(step["from_previous"])
            said = say.say(f"↓ {gone} go on", f"↓ {gone} continuent")
            parts.append(text(left + 4, y - 7, said, size=11, fill=canvas.SMALL))
        parts += [
            text(left - 12, y + 20, canvas.fit(name, left - 30), anchor="end"),
            box(left, y, wide, 30, TRACK, name),
            box(left, y, width, 30, BLUE, f"{name}: {n}"),
            text(left + wide + 12, y + 20, n),
        ]
        if number and of_all:
            said = say.say(f"{of_all} of all", f"{of_all} du total")
            parts.append(text(left + wide + 90, y + 20, said, fill=canvas.SMALL))
    y, x = len(steps) * row + 14.0, float(left)
    entered = status["entered"] or 1
    states = {
        "converted": (GREEN, say.say("converted", "convertis")),
        "in_progress": (AMBER, say.say("in progress", "en cours")),
        "dropped": (RED, say.say("dropped", "perdus")),
        "excluded": (GREY, say.say("excluded", "exclus")),
    }
    whose = say.say("of all who entered", "de tous les entrants")
    parts.append(text(left - 12, y + 13, whose, size=12, anchor="end"))
    for how, (colour, name) in states.items():
        width = wide * status[how] / entered
        parts.append(box(x, y, width, 16, colour, f"{name}: {say.number(status[how])}"))
        x += width
    key, y = canvas.legend(left, y + 28, [(f"{name} {say.number(status[how])}", colour)
                                          for how, (colour, name) in states.items()])  # fmt: skip
    closed, raw = result["rates"]["closed"], say.share(result["rates"]["raw"]) or "–"
    title = say.say(f"Funnel: {raw} convert", f"Entonnoir\u00a0: {raw} convertissent")
    if closed is not None and closed != result["rates"]["raw"]:
        of_over = say.share(closed)
        title += say.say(f", {of_over} of those that are over", f", {of_over} des cas terminés")
    return canvas.document(answer, title, y + 8, [*parts, *key], say)


def _time_to_convert(answer: Answer, say: Wording) -> str:
    """A histogram of how long it took, with the median marked."""
    result = answer["result"]
    bins, done = result["bins"], result["converted"] or {}
    tall, left = 240.0, 70.0
    if not bins:
        nobody = say.say("Nobody has converted", "Personne n'a converti")
        return canvas.document(answer, nobody, 20, [], say)
    most = max(one["n"] for one in bins)
    first: float = bins[0]["start"]
    last: float = max(bins[-1]["end"], first + 1)
    wide = WIDTH - left - canvas.MARGIN

    def at(seconds: float) -> float:
        return left + (seconds - first) / (last - first) * wide

    parts = [
        text(left - 8, 18, say.number(most), size=11, anchor="end"),
        text(left - 8, tall + 4, "0", size=11, anchor="end"),
        box(left, tall, wide, 1, canvas.FAINT, "0"),
    ]
    for one in bins:
        y = tall - one["n"] / most * (tall - 14)
        x, end = at(one["start"]), at(max(one["end"], one["start"] + 1))
        tip = f"{say.lasting(one['start'])} – {say.lasting(one['end'])}: {say.number(one['n'])}"
        parts.append(box(x + 0.5, y, max(end - x - 1, 1), tall - y, BLUE, tip))
    for number in range(7):
        seconds = first + number * (last - first) / 6
        anchor = "start" if number == 0 else "end" if number == 6 else "middle"
        parts.append(text(at(seconds), tall + 20, say.lasting(seconds), size=11, anchor=anchor))
    if (half := done.get("p50")) is not None:
        x = at(half)
        said = say.say("half by ", "la moitié en ") + say.lasting(half)
        parts.append(box(x - 1, 0, 2, tall, AMBER, said))
        anchor = "end" if x > left + wide / 2 else "start"
        parts.append(text(x + (-6 if anchor == "end" else 6), 12, said, size=12, anchor=anchor,
                          halo=True))  # fmt: skip
    n, entered, waiting = (say.number(result[k]) for k in ("n", "entered", "in_progress"))
    title = say.say(
        f"How long it takes: {n} of {entered} converted, {waiting} in progress",
        f"Délai de conversion\u00a0: {n} convertis sur {entered}, {waiting} en cours",
    )
    return canvas.document(answer, title, tall + 28, parts, say)


def _conformance(answer: Answer, say: Wording) -> str:
    result = answer["result"]
    rows = []
    for one in sorted(result["deviations"], key=lambda one: -one["ways"])[:20]:
        kind = say.say(one["kind"].replace("_", " "), _DEVIATIONS.get(one["kind"], one["kind"]))
        to = f" → {say.name('touchpoint', one['to'])}" if one["to"] else ""
        name = f"{kind}{say.say('', chr(0xA0))}: {say.name('touchpoint', one['touchpoint'])}{to}"
        rows.append((name, one["ways"], say.share(one["share"])))
    fit, n = say.share(result["all"]["share_fit"]) or "–", say.number(result["compared"])
    title = say.say(
        f"{fit} of {n} ways are as they should be; the deviations of the others",
        f"{fit} de {n} parcours sont conformes\u00a0; les écarts des autres",
    )
    return canvas.document(answer, title, 34 * len(rows) + 8, _bars(rows, say), say)


def _bars(rows: list[tuple[str, int, str]], say: Wording) -> list[str]:
    """A bar for each row: its name, its number and what stands behind it."""
    most = max((n for _, n, _ in rows), default=0) or 1
    left, parts = 380, []
    wide: float = WIDTH - left - 150
    for number, (name, n, said) in enumerate(rows):
        y = number * 34.0
        parts += [
            text(left - 12, y + 17, canvas.fit(name, left - 30), anchor="end"),
            box(left, y, wide * n / most, 24, BLUE, f"{name}: {say.number(n)}"),
            text(left + wide * n / most + 8, y + 17, f"{say.number(n)} ({said})"),
        ]
    return parts


DRAWINGS: dict[str, Callable[[Answer, Wording], str]] = {
    "funnel": _funnel,
    "time-to-convert": _time_to_convert,
    "conformance": _conformance,
    **pictures_grids.DRAWINGS,
    **pictures_flow.DRAWINGS,
    **pictures_places.DRAWINGS,
    **pictures_over_time.DRAWINGS,
}
