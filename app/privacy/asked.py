"""What a person may ask for, held against what is there before a request is opened."""

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from sqlalchemy.orm import Session

from app.errors import PrivacyRequestInvalid
from consent import catalogue
from consent.purposes import MARKETING
from identity import identifiers
from identity.errors import IdentifierInvalid

#: Traits that are identifiers too.
ADDRESSES = ("email", "phone")
#: What each kind takes beside the person.
DETAILS: Mapping[str, frozenset[str]] = {
    "rectification": frozenset({"trait", "value"}),
    "objection": frozenset({"purpose"}),
}


def check(session: Session, kind: str, details: Mapping[str, Any]) -> None:
    """Raise PrivacyRequestInvalid for details that could only fail, or would stop nothing.

    It says which member is wrong and never what stood there.
    """
    for name in sorted(details.keys() - DETAILS.get(kind, frozenset())):
        raise PrivacyRequestInvalid(f"details.{name} is nothing that {kind} takes")
    if kind == "objection" and "purpose" in details:
        _purpose(session, str(details["purpose"]))
    if kind == "rectification":
        _trait(details)


def says(text: str | None) -> bool:
    """Say whether a text has words in it; blanks and what is not seen are none."""
    return any(map(str.isalnum, text or ""))


def _purpose(session: Session, named: str) -> None:
    known = catalogue.purposes(session).keys() | {MARKETING}
    if named not in known:
        near = get_close_matches(named, known, n=3)
        meant = f"did you mean {', '.join(near)}?" if near else "GET /v1/purposes lists them"
        raise PrivacyRequestInvalid(f"details.purpose names no purpose; {meant}")


def _trait(details: Mapping[str, Any]) -> None:
    trait, value = details.get("trait"), details.get("value")
    if not isinstance(trait, str) or not says(trait) or value is None:
        raise PrivacyRequestInvalid("it needs the trait and its right value in details")
    if isinstance(value, float) and not math.isfinite(value):
        raise PrivacyRequestInvalid("details.value is no number that can be kept")
    if "\0" in f"{trait}{value}":
        raise PrivacyRequestInvalid("details hold a character that cannot be kept")
    if trait in ADDRESSES:
        try:
            identifiers.parse(f"{trait}:{value}")
        except IdentifierInvalid as error:
            raise PrivacyRequestInvalid(f"details.value is no {trait}: {error}") from error
