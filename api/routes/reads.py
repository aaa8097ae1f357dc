"""Who read whom: the notes of every read of people's data."""

from typing import Annotated, Any

from fastapi import Query

from api.auth import Caller, requires
from api.deps import Cursor, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.moments import Moment
from api.problems import documented
from api.resource import Resource
from app.access import reads
from app.errors import CursorInvalid, ProfileNotFound
from app.profiles import read
from identity import people
from identity.errors import IdentifierInvalid

router = Resource(tags=["privacy"])

READ: dict[str, Any] = {
    "data": [
        {
            "at": "2026-11-28T09:30:00+00:00",
            "client_id": "cl_6b1f0d2a9c3e4f5a7b8c",
            "client": "crm",
            "operation": "GET /v1/profiles/{ref}",
            "purpose": "marketing.email",
            "identifiers": 2,
            "profile_ids": ["9d65bb12-3b0e-4b5e-9b61-6d2f3c1f0a11"],
        }
    ],
    "next_cursor": None,
}


@router.get(
    "/v1/reads",
    summary="List who read whom",
    responses=documented(
        InvalidToken,
        InsufficientScope,
        ProfileNotFound,
        IdentifierInvalid,
        CursorInvalid,
        ok=READ,
    ),
)
def list_reads(
    session: Db,
    caller: Annotated[Caller, requires("audit:read")],
    subject: Annotated[
        str | None, Query(description="Whom they are of.", examples=["user_id:u-42"])
    ] = None,
    client_id: Annotated[str | None, Query(max_length=100)] = None,
    purpose: Annotated[str | None, Query(max_length=200)] = None,
    operation: Annotated[
        str | None, Query(max_length=200, examples=["GET /v1/profiles/{ref}"])
    ] = None,
    since: Annotated[Moment | None, Query()] = None,
    until: Annotated[Moment | None, Query(description="And not at this time.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return the reads of people's data, newest first: by whom, when, for what and of whom.

    `profile_ids` are the people as they are now, of at most 100 of `identifiers` identifiers; where
    `subject` was asked for, nobody else is among them.
    """
    ids = None if subject is None else members_of(session, subject)
    asked = reads.Asked(ids, client_id, purpose, operation, since, until)
    rows, following = reads.page(session, asked, cursor=cursor, limit=limit)
    return {"data": rows, "next_cursor": following}


def members_of(session: Db, subject: str) -> tuple[int, ...]:
    """Return the identifiers of a person; raises ProfileNotFound and IdentifierInvalid."""
    members = people.members(session, [read.find(session, subject).person_id])
    return tuple(member.identifier_id for member in members)
