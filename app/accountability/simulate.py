"""What a change of the catalogue or a new destination would do, before anybody makes it.

Every answer comes from the statements that decide in earnest (`permission.sql`, and the compiled
rules of segments), given a version of the purpose that is not in the catalogue. PostgreSQL refuses
every write meanwhile.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.access import reads
from app.accountability import as_segment
from app.accountability.change import Change, DestinationChange, NoticeChange, PurposeChange
from app.accountability.compare import (
    NAMED,
    Heard,
    Move,
    Verdict,
    compare,
    counted,
    fail_open,
    leaked,
)
from app.consents.permission import permissions
from app.db import read_only, statement
from app.destinations import registry
from app.destinations.outbox import ENTERED, EXITED, decided, kept_from_vendor, told, without
from app.destinations.tables import Destination
from app.segments.compile import members
from app.segments.members import rule_of
from app.segments.tables import Segment
from consent.errors import ConsentError, NoticeNotFound, PurposeNotFound
from consent.purposes import MARKETING
from consent.reach import universal
from identity import people

#: Examples that are named at most.
EXAMPLES = 10


def simulate(
    session: Session, change: Change, *, at: datetime, named_for: str | None = None
) -> dict[str, Any]:
    """Return who would be allowed and denied, why, and what would follow; nothing is written.

    With `named_for`, a purpose that the asker may state, some of the people who change are named:
    those whose data may be read for it. Raises PurposeNotFound, NoticeNotFound, SegmentNotFound,
    SourceNotFound and DefinitionInvalid.
    """
    with read_only(session):
        if change.purpose is not None:
            found = _purpose(session, change.purpose, at)
        elif change.notice is not None:
            found = _notice(session, change.notice, at)
        elif change.destination is not None:
            found = _destination(session, change.destination, at)
        elif change.segment_event is not None:
            found = _Found(as_segment.compare(session, change.segment_event), [])
        if named_for is not None:
            named, withheld = _named(session, found.moves, named_for)
            found.answer |= {"examples": named, "examples_withheld": withheld}
    return {"change": change.kind, "at": at.isoformat(), **found.answer}


@dataclass(slots=True)
class _Found:
    answer: dict[str, Any]
    #: Of whom examples may be given.
    moves: list[Move]


def _purpose(session: Session, change: PurposeChange, at: datetime) -> _Found:
    """A next version of a purpose, or a new purpose."""
    known = consent.catalogue.purposes(session)
    now = known.get(change.key)
    if now is None:
        then = consent.Purpose(change.key, **change.said(), effective_from=at)
        then = _marketing(known, then)
        moves = compare(session, None, then, heard=_heard(session, now, then))
        found = _effects(session, None, then, moves, at)
    else:
        last = consent.catalogue.versions(session, change.key)[-1].version
        said = {"renews": False, **change.said()}
        then = replace(now, version=last + 1, effective_from=at, **said)
        then = replace(then, renewed=then.version if then.renews else now.renewed)
        then = _marketing(known, then)
        moves = compare(session, now, then, heard=_heard(session, now, then))
        found = _effects(session, now, then, moves, at)
    answer = {"purposes": [found], "refused": _refusal(session, then), "limits": _limits(now, then)}
    return _Found(answer, moves)


def _marketing(known: Mapping[str, consent.Purpose], new: consent.Purpose) -> consent.Purpose:
    """Return a version as the catalogue would have it: what is below marketing is marketing."""
    below = {MARKETING, *consent.purposes.below(known.values(), MARKETING)}
    return replace(new, direct_marketing=new.direct_marketing or new.parent in below)


def _heard(session: Session, now: consent.Purpose | None, then: consent.Purpose) -> Heard:
    """Return what a version would hear that was said before it."""
    tree = consent.catalogue.announced(session)
    signalled = then.key in universal([tree | {then.key: then}])
    return Heard(
        then.parent if now is None or then.parent != now.parent else None,
        signalled and then.key not in universal([tree]),
    )


def _refusal(session: Session, new: consent.Purpose) -> str | None:
    """Say why the catalogue would not take this version; None when it would."""
    try:
        consent.catalogue.check_purpose(session, new)
    except ConsentError as error:
        return f"{(type(error).__doc__ or '').splitlines()[0]} {error}".strip()
    return None


def _limits(now: consent.Purpose | None, then: consent.Purpose) -> list[str]:
    """Say what follows from a change beyond these numbers."""
    found = []
    if then.key == consent.LINK:
        found.append("Links would be looked at anew: who is one person may change as well.")
    if now is not None and now.valid_days != then.valid_days and not then.renews:
        found.append("Grants keep the end they were given with; `valid_days` is of new ones.")
    if now is not None and now.parent != then.parent:
        found.append("Segments are counted without what is refused by the new parent alone; what "
                     "lies below the purpose hears that too.")  # fmt: skip
    if now is not None and now.linkable and not then.linkable:
        found.append("What is only counted goes on; reading, segments and sending end.")
    return found


def _effects(
    session: Session,
    now: consent.Purpose | None,
    then: consent.Purpose,
    moves: list[Move],
    at: datetime,
) -> dict[str, Any]:
    """Return what a version of a purpose would change, and what follows from it."""
    turning = [move for move in moves if move.turns]
    sizes, sends = ([], []) if now is None else _segments(session, now, then, at)
    found: dict[str, Any] = {
        "purpose": then.key,
        "version": then.version,
        "now": counted(moves, "now"),
        "then": counted(moves, "then"),
        "newly_allowed": sum(m.people for m in turning if m.then.allow),
        "newly_denied": sum(m.people for m in turning if m.now.allow),
        "changes": [
            {"from": m.now.reason, "to": m.then.reason, "allowed": m.then.allow, "people": m.people}
            for m in moves
            if m.now != m.then
        ],
        "segments": sizes,
        "sends": sends,
        "what_would_have_leaked": leaked(session, now or then),
    }
    if now is not None and then.valid_days is not None:
        since = {"purpose": then.key, "before": at - timedelta(days=then.valid_days)}
        older = session.scalar(statement("app.accountability", "older_grants"), since)
        found["grants_older_than_valid_days"] = older
    return found


def _segments(
    session: Session, now: consent.Purpose, then: consent.Purpose, at: datetime
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the sizes of the purpose's segments, and what destinations would be told."""
    query = sa.select(Segment).where(Segment.purpose == now.key).order_by(Segment.key)
    sizes, sends = [], []
    for segment in session.scalars(query):
        before = members(session, rule_of(segment), now, now=at)
        after = members(session, rule_of(segment), then, now=at)
        entering, leaving = after - before, before - after
        sizes.append(
            {
                "segment": segment.key,
                "now": len(before),
                "then": len(after),
                "entering": len(entering),
                "leaving": len(leaving),
            }
        )
        for destination in _listening(session, segment.key):
            vendor = destination.tcf_vendor
            kept = without(session, then, entering, destination.also_for)
            if vendor is not None:
                kept |= kept_from_vendor(session, then, entering, vendor, now=at).keys()
            messages = {
                ENTERED: len(entering) - len(kept),
                EXITED: len(told(session, destination.id, segment.key, leaving)),
            }
            sends.append({"destination": destination.name, "segment": segment.key, **messages})
    return sizes, sends


