"""Analyses of journeys over resolved people, and the profiles behind their numbers."""

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from api.auth import Caller, requires, state_purpose
from api.deps import Configuration, Cursor, Limit
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from app import cursors
from app.errors import (
    AnalysisNotFound,
    BucketInvalid,
    CursorInvalid,
    DefinitionInvalid,
    JourneyNotFound,
    PurposeNotAllowed,
)
from app.journeys import catalogue, questions
from app.journeys.cells import MatrixQuery
from app.journeys.funnel_request import Duration, FunnelRequest, Instant, TimeRange
from app.journeys.paths_request import PathsChoices, PathsRequest
from app.journeys.switches_request import HUMAN, REPEAT_WITHIN, SwitchesQuery
from consent.errors import PurposeNotFound

router = APIRouter(prefix="/v1/analyses", tags=["journeys"])

Reader = Annotated[Caller, requires("journeys:read")]
Opener = Annotated[Caller, requires("journeys:read", "profiles:read")]
T = TypeVar("T", bound=BaseModel)
AUTH = (InvalidToken, InsufficientScope)
ERRORS = (*AUTH, PurposeNotAllowed, PurposeNotFound, JourneyNotFound, DefinitionInvalid)

#: What an analysis is for when it does not say otherwise.
DEFAULT_PURPOSE = "analytics.audience"


class FunnelIn(FunnelRequest):
    """A funnel, the journey it belongs to, and the purpose it serves."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "steps": [{"event": "Product Viewed"}, {"event": "Order Completed"}],
                "window": "P7D",
                "entry": "best",
            }
        }
    )

    journey: str | None = None
    purpose: str | None = Field(default=None, max_length=100)


@router.post("/funnel", summary="Compute a funnel", responses=documented(*ERRORS))
def compute_funnel(
    request: Request, settings: Configuration, caller: Reader, wanted: FunnelIn
) -> dict[str, Any]:
    """Count how far people come through ordered steps; every choice is echoed in `semantics`."""
    with request.app.state.sessions() as session:
        purpose = _purpose(session, caller, wanted.purpose, wanted.journey)
    return _ask(request, settings, "funnel", _plain(FunnelRequest, wanted), purpose, wanted.as_of)


@router.post(
    "/time-to-convert",
    summary="Compute how long a funnel's conversions take",
    responses=documented(*ERRORS),
)
def compute_time_to_convert(
    request: Request, settings: Configuration, caller: Reader, wanted: FunnelIn
) -> dict[str, Any]:
    """Give exact quantiles and a histogram, and by when a share of all who entered converts.

    It is asked as a funnel is.
    """
    with request.app.state.sessions() as session:
        purpose = _purpose(session, caller, wanted.purpose, wanted.journey)
    plain = _plain(FunnelRequest, wanted)
    return _ask(request, settings, "time-to-convert", plain, purpose, wanted.as_of)


class PathsIn(PathsChoices):
    """Paths, the journey whose touchpoints may label them, and the purpose they serve."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "start": {"event": "Product Viewed"},
                "journey": "retail-purchase",
                "label": "touchpoint",
                "max_depth": 4,
                "inactivity": "P30D",
            }
        }
    )

    journey: str | None = None
    purpose: str | None = Field(default=None, max_length=100)
    as_of: Instant | None = None


@router.post("/paths", summary="Find the paths people take", responses=documented(*ERRORS))
def compute_paths(
    request: Request, settings: Configuration, caller: Reader, wanted: PathsIn
) -> dict[str, Any]:
    """Find exact routes, the flow step by step, and the graph of what follows what.

    Whatever is not listed is in `other`; at every node as many paths come in as go on or end.
    """
    journey = None
    with request.app.state.sessions() as session:
        purpose = _purpose(session, caller, wanted.purpose, wanted.journey)
        if wanted.journey is not None:
            journey = catalogue.find(session, wanted.journey)[1]
    said = wanted.model_dump(
        by_alias=True, exclude={"journey", "purpose", "as_of"}, exclude_unset=True
    )
    try:
        question = PathsRequest.model_validate({**said, "journey": journey})
    except ValidationError as error:
        raise DefinitionInvalid(str(error.errors()[0]["msg"])) from None
    return _ask(request, settings, "paths", question, purpose, wanted.as_of)


