"""Reads one profile for one purpose: only what consent allows, and what was withheld and why."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app import cursors
from app.consents.permission import Permission, permissions
from app.db import statement
from app.errors import ProfileNotFound
from app.profiles.traits import TraitValue, fold
from identity import identifiers, people


@dataclass(frozen=True, slots=True)
class Found:
    """A person that a reference names, and the identifier that named it."""

    person_id: int
    profile_id: UUID
    acting_id: int


@dataclass(frozen=True, slots=True)
class View:
    """A person seen for one purpose: the identifiers that may be used, and the others' reasons."""

    person_id: int
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
        person = people.find_profile(session, UUID(reference))
        acting = person
    except ValueError:
        namespace, value = identifiers.parse(reference)
        person = people.find(session, namespace, value)
        acting = people.find_identifier(session, namespace, value)
    if person is None or acting is None:
        raise ProfileNotFound("nobody is known by this reference")
    return Found(person, people.profile_ids(session, [person])[person], acting)


def view(session: Session, found: Found, purpose: str) -> View:
    """Decide what of this person may be seen for the purpose; counts what is denied."""
    decisions = permissions(session, purpose, [found.person_id])
    denied = Counter(p.reason for p in decisions if not p.allowed)
    if denied:
        consent.count_denials(
            session,
            use="read",
            denials=[(purpose, reason, count) for reason, count in denied.items()],
            at=datetime.now(UTC),
        )
    return View(
        found.person_id,
        found.profile_id,
        purpose,
        tuple(sorted(p.identifier_id for p in decisions if p.allowed)),
        _withheld(decisions),
    )


def _withheld(decisions: Sequence[Permission]) -> tuple[dict[str, Any], ...]:
    """Say what is left out and why: everything, or the part that some identifiers brought."""
    reasons = Counter(p.reason for p in decisions if not p.allowed)
    what = "part" if any(p.allowed for p in decisions) else "everything"
    return tuple(
        {"what": what, "reason": reason, "identifiers": count}
        for reason, count in sorted(reasons.items())
    )


def traits(session: Session, view: View) -> dict[str, TraitValue]:
    """Return the winning value of each trait with its provenance."""
    rows = session.execute(
        statement("app.profiles", "traits"),
        {"identifiers": list(view.allowed), "purpose": view.purpose},
    )
    return fold(
        TraitValue(
            r.key, r.value, r.occurred_at, r.received_at, r.source_seq, r.event_id, r.message_id,
            r.source, f"{r.namespace}:{r.value_of}",
        )
        for r in rows
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
    rows = session.execute(
        statement("app.profiles", "people"), {"after": after, "limit": limit}
    ).all()
    decisions: dict[int, list[Permission]] = {}
    for decision in permissions(session, purpose, {row.person_id for row in rows}):
        decisions.setdefault(decision.person_id, []).append(decision)
    views = [
        View(
            row.person_id,
            row.profile_id,
            purpose,
            tuple(sorted(p.identifier_id for p in decisions[row.person_id] if p.allowed)),
            _withheld(decisions[row.person_id]),
        )
        for row in rows
    ]
    following = cursors.encode(rows[-1].person_id) if len(rows) == limit else None
    return [view for view in views if view.allowed], following
