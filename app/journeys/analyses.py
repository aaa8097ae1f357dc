"""Runs an analysis over the lake and wraps the answer: as of when, over whom, without whom."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sqlalchemy.orm import Session

import consent
from app.db import Sessions
from app.journeys import funnel as funnels
from app.journeys import matrix as matrices
from app.journeys.cells import MatrixQuery
from app.journeys.definition import Journey, definition_hash
from app.journeys.funnel_request import FunnelRequest, TimeRange
from app.lake.copy import copy_new
from app.lake.duckdb_engine import Lake, open_lake
from identity import people


def funnel(
    sessions: Sessions, directory: Path, request: FunnelRequest, *, purpose: str
) -> dict[str, Any]:
    """Compute an ordered funnel over the resolved people who allow the purpose."""
    digest = definition_hash(request)
    as_of = request.as_of or datetime.now(UTC)
    copy_new(sessions, directory)
    with sessions.begin() as session, open_lake(session, directory, purpose) as lake:
        result = funnels.funnel(lake.connection, request, as_of=as_of)
        return _envelope(session, lake, digest, result, as_of=as_of, purpose=purpose)


def matrix(
    sessions: Sessions,
    directory: Path,
    journey: Journey,
    *,
    range: TimeRange,
    as_of: datetime | None,
    purpose: str,
) -> dict[str, Any]:
    """Compute a journey's stage x channel matrix over the resolved people who allow the purpose."""
    digest = definition_hash(MatrixQuery(journey=journey, range=range))
    moment = as_of or datetime.now(UTC)
    copy_new(sessions, directory)
    with sessions.begin() as session, open_lake(session, directory, purpose) as lake:
        result = matrices.matrix(lake.connection, journey, as_of=moment, range=range)
        return _envelope(session, lake, digest, result, as_of=moment, purpose=purpose)


def _envelope(
    session: Session,
    lake: Lake,
    digest: str,
    result: BaseModel,
    *,
    as_of: datetime,
    purpose: str,
) -> dict[str, Any]:
    """Wrap a result (research/journeys.md 4.0): the same question as of the same time, over the
    same people, has the same bytes."""
    consent.count_denials(
        session,
        use="journey",
        denials=[(purpose, why, people) for why, people in lake.excluded.items()],
        at=datetime.now(UTC),
    )
    body = result.model_dump(mode="json", by_alias=True)
    semantics = body.pop("semantics")
    for repeated in ("as_of", "definition_hash"):
        body.pop(repeated)
    identity_version = people.version(session)
    key = json.dumps([digest, purpose, as_of.isoformat(), identity_version])
    warnings = []
    denied = sum(lake.excluded.values())
    if denied and not lake.profiles:
        warnings.append(
            f"nobody's data may be used for {purpose}: {denied} people are excluded by consent"
        )
    return {
        "query_id": "q_" + hashlib.sha256(key.encode()).hexdigest()[:24],
        "definition_hash": digest,
        "semantics": semantics,
        "purpose": purpose,
        "lawful_basis": consent.catalogue.purpose(session, purpose).lawful_basis,
        "as_of": as_of.isoformat(),
        "identity_version": identity_version,
        "n_profiles": lake.profiles,
        "n_events": lake.events,
        "excluded": {f"consent:{why}": people for why, people in lake.excluded.items()},
        "sampling": 1.0,
        "result": body,
        "warnings": warnings,
    }
