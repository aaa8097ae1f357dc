"""Profiles: the 360° view of one person, for a stated purpose."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Header, Path, Query
from sqlalchemy.orm import Session

from api.auth import Caller, requires, state_purpose
from api.deps import Cursor, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.languages import Chosen
from api.problems import documented
from app.consents import explain
from app.errors import CursorInvalid, ProfileNotFound, PurposeNotAllowed, PurposeRequired
from app.identities import explaining
from app.journeys import catalogue as journeys
from app.journeys import history
from app.profiles import computed_values, read, summary
from app.segments import members as segments
from consent.errors import PurposeNotFound
from identity import explain as identity_explain
from identity import people
from identity.errors import IdentifierInvalid

router = APIRouter(prefix="/v1/profiles", tags=["profiles"])

Reader = Annotated[Caller, requires("profiles:read")]
Ref = Annotated[
    str, Path(description="A profile id, or namespace:value.", examples=["user_id:u-42"])
]
StatedQuery = Annotated[str | None, Query(alias="purpose", examples=["service.operation"])]
StatedHeader = Annotated[str | None, Header(alias="Purpose")]
ERRORS = (
    PurposeRequired,
    InvalidToken,
    InsufficientScope,
    PurposeNotAllowed,
    PurposeNotFound,
    ProfileNotFound,
    IdentifierInvalid,
)

COMPUTED: dict[str, Any] = {
    "profile_id": "9d65bb12-3b0e-4b5e-9b61-6d2f3c1f0a11",
    "purpose": "marketing.email",
    "data": [
        {
            "key": "revenue_90d",
            "value": 129.9,
            "events": 3,
            "since": "2026-11-28T10:00:00+00:00",
            "state": "fresh",
        }
    ],
    "withheld": [],
}


def seen(
    session: Session, caller: Caller, ref: str, query: str | None, header: str | None
) -> read.View:
    """Return the person as this caller may see them for the purpose it states."""
    purpose = state_purpose(caller, stated_once(query, header))
    return read.view(session, read.find(session, ref), purpose)


def stated_once(query: str | None, header: str | None) -> str | None:
    """Return the purpose that a request states; raises PurposeRequired when it states two."""
    if query and header and query != header:
        raise PurposeRequired("the query and the header Purpose state different purposes")
    return query or header


def frame(view: read.View, **members: Any) -> dict[str, Any]:
    """Return an answer about one profile: who, for what, and what was withheld and why."""
    return {
        "profile_id": str(view.profile_id),
        "purpose": view.purpose,
        **members,
        "withheld": list(view.withheld),
    }


@router.get("", summary="List profiles", responses=documented(*ERRORS[:5], CursorInvalid))
def list_profiles(
    session: Db,
    caller: Reader,
    purpose: StatedQuery = None,
    stated: StatedHeader = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return profiles whose data may be used for the purpose; a page may be short."""
    views, following = read.page(
        session, state_purpose(caller, stated_once(purpose, stated)), cursor=cursor, limit=limit
    )
    computed = computed_values.of_views(session, views, now=datetime.now(UTC))
    return {
        "data": [
            frame(
                v,
                traits=summary.plain(read.traits(session, v)),
                computed=summary.plain_computed(computed.get(v.subject_id, ())),
            )
            for v in views
        ],
        "next_cursor": following,
    }


@router.get("/{ref}", summary="Read one profile", responses=documented(*ERRORS))
def read_profile(
    session: Db, caller: Reader, ref: Ref, purpose: StatedQuery = None, stated: StatedHeader = None
) -> dict[str, Any]:
    """Return traits, computed traits, identifiers, segments and journeys, as consent allows.

    What may not be used for the purpose is left out, and `withheld` says how much and why.
    """
    view = seen(session, caller, ref, purpose, stated)
    timeline = history.oldest_first(session, view)
    return frame(
        view,
        traits=summary.plain(read.traits(session, view)),
        computed=summary.plain_computed(_computed(session, view)),
        identifiers=summary.identifiers(session, view),
        segments=_segments(session, view),
        journeys=journeys.stages(session, timeline, purpose=view.purpose),
    )


@router.get(
    "/{ref}/traits", summary="Read traits with their provenance", responses=documented(*ERRORS)
)
def read_traits(
    session: Db, caller: Reader, ref: Ref, purpose: StatedQuery = None, stated: StatedHeader = None
) -> dict[str, Any]:
    """Return each trait with its value and the source, time, event and identifier that set it."""
    view = seen(session, caller, ref, purpose, stated)
    return frame(view, data=summary.with_provenance(read.traits(session, view)))


@router.get(
    "/{ref}/computed",
    summary="Read computed traits",
    responses=documented(*ERRORS, ok=COMPUTED),
)
def read_computed(
    session: Db, caller: Reader, ref: Ref, purpose: StatedQuery = None, stated: StatedHeader = None
) -> dict[str, Any]:
    """Return the computed traits of the stated purpose, those without a value included.

    `state` is that of the trait: while it is `computing`, or in `error`, there is no value.
    """
    view = seen(session, caller, ref, purpose, stated)
    return frame(view, data=[summary.computed(one) for one in _computed(session, view)])


