"""Claiming what is due from the outbox."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import statement
from app.destinations.tables import Delivery, Destination
from app.destinations.webhook import Webhook


def test_a_claim_takes_no_more_than_it_can_send_at_once(session: Session) -> None:
    """More would wait its turn, and go out on a decision of long ago.

    Once in a while the planner ran the limit once per row (40 taken instead of 8, on a server in
    use). That cannot be provoked here, so the plan is looked at too: the limit is computed once.
    """
    now = datetime.now(UTC)
    crm = Destination(
        name="crm", kind="webhook", url="https://crm.test/", secret="whsec_c2VjcmV0",
        purpose="marketing.email", segments=["s"], enabled=True,
    )  # fmt: skip
    session.add(crm)
    session.flush()
    for person in range(40):
        session.add(
            Delivery(
                destination_id=crm.id, message_id=uuid4(), person_id=person, profile_id=uuid4(),
                type="segment.entered", payload={"segment": "s"}, state="waiting", due_at=now,
                created_at=now,
            )
        )  # fmt: skip
    session.flush()
    limit = Webhook.batch
    values = {
        "destination": crm.id, "now": now, "lease": now + timedelta(minutes=1), "limit": limit,
    }  # fmt: skip
    claim = statement("app.destinations", "claim")
    plan = session.scalars(sa.text(f"EXPLAIN {claim.text}"), values).all()
    assert any("CTE due" in line for line in plan)
    assert len(session.execute(claim, values).all()) == limit
