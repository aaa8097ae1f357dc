"""Events put to the plan of their source as they arrive: accepted, mended, refused, counted."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

import consent
from app.access import sources
from app.db import Sessions
from app.plans import in_force, versions, violations
from app.plans.tables import PlanViolation

ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "string"}, "revenue": {"type": "number"}},
    "additionalProperties": False,
}
NOW = datetime.now(UTC)
Send = Callable[..., Any]
Publish = Callable[..., None]


def track(properties: dict[str, Any], name: str = "Order", **fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": name, "userId": "u-1", "properties": properties, **fields}


@pytest.fixture
def publish(sessions: Sessions, write_key: str, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Publish a plan for the source `web`; in force at once, without the two seconds."""
    monkeypatch.setattr(in_force, "SECONDS", 0.0)

    def make(mode: str = "observe", *, unplanned: str = "observe", **rule: Any) -> None:
        rules = [{"type": "track", "event": "Order", "properties": ORDER}, *rule.get("more", [])]
        definition = {"mode": mode, "unplanned_events": unplanned, "rules": rules}
        with sessions.begin() as session:
            if versions.list_page(session):
                versions.edit(session, "shop", title="Shop", definition=definition)
            else:
                versions.create(session, key="shop", title="Shop", definition=definition)
            versions.publish(session, "shop")
            versions.attach(session, "shop", "web")

    return make


@pytest.fixture
def send(server: TestClient, write_key: str) -> Send:
    """Send a batch and return the answer's body."""

    def post(*events: dict[str, Any], key: str = write_key) -> Any:
        answer = server.post("/v1/batch", json={"batch": events, "writeKey": key})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return post


def query(sessions: Sessions, text: str) -> list[Any]:
    with sessions() as session:
        return [tuple(row) for row in session.execute(sa.text(text))]


def compact(sessions: Sessions) -> int:
    with sessions.begin() as session:
        return violations.compact(session)


@pytest.fixture
def listed(server: TestClient, token: Any) -> Callable[..., Any]:
    """List the violations of the plan."""
    header = token("sources:admin")

    def get(**parameters: Any) -> Any:
        answer = server.get("/v1/tracking-plans/shop/violations", params=parameters, headers=header)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return get


BAD = {"id": 7, "revenue": 1, "colour": "red"}


def test_observing_accepts_as_it_came_and_counts(
    publish: Publish, send: Send, listed: Any, sessions: Sessions
) -> None:
    publish("observe")
    answer = send(track({"id": "a"}), track(BAD, messageId="m-1"), track({}, name="Other"))
    assert (answer["accepted"], answer["rejected"]) == (3, [])
    assert [p for (p,) in query(sessions, "SELECT properties FROM app.event ORDER BY received_at")][
        1
    ] == BAD
    found = listed()
    assert [(v["event"], v["pointer"], v["keyword"], v["events"]) for v in found["data"]] == [
        ("Order", "/properties/colour", "additionalProperties", 1),
        ("Order", "/properties/id", "type", 1),
        ("Other", "", "unplanned_event", 1),
    ]
    assert found["totals"] == {"violations": 3, "observed": 3, "dropped": 0, "rejected": 0}
    assert {v["message_id"] for v in found["data"] if v["event"] == "Order"} == {"m-1"}


def test_dropping_stores_the_rest(
    publish: Publish, send: Send, listed: Any, sessions: Sessions
) -> None:
    publish("drop")
    answer = send(track(BAD), track({"revenue": 1}))
    assert (answer["accepted"], answer["rejected"]) == (2, [])
    rows = query(sessions, "SELECT properties FROM app.event ORDER BY received_at")
    assert rows == [({"revenue": 1},), ({"revenue": 1},)]
    assert {(v["pointer"], v["keyword"], v["action"]) for v in listed()["data"]} == {
        ("/properties/colour", "additionalProperties", "dropped"),
        ("/properties/id", "type", "dropped"),
        ("/properties/id", "required", "observed"),
    }


