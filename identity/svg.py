"""A waterfall as a picture: PURE. SVG 1.1 that reads without a style sheet, a script or a font."""

from collections.abc import Callable
from xml.sax.saxutils import escape

from identity import words
from identity.bars import Bar, Waterfall
from identity.words import Language

WIDTH, LABELS, MARGIN = 800, 360, 20
ROW, BAR, TOP = 30, 18, 46
FOR, AGAINST, TOTAL, INK, FAINT = "#1b7f5c", "#b3402e", "#31466b", "#1d2433", "#c9ced8"


def draw(fall: Waterfall, language: Language) -> str:
    """Return a waterfall as an SVG document; colours, signs and places say the same."""
    rows = [*fall.bars, Bar("total", None, fall.weight, 0.0, fall.weight)]
    low = min(0.0, *(min(bar.start, bar.end) for bar in rows))
    high = max(0.0, *(max(bar.start, bar.end) for bar in rows))
    scale = (WIDTH - LABELS - 4 * MARGIN) / max(high - low, 1e-9)

    def x(bits: float) -> float:
        return LABELS + 2 * MARGIN + (bits - low) * scale

    height = TOP + ROW * len(rows) + 26
    title = words.say(language, "title")
    summary = words.say(
        language,
        "sum",
        weight=words.number(language, fall.weight, sign=True),
        probability=words.percent(language, fall.probability),
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" role="img" lang="{language}" font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}</title><desc>{escape(summary)}</desc>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{MARGIN}" y="26" font-size="15" fill="{INK}">{escape(summary)}</text>',
        f'<line x1="{x(0):.1f}" y1="{TOP - 8}" x2="{x(0):.1f}" y2="{height - 24}"'
        f' stroke="{FAINT}"/>',
    ]
    for number, bar in enumerate(rows):
        parts += _row(bar, TOP + number * ROW, x, language, last=bar is rows[-1])
    bits = words.say(language, "bits")
    parts.append(
        f'<text x="{WIDTH - MARGIN}" y="{height - 8}" text-anchor="end" font-size="11"'
        f' fill="{INK}">{escape(bits)}</text></svg>'
    )
    return "\n".join(parts)


def _row(
    bar: Bar, y: int, place: Callable[[float], float], language: Language, *, last: bool
) -> list[str]:
    left, right = sorted((place(bar.start), place(bar.end)))
    label = words.say(language, "total") if last else words.name(language, bar.name)
    if bar.level:
        label = f"{label} · {words.level(language, bar.level)}"
    colour = TOTAL if last else FOR if bar.weight >= 0 else AGAINST
    written = words.number(language, bar.weight, sign=True)
    room = WIDTH - MARGIN - right > 46
    at, anchor = (right + 6, "start") if room else (left - 6, "end")
    weight = ' font-weight="bold"' if last else ""
    text = [
        f'<text x="{MARGIN}" y="{y + 14}" fill="{INK}"{weight}>{escape(label)}</text>',
        f'<rect x="{left:.1f}" y="{y}" width="{max(right - left, 1):.1f}" height="{BAR}"'
        f' fill="{colour}"><title>{escape(f"{label}: {written}")}</title></rect>',
        f'<text x="{at:.1f}" y="{y + 14}" text-anchor="{anchor}" fill="{INK}"{weight}>'
        f"{escape(written)}</text>",
    ]
    if not last:
        text.append(
            f'<line x1="{place(bar.end):.1f}" y1="{y + BAR}" x2="{place(bar.end):.1f}"'
            f' y2="{y + ROW}" stroke="{FAINT}"/>'
        )
    return text
