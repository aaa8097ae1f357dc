"""Reads one profile for one purpose: only what consent allows, and what was withheld and why."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app import cursors
from app.consents import denials
from app.consents.permission import Permission, permissions
from app.db import statement
from app.errors import ProfileNotFound
from app.profiles import trait_rules
from app.profiles.survivorship import COUNTED
from app.profiles.traits import Golden, TraitValue, fold
from identity import identifiers, people

NAMED = sa.text("SELECT identifier_id FROM identity.current_person WHERE profile_id = :profile")


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
    try:
        profile = UUID(reference)
        person = people.find_profile(session, profile)
        acting = person
        named = session.scalar(NAMED, {"profile": profile})
    except ValueError:
        namespace, value = identifiers.parse(reference)
        person = people.find(session, namespace, value)
        named = acting = people.find_identifier(session, namespace, value)
    if person is None or acting is None or named is None:
        raise ProfileNotFound("nobody is known by this reference")
    return Found(person, people.profile_ids(session, [person])[person], acting, named)


def view(session: Session, found: Found, purpose: str) -> View:
    """Decide what of this person may be seen for the purpose; notes what is denied.

    Where the purpose demands deterministic links, only what the identifier that was asked for is
    asserted to be one with; the rest is withheld as `link_confidence`.
    """
    subject, profile, beyond = found.person_id, found.profile_id, 0
    known = consent.catalogue.purpose(session, purpose)
    if known.link_confidence == "deterministic":
        members = people.members(session, [found.person_id])
        subject = next(m.group_id for m in members if m.identifier_id == found.named_id)
        profile = people.profile_ids(session, [subject])[subject]
        beyond = sum(m.group_id != subject for m in members)
    decisions = permissions(session, known, [subject])
    denied = {p.identifier_id: p.reason for p in decisions if not p.allowed}
    denials.note(session, "read", purpose, denied, at=datetime.now(UTC))
    return View(
        found.person_id,
        subject,
        profile,
        purpose,
        tuple(sorted(p.identifier_id for p in decisions if p.allowed)),
        _withheld(decisions, beyond),
    )


def _withheld(decisions: Sequence[Permission], beyond: int = 0) -> tuple[dict[str, Any], ...]:
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
    rules = trait_rules.in_force(session)
    counted = sorted(key for key, rule in rules.items() if rule.rule in COUNTED)
    rows = session.execute(
        statement("app.profiles", "traits"),
        {"identifiers": list(view.allowed), "purpose": view.purpose},
    )
    said = [
        TraitValue(
            r.key, r.value, r.occurred_at, r.received_at, r.source_seq, r.event_id, r.message_id,
            r.source, f"{r.namespace}:{r.value_of}",
        )
        for r in rows if r.key not in counted
    ]  # fmt: skip
    if counted:
        said += _ever_said(session, view, counted)
    return fold(said, rules)


def _ever_said(session: Session, view: View, keys: Sequence[str]) -> Iterator[TraitValue]:
    """Yield each value that was ever said of these traits, as it was said last and first."""
    rows = session.execute(
        statement("app.profiles", "trait_values"),
        {"identifiers": list(view.allowed), "keys": keys, "purpose": view.purpose},
    )
    for r in rows:
        identifier = f"{r.namespace}:{r.value_of}"
        first = TraitValue(
            r.key, r.value, r.first_occurred_at, r.first_received_at, r.first_source_seq,
            r.first_event_id, r.first_message_id, r.first_source, identifier,
        )  # fmt: skip
        yield TraitValue(
            r.key, r.value, r.last_occurred_at, r.last_received_at, r.last_source_seq,
            r.last_event_id, r.last_message_id, r.last_source, identifier, r.times, first,
        )  # fmt: skip


def known_identifiers(session: Session, view: View) -> list[sa.Row[Any]]:
    """Return the identifiers that may be seen, oldest first."""
    allowed = set(view.allowed)
    return [m for m in people.members(session, [view.person_id]) if m.identifier_id in allowed]


def events(
    session: Session, view: View, *, cursor: str | None, limit: int
) -> tuple[list[sa.Row[Any]], str | None]:
    """Return a page of the timeline, newest first, and the cursor of the next page.

    Events whose own stamp refused the purpose are left out for good.
    """
    after = cursors.decode(cursor, str, int, str, int) if cursor else (None,) * 4
    rows = session.execute(
        statement("app.profiles", "timeline"),
        {
            "identifiers": list(view.allowed),
            "purpose": view.purpose,
            "at": after[0],
            "place": after[1],
            "received_at": after[2],
            "id": after[3],
            "limit": limit + 1,
        },
    ).all()
    more = len(rows) > limit
    if not more:
        return list(rows), None
    last = rows[limit - 1]
    mark = cursors.encode(
        last.occurred_at.isoformat(), last.place, last.received_at.isoformat(), last.id
    )
    return list(rows[:limit]), mark


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
    decisions: dict[int, list[Permission]] = {}
    for decision in permissions(session, known, {row.subject_id for row in rows}):
        decisions.setdefault(decision.person_id, []).append(decision)
    views = [
        View(
            row.person_id,
            row.subject_id,
            row.profile_id,
            purpose,
            tuple(sorted(p.identifier_id for p in decisions[row.subject_id] if p.allowed)),
            _withheld(decisions[row.subject_id]),
        )
        for row in rows
    ]
    following = cursors.encode(rows[-1].subject_id) if len(rows) == limit else None
    return [view for view in views if view.allowed], following
