"""Rejected events: what was not accepted and why; corrected, replayed or given up."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Body, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.auth import Caller, requires
from api.deps import Configuration, Cursor, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.moments import Moment
from api.problems import documented
from api.resource import Resource
from app import cursors
from app.access import sources
from app.errors import (
    CorrectionInvalid,
    CorrectionRequired,
    CursorInvalid,
    RejectedEventClosed,
    RejectedEventNotFound,
    SourceNotFound,
)
from app.events import rejected
from app.events.replay import Replayed, replay, replay_many
from app.events.tables import RejectedEvent

router = Resource(prefix="/v1/rejected-events", tags=["rejected events"])

Admin = Annotated[Caller, requires("sources:admin")]
AUTH = (InvalidToken, InsufficientScope)
#: An event has up to 128 KB: a page with all of them must fit into memory.
MOST_WITH_PAYLOAD = 50
State = Literal["open", "replayed", "discarded"]
ONE = (*AUTH, RejectedEventNotFound)

SHOWN = {
    "id": 17,
    "source": "website",
    "received_at": "2026-11-22T10:00:00+00:00",
    "code": "event_missing",
    "message": "a track call needs the name of its event",
    "details": [],
    "message_id": "m-3",
    "type": "track",
    "name": None,
    "state": "open",
    "size": 112,
    "truncated": False,
    "replayable": True,
    "gpc": False,
    "attempts": 0,
    "corrected_at": None,
    "corrected_by": None,
    "closed_at": None,
    "closed_by": None,
    "outcome": None,
    "result_message_id": None,
}
EVENT: dict[str, Any] = {
    "type": "track", "event": "Order Completed", "userId": "u-42", "messageId": "m-3"
}  # fmt: skip
REPLAYED = {
    "id": 17,
    "state": "replayed",
    "outcome": "accepted",
    "message_id": "m-3",
    "code": "",
    "message": "",
}


class CorrectionIn(BaseModel):
    """The event as it should have been sent, whole."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"event": EVENT}})

    event: dict[str, Any]


class ReplayIn(BaseModel):
    """Which open events to replay; without a member, any."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"code": "event_missing", "limit": 200}}, extra="forbid"
    )

    source: str | None = Field(default=None, max_length=200)
    code: str | None = Field(default=None, max_length=100)
    since: Moment | None = Field(default=None, description="Received at or after.")
    until: Moment | None = Field(default=None, description="Received before.")
    limit: int = Field(default=100, ge=1, le=1000, description="At most so many in one request.")
    cursor: str | None = Field(default=None, description="`next_cursor` of the answer before.")


def shown(row: RejectedEvent, source: str) -> dict[str, Any]:
    """Return a rejected event with its payload: the JSON value that was sent.

    Of what is no whole JSON it is the text.
    """
    return {**rejected.describe(row, source), "payload": _json(row.payload)}


def _json(text: str | None) -> Any:
    """Return kept JSON as it is, without reading what is in it: it may be of any depth."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return text


