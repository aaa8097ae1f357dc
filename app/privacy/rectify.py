"""Puts a wrong trait right wherever the person's own events said it (GDPR art. 16, 19)."""

import json
from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app import pipeline
from app import work as touched_by
from app.consents import in_use, record
from app.db import statement
from app.privacy import former
from app.privacy.asked import ADDRESSES
from app.privacy.former import Former
from app.privacy.own import own as theirs
from app.privacy.step import DONE, NOT_PRESENT, Outcome, Work
from app.privacy.tables import PrivacyTask
from app.profiles import rewritten
from app.profiles.changes import News, publish
from app.suppression import gate
from consent import carrying, suppression
from consent import erasure as consents
from identity import attributes, erasure, graph, identifiers, people, records
from identity.erasure import Own
from identity.lock import lock

RECTIFIED = "profile.rectified"
#: What is left to the officer of a wrong address that was not shown to be the person's.
NOT_CARRIED = (
    "what was refused or demanded under the wrong address may have been by somebody else whose it "
    "is, and was not carried over; if it was theirs, set it for what they have now"
)
#: The rule of the link to a new address: as the request was shown to be of who has it, or was not.
SHOWN, CLAIMED = "rectification_shown", "rectification"


class AddressTaken(Exception):
    """The new address is known here as somebody else's: ask for it and the person together."""


class AddressShared(Exception):
    """The wrong address is somebody else's too: ask for the person by another identifier."""


def rectify(work: Work) -> Outcome:
    """Replace the value of a trait in profile, events and lake, and tell destinations to read anew.

    An address that was wrong identifies the person no more. What was agreed to under it stays on
    record as it was: it was agreed to. What was refused under it, and demanded, is carried over
    (`consent.carrying`). Raises AddressTaken where the new one is known and was not shown to be
    the person's: whoever reads a person's data after this would read somebody else's. Raises
    AddressShared where nothing but an address that others have too says who it is.
    """
    if "told" in work.result:  # a crash after the last one lost only that it was noted
        return _outcome(work.result)
    trait, value = str(work.details["trait"]), work.details["value"]
    with work.sessions.begin() as session:
        session.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('pipeline', 0))"))
        lock(session)
        own = theirs(session, work.subject.shown)
        said_of = theirs(session, work.subject.shown, doubtful=True)
        if trait in ADDRESSES:
            suppression.renew(session)  # a writer would go on with the id of the old address
            new = identifiers.parse(f"{trait}:{value}")
            gate.refuse(session, [new])
            if theirs(session, [new]) and new not in {(o.namespace, o.value) for o in own}:
                raise AddressTaken
        in_use.wait(session, work.subject.ids)  # what is being sent was decided before this
        events, old = _events(session, work, trait, value)
        old |= _traits(session, work, trait, value)
        right = attributes.from_traits({trait: value})
        said = dict.fromkeys(_with_records(session, work), right)
        # Guards look at names.
        touched_by.ask_again(session, records.keep(session, said, at=work.now))
        ids, others = set(work.subject.ids), 0
        if trait in ADDRESSES and old:
            these, others = _change_address(session, work, own, said_of, old, new)
            ids |= these
        rewritten.follow(session, ids)
        result = {"count": events, "trait": trait, "told": _tell(session, work, trait)}
        if others:
            result |= {"not_carried": others, "to_do": NOT_CARRIED}
        _note(session, work, result)
    return _outcome(result)


def _outcome(result: dict[str, Any]) -> Outcome:
    told = {to: {"messages": sent} for to, sent in result["told"].items()}
    more = tuple(("destination", to, messages) for to, messages in told.items())
    return Outcome(DONE if result["count"] else NOT_PRESENT, result, more=more)


def _note(session: Session, work: Work, result: dict[str, Any]) -> None:
    """Note what was done with it: afterwards nothing finds who the request was of."""
    task = sa.update(PrivacyTask).where(
        PrivacyTask.request_id == work.request_id, PrivacyTask.store == "profile"
    )
    session.execute(task.values(result=result))


def _events(session: Session, work: Work, trait: str, value: Any) -> tuple[int, set[str]]:
    """Write the events anew that said the trait; return how many, and what they said."""
    query = sa.text(
        "SELECT id, part, CAST(properties AS text) AS properties FROM app.event "
        "WHERE identifier_id = ANY(CAST(:ids AS bigint[])) AND type = 'identify' "
        "AND (properties -> CAST(:trait AS text)) IS NOT NULL "
        "ORDER BY part, transaction, id FOR UPDATE"  # an erasure may be taking somebody out of them
    )
    rows, said = [], set()
    parameters = {"ids": graph.array(work.subject.ids), "trait": trait}
    for row in session.execute(query, parameters):
        properties = json.loads(row.properties)
        said.add(str(properties[trait]))
        text = json.dumps({**properties, trait: value}, ensure_ascii=False)
        rows.append({"id": row.id, "part": row.part, "properties": text})
    if rows:
        encoded = msgspec.json.encode(rows).decode()
        session.execute(statement("app.privacy", "rectify_events"), {"rows": encoded})
    return len(rows), said


def _traits(session: Session, work: Work, trait: str, value: Any) -> set[str]:
    """Write the traits anew, and return what they said: their events may be gone by now."""
    mine = {"key": trait, "ids": graph.array(work.subject.ids)}
    rows = session.scalars(
        sa.text(
            "SELECT value FROM app.trait WHERE key = :key"
            " AND identifier_id = ANY(CAST(:ids AS bigint[])) FOR UPDATE"
        ),
        mine,
    )
    said = {str(one) for one in rows}
    session.execute(
        sa.text(
            "UPDATE app.trait SET value = CAST(:value AS json) WHERE key = :key"
            " AND identifier_id = ANY(CAST(:ids AS bigint[]))"
        ),
        {**mine, "value": json.dumps(value)},
    )
    return said


