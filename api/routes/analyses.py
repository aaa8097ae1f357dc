"""Analyses of journeys over resolved people, and the profiles behind their numbers."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.auth import Caller, requires, state_purpose
from api.deps import Configuration, Cursor, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app import cursors, pipeline
from app.access import reads
from app.errors import (
    AnalysesBusy,
    AnalysisNotFound,
    AnalysisTooLarge,
    BucketInvalid,
    CursorInvalid,
    DefinitionInvalid,
    JourneyNotFound,
    LakeIncomplete,
    PurposeNotAllowed,
    SegmentExists,
    SegmentNotFound,
)
from app.journeys import catalogue, questions
from app.journeys.asked import (
    DEFAULT_PURPOSE,
    Asked,
    AttributionIn,
    ConformanceIn,
    FindingsIn,
    FunnelIn,
    MatrixIn,
    PathsIn,
    ReadinessIn,
    SwitchesIn,
)
from app.journeys.asked_places import CompareIn, DropOffIn, FrictionIn, MomentsIn, VoiceIn
from app.segments import members as segments
from consent.errors import PurposeNotFound

router = Resource(prefix="/v1/analyses", tags=["journeys"])

Reader = Annotated[Caller, requires("journeys:read")]
Opener = Annotated[Caller, requires("journeys:read", "profiles:read")]
Maker = Annotated[Caller, requires("journeys:read", "profiles:read", "segments:write")]
AUTH = (InvalidToken, InsufficientScope)
ERRORS = (
    *AUTH,
    PurposeNotAllowed,
    PurposeNotFound,
    JourneyNotFound,
    DefinitionInvalid,
    AnalysesBusy,
    AnalysisTooLarge,
    LakeIncomplete,
)
OPENED = (
    *AUTH,
    PurposeNotAllowed,
    AnalysisNotFound,
    BucketInvalid,
    AnalysesBusy,
    AnalysisTooLarge,
    LakeIncomplete,
)


@router.post("/funnel", summary="Compute a funnel", responses=documented(*ERRORS, SegmentNotFound))
def compute_funnel(
    request: Request, settings: Configuration, caller: Reader, wanted: FunnelIn
) -> dict[str, Any]:
    """Count how far people come through ordered steps; every choice is echoed in `semantics`."""
    return answer(request, settings, caller, "funnel", wanted)


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
    return answer(request, settings, caller, "time-to-convert", wanted)


@router.post("/paths", summary="Find the paths people take", responses=documented(*ERRORS))
def compute_paths(
    request: Request, settings: Configuration, caller: Reader, wanted: PathsIn
) -> dict[str, Any]:
    """Find exact routes, the flow step by step, and the graph of what follows what.

    Whatever is not listed is in `other`; at every node as many paths come in as go on or end.
    """
    return answer(request, settings, caller, "paths", wanted)


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
    return answer(request, settings, caller, "matrix", wanted)


@router.post("/switches", summary="Count changes of channel", responses=documented(*ERRORS))
def compute_switches(
    request: Request, settings: Configuration, caller: Reader, wanted: SwitchesIn
) -> dict[str, Any]:
    """Count who goes from which channel to which, and how people fare after it.

    `completion_after` sets neighbouring events on two channels beside those on one; it compares
    what people chose, and does not say what switching causes.
    """
    return answer(request, settings, caller, "switches", wanted)


@router.post(
    "/conformance",
    summary="Compare people's ways with the target journey",
    responses=documented(*ERRORS),
)
def compute_conformance(
    request: Request, settings: Configuration, caller: Reader, wanted: ConformanceIn
) -> dict[str, Any]:
    """Count what was skipped, inserted, repeated, out of order, on another channel, or late.

    Each way is explained by the fewest deviations; what an open one has not come to is none.
    """
    return answer(request, settings, caller, "conformance", wanted)


@router.post(
    "/attribution",
    summary="Share out conversions over touches",
    responses=documented(*ERRORS),
)
def compute_attribution(
    request: Request, settings: Configuration, caller: Reader, wanted: AttributionIn
) -> dict[str, Any]:
    """Share out conversions by rules, by a solved Markov chain and by Shapley, side by side.

    For every model the credits and the conversions without a touch are all conversions.
    """
    return answer(request, settings, caller, "attribution", wanted)


@router.post(
    "/friction", summary="Score the friction of touchpoints", responses=documented(*ERRORS)
)
def compute_friction(
    request: Request, settings: Configuration, caller: Reader, wanted: FrictionIn
) -> dict[str, Any]:
    """Score every touchpoint from 0 to 100, with each reason, its weight and how often it was seen.

    What was seen too rarely is absent, not zero. `disagreements` lists where people say otherwise.
    """
    return answer(request, settings, caller, "friction", wanted)


@router.post("/drop-off", summary="Find where people leave", responses=documented(*ERRORS))
def compute_drop_off(
    request: Request, settings: Configuration, caller: Reader, wanted: DropOffIn
) -> dict[str, Any]:
    """Count who leaves at each stage and place, what is lost there, and where the journey breaks.

    Who can still go on is in progress, not dropped.
    """
    return answer(request, settings, caller, "drop-off", wanted)


@router.post(
    "/voice", summary="Join what customers say to touchpoints", responses=documented(*ERRORS)
)
def compute_voice(
    request: Request, settings: Configuration, caller: Reader, wanted: VoiceIn
) -> dict[str, Any]:
    """Give NPS, CSAT and CES of each touchpoint, by the answers that came after it."""
    return answer(request, settings, caller, "voice", wanted)


@router.post("/moments-of-truth", summary="Find moments of truth", responses=documented(*ERRORS))
def compute_moments_of_truth(
    request: Request, settings: Configuration, caller: Reader, wanted: MomentsIn
) -> dict[str, Any]:
    """Test at which touchpoints a bad visit is followed by another outcome than a good one.

    Both are counted from the same moment. It compares what happened to people, and does not say
    what causes it.
    """
    return answer(request, settings, caller, "moments-of-truth", wanted)


@router.post(
    "/compare",
    summary="Compare variants, segments, periods",
    responses=documented(*ERRORS, SegmentNotFound),
)
def compute_comparison(
    request: Request, settings: Configuration, caller: Reader, wanted: CompareIn
) -> dict[str, Any]:
    """Hold groups of people against each other, from one time zero, with tests and intervals.

    An alignment that flatters a group has a warning; all tests are corrected together.
    """
    return answer(request, settings, caller, "compare", wanted)


@router.get(
    "/{query_id}/profiles",
    summary="List the profiles behind a number",
    responses=documented(*OPENED, CursorInvalid),
)
def list_profiles_behind(
    request: Request,
    session: Db,
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
    purpose = state_purpose(caller, questions.find(session, query_id).purpose)
    body, last = analyses.profiles(
        request.app.state.sessions,
        settings.lake_dir,
        query_id,
        bucket,
        after=after,
        limit=limit,
    )
    told = [UUID(one["profile_id"]) for one in body["data"]]
    reads.saw_profiles(session, told, purpose=purpose)
    return {**body, "next_cursor": None if last is None else cursors.encode(last)}


class SegmentOf(BaseModel):
    """The number to make a segment of, and what to call that."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "bucket": "dropped:2",
                "key": "left-at-checkout",
                "name": "Left at the checkout in May",
            }
        },
    )

    bucket: str = Field(max_length=20_000, description="As the answer gives it.")
    key: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    name: str = Field(min_length=1, max_length=200)


