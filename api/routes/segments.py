"""Segments: rules over traits and behaviour, and their members."""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any

import msgspec
from fastapi import Header, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

import consent
from api.auth import Caller, requires, state_purpose
from api.deps import Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from api.routes.analyses import may_read_traits
from app import pipeline, work
from app.destinations import registry
from app.errors import (
    DefinitionInvalid,
    PurposeNotAllowed,
    SegmentChanged,
    SegmentExists,
    SegmentInUse,
    SegmentNotFound,
)
from app.segments import dependencies, names, uses
from app.segments import members as segments
from app.segments.definition import Group, Rule, Trait, walk
from app.segments.tables import Segment
from consent.errors import PurposeNotFound

router = Resource(prefix="/v1/segments", tags=["segments"])

Reader = Annotated[Caller, requires("segments:read")]
Writer = Annotated[Caller, requires("segments:write")]
AUTH = (InvalidToken, InsufficientScope)
IfMatch = Annotated[
    str | None, Header(description="The ETag that was read: nothing is done if it changed since.")
]

EDGE: dict[str, Any] = {
    "what": {"kind": "segment", "name": "newsletter-buyers"},
    "of": {"kind": "event", "name": "Order Completed"},
}


class SegmentIn(BaseModel):
    """A segment to create."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "key": "newsletter-buyers",
                "name": "Buyers who may get the newsletter",
                "purpose": "marketing.email",
                "rule": {
                    "all": [
                        {"event": "Order Completed", "count": {"gte": 1}, "within_days": 365},
                        {"trait": "country", "op": "eq", "value": "FR"},
                    ]
                },
            }
        },
    )

    key: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    name: str = Field(min_length=1, max_length=200)
    purpose: str = Field(max_length=100, description="What the membership is used for.")
    rule: dict[str, Any]


class SegmentChange(BaseModel):
    """What a segment is to say from now on."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "name": "Buyers of half a year",
                "purpose": "marketing.email",
                "rule": {"event": "Order Completed", "within_days": 182},
            }
        },
    )

    name: str = Field(min_length=1, max_length=200)
    purpose: str = Field(max_length=100, description="As it is: a purpose cannot be changed.")
    rule: dict[str, Any]


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def _out(session: Session, segment: Segment, caller: Caller) -> dict[str, Any]:
    waits = uses.waits_for(session, segments.rule_of(segment), segment.purpose)
    return _shown(segment, waits, caller)


def _all(session: Session, listed: Sequence[Segment], caller: Caller) -> list[dict[str, Any]]:
    """Return several, with as many queries as there are purposes."""
    waits: dict[int, list[str]] = {}
    for purpose in {segment.purpose for segment in listed}:
        group = [segment for segment in listed if segment.purpose == purpose]
        rules = [segments.rule_of(segment) for segment in group]
        found = uses.waits_of_all(session, rules, purpose)
        waits |= {segment.id: one for segment, one in zip(group, found, strict=True)}
    return [_shown(segment, waits[segment.id], caller) for segment in listed]


def _shown(segment: Segment, waits: Sequence[str], caller: Caller) -> dict[str, Any]:
    mine = segment.purpose in caller.purposes
    return {
        "key": segment.key,
        "name": segment.name,
        "purpose": segment.purpose,
        "version": segment.version,
        "rule": segment.rule,
        "state": segments.state(segment, waits),
        "size": segment.members if mine else None,
        "waits_for": list(waits),
        "error": segment.error,
        "failed_at": _moment(segment.failed_at),
        "created_at": segment.created_at.isoformat(),
        "updated_at": segment.updated_at.isoformat(),
        "archived_at": _moment(segment.archived_at),
        "refreshed_at": _moment(segment.refreshed_at),
        "refresh_milliseconds": segment.refresh_milliseconds,
    }


def _etag(segment: Segment) -> str:
    """Return the tag of what a segment says (RFC 9110 §8.8.3); members do not change it."""
    says = [segment.id, segment.version, segment.name, segment.rule, segment.archived_at]
    return f'"{sha256(msgspec.json.encode(says, order="sorted")).hexdigest()[:32]}"'


