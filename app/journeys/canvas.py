"""What pictures are drawn with: SVG 1.1 without script, style sheet or font of its own; pure."""

from collections.abc import Iterable, Mapping
from typing import Any
from xml.sax.saxutils import escape

WIDTH, MARGIN, INK, FAINT, PAPER = 960, 24, "#1d2433", "#c9ced8", "#ffffff"
BLUE, GREEN, AMBER, RED, GREY = "#2f6690", "#1b7f5c", "#c98a1b", "#b3402e", "#8a93a5"

Answer = Mapping[str, Any]


def document(answer: Answer, title: str, height: float, parts: Iterable[str]) -> str:
    """Frame a drawing: its title, and below it what it was computed over."""
    foot = (
        f"{answer['n_profiles']:,} profiles, {answer['n_events']:,} events, as of"
        f" {str(answer['as_of'])[:19]} UTC, for {answer['purpose']}"
    )
    total = height + 92
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total:.0f}"'
            f' width="{WIDTH}" height="{total:.0f}" role="img" font-family="sans-serif"'
            ' font-size="13">',
            f"<title>{escape(title)}</title><desc>{escape(foot)}</desc>",
            f'<rect width="{WIDTH}" height="{total:.0f}" fill="{PAPER}"/>',
            text(MARGIN, 32, title, size=17),
            f'<g transform="translate(0 52)">{"".join(parts)}</g>',
            text(MARGIN, total - 14, foot, size=11, fill=GREY),
            "</svg>",
        ]
    )


def text(
    x: float, y: float, said: str, *, size: int = 13, fill: str = INK, anchor: str = "start"
) -> str:
    """Return a text at a place."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}"'
        f' text-anchor="{anchor}">{escape(said)}</text>'
    )


def box(x: float, y: float, width: float, height: float, fill: str, tip: str) -> str:
    """Return a rectangle that says something when it is pointed at."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"'
        f' fill="{fill}"><title>{escape(tip)}</title></rect>'
    )


def short(said: str | None, most: int) -> str:
    """Return a label of so many letters at most."""
    name = "other" if said is None else said
    return name if len(name) <= most else name[: most - 1] + "…"


def share(part: float | None) -> str:
    """Return a share in percent, nothing of nobody."""
    return "" if part is None else f"{part:.1%}"


def shade(share: float) -> tuple[str, str]:
    """Return a blue as deep as the share, and the colour of text that reads on it."""
    low, high = (238, 243, 248), (33, 84, 130)
    mixed = (round(a + (b - a) * share) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed), PAPER if share > 0.5 else INK
