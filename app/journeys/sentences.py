"""Figures in sentences, in French and in English, each by its own typography; pure.

French: the decimal comma, thousands apart and the per cent sign after a narrow no-break space
(U+202F), a no-break space (U+00A0) before a colon and inside « ». Source: Lexique des règles
typographiques en usage à l'Imprimerie nationale. Minus is U+2212 in both.
"""

from datetime import date
from typing import Literal, NamedTuple

from app.journeys.definition import Label, LocalizedText

Language = Literal["fr", "en"]
NARROW, WIDE = "\u202f", "\u00a0"
_MONTHS: dict[Language, str] = {
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "en": "January February March April May June July August September October November December",
}


class Share(NamedTuple):
    """A share, shown in per cent."""

    value: float


class Points(NamedTuple):
    """A difference of shares, shown in points of per cent, with its sign."""

    value: float


class Between(NamedTuple):
    """The two ends of an interval of shares or points."""

    low: Share | Points
    high: Share | Points


class Probability(NamedTuple):
    """A p- or q-value."""

    value: float


class Name(NamedTuple):
    """Something that has a name of its own: what people call it, or its identifier."""

    label: Label | None
    otherwise: str


class Way(NamedTuple):
    """Names one after the other."""

    names: tuple[Name, ...]


Figure = int | float | date | Share | Points | Between | Probability | Name | Way


def sentence(french: str, english: str, **figures: Figure) -> LocalizedText:
    """Return a sentence in both languages, with its figures in the places named after them."""
    return LocalizedText(
        fr=_spaced(french).format(**{k: shown(v, "fr") for k, v in figures.items()}),
        en=english.format(**{k: shown(v, "en") for k, v in figures.items()}),
    )


def shown(figure: Figure, language: Language) -> str:
    """Return a figure as text of a language."""
    match figure:
        case Share(value):
            return number(100 * value, 1, language) + (f"{NARROW}%" if language == "fr" else "%")
        case Points(value):
            return ("+" if value > 0 else "") + number(100 * value, 1, language) + " points"
        case Between(low, high):
            apart = " à " if language == "fr" else " to "
            first = shown(low, language)
            if isinstance(low, Points):
                first = first.removesuffix(" points")
            return first + apart + shown(high, language)
        case Probability(value):
            small = value < 0.001
            said = number(0.001 if small else value, 3, language)
            return f"{'<' if small else '='} {said}"
        case Name(label, otherwise):
            return _quoted(text(label, otherwise, language), language)
        case Way(names):
            return _quoted(" → ".join(text(*one, language) for one in names), language)
        case date():
            month = _MONTHS[language].split()[figure.month - 1]
            day = "1er" if language == "fr" and figure.day == 1 else str(figure.day)
            return f"{day} {month} {figure.year}"
        case _:
            return number(figure, 0 if isinstance(figure, int) else 1, language)


def number(value: float, decimals: int, language: Language) -> str:
    """Return a number as a language writes it."""
    # What rounds to nothing has no sign.
    said = f"{round(value, decimals) + 0.0:,.{decimals}f}".replace("-", "\u2212")
    if language == "en":
        return said
    return said.replace(",", NARROW).replace(".", ",")


def text(label: Label | None, otherwise: str, language: Language = "en") -> str:
    """Return a label in a language, or in the other one."""
    if isinstance(label, LocalizedText):
        both = {"en": label.en, "fr": label.fr}
        return both[language] or label.en or label.fr or otherwise
    return label or otherwise


def _quoted(name: str, language: Language) -> str:
    return f"«{WIDE}{name}{WIDE}»" if language == "fr" else f"“{name}”"


def _spaced(french: str) -> str:
    """Keep a colon, a semicolon and a per cent sign with what is before them."""
    return french.replace(" :", f"{WIDE}:").replace(" ;", f"{NARROW};").replace(" %", f"{NARROW}%")
