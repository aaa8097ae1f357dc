"""Titles before a name and degrees behind it, which are none of it: PURE."""

import re

# Hardly anybody's name, as Don, Mag, Sri and Md are.
_TITLES = (
    "mr|mrs|ms|miss|mx|dr|drs|prof|professor|rev|reverend|monsieur|madame|mademoiselle|mme|mlle"
    "|herr|frau|hr|señor|señora|senor|senora|sra|srta|senhor|senhora|signor|signora|sig|dott"
    "|dottssa|dhr|mevr|mevrouw|shri|smt"
)
# Before others alone: Sr. Juan Garcia, and not John Smith Sr.
_BEFORE = re.compile(rf"(?:(?:{_TITLES}|sr|sir|ing|dipl)\b[.\s-]+)+(?=[^\W\d_])", re.IGNORECASE)
# Monsieur; the M of M. K. Gandhi and of M. Shyamalan is a name.
_MONSIEUR = re.compile(r"[mM]\.\s*(?=[^\W\d_]{2,}[\s-]+[^\W\d_]{2})")
_ALONE = re.compile(rf"(?:(?:{_TITLES})\b[.\s]*)+", re.IGNORECASE)
_DEGREES = re.compile(
    r"(?<=[^\s,])[\s,]+(?:ph\.?\s?d|m\.?d|esq|m\.?b\.?a|cpa|d\.?d\.?s|d\.?v\.?m|m\.?sc|b\.?sc"
    r"|obe|mbe|cbe)\.?$",
    re.IGNORECASE,
)


def bare(name: str) -> str:
    """Return a name without titles and degrees; nothing, where it is but a title.

    >>> bare("Herr Prof. Dr. Immanuel Kant"), bare("Ada Lovelace, Ph.D."), bare("Mrs.")
    ('Immanuel Kant', 'Ada Lovelace', '')
    """
    name = name.strip()
    name = name[found.end() :] if (found := _BEFORE.match(name)) else name
    name = name[found.end() :] if (found := _MONSIEUR.match(name)) else name
    while len(kept := _DEGREES.sub("", name)) < len(name):
        name = kept
    return "" if _ALONE.fullmatch(name) else name
