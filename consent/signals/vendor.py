"""May a vendor of IAB's framework process for a purpose, by what a TC string says of it?

Shape after Perl's GDPR::IAB::TCFv2::Validator; rules of TCF 2.3 on restrictions and legal bases.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from consent.signals.acceptance import CONSENT_ONLY
from consent.signals.meanings import SIGNALS
from consent.signals.tcf import TcString

FORBIDDEN, CONSENT_REQUIRED, INTEREST_REQUIRED = range(3)


@dataclass(frozen=True, slots=True)
class Declared:
    """For which purposes a vendor asks consent, claims legitimate interest, or takes either."""

    purposes: frozenset[int]
    legitimate: frozenset[int]
    flexible: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class VendorList:
    """One version of the Global Vendor List."""

    version: int
    vendors: Mapping[int, Declared]


def purposes_of(key: str) -> frozenset[int]:
    """Return the TCF purposes that stand for one of ours; none for those that TCF has not.

    >>> purposes_of("ads.personalised")
    frozenset({4})
    """
    ids = (name.removeprefix("tcf:") for name, keys in SIGNALS.items() if key in keys)
    return frozenset(int(i) for i in ids if i.isdecimal())


def denied(
    found: TcString, vendor: int, purposes: Iterable[int], listed: VendorList | None
) -> str | None:
    """Return why a vendor may not process for all of these purposes, in one word; None if it may.

    `listed` is the vendor list that the string names; without it there is no telling.
    """
    if listed is None or listed.version != found.list_version:
        return "vendor_list_unknown"
    declared = listed.vendors.get(vendor)
    if declared is None:
        return "vendor_not_listed"
    for purpose in sorted(purposes):
        kinds = {r.kind for r in found.restrictions if r.purpose == purpose and vendor in r.vendors}
        if FORBIDDEN in kinds:
            return "vendor_restricted"
        if found.disclosed is None or vendor not in found.disclosed:
            return "vendor_not_disclosed"
        basis = _basis(declared, purpose, kinds)
        why = basis if basis not in _BASES else _BASES[basis](found, vendor, purpose)
        if why:
            return why
    return None


def read_list(document: Any) -> VendorList:
    """Read the vendor list as IAB Europe publishes it (format 3); raises ValueError."""
    try:
        vendors = {
            int(key): Declared(*(_ids(entry[name]) for name in _FIELDS))
            for key, entry in document["vendors"].items()
            if not entry.get("deletedDate")
        }
        return VendorList(_id(document["vendorListVersion"]), vendors)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError("it is no vendor list of format 3") from error


_FIELDS = ("purposes", "legIntPurposes", "flexiblePurposes")


def _basis(declared: Declared, purpose: int, kinds: set[int]) -> str:
    """Return the basis on which a vendor may process, or why it has none.

    A publisher may demand the other one of a vendor that takes either, and shuts out the rest.
    """
    own = (
        "consent"
        if purpose in declared.purposes
        else "interest"
        if purpose in declared.legitimate
        else None
    )
    if own is None:
        return "purpose_not_declared"
    wanted = {CONSENT_REQUIRED: "consent", INTEREST_REQUIRED: "interest"}
    demanded = {wanted[kind] for kind in kinds}
    if len(demanded) > 1:
        return "vendor_restricted"
    basis = demanded.pop() if demanded else own
    if basis != own and purpose not in declared.flexible:
        return "vendor_restricted"
    return basis


def _consent(found: TcString, vendor: int, purpose: int) -> str | None:
    if vendor not in found.vendors:
        return "no_vendor_consent"
    return None if purpose in found.purposes else "no_purpose_consent"


def _interest(found: TcString, vendor: int, purpose: int) -> str | None:
    if purpose in CONSENT_ONLY or purpose not in found.legitimate:
        return "no_legitimate_interest"
    return None if vendor in found.legitimate_vendors else "no_legitimate_interest"


_BASES = {"consent": _consent, "interest": _interest}


def _ids(value: Any) -> frozenset[int]:
    return frozenset(_id(i) for i in value)


def _id(value: Any) -> int:
    if type(value) is not int or not 0 < value < 65_536:
        raise ValueError("no id")
    return value
