"""Pictures of people over time; pure."""

from collections.abc import Callable

from app.journeys import canvas
from app.journeys.canvas import AMBER, BLUE, GREEN, GREY, MARGIN, RED, WIDTH, Answer

#: The most rows and columns that fit a picture; the answer has all.
ROWS, COLUMNS = 30, 60


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


DRAWINGS: dict[str, Callable[[Answer], str]] = {
    "retention": _retention,
    "lifecycle": _lifecycle,
    "stickiness": _stickiness,
}
