"""What one event, one request or one client sends costs the others nothing."""

import asyncio
import json
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from msgspec import Raw

from app import pipeline
from app.access import sources
from app.access.sources import SourceSettings
from app.db import Sessions
from app.events import envelope
from app.events.body import to_message
from app.events.envelope import Envelope
from app.events.item import Batch, Outcome
from app.events.writer import Writer
from app.lake import copy
from app.settings import Settings

#: Valid JSON, of fewer than 300 digits and an exponent of two, and more than a double holds.
HUGE = b"1" + b"0" * 250 + b"e99"


@pytest.mark.parametrize(
    "place",
    ["traits.a", "traits.email", "context.a", "context.consent.categoryPreferences.a", "userId",
     "messageId", "timestamp", "sentAt", "context.device.a", "context.externalIds", "anonymousId"],
)  # fmt: skip
def test_a_number_that_no_program_can_hold_stops_nothing(
    server: TestClient, sessions: Sessions, write_key: str, settings: Settings, place: str
) -> None:
    message: dict[str, Any] = {"type": "identify", "userId": "u-1", "anonymousId": "a-1"}
    at = message
    *above, last = place.split(".")
    for name in above:
        at = at.setdefault(name, {})
    at[last] = "HUGE"
    text = json.dumps({"batch": [{"type": "page", "userId": "u-2"}, message]}).encode()
    body = text.replace(b'"HUGE"', HUGE)
    answer = server.post("/v1/batch", content=body, headers={"X-Write-Key": write_key})
    assert (answer.status_code, answer.json()["accepted"]) == (200, 2), answer.text
    with sessions.begin() as session:
        assert pipeline.step(session).events == 2
    assert copy.copy_new(sessions, settings.lake_dir) == 2


