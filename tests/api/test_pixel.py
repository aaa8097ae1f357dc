"""The image route, and the paths of other makers' SDKs."""

import base64
import json
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from api.routes import calls
from app.db import Sessions

MESSAGE = {"userId": "u-1", "event": "Email Opened", "properties": {"subject": "Zoë?>>>"}}


def data(message: object, *, url: bool = False) -> str:
    raw = json.dumps(message).encode()
    return (base64.urlsafe_b64encode(raw).rstrip(b"=") if url else base64.b64encode(raw)).decode()


def events(sessions: Sessions) -> int:
    with sessions() as session:
        return session.scalar(sa.text("SELECT count(*) FROM app.event")) or 0


def view(server: TestClient, call: str, sent: str, **query: str) -> str:
    answer = server.get(f"/v1/pixel/{call}", params={"data": sent, **query})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/gif"
    assert "no-store" in answer.headers["cache-control"]
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.content.startswith(b"GIF89a")
    return answer.headers["event-outcome"]


@pytest.mark.parametrize(
    ("call", "url"), [("track", False), ("track.gif", True)], ids=["base64", "base64 for addresses"]
)
def test_an_image_is_an_event(
    server: TestClient, sessions: Sessions, write_key: str, call: str, url: bool
) -> None:
    sent = data({**MESSAGE, "writeKey": write_key, "messageId": "m-1"}, url=url)
    assert view(server, call, sent) == "accepted"
    assert view(server, call, sent) == "duplicate"
    assert view(server, call, data(MESSAGE, url=url), writeKey=write_key) == "accepted"
    with sessions() as session:
        rows = session.execute(sa.text("SELECT type, name, properties FROM app.event")).all()
    assert [tuple(row) for row in rows] == [("track", "Email Opened", MESSAGE["properties"])] * 2


def test_an_image_that_brings_no_event_is_an_image_all_the_same_and_says_why(
    server: TestClient, sessions: Sessions, write_key: str
) -> None:
    keyed: dict[str, Any] = {**MESSAGE, "writeKey": write_key}
    assert view(server, "track", data(MESSAGE)) == "unknown-write-key"
    assert view(server, "track", data({**MESSAGE, "writeKey": "wk_x"})) == "unknown-write-key"
    assert view(server, "track", "%%%") == "body-unreadable"
    assert view(server, "track", "") == "body-unreadable"
    assert view(server, "track", data([1])) == "body-unreadable"
    assert view(server, "nothing", data(keyed)) == "unknown_type"
    assert view(server, "track", data({**keyed, "userId": None})) == "no_user_anon_id"
    assert events(sessions) == 0
    with sessions() as session:
        assert session.scalars(sa.text("SELECT code FROM app.rejected_event")).all() == [
            "no_user_anon_id"
        ]


def test_every_path_of_every_dialect_takes_events(
    server: TestClient, sessions: Sessions, write_key: str
) -> None:
    for path, kind in calls.PATHS.items():
        event = {"type": kind or "track", "event": "x", "userId": "u-1", "messageId": path}
        body = event if kind else {"batch": [event]}
        answer = server.post(path, json=body, headers={"X-Write-Key": f"{write_key}:secret"})
        assert (answer.status_code, answer.json()["accepted"]) == (200, 1), path
    with sessions() as session:
        rows = session.execute(sa.text("SELECT message_id, type FROM app.event"))
        stored = {row.message_id: row.type for row in rows}
    assert stored == {path: kind or "track" for path, kind in calls.PATHS.items()}


def test_a_beacon_needs_neither_header_nor_type(
    server: TestClient, sessions: Sessions, write_key: str
) -> None:
    body = json.dumps({"batch": [{"type": "track", "event": "Left", "anonymousId": "a-1"}]})
    answer = server.post(
        "/beacon/v1/batch",
        params={"writeKey": write_key},
        content=body,
        headers={"Content-Type": "text/plain;charset=UTF-8", "Cookie": "rl_session=1"},
    )
    assert answer.json()["accepted"] == 1


def test_the_masked_key_that_jitsu_sends_in_the_body_is_the_key(
    server: TestClient, write_key: str
) -> None:
    body = {"type": "track", "event": "x", "userId": "u", "writeKey": f"{write_key}:***"}
    assert server.post("/api/s/track", json=body).json()["accepted"] == 1
