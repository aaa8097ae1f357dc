"""Looks through everybody for what nothing else tells of: windows pass, and steps may miss some."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.profiles.tables import ComputedTrait
from app.segments import asking, uses
from app.segments import compile as compiled
from app.segments.members import rule_of
from app.segments.refreshing import WHOLE_SECONDS, count_denied, fail
from app.segments.tables import Segment
from identity import people as identity

#: A segment is looked through whole so often, or after so many times as long as that takes.
PACE, REST = timedelta(seconds=60), 10
#: A segment that has not been looked through for so long is left behind.
LATE = timedelta(minutes=30)
#: Purposes that are looked through side by side: each keeps a process of PostgreSQL busy. Fifty
#: segments of three purposes and a million people took 51 s so on two cores, and 64 s two by two:
#: the last one had a core of its own, and left one idle.
BESIDE = 3
#: People whom a look through everybody settles in one transaction.
PORTION = 2_000
#: With so few identifiers the request that defines a segment computes it, while steps wait.
FEW = 2_000


@dataclass(frozen=True, slots=True)
class Look:
    """What a look through everybody found: segments of one purpose, and whose stays are wrong."""

    segments: tuple[Segment, ...]
    people: tuple[int, ...]


def due(session: Session, *, now: datetime | None) -> list[list[Segment]]:
    """Return the segments to be looked through whole, those of a purpose each, who waited first.

    Those whose time has come, or all (None). For whom a window passes nothing else happens; and
    whatever a step missed is found here. One that is new or changed is due until it was looked
    through, also when its worker died meanwhile.
    """
    groups: dict[str, list[Segment]] = {}
    for segment in session.scalars(sa.select(Segment).where(uses.LIVE).order_by(Segment.id)):
        rest = timedelta(milliseconds=(segment.refresh_milliseconds or 0) * REST)
        anew = segment.refreshed_at is None and segment.error is None
        last = None if anew else segment.tried_at
        if now is None or last is None or now - last >= max(PACE, rest):
            groups.setdefault(segment.purpose, []).append(segment)
    first = datetime.min.replace(tzinfo=UTC)
    return sorted(groups.values(), key=lambda group: min(s.tried_at or first for s in group))


def few(session: Session) -> bool:
    """Say whether so few identifiers are known that a request may compute a segment itself."""
    beyond = "SELECT EXISTS (SELECT FROM identity.identifier OFFSET :few LIMIT 1)"
    return not session.scalar(sa.text(beyond), {"few": FEW})


def ask_for(session: Session, listed: Sequence[Segment]) -> None:
    """Have these segments looked through, because they are new or what they say has changed.

    Until then they are `computing`; a look that is under way does not count. The caller holds
    their locks.
    """
    anew = sa.update(Segment).where(Segment.id.in_([segment.id for segment in listed]))
    asked = sa.func.clock_timestamp()  # since when nobody has looked, and no look's own moment
    session.execute(anew.values(refreshed_at=None, tried_at=asked, error=None, failed_at=None))


def begin(session: Session, listed: Sequence[Segment], *, now: datetime) -> None:
    """Note that these are looked through from now on; to be committed before the look begins."""
    query = sa.select(Segment).where(Segment.id.in_([segment.id for segment in listed]))
    for segment in session.scalars(query.order_by(Segment.id).with_for_update()):
        segment.tried_at = now


def look(session: Session, listed: Sequence[Segment], *, now: datetime) -> Look:
    """Find out for whom the stays in these segments of one purpose are not what the rules say.

    Holds nobody up: no segment is locked. What it finds is settled by `refresh`, which asks again;
    whom a step changes meanwhile that step settles. A segment that could not be computed and can
    again is not in it: steps take its rule again from now on, and only then it is looked through.
    """
    query = sa.select(Segment).where(Segment.id.in_([s.id for s in listed]), uses.LIVE)
    group = list(session.scalars(query.order_by(Segment.id)))
    if not group:
        return Look((), ())
    purpose = consent.catalogue.purpose(session, group[0].purpose)
    rules = [rule_of(segment) for segment in group]
    waits = uses.waits_of_all(session, rules, purpose.key)

    def ask(places: list[int]) -> list[set[int]]:
        asked = {group[n].id: rules[n] for n in places if not waits[n]}
        found = compiled.differing(session, asked, purpose, now=now) if asked else set()
        return [found for _ in places]

    found, failed = asking.answers(session, rules, ask, WHOLE_SECONDS)
    good = []
    for place, segment in enumerate(group):
        if place in failed:
            fail(segment, failed[place], now)
        elif segment.error is not None:
            segment.error = segment.failed_at = segment.tried_at = None
        else:
            good.append(segment)
    session.flush()
    people: set[int] = set().union(*found.values())
    if people:
        people |= set(identity.people_of(session, people).values())
    return Look(tuple(good), tuple(sorted(people)))


def done(session: Session, found: Look, *, now: datetime, milliseconds: float) -> None:
    """Note that segments were looked through, as of when, and how long it took for all of them.

    Not those whose definition has changed since that look began: they wait for another one.
    """
    looked = [segment.id for segment in found.segments]
    same = (Segment.id.in_(looked), Segment.error.is_(None), Segment.tried_at == now)
    new = sa.select(Segment).where(*same, Segment.refresh_milliseconds.is_(None))
    count_denied(session, list(session.scalars(new.order_by(Segment.id))), now=now)
    fresh = sa.update(Segment).where(*same)
    session.execute(fresh.values(refreshed_at=now, refresh_milliseconds=milliseconds))


def stuck(session: Session) -> dict[str, tuple[str, datetime]]:
    """Return the segments and computed traits that cannot be computed, why and since when.

    And the segments that nobody has looked through lately.
    """
    failed = sa.select(Segment.key, Segment.error, Segment.failed_at)
    seen = sa.func.coalesce(Segment.tried_at, Segment.updated_at)
    behind = sa.select(Segment.key, sa.literal("not looked through"), seen)
    traits = sa.select(ComputedTrait.key, ComputedTrait.error, ComputedTrait.failed_at)
    asked = (
        ("segment", behind.where(seen < sa.func.now() - LATE, uses.LIVE)),
        ("segment", failed.where(Segment.error.is_not(None), uses.LIVE)),
        ("computed trait", traits.where(ComputedTrait.error.is_not(None))),
    )
    return {
        f"{what} {key}": (str(why), since or datetime.now(UTC))
        for what, query in asked
        for key, why, since in session.execute(query)
    }
