"""Many profiles at once: those that are named, or those that changed."""

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from api.auth import state_purpose
from api.deps import Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.problems import STATUS, documented, slug
from api.resource import Resource
from api.routes.profiles import (
    PARTS,
    Part,
    Reader,
    StatedHeader,
    StatedQuery,
    stated_once,
    whole,
)
from app.errors import CursorInvalid, ProfileNotFound, PurposeNotAllowed, PurposeRequired
from app.profiles import changed, read
from consent.errors import PurposeNotFound
from identity.errors import IdentifierInvalid

router = Resource(tags=["profiles"])

#: So many are decided and read in the statements, and nearly the time, of a page of the list.
MOST = 100
Reference = Annotated[str, Field(min_length=1, max_length=1100)]

BATCH: dict[str, Any] = {
    "purpose": "marketing.email",
    "data": [
        {
            "ref": "user_id:u-42",
            "status": 200,
            "profile": {
                "profile_id": "9d65bb12-3b0e-4b5e-9b61-6d2f3c1f0a11",
                "purpose": "marketing.email",
                "traits": {"first_name": "Ada"},
                "segments": [],
                "withheld": [],
            },
        },
        {
            "ref": "email:nobody@example.com",
            "status": 404,
            "code": "profile-not-found",
            "message": "nobody is known by this reference",
        },
    ],
}


CHANGED: dict[str, Any] = {
    "data": [
        {
            "profile_id": "9d65bb12-3b0e-4b5e-9b61-6d2f3c1f0a11",
            "purpose": "marketing.email",
            "traits": {"first_name": "Ada"},
            "computed": {},
            "identifiers": [],
            "segments": [],
            "journeys": [],
            "withheld": [],
            "gone": None,
            "sequence": "00000000000000000812-00000000000000000034",
        },
        {
            "profile_id": "0b0c3c62-6d0e-4a42-9a39-9c2a8c5e2f10",
            "gone": True,
            "sequence": "00000000000000000815-00000000000000000041",
        },
    ],
    "next_cursor": "WzgxNSw0MV0",
    "has_more": False,
}


class BatchIn(BaseModel):
    """Profiles to read."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "purpose": "marketing.email",
                "refs": ["user_id:u-42", "email:nobody@example.com"],
                "include": ["traits", "segments"],
            }
        },
    )

    purpose: str = Field(max_length=100, description="What all of them are read for.")
    refs: list[Reference] = Field(min_length=1, max_length=MOST)
    include: list[Part] = Field(
        default=list(PARTS), min_length=1, description="Parts of each profile; all unless said."
    )


@router.post(
    "/v1/profiles/batch",
    summary="Read many profiles",
    responses=documented(
        InvalidToken, InsufficientScope, PurposeNotAllowed, PurposeNotFound, ok=BATCH
    ),
)
def read_batch(session: Db, caller: Reader, wanted: BatchIn) -> dict[str, Any]:
    """Return an entry for each reference, in their order: its profile, or why there is none.

    `status` and `code` are those that the reference would be answered with alone. Two references
    may name one person; who allows nothing is an entry whose profile is `withheld`.
    """
    purpose = state_purpose(caller, wanted.purpose)
    answers = read.find_all(session, wanted.refs)
    found = {ref: one for ref, one in answers.items() if isinstance(one, read.Found)}
    views = dict(zip(found, read.views(session, list(found.values()), purpose), strict=True))
    profiles = whole(session, list(views.values()), wanted.include)
    data = []
    for ref in wanted.refs:
        answer = answers[ref]
        if isinstance(answer, read.Found):
            profile = profiles[views[ref].subject_id]
            data.append({"ref": ref, "status": 200, "profile": profile})
        else:
            data.append({"ref": ref, **_missing(answer)})
    return {"purpose": purpose, "data": data}


def _missing(why: ProfileNotFound | IdentifierInvalid) -> dict[str, Any]:
    kind = type(why)
    return {"status": int(STATUS[kind]), "code": slug(kind), "message": str(why)}


@router.get(
    "/v1/changed-profiles",
    summary="Read the profiles that changed",
    responses=documented(
        PurposeRequired,
        InvalidToken,
        InsufficientScope,
        PurposeNotAllowed,
        PurposeNotFound,
        CursorInvalid,
        ok=CHANGED,
    ),
)
def read_changed(
    session: Db,
    caller: Reader,
    purpose: StatedQuery = None,
    stated: StatedHeader = None,
    after: Annotated[
        str | None, Query(description="`next_cursor`, or the largest `sequence` that you have.")
    ] = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Return the profiles that the next changes of the feed concern, as they are now, whole.

    For who keeps a copy: who allows the purpose no more comes with nothing but `withheld`, and an
    id whose profile was merged into another or erased with `gone`. `limit` is of changes; a profile
    may come again in a later page. Without `after` it begins with the first change of all. Of
    `journeys` only how somebody left the target is news: where they stand is as of this answer.
    """
    wanted = state_purpose(caller, stated_once(purpose, stated))
    page = changed.page(session, wanted, after=after, limit=limit, purposes=caller.purposes)
    profiles = whole(session, [view for view, _ in page.views])
    data = [
        {**profiles[view.subject_id], "gone": None, "sequence": sequence}
        for view, sequence in page.views
    ]
    data += [{"profile_id": ref, "gone": True, "sequence": place} for ref, place in page.gone]
    data.sort(key=lambda one: str(one["sequence"]))
    return {"data": data, "next_cursor": page.following, "has_more": page.more}