def _answer(body: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


def _wanted(
    session: Session,
    source: str | None,
    code: str | None,
    state: str | None,
    since: datetime | None,
    until: datetime | None,
) -> rejected.Wanted:
    source_id = sources.find(session, source).id if source is not None else None
    return rejected.Wanted(source_id, code, state, since, until)


def _replayed(done: Replayed) -> dict[str, Any]:
    return {name: getattr(done, name) for name in REPLAYED}


@router.get(
    "",
    summary="List rejected events",
    response_class=Response,
    responses=documented(
        *AUTH, SourceNotFound, CursorInvalid, ok={"data": [SHOWN], "next_cursor": None}
    ),
)
def list_rejected_events(
    session: Db,
    caller: Admin,
    source: Annotated[str | None, Query(description="Of this source.")] = None,
    code: Annotated[str | None, Query(examples=["event_missing"])] = None,
    state: Annotated[State | None, Query()] = None,
    since: Annotated[Moment | None, Query(description="Received at or after.")] = None,
    until: Annotated[Moment | None, Query(description="Received before.")] = None,
    include: Annotated[
        Literal["payload"] | None,
        Query(description="`payload`: with what was sent; then at most 50 to a page."),
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Return rejected events with their reasons, newest first; what was sent only when asked."""
    describe = shown if include else rejected.describe
    rows, following = rejected.page(
        session,
        _wanted(session, source, code, state, since, until),
        before=cursors.decode(cursor, int)[0] if cursor else None,
        limit=min(limit, MOST_WITH_PAYLOAD) if include else limit,
        payload=include is not None,
    )
    if include:
        rejected.saw(session, rows)
    names = rejected.source_names(session, {row.source_id for row in rows})
    return _answer(
        {
            "data": [describe(row, names.get(row.source_id, "")) for row in rows],
            "next_cursor": cursors.encode(following) if following else None,
        }
    )


@router.get(
    "/counts",
    summary="Count rejected events",
    responses=documented(
        *AUTH,
        SourceNotFound,
        ok={
            "data": [
                {
                    "source": "website",
                    "code": "event_missing",
                    "state": "open",
                    "events": 3,
                    "last_at": "2026-11-22T10:00:00+00:00",
                }
            ]
        },
    ),
)
def count_rejected_events(
    session: Db, caller: Admin, source: Annotated[str | None, Query()] = None
) -> dict[str, Any]:
    """Return how many there are by source, code and state.

    `not_kept:consent` were not kept because consent forbids it, `not_kept:bound` because the
    source had had its share of the minute.
    """
    source_id = sources.find(session, source).id if source is not None else None
    return {"data": rejected.counts(session, source_id=source_id)}


@router.post(
    "/replay",
    summary="Replay many rejected events",
    responses=documented(
        *AUTH,
        SourceNotFound,
        CursorInvalid,
        ok={"accepted": 1, "duplicates": 0, "rejected": 0, "unfit": 0, "data": [REPLAYED],
            "next_cursor": None},
    ),
)  # fmt: skip
def replay_rejected_events(
    session: Db, caller: Admin, settings: Configuration, wanted: ReplayIn
) -> dict[str, Any]:
    """Replay open events in the order in which they came; each has its own result.

    `unfit` are events that cannot be replayed without a correction. Call it again with
    `next_cursor` until that is null.
    """
    done, following = replay_many(
        session,
        _wanted(session, wanted.source, wanted.code, "open", wanted.since, wanted.until),
        after=cursors.decode(wanted.cursor, int)[0] if wanted.cursor else 0,
        limit=wanted.limit,
        largest=settings.max_event_bytes,
        by=caller.client_id,
        now=datetime.now(UTC),
    )
    outcomes = [one.outcome for one in done]
    return {
        "accepted": outcomes.count("accepted"),
        "duplicates": outcomes.count("duplicate"),
        "rejected": outcomes.count("rejected"),
        "unfit": outcomes.count("unfit"),
        "data": [_replayed(one) for one in done],
        "next_cursor": cursors.encode(following) if following else None,
    }


@router.get(
    "/{rejected_id}",
    summary="Read one rejected event",
    response_class=Response,
    responses=documented(*ONE, ok={**SHOWN, "payload": {**EVENT, "event": ""}}),
)
def read_rejected_event(session: Db, caller: Admin, rejected_id: int) -> Response:
    """Return one rejected event with what was sent, as far as it is kept."""
    row = rejected.find(session, rejected_id)
    rejected.saw(session, [row])
    name = rejected.source_names(session, {row.source_id}).get(row.source_id, "")
    return _answer(shown(row, name))


@router.patch(
    "/{rejected_id}",
    summary="Correct a rejected event",
    response_class=Response,
    responses=documented(
        *ONE, RejectedEventClosed, CorrectionInvalid, ok={**SHOWN, "payload": EVENT}
    ),
)
def correct_rejected_event(
    session: Db, caller: Admin, rejected_id: int, wanted: CorrectionIn
) -> Response:
    """Put a corrected event in the place of what was sent, to be replayed later."""
    row = rejected.take(session, rejected_id)
    rejected.correct(row, wanted.event, by=caller.client_id, now=datetime.now(UTC))
    session.flush()
    name = rejected.source_names(session, {row.source_id}).get(row.source_id, "")
    return _answer(shown(row, name))


@router.post(
    "/{rejected_id}/replay",
    summary="Replay a rejected event",
    responses=documented(
        *ONE, RejectedEventClosed, CorrectionRequired, CorrectionInvalid, ok=REPLAYED
    ),
)
def replay_rejected_event(
    session: Db,
    caller: Admin,
    settings: Configuration,
    rejected_id: int,
    wanted: Annotated[CorrectionIn | None, Body(examples=[{"event": EVENT}])] = None,
) -> dict[str, Any]:
    """Take the event, corrected where the body says so, the way of a new one, exactly once.

    Its times are those of its first receipt. One that is rejected again stays open with the new
    reason; one that was there already is replayed, with the outcome `duplicate`.
    """
    done = replay(
        session,
        rejected_id,
        event=wanted.event if wanted else None,
        largest=settings.max_event_bytes,
        by=caller.client_id,
        now=datetime.now(UTC),
    )
    return _replayed(done)


@router.delete(
    "/{rejected_id}",
    status_code=204,
    summary="Discard a rejected event",
    responses=documented(*ONE, RejectedEventClosed),
)
def discard_rejected_event(session: Db, caller: Admin, rejected_id: int) -> None:
    """Give a rejected event up; what was sent is deleted, that it was rejected stays."""
    rejected.discard(session, rejected_id, by=caller.client_id, now=datetime.now(UTC))
