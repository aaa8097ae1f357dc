"""The tracking API as SDKs in the field use it, against the whole server and its database."""

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

import consent
from app.access import sources
from app.db import Sessions

ORIGIN = {"Origin": "https://shop.example"}
Send = Callable[..., Any]


def track(name: str = "Order", **fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": name, "userId": "u-1", **fields}


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}


@pytest.fixture
def send(server: TestClient, write_key: str) -> Send:
    """Send a batch with the write key; more of the request by name."""

    def post(*events: Any, call: str = "batch", **request: Any) -> Any:
        if "content" not in request:
            body = {"batch": list(events)} if call in ("batch", "b", "import") else events[0]
            request["content"] = json.dumps(body).encode()
        request["headers"] = {**basic(write_key), **request.get("headers", {})}
        return server.post(f"/v1/{call}", **request)

    return post


def count(sessions: Sessions, table: str = "app.event") -> int:
    with sessions() as session:
        return session.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0  # noqa: S608 -- ours


def test_the_write_key_is_found_in_all_six_places(
    server: TestClient, sessions: Sessions, write_key: str
) -> None:
    places: list[dict[str, Any]] = [
        {"headers": basic(write_key)},
        {"headers": {"Authorization": "Basic " + base64.b64encode(write_key.encode()).decode()}},
        {"json": {**track(), "writeKey": write_key}},
        {"params": {"writeKey": write_key}},
        {"headers": {"X-Write-Key": write_key}},
        {"headers": {"Authorization": f"Bearer {write_key}"}},
    ]
    for request in places:
        answer = server.post("/v1/track", **{"json": track(), **request})
        assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
    assert count(sessions) == len(places)


def test_an_unknown_key_is_refused_with_code_and_message(
    server: TestClient, sessions: Sessions
) -> None:
    for wrong in ({}, basic(""), {"Authorization": "Basic %%%"}):
        refused = server.post("/v1/track", json=track(), headers=wrong)
        assert (refused.status_code, refused.json()["code"]) == (401, "unknown-write-key")
    answer = server.post("/v1/track", json=track(), headers={**basic("wk_wrong"), **ORIGIN})
    problem = answer.json()
    assert answer.status_code == problem["status"] == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert problem["code"] == "unknown-write-key"
    assert problem["type"].endswith("/problems/unknown-write-key")
    assert problem["message"] == problem["detail"] != ""
    assert problem["title"].endswith(".")
    assert problem["instance"] == "/v1/track"
    assert count(sessions) == 0


def test_every_call_has_its_route(send: Send, sessions: Sessions) -> None:
    for call in ("track", "identify", "page", "screen", "group", "alias", *"tipsga"):
        answer = send({"event": "x", "name": "x", "userId": "u-1"}, call=call)
        assert answer.json()["accepted"] == 1, call
    for call in ("batch", "b", "import"):
        assert send(track(), call=call).json()["accepted"] == 1
    with sessions() as session:
        kinds = session.scalars(sa.text("SELECT DISTINCT type FROM app.event")).all()
    assert sorted(kinds) == ["alias", "group", "identify", "page", "screen", "track"]
    assert send({}, call="m").json() == {"success": True}


