"""Identifiers: namespaces, canonical forms, blocked values, limits and priority."""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from identity.errors import IdentifierInvalid

#: A value of more bytes than this is no identifier but a mistake (an index row ends at 2,704).
LONGEST = 1024


@dataclass(frozen=True, slots=True)
class Namespace:
    """The rules of one namespace.

    `priority` orders evidence: 1 is the strongest. `limit` is how many values one person may
    have; `unique` says that a weaker identifier seen with two of them is shared by two people.
    """

    name: str
    priority: int
    limit: int | None = None
    unique: bool = False
    blocked: frozenset[str] = field(default_factory=frozenset)


#: Values that many systems send when they have nothing to say. Compared case-folded.
JUNK = frozenset(
    {
        "", "null", "none", "undefined", "nan", "n/a", "na", "nil", "unknown", "anonymous",
        "guest", "invalid", "test", "user", "[object object]", "true", "false", "-", "-1",
        "default", "string",
        "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
    }
)  # fmt: skip
#: Only zeros and separators ("0", "000-000"), or one digit over and over ("1111111").
JUNK_PATTERN = re.compile(r"^[0\-\s]*$|^(\d)\1{5,}$")
JUNK_EMAIL = frozenset(
    {
        "test@test.com", "test@example.com", "a@a.com", "none@none.com", "noemail@noemail.com",
        "no@email.com", "email@example.com", "noreply@example.com", "unknown@unknown.com",
    }
)  # fmt: skip

#: Limits after Segment's defaults (research/peers.md 2.4): one login, five addresses. Devices
#: have a wide one, because a browser that forgets its cookie is a new device every time.
NAMESPACES: dict[str, Namespace] = {
    n.name: n
    for n in (
        Namespace("user_id", 1, limit=1, unique=True),
        Namespace("loyalty_id", 2, limit=1, unique=True),
        Namespace("email", 4, limit=5, blocked=JUNK_EMAIL),
        Namespace("phone", 5, limit=5),
        Namespace("device_id", 7, limit=100),
        Namespace("anonymous_id", 8, limit=100),
    )
}
NAMESPACE_NAME = re.compile(r"^[a-z][a-z0-9_]{0,62}$")


@lru_cache(1024)  # asked several times for each link, and a custom one is made at each call
def namespace(name: str) -> Namespace:
    """Return the rules of a namespace; a custom one stands between logins and addresses."""
    return NAMESPACES.get(name) or Namespace(name, 3)


def canonical_namespace(name: str) -> str:
    """Return the name of a namespace as we write it, from what SDKs call it.

    >>> canonical_namespace("userId"), canonical_namespace("CRM id")
    ('user_id', 'crm_id')
    """
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", snake.casefold()).strip("_")


def normalise(name: str, value: object) -> str | None:
    """Return the canonical form of an identifier's value, or None when it identifies nobody.

    Never raises, whatever a client sent. E-mail addresses are case-folded, phone numbers reduced
    to digits; everything else is kept as it is but for surrounding space.

    >>> normalise("email", " Ada@Example.COM ")
    'ada@example.com'
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
    folded = text.casefold()
    if folded in JUNK or JUNK_PATTERN.match(text) or length > LONGEST or "\x00" in text:
        return None
    if name == "email":
        one = folded.count("@") == 1 and folded not in JUNK_EMAIL
        return folded if one and len(folded.encode()) <= LONGEST else None
    if name == "phone":
        digits = re.sub(r"\D", "", text)
        return digits if len(digits) >= 7 and not JUNK_PATTERN.match(digits) else None
    return text


def parse(reference: str) -> tuple[str, str]:
    """Split `namespace:value` and normalise both.

    Raises IdentifierInvalid when there is no namespace or the value identifies nobody.
    """
    name, separator, value = reference.partition(":")
    name = canonical_namespace(name)
    if not separator or not NAMESPACE_NAME.match(name):
        raise IdentifierInvalid(f"{reference[:80]!r} is not of the form namespace:value")
    normal = normalise(name, value)
    if normal is None:
        raise IdentifierInvalid(f"a value of {name!r} that is empty, blocked or too long")
    return name, normal
