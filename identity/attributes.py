"""Which traits describe a person, and the one spelling in which they are compared.

Traits arrive as the field writes them (Segment's camelCase, snake_case, column names of people
files). `from_traits` turns them into `FIELDS`: lower case without accents or punctuation, ISO birth
dates, digits-only phones. What describes nobody (1900-01-01, 0000000000, test@test.com, "n/a") is
absent. Nothing here raises, whatever JSON holds.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping

from identity import columns
from identity.birth_dates import birth_date
from identity.garbage import counts, nobodys_mailbox, nobodys_number
from identity.honorifics import bare
from identity.letters import digits, words
from identity.suffixes import GENERATIONS, generation

FIELDS: tuple[str, ...] = (
    "first_name",
    "last_name",
    "birth_date",
    "email",
    "phone",
    "address",
    "house_number",
    "city",
    "postcode",
    "national_id",
)

_PLACEHOLDERS = frozenset(
    (
        "unknown", "unk", "none", "null", "nil", "na", "n a", "nan", "undefined", "not available",
        "not provided", "not known", "not applicable", "missing", "blank", "empty", "anonymous",
        "test", "xxx", "xx", "tbd", "tba", "guest", "no name", "noname", "first name", "last name",
        "firstname", "lastname",
    )
)  # fmt: skip
_STREET_TYPES = {
    "street": "st", "str": "st", "road": "rd", "avenue": "ave", "av": "ave", "drive": "dr",
    "place": "pl", "lane": "ln", "court": "ct", "crescent": "cres", "cr": "cres", "close": "cl",
    "circuit": "cct", "boulevard": "blvd", "parade": "pde", "terrace": "tce", "square": "sq",
    "highway": "hwy", "parkway": "pkwy", "circle": "cir", "apartment": "apt", "north": "n",
    "south": "s", "east": "e", "west": "w",
}  # fmt: skip
_DEEPEST = 3
_INTEGRAL = re.compile(r"^(\d+)\.0+$")
#: First and last name in an address that is made of both, as Python and DuckDB (RE2) read it.
FULL_NAME = r"^([a-z]{3,})[._-]([a-z]{3,})\d*(?:\+.*)?@"
#: What begins addresses of offices and households instead (RFC 2142, and what is seen).
ROLES = frozenset(
    "abuse accounts admin contact customer hello help info mail marketing office order orders press"
    " sales security service support team the webmaster".split()
)
#: Two words at least, and what may say father or son.
_SUFFIXED = re.compile(r"(\S.*[\s,].*[^\s,])[\s,]+(\S+)")
_EMAIL = re.compile(r"([^@\s<>,;]+)@([^@\s<>,;]+\.[^@\s<>,;.]+)")


def from_traits(traits: Mapping[str, object]) -> dict[str, str]:
    """Return the fields of `FIELDS` that these traits state, each in its canonical form.

    A field that is missing, unreadable or a placeholder has no key. Where several traits state one
    field, the most specific spelling wins, whatever the order of the mapping. Never raises.
    """
    found: dict[str, dict[str, str]] = {}
    for spelling, value in _leaves(traits, "", 0):
        found.setdefault(columns.FIELD_OF[spelling], {}).setdefault(spelling, value)
    fields: dict[str, str] = {}
    for field in FIELDS:
        if stated := found.get(field):
            for spelling in columns.SPELLINGS[field]:
                if spelling in stated and (value := _CANONICAL[field](stated[spelling])):
                    fields[field] = value
                    break
    if "first_name" not in fields and "last_name" not in fields:
        fields.update(_split_full_name(found))
    if "birth_date" not in fields and (date := _put_together(found)):
        fields["birth_date"] = date
    _add_suffix(fields, found)
    return {field: fields[field] for field in FIELDS if field in fields}


def named(fields: Mapping[str, str]) -> dict[str, str]:
    """Return fields with the names that the e-mail address is made of, where none are stated.

    As matching does it (`likeness.PEOPLE`): ada.lovelace@ says both names, and the one that is
    missing where the other is stated as it is written there.
    """
    said = re.match(FULL_NAME, fields.get("email", ""))
    if said is None or said[1] in ROLES:
        return dict(fields)
    both = {"first_name": said[1], "last_name": said[2]}
    return (
        {**both, **fields} if all(fields.get(k, v) == v for k, v in both.items()) else dict(fields)
    )


def _leaves(value: object, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """Yield (joined spelling of the path, text) for each scalar that we know a field for.

    At most three levels deep.
    """
    if not isinstance(value, str) and isinstance(value, Mapping):
        if depth < _DEEPEST:
            for key, inner in value.items():
                yield from _leaves(inner, path + columns.spelling(key), depth + 1)
    elif path in columns.FIELD_OF and (text := _text(value)) is not None:
        yield path, text


def _text(value: object) -> str | None:
    """Write a scalar as text; numbers without the `.0` that spreadsheets add."""
    if isinstance(value, str):
        text = value[: columns.LONGEST]
        if not text.isascii():
            # Lone surrogates are legal in JSON but not in Arrow or PostgreSQL.
            text = text.encode("utf-8", "ignore").decode()
        return _INTEGRAL.sub(r"\1", text.strip())
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        value = int(value) if value.is_integer() and abs(value) < 1e18 else value
    if isinstance(value, int):
        # Python refuses to print integers of more than 4,300 digits; no field has so many.
        return str(value) if abs(value) < 10**20 else None
    return str(value) if isinstance(value, float) else None


def _name(text: str) -> str:
    said = words(text)
    return "" if said in _PLACEHOLDERS or said.replace(" ", "").isdigit() else said


def _persons(text: str) -> str:
    return _name(bare(text))


def _address(text: str) -> str:
    said = words(text)
    if said in _PLACEHOLDERS:
        return ""
    return " ".join(_STREET_TYPES.get(word, word) for word in said.split())


def _house_number(text: str) -> str:
    said = words(text).replace(" ", "")
    return "" if said in _PLACEHOLDERS or not said.strip("0") else said


def _code(text: str) -> str:
    """Upper-case letters and digits; a run of one digit or a counting sequence is nobody's."""
    said = words(text)
    code = said.replace(" ", "").upper()
    return "" if said in _PLACEHOLDERS or _is_filler(code) else code


