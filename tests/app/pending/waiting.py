"""What the tests of held events share: visitors, sources that wait, and a look at the tables."""

from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from fastapi.testclient import TestClient

import consent
from app.access import sources
from app.access.sources import SourceSettings
from app.db import Sessions
from app.events import tally

PURPOSE = "analytics.audience"
YES = {"consent": {"categoryPreferences": {PURPOSE: True}}}
NO = {"consent": {"categoryPreferences": {PURPOSE: False}}}
PREFERENCE = "Segment Consent Preference Updated"
Send = Callable[..., dict[str, Any]]


def track(name: str, who: str = "v-1", **fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": name, "anonymousId": who, "messageId": name, **fields}


def pending(sessions: Sessions, name: str = "site", **columns: Any) -> str:
    """Add a source that waits half an hour for an answer, and return its write key."""
    with sessions.begin() as session:
        source, key = sources.add(session, name, collection_purpose=PURPOSE)
        for column, value in {"pending_seconds": 1800, **columns}.items():
            setattr(source, column, value)
    return key


def decide(server: TestClient, key: str, who: str, state: str, namespace: str = "anonymous_id",
           **more: Any) -> None:  # fmt: skip
    basic = {"Authorization": "Basic " + b64encode(f"{key}:".encode()).decode()}
    body = {
        "subject": {"namespace": namespace, "value": who},
        "decisions": [{"purpose": PURPOSE, "state": state}],
        **more,
    }
    server.post("/v1/consents", json=body, headers=basic).raise_for_status()


def names(sessions: Sessions) -> list[str]:
    with sessions() as session:
        return list(session.scalars(sa.text("SELECT name FROM app.event ORDER BY received_at")))


def count(sessions: Sessions, table: str = "app.held") -> int:
    with sessions() as session:
        return session.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0  # noqa: S608 -- ours


def counts(sessions: Sessions, name: str = "site") -> tally.Counts:
    with sessions() as session:
        source = sources.find(session, name)
        return tally.read(session, source.id, datetime.now(UTC) + timedelta(seconds=1)).day


def denials(sessions: Sessions) -> dict[str, int]:
    with sessions() as session:
        found = [row for row in consent.denials(session) if row["use"] == "collect"]
        return {row["reason"]: row["denials"] for row in found}


def source_settings(sessions: Sessions, name: str = "site") -> SourceSettings:
    """What collection knows of the source that waits."""
    with sessions() as session:
        return sources.settings_of(sources.find(session, name))
