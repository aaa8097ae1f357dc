"""Puts a wrong trait right wherever the person's own events said it (GDPR art. 16, 19)."""

import json
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app import pipeline
from app.db import statement
from app.privacy.asked import ADDRESSES
from app.privacy.step import DONE, NOT_PRESENT, Outcome, Work
from app.profiles import rewritten
from app.profiles.changes import News, publish
from app.suppression import gate
from identity import attributes, erasure, graph, identifiers, people, records
from identity.lock import lock

RECTIFIED = "profile.rectified"


def rectify(work: Work) -> Outcome:
    """Replace the value of a trait in profile, events and lake, and tell destinations to read anew.

    An address that was wrong identifies the person no more. What was agreed to under it stays on
    record as it was: it was agreed to.
    """
    trait, value = str(work.details["trait"]), work.details["value"]
    with work.sessions.begin() as session:
        session.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('pipeline', 0))"))
        lock(session)
        if trait in ADDRESSES:
            new = identifiers.parse(f"{trait}:{value}")
            gate.refuse(session, [new])
        events, old = _events(session, work, trait, value)
        session.execute(
            sa.text(
                "UPDATE app.trait SET value = CAST(:value AS json) WHERE key = :key"
                " AND identifier_id = ANY(CAST(:ids AS bigint[]))"
            ),
            {"value": json.dumps(value), "key": trait, "ids": graph.array(work.subject.ids)},
        )
        right = attributes.from_traits({trait: value})
        records.keep(session, dict.fromkeys(_with_records(session, work), right))
        ids = set(work.subject.ids)
        if trait in ADDRESSES and old:
            ids |= _change_address(session, work, trait, old, new)
        rewritten.follow(session, ids)
        more = _tell(session, work, trait)
    state = DONE if events else NOT_PRESENT
    return Outcome(state, {"count": events, "trait": trait}, more=more)


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


def _with_records(session: Session, work: Work) -> list[int]:
    query = sa.text(
        "SELECT identifier_id FROM identity.record "
        "WHERE identifier_id = ANY(CAST(:ids AS bigint[]))"
    )
    return list(session.scalars(query, {"ids": graph.array(work.subject.ids)}))


def _change_address(
    session: Session, work: Work, namespace: str, said: set[str], new: tuple[str, str]
) -> set[int]:
    """Let the old addresses identify the person no more, and the new one do so.

    Return the identifiers whose events and traits these are now.
    """
    wrong = {identifiers.normalise(namespace, one) for one in said} - {new[1]}
    own = erasure.own(session, work.subject.identifiers)
    old = [o for o in own if o.namespace == namespace and o.value in wrong]
    main = next((o.id for o in own if o not in old), None)
    if main is None:  # the address is all that there is: the new one takes its place
        [main] = graph.identify(session, [new]).values()
    for one in old:
        session.execute(
            statement("app.privacy", "without_identifier"), {"old": one.id, "main": main}
        )
    erasure.forget(session, [o.id for o in old], at=work.now)
    [added] = graph.identify(session, [new]).values()
    link = graph.Evidence(main, added, "event", "rectification", work.now)
    touched = graph.observe(session, [link])
    pipeline.after_move(session, graph.reconsider(session, touched | {main, added}, at=work.now))
    return {main, added}


def _tell(session: Session, work: Work, trait: str) -> tuple[tuple[str, str, dict[str, Any]], ...]:
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
    return tuple(("destination", to, {"messages": sent}) for to, sent in messages.items())