def test_the_body_is_json_whatever_its_type_says(send: Send) -> None:
    for kind in ("text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "", "nonsense"):
        assert send(track(), headers={"Content-Type": kind}).json()["accepted"] == 1, kind


def test_gzip_is_unpacked(send: Send, sessions: Sessions) -> None:
    body = gzip.compress(json.dumps({"batch": [track(), track("Other")]}).encode())
    for coding in ("gzip", "x-gzip"):
        answer = send(content=body, headers={"Content-Encoding": coding})
        assert answer.json()["accepted"] == 2
    assert count(sessions) == 4


def test_gzip_of_several_files_is_one_body(send: Send) -> None:
    body = json.dumps({"batch": [track(), track("Other")]}).encode()
    parts = b"".join(gzip.compress(body[at : at + 20]) for at in range(0, len(body), 20))
    answer = send(content=parts, headers={"Content-Encoding": "gzip"})
    assert answer.json()["accepted"] == 2


BODIES = [
    (gzip.compress(b" ") * 1_000, "gzip", 400, "body-unreadable"),
    (gzip.compress(b" " * 1_000_000) * 10, "gzip", 413, "body-too-large"),
    (zlib.compress(b"0" * 200_000_000, 9, 31), "gzip", 413, "body-too-large"),
    (b" " * 5_000_000, "", 413, "body-too-large"),
    (gzip.compress(b'{"batch": []}' * 99)[:-30], "gzip", 400, "body-unreadable"),
    (b'{"batch": []}', "gzip", 400, "body-unreadable"),
    (b'{"batch": []}', "br", 400, "body-unreadable"),
    (b'{"batch": [', "", 400, "body-unreadable"),
    (b"[]", "", 400, "body-unreadable"),
    (b"", "", 400, "body-unreadable"),
    (b'{"batch": {}}', "", 400, "body-unreadable"),
]


def test_a_body_that_cannot_be_read_is_refused_whole(send: Send, sessions: Sessions) -> None:
    for body, coding, status, code in BODIES:
        answer = send(content=body, headers={"Content-Encoding": coding, **ORIGIN})
        assert (answer.status_code, answer.json()["code"]) == (status, code), (body[:30], coding)
        assert answer.headers["access-control-allow-origin"] == "*"
    assert count(sessions) == 0


def test_one_bad_event_costs_only_itself(send: Send, sessions: Sessions) -> None:
    bad = [{"type": "track", "userId": "u"}, 3, track(userId=None), {"type": "x"}]
    answer = send(track("A"), *bad, track("B")).json()
    assert (answer["received"], answer["accepted"]) == (6, 2)
    assert [(r["index"], r["code"]) for r in answer["rejected"]] == [
        (1, "event_missing"), (2, "not_an_object"), (3, "no_user_anon_id"), (4, "unknown_type")
    ]  # fmt: skip
    assert all(r["message"] for r in answer["rejected"])
    assert (count(sessions), count(sessions, "app.rejected_event")) == (2, 4)


EXTREMES = {
    "an id too long for an index": track(userId="".join(map(chr, range(0x4E00, 0x5200)))),
    "a number of thousands of digits": track(userId=10**4000),
    "the end of the calendar": track(
        timestamp="9999-12-31T23:59:59Z",
        context={"consent": {"categoryPreferences": {"ads.share": True}}},
    ),
    "the beginning of the calendar": track(timestamp="0001-01-03T00:00:00Z"),
    "NUL and half a character": track(properties={"a\x00": "\x00\ud800"}, messageId="\x00m\ud800"),
    "a deep object": track(properties=json.loads('{"a":' * 900 + "1" + "}" * 900)),
    "a huge number": track(properties={"n": 10**300, "m": 1e308}, sourceSeq=2**63),
    "a long name": track("語" * 3_000),
    "odd consents": track(context={"consent": {"categoryPreferences": {"ads.share": "no"}}}),
}  # fmt: skip


def test_no_event_however_odd_stops_its_neighbours(send: Send, sessions: Sessions) -> None:
    for number, (what, extreme) in enumerate(EXTREMES.items(), 1):
        answer = send(track("A"), extreme, track("B"))
        assert answer.status_code == 200, (what, answer.text)
        body = answer.json()
        assert body["accepted"] + len(body["rejected"]) == 3, what
        with sessions() as session:
            kept = sa.text("SELECT count(*) FROM app.event WHERE name IN ('A', 'B')")
            assert session.scalar(kept) == 2 * number, what


def test_an_event_that_comes_again_is_counted_once(send: Send, sessions: Sessions) -> None:
    twice = track(messageId="m-1")
    first = send(twice, twice, track(messageId="m-2")).json()
    assert (first["accepted"], first["duplicates"]) == (2, 1)
    again = send(twice, call="track").json()
    assert (again["accepted"], again["duplicates"]) == (0, 1)
    assert send(twice, call="import").json()["duplicates"] == 1
    assert count(sessions) == 2


def test_another_source_may_use_the_same_message_ids(
    server: TestClient, sessions: Sessions, send: Send
) -> None:
    with sessions.begin() as session:
        _, other = sources.add(session, "app")
    event = track(messageId="m-1")
    assert send(event).json()["accepted"] == 1
    assert server.post("/v1/track", json=event, headers=basic(other)).json()["accepted"] == 1


def test_sixteen_senders_of_the_same_events_leave_each_once(send: Send, sessions: Sessions) -> None:
    events = [track(messageId=f"m-{n}", userId=f"u-{n % 7}") for n in range(60)]

    def hammer(worker: int) -> int:
        mine = events[worker:] + events[:worker]
        return int(send(*mine, call=("batch", "b", "import")[worker % 3]).json()["accepted"])

    with ThreadPoolExecutor(16) as pool:
        accepted = list(pool.map(hammer, range(16)))
    assert sum(accepted) == count(sessions) == 60
    assert count(sessions, "identity.identifier") == 7


def test_a_browser_may_ask_first_and_read_the_answer(server: TestClient, send: Send) -> None:
    asked = server.options(
        "/v1/t",
        headers={**ORIGIN, "Access-Control-Request-Method": "POST",
                 "Access-Control-Request-Headers": "authorization,content-type"},
    )  # fmt: skip
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == "*"
    assert "POST" in asked.headers["access-control-allow-methods"]
    answer = send(track(), headers=ORIGIN)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["request-id"]


def test_every_error_is_a_problem_document(server: TestClient) -> None:
    for path, status in (("/v1/nothing", 404), ("/v1/batch", 405)):
        answer = server.get(path, headers=ORIGIN)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "detail", "code", "message"} <= answer.json().keys()
        assert answer.headers["access-control-allow-origin"] == "*"


