"""Exempt audience measurement stays by itself (research/consent.md section 3, check 88)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app import pipeline
from app.access import sources
from app.db import Sessions
from app.lake import copy
from app.lake.duckdb_engine import open_lake
from app.retention import expire

EXEMPT = "audience.exempt"
WANTS = {"consent": {"categoryPreferences": {"marketing.email": True, "profile.link": True}}}


def test_88_exempt_data_join_nobody_are_in_no_segment_and_go_nowhere(
    server: TestClient, sessions: Sessions, tmp_path: Path, token: Callable[..., dict[str, str]]
) -> None:
    header = token(purposes=("marketing.email", EXEMPT))
    purpose = {"key": EXEMPT, "lawful_basis": "legitimate_interests", "linkable": False,
               "regime": "exempt_measurement"}  # fmt: skip
    assert server.post("/v1/purposes", json=purpose, headers=header).status_code == 201
    with sessions.begin() as session:
        exempt = sources.add(session, "counter", collection_purpose=EXEMPT)[1]
        web = sources.add(session, "web")[1]
    for key, purpose_key in (("buyers", "marketing.email"), ("counted", EXEMPT)):
        rule = {"trait": "plan", "op": "eq", "value": "gold"}
        segment = {"key": key, "name": key, "purpose": purpose_key, "rule": rule}
        answer = server.post("/v1/segments", json=segment, headers=header)
        assert answer.status_code == 201, answer.text
    hook = {"name": "mail", "kind": "webhook", "url": "https://mail.example/hook",
            "purpose": "marketing.email", "segments": ["buyers"]}  # fmt: skip
    answer = server.post("/v1/destinations", json=hook, headers=header)
    assert answer.status_code == 201, answer.text

    def send(key: str, who: str) -> None:
        body: dict[str, Any] = {
            "userId": who, "anonymousId": f"d-{who}", "context": WANTS, "writeKey": key,
            "traits": {"plan": "gold", "email": f"{who}@example.org"},
        }  # fmt: skip
        assert server.post("/v1/identify", json=body).json()["accepted"] == 1
        while True:
            with sessions.begin() as session:
                if pipeline.step(session).idle:
                    return

    send(web, "ada")
    send(exempt, "bob")
    copy.copy_new(sessions, tmp_path)

    with sessions() as session:
        rows = session.execute(sa.text("SELECT value, person_id FROM identity.current_person"))
        one: dict[str, int] = {row.value: row.person_id for row in rows}
        assert one["ada"] == one["d-ada"]
        assert one["bob"] != one["d-bob"]  # E3
        compared = session.scalar(sa.text("SELECT count(*) FROM identity.record"))
        assert compared == 1
        assert session.scalar(sa.text("SELECT count(*) FROM app.segment_member")) == 1  # E4
        assert session.scalar(sa.text("SELECT count(*) FROM app.delivery")) == 1  # E6
        with open_lake(session, tmp_path, EXEMPT) as lake:
            assert lake.events == 2  # counted, both: the basis is no consent
        with open_lake(session, tmp_path, "marketing.email") as lake:
            assert lake.events == 1
    query = {"purpose": "marketing.email"}
    known = server.get("/v1/profiles/user_id:bob", params=query, headers=header).json()
    assert known["traits"] == {}


class Counter:
    """A site that counts visits without consent, beside one that does not."""

    def __init__(self, server: TestClient, sessions: Sessions, header: dict[str, str]) -> None:
        self.server, self.sessions, self.header = server, sessions, header
        purpose = {"key": EXEMPT, "lawful_basis": "legitimate_interests", "linkable": False,
                   "regime": "exempt_measurement"}  # fmt: skip
        assert self.add(**purpose) == 201
        with sessions.begin() as session:
            self.exempt = sources.add(session, "counter", collection_purpose=EXEMPT)[1]
            self.web = sources.add(session, "web")[1]

    def add(self, **purpose: Any) -> int:
        return self.server.post("/v1/purposes", json=purpose, headers=self.header).status_code

    def send(self, call: str, key: str, **body: Any) -> int:
        answer = self.server.post(f"/v1/{call}", json={**body, "writeKey": key})
        self.work()
        return int(answer.json()["accepted"])

    def work(self) -> None:
        while True:
            with self.sessions.begin() as session:
                if pipeline.step(session).idle:
                    return


@pytest.fixture
def counter(
    server: TestClient, sessions: Sessions, token: Callable[..., dict[str, str]]
) -> Counter:
    return Counter(server, sessions, token(purposes=("later.use", EXEMPT)))


def test_88_a_purpose_that_is_added_later_reads_nothing_that_exempt_measurement_collected(
    counter: Counter, sessions: Sessions, tmp_path: Path
) -> None:
    for key, who in ((counter.web, "ada"), (counter.exempt, "bob")):
        traits = {"plan": "gold"}
        assert counter.send("identify", key, userId=who, traits=traits) == 1
        assert counter.send("group", key, userId=who, groupId="acme", traits=traits) == 1
        assert counter.send("track", key, userId=who, event="Seen") == 1
    assert counter.add(key="later.use", lawful_basis="contract") == 201
    rule = {"event": "Seen", "count": {"gte": 1}}
    segment = {"key": "seen", "name": "Seen", "purpose": "later.use", "rule": rule}
    answer = counter.server.post("/v1/segments", json=segment, headers=counter.header)
    assert answer.status_code == 201, answer.text
    counter.work()
    copy.copy_new(sessions, tmp_path)
    for who, events in (("ada", 3), ("bob", 0)):
        path = f"/v1/profiles/user_id:{who}"
        query = {"purpose": "later.use"}
        said = counter.server.get(path, params=query, headers=counter.header).json()
        assert said["traits"] == ({"plan": "gold"} if events else {})
        assert len(said["segments"]) == (1 if events else 0)
        told = counter.server.get(f"{path}/events", params=query, headers=counter.header).json()
        assert len(told["data"]) == events
    with sessions() as session:
        with open_lake(session, tmp_path, "later.use") as lake:
            assert lake.events == 3
        with open_lake(session, tmp_path, EXEMPT) as lake:
            assert lake.events == 6
        kept = "SELECT count(*) FROM app.trait UNION ALL SELECT count(*) FROM app.account_member"
        assert session.scalars(sa.text(kept)).all() == [1, 1], "nothing is made of them"


def test_88_what_exempt_measurement_collected_goes_after_25_months(
    counter: Counter, sessions: Sessions, tmp_path: Path
) -> None:
    """Without any rule, and whatever other purposes keep."""
    now = datetime.now(UTC)
    for key in (counter.web, counter.exempt):
        for days in (761, 759):
            at = (now - timedelta(days=days)).isoformat()
            counter.send("track", key, anonymousId="d-1", event=f"d{days}", timestamp=at)

    def left() -> list[str]:
        query = (
            "SELECT s.name || ' ' || e.name FROM app.event e JOIN app.source s ON s.id = "
            "e.source_id ORDER BY 1"
        )
        with sessions() as session:
            return list(session.scalars(sa.text(query)))

    copy.copy_new(sessions, tmp_path)
    before = left()
    assert before == ["counter d759", "counter d761", "web d759", "web d761"]
    kept = timedelta(days=30)
    tried = expire.run(sessions, tmp_path, rejected=kept, now=now, dry_run=True)
    assert tried is not None
    assert (tried.events, left()) == (1, before)
    done = expire.run(sessions, tmp_path, rejected=kept, now=now)
    assert done is not None
    assert (done.events, left()) == (1, ["counter d759", "web d759", "web d761"])
    with sessions() as session, open_lake(session, tmp_path, EXEMPT) as lake:
        assert lake.events == 3


def test_88_exempt_measurement_does_not_go_on_with_a_tracker_of_13_months(
    counter: Counter, sessions: Sessions
) -> None:
    device = {"anonymousId": "d-1", "event": "Seen"}
    assert counter.send("track", counter.exempt, **device) == 1
    older = "UPDATE identity.identifier SET first_seen_at = now() - CAST(:by AS interval)"
    for by, taken in (("394 days", 1), ("396 days", 0)):
        with sessions.begin() as session:
            session.execute(sa.text(older), {"by": by})
        assert counter.send("track", counter.exempt, **device) == taken
        assert counter.send("track", counter.web, **device) == 1
    with sessions() as session:
        query = "SELECT purpose, reason, denials FROM consent.denial WHERE use = 'collect'"
        assert session.execute(sa.text(query)).all() == [(EXEMPT, "tracker_expired", 1)]


@pytest.mark.parametrize(
    "wrong",
    [{"linkable": True}, {"lawful_basis": "consent"}, {"declared": {"retention_days": 761}}],
)
def test_88_what_does_not_meet_the_conditions_is_no_exempt_measurement(
    counter: Counter, wrong: dict[str, Any]
) -> None:
    purpose = {"key": "later.use", "lawful_basis": "legitimate_interests", "linkable": False,
               "regime": "exempt_measurement", "declared": {"retention_days": 760}}  # fmt: skip
    assert counter.add(**{**purpose, **wrong}) == 422
    assert counter.add(**purpose) == 201


@pytest.mark.parametrize("regime", ["exempt_measurement", "eu_optin"])
def test_what_was_collected_about_nobody_is_about_nobody_by_any_later_version(
    counter: Counter, regime: str
) -> None:
    purpose = {"key": "later.use", "lawful_basis": "legitimate_interests", "linkable": False}
    assert counter.add(**purpose, regime="exempt_measurement") == 201
    assert counter.add(**{**purpose, "linkable": True}, version=2, regime=regime) == 422
    assert counter.add(**purpose, version=2, regime=regime) == 201
    assert counter.add(**{**purpose, "linkable": True}, version=3, regime=regime) == 422
