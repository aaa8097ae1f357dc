"""What decisions in docs/decisions forbid, looked for in the code itself."""

import ast
import re
import tomllib
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

from fastapi.testclient import TestClient

from api import deps
from app.access import credentials, sources, write_keys
from app.db import Sessions
from app.events import envelope
from app.events.body import to_message
from app.lake import copy
from app.lake.duckdb_engine import open_lake
from app.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = [
    path
    for folder in ("api", "app", "consent", "identity")
    for path in (ROOT / folder).rglob("*.py")
]


def calls(path: Path) -> Iterator[str]:
    """Yield the names of the methods that a file calls."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr


def test_nobody_commits_by_hand() -> None:
    """Decision 0002."""
    assert [path for path in PRODUCT if {"commit", "rollback"} & set(calls(path))] == []


def test_the_transaction_of_a_request_ends_before_its_answer_leaves() -> None:
    """Decision 0002."""
    depends = get_args(deps.Db)[1]
    assert depends.dependency is deps.transaction
    assert depends.scope == "function"


def test_only_the_collector_is_asynchronous() -> None:
    """Decision 0005: an async function elsewhere is a route that can block all the others."""
    found = {
        path.relative_to(ROOT)
        for path in PRODUCT
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.AsyncFunctionDef)
    }
    assert found <= {
        Path("api/body_limit.py"),  # counts a body as it arrives
        Path("api/cors.py"),  # marks answers, and waits for nothing of its own
        Path("api/deps.py"),  # lets requests wait for their transaction without a thread
        Path("api/direct.py"),  # calls the tracking routes
        Path("api/forwarded.py"),  # likewise, of requests
        Path("api/known_sources.py"),  # waits for a look-up that several requests share
        Path("api/main.py"),  # the life of the writer
        Path("api/frame.py"),  # the frame around every request
        Path("api/request_body.py"),  # reads a tracking body, bounded
        Path("api/routes/collect.py"),
        Path("api/routes/consents.py"),  # passes the door, whose bucket is the event loop's
        Path("api/routes/pixel.py"),  # one event, by the collector
        Path("api/routes/tracking_settings.py"),  # waits for the look-up of keys
        Path("api/routes/oauth.py"),  # the scheme that tells the OpenAPI document
        Path("api/oauth_server.py"),  # reads the body of a form
    }


def test_there_is_no_queue_beside_the_tables() -> None:
    """Decision 0008."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names = {re.split(r"[^\w-]", entry)[0] for entry in project["project"]["dependencies"]}
    assert names.isdisjoint({"procrastinate", "celery", "rq", "dramatiq", "arq", "redis", "kafka"})


def test_keys_have_192_random_bits_or_more_and_are_kept_as_a_hash() -> None:
    """Decision 0017."""
    for module in (write_keys, credentials):
        text = Path(module.__file__ or "").read_text(encoding="utf-8")
        sizes = [int(size) for size in re.findall(r"token_urlsafe\((\d+)\)", text)]
        assert sizes
        assert min(sizes) * 8 >= 192
    assert len(write_keys.hash_key("wk_x")) == 32


def test_a_strict_source_stores_nothing_without_consent_and_the_default_does(
    server: TestClient, sessions: Sessions
) -> None:
    """Decision 0013."""
    with sessions.begin() as session:
        default = sources.add(session, "default")[1]
        strict = sources.add(session, "strict", collection_purpose="analytics.audience")[1]
    event = {"userId": "u-1", "event": "Seen"}
    agreed = {"consent": {"categoryPreferences": {"analytics.audience": True}}}

    def rejected(key: str, **more: object) -> list[str]:
        answer = server.post("/v1/track", json={**event, **more, "writeKey": key}).json()
        return [entry["code"] for entry in answer["rejected"]]

    assert rejected(default) == []
    assert rejected(strict) == ["consent_denied"]
    assert rejected(strict, context=agreed) == []


def test_a_clock_is_corrected_only_when_it_is_off_by_two_seconds_and_less_than_a_year() -> None:
    """Decision 0014."""
    received = datetime(2026, 11, 22, 12, tzinfo=UTC)
    happened = received - timedelta(hours=1)

    def occurred(behind: timedelta) -> datetime:
        message = {
            "type": "track",
            "event": "Seen",
            "userId": "u-1",
            "timestamp": (happened - behind).isoformat(),
            "sentAt": (received - behind).isoformat(),
        }
        read = envelope.read(to_message(message), received_at=received, largest=10_000)
        assert isinstance(read, envelope.Envelope)
        return read.occurred_at

    for kept in (timedelta(0), timedelta(seconds=1.9), timedelta(days=366)):
        assert occurred(kept) == happened - kept
    for corrected in (timedelta(seconds=2), timedelta(days=-3), timedelta(days=364)):
        assert occurred(corrected) == happened


def test_a_withdrawal_holds_in_the_lake_without_rewriting_a_file(
    server: TestClient, sessions: Sessions, settings: Settings, write_key: str
) -> None:
    """Decision 0015."""
    consented = {"consent": {"categoryPreferences": {"analytics.audience": True}}}
    event = {"userId": "u-1", "event": "Seen", "context": consented}
    assert server.post("/v1/track", json={**event, "writeKey": write_key}).json()["accepted"] == 1
    assert copy.copy_new(sessions, settings.lake_dir) == 1
    before = {path: path.stat().st_mtime_ns for path in settings.lake_dir.iterdir()}

    def seen() -> tuple[int, dict[str, int]]:
        with (
            sessions() as session,
            open_lake(session, settings.lake_dir, "analytics.audience") as lake,
        ):
            return lake.events, dict(lake.excluded)

    assert seen() == (1, {})
    withdrawn = {
        "subject": {"namespace": "user_id", "value": "u-1"},
        "decisions": [{"purpose": "analytics.audience", "state": "withdrawn"}],
    }
    basic = b64encode(f"{write_key}:".encode()).decode()
    header = {"Authorization": f"Basic {basic}"}
    assert server.post("/v1/consents", json=withdrawn, headers=header).status_code == 200
    assert seen() == (0, {"withdrawn": 1})
    assert {path: path.stat().st_mtime_ns for path in settings.lake_dir.iterdir()} == before
