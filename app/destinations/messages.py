"""Messages of the outbox as records to be sent: what they are about, without what is decided."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.destinations.kind import Record
from app.destinations.outbox import ENTERED
from identity import people


class Imagined:
    """A message that is not in the outbox: somebody would enter a segment now."""

    def __init__(self, person: int, profile: UUID, segment: str, now: datetime) -> None:
        """Imagine it for a member who was never told of."""
        self.id = self.person_id = person
        self.profile_id, self.created_at, self.sent = profile, now, False
        self.type, self.payload, self.message_id = ENTERED, {"segment": segment}, UUID(int=0)


def segment_of(row: Any) -> str:
    """Return the segment that a message is about."""
    return str(row.payload["segment"])


def record_of(row: Any) -> Record:
    """Return a message as a record that says nothing of the person yet."""
    return Record(
        str(row.message_id),
        row.type,
        row.created_at,
        str(row.profile_id),
        "hold",
        row.payload.get("segment"),
        row.payload.get("reason"),
    )


def by_namespace(identifiers: Iterable[sa.Row[int, str, str]]) -> dict[str, list[str]]:
    """Return the values of identifiers by their namespace, in their order."""
    found: dict[str, list[str]] = {}
    for one in identifiers:
        found.setdefault(one.namespace, []).append(one.value)
    return found


def members_of(session: Session, rows: Sequence[sa.Row[Any]]) -> dict[int, set[int]]:
    """Return all identifiers of whom each message is about, a person or an asserted group of one.

    Of the whole person in any case: a refusal of somebody matched is heard too.
    """
    persons = people.people_of(session, {row.person_id for row in rows})
    found: dict[int, set[int]] = {}
    for member in people.members(session, set(persons.values())):
        found.setdefault(member.person_id, set()).add(member.identifier_id)
    return {who: found[person] for who, person in persons.items()}
