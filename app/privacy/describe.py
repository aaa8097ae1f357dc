"""Requests as the API and the commands show them: never with what they hold of the person."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.privacy import clock, package_store, requests
from app.privacy.tables import PrivacyPackage, PrivacyRequest, PrivacyTask
from app.settings import Settings

#: What a task has noted for itself.
HIDDEN = ("messages", "identities", "told")


def request(row: PrivacyRequest, settings: Settings, *, now: datetime) -> dict[str, Any]:
    """Return a request with its clock."""
    last = clock.last_day(row.due_at, requests.working_days(settings))
    return {
        "id": str(row.id),
        "kind": row.kind,
        "regime": row.regime,
        "state": row.state,
        "reason": row.reason,
        "received_at": row.received_at.isoformat(),
        "due": last.isoformat(),
        "due_at": row.due_at.isoformat(),
        "days_left": (row.due_at - now).days,
        "extended": row.extended,
        "verified_at": row.verified_at.isoformat() if row.verified_at else None,
        "closed_at": row.closed_at.isoformat() if row.closed_at else None,
        "duplicate_of": str(row.duplicate_of) if row.duplicate_of else None,
        "opened_by": row.opened_by,
    }


def task(row: PrivacyTask) -> dict[str, Any]:
    """Return a task with what came of it."""
    return {
        "store": row.store,
        "target": row.target,
        "state": row.state,
        "result": {key: value for key, value in row.result.items() if key not in HIDDEN},
        "attempts": row.attempts,
        "done_at": row.done_at.isoformat() if row.done_at else None,
    }


def package(row: PrivacyPackage) -> dict[str, Any]:
    """Return what is known of a package."""
    return {
        "id": str(row.id),
        "sha256": row.sha256,
        "bytes": row.bytes,
        "expires_at": row.expires_at.isoformat(),
        "deleted_at": row.deleted_at.isoformat() if row.deleted_at else None,
    }


def whole(
    session: Session, request_id: UUID, settings: Settings, *, now: datetime
) -> dict[str, Any]:
    """Return a request with its plan, packages and history; raises PrivacyRequestNotFound."""
    row = requests.find(session, request_id)
    return {
        **request(row, settings, now=now),
        "tasks": [task(one) for one in requests.tasks(session, request_id)],
        "packages": [package(one) for one in package_store.of_request(session, request_id)],
        "events": [
            {"at": e.at.isoformat(), "what": e.what, "by": e.by, **e.details}
            for e in requests.events(session, request_id)
        ],
    }