def _postcode(text: str) -> str:
    said = words(text)
    code = said.replace(" ", "").upper()
    # 99999 and 55555 are filler in some files and towns in others: only zeros are surely neither.
    return "" if said in _PLACEHOLDERS or not code.strip("0") else code


def _is_filler(code: str) -> bool:
    return len(set(code)) < 2 or counts(code)


def _phone(text: str) -> str:
    number = re.sub(r"[^0-9]", "", re.sub(r"\(0\)", "", digits(text))).removeprefix("00")
    filler = _is_filler(number) or nobodys_number(number)
    return "" if filler or not 6 <= len(number) <= 15 else number


def _email(text: str) -> str:
    _, named, address = text.partition("<")  # Ada Lovelace <ada@example.org>
    written = address.removesuffix(">") if named else text
    match = _EMAIL.fullmatch(written.lower().removeprefix("mailto:").strip())
    if match is None or match[1] == "na" or nobodys_mailbox(match[1].partition("+")[0], match[2]):
        return ""
    return match[0]


def _split_full_name(found: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Split `Ada Lovelace` or `Lovelace, Ada`; a single word is a first name, of Dr. Kant the last.

    What says father or son stays with the last name: John Smith Jr., Smith, John, II.
    """
    written = next((found[name][name] for name in columns.FULL_NAMES if name in found), "").strip()
    text = bare(written)
    suffix, parts = "", _SUFFIXED.fullmatch(text)
    if parts and words(parts[2]) in GENERATIONS:
        text, suffix = parts[1], f" {parts[2]}"
    last, comma, first = text.partition(",")
    if not comma:
        first, _, last = text.strip().rpartition(" ")
        if not first and text == written:
            first, last = last, ""
    named = {"first_name": _persons(first), "last_name": _name(last + suffix)}
    if words(text) in _PLACEHOLDERS:
        return {}
    return {field: value for field, value in named.items() if value}


def _add_suffix(fields: dict[str, str], found: Mapping[str, Mapping[str, str]]) -> None:
    """Write what says father or son behind the name, where it has a trait of its own."""
    said = found.get("suffix", {})
    suffix = next((w for s in columns.SUFFIXES if (w := words(said.get(s, ""))) in GENERATIONS), "")
    for name in ("last_name", "first_name"):
        if suffix and name in fields:
            if generation(fields[name]) is None:
                fields[name] += f" {suffix}"
            return


def _put_together(found: Mapping[str, Mapping[str, str]]) -> str:
    """Return the birth date that is stated as year, month and day, or the year alone."""
    stated = {**found.get("birth_date", {})}
    for part in columns.DATE_PARTS:
        stated |= found.get(part, {})
    said = [
        next((stated[s] for s in known if s in stated), "") for known in columns.DATE_PARTS.values()
    ]  # fmt: skip
    year, month, day = said
    whole = birth_date(f"{year}-{month}-{day}") if len(year) == 4 and month and day else ""
    return whole or birth_date(year)


_CANONICAL: dict[str, Callable[[str], str]] = {
    "first_name": _persons,
    "last_name": _persons,
    "birth_date": birth_date,
    "email": _email,
    "phone": _phone,
    "address": _address,
    "house_number": _house_number,
    "city": _name,
    "postcode": _postcode,
    "national_id": _code,
}
