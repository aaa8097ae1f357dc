"""What the tests of plans in force send, and how they look at what became of it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from app.db import Sessions
from app.plans import violations

ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "string"}, "revenue": {"type": "number"}},
    "additionalProperties": False,
}
NOW = datetime.now(UTC)
Send = Callable[..., Any]
Publish = Callable[..., None]


def track(properties: dict[str, Any], name: str = "Order", **fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": name, "userId": "u-1", "properties": properties, **fields}


BAD = {"id": 7, "revenue": 1, "colour": "red"}


def query(sessions: Sessions, text: str) -> list[Any]:
    with sessions() as session:
        return [tuple(row) for row in session.execute(sa.text(text))]


def compact(sessions: Sessions) -> int:
    with sessions.begin() as session:
        return violations.compact(session)
