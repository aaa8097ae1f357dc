"""What was sent after somebody had said no, because we learned of it late."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.db import statement
from consent.errors import ConsentRecordNotFound
from identity import people


def since_refused(session: Session, record_id: UUID) -> list[dict[str, Any]]:
    """Return what was sent for a purpose from when this refusal counts until now.

    A refusal counts from when the person said it, and may reach us days later; what went out in
    between was lawful as far as we knew (GDPR art. 7(3)), and its receivers must be told (art. 19):
    those that were told of any identifier of the person, also while it was another's or alone.
    `exit` says what became of that: `waiting`, `delivered`, `failed`, or None while the person's
    leaving has not been computed. Nothing for a grant. Raises ConsentRecordNotFound.
    """
    record = session.scalar(
        sa.select(consent.ConsentRecord).where(consent.ConsentRecord.id == record_id)
    )
    if record is None:
        raise ConsentRecordNotFound(str(record_id))
    person = people.find(session, record.namespace, record.value)
    if record.state == "given" or person is None:
        return []
    members = {member.identifier_id for member in people.members(session, [person])}
    rows = session.execute(
        statement("app.destinations", "disclosures"),
        {
            "ids": sorted(members),
            "purpose": record.purpose,
            "since": record.order_time,
            "until": datetime.now(UTC),
        },
    )
    return [
        {
            "message_id": str(row.message_id),
            "destination_id": row.destination_id,
            "destination": row.destination,
            "segment": row.segment,
            "sent_at": row.sent_at.isoformat(),
            "exit": row.exit_state,
            "exit_at": row.exit_at.isoformat() if row.exit_at else None,
        }
        for row in rows
    ]
