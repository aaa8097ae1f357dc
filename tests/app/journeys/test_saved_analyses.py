"""Analyses that are saved are asked again by the worker, and tell once what is beyond a bound."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from standardwebhooks.webhooks import Webhook

from app.journeys.alerting import BOUND
from app.lake import turns
from app.lake.turns import Bounds, Turns
from app.settings import Settings
from tests.app.destinations.world import EMAIL, World
from tests.app.journeys.saved_world import (
    FUNNEL,
    NOW,
    Token,
    alerts,
    look,
    save,
    see,
    told,
    world,
)
from tests.end_to_end.conftest import Receiver, receiver

__all__ = ["receiver", "world"]


def test_a_figure_beyond_its_bound_is_told_once_until_it_is_back(
    world: World, settings: Settings, receiver: Receiver
) -> None:
    made = world.destination(name="alarms", url=receiver.url, segments=["all"])
    saved = save(world)
    assert (saved["purpose"], saved["looked_at"], saved["open"]) == (EMAIL, None, 0)
    assert look(world, settings) == 1
    # Of the last week nobody ordered; of all time one of two has.
    [one] = alerts(world)
    assert (one["what"], one["found"]["value"], one["found"]["below"]) == (BOUND, 0.0, 0.5)
    receiver.answers = [500]
    assert told(world) == 0
    assert (told(world, hours=0.1), told(world, hours=0.2)) == (1, 0)
    first, second = receiver.received
    body = Webhook(made["secret"]).verify(second.body, second.headers)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == one["id"]
    assert (body["type"], body["data"]["saved_analysis"]) == ("analysis.alerted", "orders")
    assert (body["data"]["value"], body["data"]["query_id"]) == (0.0, one["found"]["query_id"])
    # It is asked again in an hour, and says the same: nothing new is told.
    assert (look(world, settings, hours=0.5), look(world, settings, hours=1.1)) == (0, 1)
    assert (len(alerts(world)), told(world, hours=1.2)) == (1, 0)
    see(world, "two", "Ordered", NOW)
    assert look(world, settings, hours=2.2) == 1
    [ended] = alerts(world)
    assert (ended["id"], ended["ended_at"] is None) == (one["id"], False)
    [listed] = world.get("/v1/saved-analyses")["data"]
    assert (listed["open"], listed["state"]["value"]) == (0, 0.5)
    assert listed["latest"] == ended
    answer = world.post("/v1/saved-analyses/orders/answers")
    assert answer["result"]["rates"]["raw"] == 0.5
    # The same again changes nothing; another bound forgets what was found, and is asked at once.
    assert save(world)["looked_at"] is not None
    beyond = {**FUNNEL, "alert": {"at": "/rates/raw", "above": 0.4}}
    assert save(world, beyond)["looked_at"] is None
    assert look(world, settings) == 1
    [high] = alerts(world)
    assert (high["found"]["above"], high["id"] != one["id"]) == (0.4, True)


def test_an_analysis_that_cannot_be_answered_says_why_and_tells_nothing(
    world: World, settings: Settings, receiver: Receiver
) -> None:
    nowhere = {**FUNNEL, "alert": {"at": "/rates/nowhere", "below": 1}}
    save(world, nowhere)
    look(world, settings)
    state = world.get("/v1/saved-analyses/orders")["state"]
    assert state["error"] == "there is no figure at /rates/nowhere"
    assert alerts(world) == []
    # The webhook may go meanwhile: it is on record that nobody was told.
    made = world.destination(name="alarms", url=receiver.url, segments=["all"])
    save(world)
    look(world, settings)
    world.server.delete(f"/v1/destinations/{made['id']}", headers=world.header).raise_for_status()
    assert told(world) == 0
    [one] = alerts(world)
    assert "alarms" in one["why_untold"]
    assert receiver.received == []


def test_an_analysis_that_needs_too_much_memory_says_so_here_and_when_it_is_asked(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_turns", Turns(Bounds(at_once=1, memory=200_000)))
    save(world, {**FUNNEL, "alert": None})
    look(world, settings)
    assert "needs more memory" in world.get("/v1/saved-analyses/orders")["state"]["error"]
    url = "/v1/saved-analyses/orders/answers"
    refused = world.server.post(url, headers=world.header)
    assert (refused.status_code, refused.json()["code"]) == (422, "analysis-too-large")
    assert "PARCOURS_ANALYSES_MEMORY_BYTES" in refused.json()["detail"]


def test_unusual_days_are_told_from_when_they_were_saved_on(
    world: World, settings: Settings
) -> None:
    # Thirty a day for ten weeks, on the first of them none, and yesterday seven.
    batch = []
    for day in range(70):
        at = (NOW - timedelta(days=day + 1)).replace(hour=12)
        n = {0: 7, 35: 2}.get(day, 30)
        batch += [
            {"type": "track", "userId": "one", "event": "Called", "timestamp": at.isoformat()}
            for _ in range(n)
        ]
    sent = {"writeKey": world.key, "batch": batch}
    world.server.post("/v1/import", json=sent).raise_for_status()
    world.work()
    unusual = {
        "name": "Calls",
        "analysis": "anomalies",
        "request": {"match": {"event": "Called"}, "count": "events", "purpose": EMAIL,
                    "confidence": 0.99},
        "alert": {"unusual": True},
    }  # fmt: skip
    save(world, unusual)
    look(world, settings)
    saved = world.get("/v1/saved-analyses/orders")
    yesterday = (NOW - timedelta(days=1)).date().isoformat()
    found = alerts(world)
    assert [(one["what"], one["found"]["value"]) for one in found] == [(f"low:{yesterday}", 7)]
    # What the rules raised before, that day of two calls with it, says what to expect of them.
    assert saved["state"]["back_test"]["alerts"] == 2
    assert saved["state"]["back_test"]["by_chance_per_year"] is not None
    look(world, settings, hours=1.1)
    assert len(alerts(world)) == 1


WRONG: Sequence[tuple[dict[str, Any], int]] = [
    ({"alert": {"at": "/rates/raw"}}, 422),
    ({"alert": {"unusual": True}}, 422),
    ({"alert": {"at": "/rates/raw", "above": 1, "below": 2}}, 422),
    ({"alert": {"at": "/rates/raw", "above": 1, "destination": "nowhere"}}, 422),
    ({"analysis": "guess"}, 422),
    ({"every": "PT1S"}, 422),
    ({"last": "P999999999D"}, 422),
    ({"last": "P900000D"}, 422),
    ({"name": "a\u0000b"}, 422),
    ({"request": {**FUNNEL["request"], "steps": [{"event": "a\u0000b"}] * 2}}, 422),
    ({"request": {"steps": FUNNEL["request"]["steps"], "purpose": 5}}, 422),
    ({"request": {**FUNNEL["request"], "journey": "x\u0000"}}, 422),
    ({"alert": {"at": "/rates/raw", "above": 1, "destination": "a\u0000b"}}, 422),
    ({"request": {**FUNNEL["request"], "range": {}}}, 422),
    ({"request": {**FUNNEL["request"], "as_of": "2026-01-01"}, "last": None}, 422),
    ({"request": {"steps": []}}, 422),
    ({"request": {**FUNNEL["request"], "journey": "nowhere"}}, 404),
    ({"request": {**FUNNEL["request"], "purpose": "measure"}}, 403),
]


def test_what_cannot_be_asked_or_told_is_refused(server: TestClient, token: Token) -> None:
    header = token(purposes=(EMAIL,))
    for wrong, status in WRONG:
        asked = {**FUNNEL, "alert": None, **wrong}
        answer = server.put("/v1/saved-analyses/orders", json=asked, headers=header)
        assert answer.status_code == status, answer.text


def test_a_saved_analysis_is_for_clients_of_its_purpose_and_scopes(
    world: World, token: Token
) -> None:
    by_trait = {**FUNNEL["request"], "breakdown": {"trait": "email"}}
    save(world, {**FUNNEL, "alert": None, "request": by_trait})
    other = token("journeys:read", "journeys:write", "profiles:read", purposes=("a.b",))
    plain = token("journeys:read", "journeys:write", purposes=(EMAIL,))
    for header, code in ((other, "purpose-not-allowed"), (plain, "insufficient-scope")):
        url = "/v1/saved-analyses/orders"
        answers = [
            world.server.get(url, headers=header),
            world.server.get(f"{url}/alerts", headers=header),
            world.server.post(f"{url}/answers", headers=header),
            world.server.put(url, json={**FUNNEL, "alert": None}, headers=header),
            world.server.delete(url, headers=header),
        ]
        assert {one.json()["code"] for one in answers} == {code}
        assert world.server.get("/v1/saved-analyses", headers=header).json() == {"data": []}
    gone = world.server.delete("/v1/saved-analyses/orders", headers=world.header)
    assert gone.status_code == 204
    again = world.server.get("/v1/saved-analyses/orders", headers=world.header)
    assert again.json()["code"] == "saved-analysis-not-found"


def test_kpis_of_a_map_have_live_figures(world: World, token: Token) -> None:
    query = {"analysis": "funnel", "request": FUNNEL["request"]}
    journey = {
        "key": "shop", "name": "Shop", "purpose": EMAIL,
        "stages": [{"id": "look", "order": 1}], "channels": ["web"],
        "touchpoints": [
            {"id": "page", "stage": "look", "channel": "web", "match": {"event": "Viewed"}}
        ],
        "kpis": [
            {"id": "orders", "target": 0.5, "query": query, "at": "/rates/raw"},
            {"id": "few", "target": 0.4, "direction": "down", "query": query, "at": "/rates/raw"},
            {"id": "second", "query": query, "at": "/steps/1/n"},
            {"id": "nowhere", "query": query, "at": "/steps/9/n"},
            {"id": "elsewhere", "target": 3},
            {"id": "none", "query": {"analysis": "guess", "request": {}}, "at": "/x"},
            {"id": "wrong", "query": {"analysis": "funnel", "request": {"steps": 1}}, "at": "/x"},
            {"id": "other", "at": "/rates/raw",
             "query": {"analysis": "funnel", "request": {**FUNNEL["request"], "purpose": "a.b"}}},
        ],
    }  # fmt: skip
    world.post("/v1/journeys", journey)
    found = {one["id"]: one for one in world.get("/v1/journeys/shop/kpis")["data"]}
    assert [(found[one]["value"], found[one]["reached"]) for one in ("orders", "few")] == [
        (0.5, True), (0.5, False),
    ]  # fmt: skip
    assert (found["second"]["value"], found["second"]["reached"]) == (1, None)
    assert found["nowhere"]["error"] == "there is no figure at /steps/9/n"
    assert (found["elsewhere"]["value"], found["elsewhere"]["error"]) == (None, None)
    assert "guess" in found["none"]["error"]
    assert found["wrong"]["error"].startswith("the query is none")
    assert found["other"]["error"].startswith("purpose-not-allowed")
    asked = f"/v1/analyses/{found['second']['query_id']}/profiles"
    assert world.get(asked, bucket="step:2")["n_profiles"] == 1
    # What came in is in the figure at the next look.
    see(world, "two", "Ordered", NOW - timedelta(days=3))
    again = {one["id"]: one for one in world.get("/v1/journeys/shop/kpis")["data"]}
    assert again["second"]["value"] == 2
    other = token(purposes=("a.b",))
    refused = world.server.get("/v1/journeys/shop/kpis", headers=other)
    assert (refused.status_code, refused.json()["code"]) == (403, "purpose-not-allowed")


def test_messages_hold_figures_and_nobody(
    world: World, settings: Settings, receiver: Receiver
) -> None:
    world.destination(name="alarms", url=receiver.url, segments=["all"])
    save(world)
    look(world, settings)
    assert told(world) == 1
    said = json.loads(receiver.received[0].body)
    assert set(said["data"]) == {
        "alert", "saved_analysis", "name", "analysis", "purpose", "at", "value", "below",
        "query_id",
    }  # fmt: skip
