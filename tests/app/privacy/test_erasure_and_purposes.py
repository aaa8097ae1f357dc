"""A purpose that is added while somebody is erased brings nothing of them back."""

import threading
from datetime import UTC, datetime
from uuid import UUID

import consent
from app.db import Sessions
from consent import erasure, restrictions, suppression
from consent.purposes import Purpose

ADA = ("email", "ada@example.org")
ERASURE = UUID(int=7)


def test_a_purpose_waits_for_an_erasure_and_copies_no_refusal_of_who_is_gone(
    sessions: Sessions,
) -> None:
    """Whoever refused the parent has refused it: who is being erased is nobody by then."""
    now = datetime.now(UTC)
    with sessions.begin() as session:
        no = consent.Choice(*ADA, "marketing", "refused", now, "client:crm")
        consent.record(session, [no], received_at=now)
        restrictions.restrict(
            session, [ADA], "objection", reason_ref="request:test", at=now, purpose_key="marketing"
        )

    def add() -> None:
        with sessions.begin() as session:
            consent.catalogue.add_purpose(session, Purpose("marketing.later", parent="marketing"))

    adding = threading.Thread(target=add)
    with sessions.begin() as session:
        suppression.write_lock(session)
        erasure.begun(session, ERASURE, reason_ref="request:test")
        erasure.forget(session, ERASURE, [ADA])
        adding.start()
        adding.join(1)  # longer than it takes where it does not wait
    adding.join(20)
    assert not adding.is_alive()
    with sessions() as session:
        assert consent.history(session, [ADA]) == []
        assert restrictions.of(session, [ADA]) == []
