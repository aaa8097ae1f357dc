"""Figures in sentences, in French and in English, each by its own typography; pure.

French: the decimal comma, thousands apart and the per cent sign after a narrow no-break space
(U+202F), a no-break space (U+00A0) before a colon and inside « ». Source: Lexique des règles
typographiques en usage à l'Imprimerie nationale. Minus is U+2212 in both. Singular is what is below
2 in French, and 1 without decimals in English (Unicode CLDR, plural rules).
"""

from datetime import date
from typing import Literal, NamedTuple

from app.journeys.labels import Label, LocalizedText

Language = Literal["fr", "en"]
NARROW, WIDE = "\u202f", "\u00a0"
_MONTHS: dict[Language, str] = {
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "en": "January February March April May June July August September October November December",
}

_UNITS = ((3600, "heure", "hour"), (60, "minute", "minute"), (1, "seconde", "second"))


class Share(NamedTuple):
    """A share, shown in per cent."""

    value: float
    decimals: int = 1


class Lasting(NamedTuple):
    """Hours, shown in hours, minutes or seconds: the largest of which there is one."""

    value: float
    decimals: int = 1


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


Figure = int | float | date | Share | Lasting | Points | Between | Probability | Name | Way


def sentence(french: str, english: str, **figures: Figure) -> LocalizedText:
    """Return a sentence in both languages, with its figures in the places named after them.

    `{n:person|people}` stands for the word that goes with the figure `n`.
    """
    return LocalizedText(
        fr=_spaced(french).format(**{k: _Placed(v, "fr") for k, v in figures.items()}),
        en=english.format(**{k: _Placed(v, "en") for k, v in figures.items()}),
    )


class _Placed(NamedTuple):
    """A figure in a sentence of a language."""

    figure: Figure
    language: Language

    def __format__(self, words: str) -> str:
        if not words:
            return shown(self.figure, self.language)
        one, many = words.split("|")
        return one if _singular(self.figure, self.language) else many


def _singular(figure: Figure, language: Language) -> bool:
    if not isinstance(figure, int | float):
        return False
    return abs(figure) < 2 if language == "fr" else figure == 1 and isinstance(figure, int)


def shown(figure: Figure, language: Language) -> str:
    """Return a figure as text of a language."""
    match figure:
        case Share(value, decimals):
            said = number(100 * value, decimals, language)
            return said + (f"{NARROW}%" if language == "fr" else "%")
        case Lasting():
            return _lasting(figure, language)
        case Points(value):
            rounded = round(100 * value, 1)
            unit = " point" if _singular(rounded, language) else " points"
            return ("+" if rounded > 0 else "") + number(rounded, 1, language) + unit
        case Between(low, high):
            apart = " à " if language == "fr" else " to "
            first = shown(low, language)
            if isinstance(low, Points):
                first = first.rpartition(" ")[0]
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


def _lasting(figure: Lasting, language: Language) -> str:
    seconds = 3600 * figure.value
    size, french, english = next(
        (one for one in _UNITS if seconds >= one[0]), _UNITS[-1]
    )  # fmt: skip
    rounded = round(seconds / size, figure.decimals)
    whole = rounded.is_integer()
    unit = {"fr": french, "en": english}[language]
    many = "" if _singular(int(rounded) if whole else rounded, language) else "s"
    return f"{number(rounded, 0 if whole else figure.decimals, language)} {unit}{many}"


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
