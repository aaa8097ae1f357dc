"""Pictures of people over time: who comes back, how often, and what is not usual; pure."""

from collections.abc import Callable

from app.journeys import canvas
from app.journeys.canvas import AMBER, BLUE, GREEN, GREY, MARGIN, RED, WIDTH, Answer
from app.journeys.pictures_learnt import DRAWINGS as LEARNT
from app.journeys.wording import Wording

#: The most rows and columns that fit a picture; the answer has all.
ROWS, COLUMNS = 30, 60
MOST_POINTS = 200
_UNITS = {"day": "jour", "week": "semaine", "month": "mois", "hour": "heure", "quarter":
          "trimestre", "year": "année"}  # fmt: skip


def _unit(unit: str, n: float, say: Wording) -> str:
    french = _UNITS.get(unit, unit)
    plural = "" if french.endswith("s") or abs(n) < 2 else "s"
    return say.say(unit + ("" if n == 1 else "s"), french + plural)


def _retention(answer: Answer, say: Wording) -> str:
    """A triangle: a row per cohort, a column per interval after, pale where it is not over."""
    cohorts = answer["result"]["cohorts"][-ROWS:]
    size = max((len(one["cells"]) for one in cohorts), default=1)
    left, high = 190, 30
    wide = (WIDTH - left - MARGIN) / size
    parts = [
        canvas.text(left + (k + 0.5) * wide, 14, str(k), size=11, anchor="middle")
        for k in range(size)
    ]
    for row, cohort in enumerate(cohorts):
        y = 22.0 + row * high
        name = f"{cohort['start']} ({say.number(cohort['size'])})"
        parts.append(canvas.text(left - 12, y + 19, name, anchor="end"))
        for cell in cohort["cells"]:
            fill, ink = canvas.shade(cell["share"] or 0)
            share = cell["share"]
            said = "" if share is None else say.number(100 * share, 0 if wide < 50 else 1)
            said += "*" if cell["incomplete"] else ""
            n, whole = say.number(cell["n"]), say.number(cohort["size"])
            tip = say.say(f"{n} of {whole}", f"{n} de {whole}")
            x = left + cell["k"] * wide
            fill = "#f3f3f3" if cell["incomplete"] else fill
            ink = canvas.SMALL if cell["incomplete"] else ink
            parts.append(canvas.box(x + 1, y + 1, wide - 2, high - 2, fill, tip))
            if wide >= 30:
                parts.append(
                    canvas.text(x + wide / 2, y + 19, said, size=11, fill=ink, anchor="middle")
                )
    below = 22 + len(cohorts) * high + 18
    unit = answer["semantics"]["unit"]
    said = say.say(
        "per cent of those who began then; * not over yet",
        "pour cent de ceux qui ont commencé alors\u00a0; * pas encore terminé",
    )
    parts.append(canvas.text(MARGIN, below, said, size=11, fill=canvas.SMALL))
    title = say.say(
        f"Who comes back, by {unit}s after the first",
        f"Qui revient, par {_unit(unit, 1, say)} après la première fois",
    )
    return canvas.document(answer, title, below, parts, say)


