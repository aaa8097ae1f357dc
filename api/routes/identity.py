"""Identity: links, merges and their undo, constraints, matching runs."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.auth import Caller, requires
from api.deps import Cursor, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.languages import Chosen
from api.problems import documented
from api.resource import Resource
from app import cursors, pipeline, work
from app.errors import CursorInvalid, ProfileNotFound
from app.identities import reviewing
from app.profiles import read
from identity import explain, graph, labels, people, reviews
from identity.errors import (
    ConstraintInvalid,
    IdentifierInvalid,
    MergeAlreadyUndone,
    MergeNotFound,
    RunNotFound,
)

router = Resource(prefix="/v1/identity", tags=["identity"])

Reader = Annotated[Caller, requires("identity:read")]
Admin = Annotated[Caller, requires("identity:admin")]
AUTH = (InvalidToken, InsufficientScope)


def _page(rows: list[Any], limit: int, data: list[dict[str, Any]]) -> dict[str, Any]:
    following = cursors.encode(rows[-1].id) if len(rows) == limit else None
    return {"data": data, "next_cursor": following}


def _after(cursor: str | None) -> int:
    return cursors.decode(cursor, int)[0] if cursor else 0


def _moved(moved: graph.Moved) -> dict[str, int]:
    return {"merged": len(moved.merged), "split": len(moved.split)}


@router.get(
    "/links",
    summary="List the links of one person",
    responses=documented(*AUTH, ProfileNotFound, IdentifierInvalid),
)
def list_links(
    session: Db,
    caller: Reader,
    language: Chosen,
    subject: Annotated[str, Query(examples=["user_id:u-42"])],
) -> dict[str, Any]:
    """Return links with evidence, weight and status: followed, held (with the reason), revoked."""
    return {"data": explain.links(session, read.find(session, subject).person_id, language)}


@router.get("/merges", summary="List merges", responses=documented(*AUTH, CursorInvalid))
def list_merges(
    session: Db, caller: Reader, language: Chosen, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Return merges in the order they happened, each with its links, in words too."""
    rows = people.merges(session, after=_after(cursor), limit=limit)
    return _page(rows, limit, [explain.describe_merge(session, m, language) for m in rows])


@router.get("/splits", summary="List splits", responses=documented(*AUTH, CursorInvalid))
def list_splits(
    session: Db, caller: Reader, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Return which parts left whom, in the order in which they did."""
    rows = people.splits(session, after=_after(cursor), limit=limit)
    return _page(rows, limit, [explain.describe_split(session, s) for s in rows])


@router.get(
    "/held", summary="List links that a guard stops", responses=documented(*AUTH, CursorInvalid)
)
def list_held(
    session: Db,
    caller: Reader,
    language: Chosen,
    reason: Annotated[str | None, Query(max_length=100, examples=["limit:user_id"])] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return what was neither merged nor dropped, with its reason, and how many of each reason.

    Those that consent stops are listed for their reason only: nobody has to look at them.
    """
    rows = people.held(session, reason=reason, after=_after(cursor), limit=limit)
    page = _page(rows, limit, explain.describe_links(session, rows, language))
    return {**page, "counts": people.held_counts(session)}


@router.post(
    "/merges/{merge_id}/undo",
    summary="Undo a merge",
    responses=documented(*AUTH, MergeNotFound, MergeAlreadyUndone),
)
def undo_merge(session: Db, caller: Admin, merge_id: int) -> dict[str, Any]:
    """Take a merge back exactly: both profiles answer as before it, and they stay apart."""
    moved = reviewing.undo(session, merge_id, by=caller.client_id, at=datetime.now(UTC))
    return _moved(moved)


class ConstraintIn(BaseModel):
    """Two people that must, or cannot, be one."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "kind": "cannot_link",
                "left": "user_id:u-42",
                "right": "crm_id:c-7",
                "reason": "father and son, same name",
            }
        },
    )

    kind: Literal["must_link", "cannot_link"]
    left: str = Field(examples=["user_id:u-42"])
    right: str = Field(examples=["crm_id:c-7"])
    reason: str = Field(default="", max_length=1000)


@router.post(
    "/constraints",
    status_code=201,
    summary="Decide that two identifiers are, or are not, one person",
    responses=documented(*AUTH, ProfileNotFound, IdentifierInvalid, ConstraintInvalid),
)
def add_constraint(session: Db, caller: Admin, wanted: ConstraintIn) -> dict[str, Any]:
    """Set a constraint; it outranks every other evidence."""
    now = datetime.now(UTC)
    left, right = _acting(session, wanted.left), _acting(session, wanted.right)
    if left == right:
        raise ConstraintInvalid("both sides name the same identifier")
    labels.keep_constraint(
        session, left, right, match=wanted.kind == "must_link", by=caller.client_id
    )
    if wanted.kind == "must_link":
        moved = people.must_link(session, left, right, by=caller.client_id, at=now)
    else:
        people.keep_apart(session, left, right, by=caller.client_id, reason=wanted.reason)
        moved = graph.reconsider(session, {left, right}, at=now)
    pipeline.after_move(session, moved)
    return _moved(moved)


def _acting(session: Session, reference: str) -> int:
    return read.find(session, reference).acting_id


@router.post(
    "/runs", status_code=202, summary="Ask for a matching run", responses=documented(*AUTH)
)
def request_run(
    session: Db,
    caller: Admin,
    scope: Annotated[
        Literal["all", "new"],
        Query(
            description="`all` compares everybody and learns; `new` compares who is new or changed "
            "by what was learnt last."
        ),
    ] = "all",
) -> dict[str, Any]:
    """Queue a run of probabilistic matching; a worker does it."""
    run = reviews.request_run(session, {"asked_by": caller.client_id}, scope=scope)
    work.wake(session)
    return explain.describe_run(run)


@router.get("/runs", summary="List matching runs", responses=documented(*AUTH))
def list_runs(session: Db, caller: Reader, limit: Limit = 100) -> dict[str, Any]:
    """Return the latest runs, newest first."""
    return {"data": [explain.describe_run(r) for r in reviews.runs(session, limit=limit)]}


@router.get(
    "/runs/{run_id}", summary="Read a matching run", responses=documented(*AUTH, RunNotFound)
)
def read_run(session: Db, caller: Reader, run_id: int) -> dict[str, Any]:
    """Return a run: waiting, running, done or failed, and what it did."""
    return explain.describe_run(reviews.find_run(session, run_id))