def consented(**answers: bool) -> dict[str, Any]:
    preferences = {key.replace("_", "."): value for key, value in answers.items()}
    return {"consent": {"categoryPreferences": preferences}}


def test_a_source_that_needs_consent_keeps_nothing_without_it_but_a_count(
    server: TestClient, sessions: Sessions
) -> None:
    with sessions.begin() as session:
        _, key = sources.add(session, "strict", collection_purpose="analytics.audience")

    def post(*events: Any) -> Any:
        return server.post("/v1/batch", json={"batch": events}, headers=basic(key)).json()

    answer = post(track(userId="silent"), track(userId="silent", anonymousId="a-1"), {"type": "x"})
    assert answer["accepted"] == 0
    assert [r["code"] for r in answer["rejected"]] == [
        "consent_denied", "consent_denied", "unknown_type"
    ]  # fmt: skip
    for table in ("app.event", "identity.identifier", "consent.record", "app.touched"):
        assert count(sessions, table) == 0, table
    with sessions() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM app.rejected_event")) == 0
        assert consent.denials(session) == [
            {"use": "collect", "purpose": "analytics.audience", "reason": "unknown", "denials": 2}
        ]
    yes, no = consented(analytics_audience=True), consented(analytics_audience=False)
    assert post(track(userId="no", context=no))["rejected"][0]["code"] == "consent_denied"
    assert post(track(userId="yes", context=yes), track(userId="yes"))["accepted"] == 2
    assert post(track(userId="yes", context=no))["accepted"] == 0
    assert post(track(userId="yes"))["accepted"] == 0
    unclear = {"consent": {"categoryPreferences": "all"}}
    assert "signal_unparsable" in post(track(context=unclear))["rejected"][0]["message"]
    assert count(sessions) == 2


def test_a_banner_withdraws_what_it_no_longer_names_even_in_one_request(
    send: Send, sessions: Sessions
) -> None:
    name = "Segment Consent Preference Updated"
    send(
        track(name, context=consented(ads_share=True, marketing_email=True),
              timestamp="2026-05-01T10:00:00Z"),
        track(name, context=consented(ads_share=True), timestamp="2026-05-01T10:05:00Z"),
    )  # fmt: skip
    send(track(name, context=consented(), timestamp="2026-05-01T10:10:00Z"))
    with sessions() as session:
        rows = session.execute(sa.text("SELECT purpose, state FROM consent.record ORDER BY seq"))
        found = [(row.purpose, row.state) for row in rows]
    assert sorted(found[:2]) == [("ads.share", "given"), ("marketing.email", "given")]
    # Each answer is recorded: what arrives from between two of them would else be the last.
    assert sorted(found[2:4]) == [("ads.share", "given"), ("marketing.email", "withdrawn")]
    assert found[4:] == [("ads.share", "withdrawn")]


def test_a_stamp_or_its_repetition_does_not_undo_a_withdrawal(
    server: TestClient, send: Send, token: Callable[..., dict[str, str]]
) -> None:
    """The banner's cookie in an open browser still says yes when a preference centre says no."""
    yes = {"consent": {"categoryPreferences": {"marketing.email": True}}}
    event = track(context=yes, messageId="m-1")
    send(event)
    withdrawal = {
        "subject": {"namespace": "user_id", "value": "u-1"},
        "decisions": [{"purpose": "marketing.email", "state": "withdrawn"}],
    }
    server.post("/v1/consents", json=withdrawal, headers=token()).raise_for_status()
    send(event)
    send(track(context=yes, messageId="m-2"))
    asked = {"subject": "user_id:u-1", "purpose": "marketing.email"}
    decision = server.get("/v1/consents/decision", params=asked, headers=token()).json()
    assert (decision["allow"], decision["reason"]) == (False, "withdrawn")
