"""By what a receiver that knows people by an address may know one of them, now and from before.

Somebody's address changes, and they have a record by each: one that was sent and never answered,
or that had to be left because another record had the address. All of them are taken back with the
person, those that are emptied already with an opt-out and an erasure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy.orm import Session

from app.destinations import held
from app.destinations.held import LEFT, Held
from app.destinations.jobs import Job
from app.destinations.kind import Kind, Outcome, Record


def key(kind: Kind, destination_id: int, known_by: str | None) -> bytes | None:
    """Return what stands for the address of who is known by one; None where nobody is."""
    if not kind.by_address or known_by is None:
        return None
    return held.key_of(destination_id, known_by)


def is_anothers(
    session: Session, destination_id: int, profile_id: UUID, was: Held, mark: bytes, known_by: str
) -> bool:
    """Say whether somebody else is known by this address, so that it is not to be theirs too."""
    mine = not was.absent and (
        was.key == mark or (was.remote is not None and held.same(was.remote, known_by))
    )
    return not mine and held.has(session, destination_id, mark, beside=profile_id)


def begun(kind: Kind, was: Held, known_by: str | None, mark: bytes | None) -> Held | None:
    """Return what a receiver may hold while nothing has answered; None where that is no more.

    One that is cut off may have arrived, and must be taken back: also under another address.
    """
    known = replace(was, digest=None, absent=False, lost=None)
    if kind.by_address and known_by is not None:
        if was.remote is not None and held.same(was.remote, known_by):
            return replace(known, key=mark) if was.absent else None
        rest = [one for one in was.also if not held.same(one, known_by)]
        return replace(known, also=(*rest, known_by), key=mark)
    return replace(known, remote=known_by) if was.remote is None else None


def there(was: Held, known_by: str | None) -> str | None:
    """Return by what the record is known that may be there already, and be otherwise."""
    arrived = any(held.same(one, known_by) for one in was.also if not one.startswith(LEFT))
    return known_by if was.remote is None and arrived else was.remote


def elsewhere(
    session: Session, destination_id: int, profile_id: UUID, places: Iterable[str], record: Record
) -> tuple[Record, ...]:
    """Return what takes back the records at these places that are nobody else's by now."""
    found = []
    for place in places:
        mark = held.key_of(destination_id, place)
        if not held.has(session, destination_id, mark, beside=profile_id):
            found.append(replace(record, remote=place.removeprefix(LEFT)))
    return tuple(found)


def unanswered(also: Iterable[str], beside: str | None = None) -> list[str]:
    """Return the places at which something may have arrived, but for the one of now."""
    return [one for one in also if not one.startswith(LEFT) and not held.same(one, beside)]


def released(record: Record) -> Record:
    """Return what takes this person's record back, as when they leave."""
    return replace(
        record,
        intent="release",
        segments=frozenset(),
        fields=dict.fromkeys(record.fields),
        withdrawn=False,
        agreed_again=False,
    )


def after(job: Job, outcome: Outcome, remote: str | None) -> tuple[str, ...]:
    """Return by what else the receiver knows this person, once it has taken what was sent."""
    before = [one for one in job.then.also if one.startswith(LEFT)] if job.then else []
    every = dict.fromkeys([*before, *(f"{LEFT}{one}" for one in outcome.left)])
    return tuple(one for one in every if not _is(one, remote))


def _is(place: str, remote: str | None) -> bool:
    if remote is None:
        return False
    here, there = place.removeprefix(LEFT), remote
    return here.partition(" ")[0] == there.partition(" ")[0] or held.same(here, there)


def freed(jobs: Sequence[Job], now: Mapping[int, Held | None]) -> set[bytes]:
    """Return the addresses by which nobody of these is known any more.

    `now` is what the receiver holds since, by message; of who is not in it nothing is new.
    """
    found: set[bytes] = set()
    for job in jobs:
        if job.row.id not in now:
            continue
        before = (job.before, job.begun)
        had = {one.key for one in before if one is not None and not one.absent}
        then = now[job.row.id]
        found |= {
            one
            for one in had
            if one is not None and (then is None or then.absent or one != then.key)
        }
    return found
