"""What the tests of the ledger record, and how they read it back."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.db import Sessions
from consent import Choice, Written

HOST = "shop.example"
NOW = datetime(2026, 11, 28, 9, 0, 30, tzinfo=UTC)


def choice(who: str, state: str = "given", purpose: str = "ads.share", **more: Any) -> Choice:
    """A choice of `namespace:value`."""
    namespace, _, value = who.partition(":")
    return Choice(namespace, value, purpose, state, NOW, "source:web", **more)


def record(sessions: Sessions, choices: Iterable[Choice]) -> list[Written]:
    """Record choices in one transaction."""
    with sessions.begin() as session:
        return consent.record(session, choices, received_at=datetime.now(UTC))


def people(sessions: Sessions, count: int, start: int = 0) -> list[Written]:
    """Record a choice of so many people."""
    return record(sessions, [choice(f"user_id:u-{n}") for n in range(start, start + count)])


def entries(session: Session) -> list[dict[str, Any]]:
    """Every entry, in order."""
    query = sa.text("SELECT entry FROM consent.ledger_entry ORDER BY leaf_index")
    return [json.loads(text) for text in session.scalars(query)]


def tamper(sessions: Sessions, *statements: str, **values: Any) -> None:
    """Change the database as its administrator can, who turns the triggers off."""
    with sessions.begin() as session:
        session.execute(sa.text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            session.execute(sa.text(statement), values)
