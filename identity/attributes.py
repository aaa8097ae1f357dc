"""Which traits describe a person, and the one spelling in which they are compared.

Traits arrive as the field writes them (Segment's camelCase, snake_case, column names of people
files). `from_traits` turns them into `FIELDS`: lower case without accents or punctuation, ISO birth
dates, digits-only phones. What describes nobody (1900-01-01, 0000000000, test@test.com, "n/a") is
absent. Nothing here raises, whatever JSON holds.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache

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

# Per field the spellings met in SDKs and public people files, best first, without case or
# separators: `address.postalCode`, `address_postal_code` and `AddressPostalCode` are one spelling.
_SPELLINGS: dict[str, tuple[str, ...]] = {
    "first_name": (
        "firstname", "givenname", "forename", "fname", "givennames", "forenames", "namefirst",
        "firstnames", "prenom", "vorname", "nombre", "customerfirstname",
    ),
    "last_name": (
        "lastname", "surname", "familyname", "lname", "sname", "namelast", "secondname", "nom",
        "nachname", "apellido", "customerlastname",
    ),
    "birth_date": (
        "birthdate", "dateofbirth", "dob", "birthday", "bday", "birthdt", "borndate", "born",
        "geburtsdatum", "datenaissance", "datedenaissance",
    ),
    "email": (
        "email", "emailaddress", "mail", "contactemail", "primaryemail", "emailaddr", "courriel",
    ),
    "phone": (
        "phone", "phonenumber", "mobile", "mobilephone", "mobilenumber", "telephone", "tel",
        "telephonenumber", "cell", "cellphone", "homephone", "phone1", "msisdn", "contactnumber",
        "primaryphone",
    ),
    "address": (
        "addressstreet", "street", "streetaddress", "address1", "addressline1", "addressaddress1",
        "addressline", "streetname", "addressstreetname", "address", "addr", "addr1", "homeaddress",
        "adresse", "strasse",
    ),
    "house_number": (
        "housenumber", "streetnumber", "addresshousenumber", "addressstreetnumber", "houseno",
        "streetno", "buildingnumber", "addressnumber", "hausnummer",
    ),
    "city": (
        "addresscity", "city", "town", "suburb", "locality", "addresslocality", "addresstown",
        "ville", "stadt", "ort",
    ),
    "postcode": (
        "addresspostalcode", "postalcode", "postcode", "addresspostcode", "zip", "zipcode",
        "addresszip", "addresszipcode", "codepostal", "plz",
    ),
    "national_id": (
        "nationalid", "socsecid", "ssn", "socialsecuritynumber", "socialsecurity", "nino", "nin",
        "nationalinsurancenumber", "nationalidnumber", "taxid", "passportnumber", "personalnumber",
    ),
}  # fmt: skip
# Identifiers that are no attribute, but evidence of their own. `customer_id` is not here: in people
# files it mostly numbers the records.
_IDENTIFIER_SPELLINGS: dict[str, tuple[str, ...]] = {
    "user_id": ("userid", "login", "loginid", "username"),
    "loyalty_id": (
        "loyaltyid", "loyaltynumber", "loyaltycard", "loyaltycardnumber", "membershipid",
        "membershipnumber",
    ),
    "device_id": ("deviceid", "device", "idfa", "gaid", "advertisingid"),
    "anonymous_id": ("anonymousid", "cookieid", "cookie", "visitorid"),
}  # fmt: skip
_FULL_NAMES = ("name", "fullname", "displayname", "customername")
_FIELD_OF = {spelling: field for field, all_ in _SPELLINGS.items() for spelling in all_}
_FIELD_OF |= {spelling: spelling for spelling in _FULL_NAMES}

_PLACEHOLDERS = frozenset(
    (
        "unknown", "unk", "none", "null", "nil", "na", "n a", "nan", "undefined", "not available",
        "not provided", "not known", "not applicable", "missing", "blank", "empty", "anonymous",
        "test", "xxx", "xx", "tbd", "tba", "guest", "no name", "noname", "first name", "last name",
        "firstname", "lastname",
    )
)  # fmt: skip
_PLACEHOLDER_DATES = frozenset(
    ("1900-01-01", "1970-01-01", "1901-01-01", "1899-12-30", "1899-12-31", "1800-01-01")
)
#: Where a year has two digits, or cannot be, the century ends here.
_LATEST_BIRTH = 2030
_PLACEHOLDER_USERS = frozenset(
    "test none noreply no-reply donotreply na unknown noemail nomail null".split()
)
_COUNTING = "01234567890123456789 98765432109876543210"
_STREET_TYPES = {
    "street": "st", "str": "st", "road": "rd", "avenue": "ave", "av": "ave", "drive": "dr",
    "place": "pl", "lane": "ln", "court": "ct", "crescent": "cres", "cr": "cres", "close": "cl",
    "circuit": "cct", "boulevard": "blvd", "parade": "pde", "terrace": "tce", "square": "sq",
    "highway": "hwy", "parkway": "pkwy", "circle": "cir", "apartment": "apt", "north": "n",
    "south": "s", "east": "e", "west": "w",
}  # fmt: skip
# Letters that Unicode does not decompose, so that stripping combining marks would leave them.
_UNDECOMPOSED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i"})
_LONGEST = 200
_DEEPEST = 3
_INTEGRAL = re.compile(r"^(\d+)\.0+$")
_APOSTROPHES = re.compile(r"['`\u2019\u02bc]")
#: Of ASCII: small letters and digits stay, apostrophes go, everything else parts words.
_ASCII_WORDS = {n: None if chr(n) in "'`" else chr(n).lower() if chr(n).isalnum() else " "
                for n in range(128)}  # fmt: skip
_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ].*)?")
_LOCAL = re.compile(r"(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{4}|\d{2})(?:[T ].*)?")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
#: First and last name in an address that is made of both, as Python and DuckDB (RE2) read it.
FULL_NAME = r"^([a-z]{3,})[._-]([a-z]{3,})\d*(?:\+.*)?@"
#: What begins addresses of offices and households instead (RFC 2142, and what is seen).
ROLES = frozenset(
    "abuse accounts admin contact customer hello help info mail marketing office order orders press"
    " sales security service support team the webmaster".split()
)
_EMAIL = re.compile(r"([^@\s<>,;]+)@([^@\s<>,;]+\.[^@\s<>,;.]+)")


def from_traits(traits: Mapping[str, object]) -> dict[str, str]:
    """Return the fields of `FIELDS` that these traits state, each in its canonical form.

    A field that is missing, unreadable or a placeholder has no key. Where several traits state one
    field, the most specific spelling wins, whatever the order of the mapping. Never raises.
    """
    found: dict[str, dict[str, str]] = {}
    for spelling, value in _leaves(traits, "", 0):
        found.setdefault(_FIELD_OF[spelling], {}).setdefault(spelling, value)
    fields: dict[str, str] = {}
    for field in FIELDS:
        if stated := found.get(field):
            for spelling in _SPELLINGS[field]:
                if spelling in stated and (value := _CANONICAL[field](stated[spelling])):
                    fields[field] = value
                    break
    if "first_name" not in fields and "last_name" not in fields:
        fields.update(_split_full_name(found))
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


def guess_columns(names: Iterable[str]) -> dict[str, str]:
    """Return which columns of a people file hold which field: file column -> field name.

    A full-name column maps to the trait `name`, and only when no first or last name is there.
    One column a field: the most specific spelling wins, then the first in the file.
    """
    columns = _columns(names)
    guessed = _guessed(columns, _SPELLINGS)
    if not {"first_name", "last_name"} & set(guessed.values()):
        full = next((columns[s] for s in _FULL_NAMES if s in columns), None)
        guessed |= {full: "name"} if full else {}
    return guessed


def guess_identifiers(names: Iterable[str]) -> dict[str, str]:
    """Return which columns of a people file hold identifiers: file column -> namespace.

    Logins, loyalty cards, devices and cookies; e-mail and phone are attributes (`guess_columns`).
    """
    return _guessed(_columns(names), _IDENTIFIER_SPELLINGS)


def _columns(names: Iterable[str]) -> dict[str, str]:
    """Return the columns by spelling, of one spelling the first."""
    columns: dict[str, str] = {}
    for name in names:
        columns.setdefault(_spelling(name), name)
    return columns


def _guessed(
    columns: Mapping[str, str], spellings: Mapping[str, tuple[str, ...]]
) -> dict[str, str]:
    found = {
        meaning: next((columns[s] for s in known if s in columns), None)
        for meaning, known in spellings.items()
    }
    return {column: meaning for meaning, column in found.items() if column is not None}


def _spelling(name: str) -> str:
    return _spelled(str(name)[:_LONGEST])


@lru_cache(4096)  # the names of traits are few and come again with every event
def _spelled(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _leaves(value: object, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """Yield (joined spelling of the path, text) for each scalar that we know a field for.

    At most three levels deep.
    """
    if not isinstance(value, str) and isinstance(value, Mapping):
        if depth < _DEEPEST:
            for key, inner in value.items():
                yield from _leaves(inner, path + _spelling(key), depth + 1)
    elif path in _FIELD_OF and (text := _text(value)) is not None:
        yield path, text


def _text(value: object) -> str | None:
    """Write a scalar as text; numbers without the `.0` that spreadsheets add."""
    if isinstance(value, str):
        text = value[:_LONGEST]
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


def _words(text: str) -> str:
    """Casefold, strip accents, and keep letters and digits separated by single spaces.

    Decomposed before and after: of letters that are capitals only once decomposed (𝕬), and of
    those that casefolding composes.
    """
    if text.isascii():
        return " ".join(text.translate(_ASCII_WORDS).split())
    text = unicodedata.normalize("NFKD", text).casefold()
    text = unicodedata.normalize("NFKD", text).translate(_UNDECOMPOSED)
    text = _APOSTROPHES.sub("", text)
    kept = (c for c in text if not unicodedata.combining(c))
    return " ".join("".join(c if c.isalnum() else " " for c in kept).split())


def _name(text: str) -> str:
    words = _words(text)
    return "" if words in _PLACEHOLDERS or words.replace(" ", "").isdigit() else words


def _address(text: str) -> str:
    words = _words(text)
    if words in _PLACEHOLDERS:
        return ""
    return " ".join(_STREET_TYPES.get(word, word) for word in words.split())


def _house_number(text: str) -> str:
    words = _words(text).replace(" ", "")
    return "" if words in _PLACEHOLDERS or not words.strip("0") else words


def _code(text: str) -> str:
    """Upper-case letters and digits; a run of one digit or a counting sequence is nobody's."""
    words = _words(text)
    code = words.replace(" ", "").upper()
    return "" if words in _PLACEHOLDERS or _is_filler(code) else code


