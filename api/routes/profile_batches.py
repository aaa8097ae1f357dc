"""Many profiles at once: each is read as if it were asked for alone, or says why it is not."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.auth import state_purpose
from api.deps import Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import STATUS, documented, slug
from api.routes.profiles import PARTS, Part, Reader, whole
from app.errors import ProfileNotFound, PurposeNotAllowed
from app.profiles import read
from consent.errors import PurposeNotFound
from identity.errors import IdentifierInvalid

router = APIRouter(prefix="/v1/profiles", tags=["profiles"])

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
    "/batch",
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