def _tagged(
    session: Session, response: Response, segment: Segment, caller: Caller
) -> dict[str, Any]:
    response.headers["ETag"] = _etag(segment)
    return _out(session, segment, caller)


def _locked(session: Session, key: str, if_match: str | None) -> Segment:
    """Return a segment to change, if it is as the caller knows it (RFC 9110 §13.1.1)."""
    segment = segments.find(session, key, lock=True)
    if if_match is not None and if_match.strip() != "*":
        if _etag(segment) not in [tag.strip() for tag in if_match.split(",")]:
            raise SegmentChanged(f"its ETag is {_etag(segment)} now")
    return segment


def state_purposes(session: Session, caller: Caller, rule: Rule, purpose: str) -> None:
    """Raise PurposeNotAllowed where a rule of this purpose tells the caller of another's decisions.

    Who is in such a segment is what somebody decided, so it takes a client registered for all.
    """
    for asked in (purpose, *uses.purposes_asked(session, rule, purpose)):
        state_purpose(caller, asked)


def traits_asked(rule: Rule) -> list[str]:
    """Return the traits by whose values a rule selects: its size tells them of who is known."""
    found = (part for part in walk(rule) if isinstance(part, Trait | Group))
    return sorted({one.trait if isinstance(one, Trait) else one.group_trait for one in found})


@router.post(
    "",
    status_code=201,
    summary="Create a segment",
    responses=documented(
        *AUTH, DefinitionInvalid, SegmentExists, PurposeNotFound, PurposeNotAllowed
    ),
)
def create_segment(
    session: Db, caller: Writer, response: Response, wanted: SegmentIn
) -> dict[str, Any]:
    """Create a segment and compute its members: at once, or with many people right afterwards.

    With more than 2,000 identifiers its `state` is `computing`: the worker begins within a second
    or two, and members come in portions until it is `fresh`. One that cannot be computed is there
    all the same: `state` is `error`, `error` says why. Whoever asks by the values of a trait reads
    it, member by member: that needs `profiles:read`, as a profile does.
    """
    consent.catalogue.purpose(session, wanted.purpose)
    state_purpose(caller, wanted.purpose)  # before a segment of another purpose is told by a 409
    at_once = pipeline.can_fill(session)
    segment = segments.create(
        session, key=wanted.key, name=wanted.name, purpose=wanted.purpose, rule=wanted.rule,
        by=caller.client_id,
    )  # fmt: skip
    state_purposes(session, caller, segments.rule_of(segment), segment.purpose)
    may_read_traits(caller, traits_asked(segments.rule_of(segment)))
    pipeline.fill(session, [segment], at_once=at_once)
    segments.stamp(session, segment)
    warnings = names.warnings(session, segments.rule_of(segment))
    return {**_tagged(session, response, segment, caller), "warnings": warnings}


@router.get("", summary="List segments", responses=documented(*AUTH))
def list_segments(
    session: Db,
    caller: Reader,
    archived: bool = False,
    updated_after: Annotated[
        AwareDatetime | None,
        Query(description="Only those whose definition is new, changed or archived since then."),
    ] = None,
) -> dict[str, Any]:
    """Return all segments with size, state and freshness; or those that are archived.

    Of a purpose that the client is not registered for, `size` is null.

    `state` is `computing` until everybody was computed by what it says, then `fresh`; `waiting`
    for a computed trait; `error` when the rule cannot be computed, since `failed_at`: then nobody
    enters and only consent and merges take out, until it can.
    """
    if updated_after is not None:
        listed = segments.updated_after(session, updated_after)
    else:
        listed = segments.archived(session) if archived else segments.list_all(session)
    return {"data": _all(session, listed, caller)}


@router.get(
    "/dependencies",
    summary="Show what is made of what",
    responses=documented(*AUTH, ok={"data": [EDGE]}),
)
def list_dependencies(session: Db, caller: Reader) -> dict[str, Any]:
    """Return the graph of segments: what each is made of, and which destinations hear of it.

    Of destinations also the traits and computed traits that are mapped there.

    The kinds are `segment`, `computed_trait`, `event`, `trait`, `purpose`, `list`, `destination`.
    """
    found = dependencies.edges(session)
    for destination in registry.list_all(session):
        mine = ("destination", destination.name)
        found += [(mine, ("segment", key)) for key in destination.segments]
        found += [
            (mine, ("computed_trait" if kind == "computed" else kind, source[kind]))
            for source in destination.mapping.values()
            for kind in ("computed", "trait")
            if kind in source
        ]
    return {
        "data": [
            {"what": {"kind": what[0], "name": what[1]}, "of": {"kind": of[0], "name": of[1]}}
            for what, of in found
        ]
    }


