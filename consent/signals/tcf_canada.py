"""IAB Canada's TC string (GPP section 5, `tcfcav1`), as far as its specification can be read.

Source: "IAB Canada TCF Technical Specification" of the Global Privacy Platform. Its lists of
vendors are of the type OptimizedRange, which the specification and IAB's own packages write
differently, so one string names other vendors to each. They come after all that is about purposes,
and are not read: no vendor is told anything on the word of such a string. The publisher's segment
has none.
"""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from consent.signals.bits import Bits, Undecodable
from consent.signals.tcf import CORE, DISCLOSED, LONGEST, PUBLISHER, Publisher, moment
from consent.signals.tcf import publisher as read_publisher

#: What the two lists of vendors take at least, in either form.
_TWO_LISTS = 34


@dataclass(frozen=True, slots=True)
class CanadaString:
    """A decoded string: what was expressly agreed to, and nothing that is implied or of vendors."""

    created: datetime
    updated: datetime
    cmp_id: int
    policy_version: int
    special_features: frozenset[int]
    purposes: frozenset[int]
    publisher: Publisher | None


def decode(text: str) -> CanadaString:
    """Decode the section; raises Undecodable."""
    if len(text) > LONGEST:
        raise Undecodable("too_long")
    first, *others = text.split(".")
    kinds, publisher = [CORE], None
    for other in others:
        bits = Bits(other)
        kinds.append(bits.number(3))
        if kinds[-1] == PUBLISHER:
            publisher = read_publisher(bits)
            bits.end()
    if not set(kinds) <= {CORE, DISCLOSED, PUBLISHER} or CORE in kinds[1:]:
        raise Undecodable("unknown_segment")
    if any(one >= other for one, other in pairwise(sorted(kinds))):
        raise Undecodable("repeated_segment")
    return _core(Bits(first), publisher)


def _core(bits: Bits, publisher: Publisher | None) -> CanadaString:
    if bits.number(6) != 1:
        raise Undecodable("unknown_version")
    created, updated, cmp_id = moment(bits), moment(bits), bits.number(12)
    bits.number(12 + 6 + 12 + 12)  # version, screen and language of the banner, its vendor list
    policy = bits.number(6)
    bits.flag()  # texts that are not the standard's
    special, express = bits.ids(12), bits.ids(24)
    bits.ids(24)  # what is implied is no consent here
    if bits.unread < _TWO_LISTS:
        raise Undecodable("truncated")
    return CanadaString(created, updated, cmp_id, policy, special, express, publisher)
