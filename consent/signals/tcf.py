"""IAB Europe's TC string, version 2, read as its specification says and no further.

Source: "Transparency and Consent String with Global Vendor & CMP List Formats v2.3". Decoding is
not accepting: what must hold before a string counts is in `acceptance`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from consent.signals.bits import Bits, Undecodable

#: Longer ones are not read. A list of 1,500 vendors in three fields takes 1,000 characters.
LONGEST = 8_192
#: So many decoded strings are remembered, of no more characters: 10 MB at most. People who answer
#: a banner alike on the same day have the same string.
REMEMBERED, LONGEST_REMEMBERED = 2_048, 2_048
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CORE, DISCLOSED, ALLOWED, PUBLISHER = range(4)

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Vendors:
    """A set of vendor ids as it is written: as a field of bits, or as ranges.

    No larger in memory than in the string: one range of 17 bits may name 65,535 vendors.
    """

    field: int = 0
    size: int = 0
    ranges: Ranges = ()

    def __contains__(self, vendor: int) -> bool:
        """Say whether a vendor is among them."""
        if 0 < vendor <= self.size and self.field >> (self.size - vendor) & 1:
            return True
        return any(first <= vendor <= last for first, last in self.ranges)

    def __iter__(self) -> Iterator[int]:
        """Yield the ids, from the smallest on."""
        if self.ranges:
            yield from sorted({v for first, last in self.ranges for v in range(first, last + 1)})
        else:
            # As text: a shift of the whole field per vendor took 8 times as long.
            bits = format(self.field, f"0{self.size}b")
            yield from (v for v, bit in enumerate(bits, 1) if bit == "1")


@dataclass(frozen=True, slots=True)
class Restriction:
    """What a publisher forbids these vendors for one purpose.

    `kind` is 0: no processing; 1: only with consent; 2: only on legitimate interest.
    """

    purpose: int
    kind: int
    vendors: Vendors


@dataclass(frozen=True, slots=True)
class Publisher:
    """The segment Publisher TC: what is allowed to the publisher itself."""

    purposes: frozenset[int]
    legitimate: frozenset[int]
    custom: frozenset[int]
    custom_legitimate: frozenset[int]


@dataclass(frozen=True, slots=True)
class TcString:
    """A decoded TC string. Segments that are absent are None."""

    created: datetime
    updated: datetime
    cmp_id: int
    cmp_version: int
    screen: int
    language: str
    list_version: int
    policy_version: int
    service_specific: bool
    non_standard_texts: bool
    special_features: frozenset[int]
    purposes: frozenset[int]
    legitimate: frozenset[int]
    one_treatment: bool
    country: str
    vendors: Vendors
    legitimate_vendors: Vendors
    restrictions: tuple[Restriction, ...]
    disclosed: Vendors | None = None
    allowed: Vendors | None = None
    publisher: Publisher | None = None


def decode(text: str) -> TcString:
    """Decode a TC string; raises Undecodable.

    The same object for the same string, mostly.
    """
    return _remembered(text) if len(text) <= LONGEST_REMEMBERED else _decode(text)


def _decode(text: str) -> TcString:
    if len(text) > LONGEST:
        raise Undecodable("too_long")
    first, *others = text.split(".")
    core = _core(Bits(first))
    parts: dict[int, Vendors | Publisher] = {}
    for other in others:
        bits = Bits(other)
        kind = bits.number(3)
        if kind not in (DISCLOSED, ALLOWED, PUBLISHER):
            raise Undecodable("unknown_segment")
        if kind in parts:
            raise Undecodable("repeated_segment")
        parts[kind] = publisher(bits) if kind == PUBLISHER else _vendors(bits)
        bits.end()
    return TcString(
        **core,  # type: ignore[arg-type]  # each under the name of its own field
        disclosed=parts.get(DISCLOSED),  # type: ignore[arg-type]  # vendors, by its kind
        allowed=parts.get(ALLOWED),  # type: ignore[arg-type]  # likewise
        publisher=parts.get(PUBLISHER),  # type: ignore[arg-type]  # its own kind
    )


_remembered = lru_cache(maxsize=REMEMBERED)(_decode)


def _core(bits: Bits) -> dict[str, object]:
    if bits.number(6) != 2:
        raise Undecodable("unknown_version")
    found = {
        "created": moment(bits),
        "updated": moment(bits),
        "cmp_id": bits.number(12),
        "cmp_version": bits.number(12),
        "screen": bits.number(6),
        "language": _letters(bits),
        "list_version": bits.number(12),
        "policy_version": bits.number(6),
        "service_specific": bits.flag(),
        "non_standard_texts": bits.flag(),
        "special_features": bits.ids(12),
        "purposes": bits.ids(24),
        "legitimate": bits.ids(24),
        "one_treatment": bits.flag(),
        "country": _letters(bits),
        "vendors": _vendors(bits),
        "legitimate_vendors": _vendors(bits),
        "restrictions": _restrictions(bits),
    }
    bits.end()
    return found


def moment(bits: Bits) -> datetime:
    """Read a time of 36 bits."""
    return _EPOCH + timedelta(milliseconds=100 * bits.number(36))


def _letters(bits: Bits) -> str:
    first, second = bits.number(6), bits.number(6)
    if max(first, second) > 25:
        raise Undecodable("no_letters")
    return chr(65 + first) + chr(65 + second)


def _vendors(bits: Bits) -> Vendors:
    largest = bits.number(16)
    if not bits.flag():
        return Vendors(bits.number(largest), largest)
    ranges = _ranges(bits)
    if any(last > largest for _, last in ranges):
        raise Undecodable("range_beyond_largest")
    return Vendors(ranges=ranges)


def _ranges(bits: Bits) -> Ranges:
    found = []
    for _ in range(bits.number(12)):
        several = bits.flag()
        first = bits.number(16)
        last = bits.number(16) if several else first
        if not 0 < first <= last:
            raise Undecodable("range_reversed")
        found.append((first, last))
    return tuple(found)


def _restrictions(bits: Bits) -> tuple[Restriction, ...]:
    found = []
    for _ in range(bits.number(12)):
        purpose, kind = bits.number(6), bits.number(2)
        if purpose == 0 or kind == 3:
            raise Undecodable("unknown_restriction")
        found.append(Restriction(purpose, kind, Vendors(ranges=_ranges(bits))))
    return tuple(found)


def publisher(bits: Bits) -> Publisher:
    """Read the rest of the segment Publisher TC."""
    purposes, legitimate = bits.ids(24), bits.ids(24)
    custom = bits.number(6)
    return Publisher(purposes, legitimate, bits.ids(custom), bits.ids(custom))
