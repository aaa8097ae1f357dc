"""Held events are readable by nobody, whoever looks and whatever becomes of the key."""

import os
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from api.main import create_app
from app.db import Sessions
from app.events.release import Releases
from app.pending.hold import destroy
from app.pending.seal import SECRET
from app.pending.vault import Vault
from app.settings import Settings
from tests.app.pending.waiting import (
    PURPOSE,
    YES,
    Send,
    count,
    counts,
    decide,
    denials,
    names,
    pending,
    track,
)


def test_a_longer_life_written_into_the_table_opens_nothing(
    server: TestClient, send: Send, sessions: Sessions, releases: Releases, write_key: str
) -> None:
    send(track("A"))
    with sessions.begin() as session:
        session.execute(sa.text("UPDATE app.held SET expires_at = expires_at + interval '1 day'"))
    decide(server, write_key, "v-1", "given")
    releases.round()
    assert (names(sessions), count(sessions)) == ([], 1)


def everything(sessions: Sessions) -> str:
    """Every column of every table of the database, as text."""
    with sessions() as session:
        tables = session.scalars(
            sa.text(
                "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables "
                "WHERE table_type = 'BASE TABLE' AND table_schema !~ '^(pg_|information_schema)'"
            )
        ).all()
        assert "app.held" in tables
        return "\n".join(
            str(row)
            for table in tables
            for row in session.scalars(sa.text(f"SELECT t::text FROM {table} t"))  # noqa: S608 -- names from the catalogue
        )


