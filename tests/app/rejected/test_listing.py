"""The list of rejected events: filters, pages, and what it says of what is not there."""

from typing import Any

import sqlalchemy as sa

from app.access import sources
from app.db import Sessions
from tests.app.rejected.conftest import Call, Send

NAMELESS = {"type": "track", "userId": "u-1"}


def codes(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [found["code"] for found in answer.json()["data"]]


def test_it_is_filtered_by_source_reason_state_and_time_newest_first(
    send: Send, call: Call, sessions: Sessions
) -> None:
    with sessions.begin() as session:
        app = sources.add(session, "app")[1]
    send(NAMELESS, {"type": "x"})
    send(7, key=app)
    assert codes(call("GET")) == ["not_an_object", "unknown_type", "event_missing"]
    assert codes(call("GET", params={"source": "app"})) == ["not_an_object"]
    assert codes(call("GET", params={"code": "event_missing"})) == ["event_missing"]
    newest = call("GET").json()["data"][0]
    assert codes(call("GET", params={"since": newest["received_at"]})) == ["not_an_object"]
    assert codes(call("GET", params={"until": newest["received_at"]})) == [
        "unknown_type", "event_missing"
    ]  # fmt: skip
    assert call("DELETE", f"/{newest['id']}").status_code == 204
    assert codes(call("GET", params={"state": "discarded"})) == ["not_an_object"]
    assert codes(call("GET", params={"state": "open"})) == ["unknown_type", "event_missing"]
    assert codes(call("GET", params={"state": "replayed", "source": "web"})) == []


def test_a_cursor_survives_inserts_and_removals(send: Send, call: Call, sessions: Sessions) -> None:
    send(*[{**NAMELESS, "messageId": f"m-{n}"} for n in range(10)])
    seen: list[str] = []
    cursor = None
    for page in range(4):
        answer = call("GET", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        seen += [found["message_id"] for found in answer["data"]]
        cursor = answer["next_cursor"]
        send({**NAMELESS, "messageId": f"later-{page}"})
        with sessions.begin() as session:  # the row at which the next page begins
            session.execute(
                sa.text("DELETE FROM app.rejected_event WHERE message_id = :m"), {"m": seen[-1]}
            )
    assert seen == [f"m-{n}" for n in reversed(range(10))]
    assert cursor is None


def test_a_page_with_what_was_sent_is_short_and_goes_on(send: Send, call: Call) -> None:
    send(*[NAMELESS] * 70)
    first = call("GET", params={"include": "payload", "limit": 1000}).json()
    more = {"include": "payload", "cursor": first["next_cursor"]}
    second = call("GET", params=more).json()
    assert (len(first["data"]), len(second["data"])) == (50, 20)
    assert second["next_cursor"] is None


WRONG: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("GET", "", {"params": {"cursor": "nonsense"}}, 422, "cursor-invalid"),
    ("GET", "", {"params": {"source": "nobody"}}, 404, "source-not-found"),
    ("GET", "", {"params": {"source": "a\x00"}}, 422, "value-unstorable"),
    ("GET", "", {"params": {"state": "lost"}}, 422, "request-invalid"),
    ("GET", "", {"params": {"since": "2026-11-22T10:00:00"}}, 422, "request-invalid"),
    ("GET", "/counts", {"params": {"source": "nobody"}}, 404, "source-not-found"),
    ("GET", "/17", {}, 404, "rejected-event-not-found"),
    ("GET", "/99999999999999999999", {}, 422, "value-unstorable"),
    ("GET", "/x", {}, 422, "request-invalid"),
    ("PATCH", "/17", {"json": {"event": {}}}, 404, "rejected-event-not-found"),
    ("PATCH", "/17", {"json": {"event": 3}}, 422, "request-invalid"),
    ("DELETE", "/17", {}, 404, "rejected-event-not-found"),
    ("POST", "/17/replay", {}, 404, "rejected-event-not-found"),
    ("POST", "/17/replay", {"content": b"{"}, 422, "request-invalid"),
    ("POST", "/replay", {"json": {"source": "nobody"}}, 404, "source-not-found"),
    ("POST", "/replay", {"json": {"cursor": "nonsense"}}, 422, "cursor-invalid"),
    ("POST", "/replay", {"json": {"limit": 100_000}}, 422, "request-invalid"),
    ("POST", "/replay", {"json": {"state": "replayed"}}, 422, "request-invalid"),
]


def test_what_cannot_be_answered_is_a_problem_document(call: Call) -> None:
    for method, path, more, status, code in WRONG:
        answer = call(method, path, **more)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (method, path, more)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["message"]