def _postcode(text: str) -> str:
    words = _words(text)
    code = words.replace(" ", "").upper()
    # 99999 and 55555 are filler in some files and towns in others: only zeros are surely neither.
    return "" if words in _PLACEHOLDERS or not code.strip("0") else code


def _is_filler(code: str) -> bool:
    return len(set(code)) < 2 or (len(code) > 4 and code in _COUNTING)


def _phone(text: str) -> str:
    digits = re.sub(r"\D", "", re.sub(r"\(0\)", "", _ascii_digits(text)))
    digits = digits.removeprefix("00")
    return "" if not 6 <= len(digits) <= 15 or _is_filler(digits) else digits


def _ascii_digits(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _email(text: str) -> str:
    _, named, address = text.partition("<")  # Ada Lovelace <ada@example.org>
    written = address.removesuffix(">") if named else text
    match = _EMAIL.fullmatch(written.lower().removeprefix("mailto:").strip())
    if match is None or match[1] in _PLACEHOLDER_USERS:
        return ""
    return match[0]


def _birth_date(text: str) -> str:
    """Write a date as ISO. Where day and month could be either, the day comes first.

    A date written year first is kept even when no calendar holds it (1916-00-17): it is a typing
    error of a real one, and evidence as such (Febrl 3 has 35 of 5,000).
    """
    text = _ascii_digits(text).strip()
    if match := _ISO.fullmatch(text) or _COMPACT.fullmatch(text):
        year, month, day = int(match[1]), int(match[2]), int(match[3])
    elif match := _LOCAL.fullmatch(text):
        day, month, year = int(match[1]), int(match[2]), int(match[3])
        if month > 12 >= day:
            day, month = month, day
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return ""
        year += 0 if year > 99 else 1900 if year > _LATEST_BIRTH % 100 else 2000
    else:
        return ""
    # Nobody is born in 2070: programs that read two digits as POSIX says take 69 and less for 20xx.
    year -= 100 if _LATEST_BIRTH < year <= _LATEST_BIRTH + 70 else 0
    date = f"{year:04d}-{month:02d}-{day:02d}"
    return date if 1800 <= year <= _LATEST_BIRTH and date not in _PLACEHOLDER_DATES else ""


def _split_full_name(found: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Split `Ada Lovelace` or `Lovelace, Ada`; a single word is a first name."""
    text = next((found[name][name] for name in _FULL_NAMES if name in found), "")
    last, comma, first = text.partition(",")
    if not comma:
        first, _, last = text.strip().rpartition(" ") if " " in text.strip() else (text, "", "")
    named = {"first_name": _name(first), "last_name": _name(last)}
    if _words(text) in _PLACEHOLDERS:
        return {}
    return {field: value for field, value in named.items() if value}


_CANONICAL: dict[str, Callable[[str], str]] = {
    "first_name": _name,
    "last_name": _name,
    "birth_date": _birth_date,
    "email": _email,
    "phone": _phone,
    "address": _address,
    "house_number": _house_number,
    "city": _name,
    "postcode": _postcode,
    "national_id": _code,
}