@router.get("/{key}", summary="Read a segment", responses=documented(*AUTH, SegmentNotFound))
def read_segment(session: Db, caller: Reader, response: Response, key: str) -> dict[str, Any]:
    """Return a segment with size, state and freshness; `ETag` for a change."""
    return _tagged(session, response, segments.find(session, key), caller)


@router.get(
    "/{key}/versions",
    summary="List the versions of a segment",
    responses=documented(*AUTH, SegmentNotFound),
)
def list_segment_versions(session: Db, caller: Reader, key: str) -> dict[str, Any]:
    """Return what a segment said and says, the last version first, since when and by whom."""
    found = segments.versions(session, segments.find(session, key))
    return {
        "data": [
            {"version": v.version, "name": v.name, "rule": v.rule,
             "set_at": v.set_at.isoformat(), "set_by": v.set_by}
            for v in found
        ]
    }  # fmt: skip


@router.put(
    "/{key}",
    summary="Change a segment",
    responses=documented(
        *AUTH, SegmentNotFound, SegmentChanged, DefinitionInvalid, PurposeNotAllowed
    ),
)
def change_segment(
    session: Db,
    caller: Writer,
    response: Response,
    key: str,
    wanted: SegmentChange,
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """Change what a segment says, and compute its members and those of segments made of it.

    At once, or as with a new one: with more than 2,000 identifiers they are `computing` first.
    Whoever no longer meets it leaves for the reason `definition_changed`; whoever meets both rules
    stays as they were. Sent again as it is, nothing happens. An archived one is taken up again.
    """
    at_once = pipeline.can_fill(session)
    segments.lock(session, [key, *uses.using(session, key)])
    segment = _locked(session, key, if_match)
    before = segment.version
    anew = segments.change(
        session, segment, name=wanted.name, purpose=wanted.purpose, rule=wanted.rule,
        by=caller.client_id,
    )  # fmt: skip
    state_purposes(session, caller, segments.rule_of(segment), segment.purpose)
    if anew:
        may_read_traits(caller, traits_asked(segments.rule_of(segment)))
        others = [segments.find(session, other) for other in uses.using(session, key)]
        pipeline.fill(session, [segment, *others], at_once=at_once)
    if anew or segment.version != before:
        segments.stamp(session, segment)
    warnings = names.warnings(session, segments.rule_of(segment))
    return {**_tagged(session, response, segment, caller), "warnings": warnings}


@router.post(
    "/{key}/archive",
    summary="Archive a segment",
    responses=documented(*AUTH, SegmentNotFound, SegmentChanged, SegmentInUse),
)
def archive_segment(
    session: Db, caller: Writer, response: Response, key: str, if_match: IfMatch = None
) -> dict[str, Any]:
    """Compute a segment no more: all members leave, and who came and went is kept."""
    uses.hold(session)
    segment = _locked(session, key, if_match)
    uses.free_segment(session, key)
    if segment.archived_at is None:
        now = datetime.now(UTC)
        pipeline.announce(session, segments.archive(session, segment, now=now), now=now)
        work.wake(session)
        segments.stamp(session, segment)
    return _tagged(session, response, segment, caller)


@router.delete(
    "/{key}",
    status_code=204,
    summary="Delete a segment",
    responses=documented(*AUTH, SegmentNotFound, SegmentChanged, SegmentInUse),
)
def delete_segment(session: Db, caller: Writer, key: str, if_match: IfMatch = None) -> None:
    """Delete a segment and its membership; destinations are told that its members left."""
    uses.hold(session)
    segment = _locked(session, key, if_match)
    uses.free_segment(session, key)
    now = datetime.now(UTC)
    pipeline.announce(session, segments.empty(session, segment, now=now), now=now)
    session.delete(segment)
    work.wake(session)
