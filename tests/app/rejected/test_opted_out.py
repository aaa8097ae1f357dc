"""Who carries Global Privacy Control does so in what is corrected, wherever it was refused."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from msgspec import Raw

from app.access import sources
from app.db import Sessions
from app.events import envelope
from app.events.body import to_message
from app.events.item import Batch
from app.events.writer import Writer
from app.plans import in_force, versions
from tests.app.rejected.conftest import Call, basic

ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "illness": {"type": "string", "x-special-category": "health"},
    },
}
BAD: dict[str, Any] = {"type": "track", "event": "Order", "userId": "u-1", "properties": {"id": 7}}
CORRECTED = {**BAD, "properties": {"id": "7"}, "context": {"gpc": False}}
Publish = Callable[[dict[str, Any]], None]


@pytest.fixture
def publish(sessions: Sessions, write_key: str, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Publish a plan for the source `web` that refuses orders of another form."""
    monkeypatch.setattr(in_force, "SECONDS", 0.0)

    def make(properties: dict[str, Any]) -> None:
        rule = {"type": "track", "event": "Order", "properties": properties}
        with sessions.begin() as session:
            definition = {"mode": "reject", "rules": [rule]}
            versions.create(session, key="shop", title="Shop", definition=definition)
            versions.publish(session, "shop")
            versions.attach(session, "shop", "web")

    return make


def _replay_all(call: Call) -> list[bool]:
    """Replay each corrected, oldest first; return what was known of its request."""
    rows = call("GET").json()["data"][::-1]
    for row in rows:
        answer = call("POST", f"/{row['id']}/replay", json={"event": CORRECTED}).json()
        assert answer["outcome"] == "accepted", answer
    return [row["gpc"] for row in rows]


def _stored(sessions: Sessions) -> list[tuple[bool, bool]]:
    """Return of each event whether it carries the signal, and whether it refuses anything."""
    with sessions() as session:
        rows = session.execute(sa.text("SELECT context, refused FROM app.event ORDER BY id")).all()
    return [(row.context["gpc"], bool(row.refused)) for row in rows]


@pytest.mark.parametrize("more", [{}, {"illness": "flu"}], ids=["plain", "special"])
def test_what_a_plan_refused(
    server: TestClient, write_key: str, call: Call, sessions: Sessions, publish: Publish,
    more: dict[str, str],
) -> None:  # fmt: skip
    publish(ORDER)
    body = {**BAD, "properties": {"id": 7, **more}}
    for header in ({"Sec-GPC": "1"}, {}):
        answer = server.post("/v1/track", json=body, headers={**basic(write_key), **header})
        assert [one["code"] for one in answer.json()["rejected"]] == ["plan_violation"]
    assert _replay_all(call) == [True, False]
    assert _stored(sessions) == [(True, True), (False, False)]


def test_what_was_kept_before_migration_0083(
    server: TestClient, write_key: str, call: Call, sessions: Sessions
) -> None:
    body = {"type": "track", "userId": "u-1"}
    for header in ({"Sec-GPC": "1"}, {}):
        server.post("/v1/track", json=body, headers={**basic(write_key), **header})
    server.post("/v1/track", content="no JSON", headers=basic(write_key))
    with sessions.begin() as session:
        session.execute(sa.text("UPDATE app.rejected_event SET gpc = false"))
    first = call("GET").json()["data"][-1]
    for _ in range(2):  # what is wrong in the correction, too, is corrected once more
        wrong = {"event": {**CORRECTED, "type": "none"}}
        answer = call("POST", f"/{first['id']}/replay", json=wrong).json()
        assert answer["outcome"] == "rejected"
    assert _replay_all(call) == [True, False, False]
    assert _stored(sessions) == [(True, True), (False, False), (False, False)]


@pytest.mark.parametrize("raw", [b"{}", b'{"a": no}'], ids=["kept", "not kept"])
def test_what_the_database_refused(sessions: Sessions, call: Call, raw: bytes) -> None:
    with sessions.begin() as session:
        source = sources.settings_of(sources.add(session, "small")[0])
    now = datetime.now(UTC)
    writer = Writer(sessions)
    entries: list[envelope.Envelope | envelope.Rejection] = []
    for n, context in enumerate([{"gpc": True}, {}]):
        message = {"type": "page", "userId": "u-1", "messageId": f"m-{n}", "context": context}
        read = envelope.read(to_message(message), received_at=now,
                             largest=1_000)  # fmt: skip
        assert isinstance(read, envelope.Envelope)
        entries.append(msgspec.structs.replace(read, name="a\x00b", properties=Raw(raw)))
    entries.append(envelope.Rejection("unstorable", "why", "m-2", Raw(b'{"a": no}'), gpc=True))

    async def write() -> None:
        await writer.submit(Batch(source, entries, now))

    asyncio.run(write())
    writer.close()
    rows = call("GET").json()["data"]
    assert {row["message_id"]: row["gpc"] for row in rows} == {
        "m-0": True, "m-1": False, "m-2": True
    }  # fmt: skip