@router.post(
    "/{query_id}/segment",
    status_code=201,
    summary="Make a segment of a number",
    responses=documented(*OPENED, SegmentExists),
)
def create_segment_of_number(
    session: Db,
    settings: Configuration,
    caller: Maker,
    query_id: Annotated[str, Path(max_length=60)],
    wanted: SegmentOf,
) -> dict[str, Any]:
    """Make a segment, of the question's purpose, of the people behind a number.

    It never grows. Who withdraws or is erased leaves it, and a merge moves its members. Whoever
    may be counted but not named is in `withheld`, and not in the segment.
    """
    from app.journeys import analyses  # noqa: PLC0415  # DuckDB and Arrow: 45 MB, loaded if asked

    purpose = state_purpose(caller, questions.find(session, query_id).purpose)
    rule, opened = analyses.listed(session, settings.lake_dir, query_id, wanted.bucket)
    at_once = pipeline.can_fill(session)
    segment = segments.create(session, key=wanted.key, name=wanted.name, purpose=purpose, rule=rule)
    pipeline.fill(session, [segment], at_once=at_once)
    segments.stamp(session, segment)
    return {
        "key": segment.key,
        "name": segment.name,
        "purpose": purpose,
        "rule": rule,
        "size": segment.members,
        "n_profiles": opened["n_profiles"],
        "withheld": opened["withheld"],
        "warnings": opened["warnings"],
    }


@router.post("/findings", summary="Find what is worth knowing", responses=documented(*ERRORS))
def compute_findings(
    request: Request, settings: Configuration, caller: Reader, wanted: FindingsIn
) -> dict[str, Any]:
    """Say in French and English what the other analyses find, the weightiest first.

    Each sentence has its figures, its interval and the request that gives them again. All tests
    are corrected together; where data is thin nothing is claimed, and `summary` says so.
    """
    return answer(request, settings, caller, "findings", wanted)


@router.post("/readiness", summary="Say how ready the data is", responses=documented(*ERRORS))
def compute_readiness(
    request: Request, settings: Configuration, caller: Reader, wanted: ReadinessIn
) -> dict[str, Any]:
    """Say which feeds and channels are blind or silent, and which of five levels the data bears.

    Each criterion has its figure, what it must be, and the request that gives it again. Identity
    and consent are those of now.
    """
    return answer(request, settings, caller, "readiness", wanted)


def answer(
    request: Request, settings: Configuration, caller: Caller, kind: str, wanted: Asked
) -> dict[str, Any]:
    """Answer for the purpose that is stated, or the journey's own, or audience analytics.

    Whoever asks by the values of a trait reads it: that needs `profiles:read`, as a profile does.
    """
    from app.journeys import analyses  # noqa: PLC0415  # DuckDB and Arrow: 45 MB, loaded if asked

    question, purpose = posed(request, caller, wanted)
    may_read_traits(caller, analyses.traits(kind, question))
    sessions = request.app.state.sessions
    return analyses.ask(
        sessions, settings.lake_dir, kind, question, purpose=purpose, as_of=wanted.as_of
    )


def posed(request: Request, caller: Caller, wanted: Asked) -> tuple[BaseModel, str]:
    """Return the question about the journey that is named, and the purpose that it serves."""
    with request.app.state.sessions() as session:
        journey, called = catalogue.pinned(session, wanted.journey)
    own = journey.purpose if journey else DEFAULT_PURPOSE
    purpose = state_purpose(caller, wanted.purpose or own)
    try:
        return wanted.model_copy(update={"journey": called}).question(journey), purpose
    except ValidationError as error:
        raise DefinitionInvalid(str(error.errors()[0]["msg"])) from None


def may_read_traits(caller: Caller, asked: list[str]) -> None:
    """Refuse who asks by the values of traits and may not read profiles."""
    if asked and "profiles:read" not in caller.scopes:
        raise InsufficientScope(
            f"The access token lacks the scope profiles:read, by which {', '.join(asked)} is read."
        )
