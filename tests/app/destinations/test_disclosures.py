"""Check 32: a withdrawal of the 10th, learned of on the 12th, and what went out on the 11th."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents import explain
from app.destinations.disclosures import since_refused
from app.destinations.tables import Delivery, Destination
from consent.errors import ConsentRecordNotFound
from identity import graph, people

DAY = timedelta(days=1)
PURPOSE = "marketing.email"


def delivery(crm: Destination, person: int, kind: str, state: str, at: datetime) -> Delivery:
    return Delivery(
        destination_id=crm.id, message_id=uuid4(), person_id=person, profile_id=uuid4(), type=kind,
        payload={"segment": "s"}, state=state, due_at=at, created_at=at, ended_at=at,
    )  # fmt: skip


def test_32_a_withdrawal_learned_of_late_lists_what_was_sent_meanwhile(session: Session) -> None:
    twelfth = datetime.now(UTC)
    tenth, eleventh, first = twelfth - 2 * DAY, twelfth - DAY, twelfth - 11 * DAY
    person = graph.identify(session, [("user_id", "ada")])["user_id", "ada"]
    given = consent.Choice("user_id", "ada", PURPOSE, "given", first, "test")
    consent.record(session, [given], received_at=first)
    crm = Destination(
        name="crm", kind="webhook", url="https://crm.test/", secret="whsec_c2VjcmV0",
        purpose=PURPOSE, segments=["s"], enabled=True,
    )  # fmt: skip
    session.add(crm)
    session.flush()
    sent = delivery(crm, person, "segment.entered", "delivered", eleventh)
    before = delivery(crm, person, "segment.entered", "delivered", tenth - DAY)
    dropped = delivery(crm, person, "segment.entered", "dropped", eleventh)
    session.add_all([before, sent, dropped])
    session.flush()
    withdrawn = consent.Choice("user_id", "ada", PURPOSE, "withdrawn", tenth, "test")
    [record] = consent.record(session, [withdrawn], received_at=twelfth)

    [found] = since_refused(session, UUID(record.record_id))
    assert (found["message_id"], found["exit"]) == (str(sent.message_id), None)
    session.add(delivery(crm, person, "segment.exited", "waiting", twelfth))
    session.flush()
    [found] = since_refused(session, UUID(record.record_id))
    assert found["exit"] == "waiting"

    assert people.find(session, "user_id", "ada") == person
    allowed = [
        answer.decision.allow
        for known_at in (eleventh, datetime.now(UTC))
        for answer in explain.explain(
            session, person, person, at=eleventh, known_at=known_at, purpose=PURPOSE
        )
    ]
    assert allowed == [True, False], "as known then, and as known now"


def test_a_grant_has_no_such_list_and_no_record_is_not_found(session: Session) -> None:
    given = consent.Choice("user_id", "eve", PURPOSE, "given", datetime.now(UTC), "test")
    [record] = consent.record(session, [given], received_at=datetime.now(UTC))
    graph.identify(session, [("user_id", "eve")])
    assert since_refused(session, UUID(record.record_id)) == []
    with pytest.raises(ConsentRecordNotFound):
        since_refused(session, uuid4())
    assert session.scalar(sa.select(sa.func.count()).select_from(Delivery)) == 0
