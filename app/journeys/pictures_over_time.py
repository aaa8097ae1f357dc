"""Pictures of people over time, and of what decides; pure."""

from collections.abc import Callable

from app.journeys import canvas
from app.journeys.canvas import AMBER, BLUE, FAINT, GREEN, GREY, MARGIN, RED, WIDTH, Answer
from app.journeys.vega_over_time import driver

#: The most rows and columns that fit a picture; the answer has all.
ROWS, COLUMNS = 30, 60
MOST_POINTS = 200


def _retention(answer: Answer) -> str:
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
        name = f"{cohort['start']} ({cohort['size']:,})"
        parts.append(canvas.text(left - 12, y + 19, name, anchor="end"))
        for cell in cohort["cells"]:
            fill, ink = canvas.shade(cell["share"] or 0)
            said = canvas.share(cell["share"]) + ("*" if cell["incomplete"] else "")
            tip = f"{cell['n']:,} of {cohort['size']:,}"
            x = left + cell["k"] * wide
            fill = "#f3f3f3" if cell["incomplete"] else fill
            ink = GREY if cell["incomplete"] else ink
            parts.append(canvas.box(x + 1, y + 1, wide - 2, high - 2, fill, tip))
            if wide >= 36:
                parts.append(
                    canvas.text(x + wide / 2, y + 19, said, size=11, fill=ink, anchor="middle")
                )
    below = 22 + len(cohorts) * high + 18
    unit = answer["semantics"]["unit"]
    parts.append(canvas.text(MARGIN, below, "* not over yet", size=11, fill=GREY))
    return canvas.document(answer, f"Who comes back, by {unit} after the first", below, parts)


