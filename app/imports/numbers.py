"""Reads the numbers of files, which are written as people of several countries write them; pure."""

import re

_PLAIN = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_ENGLISH = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?", re.ASCII)
_FRENCH = re.compile(r"[+-]?\d{1,3}(?:[. ]\d{3})*,\d+|[+-]?\d+,\d+", re.ASCII)
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2212": "-"})


def read(value: object) -> object:
    """Return a number that a text is, or the value as it is.

    Read are 1234.5, 1,234.5, 1.234,5, 1 234,5 and 1234,5. Where it is not clear, 1,234 is more than
    a thousand, as in English, and 1.234 less than two.
    """
    if not isinstance(value, str):
        return value
    text = value.strip().translate(_SPACES)
    if _PLAIN.fullmatch(text):
        pass
    elif _ENGLISH.fullmatch(text):
        text = text.replace(",", "")
    elif _FRENCH.fullmatch(text):
        text = text.replace(".", "").replace(" ", "").replace(",", ".")
    else:
        return value
    number = float(text)
    whole = re.fullmatch(r"[+-]?\d{1,15}", text, re.ASCII)
    return int(text) if whole else number if abs(number) < float("inf") else value