def _with_records(session: Session, work: Work) -> list[int]:
    query = sa.text(
        "SELECT identifier_id FROM identity.record "
        "WHERE identifier_id = ANY(CAST(:ids AS bigint[]))"
    )
    return list(session.scalars(query, {"ids": graph.array(work.subject.ids)}))


def _change_address(
    session: Session,
    work: Work,
    own: Collection[Own],
    said_of: Collection[Own],
    said: set[str],
    new: tuple[str, str],
) -> tuple[set[int], int]:
    """Let the old addresses identify the person no more, and the new one do so in their place.

    `said_of` are those that may be somebody else's as well (`own`): these stay theirs. Return the
    identifiers whose events and traits these are now, and of how many addresses nothing denied is
    carried over.
    """
    namespace = new[0]
    wrong = {identifiers.normalise(namespace, one) for one in said} - {new[1]}
    old = [o for o in said_of if o.namespace == namespace and o.value in wrong]
    kept = {o.id: (o.namespace, o.value) for o in own if o not in old}
    # What only the old address held together, the new one does: the events say it now.
    beside = erasure.beside(session, [o.id for o in old]) & kept.keys() or set(list(kept)[:1])
    if not kept:  # the address is all that there is: the new one takes its place
        beside = set(graph.identify(session, [new]).values())
    main = min(kept, default=min(beside))
    of_whom = {"ids": graph.array([o.id for o in old]), "own": graph.array([o.id for o in own])}
    shared = set(session.scalars(statement("app.privacy", "shared_with_others"), of_whom))
    if shared and not kept:
        raise AddressShared
    # Of what may be somebody else's only the link to the person goes.
    shared |= {o.id for o in old if o not in own}
    alone = [o for o in old if o.id not in shared]
    # Of whom something was told before it came with the person may be somebody that they mistyped.
    since = _came(session, [o.id for o in alone])
    told = consents.told_before(
        session, {(o.namespace, o.value): since[o.id] for o in alone if o.id in since}
    )
    others = {o.id for o in alone if (o.namespace, o.value) in told}
    for one in alone:
        session.execute(
            statement("app.privacy", "without_identifier"), {"old": one.id, "main": main}
        )
    erasure.forget(session, [o.id for o in alone], at=work.now)
    for identifier in shared:  # it stays the others', and is theirs alone
        session.execute(
            statement("app.privacy", "without_shared"),
            {"old": identifier, "ids": graph.array(kept)},
        )
    parted = erasure.part(session, shared, kept)
    [added] = graph.identify(session, [new]).values()
    rule = SHOWN if new in work.subject.shown else CLAIMED
    links = [
        graph.Evidence(min(one, added), max(one, added), "event", rule, work.now)
        for one in sorted(beside - {added})
    ]
    touched = graph.observe(session, links)
    moved = graph.reconsider(session, touched | beside | shared | parted | {added}, at=work.now)
    pipeline.after_move(session, moved)
    joined = {o.id for o in theirs(session, [new])}
    apart = sorted(beside - joined)
    mine = [o for o in old if o.id not in shared or (o.namespace, o.value) in work.subject.shown]
    _carry(session, work, mine, {new: added, **{kept[one]: one for one in apart if one in kept}})
    ended = [
        Former(o.id, (o.namespace, o.value), _spellings(o, said), not o.proved or o.id in others)
        for o in alone
    ]
    # Whoever has an address that nobody showed is not shown what its claimant had before.
    theirs_now = beside | {main} | ({added} if rule == SHOWN else set())
    former.keep(session, ended, theirs_now, at=work.now)
    return {main, added}, len(old) - len(mine)


def _came(session: Session, alone: Collection[int]) -> dict[int, datetime]:
    """Return since when each of these, which are nobody else's, is known to be the person's.

    Their events count from when they were received: links are seen by the pipeline's clock, and
    what a form tells beside the events would always be older.
    """
    since = erasure.joined_at(session, alone)
    came = session.execute(statement("app.privacy", "first_received"), {"ids": graph.array(since)})
    return {**since, **{one: min(at, since[one]) for one, at in came}}


def _spellings(own: Own, said: set[str]) -> tuple[str, ...]:
    found = {s.strip() for s in said if identifiers.normalise(own.namespace, s) == own.value}
    return tuple(sorted(found))


def _carry(
    session: Session, work: Work, old: Collection[Own], to: dict[tuple[str, str], int]
) -> None:
    """Have what was denied under the old addresses be denied by what takes their place."""
    by = f"request:{work.request_id}"
    gone = [(o.namespace, o.value) for o in old]
    carried = carrying.carry(session, gone, list(to), by=by, at=work.now)
    record.touch(session, carried.refusals, to)
    if carried.restrictions or carried.ages:
        said = {"all": "carried"}
        touched_by.touch(session, [(one, "consent", said) for one in sorted(to.values())])


def _tell(session: Session, work: Work, trait: str) -> dict[str, list[str]]:
    """Have destinations and readers of the feed read anew; return the messages to each."""
    persons = set(people.people_of(session, work.subject.ids).values())
    publish(session, [News("profile.updated", person) for person in persons], at=work.now)
    told = session.execute(
        statement("app.privacy", "told_of"),
        {
            "people": graph.array(persons),
            "type": RECTIFIED,
            "payload": json.dumps({"trait": trait}),
            "at": work.now,
        },
    )
    messages: dict[str, list[str]] = {}
    for row in told:
        messages.setdefault(str(row.destination_id), []).append(str(row.message_id))
    return messages
