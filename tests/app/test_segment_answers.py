"""What the API says of segments: before they are saved, why somebody is in, who came and went."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app import pipeline
from app.db import Sessions
from app.segments import members, names

EMAIL = "marketing.email"


@pytest.fixture
def sent(server: TestClient, sessions: Sessions, write_key: str) -> Callable[..., None]:
    """Send an event of somebody and have the pipeline take it."""

    def send(user: str, event: str, *, agrees: bool = True, **traits: Any) -> None:
        context = {"consent": {"categoryPreferences": {EMAIL: agrees}}}
        common = {"userId": user, "context": context, "writeKey": write_key}
        if traits:
            server.post("/v1/identify", json={**common, "traits": traits}).raise_for_status()
        server.post("/v1/track", json={**common, "event": event}).raise_for_status()
        with sessions.begin() as session:
            pipeline.step(session)

    return send


def test_a_preview_says_whom_a_rule_would_select_and_what_was_meant(
    server: TestClient, token: Callable[..., dict[str, str]], sent: Callable[..., None]
) -> None:
    header = token(purposes=(EMAIL,))
    for user in ("ada", "bea", "cleo"):
        sent(user, "Order Completed", agrees=user != "cleo", country="FR")
    rule: dict[str, Any] = {
        "all": [{"event": "Order Completed"}, {"trait": "country", "value": "FR"}]
    }

    def preview(rule: dict[str, Any], header: dict[str, str] = header) -> Any:
        body = {"purpose": EMAIL, "rule": rule}
        return server.post("/v1/segments/preview", json=body, headers=header)

    found = preview(rule).json()
    assert (found["size"], len(found["examples"]), found["warnings"]) == (2, 2, [])
    assert server.get("/v1/segments", headers=header).json()["data"] == []
    misspelt = {"any": [{"not": {"event": "Order Complete"}}, {"trait": "contry", "op": "exists"}]}
    first, second = preview(misspelt).json()["warnings"]
    assert first == (
        "#/rule/any/0/not/event: no event 'Order Complete' was seen lately;"
        " did you mean Order Completed?"
    )
    assert second.startswith("#/rule/any/1/trait: no trait 'contry'")
    assert second.endswith("did you mean country?")
    steps = {"sequence": [{"event": "Order Completed"}, {"event": "Rated"}]}
    assert preview(steps).json()["warnings"] == [
        "#/rule/sequence/1/event: no event 'Rated' was seen lately"
    ]
    segment = {"key": "s", "name": "S", "purpose": EMAIL, "rule": misspelt}
    made = server.post("/v1/segments", json=segment, headers=header).json()
    assert made["warnings"] == [first, second]
    assert preview({"event": ""}).status_code == 422
    assert preview(rule, token(purposes=("service.operation",))).status_code == 403
    assert preview(rule, token("profiles:read", purposes=(EMAIL,))).status_code == 403


def test_a_trait_that_was_said_lately_or_often_is_known_however_many_there_are(
    sent: Callable[..., None], sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for who, trait in enumerate(["country"] * 3 + ["plan"] * 5 + ["address"]):
        sent(f"u-{who}", "Order", **{trait: {"city": "Lyon"}})
    monkeypatch.setattr(names, "LATELY", 2)

    def warned(trait: str) -> bool:
        with sessions.begin() as session:
            return bool(names.warnings(session, members.parse({"trait": trait, "op": "exists"})))

    assert not warned("address")  # of the last event
    assert not warned("address.city")
    assert warned("plan")  # neither among the last nor the first, and nothing is counted yet
    with sessions.begin() as session:
        session.execute(sa.text("ANALYZE app.trait"))
    assert not warned("plan")
    assert warned("adress.city")


def test_why_somebody_is_in_or_not_is_told_condition_by_condition(
    server: TestClient, token: Callable[..., dict[str, str]], sent: Callable[..., None]
) -> None:
    header = token(purposes=(EMAIL,))
    sent("ada", "Order", country="FR")
    sent("ada", "Order")
    sent("bea", "Order", country="DE")
    sent("cleo", "Order", agrees=False)
    rule = {
        "all": [
            {"event": "Order", "count": {"gte": 2}, "within_days": 30},
            {"not": {"trait": "country", "value": "DE"}},
        ]
    }
    segment = {"key": "s", "name": "S", "purpose": EMAIL, "rule": rule}
    server.post("/v1/segments", json=segment, headers=header).raise_for_status()
    nested = {"key": "t", "name": "T", "purpose": EMAIL, "rule": {"segment": "s"}}
    server.post("/v1/segments", json=nested, headers=header).raise_for_status()

    def why(user: str, key: str = "s") -> Any:
        answer = server.get(f"/v1/segments/{key}/explain/user_id:{user}", headers=header)
        assert answer.status_code == 200, answer.text
        return answer.json()

    ada, bea, cleo = why("ada"), why("bea"), why("cleo")
    assert (ada["inside"], ada["meets"], ada["since"] is not None) == (True, True, True)
    orders, country = ada["conditions"]["parts"]
    assert (orders["met"], orders["found"]) == (True, 2)
    assert orders["condition"]["event"] == "Order"
    assert (country["condition"], country["met"]) == ("not", True)
    assert country["parts"][0] == {
        "condition": {"trait": "country", "value": "DE"}, "met": False, "found": "FR",
    }  # fmt: skip
    assert (bea["inside"], bea["meets"], bea["conditions"]["met"]) == (False, False, False)
    assert [part["met"] for part in bea["conditions"]["parts"]] == [False, False]
    assert (cleo["inside"], cleo["conditions"]) == (False, None)
    assert cleo["withheld"][0]["reason"] == "refused"
    through = why("ada", "t")["conditions"]
    assert (through["condition"], through["met"]) == ({"segment": "s"}, True)
    assert [part["condition"] for part in through["parts"]] == ["all"]
    assert server.delete("/v1/segments/s", headers=header).json()["code"] == "segment-in-use"
    assert server.get("/v1/segments/s/explain/user_id:nobody", headers=header).status_code == 404
    other = token(purposes=("service.operation",))
    answer = server.get("/v1/segments/s/explain/user_id:ada", headers=other)
    assert answer.status_code == 403


def test_who_came_and_went_is_kept_with_the_reason(
    server: TestClient, token: Callable[..., dict[str, str]], sent: Callable[..., None]
) -> None:
    header = token(purposes=(EMAIL,))
    rule = {"trait": "plan", "value": "gold"}
    segment = {"key": "gold", "name": "G", "purpose": EMAIL, "rule": rule}
    server.post("/v1/segments", json=segment, headers=header).raise_for_status()
    for user in ("ada", "bea"):
        sent(user, "Seen", plan="gold")
    for plan in ("silver", "gold"):
        sent("ada", "Seen", plan=plan)

    stays: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        query = f"limit=2&cursor={cursor}" if cursor else "limit=2"
        page = server.get(f"/v1/segments/gold/history?{query}", headers=header).json()
        stays += page["data"]
        cursor = page["next_cursor"]
    reasons = [(stay["reason"], stay["until"] is None) for stay in stays]
    assert reasons == [("rule_no_longer_met", False), (None, True), (None, True)]
    assert len({stay["profile_id"] for stay in stays}) == 2
    path = f"/v1/profiles/user_id:ada/segments?purpose={EMAIL}"
    assert "past" not in server.get(path, headers=header).json()
    mine = server.get(f"{path}&past=true", headers=header).json()
    assert [stay["segment"] for stay in mine["data"]] == ["gold"]
    assert [stay["reason"] for stay in mine["past"]] == ["rule_no_longer_met"]
    sent("bea", "Seen", agrees=False)
    page = server.get("/v1/segments/gold/history", headers=header).json()
    assert len(page["data"]) == 2  # of who does not agree any more nothing is told
    other = token(purposes=("service.operation",))
    assert server.get("/v1/segments/gold/history", headers=other).status_code == 403
