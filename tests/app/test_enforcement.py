"""Every enforcement point (research/consent.md §2.7) keeps out who refused, and nobody else.

`tests/test_enforcement_holds.py` takes each of these decisions out of a copy of the product and
sees the test of its name fail.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

import consent
from app import pipeline
from app.access import sources
from app.access.tables import Source
from app.consents.record import record
from app.db import Sessions
from app.destinations import outbox, syncing
from app.destinations.deliver import RETRY_SECONDS, deliver
from app.destinations.tables import Delivery, Destination
from app.events import replay
from app.events.tables import RejectedEvent
from app.identities import explaining
from app.journeys.prediction_request import PredictionQuery
from app.journeys.snapshots import moments, take
from app.lake import copy
from app.lake.duckdb_engine import open_lake
from app.profiles import computed_traits, computing, read
from app.segments import members, refreshing
from consent import restrictions
from tests.end_to_end.conftest import Receiver, receiver

__all__ = ["receiver"]
PURPOSE = "analytics.audience"
RULE = {"event": "Order"}


class Two:
    """Somebody who allows the purpose and somebody who refused it, with an event each."""

    def __init__(self, server: TestClient, sessions: Sessions, key: str) -> None:
        self.server, self.sessions, self.key = server, sessions, key
        self.say("yes", "given")
        self.say("no", "given")
        for user in ("yes", "no"):
            traits = {"firstName": "Ada", "lastName": "Lovelace", "email": f"{user}@mail.net"}
            self.post("/v1/identify", userId=user, traits=traits)
            self.post("/v1/track", userId=user, event="Order")
        self.work()

    def post(self, path: str, **event: object) -> None:
        body = {**event, "writeKey": self.key}
        self.server.post(path, json=body).raise_for_status()

    def say(self, user: str, state: str, *purposes: str) -> None:
        with self.sessions.begin() as session:
            record(
                session,
                "user_id",
                user,
                dict.fromkeys(purposes or (PURPOSE, consent.LINK), state),
                collected_by="test",
                received_at=datetime.now(UTC),
            )

    def work(self) -> None:
        with self.sessions.begin() as session:
            while pipeline.step(session).more:
                pass

    def person(self, user: str) -> int:
        with self.sessions() as session:
            return read.find(session, f"user_id:{user}").person_id

    def segment(self) -> None:
        with self.sessions.begin() as session:
            made = members.create(session, key="s", name="S", purpose=PURPOSE, rule=RULE)
            pipeline.announce(
                session,
                refreshing.refresh(session, [made], now=datetime.now(UTC))[0],
                now=datetime.now(UTC),
            )

    def destination(self, url: str) -> None:
        with self.sessions.begin() as session:
            session.add(
                Destination(
                    name="crm", kind="webhook", url=url, secret="whsec_c2VjcmV0",
                    purpose=PURPOSE, segments=["s"], enabled=True,
                )
            )  # fmt: skip

    def queued(self) -> list[int]:
        with self.sessions() as session:
            query = sa.select(Delivery.person_id).where(Delivery.type == outbox.ENTERED)
            return sorted(session.scalars(query))


@pytest.fixture
def two(server: TestClient, sessions: Sessions, write_key: str) -> Two:
    return Two(server, sessions, write_key)


def test_e1_collect(two: Two) -> None:
    two.say("no", "withdrawn")
    with two.sessions.begin() as session:
        _, two.key = sources.add(session, "strict", collection_purpose=PURPOSE)
    for user in ("yes", "no"):
        two.post("/v1/track", userId=user, event="Second")
    with two.sessions() as session:
        query = "SELECT count(*) FROM app.event WHERE name = 'Second'"
        assert session.scalar(sa.text(query)) == 1


@pytest.mark.parametrize(("kind", "stored"), [("restriction", 2), ("objection", 1)])
def test_e1_hears_an_objection_and_stores_what_is_restricted(
    two: Two, kind: str, stored: int
) -> None:
    """GDPR art. 18(2) leaves storing alone; art. 21 does not."""
    with two.sessions.begin() as session:
        _, two.key = sources.add(session, "strict", collection_purpose=PURPOSE)
        restrictions.restrict(
            session, [("user_id", "no")], kind, reason_ref="a test", at=datetime.now(UTC),
            purpose_key=PURPOSE if kind == "objection" else None,
        )  # fmt: skip
    for user in ("yes", "no"):
        two.post("/v1/track", userId=user, event="Second")
    with two.sessions() as session:
        query = "SELECT count(*) FROM app.event WHERE name = 'Second'"
        assert session.scalar(sa.text(query)) == stored


def test_e3_link(two: Two) -> None:
    two.say("no", "withdrawn", consent.LINK)
    two.work()
    with two.sessions() as session:
        query = (
            "SELECT i.value FROM identity.matchable m "
            "JOIN identity.identifier i ON i.id = m.identifier_id"
        )
        assert set(session.scalars(sa.text(query))) == {"yes"}


def test_e4_compute(two: Two) -> None:
    two.say("no", "withdrawn")
    with two.sessions.begin() as session:
        computed_traits.put(
            session, key="orders", name="Orders", purpose=PURPOSE,
            definition={"kind": "count", **RULE},
        )  # fmt: skip
    while computing.advance(two.sessions):
        pass
    with two.sessions() as session:
        stored = session.scalars(sa.text("SELECT subject_id FROM app.computed_value"))
        assert set(stored) == {two.person("yes")}


def test_e4_read(two: Two) -> None:
    two.say("no", "withdrawn")
    with two.sessions.begin() as session:
        seen = [
            read.view(session, read.find(session, f"user_id:{user}"), PURPOSE).allowed
            for user in ("yes", "no")
        ]
    assert [bool(allowed) for allowed in seen] == [True, False]


def test_e5_segment(two: Two) -> None:
    two.say("no", "withdrawn")
    two.segment()
    with two.sessions() as session:
        query = "SELECT person_id FROM app.segment_member WHERE left_at IS NULL"
        assert list(session.scalars(sa.text(query))) == [two.person("yes")]


def test_e5_list(two: Two) -> None:
    two.segment()
    two.say("no", "withdrawn")
    with two.sessions() as session:
        page, _ = members.list_members(session, members.find(session, "s"), after=None, limit=9)
    assert [row.person_id for row in page] == [two.person("yes")]


def test_e6_build(two: Two) -> None:
    two.destination("http://127.0.0.1:9/")
    with two.sessions.begin() as session:
        delta = members.Delta("s", PURPOSE, (two.person("yes"), two.person("no")), ())
        two.say("no", "withdrawn")
        outbox.enqueue(session, delta, now=datetime.now(UTC))
    assert two.queued() == [two.person("yes")]


def test_e6_dequeue(two: Two, receiver: Receiver) -> None:
    two.destination(receiver.url)
    two.segment()
    assert len(two.queued()) == 2
    two.say("no", "withdrawn")
    with httpx.Client(trust_env=False) as client:
        while deliver(two.sessions, client):
            pass
    told = [json.loads(r.body)["data"]["identifiers"].get("user_id") for r in receiver.received]
    assert told == [["yes"]]


def test_e6_retry(two: Two, receiver: Receiver) -> None:
    receiver.answers = [500, 500]
    two.destination(receiver.url)
    two.segment()
    with httpx.Client(trust_env=False) as client:
        deliver(two.sessions, client)
        assert len(receiver.received) == 2
        two.say("no", "withdrawn")
        with two.sessions.begin() as session:
            session.execute(sa.update(Delivery).values(due_at=datetime.now(UTC)))
        while deliver(two.sessions, client):
            pass
    told = [json.loads(r.body)["data"]["identifiers"].get("user_id") for r in receiver.received[2:]]
    assert told == [["yes"]]


def test_e7_copy(two: Two, tmp_path: Path) -> None:
    copy.copy_new(two.sessions, tmp_path / "lake")
    two.say("no", "withdrawn")
    with two.sessions() as session, open_lake(session, tmp_path / "lake", PURPOSE) as lake:
        found = lake.connection.execute("SELECT DISTINCT person_id FROM event").fetchall()
        excluded = lake.excluded
    assert found == [(two.person("yes"),)]
    assert excluded == {"withdrawn": 1}


def test_e8_masks(two: Two) -> None:
    ids, fields = {}, {}
    with two.sessions.begin() as session:
        for user in ("yes", "no"):
            [ids[user]] = session.scalars(
                sa.text("SELECT id FROM identity.identifier WHERE value = :u"), {"u": user}
            )
            fields[ids[user]] = {"surname": "lovelace"}
    two.say("no", "withdrawn", consent.LINK)
    with two.sessions.begin() as session:
        shown, withheld = explaining.shown_fields(session, fields, consent.LINK)
        assert explaining.shown_fields(session, fields, PURPOSE)[0] == {}
    assert shown == {ids["yes"]: fields[ids["yes"]]}
    assert withheld == [{"what": "values", "reason": "withdrawn", "identifiers": 1}]


def test_e9_replay(two: Two, receiver: Receiver) -> None:
    """What was given up is sent again long after: whether it may be is asked then."""
    receiver.answers = [500] * 4
    two.destination(receiver.url)
    two.segment()
    with httpx.Client(trust_env=False) as client:
        deliver(two.sessions, client)
        last = len(RETRY_SECONDS)
        with two.sessions.begin() as session:
            session.execute(sa.update(Delivery).values(due_at=datetime.now(UTC), attempts=last))
        deliver(two.sessions, client)
        assert len(receiver.received) == 4
        two.say("no", "withdrawn")
        with two.sessions.begin() as session:
            [crm] = session.scalars(sa.select(Destination))
            assert syncing.replay(session, crm, now=datetime.now(UTC)) == 2
        while deliver(two.sessions, client):
            pass
    told = [json.loads(r.body)["data"]["identifiers"].get("user_id") for r in receiver.received[4:]]
    assert told == [["yes"]]


def test_e9_correct(two: Two) -> None:
    """A rejected event is collected, or not, by what stands when it is replayed."""
    two.post("/v1/batch", batch=[{"type": "track", "userId": user} for user in ("yes", "no")])
    two.say("no", "withdrawn")
    with two.sessions.begin() as session:
        session.execute(sa.update(Source).values(collection_purpose=PURPOSE))
        rows = session.execute(sa.select(RejectedEvent.id, RejectedEvent.payload)).all()
        for number, payload in rows:
            event = {**json.loads(payload or ""), "event": "Named"}
            replay.replay(
                session, number, event=event, largest=32_768, by="test", now=datetime.now(UTC)
            )
    assert len(rows) == 2
    with two.sessions() as session:
        found = session.scalars(sa.text("SELECT user_id FROM app.event WHERE name = 'Named'"))
        assert list(found) == ["yes"]


def test_learning_of_e10(two: Two, tmp_path: Path) -> None:
    copy.copy_new(two.sessions, tmp_path / "lake")
    two.say("no", "withdrawn")
    asked = {"outcome": {"event": "Order"}, "horizon": "P20D", "lookback": "P40D"}
    query = PredictionQuery.model_validate(asked)
    as_of = datetime.now(UTC) + timedelta(days=1)
    with two.sessions() as session, open_lake(session, tmp_path / "lake", PURPOSE) as lake:
        now = moments(query, as_of)[2]
        learnt = take(lake.connection, query, now, as_of, names=["Order"])
    assert [int(person) for person in learnt.people] == [two.person("yes")]