def test_rejecting_refuses_with_the_places_and_keeps_it_as_a_rejected_event(
    publish: Publish, send: Send, listed: Any, sessions: Sessions
) -> None:
    publish("reject", unplanned="reject")
    answer = send(
        track({"id": "a"}), track(BAD, messageId="m-1"), track({}, name="Nonsense"), track({})
    )
    assert (answer["received"], answer["accepted"]) == (4, 1)
    assert [(r["index"], r["code"]) for r in answer["rejected"]] == [
        (1, "plan_violation"), (2, "plan_violation"), (3, "plan_violation")
    ]  # fmt: skip
    first = answer["rejected"][0]
    assert first["message_id"] == "m-1"
    for part in ("shop", "/properties/id type", "/properties/colour additionalProperties"):
        assert part in first["message"]
    assert listed()["totals"]["rejected"] == 4
    kept = query(sessions, "SELECT code, payload FROM app.rejected_event ORDER BY id")
    assert [code for code, _ in kept] == ["plan_violation"] * 3
    again = json.loads(kept[0][1])
    assert (again["event"], again["properties"], again["userId"]) == ("Order", BAD, "u-1")
    # Mended, it is accepted under its own message id.
    assert send({**again, "properties": {"id": "7"}})["accepted"] == 1


def test_a_source_without_a_plan_is_not_checked(
    publish: Publish, send: Send, sessions: Sessions
) -> None:
    publish("reject", unplanned="reject")
    with sessions.begin() as session:
        _, other = sources.add(session, "other")
    assert send(track(BAD), key=other)["accepted"] == 1
    assert query(sessions, "SELECT * FROM app.plan_violation_arrival") == []


def test_a_duplicate_and_a_denied_event_count_nothing(
    publish: Publish, send: Send, listed: Any, sessions: Sessions
) -> None:
    publish("observe")
    event = track(BAD, messageId="m-1")
    assert send(event, event)["duplicates"] == 1
    assert send(event)["duplicates"] == 1
    assert listed()["totals"]["violations"] == 2
    with sessions.begin() as session:
        sources.find(session, "web").collection_purpose = "analytics.audience"
    time.sleep(2.1)  # so long may the server remember the source
    answer = send(track(BAD))
    assert answer["rejected"][0]["code"] == "consent_denied"
    assert listed()["totals"]["violations"] == 2
    publish("reject")
    answer = send(track(BAD))
    assert answer["rejected"][0]["code"] == "consent_denied"
    assert listed()["totals"]["violations"] == 2
    assert query(sessions, "SELECT * FROM app.rejected_event WHERE code = 'plan_violation'") == []


def test_what_a_refused_event_says_of_consent_counts(
    publish: Publish, send: Send, sessions: Sessions
) -> None:
    publish("reject", unplanned="reject")
    stamp = {"consent": {"categoryPreferences": {"marketing.email": False}}}
    assert send(track(BAD, context=stamp))["accepted"] == 0
    banner = {"consent": {"categoryPreferences": {"analytics.audience": False}}}
    answer = send(track({"x": 1}, name="Segment Consent Preference Updated", context=banner))
    assert answer["accepted"] == 1
    with sessions() as session:
        records = consent.history(session, [("user_id", "u-1")])
        assert {(r.purpose, r.state) for r in records} >= {
            ("marketing.email", "refused"), ("analytics.audience", "refused")
        }  # fmt: skip


def test_a_dropped_address_identifies_nobody(
    publish: Publish, send: Send, sessions: Sessions
) -> None:
    traits = {"properties": {"email": {"const": "x"}, "phone": {"type": "string"}}}
    publish("drop", more=[{"type": "identify", "traits": traits}])
    email = {"type": "identify", "userId": "u-1", "traits": {"email": "ada@example.org", "a": 1}}
    named = [{"id": "bob@example.org", "type": "email", "collection": "users", "encoding": "none"}]
    both = {
        "type": "identify", "userId": "u-2", "traits": {"email": "bob@example.org"},
        "context": {"externalIds": named, "traits": {"email": "bob@example.org"}},
    }  # fmt: skip
    assert send(email, both)["accepted"] == 2
    known = query(sessions, "SELECT namespace, value FROM identity.identifier ORDER BY 1, 2")
    assert known == [("email", "bob@example.org"), ("user_id", "u-1"), ("user_id", "u-2")]
    rows = query(sessions, "SELECT properties, context FROM app.event ORDER BY received_at")
    assert rows[0] == ({"a": 1}, {})
    assert rows[1] == ({}, {"externalIds": named, "traits": {}})


