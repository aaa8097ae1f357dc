"""Identifiers: namespaces, canonical forms, blocked values, limits and priority."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers

from identity.errors import IdentifierInvalid
from identity.garbage import nobodys, nobodys_number
from identity.letters import digits as ascii_digits
from identity.mailboxes import mailbox

#: A value of more bytes than this is no identifier but a mistake (an index row ends at 2,704).
LONGEST = 1024


@dataclass(frozen=True, slots=True)
class Namespace:
    """The rules of one namespace.

    `priority` orders evidence: 1 is the strongest. `limit` is how many values one person may
    have. `unique` says that a person has one, so that a weaker identifier seen with two of them
    is shared by two people. `most_links` is with how many others a value may be seen before it
    identifies a crowd. Of the owners of a shared identifier those count that were seen with it
    within `owner_days` of the last; `last_owner` gives it to the last one instead of to nobody.
    """

    name: str
    priority: int
    limit: int | None = None
    unique: bool = False
    most_links: int = 200
    owner_days: int | None = None
    last_owner: bool = False


#: Namespaces of cases of a log: their values name rows that somebody has, and no system sends one
#: for want of another. Event logs have cases called NA and 0. Its end says that a namespace is one.
CASE = "case_id"
#: Limits after Segment's defaults (research/peers.md 2.4): one login, five addresses. Devices
#: have a wide one, because a browser that forgets its cookie is a new device every time.
NAMESPACES: dict[str, Namespace] = {
    n.name: n
    for n in (
        Namespace("user_id", 1, limit=1, unique=True),
        Namespace("loyalty_id", 2, limit=1, unique=True),
        Namespace("email", 4, limit=5),
        Namespace("phone", 5, limit=5),
        Namespace("device_id", 7, limit=100, owner_days=365),
        Namespace("anonymous_id", 8, limit=100, owner_days=365),
    )
}
NAMESPACE_NAME = re.compile(r"^[a-z][a-z0-9_]{0,62}$")


Rules = Mapping[str, Namespace]


@lru_cache(1024)  # asked several times for each link, and a custom one is made at each call
def namespace(name: str) -> Namespace:
    """Return the default rules of a namespace; a custom one stands between logins and addresses."""
    return NAMESPACES.get(name) or Namespace(name, 3)


def rules_of(name: str, rules: Rules) -> Namespace:
    """Return the rules of a namespace, those of the operator before the defaults."""
    return rules.get(name) or namespace(name)


def canonical_namespace(name: str) -> str:
    """Return the name of a namespace as we write it, from what SDKs call it.

    >>> canonical_namespace("userId"), canonical_namespace("CRM id")
    ('user_id', 'crm_id')
    """
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", snake.casefold()).strip("_")


def normalise(name: str, value: object) -> str | None:
    """Return the canonical form of an identifier's value, or None when it identifies nobody.

    Never raises, whatever a client sent. E-mail addresses are those of the mailbox, phone numbers
    those of E.164; everything else is kept as it is but for surrounding space. In namespaces of
    cases only what is empty identifies nobody; an operator's blocked values hold there too.

    >>> normalise("email", " Ada.Lovelace+shop@Gmail.COM ")
    'adalovelace@gmail.com'
    >>> normalise("phone", "+33 (1) 42 68 53 00")
    '+33142685300'
    >>> normalise("user_id", "undefined") is None
    True
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        text = str(value).strip()
        length = len(text.encode())
    except ValueError:  # an integer of thousands of digits, half a surrogate pair
        return None
    if not text or length > LONGEST or "\x00" in text:
        return None
    if not names_cases(name) and nobodys(text):
        return None
    if name == "email":
        whole = mailbox(text)
        return None if whole is None or len(whole.encode()) > LONGEST else whole
    if name == "phone":
        return _number(text)
    return text


def names_cases(name: str) -> bool:
    """Say whether a namespace is of cases of a log: `case_id`, `loan_case_id`."""
    return name == CASE or name.endswith(f"_{CASE}")


#: The country of phone numbers that name none (ISO 3166), in a list because it is set at start.
_region: list[str] = []


#: Of which rules the canonical forms are: whoever changes `mailbox`, `_number` or what is garbage
#: so that a stored value would be spelled otherwise, or be none, raises it, and workers link old
#: spellings with new ones.
SPELLING = 5
#: The namespaces whose canonical form has changed, or hangs on a setting.
SPELLED = ("email", "phone")


def region() -> str | None:
    """Return the country of phone numbers that name none."""
    return _region[0] if _region else None


def read_phones_of(region: str | None) -> None:
    """Read phone numbers without a country code as numbers of this country, from now on.

    Raises IdentifierInvalid for what is no country (ISO 3166, two letters).
    """
    if region and region not in phonenumbers.SUPPORTED_REGIONS:
        raise IdentifierInvalid(f"{region!r} is no country whose phone numbers are known")
    _region[:] = [region] if region else []


def _number(text: str) -> str | None:
    """Return a phone number in E.164, its digits where no number can be read, or None.

    A number that says its country counts if its length is possible there: which ranges are in
    use changes with each version of the library, and a canonical form must not. Digits without
    plus or country are believed to be an international number only where that is in use.
    """
    text = ascii_digits(text)
    digits = re.sub(r"[^0-9]", "", EXTENSION.split(text, maxsplit=1)[0])
    international = text.startswith("+") or digits.startswith("00")
    if international:
        digits = digits.lstrip("0")
    if len(digits) < 7 or nobodys_number(digits):
        return None
    if international:
        return _e164("+" + digits, None) or "+" + digits
    found = _e164(digits, _region[0], in_use=True) if _region else None
    if found is None and len(digits) >= 11 and digits[0] != "0":
        found = _e164("+" + digits, None, in_use=True)
    return None if found and nobodys_number(found[1:]) else found or digits


#: What follows is dialled after somebody answered.
EXTENSION = re.compile(r"[;,#x]|ext", re.IGNORECASE)


def _e164(digits: str, region: str | None, *, in_use: bool = False) -> str | None:
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    fits = phonenumbers.is_valid_number if in_use else phonenumbers.is_possible_number
    if not fits(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def parse(reference: str) -> tuple[str, str]:
    """Split `namespace:value` and normalise both.

    Raises IdentifierInvalid when there is no namespace or the value identifies nobody.
    """
    name, separator, value = reference.partition(":")
    name = canonical_namespace(name)
    if not separator or not NAMESPACE_NAME.match(name):
        raise IdentifierInvalid("an identifier is written namespace:value")
    normal = normalise(name, value)
    if normal is None:
        raise IdentifierInvalid(f"a value of {name!r} that is empty, blocked or too long")
    return name, normal