def _lifecycle(answer: Answer, say: Wording) -> str:
    """Bars above the line for who is active, below it for who stays away."""
    colours = {
        "new": (BLUE, say.say("new", "nouveaux")),
        "returning": (GREEN, say.say("active before too", "actifs aussi avant")),
        "resurrecting": (AMBER, say.say("back after a pause", "de retour après une pause")),
        "dormant": (RED, say.say("no longer active", "devenus inactifs")),
    }
    intervals = answer["result"]["intervals"][-COLUMNS:]
    up = max((one["active"] for one in intervals), default=0) or 1
    down = max((-one["dormant"] for one in intervals), default=0)
    tall, left = 320.0, 70
    scale = tall / (up + down)
    line, wide = up * scale, (WIDTH - left - MARGIN) / max(len(intervals), 1)
    parts = [
        canvas.text(left - 8, 10, say.number(up), size=11, anchor="end"),
        canvas.text(left - 8, line + 4, "0", size=11, anchor="end"),
        canvas.text(left - 8, tall, say.number(-down), size=11, anchor="end"),
    ]
    for place, one in enumerate(intervals):
        x, y = left + place * wide, line
        for phase in ("returning", "resurrecting", "new"):
            colour, name = colours[phase]
            y -= one[phase] * scale
            tip = f"{one['start']}, {name}: {say.number(one[phase])}"
            parts.append(canvas.box(x + 1, y, wide - 2, one[phase] * scale, colour, tip))
        tip = f"{one['start']}, {colours['dormant'][1]}: {say.number(-one['dormant'])}"
        parts.append(canvas.box(x + 1, line, wide - 2, -one["dormant"] * scale, RED, tip))
        if place % (1 + len(intervals) // 12) == 0:
            said = one["start"] + ("*" if one["incomplete"] else "")
            parts.append(canvas.text(x, tall + 18, said, size=10))
    key, below = canvas.legend(left, tall + 34, [(name, colour) for colour, name
                                                 in colours.values()])  # fmt: skip
    unit = answer["semantics"].get("unit", "")
    title = say.say("Who is new, stays, comes back, or goes", "Qui arrive, reste, revient ou part")
    if unit in _UNITS:
        title += say.say(f", by {unit}", f", par {_UNITS[unit]}")
    return canvas.document(answer, title, below, [*parts, *key], say)


def _stickiness(answer: Answer, say: Wording) -> str:
    result = answer["result"]
    bars = result["bars"][:ROWS]
    most = max((bar["profiles"] for bar in bars), default=0) or 1
    left, parts = 170, []
    wide: float = WIDTH - left - 190
    unit = answer["semantics"]["unit"]
    for row, bar in enumerate(bars):
        y = row * 30.0
        name = f"{bar['intervals']} {_unit(unit, bar['intervals'], say)}"
        parts.append(canvas.text(left - 12, y + 16, name, anchor="end"))
        width, n = wide * bar["profiles"] / most, say.number(bar["profiles"])
        parts.append(canvas.box(left, y, width, 22, BLUE, n))
        said = f"{n} ({say.share(bar['share'])})"
        parts.append(canvas.text(left + width + 8, y + 16, said))
    of = result["of_intervals"]
    title = say.say(
        f"In how many of {say.number(of)} {_unit(unit, of, say)} people were active",
        f"Combien de personnes ont été actives, par nombre de {_unit(unit, 2, say)}"
        f" sur {say.number(of)}",
    )
    return canvas.document(answer, title, 30 * len(bars) + 6, parts, say)


def _anomalies(answer: Answer, say: Wording) -> str:
    """The number over time on the band it was to be in, with what is not usual marked."""
    result = answer["result"]
    points = result["points"][-MOST_POINTS:]
    tall, left = 300.0, 80.0
    wide = WIDTH - left - MARGIN
    top = max((max(one["value"], one["high"] or 0) for one in points), default=0.0) or 1.0
    step = wide / max(len(points), 1)

    def at(value: float) -> float:
        return tall - value / top * tall

    shares = top <= 1 and points and points[0]["of"] is not None
    said = say.share(top) if shares else say.number(top)
    parts = [canvas.text(left - 8, 10, said, size=11, anchor="end"),
             canvas.text(left - 8, tall, "0", size=11, anchor="end")]  # fmt: skip
    colours = {"high": RED, "low": RED, "feed_gap": AMBER, "incomplete": GREY}
    band = "#dfe8f1"
    for place, one in enumerate(points):
        x = left + place * step
        if one["high"] is not None:
            high, low = at(one["high"]), at(one["low"])
            parts.append(canvas.box(x, high, step, low - high, band, one["start"]))
    line = " ".join(
        f"{left + (place + 0.5) * step:.1f},{at(one['value']):.1f}"
        for place, one in enumerate(points)
    )
    parts.append(f'<polyline points="{line}" fill="none" stroke="{BLUE}" stroke-width="1.5"/>')
    for place, one in enumerate(points):
        x = left + (place + 0.5) * step
        if colour := colours.get(one["status"]):
            tip = f"{one['start']}: {one['value']:g}, {one['status'].replace('_', ' ')}"
            parts.append(canvas.box(x - 4, at(one["value"]) - 4, 8, 8, colour, tip))
        if place % (1 + len(points) // 8) == 0 and x < WIDTH - MARGIN - 50:
            parts.append(canvas.text(x - step / 2, tall + 18, one["start"], size=10))
    key, below = canvas.legend(
        left,
        tall + 34,
        [
            (say.say("observed", "observé"), BLUE),
            (say.say("as expected", "attendu"), band),
            (say.say("not as expected", "inattendu"), RED),
            (say.say("no data came", "aucune donnée reçue"), AMBER),
            (say.say("not over", "pas terminé"), GREY),
        ],
    )
    unit, n = answer["semantics"]["unit"], len(result["points"])
    alerts = say.number(result["alerts"])
    title = say.say(
        f"{alerts} of {say.number(n)} {_unit(unit, n, say)} are not as expected",
        f"{alerts} sur {say.number(n)} {_unit(unit, n, say)} ne sont pas comme attendu",
    )
    if len(points) < n:
        title += say.say(
            f"; the last {say.number(len(points))} are drawn",
            f"\u00a0; les {say.number(len(points))} derniers sont dessinés"
            if unit == "day"
            else f"\u00a0; les {say.number(len(points))} dernières sont dessinées",
        )
    return canvas.document(answer, title, below, [*parts, *key], say)


DRAWINGS: dict[str, Callable[[Answer, Wording], str]] = {
    "retention": _retention,
    "lifecycle": _lifecycle,
    "stickiness": _stickiness,
    "anomalies": _anomalies,
    **LEARNT,
}