def _listening(session: Session, segment: str) -> Iterable[Destination]:
    query = sa.select(Destination).where(
        Destination.enabled, sa.literal(segment) == sa.any_(Destination.segments)
    )
    return session.scalars(query.order_by(Destination.name)).all()


def _notice(session: Session, change: NoticeChange, at: datetime) -> _Found:
    """A next version of a notice: what rests on earlier ones, and what asking anew would end."""
    versions = [n for n in consent.catalogue.notices(session) if n.key == change.key]
    if not versions and change.purposes is None:
        raise NoticeNotFound(f"{change.key}; say for which `purposes` a new notice asks")
    asked = change.purposes
    if asked is None:
        asked = max(versions, key=lambda n: n.version).purposes
    known = consent.catalogue.purposes(session)
    if missing := sorted(set(asked) - known.keys()):
        raise PurposeNotFound(", ".join(missing))
    purposes, moved = [], []
    for key in sorted(set(asked)):
        now = known[key]
        version = consent.catalogue.versions(session, key)[-1].version + 1
        then = replace(now, version=version, renews=True, renewed=version)
        then = then if change.asks_anew else now
        moves = compare(session, now, then)
        found = _effects(session, now, then, moves, at)
        rests = {"purpose": key, "notice": change.key}
        row = session.execute(statement("app.accountability", "grants_by_notice"), rests).one()
        purposes.append({**found, "grants": dict(row._mapping)})
        moved += moves
    return _Found({"purposes": purposes, "limits": []}, moved)


def _destination(session: Session, change: DestinationChange, at: datetime) -> _Found:
    """A new destination: whom it would be told of at once, and of whom not, and why."""
    purpose = consent.catalogue.purpose(session, change.purpose)
    sent: set[int] = set()
    denied: dict[int, str] = {}
    found: list[dict[str, Any]] = []
    for segment in registry.serving(session, change.purpose, change.segments):
        inside = members(session, rule_of(segment), purpose, now=at)
        anyhow = inside | members(session, rule_of(segment), fail_open(purpose), now=at)
        told_of, why = decided(
            session, change.purpose, anyhow, now=at,
            tcf_vendor=change.tcf_vendor, also_for=change.also_for,
        )  # fmt: skip
        sent |= told_of & inside
        denied |= why
        found.append(
            {
                "segment": segment.key,
                "sends": len(told_of & inside),
                "denied": _counted(why),
                "fail_open": len(anyhow),
            }
        )
    answer = {
        "destination": {
            "purpose": change.purpose,
            "segments": found,
            "sends": sum(one["sends"] for one in found),
            "people": len(sent),
        },
        "what_would_have_leaked": {
            "people": len(denied),
            "by_reason": _counted(denied),
        },
        "limits": [],
    }
    some = tuple(sorted(sent)[:NAMED])
    move = Move(Verdict(False, "not_sent"), Verdict(True, "sent"), len(sent), some)
    return _Found(answer, [move])


def _counted(why: Mapping[int, str]) -> dict[str, int]:
    return dict(sorted(Counter(why.values()).items()))


def _named(
    session: Session, moves: Iterable[Move], purpose: str
) -> tuple[list[dict[str, str]], int]:
    """Name some who change and may be read for a purpose; count those of them who may not."""
    moving = [move for move in moves if move.now != move.then]
    looked_at = {person for move in moving for person in move.some}
    allowed = {p.person_id for p in permissions(session, purpose, looked_at) if p.allowed}
    told_of = [
        (person, move.now.reason, move.then.reason)
        for move in moving
        for person in move.some
        if person in allowed
    ][:EXAMPLES]
    reads.saw(session, (person for person, _, _ in told_of), purpose=purpose)
    ids = people.profile_ids(session, {person for person, _, _ in told_of})
    named = [{"profile_id": str(ids[p]), "from": old, "to": new} for p, old, new in told_of]
    return named, len(looked_at - allowed)