class MatrixIn(BaseModel):
    """A matrix of a saved journey."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"journey": "retail-purchase"}}
    )

    journey: str
    purpose: str | None = Field(default=None, max_length=100)
    range: TimeRange = TimeRange()
    as_of: Instant | None = None


@router.post(
    "/matrix",
    summary="Compute a journey's stage x channel matrix",
    responses=documented(*ERRORS),
)
def compute_matrix(
    request: Request, settings: Configuration, caller: Reader, wanted: MatrixIn
) -> dict[str, Any]:
    """Compute every cell from the events, with what the map had planned beside it.

    Totals of rows and columns are distinct people, so they are not the sums of their cells.
    """
    with request.app.state.sessions() as session:
        purpose = _purpose(session, caller, wanted.purpose, wanted.journey)
        _, journey = catalogue.find(session, wanted.journey)
    query = MatrixQuery(journey=journey, range=wanted.range)
    return _ask(request, settings, "matrix", query, purpose, wanted.as_of)


class SwitchesIn(MatrixIn):
    """Changes of channel in a saved journey."""

    human: tuple[str, ...] = Field(default=HUMAN, max_length=20)
    repeat_within: Duration = REPEAT_WITHIN


@router.post(
    "/switches",
    summary="Count changes of channel",
    responses=documented(*ERRORS),
)
def compute_switches(
    request: Request, settings: Configuration, caller: Reader, wanted: SwitchesIn
) -> dict[str, Any]:
    """Count who goes from which channel to which, and how people fare after it.

    `completion_after` sets neighbouring events on two channels beside those on one; it compares
    what people chose, and does not say what switching causes.
    """
    with request.app.state.sessions() as session:
        purpose = _purpose(session, caller, wanted.purpose, wanted.journey)
        _, journey = catalogue.find(session, wanted.journey)
    query = SwitchesQuery(
        journey=journey,
        range=wanted.range,
        human=wanted.human,
        repeat_within=wanted.repeat_within,
    )
    return _ask(request, settings, "switches", query, purpose, wanted.as_of)


@router.get(
    "/{query_id}/profiles",
    summary="List the profiles behind a number",
    responses=documented(*AUTH, PurposeNotAllowed, AnalysisNotFound, BucketInvalid, CursorInvalid),
)
def list_profiles_behind(
    request: Request,
    settings: Configuration,
    caller: Opener,
    query_id: Annotated[str, Path(max_length=60)],
    bucket: Annotated[
        str,
        Query(
            max_length=20_000,
            description="The `bucket` of a number, as the answer gives it.",
            examples=["step:2"],
        ),
    ],
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Open a figure of an answer to its people, as of the answer's time.

    `n_profiles` is the figure. Whoever may be counted but not named is in `withheld`.
    """
    from app.journeys import analyses  # noqa: PLC0415  # DuckDB and Arrow: 45 MB, loaded if asked

    after = cursors.decode(cursor, int)[0] if cursor else 0
    with request.app.state.sessions() as session:
        state_purpose(caller, questions.find(session, query_id).purpose)
    body, last = analyses.profiles(
        request.app.state.sessions,
        settings.lake_dir,
        query_id,
        bucket,
        after=after,
        limit=limit,
    )
    return {**body, "next_cursor": None if last is None else cursors.encode(last)}


def _ask(
    request: Request,
    settings: Configuration,
    kind: str,
    question: BaseModel,
    purpose: str,
    as_of: Any,
) -> dict[str, Any]:
    from app.journeys import analyses  # noqa: PLC0415  # DuckDB and Arrow: 45 MB, loaded if asked

    return analyses.ask(
        request.app.state.sessions,
        settings.lake_dir,
        kind,
        question,
        purpose=purpose,
        as_of=as_of,
    )


def _plain(kind: type[T], wanted: BaseModel) -> T:
    """Return the question without what only the route asks: its journey's key, purpose, time."""
    left_out = {"journey", "purpose", "as_of"}
    return kind.model_validate(
        wanted.model_dump(by_alias=True, exclude=left_out, exclude_unset=True)
    )


def _purpose(session: Session, caller: Caller, stated: str | None, journey: str | None) -> str:
    """Return the purpose of an analysis: as stated, or the journey's own, or audience analytics."""
    if stated is None and journey is not None:
        stated = catalogue.find(session, journey)[1].purpose
    return state_purpose(caller, stated or DEFAULT_PURPOSE)
