"""`parcours source …` as an administrator types it."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.access import sources
from app.db import Sessions
from app.errors import DefinitionInvalid, SourceNotFound
from tests.api.line import Line
from tests.end_to_end.product import wait_until


@pytest.fixture
def line(tmp_path: Path, database_url: str) -> Line:
    return Line("source", tmp_path, database_url)


def send(server: TestClient, key: str) -> int:
    event = {"event": "Seen", "userId": "u-1"}
    return server.post("/v1/track", json=event, auth=(key, "")).status_code


def test_a_source_is_added_with_every_setting_shown_changed_and_reset(line: Line) -> None:
    made = line.json(
        "add", "web", "--collection-purpose", "analytics.audience", "--no-stamp-is-evidence",
        "--category", "stats=analytics.audience,ads.share", "--origin", "https://www.example.com",
        "--origin", "https://*.Example.com", "--max-event-bytes", "64000",
        "--max-batch-bytes", "1000000", "--max-batch-events", "100",
        "--events-per-second", "12.5", "--burst", "200", "--pending", "30m",
        "--server-side",
    )  # fmt: skip
    assert set(made) == {"name", "id", "write_key"}
    shown = line.json("show", "web")
    expected = {
        "id": made["id"],
        "name": "web",
        "collection_purpose": "analytics.audience",
        "stamp_is_evidence": False,
        "categories": {"stats": ["analytics.audience", "ads.share"]},
        "allowed_origins": ["https://www.example.com", "https://*.example.com"],
        "max_event_bytes": 64_000,
        "max_batch_bytes": 1_000_000,
        "max_batch_events": 100,
        "events_per_second": 12.5,
        "burst": 200,
        "pending_seconds": 1_800,
        "server_side": True,
    }
    assert {name: shown[name] for name in expected} == expected
    changed = line.json(
        "set", "web", "--burst", "300", "--stamp-is-evidence", "--reset", "origin",
        "--reset", "max-event-bytes", "--pending", "0", "--no-server-side",
    )  # fmt: skip
    assert {name: changed[name] for name in expected} == {
        **expected,
        "burst": 300,
        "stamp_is_evidence": True,
        "allowed_origins": [],
        "max_event_bytes": None,
        "pending_seconds": 0,
        "server_side": False,
    }
    assert "12.5" in line("show", "web")


def test_wrong_settings_end_with_one_clear_line_and_change_nothing(line: Line) -> None:
    line("add", "web")
    before = line.json("show", "web")
    for words, said in (
        (("--origin", "https://example.com/shop"), "allowed_origins"),
        (("--max-event-bytes", "5"), "max_event_bytes"),
        (("--max-batch-bytes", "99999999"), "PARCOURS_MAX_BODY_BYTES"),
        (("--burst", "5"), "events_per_second"),
    ):
        for start in (("set", "web"), ("add", "other")):
            with pytest.raises(DefinitionInvalid, match=said):
                line(*start, *words)
    line("set", "web", "--reset", "colour", status=2)
    line("set", "web", "--pending", "soon", status=2)
    line("rotate-key", "web", "--keep", "5000d", status=2)
    with pytest.raises(SourceNotFound):
        line("show", "nobody")
    assert line.json("show", "web") == before
    assert len(line.json("list")) == 1


def test_a_category_that_decides_nothing_is_refused_and_several_of_one_name_are_one(
    line: Line,
) -> None:
    line("add", "web", "--category", "ads=ads.share")
    for wrong in ("foo", "x=", "=ads.share", "x= , ", ""):
        assert "NAME=PURPOSE" in line("set", "web", "--category", wrong, status=2)
        line("add", "other", "--category", wrong, status=2)
    assert line.json("show", "web")["categories"] == {"ads": ["ads.share"]}
    line("set", "web", "--category", "s=ads.share", "--category", "s=analytics.audience")
    assert line.json("show", "web")["categories"] == {"s": ["ads.share", "analytics.audience"]}


def test_a_name_that_nothing_could_address_is_refused_by_the_command_too(line: Line) -> None:
    for name in ("", " ", "two\nlines", ".."):
        with pytest.raises(DefinitionInvalid, match=r"^#/name: "):
            line("add", name)
    assert line.json("list") == []


def test_times_are_printed_as_rfc_3339_and_ids_have_bounds(line: Line) -> None:
    line("add", "web")
    ends = line.json("rotate-key", "web")["others_end_at"]
    [key, _] = line.json("keys", "web")
    made = line.json("show", "web")["created_at"]
    for time in (ends, key["created_at"], key["expires_at"], made):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00", time), time
    for number in ("99999999999999999999", "0", "-1"):
        line("remove-key", "web", "--", number, status=2)


def test_keys_are_rotated_with_time_to_replace_them(
    line: Line, server: TestClient, sessions: Sessions
) -> None:
    first = line.json("add", "web")["write_key"]
    second = line.json("rotate-key", "web", "--label", "2027")["write_key"]
    third = line.json("add-key", "web", "--label", "shop")["write_key"]
    for key in (first, second, third):
        assert send(server, key) == 200
    keys = line.json("keys", "web")
    assert [key["hint"] for key in keys] == [first[-4:], second[-4:], third[-4:]]
    assert [key["label"] for key in keys] == ["", "2027", "shop"]
    assert [bool(key["expires_at"]) for key in keys] == [True, False, False]
    assert "2027" in line("keys", "web")
    line("remove-key", "web", str(keys[1]["id"]))
    assert len(line.json("keys", "web")) == 2
    last = line.json("rotate-key", "web", "--now")["write_key"]
    assert [key["hint"] for key in line.json("keys", "web")] == [last[-4:]]
    for key in (first, second, third):
        wait_until(lambda key=key: send(server, key) == 401 or None, 2.5)  # type: ignore[misc]  # bound here
    assert send(server, last) == 200
    line("remove", "web")
    assert line.json("list") == []


def test_the_list_says_what_came_in_the_last_hour(
    line: Line, server: TestClient, sessions: Sessions
) -> None:
    with sessions.begin() as session:
        key = sources.add(session, "web")[1]
        sources.add(session, "silent")
    for _ in range(3):
        assert send(server, key) == 200
    server.post("/v1/track", json={}, auth=(key, ""))
    silent, web = line.json("list")
    assert (web["last_hour"]["accepted"], web["last_hour"]["rejected"]) == (3, {"event_missing": 1})
    assert web["last_seen"]
    assert (silent["last_day"]["received"], silent["last_seen"]) == (0, None)
    table = line("list")
    assert web["last_seen"][:19].replace("T", " ") in table
    shown = line("show", "web")
    assert "rejected: event_missing" in shown
