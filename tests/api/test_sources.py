"""`/v1/sources`: settings, keys and counters, for who may administer sources."""

import json
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.access import sources
from app.access.tables import Source
from app.db import Sessions
from tests.end_to_end.product import wait_until

Token = Callable[..., dict[str, str]]
ALL = {
    "collection_purpose": "analytics.audience",
    "stamp_is_evidence": False,
    "categories": {"stats": ["analytics.audience"]},
    "allowed_origins": ["https://www.example.com"],
    "max_event_bytes": 64_000,
    "max_batch_bytes": 1_000_000,
    "max_batch_events": 100,
    "events_per_second": 12.5,
    "burst": 200,
    "pending_seconds": 3_600,
    "server_side": True,
}


@pytest.fixture
def admin(server: TestClient, token: Token) -> Callable[..., Any]:
    """Call `/v1/sources…` as an administrator."""
    header = token("sources:admin")

    def call(method: str, path: str = "", body: Any = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return server.request(method, f"/v1/sources{path}", json=body, headers={**header, **named})

    return call


def test_a_source_is_created_read_changed_and_removed(
    server: TestClient, sessions: Sessions, admin: Callable[..., Any]
) -> None:
    made = admin("POST", body={"name": "web", **ALL})
    assert made.status_code == 201, made.text
    source = made.json()
    assert {name: source[name] for name in ALL} == ALL
    key = source.pop("write_key")
    assert server.post("/v1/track", json={}, auth=(key, "")).status_code == 200
    read = admin("GET", f"/{source['id']}").json()
    assert {name: read[name] for name in ALL} == ALL
    assert "write_key" not in json.dumps(read)
    changed = admin("PATCH", f"/{source['id']}", {"events_per_second": None, "burst": None}).json()
    assert {name: changed[name] for name in ALL} == {
        **ALL, "events_per_second": None, "burst": None
    }  # fmt: skip
    assert [s["name"] for s in admin("GET").json()["data"]] == ["web"]
    assert admin("DELETE", f"/{source['id']}").status_code == 204
    assert admin("GET").json()["data"] == []
    for method, path in (
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/keys"), ("POST", "/keys")
    ):  # fmt: skip
        body: Any = {} if method in ("PATCH", "POST") else None
        gone = admin(method, f"/{source['id']}{path}", body)
        assert (gone.status_code, gone.json()["code"]) == (404, "source-not-found")
    again = admin("POST", body={"name": "web", **ALL})  # the name is free, and stays on what came
    assert (again.status_code, again.json()["id"] != source["id"]) == (201, True)
    assert admin("POST", body={"name": "web"}).status_code == 409
    with sessions() as session:
        assert list(session.scalars(sa.select(Source.name))) == ["web", "web"]
    wait_until(
        lambda: server.post("/v1/track", json={}, auth=(key, "")).status_code == 401 or None, 2.5
    )


def test_a_source_by_default_collects_for_the_service_from_anywhere(
    admin: Callable[..., Any],
) -> None:
    made = admin("POST", body={"name": "web"}).json()
    assert made["collection_purpose"] == "service.operation"
    assert made["allowed_origins"] == []
    assert made["max_event_bytes"] is made["events_per_second"] is None
    assert admin("POST", body={"name": "web"}).json()["code"] == "source-exists"


WRONG: list[dict[str, Any]] = [
    {"allowed_origins": ["https://www.example.com/shop"]},
    {"allowed_origins": ["*"]},
    {"allowed_origins": "https://www.example.com"},
    {"max_event_bytes": 10},
    {"max_event_bytes": 5_000_000},
    {"max_batch_bytes": 2**70},
    {"max_batch_events": 0},
    {"events_per_second": 0},
    {"events_per_second": 1e-300},
    {"events_per_second": "fast"},
    {"burst": 5},
    {"burst": 0, "events_per_second": 5},
    {"pending_seconds": -1},
    {"pending_seconds": 10**9},
    {"collection_purpose": ""},
    {"collection_purpose": None},
    {"categories": {"stats": "analytics.audience"}},
    {"categories": {"stats": []}},
    {"categories": {"": ["analytics.audience"]}},
    {"unknown": 1},
]


def test_wrong_settings_are_refused_with_the_place_and_change_nothing(
    admin: Callable[..., Any],
) -> None:
    source = admin("POST", body={"name": "web"}).json()
    for wrong in WRONG:
        name = next(iter(wrong))
        for method, path, body in (
            ("PATCH", f"/{source['id']}", wrong), ("POST", "", {"name": "other", **wrong})
        ):  # fmt: skip
            answer = admin(method, path, body)
            assert answer.status_code == 422, (wrong, answer.text)
            assert f"#/{name}" in answer.json()["message"], answer.text
    for unknown in (
        {"collection_purpose": "no.purpose"}, {"categories": {"x": ["no.purpose"]}}
    ):  # fmt: skip
        answer = admin("PATCH", f"/{source['id']}", unknown)
        assert (answer.status_code, answer.json()["code"]) == (404, "purpose-not-found")
    del source["write_key"]
    assert admin("GET", f"/{source['id']}").json() == source
    assert len(admin("GET").json()["data"]) == 1


def test_sources_and_keys_are_listed_in_pages(admin: Callable[..., Any]) -> None:
    for name in ("web", "app", "shop"):
        made = admin("POST", body={"name": name}).json()
    for _ in range(2):
        admin("POST", f"/{made['id']}/keys")
    keys = [key["id"] for key in admin("GET", f"/{made['id']}").json()["keys"]]
    for path, name, expected in (
        ("", "name", ["app", "shop", "web"]), (f"/{made['id']}/keys", "id", keys)
    ):  # fmt: skip
        whole = admin("GET", path).json()
        assert ([entry[name] for entry in whole["data"]], whole["next_cursor"]) == (expected, None)
        first = admin("GET", f"{path}?limit=2").json()
        rest = admin("GET", f"{path}?limit=2&cursor={first['next_cursor']}").json()
        assert [entry[name] for entry in first["data"] + rest["data"]] == expected
        assert rest["next_cursor"] is None
        wrong = admin("GET", f"{path}?cursor=nonsense")
        assert (wrong.status_code, wrong.json()["code"]) == (422, "cursor-invalid")
        assert admin("GET", f"{path}?limit=0").status_code == 422


def test_a_name_that_no_address_can_hold_is_refused_at_its_place(
    admin: Callable[..., Any],
) -> None:
    for name in ("two\nlines", "..", " web"):
        answer = admin("POST", body={"name": name})
        assert (answer.status_code, answer.json()["code"]) == (422, "definition-invalid")
        assert "#/name" in answer.json()["message"]
    assert admin("GET").json()["data"] == []


def test_a_change_by_two_at_once_is_noticed_by_the_second(admin: Callable[..., Any]) -> None:
    made = admin("POST", body={"name": "web"})
    path, tag = f"/{made.json()['id']}", made.headers["etag"]
    assert admin("GET", path).headers["etag"] == tag
    first = admin("PATCH", path, {"max_batch_events": 10}, If_Match=tag)
    assert first.status_code == 200
    second = admin("PATCH", path, {"max_batch_events": 20}, If_Match=tag)
    assert (second.status_code, second.json()["code"]) == (412, "source-changed")
    assert admin("DELETE", path, If_Match=tag).status_code == 412
    assert admin("GET", path).json()["max_batch_events"] == 10
    several = f'"other", {first.headers["etag"]}'
    assert admin("PATCH", path, {"max_batch_events": 30}, If_Match=several).status_code == 200
    assert admin("PATCH", path, {"max_batch_events": 40}, If_Match="*").status_code == 200
    assert admin("DELETE", path).status_code == 204


def test_keys_are_added_rotated_and_removed_and_shown_once(
    server: TestClient, sessions: Sessions, admin: Callable[..., Any]
) -> None:
    made = admin("POST", body={"name": "web"}).json()
    path = f"/{made['id']}/keys"
    added = admin("POST", path, {"label": "tag manager"})
    assert added.status_code == 201
    assert added.json()["label"] == "tag manager"
    rotated = admin("POST", f"{path}/rotate", {"label": "2027", "keep_seconds": 60}).json()
    assert rotated["expires_at"] is None
    texts = [made["write_key"], added.json()["write_key"], rotated["write_key"]]
    for text in texts:
        assert server.post("/v1/track", json={}, auth=(text, "")).status_code == 200
    shown = admin("GET", path).json()["data"]
    assert [key["hint"] for key in shown] == [text[-4:] for text in texts]
    assert [bool(key["expires_at"]) for key in shown] == [True, True, False]
    assert admin("GET", f"/{made['id']}").json()["keys"] == shown
    for text in texts:
        assert text not in admin("GET", path).text
    assert admin("DELETE", f"{path}/{shown[1]['id']}").status_code == 204
    gone = admin("DELETE", f"{path}/{shown[1]['id']}")
    assert (gone.status_code, gone.json()["code"]) == (404, "write-key-not-found")
    ended = admin("POST", f"{path}/rotate", {"keep_seconds": 0}).json()
    assert [key["hint"] for key in admin("GET", path).json()["data"]] == [ended["write_key"][-4:]]
    bare = server.request("POST", f"/v1/sources{path}/rotate", headers=dict(_header(admin)))
    assert bare.status_code == 201
    with sessions() as session:
        kept = session.scalars(sa.text("SELECT w::text FROM app.write_key w")).all()
    for text in [*texts, ended["write_key"]]:
        assert not any(text in row for row in kept)


def _header(admin: Callable[..., Any]) -> Any:
    return {
        name: value
        for name, value in admin("GET").request.headers.items()
        if name == "authorization"
    }.items()


def test_only_who_administers_sources_may(server: TestClient, token: Token) -> None:
    other = token("profiles:read")
    for method, path in (
        ("GET", ""), ("POST", ""), ("GET", "/1"), ("PATCH", "/1"), ("DELETE", "/1"),
        ("GET", "/1/keys"), ("POST", "/1/keys"), ("POST", "/1/keys/rotate"),
        ("DELETE", "/1/keys/1"),
    ):  # fmt: skip
        assert server.request(method, f"/v1/sources{path}", json={}).status_code == 401
        answer = server.request(method, f"/v1/sources{path}", json={}, headers=other)
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient-scope")


def test_the_counters_are_what_was_sent_whatever_became_of_it(
    server: TestClient, sessions: Sessions, admin: Callable[..., Any]
) -> None:
    made = admin("POST", body={"name": "web", "max_batch_events": 30}).json()
    header = {"Authorization": "Basic " + b64encode(f"{made['write_key']}:".encode()).decode()}
    totals = {"received": 0, "accepted": 0, "duplicates": 0}
    rejected: dict[str, int] = {}

    def post(worker: int) -> list[dict[str, Any]]:
        answers = []
        for number in range(4):
            good = [
                {"type": "track", "event": "A", "userId": "u", "messageId": f"m-{worker % 4}-{n}"}
                for n in range(20)
            ]
            bad = [{"type": "track"}, {"type": "nothing"}, 3, {"type": "track", "event": "x"}]
            fill = [{"type": "page", "userId": f"{worker}-{number}-{n}"} for n in range(10)]
            body = {"batch": [*good, *bad, *fill]}
            answers.append(server.post("/v1/batch", json=body, headers=header).json())
        return answers

    with ThreadPoolExecutor(8) as threads:
        for answers in threads.map(post, range(8)):
            for answer in answers:
                for name in totals:
                    totals[name] += answer[name]
                for entry in answer["rejected"]:
                    rejected[entry["code"]] = rejected.get(entry["code"], 0) + 1
    assert totals["received"] == 8 * 4 * 34
    counted = admin("GET", f"/{made['id']}").json()
    for part in ("last_hour", "last_day"):
        counts = counted[part]
        assert counts["received"] == totals["received"]
        assert (counts["accepted"], counts["duplicate"]) == (
            totals["accepted"], totals["duplicates"]
        )  # fmt: skip
        assert counts["rejected"] == rejected
        assert counts["held"] == 0
    assert set(rejected) == {
        "event_missing", "unknown_type", "not_an_object", "no_user_anon_id", "too_many"
    }  # fmt: skip
    with sessions() as session:
        source = sources.find(session, "web")
        stored = session.scalar(
            sa.text("SELECT count(*) FROM app.event WHERE source_id = :id"), {"id": source.id}
        )
    assert stored == totals["accepted"]
    assert counted["last_seen"] is not None