def test_nothing_a_person_said_is_in_the_violations(
    publish: Publish, send: Send, sessions: Sessions, listed: Any
) -> None:
    publish("observe")
    send(
        track({"id": {"ada@example.org": "secret"}, "ada@example.org": "secret"}),
        track({"id": ["secret"], "secret 0612345678": 1, "revenue": "secret"}),
        track({}, name="Mail to ada@example.org"),
        track({}, name="Call 0612345678"),
        track({"id": "a"}, context={"ip": "secret"}, userId="secret"),
    )
    assert len(listed()["data"]) >= 4
    for _ in range(2):
        text = repr(query(sessions, "SELECT * FROM app.plan_violation")) + repr(
            query(sessions, "SELECT * FROM app.plan_violation_arrival")
        )
        assert "type" in text
        for secret in ("secret", "ada", "06123"):
            assert secret not in text
        compact(sessions)


def test_counts_are_right_with_many_writers_at_once_and_a_compaction_between_them(
    publish: Publish, send: Send, sessions: Sessions, listed: Any
) -> None:
    publish("observe")
    batches = [
        [track(BAD, messageId=f"m-{n}-{k}") for k in range(20)] for n in range(12)
    ] * 2  # each is sent twice: the second time it is a duplicate

    done = threading.Event()

    def compacting() -> None:
        while not done.is_set():
            compact(sessions)

    with ThreadPoolExecutor(7) as pool:
        job = pool.submit(compacting)
        answers = list(pool.map(lambda batch: send(*batch), batches))
        done.set()
        job.result()
    assert sum(a["accepted"] for a in answers) == 240
    assert [v["events"] for v in listed()["data"]] == [240, 240]
    while compact(sessions):
        pass
    assert query(sessions, "SELECT count(*) FROM app.plan_violation_arrival") == [(0,)]
    found = listed()
    assert [v["events"] for v in found["data"]] == [240, 240]
    assert found["totals"]["violations"] == 480
    assert all(v["first_at"] <= v["last_at"] for v in found["data"])


def test_invented_names_fill_no_table_and_are_counted_all_the_same(
    publish: Publish, send: Send, sessions: Sessions, listed: Any
) -> None:
    publish("observe")
    words = [a + b for a in "abcdefghijklmnop" for b in "abcdefghijklmnopqr"]
    for half in (words[:150], words[150:]):
        send(*(track({}, name=f"Event {word}") for word in half))
        send(*(track({"id": "x", f"p{word}": 1}) for word in half))
        arrived = query(sessions, "SELECT count(*) FROM app.plan_violation_arrival")
        compact(sessions)
        assert arrived[0][0] <= 2 * (violations.MOST_INVENTED + 1)
    send(track({"id": 3}))
    compact(sessions)
    [(rows, invented)] = query(
        sessions, "SELECT count(*), count(*) FILTER (WHERE invented) FROM app.plan_violation"
    )
    assert invented == violations.MOST_INVENTED
    assert rows <= invented + 3
    found = listed(limit=1000)
    assert found["totals"]["violations"] == 2 * len(words) + 1
    others = {(v["event"], v["pointer"]) for v in found["data"] if v["events"] > 1}
    assert others == {("(other)", ""), ("Order", "/properties/*")}
    assert listed(keyword="type")["data"][0]["pointer"] == "/properties/id"


def test_violations_are_filtered_and_paged(
    publish: Publish, send: Send, sessions: Sessions, listed: Any
) -> None:
    publish("observe")
    send(track(BAD), track({"id": "x", "revenue": "y"}), track({}, name="Other"))
    publish("drop")
    send(track(BAD))
    compact(sessions)
    send(track(BAD))
    whole = listed()["data"]
    assert [v["version"] for v in whole] == [1, 1, 1, 1, 2, 2]
    paged: list[Any] = []
    cursor = None
    while not paged or cursor:
        page = listed(limit=2, **({"cursor": cursor} if cursor else {}))
        paged += page["data"]
        cursor = page["next_cursor"]
    assert paged == whole
    assert [v["events"] for v in listed(version=2)["data"]] == [2, 2]
    assert [v["event"] for v in listed(event="Other")["data"]] == ["Other"]
    assert listed(action="dropped")["totals"] == {
        "violations": 4, "observed": 0, "dropped": 4, "rejected": 0
    }  # fmt: skip
    assert listed(source="none")["data"] == []
    assert listed(type="page")["data"] == []
    past = (NOW - timedelta(days=2)).isoformat()
    assert listed(until=past)["data"] == []
    assert len(listed(since=past)["data"]) == len(whole)


