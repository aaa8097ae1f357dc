"""IAB Tech Lab's GPP string: a header that lists sections, and the sections.

Source: "Consent String Specification" of the Global Privacy Platform. Its table of data types says
that a set bit is false; all libraries read it as true, and so does this.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from consent.signals import tcf, tcf_canada, us_privacy, us_sections
from consent.signals.bits import Bits, Undecodable
from consent.signals.tcf import TcString
from consent.signals.tcf_canada import CanadaString
from consent.signals.us_privacy import UsPrivacy
from consent.signals.us_sections import SECTIONS, Values

LONGEST = 16_384
REMEMBERED, LONGEST_REMEMBERED = 1_024, 4_096
#: There are 27 sections; ids of so many bits of a range cost nothing.
LARGEST_SECTION = 1_000
TCF_EU, TCF_CANADA, US_PRIVACY = 2, 5, 6


@dataclass(frozen=True, slots=True)
class Gpp:
    """A decoded GPP string. `unread` are sections that are not known, and say nothing.

    So is Canada's where it cannot be read. `tc` is the text of the section that `tcf` was read
    from.
    """

    tcf: TcString | None = None
    tc: str = ""
    canada: CanadaString | None = None
    us_privacy: UsPrivacy | None = None
    states: Mapping[int, Values] | None = None
    unread: frozenset[int] = frozenset()

    @property
    def sections(self) -> frozenset[int]:
        """The ids of all sections."""
        found = set(self.states or ()) | self.unread
        found |= {TCF_EU} if self.tcf else set()
        found |= {TCF_CANADA} if self.canada else set()
        return frozenset(found | ({US_PRIVACY} if self.us_privacy else set()))


def decode(text: str) -> Gpp:
    """Decode a GPP string with all its sections; raises Undecodable."""
    return _remembered(text) if len(text) <= LONGEST_REMEMBERED else _decode(text)


def _decode(text: str) -> Gpp:
    if len(text) > LONGEST:
        raise Undecodable("too_long")
    head, *sections = text.split("~")
    ids = _header(Bits(head))
    if not sections or len(ids) != len(sections):
        raise Undecodable("sections_missing")
    found = dict(zip(ids, sections, strict=True))
    canada = _canada(found.get(TCF_CANADA))
    read = {TCF_EU, US_PRIVACY, *SECTIONS, *((TCF_CANADA,) if canada else ())}
    return Gpp(
        tcf=tcf.decode(found[TCF_EU]) if TCF_EU in found else None,
        tc=found.get(TCF_EU, ""),
        canada=canada,
        us_privacy=us_privacy.decode(found[US_PRIVACY]) if US_PRIVACY in found else None,
        states={
            i: us_sections.decode(SECTIONS[i], text) for i, text in found.items() if i in SECTIONS
        },
        unread=frozenset(ids) - read,
    )


_remembered = lru_cache(maxsize=REMEMBERED)(_decode)


def _canada(text: str | None) -> CanadaString | None:
    """Read Canada's section; None where it cannot be, which stops no other section."""
    try:
        return None if text is None else tcf_canada.decode(text)
    except Undecodable:  # the specification's own example has a European string there
        return None


def _header(bits: Bits) -> list[int]:
    """Return the ids of the sections, in their order."""
    if bits.number(6) != 3 or bits.number(6) != 1:
        raise Undecodable("unknown_version")
    found: list[int] = []
    last = 0
    for _ in range(bits.number(12)):
        several = bits.flag()
        first = last + bits.fibonacci(LARGEST_SECTION)
        last = first + bits.fibonacci(LARGEST_SECTION) if several else first
        if last > LARGEST_SECTION:
            raise Undecodable("number_too_large")
        found.extend(range(first, last + 1))
    bits.end()
    return found
