"""What pictures are drawn with: SVG 1.1 without script, style sheet or font of its own; pure."""

import re
from collections.abc import Iterable, Mapping
from textwrap import wrap
from typing import Any
from xml.sax.saxutils import escape

from app.journeys.cautions import caution
from app.journeys.wording import Wording

WIDTH, MARGIN, INK, FAINT, PAPER = 960, 24, "#1d2433", "#c9ced8", "#ffffff"
BLUE, GREEN, AMBER, RED, GREY = "#2f6690", "#1b7f5c", "#c98a1b", "#b3402e", "#8a93a5"
#: Grey of small text: 4.5 times as dark as the paper, as WCAG 2.2 (1.4.3) asks.
SMALL = "#5f6878"
#: Grey of what a bar could be.
TRACK = "#eef1f5"

#: Warnings that are written below a picture; the answer has them all.
WARNINGS = 3

Answer = Mapping[str, Any]
#: Characters that names may have and no XML can (XML 1.0 §2.2).
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def document(
    answer: Answer, title: str, height: float, parts: Iterable[str], say: Wording,
    *, width: int = WIDTH,
) -> str:  # fmt: skip
    """Frame a drawing: its title, and below it what it was computed over."""
    profiles, events = say.number(answer["n_profiles"]), say.number(answer["n_events"])
    at = say.moment(str(answer["as_of"]))
    foot = say.say(
        f"{profiles} profiles, {events} events, as of {at}, for {answer['purpose']}",
        f"{profiles} profils, {events} événements, état au {at}, pour {answer['purpose']}",
    )
    left_out = ", ".join(
        f"{say.reason(why)} {say.number(n)}" for why, n in answer["excluded"].items()
    )
    beside = say.say(f"Left out: {left_out}", f"Laissés de côté\u00a0: {left_out}")
    lines = [foot, beside] if left_out else [foot]
    warned = [
        line
        for one in answer["warnings"][:WARNINGS]
        for line in wrap(
            say.say("Beware: ", "Attention\u00a0: ") + caution(one, say.language),
            int((width - 2 * MARGIN) / 11 / 0.62),
        )
    ]
    lines += warned
    total = height + 78 + 16 * len(lines)
    drawn = "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total:.0f}"'
            f' width="{width}" height="{total:.0f}" role="img" font-family="sans-serif"'
            f' font-size="13" lang="{say.language}">',
            f"<title>{escape(title)}</title><desc>{escape('. '.join(lines))}</desc>",
            f'<rect width="{width}" height="{total:.0f}" fill="{PAPER}"/>',
            text(MARGIN, 32, short(title, 110), size=17),
            f'<g transform="translate(0 52)">{"".join(parts)}</g>',
            *(
                text(
                    MARGIN,
                    height + 76 + 16 * line,
                    fit(said, width - 2 * MARGIN, 11),
                    size=11,
                    fill=RED if len(lines) - line <= len(warned) else SMALL,
                )
                for line, said in enumerate(lines)
            ),
            "</svg>",
        ]
    )
    return _UNWRITABLE.sub("\ufffd", drawn)


def text(
    x: float,
    y: float,
    said: str,
    *,
    size: int = 13,
    fill: str = INK,
    anchor: str = "start",
    halo: bool = False,
) -> str:
    """Return a text at a place; with a halo it reads over what is drawn below it."""
    edge = f' stroke="{PAPER}" stroke-width="3" paint-order="stroke"' if halo else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}"'
        f' text-anchor="{anchor}"{edge}>{escape(said)}</text>'
    )


def box(x: float, y: float, width: float, height: float, fill: str, tip: str,
        *, edge: str | None = None) -> str:  # fmt: skip
    """Return a rectangle that says something when it is pointed at; its edge may be drawn."""
    line = "" if edge is None else f' stroke="{edge}" stroke-width="2"'
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"'
        f' fill="{fill}"{line}><title>{escape(tip)}</title></rect>'
    )


def legend(x: float, y: float, entries: Iterable[tuple[str, str]]) -> tuple[list[str], float]:
    """Return what colours mean, (text, colour) after (text, colour), and where it ends below."""
    parts, at = [], x
    for said, colour in entries:
        wide = 34 + 6.9 * len(said)
        if at > x and at + wide > WIDTH - MARGIN:
            at, y = x, y + 20
        parts.append(box(at, y, 10, 10, colour, said))
        parts.append(text(at + 16, y + 10, said, size=12))
        at += wide
    return parts, y + 12


def fit(said: str, width: float, size: int = 13) -> str:
    """Return a text no wider than this in the usual sans-serif fonts, cut where it is."""
    room, used = width / size, 0.0
    for place, letter in enumerate(said):
        used += _wide(letter)
        if used > room:
            while place and used > room - 0.9:
                place -= 1
                used -= _wide(said[place])
            return said[:place].rstrip(" ,") + "…"
    return said


def _wide(letter: str) -> float:
    """How wide a letter is in DejaVu Sans, the widest of the usual ones, of its size."""
    if letter in "ijlt.,:;'!| ()[]fr-":
        return 0.38
    return 0.9 if letter in "mwMW%@" else 0.72 if letter.isupper() else 0.61


def short(said: str | None, most: int) -> str:
    """Return a label of so many letters at most."""
    name = "other" if said is None else said
    return name if len(name) <= most else name[: most - 1] + "…"


def shade(share: float) -> tuple[str, str]:
    """Return a blue as deep as the share, and the colour of text that reads on it."""
    low, high = (238, 243, 248), (33, 84, 130)
    mixed = (round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed), PAPER if share > 0.5 else INK