def test_old_violations_are_forgotten_and_those_of_a_deleted_plan_go_with_it(
    publish: Publish, send: Send, sessions: Sessions
) -> None:
    publish("observe")
    send(track(BAD))
    compact(sessions)
    with sessions.begin() as session:
        session.execute(
            sa.update(PlanViolation)
            .where(PlanViolation.keyword == "type")
            .values(hour=NOW - timedelta(days=91))
        )
        violations.forget(session, now=NOW)
    left = query(sessions, "SELECT keyword FROM app.plan_violation")
    assert left == [("additionalProperties",)]
    send(track(BAD))
    with sessions.begin() as session:
        versions.detach(session, "shop", "web")
        versions.remove(session, "shop")
    assert compact(sessions) == 2
    for table in ("plan_violation", "plan_violation_arrival", "tracking_plan_version"):
        assert query(sessions, f"SELECT * FROM app.{table}") == []  # noqa: S608 -- ours


def test_publishing_under_load_loses_nothing_and_holds_within_two_seconds(
    publish: Publish, send: Send, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("observe")
    monkeypatch.setattr(in_force, "SECONDS", 2.0)
    stop = threading.Event()
    answers: list[tuple[float, dict[str, Any]]] = []

    def load(sender: int) -> None:
        n = 0
        while not stop.is_set():
            batch = [track(BAD, messageId=f"{sender}-{n}-{k}") for k in range(10)]
            started = time.monotonic()
            answers.append((started, send(*batch)))
            n += 1

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(load, sender) for sender in range(3)]
        time.sleep(1.0)
        publish("reject")
        published = time.monotonic()
        time.sleep(3.0)
        stop.set()
        for job in jobs:
            job.result()
    assert {a["received"] for _, a in answers} == {10}
    accepted = sum(a["accepted"] for _, a in answers)
    refused = sum(len(a["rejected"]) for _, a in answers)
    assert accepted + refused == 10 * len(answers)
    assert query(sessions, "SELECT count(*) FROM app.event") == [(accepted,)]
    assert query(sessions, "SELECT count(*) FROM app.rejected_event") == [(refused,)]
    late = [a for started, a in answers if started > published + 2.0]
    assert late
    assert all(a["accepted"] == 0 for a in late)
    assert accepted > 0
    with sessions() as session:
        plan = versions.find(session, "shop")
        wanted = violations.Wanted(since=NOW - timedelta(hours=1), until=NOW + timedelta(hours=2))
        assert violations.totals(session, plan, wanted) == {
            "violations": 2 * (accepted + refused),
            "observed": 2 * accepted, "dropped": 0, "rejected": 2 * refused,
        }  # fmt: skip


def test_a_plan_inferred_from_what_arrived_fits_what_arrives(
    server: TestClient, token: Any, send: Send, listed: Any, publish: Publish
) -> None:
    header = token("sources:admin")
    events = [
        track({"id": f"o-{n}", "revenue": n * 1.5, "currency": ("EUR", "USD")[n % 2]},
              userId=f"u-{n % 25}")
        for n in range(120)
    ]  # fmt: skip
    person = {"type": "identify", "userId": "u-1", "traits": {"email": "ada@example.org"}}
    send(*events, *[person] * 6, {"type": "alias", "userId": "u-1", "previousId": "x"})
    answer = server.post("/v1/tracking-plans/infer", json={"source": "web"}, headers=header)
    proposal = answer.json()
    assert (proposal["events"], proposal["left_out"]) == (126, 0)
    assert "ada" not in answer.text
    assert "o-1" not in answer.text
    order, identify = sorted(
        proposal["definition"]["rules"], key=lambda rule: rule["type"], reverse=True
    )
    assert order["properties"]["required"] == ["currency", "id", "revenue"]
    assert order["properties"]["properties"]["currency"]["enum"] == ["EUR", "USD"]
    assert order["properties"]["properties"]["revenue"] == {"type": "number", "x-seen": 120}
    assert identify["traits"]["properties"]["email"]["format"] == "email"
    publish()  # makes the plan that the proposal replaces
    body = {"title": "Shop", "definition": proposal["definition"]}
    assert server.put("/v1/tracking-plans/shop", json=body, headers=header).status_code == 200
    assert server.post("/v1/tracking-plans/shop/publish", headers=header).status_code == 200
    assert send(*events, person)["accepted"] == 121
    assert listed()["data"] == []
    send(track({"id": "o"}))
    assert {v["keyword"] for v in listed()["data"]} == {"required"}
