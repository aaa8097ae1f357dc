"""Profiles: the 360° view of one person, for a stated purpose."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

from fastapi import Depends, Header, Path, Query
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.auth import Caller, requires, state_purpose
from api.conditional import NOT_MODIFIED, Conditional
from api.deps import Cursor, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.languages import Chosen
from api.moments import Moment
from api.problems import documented
from api.resource import Resource
from api.slashes import WithSlashes
from app.consents import explain
from app.errors import CursorInvalid, ProfileNotFound, PurposeNotAllowed, PurposeRequired
from app.identities import explaining
from app.journeys import history as journeys
from app.journeys import standing
from app.profiles import computed_values, read, special_values, summary, timeline
from app.segments import stays
from consent.errors import PurposeNotFound
from identity import explain as identity_explain
from identity import people
from identity.errors import IdentifierInvalid

router = Resource(prefix="/v1/profiles", tags=["profiles"])

Reader = Annotated[Caller, requires("profiles:read")]
Ref = Annotated[
    WithSlashes,
    Path(
        description="A profile id, or namespace:value, percent-encoded.", examples=["user_id:u-42"]
    ),
]
StatedQuery = Annotated[str | None, Query(alias="purpose", examples=["service.operation"])]
StatedHeader = Annotated[str | None, Header(alias="Purpose")]
Unless = Annotated[Conditional, Depends()]
ERRORS = (
    PurposeRequired,
    InvalidToken,
    InsufficientScope,
    PurposeNotAllowed,
    PurposeNotFound,
    ProfileNotFound,
    IdentifierInvalid,
)
#: What a whole profile is made of.
Part = Literal["traits", "computed", "identifiers", "segments", "journeys"]
PARTS: tuple[Part, ...] = get_args(Part)
#: What is told of a part of which nothing may be seen.
EMPTY: dict[Part, Any] = {"traits": {}, "computed": {}, **{part: [] for part in PARTS[2:]}}
READ = documented(*ERRORS) | NOT_MODIFIED
IDENTITY = documented(InvalidToken, InsufficientScope, ProfileNotFound, IdentifierInvalid)

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


def stated_once(query: str | None, header: str | None) -> str | None:
    """Return the purpose that a request states; raises PurposeRequired when it states two."""
    if query and header and query != header:
        raise PurposeRequired("the query and the header Purpose state different purposes")
    return query or header


def seen(
    session: Db,
    caller: Reader,
    ref: Ref,
    purpose: StatedQuery = None,
    stated: StatedHeader = None,
) -> read.View:
    """Return the person as this caller may see them for the purpose it states."""
    wanted = state_purpose(caller, stated_once(purpose, stated))
    return read.view(session, read.find(session, ref), wanted)


Seen = Annotated[read.View, Depends(seen)]


def frame(view: read.View, **members: Any) -> dict[str, Any]:
    """Return an answer about one profile: who, for what, and what was withheld and why."""
    return {
        "profile_id": str(view.profile_id),
        "purpose": view.purpose,
        **members,
        "withheld": list(view.withheld),
    }


def whole(
    session: Session, views: Sequence[read.View], parts: Collection[Part] = PARTS
) -> dict[int, dict[str, Any]]:
    """Return these parts of each profile, by subject, in as many statements as for one profile."""
    now = datetime.now(UTC)
    made: dict[Part, Callable[[], Mapping[int, Any]]] = {
        "traits": lambda: _each(summary.plain, read.traits_of(session, views)),
        "computed": lambda: _each(
            summary.plain_computed, computed_values.of_views(session, views, now=now)
        ),
        "identifiers": lambda: _each(summary.known, read.identifiers_of(session, views)),
        "segments": lambda: _each(summary.open_stays, stays.of_views(session, views)),
        "journeys": lambda: journeys.stages(session, views),
    }
    found = {part: made[part]() for part in PARTS if part in parts}
    return {
        view.subject_id: frame(
            view, **{part: found[part].get(view.subject_id, EMPTY[part]) for part in found}
        )
        for view in views
    }


def _each(write: Callable[[Any], Any], found: Mapping[int, Any]) -> dict[int, Any]:
    return {subject: write(value) for subject, value in found.items()}


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
    found = whole(session, views, ("traits", "computed"))
    return {"data": [found[view.subject_id] for view in views], "next_cursor": following}


@router.get("/{ref}", summary="Read one profile", responses=READ)
def read_profile(session: Db, view: Seen, unless: Unless) -> Response:
    """Return traits, computed traits, identifiers, segments and journeys, as consent allows.

    `ETag` and `If-None-Match` spare an answer that is still the same, here and in all below.
    What may not be used for the purpose is left out, and `withheld` says how much and why.
    """
    return unless.answer(whole(session, [view])[view.subject_id])


@router.get("/{ref}/traits", summary="Read traits with their provenance", responses=READ)
def read_traits(session: Db, view: Seen, unless: Unless) -> Response:
    """Return each trait with its value and the source, time, event and identifier that set it."""
    return unless.answer(frame(view, data=summary.with_provenance(read.traits(session, view))))


@router.get(
    "/{ref}/computed",
    summary="Read computed traits",
    responses=documented(*ERRORS, ok=COMPUTED) | NOT_MODIFIED,
)
def read_computed(session: Db, view: Seen, unless: Unless) -> Response:
    """Return the computed traits of the stated purpose, those without a value included.

    `state` is that of the trait: while it is `computing`, or in `error`, there is no value.
    """
    found = computed_values.of_views(session, [view], now=datetime.now(UTC))
    data = [summary.computed(one) for one in found.get(view.subject_id, ())]
    return unless.answer(frame(view, data=data))


@router.get(
    "/{ref}/special-categories", summary="Read values of special categories", responses=READ
)
def read_special_categories(
    session: Db, view: Seen, unless: Unless, limit: Limit = 100
) -> Response:
    """Return what at most so many events say of the special categories that the purpose covers.

    These are in no other answer, segment, journey, export or analysis (GDPR art. 9).
    """
    return unless.answer(frame(view, data=special_values.read(session, view, limit=limit)))


@router.get("/{ref}/identifiers", summary="Read identifiers", responses=READ)
def read_identifiers(session: Db, view: Seen, unless: Unless) -> Response:
    """Return the identifiers by which this person is known."""
    known = read.known_identifiers(session, view)
    return unless.answer(frame(view, data=summary.known(known)))


@router.get(
    "/{ref}/events",
    summary="Read the timeline",
    responses=documented(*ERRORS, CursorInvalid) | NOT_MODIFIED,
)
def read_events(
    session: Db,
    view: Seen,
    unless: Unless,
    limit: Limit = 100,
    cursor: Cursor = None,
    name: Annotated[list[str] | None, Query(description="Of these names only.")] = None,
    kind: Annotated[
        list[Literal["track", "page", "screen", "identify", "group", "alias"]] | None,
        Query(alias="type", description="Of these types only."),
    ] = None,
    source: Annotated[list[str] | None, Query(description="From these sources only.")] = None,
    since: Annotated[Moment | None, Query(description="The first moment that counts.")] = None,
    until: Annotated[Moment | None, Query(description="The first that does not.")] = None,
) -> Response:
    """Return events, newest first, as they were sent; by name, type, source or time if asked."""
    asked = timeline.Asked(
        names=tuple(name) if name else None,
        types=tuple(kind) if kind else None,
        sources=tuple(source) if source else None,
        since=since,
        until=until,
    )
    rows, following = timeline.page(session, view, asked, cursor=cursor, limit=limit)
    data = [summary.event(row) for row in rows]
    return unless.answer(frame(view, data=data, next_cursor=following))


@router.get("/{ref}/segments", summary="Read segments", responses=READ)
def read_segments(
    session: Db,
    view: Seen,
    unless: Unless,
    past: Annotated[bool, Query(description="List the stays that ended, with the reason.")] = False,
) -> Response:
    """Return the segments of the stated purpose that the person is in, and since when.

    `past` is what was: an undone merge has left no trace in who the person is, and one in there.
    """
    found = stays.of_views(session, [view])[view.subject_id]
    ended = {"past": summary.past_stays(found)} if past else {}
    return unless.answer(frame(view, data=summary.open_stays(found), **ended))


@router.get("/{ref}/journeys", summary="Read journeys", responses=READ)
def read_journeys(session: Db, view: Seen, unless: Unless) -> Response:
    """Return where the person stands in each journey of the purpose: stage, what others did next,
    and, where it has a target, what is expected by when and every deviation.
    """
    return unless.answer(frame(view, data=standing.of_person(session, view, now=datetime.now(UTC))))


@router.get(
    "/{ref}/consents",
    summary="Read what may be done, purpose by purpose",
    responses=IDENTITY | NOT_MODIFIED,
)
def read_consents(
    session: Db, caller: Annotated[Caller, requires("consents:read")], ref: Ref, unless: Unless
) -> Response:
    """Return the decision for every purpose with its reason, records and contradictions."""
    now = datetime.now(UTC)
    found = read.find(session, ref)
    answers = explain.explain(session, found.person_id, found.acting_id, at=now, known_at=now)
    data = [explain.as_json(answer) for answer in answers]
    return unless.answer({"profile_id": str(found.profile_id), "data": data})


@router.get("/{ref}/merges", summary="Read how this person was put together", responses=IDENTITY)
def read_merges(
    session: Db, caller: Annotated[Caller, requires("identity:read")], language: Chosen, ref: Ref
) -> dict[str, Any]:
    """Return the merges that this person or a part of it took part in, in words too.

    Undone ones included; the first thousand, in the order in which they happened.
    """
    found = read.find(session, ref)
    merges = people.merges(session, person=found.person_id, limit=1000)
    return {
        "profile_id": str(found.profile_id),
        "data": [identity_explain.describe_merge(session, m, language) for m in merges],
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
        "data": identity_explain.links(session, found.person_id, language),
        "holding": explaining.one(session, found.person_id, language),
    }
