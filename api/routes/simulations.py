"""Simulations: what a change of the catalogue or a new destination would do."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from api.auth import Caller, requires, state_purpose
from api.deps import Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app.accountability.change import Change
from app.accountability.simulate import simulate as answer
from app.errors import DefinitionInvalid, PurposeNotAllowed, SegmentNotFound, SourceNotFound
from consent.errors import NoticeNotFound, PurposeNotFound

router = Resource(tags=["consent"])


class SimulationIn(Change):
    """One proposed change, and whether some of the people it concerns are named."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"purpose": {"key": "marketing.email", "renews": True}},
        },
    )

    examples_for: str | None = Field(
        default=None,
        max_length=100,
        description="A purpose that this client may state, with `profiles:read`: up to 10 who "
        "change are named, of those whose data may be read for it.",
    )


@router.post(
    "/v1/consents/simulate",
    summary="Simulate a change of consent, or a new destination",
    responses=documented(
        InvalidToken,
        InsufficientScope,
        PurposeNotAllowed,
        PurposeNotFound,
        NoticeNotFound,
        SegmentNotFound,
        SourceNotFound,
        DefinitionInvalid,
    ),
)
def simulate(
    session: Db, caller: Annotated[Caller, requires("consents:read")], wanted: SimulationIn
) -> dict[str, Any]:
    """Say who would be allowed or denied, why, and what follows in segments and destinations.

    Nothing is written. `what_would_have_leaked` counts who is denied although rules that take
    missing, unreadable or lapsed consent for a yes would have let them through; of a
    `segment_event`, the destinations that Segment's own rules would have sent it to.
    """
    stated = None
    if wanted.examples_for is not None:
        if "profiles:read" not in caller.scopes:
            raise InsufficientScope("To name people, the access token lacks profiles:read.")
        stated = state_purpose(caller, wanted.examples_for)
    change = Change(**{name: getattr(wanted, name) for name in Change.model_fields})
    return answer(session, change, at=datetime.now(UTC), named_for=stated)