def _lifecycle(answer: Answer) -> str:
    """Bars above the line for who is active, below it for who stays away."""
    colours = {"new": BLUE, "returning": GREEN, "resurrecting": AMBER, "dormant": RED}
    intervals = answer["result"]["intervals"][-COLUMNS:]
    up = max((one["active"] for one in intervals), default=0) or 1
    down = max((-one["dormant"] for one in intervals), default=0)
    tall, left = 320.0, 70
    scale = tall / (up + down)
    line, wide = up * scale, (WIDTH - left - MARGIN) / max(len(intervals), 1)
    parts = [
        canvas.text(left - 8, 10, f"{up:,}", size=11, anchor="end"),
        canvas.text(left - 8, line + 4, "0", size=11, anchor="end"),
        canvas.text(left - 8, tall, f"-{down:,}", size=11, anchor="end"),
    ]
    for place, one in enumerate(intervals):
        x, y = left + place * wide, line
        for phase in ("returning", "resurrecting", "new"):
            y -= one[phase] * scale
            tip = f"{one['start']}: {one[phase]:,} {phase}"
            parts.append(canvas.box(x + 1, y, wide - 2, one[phase] * scale, colours[phase], tip))
        tip = f"{one['start']}: {one['dormant']:,} dormant"
        parts.append(canvas.box(x + 1, line, wide - 2, -one["dormant"] * scale, RED, tip))
        if place % (1 + len(intervals) // 12) == 0:
            said = one["start"] + ("*" if one["incomplete"] else "")
            parts.append(canvas.text(x, tall + 18, said, size=10))
    for number, (phase, colour) in enumerate(colours.items()):
        x = left + number * 150.0
        parts += [canvas.box(x, tall + 34, 10, 10, colour, phase)]
        parts += [canvas.text(x + 16, tall + 44, phase, size=12)]
    return canvas.document(answer, "Who is new, returning, back, or dormant", tall + 50, parts)


def _stickiness(answer: Answer) -> str:
    result = answer["result"]
    bars = result["bars"][:ROWS]
    most = max((bar["profiles"] for bar in bars), default=0) or 1
    left, parts = 170, []
    wide: float = WIDTH - left - 190
    unit = answer["semantics"]["unit"]
    for row, bar in enumerate(bars):
        y = row * 30.0
        name = f"{bar['intervals']} {unit}{'s' if bar['intervals'] > 1 else ''}"
        parts.append(canvas.text(left - 12, y + 16, name, anchor="end"))
        width = wide * bar["profiles"] / most
        parts.append(canvas.box(left, y, width, 22, BLUE, f"{bar['profiles']:,} profiles"))
        said = f"{bar['profiles']:,}   {canvas.share(bar['share'])}"
        parts.append(canvas.text(left + width + 8, y + 16, said))
    title = f"Active in how many {unit}s of {result['of_intervals']:,}"
    return canvas.document(answer, title, 30 * len(bars) + 6, parts)


def _drivers(answer: Answer) -> str:
    """A forest: the difference that each feature goes with, and how sure that is."""
    result = answer["result"]
    rows = [one for one in result["drivers"] if not one["leaks"]][:ROWS]
    reach = max((abs(end) for one in rows for end in one["interval"]), default=0.0) or 1.0
    left, high = 300, 26
    half = (WIDTH - left - MARGIN - 120) / 2
    zero = left + half
    parts = [canvas.box(zero, 0, 1, high * len(rows), FAINT, "no difference")]
    for row, one in enumerate(rows):
        y = row * high + 0.0
        low, top = (zero + end / reach * half for end in one["interval"])
        at = zero + one["difference"] / reach * half
        colour = GREY if one["q"] >= 0.05 else GREEN if one["difference"] > 0 else RED
        tip = (
            f"{canvas.share(one['share_with'])} with, {canvas.share(one['share_without'])} without"
        )
        parts += [
            canvas.text(left - 12, y + 17, canvas.short(driver(one), 40), anchor="end"),
            canvas.box(low, y + 12, top - low, 2, colour, tip),
            canvas.box(at - 4, y + 9, 8, 8, colour, tip),
            canvas.text(WIDTH - MARGIN, y + 17, f"{one['difference']:+.1%}", anchor="end"),
        ]
    below = high * len(rows) + 20
    said = "grey: could be chance (q ≥ 5 %). It says what goes together, not what causes what."
    parts.append(canvas.text(MARGIN, below, said, size=11, fill=GREY))
    title = f"What separates the {result['k']:,} of {result['n']:,} who come to the outcome"
    return canvas.document(answer, title, below, parts)


def _prediction(answer: Answer) -> str:
    """On the left what was said against what came, on the right what makes the score."""
    result = answer["result"]
    quality = result["quality"]
    if quality is None:
        said = [canvas.text(MARGIN, 20, result["refused"] or "")]
        return canvas.document(answer, "No prediction", 40, said)
    size, left = 320.0, 70.0
    ends = [one["interval"][1] for one in quality["calibration"]]
    reach = max([*ends, *(one["predicted"] for one in quality["calibration"])]) or 1.0
    parts = [
        canvas.box(left, 0, 1, size, FAINT, "observed"),
        canvas.box(left, size, size, 1, FAINT, "predicted"),
        f'<path d="M{left} {size} L{left + size} 0" stroke="{FAINT}" stroke-dasharray="4 4"/>',
        canvas.text(left + size, size + 18, f"said: {reach:.0%}", size=11, anchor="end"),
        canvas.text(left - 8, 10, f"{reach:.0%}", size=11, anchor="end"),
        canvas.text(left - 8, size, "0", size=11, anchor="end"),
        canvas.text(left, size + 18, "came ↑", size=11),
    ]
    for one in quality["calibration"]:
        x = left + one["predicted"] / reach * size
        low, high = (size - end / reach * size for end in one["interval"])
        y = size - one["observed"] / reach * size
        tip = f"said {one['predicted']:.1%}, came {one['observed']:.1%} of {one['n']:,}"
        parts += [canvas.box(x - 1, high, 2, low - high, GREY, tip)]
        parts += [canvas.box(x - 4, y - 4, 8, 8, BLUE, tip)]
    weights = result["weights"][:12]
    most = max((abs(one["weight"]) for one in weights), default=0.0) or 1.0
    middle = 720.0
    for row, one in enumerate(weights):
        y, width = row * 26.0, abs(one["weight"]) / most * 120
        x = middle if one["weight"] > 0 else middle - width
        colour = GREEN if one["weight"] > 0 else RED
        parts.append(canvas.box(x, y, width, 18, colour, f"{one['weight']:+.2f}"))
        name = canvas.short(one["feature"], 24)
        parts.append(canvas.text(middle - 130, y + 14, name, size=12, anchor="end"))
    low, high = quality["auc_interval"]
    title = f"AUC {quality['auc']:.2f} ({low:.2f}–{high:.2f}) on a time it had not seen"
    if result["refused"]:
        title = f"No prediction: {result['refused']}"
    return canvas.document(answer, title, size + 24, parts)


def _anomalies(answer: Answer) -> str:
    """The number over time on the band it was to be in, with what is not usual marked."""
    result = answer["result"]
    points = result["points"][-MOST_POINTS:]
    tall, left = 300.0, 80.0
    wide = WIDTH - left - MARGIN
    top = max((max(one["value"], one["high"] or 0) for one in points), default=0.0) or 1.0
    step = wide / max(len(points), 1)

    def at(value: float) -> float:
        return tall - value / top * tall

    said = f"{top:.1%}" if top <= 1 and points and points[0]["of"] is not None else f"{top:,.0f}"
    parts = [canvas.text(left - 8, 10, said, size=11, anchor="end"),
             canvas.text(left - 8, tall, "0", size=11, anchor="end")]  # fmt: skip
    colours = {"high": RED, "low": RED, "feed_gap": AMBER, "incomplete": GREY}
    for place, one in enumerate(points):
        x = left + place * step
        if one["high"] is not None:
            high, low = at(one["high"]), at(one["low"])
            parts.append(canvas.box(x, high, step, low - high, "#dfe8f1", one["start"]))
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
        if place % (1 + len(points) // 8) == 0:
            parts.append(canvas.text(x - step / 2, tall + 18, one["start"], size=10))
    key = {"not as expected": RED, "no data came": AMBER, "not over": GREY}
    for number, (name, colour) in enumerate(key.items()):
        x = left + number * 170.0
        parts += [canvas.box(x, tall + 34, 10, 10, colour, name)]
        parts += [canvas.text(x + 16, tall + 44, name, size=12)]
    title = f"{result['alerts']:,} of {len(result['points']):,} {answer['semantics']['unit']}s"
    return canvas.document(answer, f"{title} are not as expected", tall + 50, parts)


DRAWINGS: dict[str, Callable[[Answer], str]] = {
    "retention": _retention,
    "lifecycle": _lifecycle,
    "stickiness": _stickiness,
    "drivers": _drivers,
    "prediction": _prediction,
    "anomalies": _anomalies,
}
