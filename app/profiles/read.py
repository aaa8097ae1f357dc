"""Reads one profile for one purpose: only what consent allows, and what was withheld and why."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app import cursors
from app.access import reads
from app.consents import denials
from app.consents.permission import Permission, permissions
from app.db import statement
from app.errors import ProfileNotFound
from app.profiles import trait_rules
from app.profiles.survivorship import COUNTED
from app.profiles.traits import Golden, TraitValue, fold
from identity import identifiers, people
from identity.errors import IdentifierInvalid


@dataclass(frozen=True, slots=True)
class Found:
    """A person that a reference names, and the identifier that named it.

    `named_id` is the identifier whose profile id was given, which may be that of somebody since
    merged into the person; `acting_id` is then the one that the person is named after.
    """

    person_id: int
    profile_id: UUID
    acting_id: int
    named_id: int


@dataclass(frozen=True, slots=True)
class View:
    """A person seen for one purpose: the identifiers that may be used, and the others' reasons.

    `subject_id` is who this is for the purpose, in its segments: the person, or its asserted group
    where the purpose demands deterministic links; `profile_id` is the subject's.
    """

    person_id: int
    subject_id: int
    profile_id: UUID
    purpose: str
    allowed: tuple[int, ...]
    withheld: tuple[dict[str, Any], ...]


def find(session: Session, reference: str) -> Found:
    """Return the person that a profile id or `namespace:value` stands for now.

    Ids of people that were merged into others keep answering. Raises ProfileNotFound, and
    IdentifierInvalid for a reference that cannot name anybody.
    """
    found = find_all(session, [reference])[reference]
    if isinstance(found, Exception):
        raise found
    return found


def find_all(
    session: Session, references: Collection[str]
) -> dict[str, Found | ProfileNotFound | IdentifierInvalid]:
    """Return whom each reference stands for now, or why it names nobody; in one statement."""
    answers: dict[str, Found | ProfileNotFound | IdentifierInvalid] = {}
    rows: list[dict[str, Any]] = []
    asked = list(dict.fromkeys(references))
    for n, reference in enumerate(asked):
        answers[reference] = ProfileNotFound("nobody is known by this reference")
        try:
            rows.append({"n": n, "profile": str(UUID(reference))})
        except ValueError:
            try:
                namespace, value = identifiers.parse(reference)
            except IdentifierInvalid as error:
                answers[reference] = error
            else:
                rows.append({"n": n, "namespace": namespace, "value": value})
    if rows:
        encoded = msgspec.json.encode(rows).decode()
        for row in session.execute(statement("app.profiles", "find"), {"rows": encoded}):
            acting = row.person_id if row.is_profile else row.named_id
            found = Found(row.person_id, row.profile_id, acting, row.named_id)
            answers[asked[row.n]] = found
            reads.saw(session, (row.person_id, row.named_id), purpose=None)
    return answers


def view(session: Session, found: Found, purpose: str) -> View:
    """Decide what of this person may be seen for the purpose; notes what is denied.

    Where the purpose demands deterministic links, only what the identifier that was asked for is
    asserted to be one with; the rest is withheld as `link_confidence`.
    """
    return views(session, [found], purpose)[0]


def views(session: Session, found: Sequence[Found], purpose: str) -> list[View]:
    """Decide the same of several people, in the order given and in as many statements as for one.

    Raises PurposeNotFound.
    """
    known = consent.catalogue.purpose(session, purpose)
    whole = [Subject(f.person_id, f.profile_id) for f in found]
    subjects = _groups(session, found) if known.link_confidence == "deterministic" else whole
    decisions = _decisions(session, known, {subject.id for subject in subjects})
    denied = {p.identifier_id: p.reason for ps in decisions.values() for p in ps if not p.allowed}
    denials.note(session, "read", purpose, denied, at=datetime.now(UTC))
    seen = [
        _view(f.person_id, subject, purpose, decisions.get(subject.id, ()))
        for f, subject in zip(found, subjects, strict=True)
    ]
    for f, one in zip(found, seen, strict=True):
        named = (f.named_id, one.person_id, one.subject_id)
        reads.saw(session, (*named, *one.allowed), purpose=purpose)
    return seen


@dataclass(frozen=True, slots=True)
class Subject:
    """Who somebody is for a purpose; `beyond` is how many identifiers only matching has joined."""

    id: int
    profile_id: UUID
    beyond: int = 0


def _groups(session: Session, found: Sequence[Found]) -> list[Subject]:
    """Return the asserted group of each identifier that was asked for."""
    members = people.members(session, {f.person_id for f in found})
    group_of = {m.identifier_id: m.group_id for m in members}
    sizes = Counter(m.group_id for m in members)
    whole = Counter(m.person_id for m in members)
    groups = [group_of[f.named_id] for f in found]
    ids = people.profile_ids(session, set(groups))
    return [
        Subject(group, ids[group], whole[f.person_id] - sizes[group])
        for f, group in zip(found, groups, strict=True)
    ]


def _decisions(
    session: Session, known: consent.Purpose, subjects: Collection[int]
) -> dict[int, list[Permission]]:
    """Return what is decided of the identifiers of each subject.

    Under a purpose that is not linkable every identifier is decided as a person of its own, so
    that the decisions of several people could not be told apart: there each is asked for alone.
    """
    if not known.linkable:
        return {subject: permissions(session, known, [subject]) for subject in subjects}
    decisions: dict[int, list[Permission]] = defaultdict(list)
    for decision in permissions(session, known, subjects) if subjects else ():
        decisions[decision.person_id].append(decision)
    return decisions


def _view(person: int, subject: Subject, purpose: str, decisions: Sequence[Permission]) -> View:
    return View(
        person,
        subject.id,
        subject.profile_id,
        purpose,
        tuple(sorted(p.identifier_id for p in decisions if p.allowed)),
        withheld(decisions, subject.beyond),
    )


def withheld(decisions: Sequence[Permission], beyond: int = 0) -> tuple[dict[str, Any], ...]:
    """Say what is left out and why: everything, or the part that some identifiers brought."""
    reasons = Counter(p.reason for p in decisions if not p.allowed)
    if beyond:
        reasons["link_confidence"] = beyond
    what = "part" if any(p.allowed for p in decisions) else "everything"
    return tuple(
        {"what": what, "reason": reason, "identifiers": count}
        for reason, count in sorted(reasons.items())
    )


def traits(session: Session, view: View) -> dict[str, Golden]:
    """Return the value of each trait by its rule, with its provenance and what it differs from."""
    return traits_of(session, [view])[view.subject_id]


def traits_of(session: Session, views: Sequence[View]) -> dict[int, dict[str, Golden]]:
    """Return the traits of each view, by subject; the views are of one purpose."""
    whose = {i: view.subject_id for view in views for i in view.allowed}
    said: dict[int, list[TraitValue]] = {view.subject_id: [] for view in views}
    rules = trait_rules.in_force(session)
    if whose:
        counted = sorted(key for key, rule in rules.items() if rule.rule in COUNTED)
        asked = {"identifiers": sorted(whose), "purpose": views[0].purpose}
        for r in session.execute(statement("app.profiles", "traits"), asked):
            if r.key not in counted:
                said[whose[r.identifier_id]].append(_value(r))
        if counted:
            for subject, value in _ever_said(session, asked | {"keys": counted}, whose):
                said[subject].append(value)
    return {subject: fold(values, rules) for subject, values in said.items()}


def _value(r: sa.Row[Any]) -> TraitValue:
    return TraitValue(
        r.key, r.value, r.occurred_at, r.received_at, r.source_seq, r.event_id, r.message_id,
        r.source, f"{r.namespace}:{r.value_of}",
    )  # fmt: skip


def _ever_said(
    session: Session, asked: Mapping[str, Any], whose: Mapping[int, int]
) -> Iterator[tuple[int, TraitValue]]:
    """Yield each value that was ever said of these traits, as it was said last and first."""
    for r in session.execute(statement("app.profiles", "trait_values"), asked):
        identifier = f"{r.namespace}:{r.value_of}"
        first = TraitValue(
            r.key, r.value, r.first_occurred_at, r.first_received_at, r.first_source_seq,
            r.first_event_id, r.first_message_id, r.first_source, identifier,
        )  # fmt: skip
        yield whose[r.identifier_id], TraitValue(
            r.key, r.value, r.last_occurred_at, r.last_received_at, r.last_source_seq,
            r.last_event_id, r.last_message_id, r.last_source, identifier, r.times, first,
        )  # fmt: skip


def known_identifiers(session: Session, view: View) -> list[sa.Row[Any]]:
    """Return the identifiers that may be seen, oldest first."""
    return identifiers_of(session, [view])[view.subject_id]


def identifiers_of(session: Session, views: Sequence[View]) -> dict[int, list[sa.Row[Any]]]:
    """Return the identifiers of each view that may be seen, by subject, oldest first."""
    whose = {i: view.subject_id for view in views for i in view.allowed}
    known: dict[int, list[sa.Row[Any]]] = {view.subject_id: [] for view in views}
    for row in people.members(session, {v.person_id for v in views if v.allowed}) if whose else ():
        if row.identifier_id in whose:
            known[whose[row.identifier_id]].append(row)
    return known


def page(
    session: Session, purpose: str, *, cursor: str | None, limit: int
) -> tuple[list[View], str | None]:
    """Return a page of people whose data may be used for the purpose, oldest first.

    People who do not allow it are passed over in silence, so a page may be short; only the
    cursor says that there are no more.
    """
    after = cursors.decode(cursor, int)[0] if cursor else 0
    known = consent.catalogue.purpose(session, purpose)
    rows = session.execute(
        statement("app.profiles", "people"),
        {
            "after": after,
            "limit": limit,
            "groups": known.link_confidence == "deterministic",
        },
    ).all()
    decisions: dict[int, list[Permission]] = defaultdict(list)
    for decision in permissions(session, known, {row.subject_id for row in rows}):
        decisions[decision.person_id].append(decision)
    views = [
        _view(
            row.person_id,
            Subject(row.subject_id, row.profile_id),
            purpose,
            decisions[row.subject_id],
        )
        for row in rows
    ]
    following = cursors.encode(rows[-1].subject_id) if len(rows) == limit else None
    told = [view for view in views if view.allowed]
    for view in told:
        reads.saw(session, (view.subject_id, *view.allowed), purpose=purpose)
    return told, following