def test_nothing_of_a_held_event_is_readable_in_any_table_nor_in_the_log(
    server: TestClient,
    send: Send,
    sessions: Sessions,
    releases: Releases,
    token: Callable[..., dict[str, str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    secrets = {
        "name": "Zwiebelkuchen bestellt", "who": "visitor-0815", "user": "kunde-4711",
        "mail": "marta@example.org", "device": "geraet-99", "message": "nachricht-12",
        "key": "lieblingsfarbe", "value": "aubergine", "path": "/checkout/geheim", "ip": "rest-77",
    }  # fmt: skip
    answer = send(
        {
            "type": "identify",
            "userId": secrets["user"],
            "anonymousId": secrets["who"],
            "name": secrets["name"],
            "messageId": secrets["message"],
            "traits": {secrets["key"]: secrets["value"], "email": secrets["mail"]},
            "context": {"page": {"path": secrets["path"]}, "device": {"id": secrets["device"]}},
            "custom": secrets["ip"],
        },
        track("unlesbar", "wer-denn", context={"consent": {"categoryPreferences": 3}}),
    )
    assert (answer["held"], len(answer["rejected"])) == (1, 1)
    releases.round()
    text = everything(sessions) + caplog.text
    for what, secret in secrets.items():
        plain = secret.encode()
        for form in (secret, plain.hex(), b64encode(plain).decode().rstrip("=")[:-1]):
            assert form not in text, what
    header = token(purposes=(PURPOSE, "service.operation"))
    for who in (f"user_id:{secrets['user']}", f"anonymous_id:{secrets['who']}"):
        read = server.get(f"/v1/profiles/{who}", params={"purpose": PURPOSE}, headers=header)
        assert read.status_code == 404
    send(track("Agreed", secrets["who"], context=YES))
    releases.round()
    assert secrets["value"] in everything(sessions), "the test looks where it would stand"


def keyed(settings: Settings, *keys: bytes) -> Settings:
    return Settings(
        **{
            **settings.model_dump(),
            "hold_key": ",".join(b64encode(key).decode() for key in keys),
        }
    )


def test_the_wrong_key_leaves_events_held_and_the_right_one_still_releases_them(
    sessions: Sessions, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    key = pending(sessions)
    right, wrong = os.urandom(SECRET), os.urandom(SECRET)
    with TestClient(create_app(keyed(settings, right), sessions)) as server:
        batch = {"batch": [track("A"), track("B", "v-2")], "writeKey": key}
        assert server.post("/v1/batch", json=batch).json()["held"] == 2
        first = Releases(sessions, Vault(keyed(settings, right)))
        first.round()  # both have been looked at
        decide(server, key, "v-1", "given")
        other = Releases(sessions, Vault(keyed(settings, wrong)))
        other.round()
        other.round()
        decide(server, key, "v-2", "given")
    assert (names(sessions), count(sessions)) == ([], 2)
    with sessions.begin() as session:  # a minute later
        minute = "UPDATE app.held SET due_at = due_at - interval '61 seconds'"
        assert session.execute(sa.text(minute + " RETURNING due_at IS NOT NULL")).all() == [
            (True,), (True,)
        ]  # fmt: skip
    other.round()
    assert "cannot be opened" in caplog.text
    assert (names(sessions), count(sessions)) == ([], 2)
    with sessions.begin() as session:
        session.execute(sa.text(minute))
    first.round()
    assert (sorted(names(sessions)), count(sessions)) == (["A", "B"], 0)


def test_a_key_may_be_replaced_while_events_are_held(
    sessions: Sessions, settings: Settings
) -> None:
    key = pending(sessions)
    old, new = os.urandom(SECRET), os.urandom(SECRET)
    with TestClient(create_app(keyed(settings, old), sessions)) as server:
        server.post("/v1/batch", json={"batch": [track("A")], "writeKey": key})
    rotated = keyed(settings, new, old)
    with TestClient(create_app(rotated, sessions)) as server:
        again = {"batch": [track("A"), track("B")], "writeKey": key}
        answer = server.post("/v1/batch", json=again).json()
        assert (answer["held"], answer["duplicates"]) == (1, 1)
        decide(server, key, "v-1", "given")
    Releases(sessions, Vault(rotated)).round()
    assert sorted(names(sessions)) == ["A", "B"]


def test_without_a_usable_key_events_are_rejected_and_nothing_is_kept(
    server: TestClient, send: Send, sessions: Sessions, releases: Releases, settings: Settings
) -> None:
    Path(settings.home / "hold.key").write_text("no key\n")
    answer = send(track("A"), track("B", "v-2", context=YES))
    assert answer["accepted"] == 1
    assert answer["rejected"][0]["code"] == "hold_unavailable"
    assert count(sessions) == 0
    assert denials(sessions) == {"unknown": 1}
    releases.round()


def test_a_source_holds_no_more_than_it_may(
    sessions: Sessions, settings: Settings, write_key: str
) -> None:
    narrow = Settings(**{**settings.model_dump(), "max_held_events": 2})
    with TestClient(create_app(narrow, sessions)) as server:
        batch = [track(str(n), f"v-{n}") for n in range(3)]
        answer = server.post("/v1/batch", json={"batch": batch, "writeKey": write_key}).json()
    assert (answer["held"], [r["code"] for r in answer["rejected"]]) == (2, ["hold_full"])
    said = counts(sessions)
    assert (said.held, dict(said.rejected)) == (2, {"hold_full": 1})
    assert denials(sessions) == {"unknown": 1}


def test_an_erasure_destroys_what_is_held_of_any_identifier(
    send: Send, sessions: Sessions, settings: Settings
) -> None:
    person = {"traits": {"email": "Marta@Example.org"}, "messageId": "m-1"}
    assert (
        send({"type": "identify", "anonymousId": "v-1", **person}, track("A", "v-2"))["held"] == 2
    )
    keyring = Vault(settings).keyring()
    assert keyring is not None
    with sessions.begin() as session:
        assert destroy(session, keyring, "email", "marta@example.org") == 1
        assert destroy(session, keyring, "email", "marta@example.org") == 0
    assert count(sessions) == 1


def test_the_hold_costs_a_source_that_waits_for_nobody_no_statement(
    server: TestClient, sessions: Sessions
) -> None:
    key = pending(sessions, "plain", collection_purpose="service.operation")
    seen: list[str] = []
    engine = sessions.kw["bind"]
    sa.event.listen(engine, "before_cursor_execute", lambda *a: seen.append(a[2]))
    batch = {"batch": [track("A"), track("B", context=YES)], "writeKey": key}
    assert server.post("/v1/batch", json=batch).json()["accepted"] == 2
    assert seen
    assert not [statement for statement in seen if "held" in statement]
