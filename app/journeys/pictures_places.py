"""Pictures of places in a journey and of groups of people; pure."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from app.journeys import canvas
from app.journeys.canvas import AMBER, BLUE, GREEN, GREY, RED, WIDTH, Answer

#: A row of bars: its name, the parts of its bar as (share, colour, what it says), and its figures.
Bar = tuple[str, Sequence[tuple[float, str, str]], str]
LEFT, ROW, PALE = 240, 40, "#a9c4dc"
WIDE: float = WIDTH - LEFT - 230
COLOURS = {
    "abandonment": "#b3402e", "slowness": "#c98a1b", "repetition": "#7a5195",
    "backtrack": "#2f6690", "escalation": "#d55e00", "failure": "#5b2333", "voice": "#1b7f5c",
}  # fmt: skip


def _bars(rows: Iterable[Bar], key: dict[str, str]) -> tuple[list[str], float]:
    """Rows of bars whose parts stand one after another, below them what the colours mean."""
    parts, y = [], 0.0
    for name, bar, figures in rows:
        parts.append(canvas.text(LEFT - 12, y + 17, canvas.short(name, 30), anchor="end"))
        parts.append(canvas.box(LEFT, y, WIDE, 24, "#eef1f5", name))
        x = float(LEFT)
        for share, colour, tip in bar:
            parts.append(canvas.box(x, y, WIDE * share, 24, colour, tip))
            x += WIDE * share
        parts.append(canvas.text(LEFT + WIDE + 12, y + 17, figures, size=12))
        y += ROW
    for number, (said, colour) in enumerate(key.items()):
        x, line = LEFT + (number % 4) * 150.0, y + 14 + (number // 4) * 20
        parts.append(canvas.box(x, line, 10, 10, colour, said))
        parts.append(canvas.text(x + 16, line + 10, said.replace("_", " "), size=12))
    return parts, y + 14 + 20 * ((len(key) + 3) // 4)


def _friction(answer: Answer) -> str:
    rows: list[Bar] = []
    for point in answer["result"]["touchpoints"]:
        weights = sum(one["weight"] for one in point["components"]) or 1
        bar = [
            (one["points"] * one["weight"] / weights, COLOURS[one["name"]],
             f"{one['name']}: {one['points']:.2f} of 1, weight {one['weight']:g}, n {one['n']:,}")
            for one in point["components"]
        ]  # fmt: skip
        said = "seen too rarely" if point["score"] is None else f"{point['score']:.0f} of 100"
        rows.append((point["touchpoint"], bar, f"{said}   {point['profiles']:,} profiles"))
    parts, high = _bars(rows, COLOURS)
    return canvas.document(answer, "Friction of touchpoints, by reason", high, parts)


def _drop_off(answer: Answer) -> str:
    result = answer["result"]
    colours = {"moved": GREEN, "in_progress": AMBER, "dropped": RED, "unknown": GREY}
    rows: list[Bar] = []
    for stage in result["stages"]:
        whole = stage["reached"] or 1
        bar = [
            (stage[how] / whole, colour, f"{how.replace('_', ' ')}: {stage[how]:,}")
            for how, colour in colours.items()
        ]
        said = f"{stage['reached']:,}   {canvas.share(stage['drop_rate'])}"
        if stage["lost_value"]:
            said += f"   lost {stage['lost_value']:,.0f}"
        rows.append((stage["stage"], bar, said))
    parts, high = _bars(rows, colours)
    breaks = [place["touchpoint"] for place in result["places"] if place["rupture"]]
    title = "Drop-off by stage"
    title += f"; breaks at {', '.join(breaks)}" if breaks else ""
    return canvas.document(answer, title, high, parts)


def _voice(answer: Answer) -> str:
    colours = {"best answers": GREEN, "between": "#c9ced8", "worst answers": RED}
    rows: list[Bar] = []
    for survey in answer["result"]["surveys"]:
        for one in survey["touchpoints"]:
            if not one["n"]:
                continue
            n, high, low = one["n"], one["high"], one["low"]
            sizes = (high, n - high - low, low)
            bar = [
                (size / n, colour, f"{said}: {size:,}")
                for size, (said, colour) in zip(sizes, colours.items(), strict=True)
            ]
            figure = (
                f"{one['value']:.2f}" if survey["instrument"] != "nps" else f"{one['value']:+.0f}"
            )
            name = f"{survey['instrument']} {one['touchpoint']}"
            rows.append((name, bar, f"{figure}   {n:,} answers"))
    parts, high_ = _bars(rows, colours)
    return canvas.document(answer, "What customers say of touchpoints", high_, parts)


def _moments(answer: Answer) -> str:
    colours = {"after a good visit": GREEN, "after a bad visit": RED}
    rows: list[Bar] = []
    for one in answer["result"]["moments"]:
        for side, (said, colour) in zip(("good", "bad"), colours.items(), strict=True):
            part = one[side]
            name = one["touchpoint"] if side == "good" else ""
            verdict = one["status"].replace("_", " ") if side == "good" else ""
            tip = f"{said}: {part['k']:,} of {part['n']:,}"
            figures = f"{canvas.share(part['share'])} of {part['n']:,}   {verdict}"
            rows.append((name, [(part["share"] or 0, colour, tip)], figures))
    parts, high = _bars(rows, colours)
    return canvas.document(answer, "Outcome after good and bad visits", high, parts)


def _compare(answer: Answer) -> str:
    rows: list[Bar] = []
    warned = answer["warnings"]
    for comparison in answer["result"]["alignments"]:
        for measure, groups in comparison["outcomes"].items():
            for one in groups:
                low, high = one["interval"] or (0, 0)
                tip = f"{one['k']:,} of {one['n']:,}, 95 % from {low:.1%} to {high:.1%}"
                bar = [(one["share"] or 0, BLUE, tip), (high - (one["share"] or 0), PALE, tip)]
                name = f"{one['variant']}, from the {comparison['counted_from']}"
                name = f"{measure}: {name}" if len(comparison["outcomes"]) > 1 else name
                rows.append((name, bar, f"{canvas.share(one['share'])} of {one['n']:,}"))
    parts, high_ = _bars(rows, {"share": BLUE, "up to 95 %": PALE})
    for line, said in enumerate(warned[:3]):
        parts.append(
            canvas.text(24, high_ + 22 + 18 * line, canvas.short(said, 130), size=11, fill=RED)
        )
    high_ += 18 * min(len(warned), 3)
    return canvas.document(answer, "Variants compared", high_ + 8, parts)


DRAWINGS: dict[str, Callable[[Any], str]] = {
    "friction": _friction,
    "drop-off": _drop_off,
    "voice": _voice,
    "moments-of-truth": _moments,
    "compare": _compare,
}
