"""The review queue: pairs that a person decides, and what the decisions teach."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, model_validator

from api.auth import Caller, requires
from api.deps import Cursor, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.languages import Chosen
from api.moments import Moment
from api.problems import documented
from api.resource import Resource
from api.routes.identity_explanations import optional_purpose
from api.routes.profiles import StatedHeader, StatedQuery
from app.errors import CursorInvalid, PurposeNotAllowed, PurposeRequired
from app.identities import drifting, reviewing
from identity import queue, recalibration
from identity.errors import LabelsThin, RecalibrationNotFound, ReviewDecided, ReviewNotFound

router = Resource(prefix="/v1/identity", tags=["identity"])

Reader = Annotated[Caller, requires("identity:read")]
Reviewer = Annotated[Caller, requires("identity:review")]
Admin = Annotated[Caller, requires("identity:admin")]
AUTH = (InvalidToken, InsufficientScope)
STATED = (PurposeRequired, PurposeNotAllowed)
Entry = Annotated[
    str,
    Path(
        pattern="^(held-)?[0-9]{1,18}$", description="As the queue names it.", examples=["held-345"]
    ),
]
LATER = timedelta(days=7)


@router.get(
    "/reviews",
    summary="List what waits for a decision",
    responses=documented(*AUTH, *STATED, CursorInvalid),
)
def list_reviews(
    session: Db,
    caller: Reviewer,
    language: Chosen,
    purpose: StatedQuery = None,
    stated: StatedHeader = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return pairs in doubt and links that guards hold, what is worth most to know first.

    The values of both records are shown for the purpose `profile.link`, and of who allows it.
    """
    return reviewing.page(
        session,
        now=datetime.now(UTC),
        cursor=cursor,
        limit=limit,
        purpose=optional_purpose(caller, purpose, stated),
        language=language,
    )


@router.get(
    "/reviews/{review_id}",
    summary="Read what waits for a decision",
    responses=documented(*AUTH, *STATED, ReviewNotFound),
)
def read_review(
    session: Db,
    caller: Reviewer,
    language: Chosen,
    review_id: Entry,
    purpose: StatedQuery = None,
    stated: StatedHeader = None,
) -> dict[str, Any]:
    """Return one entry of the queue, postponed or not, with both records side by side."""
    return reviewing.entry(
        session,
        review_id,
        now=datetime.now(UTC),
        purpose=optional_purpose(caller, purpose, stated),
        language=language,
    )


class ReviewDecisionIn(BaseModel):
    """What a person decided about a pair; `later` takes it out of the queue until a time."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"decision": "no_match"}}
    )

    decision: Literal["match", "no_match", "later"]
    until: Moment | None = None

    @model_validator(mode="after")
    def _until_when(self) -> "ReviewDecisionIn":
        if self.until is not None and self.decision != "later":
            raise ValueError("until belongs to the decision later")
        if self.until is not None and self.until <= datetime.now(UTC):
            raise ValueError("until lies in the past")
        return self


@router.post(
    "/reviews/{review_id}/decision",
    summary="Decide a pair",
    responses=documented(*AUTH, ReviewNotFound, ReviewDecided),
)
def decide_review(
    session: Db, caller: Reviewer, review_id: Entry, wanted: ReviewDecisionIn
) -> dict[str, Any]:
    """Merge the two, keep them apart for good, or ask again later (in 7 days unless said)."""
    now = datetime.now(UTC)
    if wanted.decision == "later":
        until = wanted.until or now + LATER
        queue.postpone(session, review_id, until=until, by=caller.client_id, now=now)
        return {"merged": 0, "split": 0, "until": until.isoformat()}
    match = wanted.decision == "match"
    moved = reviewing.decide(session, review_id, match=match, by=caller.client_id, at=now)
    return {"merged": len(moved.merged), "split": len(moved.split)}


@router.get(
    "/drift", summary="Compare promised probabilities with decisions", responses=documented(*AUTH)
)
def read_drift(session: Db, caller: Reader, language: Chosen) -> dict[str, Any]:
    """Return, by model and decile, what was promised of pairs and what people decided of them.

    Where too little was decided, the verdict is `thin` and nothing is concluded.
    """
    return drifting.report(session, language)


@router.get(
    "/recalibrations", summary="List recalibrations of probabilities", responses=documented(*AUTH)
)
def list_recalibrations(session: Db, caller: Reader) -> dict[str, Any]:
    """Return all versions, newest first; the first that has not ended counts."""
    return {"data": [recalibration.describe(one) for one in recalibration.list_all(session)]}


@router.post(
    "/recalibrations",
    status_code=201,
    summary="Recalibrate probabilities by decided reviews",
    responses=documented(*AUTH, LabelsThin),
)
def recalibrate(session: Db, caller: Admin) -> dict[str, Any]:
    """Make a version from the decided reviews; it counts from the next matching run on.

    Refused while too few were decided, or too few of one kind.
    """
    return recalibration.describe(recalibration.fit(session, by=caller.client_id))


@router.post(
    "/recalibrations/rollback",
    summary="Roll the recalibration back",
    responses=documented(*AUTH, RecalibrationNotFound),
)
def roll_back(session: Db, caller: Admin) -> dict[str, Any]:
    """End the version that counts; the one before it counts again, or the model's own word."""
    return recalibration.describe(recalibration.roll_back(session, by=caller.client_id))
