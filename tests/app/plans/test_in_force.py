"""Events put to the plan of their source as they arrive: accepted, mended or refused."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

import consent
from app.access import sources
from app.db import Sessions
from app.imports.load import load
from app.plans import in_force, versions, violations
from tests.app.plans.events import BAD, NOW, Publish, Send, query, track


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


def test_publishing_under_load_loses_nothing_and_holds_within_two_seconds(
    publish: Publish,
    send: Send,
    sessions: Sessions,
    servers: tuple[TestClient, TestClient],
    monkeypatch: pytest.MonkeyPatch,
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
            answers.append((started, send(*batch, to=servers[sender % 2])))
            n += 1

    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(load, sender) for sender in range(4)]
        time.sleep(1.0)
        publish("reject")
        published = time.monotonic()
        # Beside other work a request can take longer than this.
        while time.monotonic() < published + 60 and answers[-1][0] < published + 2.5:
            time.sleep(0.1)
        stop.set()
        for job in jobs:
            job.result()
    assert {a["received"] for _, a in answers} == {10}
    accepted = sum(a["accepted"] for _, a in answers)
    refused = sum(len(a["rejected"]) for _, a in answers)
    assert accepted + refused == 10 * len(answers)
    assert query(sessions, "SELECT count(*) FROM app.event") == [(accepted,)]
    counted = "SELECT sum(events)::bigint FROM app.tally WHERE outcome = 'rejected'"
    assert query(sessions, counted) == [(refused,)]
    [(kept,)] = query(sessions, "SELECT count(*) FROM app.rejected_event")
    assert min(refused, 1000) <= kept <= refused  # beyond 1,000 a minute they are only counted
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
    assert "ada@" not in answer.text
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


def test_a_refused_event_is_replayed_past_the_plan_that_holds_then(
    publish: Publish, send: Send, sessions: Sessions, server: TestClient, token: Any
) -> None:
    header = token("sources:admin")
    publish("reject")
    send(track(BAD, messageId="m-1"))
    [(number,)] = query(sessions, "SELECT id FROM app.rejected_event")
    route = f"/v1/rejected-events/{number}/replay"
    again = server.post(route, headers=header)
    assert (again.json()["outcome"], again.json()["code"]) == ("rejected", "plan_violation")
    publish("drop")
    assert server.post(route, headers=header).json()["outcome"] == "accepted"
    assert query(sessions, "SELECT properties, message_id FROM app.event") == [
        ({"revenue": 1}, "m-1")
    ]
    assert query(sessions, "SELECT state FROM app.rejected_event") == [("replayed",)]
    outcomes = query(sessions, "SELECT outcome, sum(events) FROM app.tally GROUP BY 1 ORDER BY 1")
    assert [(outcome, int(events)) for outcome, events in outcomes] == [
        ("rejected", 1), ("replayed", 1)
    ]  # fmt: skip


def test_an_import_is_put_to_the_plan_too(publish: Publish, sessions: Sessions) -> None:
    publish("reject")
    with sessions() as session:
        source = sources.settings_of(sources.find(session, "web"))
    report = load(sessions, source, [track({"id": "a"}), track(BAD)])
    assert (report.accepted, dict(report.rejected)) == (1, {"plan_violation": 1})
    assert query(sessions, "SELECT code FROM app.rejected_event") == [("plan_violation",)]
