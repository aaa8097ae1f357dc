"""Gathers what is kept of one person, and of nobody else, for a package."""

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.orm import Session

import consent
from app.db import statement
from app.events import held
from app.pending.seal import Label
from app.pending.tables import Held
from app.pending.vault import Vault
from app.privacy import former, redact
from app.privacy.own import own
from app.privacy.subject import Subject
from app.privacy.tables import PrivacyRequest
from app.settings import Settings
from consent import ages, restrictions
from identity import erasure, explain, graph, people
from identity.erasure import Own

#: Why nothing that was computed of a person is in a package.
NOT_ALONE = (
    "it is computed of all that is joined with you here, and of part of that you have not shown "
    "that it is yours; show your logins and addresses together and ask again"
)
#: Plain values, as JSON has them.
Facts = dict[str, Any]


def everything(session: Session, settings: Settings, subject: Subject, refs: list[bytes]) -> Facts:
    """Return all that is kept of the person, by store, as plain JSON values.

    Of people that a match or a decision joined with theirs nothing is in it but how many.
    """
    found = own(session, subject.shown)
    subject = subject.sure
    persons = _theirs(session, found, subject)
    people_of = graph.array(persons)
    # Of uses of an address alone nobody knows whose they were.
    uses = {"ids": graph.array({*subject.ids} - {o.id for o in found if not o.proved})}
    return {
        "identifiers": [
            {"namespace": o.namespace, "value": o.value, "profile_id": str(o.profile_id)}
            for o in found
        ],
        "former_identifiers": [
            {"namespace": one.identifier[0], "value": one.identifier[1]}
            for one in former.of(session, subject.ids, subject.asked)
            if not one.contested
        ],
        "traits": _rows(session, "own_traits", {"ids": graph.array(subject.ids)}),
        "events": _rows(session, "own_events", {"ids": graph.array(subject.ids)}),
        "held_events": _held(session, settings, subject),
        "rejected_events": redact.rejected_of(session, subject),
        "computed_traits": _rows(session, "own_computed", {"people": people_of}),
        "segments": _rows(session, "own_segments", {"people": people_of}),
        "accounts": _rows(session, "own_accounts", {"ids": graph.array(subject.ids)}),
        "recipients": _rows(session, "own_recipients", {"ids": graph.array(subject.ids)}),
        "matching": _records(session, subject),
        "consents": _consents(session, subject),
        "tc_strings": consent.vendors.strings_of(session, subject.identifiers),
        "restrictions": _restrictions(session, subject),
        "ages": _ages(session, subject),
        "denials": _rows(session, "own_denials", uses),
        "reads": _rows(session, "own_reads", uses),
        "requests": _requests(session, refs),
        "withheld": [
            {"what": what, "why": NOT_ALONE}
            for what in ("computed_traits", "segments")
            if not {o.person_id for o in found if o.proved} <= persons
        ],
    }


def _theirs(session: Session, found: Collection[Own], subject: Subject) -> set[int]:
    """Return which people are this person: what is computed of one tells of all who are in it.

    Not where an event joined with them whom they were not shown to be.
    """
    beside = erasure.beside(session, [o.id for o in found])
    doubtful = set(people.people_of(session, beside).values())
    return {o.person_id for o in found} & set(subject.ids) - doubtful


def explanation(session: Session, subject: Subject) -> Facts:
    """Say why these identifiers are one profile, and with how many others it may be joined."""
    mine = {f"{n}:{v}" for n, v in subject.identifiers}
    persons = {o.person_id for o in own(session, subject.shown)}
    links = {
        link["id"]: link for person in persons for link in explain.links(session, person)
    }.values()
    return {
        "why_one_profile": [k for k in links if {k["left"], k["right"]} <= mine],
        "others_possibly_the_same_person": len(erasure.others(session, subject.ids)),
        "in_words": "Identifiers that one event carried together are one person's. Each entry "
        "names the two, since when, and by which kind of event. Whoever may be the same person by "
        "a probability is not shown: they could be somebody else.",
    }


