"""The outbox: messages are queued in the transaction that makes them true, and sent later."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents import denials
from app.consents.permission import permissions, unit, usable
from app.db import statement
from app.destinations import held
from app.destinations.tables import Delivery, Destination, HeldRecord
from app.profiles import changes
from app.segments.members import Delta
from identity import graph, people

ENTERED = "segment.entered"
EXITED = "segment.exited"
#: Something else about somebody who is held there may have changed; what, is looked at when sent.
UPDATED = "profile.updated"
ERASED = "profile.erased"
#: Looks that are deleted, or changes that are followed, at once.
MOST = 5_000
#: Destinations a field of which is a computed trait.
_MAPS_COMPUTED = sa.and_(
    Destination.enabled, sa.func.jsonb_path_exists(Destination.mapping, sa.text("'$.*.computed'"))
)
#: Messages of which those that were overtaken are deleted at once.
WINDOW = 20_000
#: Whom it is about, what happened, and what there is to say of it.
Message = tuple[int, str, dict[str, Any]]


def enqueue(session: Session, delta: Delta, *, now: datetime) -> None:
    """Queue who entered and left a segment for the destinations that listen to it.

    Consent for the destination's own purpose is decided here and again when a message is sent.
    Who was never told to a destination is not taken back from it either. A segment whose key was
    made anew for another purpose is not its: nobody who enters is told of.
    """
    if not delta.entered and not delta.left:
        return
    query = sa.select(Destination).where(
        Destination.enabled,
        sa.literal(delta.segment) == sa.any_(Destination.segments),
    )
    for destination in session.scalars(query.order_by(Destination.id)):
        allowed = allowed_people(
            session,
            destination.purpose,
            delta.entered if destination.purpose == delta.purpose else (),
            now=now,
            tcf_vendor=destination.tcf_vendor,
            also_for=destination.also_for,
        )
        already = told(session, destination.id, delta.segment, [p for p, _ in delta.left])
        rows: list[Message] = [(p, ENTERED, {}) for p in delta.entered if p in allowed]
        rows += [(p, EXITED, {"reason": why}) for p, why in delta.left if p in already]
        queue(session, destination, delta.segment, rows, now)


def follow(
    session: Session,
    persons: Collection[int],
    *,
    now: datetime,
    changed: Collection[int] = (),
    doubted: Mapping[int, Collection[str]] | None = None,
) -> None:
    """Queue who may differ, where a record of them is held: in anything, or (`changed`) in traits.

    And who is in, and was kept back while they denied one of these purposes (`doubted`). What it is
    is decided when it is sent; so a message that waits will do, if it says all of a
    person. One that somebody is sending just now will not: it was decided before this transaction
    commits. Nor will one about a segment at a destination that is switched off: nobody looks at it
    before it is on again (`file_removal.take_out`).
    """
    _admit(session, persons, doubted or {}, now=now)
    held_of = held.told_of(session, persons, changed) if persons or changed else []
    if not held_of:
        return
    waiting = (
        sa.select(Delivery.destination_id, Delivery.person_id)
        .join(Destination, Destination.id == Delivery.destination_id)
        .where(
            graph.among(Delivery.person_id, {row.person_id for row in held_of}),
            Delivery.state == "waiting",
            Delivery.attempts == 0,
            sa.or_(
                Delivery.type == UPDATED, sa.and_(Delivery.type == ENTERED, Destination.enabled)
            ),
        )
        .with_for_update(of=Delivery, skip_locked=True)
    )
    covered = {tuple(row) for row in session.execute(waiting)}
    look_again(
        session,
        [tuple(row) for row in held_of if (row.destination_id, row.person_id) not in covered],
        now=now,
    )


def _admit(
    session: Session,
    persons: Collection[int],
    doubted: Mapping[int, Collection[str]],
    *,
    now: datetime,
) -> None:
    """Queue members whom a destination may be told of by now: who came into no segment for that.

    They allow its vendor, or another of the purposes that it needs, as they did not before. Or they
    allow it again, and no segment saw that they did not meanwhile.
    """
    query = sa.select(Destination).where(Destination.enabled)
    if not doubted:
        more = sa.func.cardinality(Destination.also_for) > 0
        query = query.where(sa.or_(Destination.tcf_vendor.is_not(None), more))
    listed = session.scalars(query.order_by(Destination.id)) if persons or doubted else ()
    for destination in listed:
        asked = {destination.purpose, *destination.also_for, "all"}
        whom = {person for person, no in doubted.items() if not asked.isdisjoint(no)}
        if destination.tcf_vendor is not None or destination.also_for:
            whom.update(persons)
        if not whom:
            continue
        bound = {
            "destination": destination.id, "segments": destination.segments,
            "purpose": destination.purpose, "people": graph.array(whom),
        }  # fmt: skip
        untold = session.execute(statement("app.destinations", "untold_members"), bound).all()
        if not untold:
            continue
        allowed, _ = decided(
            session, destination.purpose, {row.person_id for row in untold}, now=now,
            tcf_vendor=destination.tcf_vendor, also_for=destination.also_for,
        )  # fmt: skip
        for key in destination.segments:
            mine = [row.person_id for row in untold if row.key == key and row.person_id in allowed]
            queue(session, destination, key, [(person, ENTERED, {}) for person in mine], now)


def follow_computed(session: Session, *, now: datetime) -> bool:
    """Queue of whom the feed tells that they changed, where a record has a computed trait.

    Some at once; say whether there may be more. The feed tells of each value that is another, also
    of one that is gone, and each once. By the times of values and of records nobody was looked at
    whose value went, or changed while their record was on its way.
    """
    place = changes.place_of(session, "computed")
    if not session.scalar(sa.select(sa.exists().where(_MAPS_COMPUTED))):
        # Who maps one from now on is brought up to date by a sync.
        changes.done(session, "computed", changes.newest(session))
        return False
    page = changes.since(session, place, types=[UPDATED], limit=MOST)
    changes.done(session, "computed", page.end)
    persons = set(people.people_of(session, {row.person_id for row in page.rows}).values())
    asked = {"people": graph.array(persons)}
    rows = session.execute(statement("app.destinations", "held_with_computed"), asked).all()
    look_again(session, [(r.destination_id, r.person_id, r.profile_id) for r in rows], now=now)
    return page.more


def look_again(session: Session, whom: Collection[tuple[int, int, UUID]], *, now: datetime) -> None:
    """Queue a look at these: destination, person, profile. What differs is sent."""
    rows = [
        {
            "destination_id": destination, "message_id": uuid4(), "person_id": person,
            "profile_id": profile, "type": UPDATED, "payload": {}, "state": "waiting",
            "due_at": now, "created_at": now,
        }
        for destination, person, profile in whom
    ]  # fmt: skip
    if rows:
        session.execute(sa.insert(Delivery), rows)


def forget_looks(session: Session, *, before: datetime) -> bool:
    """Delete looks that ended before a time, some at once; say whether there may be more.

    A record that is held is looked at with every change of the person: that is much, and what was
    sent is on record as a disclosure.
    """
    old = (
        sa.select(Delivery.id)
        .where(Delivery.type == UPDATED, Delivery.state != "waiting", Delivery.ended_at < before)
        .limit(MOST)
    )
    gone = session.execute(sa.delete(Delivery).where(Delivery.id.in_(old)).returning(Delivery.id))
    return len(gone.all()) == MOST


def forget_overtaken(session: Session, *, before: datetime, after: int) -> int | None:
    """Delete messages that ended before a time and that later ones have overtaken, some at once.

    Looks at those after an id, and returns the last that it looked at: None at the end. Of each
    person, segment and destination the last message of each kind stays.
    """
    bound = {"before": before, "after": after, "limit": WINDOW}
    row = session.execute(statement("app.destinations", "overtaken"), bound).one()
    return row.last if row.looked == WINDOW else None


def allowed_people(
    session: Session,
    purpose: str,
    persons: Collection[int],
    *,
    now: datetime,
    tcf_vendor: int | None = None,
    also_for: Collection[str] = (),
) -> set[int]:
    """Return who of these people may be told for the purpose now; notes who may not."""
    if not persons:
        return set()
    allowed, denied = decided(
        session, purpose, persons, now=now, tcf_vendor=tcf_vendor, also_for=also_for
    )
    denials.note(session, "export", purpose, denied, at=now)
    return allowed


def decided(
    session: Session,
    purpose: str,
    persons: Collection[int],
    *,
    now: datetime,
    tcf_vendor: int | None = None,
    also_for: Collection[str] = (),
) -> tuple[set[int], dict[int, str]]:
    """Return who of these people may be told for the purpose now, and why the others may not.

    And for each of those that are needed beside it (`also_for`). A vendor of IAB's framework
    (`tcf_vendor`) needs each person's TC string to allow it too.
    """
    may, denied = permitted(session, purpose, persons, also_for)
    allowed = set(may)
    if tcf_vendor is not None:
        kept = kept_from_vendor(session, purpose, allowed, tcf_vendor, now=now)
        denied |= kept
        allowed -= kept.keys()
    return allowed, {person: why for person, why in denied.items() if person not in allowed}


def permitted(
    session: Session, purpose: str, persons: Collection[int], also_for: Collection[str]
) -> tuple[dict[int, dict[int, str]], dict[int, str]]:
    """Return what may be used of each of these people for all of these purposes.

    The identifiers, with the reason of the first purpose; and of who has none the reason why, that
    of another purpose with its name before it.
    """
    may: dict[int, dict[int, str]] = {}
    denied: dict[int, str] = {}
    for one in permissions(session, purpose, persons):
        if one.allowed:
            may.setdefault(one.person_id, {})[one.identifier_id] = one.reason
        else:
            denied[one.person_id] = one.reason
    denied |= _narrow(session, may, also_for)
    return may, {person: why for person, why in denied.items() if person not in may}


def without(
    session: Session, purpose: consent.Purpose, persons: Collection[int], also_for: Collection[str]
) -> set[int]:
    """Return who of these people, as the purpose knows them, does not allow all of the others."""
    one = unit(purpose)
    may: dict[int, dict[int, str]] = {
        who: {m.identifier_id: "" for m in whole if getattr(m, one) == who}
        for who, whole in (_whole(session, persons).items() if also_for else ())
    }
    return set(_narrow(session, may, also_for))


def _narrow(
    session: Session, may: dict[int, dict[int, str]], also_for: Collection[str]
) -> dict[int, str]:
    """Take out of each person what these purposes do not allow; return who is left with nothing."""
    denied: dict[int, str] = {}
    for key in also_for:
        said = usable(session, key, {i for ids in may.values() for i in ids})
        for person, ids in list(may.items()):
            may[person] = {i: why for i, why in ids.items() if i in said and said[i].allowed}
            if not may[person]:
                del may[person]
                reasons = [said[i].reason for i in sorted(ids) if i in said]
                denied[person] = f"{key}:{reasons[-1] if reasons else 'unknown'}"
    return denied


def untold(session: Session, persons: Collection[int], *, now: datetime) -> list[str]:
    """Return which destinations hold somebody whom they may have no more, and are switched off.

    By name. They hear of it when they are on again, and not before. Files in our own data directory
    are none of them: these are ours, and are put right meanwhile (`file_removal.take_out`).
    """
    query = (
        sa.select(Destination, HeldRecord.person_id)
        .join(HeldRecord, HeldRecord.destination_id == Destination.id)
        .where(
            Destination.removed_at.is_(None),
            Destination.enabled.is_(False),
            Destination.settings["directory"].astext.is_(None),
            graph.among(HeldRecord.person_id, persons),
            sa.func.cardinality(HeldRecord.segments) > 0,
        )
    )
    found = set()
    for destination, person in session.execute(query):
        _, denied = decided(
            session, destination.purpose, [person], now=now,
            tcf_vendor=destination.tcf_vendor, also_for=destination.also_for,
        )  # fmt: skip
        if denied:
            found.add(destination.name)
    return sorted(found)


def kept_from_vendor(
    session: Session, purpose: str | consent.Purpose, persons: Collection[int], vendor: int,
    *, now: datetime,
) -> dict[int, str]:  # fmt: skip
    """Return whose TC strings do not allow this vendor the purpose, and why.

    As with consent itself, the string of an identifier that is only probably theirs may forbid it
    and never allow it: also where the purpose knows that one as somebody else.
    """
    said = permissions(session, purpose, persons)
    granting = {(p.person_id, p.identifier_id) for p in said if p.allowed}
    key = purpose if isinstance(purpose, str) else purpose.key
    found = {}
    for who, whole in sorted(_whole(session, persons).items()):
        mine = {(m.namespace, m.value): (who, m.identifier_id) in granting for m in whole}
        found[who] = consent.vendors.denied(session, mine, vendor, key, now=now)
    return {person: why for person, why in found.items() if why is not None}


def _whole(session: Session, persons: Collection[int]) -> dict[int, list[sa.Row[Any]]]:
    """Return all identifiers of the person that each of these is, or is an asserted group of."""
    of = people.people_of(session, persons)
    found: dict[int, list[sa.Row[Any]]] = {}
    for member in people.members(session, set(of.values())):
        found.setdefault(member.person_id, []).append(member)
    # Who is gone in between has nothing that allows anything.
    return {who: found.get(of.get(who, who), []) for who in persons}


def told(session: Session, destination_id: int, segment: str, persons: Collection[int]) -> set[int]:
    """Return who of these people was announced as a member, may have been, or is about to be.

    What was dropped when it was to be sent again had been sent before, and its answer lost.
    """
    query = sa.select(Delivery.person_id).where(
        Delivery.destination_id == destination_id,
        graph.among(Delivery.person_id, persons),
        Delivery.type == ENTERED,
        sa.or_(Delivery.state != "dropped", Delivery.sent),
        Delivery.payload["segment"].astext == segment,
    )
    return set(session.scalars(query))


def queue(
    session: Session,
    destination: Destination,
    segment: str,
    rows: Collection[Message],
    now: datetime,
) -> None:
    """Queue messages about people and one segment."""
    if not rows:
        return
    profiles = people.profile_ids(session, {person for person, _, _ in rows})
    session.execute(
        sa.insert(Delivery),
        [
            {
                "destination_id": destination.id,
                "message_id": uuid4(),
                "person_id": person,
                "profile_id": profiles[person],
                "type": kind,
                "payload": {"segment": segment, **more},
                "state": "waiting",
                "due_at": now,
                "created_at": now,
            }
            for person, kind, more in rows
        ],
    )
