"""Check 48: while what decides is away nothing is sent; after it everything is decided anew."""

import json
import threading
from datetime import UTC, datetime, timedelta
from time import sleep
from uuid import uuid4

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

import consent
from api.main import create_app
from app import db
from app.db import Sessions
from app.destinations import seal
from app.destinations.tables import Delivery, Destination
from app.jobs import Worker
from app.postgres import embedded
from app.settings import Settings
from identity import graph, people
from tests.end_to_end.conftest import Measure, Receiver
from tests.end_to_end.product import Product, wait_until

pytestmark = pytest.mark.long
EMAIL = "marketing.email"
PEOPLE = 20
#: Seconds from now: when messages are due, and when the consent of half of the people lapses. The
#: database is away by then: once it took more than two to stop, beside other work.
DUE, LAPSES = 15.0, 16.0


def test_48_while_the_database_is_away_nothing_is_sent_and_then_nothing_unasked(
    own_product: Product, receiver: Receiver, measure: Measure
) -> None:
    """Decisions are made in the database: there is no other service that could be stopped."""
    with embedded(own_product.data) as url:
        settings = Settings(database_url=url, data_dir=own_product.data, private_destinations=True)
        seal.use(settings)
        sessions = db.sessions(db.engine(url))
        begun = datetime.now(UTC)
        profiles = _fill(sessions, receiver.url)
        worker = Worker(sessions, settings, url)
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
        sleep(1)  # it has looked, and found nothing due
    assert datetime.now(UTC) < begun + timedelta(seconds=DUE), "the database took long to stop"
    while datetime.now(UTC) < begun + timedelta(seconds=LAPSES + 1):
        sleep(0.1)  # all are due, half may not be sent any more
    with TestClient(create_app(settings, sessions)) as server:
        assert server.get("/readyz").status_code == 503  # the alarm
        decision = "/v1/consents/decision?subject=user_id:u1&purpose=marketing.email"
        assert server.get(decision).status_code in (401, 503)
    assert receiver.received == []

    with embedded(own_product.data) as again:
        assert again == url
        waiting = sa.select(sa.func.count()).where(Delivery.state == "waiting")

        def nothing_waits() -> bool:
            with sessions() as session:
                return not session.scalar(waiting)

        wait_until(nothing_waits, 60, what="the worker has gone on")
        worker.stop()
        thread.join(20)
        with sessions() as session:
            states = sa.select(Delivery.state, sa.func.count()).group_by(Delivery.state)
            found = {state: count for state, count in session.execute(states)}
        sessions.kw["bind"].dispose()
    told = {json.loads(one.body)["data"]["profile_id"] for one in receiver.received}
    assert told == {profiles[n] for n in range(PEOPLE) if n % 2 == 0}
    assert found == {"delivered": PEOPLE // 2, "dropped": PEOPLE // 2}
    measure("sends that waited, and of these dropped", f"{PEOPLE}, {PEOPLE // 2}")


def _fill(sessions: Sessions, url: str) -> dict[int, str]:
    """Give everybody a consent and a message that is due soon; every other consent lapses."""
    now = datetime.now(UTC)
    ends = now + timedelta(seconds=LAPSES)
    with sessions.begin() as session:
        ids = graph.identify(session, [("user_id", f"u{n}") for n in range(PEOPLE)])
        choices = [
            consent.Choice(
                "user_id", f"u{n}", EMAIL, "given", ends - timedelta(days=1 + (n % 2 == 0)),
                "test", valid_days=3 if n % 2 == 0 else 1,
            )
            for n in range(PEOPLE)
        ]  # fmt: skip
        consent.record(session, choices, received_at=now)
        profiles = people.profile_ids(session, set(ids.values()))
        crm = Destination(
            name="crm", kind="webhook", url=url, secret="whsec_c2VjcmV0", purpose=EMAIL,
            segments=["s"], enabled=True,
        )  # fmt: skip
        session.add(crm)
        session.flush()
        rows = [
            {
                "destination_id": crm.id,
                "message_id": uuid4(),
                "person_id": ids["user_id", f"u{n}"],
                "profile_id": profiles[ids["user_id", f"u{n}"]],
                "type": "segment.entered",
                "payload": {"segment": "s"},
                "state": "waiting",
                "due_at": now + timedelta(seconds=DUE),
                "created_at": now,
            }
            for n in range(PEOPLE)
        ]
        session.execute(sa.insert(Delivery), rows)
    return {n: str(profiles[ids["user_id", f"u{n}"]]) for n in range(PEOPLE)}