def segment_events(session: Session, subject: Subject) -> list[Facts]:
    """Return the events as the tracking API takes them; what was inferred is not among them."""
    return [
        _segment(row) for row in _rows(session, "own_events", {"ids": graph.array(subject.ids)})
    ]


def _segment(row: Mapping[str, Any]) -> Facts:
    content = "traits" if row["type"] in ("identify", "group") else "properties"
    name = "event" if row["type"] == "track" else "name"
    message = {
        "type": row["type"],
        "messageId": row["message_id"],
        "timestamp": row["occurred_at"],
        "userId": row["user_id"],
        "anonymousId": row["anonymous_id"],
        name: row["name"],
        content: row["properties"],
        "context": row["context"],
        **(row["rest"] or {}),
    }
    return {key: value for key, value in message.items() if value is not None}


def _rows(session: Session, name: str, parameters: Mapping[str, Any]) -> list[Facts]:
    rows = session.execute(statement("app.privacy", name), parameters).mappings()
    return [{key: _plain(value) for key, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _held(session: Session, settings: Settings, subject: Subject) -> list[Facts]:
    """Open the events that wait for the person's answer, as far as the key is here."""
    ring = Vault(settings).keyring()
    if ring is None:
        return []
    subjects = [s for identifier in subject.identifiers for s in ring.subjects(*identifier)]
    query = sa.select(Held).where(Held.subjects.overlap(sa.cast(subjects, ARRAY(BYTEA))))
    out = []
    for row in session.scalars(query):
        label = Label(row.source_id, bytes(row.message), row.received_at, row.expires_at)
        plain = ring.open(bytes(row.key_id), bytes(row.sealed), label)
        content = held.read(plain) if plain is not None else None
        if content is not None and plain is not None:
            out.append({"purpose": content.purpose, "event": json.loads(plain)["envelope"]})
    return out


def _records(session: Session, subject: Subject) -> list[Facts]:
    query = sa.text(
        "SELECT i.namespace || ':' || i.value AS identifier, k.fields FROM identity.record k "
        "JOIN identity.identifier i ON i.id = k.identifier_id "
        "WHERE k.identifier_id = ANY(CAST(:ids AS bigint[])) AND k.fields <> '{}' ORDER BY i.id"
    )
    rows = session.execute(query, {"ids": graph.array(subject.ids)}).mappings()
    return [dict(row) for row in rows]


def _consents(session: Session, subject: Subject) -> list[Facts]:
    return [
        {
            "id": str(r.id),
            "identifier": f"{r.namespace}:{r.value}",
            "purpose": r.purpose,
            "purpose_version": r.purpose_version,
            "state": r.state,
            "effective_at": r.effective_at.isoformat(),
            "recorded_at": r.recorded_at.isoformat(),
            "valid_until": r.valid_until.isoformat() if r.valid_until else None,
            "notice": r.notice,
            "collected_by": r.collected_by,
            "evidence": r.evidence,
        }
        for r in consent.history(session, subject.identifiers)
    ]


def _restrictions(session: Session, subject: Subject) -> list[Facts]:
    return [
        {
            "identifier": f"{r.namespace}:{r.value}",
            "kind": r.kind,
            "purpose": r.purpose_key,
            "from": r.from_at.isoformat(),
            "to": r.to_at.isoformat() if r.to_at else None,
        }
        for r in restrictions.of(session, subject.identifiers)
    ]


def _ages(session: Session, subject: Subject) -> list[Facts]:
    return [
        {
            "identifier": f"{row.namespace}:{row.value}",
            "band": row.band,
            "from": row.from_at.isoformat(),
            "to": row.to_at.isoformat() if row.to_at else None,
        }
        for row in ages.of(session, subject.identifiers)
    ]


def _requests(session: Session, refs: list[bytes]) -> list[Facts]:
    query = sa.select(PrivacyRequest).where(
        PrivacyRequest.refs.overlap(sa.cast(refs, ARRAY(BYTEA)))
    )
    return [
        {"kind": r.kind, "received_at": r.received_at.isoformat(), "state": r.state}
        for r in session.scalars(query.order_by(PrivacyRequest.received_at))
    ]