def _computed(session: Session, view: read.View) -> Sequence[computed_values.Computed]:
    found = computed_values.of_views(session, [view], now=datetime.now(UTC))
    return found.get(view.subject_id, ())


@router.get("/{ref}/identifiers", summary="Read identifiers", responses=documented(*ERRORS))
def read_identifiers(
    session: Db, caller: Reader, ref: Ref, purpose: StatedQuery = None, stated: StatedHeader = None
) -> dict[str, Any]:
    """Return the identifiers by which this person is known."""
    view = seen(session, caller, ref, purpose, stated)
    return frame(view, data=summary.identifiers(session, view))


@router.get(
    "/{ref}/events", summary="Read the timeline", responses=documented(*ERRORS, CursorInvalid)
)
def read_events(
    session: Db,
    caller: Reader,
    ref: Ref,
    purpose: StatedQuery = None,
    stated: StatedHeader = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return events, newest first, as they were sent."""
    view = seen(session, caller, ref, purpose, stated)
    rows, following = read.events(session, view, cursor=cursor, limit=limit)
    return frame(view, data=[summary.event(row) for row in rows], next_cursor=following)


@router.get("/{ref}/segments", summary="Read segments", responses=documented(*ERRORS))
def read_segments(
    session: Db,
    caller: Reader,
    ref: Ref,
    purpose: StatedQuery = None,
    stated: StatedHeader = None,
    past: Annotated[bool, Query(description="List the stays that ended, with the reason.")] = False,
) -> dict[str, Any]:
    """Return the segments of the stated purpose that the person is in, and since when.

    `past` is what was: an undone merge has left no trace in who the person is, and one in there.
    """
    view = seen(session, caller, ref, purpose, stated)
    found = frame(view, data=_segments(session, view))
    if not past:
        return found
    ended = [
        {
            "segment": row.key,
            "since": row.entered_at.isoformat(),
            "until": row.left_at.isoformat(),
            "reason": row.why_left,
        }
        for row in _stays(session, view)
        if row.left_at is not None
    ]
    return found | {"past": ended}


def _stays(session: Session, view: read.View) -> list[sa.Row[Any]]:
    """Return the stays in segments of the stated purpose; others are not for this reader."""
    if not view.allowed:
        return []
    rows = segments.of_person(session, view.subject_id)
    return [row for row in rows if row.purpose == view.purpose]


def _segments(session: Session, view: read.View) -> list[dict[str, Any]]:
    return [
        {"segment": row.key, "since": row.entered_at.isoformat()}
        for row in _stays(session, view)
        if row.left_at is None
    ]


@router.get("/{ref}/journeys", summary="Read journeys", responses=documented(*ERRORS))
def read_journeys(
    session: Db, caller: Reader, ref: Ref, purpose: StatedQuery = None, stated: StatedHeader = None
) -> dict[str, Any]:
    """Return the stage the person has reached in each journey of the stated purpose."""
    view = seen(session, caller, ref, purpose, stated)
    timeline = history.oldest_first(session, view)
    return frame(view, data=journeys.stages(session, timeline, purpose=view.purpose))


@router.get(
    "/{ref}/consents",
    summary="Read what may be done, purpose by purpose",
    responses=documented(InvalidToken, InsufficientScope, ProfileNotFound, IdentifierInvalid),
)
def read_consents(
    session: Db, caller: Annotated[Caller, requires("consents:read")], ref: Ref
) -> dict[str, Any]:
    """Return the decision for every purpose with its reason, records and contradictions."""
    now = datetime.now(UTC)
    found = read.find(session, ref)
    answers = explain.explain(session, found.person_id, found.acting_id, at=now, known_at=now)
    return {
        "profile_id": str(found.profile_id),
        "data": [explain.as_json(answer) for answer in answers],
    }


IDENTITY = documented(InvalidToken, InsufficientScope, ProfileNotFound, IdentifierInvalid)


@router.get("/{ref}/merges", summary="Read how this person was put together", responses=IDENTITY)
def read_merges(
    session: Db, caller: Annotated[Caller, requires("identity:read")], ref: Ref
) -> dict[str, Any]:
    """Return the merges this person took part in, undone ones included."""
    found = read.find(session, ref)
    merges = people.merges(session, person=found.person_id)
    return {
        "profile_id": str(found.profile_id),
        "data": [identity_explain.describe_merge(session, m) for m in merges],
    }


@router.get("/{ref}/explain", summary="Explain this person's identity", responses=IDENTITY)
def read_explanation(
    session: Db, caller: Annotated[Caller, requires("identity:read")], language: Chosen, ref: Ref
) -> dict[str, Any]:
    """Return every link that holds, or was kept from holding, this person together, and why.

    `holding` names the weakest of them, and who there would be without it.
    """
    found = read.find(session, ref)
    return {
        "profile_id": str(found.profile_id),
        "data": identity_explain.links(session, found.person_id),
        "holding": explaining.one(session, found.person_id, language),
    }
