"""Segments change by versions, go into the archive and out, and are laid over each other."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app import pipeline
from app.db import Sessions
from identity import graph

EMAIL, ADS = "marketing.email", "ads.share"
Header = dict[str, str]


@pytest.fixture
def header(
    server: TestClient, sessions: Sessions, write_key: str, token: Callable[..., Header]
) -> Header:
    """Three who may be written to: one bought twice, two once; of one ads may not know."""
    for user, orders, ads in (("ada", 2, True), ("bea", 1, True), ("cleo", 1, False)):
        context = {"consent": {"categoryPreferences": {EMAIL: True, ADS: ads}}}
        common = {"userId": user, "context": context, "writeKey": write_key}
        for _ in range(orders):
            body = {**common, "event": "Order"}
            server.post("/v1/track", json=body).raise_for_status()
    with sessions.begin() as session:
        pipeline.step(session)
    return token(purposes=(EMAIL, ADS))


def make(server: TestClient, header: Header, key: str, rule: Any, purpose: str = EMAIL) -> Any:
    body = {"key": key, "name": key, "purpose": purpose, "rule": rule}
    answer = server.post("/v1/segments", json=body, headers=header)
    assert answer.status_code == 201, answer.text
    return answer


def news(server: TestClient, header: Header) -> list[tuple[str, str, str | None]]:
    page = server.get("/v1/changes?types=segment.entered,segment.exited", headers=header).json()
    return [
        (one["type"].rpartition(".")[2], one["data"]["segment"], one["data"].get("reason"))
        for one in page["data"]
    ]


def test_another_rule_is_another_version_whose_comings_and_goings_are_told(
    server: TestClient, header: Header, token: Callable[..., Header]
) -> None:
    made = make(server, header, "buyers", {"event": "Order"})
    make(server, header, "nested", {"segment": "buyers"})
    assert (made.json()["version"], made.json()["size"]) == (1, 3)
    told = len(news(server, header))
    body = {"name": "Twice", "purpose": EMAIL, "rule": {"event": "Order", "count": {"gte": 2}}}

    def put(body: Any, key: str = "buyers", **headers: str) -> Any:
        return server.put(f"/v1/segments/{key}", json=body, headers={**header, **headers})

    tag = made.headers["ETag"]
    changed = put(body, **{"If-Match": tag})
    assert (changed.json()["version"], changed.json()["size"]) == (2, 1)
    assert changed.headers["ETag"] != tag
    stale = put(body, **{"If-Match": tag})
    assert (stale.status_code, stale.json()["code"]) == (412, "segment-changed")
    assert sorted(news(server, header)[told:]) == [
        ("exited", "buyers", "definition_changed"), ("exited", "buyers", "definition_changed"),
        ("exited", "nested", "definition_changed"), ("exited", "nested", "definition_changed"),
    ]  # fmt: skip
    again = put(body)
    assert (again.json()["version"], again.headers["ETag"]) == (2, changed.headers["ETag"])
    back = put({**body, "rule": {"event": "Order"}})
    assert (back.json()["version"], back.json()["size"]) == (3, 3)
    stays = server.get("/v1/segments/buyers/history", headers=header).json()["data"]
    found = Counter((s["version"], s["reason"], s["until"] is None) for s in stays)
    assert found == {(1, "definition_changed", False): 2, (1, None, True): 1, (3, None, True): 2}
    versions = server.get("/v1/segments/buyers/versions", headers=header).json()["data"]
    assert [(v["version"], v["rule"].get("count")) for v in versions] == [
        (3, None), (2, {"gte": 2}), (1, None),
    ]  # fmt: skip
    assert {v["set_by"] for v in versions} != {""}
    assert put({**body, "purpose": ADS}).status_code == 422
    assert "made of itself" in put({**body, "rule": {"segment": "nested"}}).json()["detail"]
    assert put(body, "nobody").status_code == 404
    reader = token("segments:read", purposes=(EMAIL,))
    assert server.put("/v1/segments/buyers", json=body, headers=reader).status_code == 403


def test_an_archived_segment_has_nobody_keeps_its_history_and_comes_back(
    server: TestClient, sessions: Sessions, header: Header
) -> None:
    rule = {"event": "Order"}
    make(server, header, "buyers", rule)
    make(server, header, "nested", {"segment": "buyers"})
    path = "/v1/segments/buyers"
    assert server.post(f"{path}/archive", headers=header).json()["code"] == "segment-in-use"
    server.delete("/v1/segments/nested", headers=header).raise_for_status()
    told = len(news(server, header))
    stale = server.post(f"{path}/archive", headers={**header, "If-Match": '"other"'})
    assert stale.status_code == 412
    for _ in range(2):
        archived = server.post(f"{path}/archive", headers=header).json()
        assert (archived["state"], archived["size"]) == ("archived", 0)
    assert news(server, header)[told:] == [("exited", "buyers", "segment_archived")] * 3
    assert server.get("/v1/segments", headers=header).json()["data"] == []
    listed = server.get("/v1/segments?archived=true", headers=header).json()["data"]
    assert [one["key"] for one in listed] == ["buyers"]
    pipeline.refresh_all(sessions)
    stays = server.get(f"{path}/history", headers=header).json()["data"]
    assert [stay["reason"] for stay in stays] == ["segment_archived"] * 3
    nested = {"key": "n", "name": "n", "purpose": EMAIL, "rule": {"segment": "buyers"}}
    assert server.post("/v1/segments", json=nested, headers=header).status_code == 422
    body = {"name": "buyers", "purpose": EMAIL, "rule": rule}
    back = server.put(path, json=body, headers=header).json()
    assert (back["state"], back["size"], back["archived_at"]) == ("fresh", 3, None)


def test_segments_are_laid_over_each_other_under_consent(
    server: TestClient, write_key: str, header: Header, token: Callable[..., Header]
) -> None:
    make(server, header, "buyers", {"event": "Order"})
    make(server, header, "twice", {"event": "Order", "count": {"gte": 2}}, ADS)
    make(server, header, "once", {"event": "Order", "count": {"eq": 1}})

    def overlap(*keys: str, header: Header = header) -> Any:
        query = "&".join(f"segment={key}" for key in keys)
        return server.get(f"/v1/segments/overlap?{query}", headers=header)

    def sizes(*keys: str) -> dict[str, tuple[int, int]]:
        found = overlap(*keys).json()["combinations"]
        return {"+".join(one["segments"]): (one["size"], one["only"]) for one in found}

    assert sizes("buyers", "twice", "once") == {
        "buyers": (3, 0), "twice": (1, 0), "once": (2, 0), "buyers+twice": (1, 1),
        "buyers+once": (2, 2), "twice+once": (0, 0), "buyers+twice+once": (0, 0),
    }  # fmt: skip
    assert overlap("buyers", "twice").json()["union"] == 3
    withdrawal = {
        "subject": {"namespace": "user_id", "value": "bea"},
        "decisions": [{"purpose": EMAIL, "state": "withdrawn"}],
    }
    server.post("/v1/consents", json=withdrawal, headers=header).raise_for_status()
    assert sizes("buyers", "once")["buyers"] == (2, 1)  # although no worker has been there
    assert overlap("buyers").status_code == 422
    assert overlap("buyers", "nobody").status_code == 404
    assert overlap("buyers", "twice", header=token(purposes=(EMAIL,))).status_code == 403
    reserved = {"key": "overlap", "name": "o", "purpose": EMAIL, "rule": {"event": "Order"}}
    assert server.post("/v1/segments", json=reserved, headers=header).status_code == 422


def test_rules_ask_for_consent_and_identity_and_say_what_was_found(
    server: TestClient, header: Header
) -> None:
    may = make(server, header, "may", {"consent": ADS}).json()
    denied = make(server, header, "denied", {"consent": ADS, "state": "denied"}).json()
    refused = make(server, header, "refused", {"consent": ADS, "state": "refused"}).json()
    assert (may["size"], denied["size"], refused["size"]) == (2, 1, 1)
    sure = make(server, header, "sure", {"identity": "deterministic"}).json()
    joined = make(server, header, "joined", {"identity": "probable"}).json()
    assert (sure["size"], joined["size"]) == (3, 0)

    def found(key: str, user: str) -> Any:
        path = f"/v1/segments/{key}/explain/user_id:{user}"
        return server.get(path, headers=header).json()["conditions"]

    assert found("may", "cleo") == {
        "condition": {"consent": ADS}, "met": False, "found": {"refused": False},
    }  # fmt: skip
    assert found("sure", "ada")["found"] == {"asserted_groups": 1}
    wrong = {"key": "w", "name": "w", "purpose": EMAIL, "rule": {"consent": "ads.shared"}}
    answer = server.post("/v1/segments", json=wrong, headers=header)
    assert "no purpose ads.shared; did you mean ads.share" in answer.json()["detail"]


def test_rules_ask_how_sure_it_is_that_a_person_is_one(
    server: TestClient, sessions: Sessions, write_key: str, token: Callable[..., Header]
) -> None:
    """Matched by a doubtful link, and by two better ones that make it needless."""
    header = token(purposes=(EMAIL,))
    context = {"consent": {"categoryPreferences": {EMAIL: True}}}
    for device in ("ada", "bea", "cleo"):
        body = {"anonymousId": device, "event": "Seen", "context": context, "writeKey": write_key}
        server.post("/v1/track", json=body).raise_for_status()
    with sessions.begin() as session:
        pipeline.step(session)
    for key, least in (("fair", 0.96), ("good", 0.97), ("surest", 1)):
        made = make(server, header, key, {"identity_confidence": {"gte": least}})
        assert made.json()["size"] == 3
    with sessions.begin() as session:
        names = [("anonymous_id", device) for device in ("ada", "bea", "cleo")]
        ids = graph.identify(session, names)
        ada, bea, cleo = (ids[name] for name in names)
        graph.set_link_consent(session, dict.fromkeys(ids.values(), "given"))
        at = datetime.now(UTC)
        matched = [
            graph.Evidence(min(one, other), max(one, other), "match", "test", at, probability=p)
            for one, other, p in ((ada, bea, 0.93), (ada, cleo, 0.97), (bea, cleo, 0.96))
        ]
        moved = graph.reconsider(session, graph.observe(session, matched), at=at)
        pipeline.after_move(session, moved)

    def answer(key: str) -> Any:
        path = f"/v1/segments/{key}/explain/anonymous_id:ada"
        said = server.get(path, headers=header).json()
        size = server.get(f"/v1/segments/{key}", headers=header).json()["size"]
        return size, said["conditions"]["met"], said["conditions"]["found"]

    assert answer("fair") == (1, True, 0.96)
    assert answer("good") == (0, False, 0.96)
    assert answer("surest") == (0, False, 0.96)
    rule = {"key": "w", "name": "w", "purpose": EMAIL, "rule": {"identity_confidence": {"gte": 2}}}
    refused = server.post("/v1/segments", json=rule, headers=header)
    assert refused.status_code == 422
    assert "identity_confidence/gte" in refused.text


def test_the_graph_says_what_is_made_of_what(server: TestClient, header: Header) -> None:
    make(server, header, "buyers", {"all": [{"event": "Order"}, {"consent": ADS}]})
    make(server, header, "nested", {"segment": "buyers"})
    body = {"name": "crm", "url": "https://example.com/", "purpose": EMAIL, "segments": ["nested"]}
    server.post("/v1/destinations", json=body, headers=header).raise_for_status()
    found = server.get("/v1/segments/dependencies", headers=header).json()["data"]
    edges = {tuple((e[side]["kind"], e[side]["name"]) for side in ("what", "of")) for e in found}
    assert edges >= {
        (("segment", "buyers"), ("event", "Order")),
        (("segment", "buyers"), ("purpose", ADS)),
        (("segment", "nested"), ("segment", "buyers")),
        (("destination", "crm"), ("segment", "nested")),
    }