@pytest.mark.parametrize("odd", ["", ', "odd": NaN'])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    ("value", "code"),
    [("9" * 5_000, "unstorable"), ("[" * 5_000 + "]" * 5_000, "nested_too_deeply")],
)
def test_what_no_reader_can_follow_costs_its_own_event_only(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    value: str,
    code: str,
    shared: bool,
    odd: str,
) -> None:
    pages = [f'{{"type": "page", "userId": "u-{n}"{odd}}}' for n in (1, 2)]
    bad = f'{{"type": "page", "userId": "u-3", "messageId": "bad", "properties": {{"a": {value}}}}}'
    top = f'"context": {{"a": {value}}}, ' if shared else ""
    headers = {"X-Write-Key": write_key}
    body = f'{{{top}"batch": [{pages[0]}, {bad}, {pages[1]}]}}'
    answer = server.post("/v1/batch", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    refused = {one["index"]: one["code"] for one in answer.json()["rejected"]}
    assert refused == (dict.fromkeys(range(3), code) if shared else {1: code})
    alone = server.post("/v1/page", content=bad, headers=headers).json()
    assert [one["code"] for one in alone["rejected"]] == [code]
    with sessions() as session:
        kept = session.scalars(
            sa.text("SELECT replayable FROM app.rejected_event WHERE message_id = 'bad'")
        )
        assert set(kept) == {code == "unstorable"}


def web(sessions: Sessions) -> SourceSettings:
    with sessions.begin() as session:
        return sources.settings_of(sources.add(session, "web")[0])


def entry(number: int) -> Envelope:
    message = {"type": "track", "event": "Seen", "userId": "u-1", "messageId": f"m-{number}"}
    read = envelope.read(to_message(message), received_at=datetime.now(UTC), largest=1_000)
    assert isinstance(read, Envelope)
    return read


def submit(sessions: Sessions, batches: list[Batch]) -> list[list[Outcome] | BaseException]:
    """Hand all in at once, as one batch of the writer, and once more a good one after it."""
    writer = Writer(sessions)

    async def send() -> list[list[Outcome] | BaseException]:
        asked = [writer.submit(batch) for batch in batches]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        last = await writer.submit(Batch(batches[0].source, [entry(99)], datetime.now(UTC)))
        assert [outcome.state for outcome in last] == ["accepted"]
        return answers

    try:
        return asyncio.run(send())
    finally:
        writer.close()


def test_an_event_that_the_database_refuses_is_rejected_alone(sessions: Sessions) -> None:
    source, now = web(sessions), datetime.now(UTC)
    broken = msgspec.structs.replace(entry(1), properties=Raw(b'{"a": no}'))
    one, two = submit(
        sessions, [Batch(source, [entry(0), broken], now), Batch(source, [entry(2)], now)]
    )
    assert isinstance(one, list)
    assert [(o.state, o.code) for o in one] == [("accepted", ""), ("rejected", "unstorable")]
    assert two == [Outcome("accepted")]


def test_an_error_that_nobody_foresaw_costs_its_own_request_only(sessions: Sessions) -> None:
    source, now = web(sessions), datetime.now(UTC)
    nobody = msgspec.structs.replace(entry(1), identifiers=None)
    one, two = submit(
        sessions, [Batch(source, [entry(0), nobody], now), Batch(source, [entry(2)], now)]
    )
    assert isinstance(one, TypeError)
    assert two == [Outcome("accepted")]


def test_what_a_batch_says_for_all_is_not_multiplied_for_who_has_no_key(server: TestClient) -> None:
    body = json.dumps({"context": {"a": "x" * 500_000}, "batch": [{}] * 2_000}).encode()
    tracemalloc.start()
    try:
        assert server.post("/v1/batch", content=body).status_code == 401
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_what_a_batch_says_for_all_counts_as_often_as_it_is_said(
    server: TestClient, sessions: Sessions, write_key: str
) -> None:
    page = {"type": "page", "userId": "u-1"}
    shared = {"context": {"app": "x" * 20_000}, "writeKey": write_key}
    for events, status in ((2_000, 413), (100, 200)):
        answer = server.post("/v1/batch", json={"batch": [page] * events, **shared})
        assert answer.status_code == status, answer.text
    with sessions() as session:
        query = "SELECT count(*) FROM app.event WHERE context ->> 'app' LIKE 'xxx%'"
        assert session.scalar(sa.text(query)) == 100


def test_a_body_that_cannot_be_read_has_to_pass_the_door_like_any_other(
    server: TestClient, sessions: Sessions
) -> None:
    with sessions.begin() as session:
        _, key = sources.add(
            session, "web", allowed_origins=["https://a.test"], events_per_second=0.001, burst=2
        )
    asked = [("https://evil.test", 403), (None, 400), ("https://a.test", 400), (None, 429)]
    for origin, status in asked:
        headers = {"X-Write-Key": key, **({"Origin": origin} if origin else {})}
        assert server.post("/v1/batch", content=b"{", headers=headers).status_code == status
    with sessions() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM app.rejected_event")) == 2


def test_a_key_in_the_body_counts_although_a_site_adds_a_login_of_its_own(
    server: TestClient, write_key: str
) -> None:
    body = {"type": "page", "userId": "u-1", "writeKey": write_key}
    for login in (
        "Basic c3RhZ2luZzpzZWNyZXQ=",
        "Basic  c3RhZ2luZzpzZWNyZXQ",
        "Basic %",
        "Bearer x",
    ):
        answer = server.post("/v1/page", json=body, headers={"Authorization": login})
        assert answer.status_code == 200, answer.text


def test_the_senders_address_is_stored_only_where_it_asks_for_that(
    server: TestClient, sessions: Sessions, settings: Settings, write_key: str
) -> None:
    server.app.state.callers = type(server.app.state.callers)("testclient")  # type: ignore[attr-defined]  # the application's own state
    for number, context in enumerate(({"direct": True}, {"direct": False}, {})):
        body = {"userId": "u", "messageId": f"m-{number}", "context": context}
        headers = {"X-Write-Key": write_key, "X-Forwarded-For": "203.0.113.9"}
        server.post("/v1/page", json=body, headers=headers).raise_for_status()
    with sessions() as session:
        query = "SELECT context ->> 'ip' FROM app.event ORDER BY id"
        assert session.scalars(sa.text(query)).all() == ["203.0.113.9", None, None]
