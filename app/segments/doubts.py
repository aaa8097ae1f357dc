"""Who said no, and yes again before a step heard the no: they are told of once more.

No segment sees them leave and come back. But whoever read the feed in between was not told that
they are in (`app.profiles.changes`), and what waited to be sent of them was dropped.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents.permission import unit
from app.segments.members import Delta
from app.segments.tables import Segment, SegmentMember
from identity import graph
from identity import people as identity

#: Why an identifier is touched whose person was kept from a destination in the last moment.
UNTOLD = "untold"
#: What is said of consent and denies nothing, as the end of what denied does not either.
_ALLOWS = frozenset({"given", "retained", "tc_string_expired", "adult"})
_ENDED = "_ended"
#: What stands for every purpose, where one is named.
ALL = frozenset({"all"})


def heard(touched: Iterable[sa.Row[Any]], persons: Mapping[int, int]) -> dict[int, set[str]]:
    """Return of whom a step hears that something denied, and for which purposes."""
    found: dict[int, set[str]] = {}
    for row in touched:
        if row.why == "consent" and (no := {k for k, v in row.details.items() if _denies(v)}):
            found.setdefault(persons[row.identifier_id], set()).update(no)
    return found


def _denies(said: Any) -> bool:
    return said not in _ALLOWS and not str(said).endswith(_ENDED)


def kept_back(touched: Iterable[sa.Row[Any]], persons: Mapping[int, int]) -> set[int]:
    """Return who was not sent to a destination because consent denied it then."""
    ids = {row.identifier_id for row in touched if row.why == UNTOLD}
    return {persons[i] for i in ids if i in persons}  # who was erased since is nobody


def still_in(
    session: Session, denied: Mapping[int, Collection[str]], deltas: Iterable[Delta]
) -> list[Delta]:
    """Return the segments in which these people are all the same, but whom this step let in."""
    if not denied:
        return []
    rows = identity.members(session, denied)
    whose = {row.identifier_id: row.person_id for row in rows}
    known: dict[str, set[int]] = {}
    query = (
        sa.select(Segment.key, Segment.purpose, SegmentMember.person_id)
        .join(Segment, Segment.id == SegmentMember.segment_id)
        .where(graph.among(SegmentMember.person_id, whose), SegmentMember.left_at.is_(None))
        .order_by(Segment.key, SegmentMember.person_id)
    )
    new = {(delta.segment, person) for delta in deltas for person in delta.entered}
    found: dict[tuple[str, str], list[int]] = {}
    for key, purpose, member in session.execute(query):
        no = denied[whose[member]]
        if (key, member) in new or (purpose not in no and ALL.isdisjoint(no)):
            continue
        if purpose not in known:  # whom it knows: not who has become another meanwhile
            one = unit(consent.catalogue.purpose(session, purpose))
            known[purpose] = {getattr(row, one) for row in rows}
        if member in known[purpose]:
            found.setdefault((key, purpose), []).append(member)
    return [Delta(key, purpose, tuple(who), ()) for (key, purpose), who in found.items()]
