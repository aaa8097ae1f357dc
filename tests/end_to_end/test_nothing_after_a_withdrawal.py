"""Check 46: ten thousand sends wait, people withdraw, and nothing arrives after the commit."""

import json
import random
import threading
from datetime import UTC, datetime
from time import monotonic, sleep
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa

import consent
from app.consents.record import record
from app.db import Sessions
from app.destinations.deliver import deliver
from app.destinations.tables import Delivery, Destination
from identity import graph, people
from tests.end_to_end.conftest import Measure, Receiver

pytestmark = pytest.mark.long
SENDS, PEOPLE = 10_000, 50
EMAIL = "marketing.email"


def test_46_nothing_arrives_after_a_withdrawal_was_committed(
    sessions: Sessions, receiver: Receiver, measure: Measure
) -> None:
    profiles = _fill(sessions, receiver.url)
    stop = threading.Event()
    workers = [threading.Thread(target=_work, args=(sessions, stop)) for _ in range(2)]
    for worker in workers:
        worker.start()
    committed: dict[str, float] = {}
    dice = random.Random(46)  # noqa: S311 -- a shuffle, no secret
    users = list(profiles)
    dice.shuffle(users)
    for user in users:
        while len(receiver.received) < len(committed) * 3:
            sleep(0.001)
        sleep(dice.random() * 0.02)
        with sessions.begin() as session:
            record(
                session, "user_id", user, {EMAIL: "withdrawn"}, collected_by="test",
                received_at=datetime.now(UTC),
            )  # fmt: skip
        committed[profiles[user]] = monotonic()
    _wait_until_nothing_waits(sessions)
    stop.set()
    for worker in workers:
        worker.join()
    late = [
        r.at - committed[profile]
        for r in receiver.received
        for profile in [json.loads(r.body)["data"]["profile_id"]]
        if r.at > committed[profile]
    ]
    measure("sends that arrived", len(receiver.received))
    measure("sends that were dropped", _dropped(sessions))
    assert not late
    assert len(receiver.received) > PEOPLE, "people withdrew while messages were going out"
    assert len(receiver.received) + _dropped(sessions) == SENDS


def _fill(sessions: Sessions, url: str) -> dict[str, str]:
    """Give everybody consent and many messages; return the profile of each."""
    users = [f"u{n}" for n in range(PEOPLE)]
    now = datetime.now(UTC)
    with sessions.begin() as session:
        ids = graph.identify(session, [("user_id", u) for u in users])
        choices = [consent.Choice("user_id", u, EMAIL, "given", now, "test") for u in users]
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
                "person_id": ids["user_id", users[n % PEOPLE]],
                "profile_id": profiles[ids["user_id", users[n % PEOPLE]]],
                "type": "segment.entered",
                "payload": {"segment": "s"},
                "state": "waiting",
                "due_at": now,
                "created_at": now,
            }
            for n in range(SENDS)
        ]
        session.execute(sa.insert(Delivery), rows)
    return {u: str(profiles[ids["user_id", u]]) for u in users}


def _work(sessions: Sessions, stop: threading.Event) -> None:
    with httpx.Client(trust_env=False) as client:
        while not stop.is_set():
            deliver(sessions, client)


def _wait_until_nothing_waits(sessions: Sessions) -> None:
    query = sa.select(sa.func.count()).where(Delivery.state == "waiting")
    while True:
        with sessions() as session:
            if not session.scalar(query):
                return
        sleep(0.2)


def _dropped(sessions: Sessions) -> int:
    query = sa.select(sa.func.count()).where(Delivery.state == "dropped")
    with sessions() as session:
        return session.scalar(query) or 0
