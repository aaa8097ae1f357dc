"""What people do with maps of journeys: versions, differences, workbooks, templates, personae."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Body, Query, Response

from api.auth import Caller, state_purpose
from api.deps import Db
from api.problems import documented
from api.resource import Resource
from api.routes.journeys import AUTH, IfMatch, Reader, Writer, out, read_before
from app.errors import (
    DefinitionInvalid,
    JourneyChanged,
    JourneyFrozen,
    JourneyNotFound,
    MapUnreadable,
    PurposeNotAllowed,
    SegmentNotFound,
)
from app.journeys import catalogue, sheet_cells, workbook
from app.journeys.difference import difference
from app.journeys.map_parts import Persona
from app.journeys.provenance import who_says
from app.journeys.templates import TEMPLATES
from app.segments import members, overlap
from consent.errors import PurposeNotFound

router = Resource(tags=["journeys"])

WORKBOOK = {"content": {sheet_cells.MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}}


@router.get(
    "/v1/journey-templates",
    summary="Journeys to start from",
    responses=documented(*AUTH),
)
def list_templates(caller: Reader) -> dict[str, Any]:
    """Return definitions to change and save: stages, channels and usual touchpoints of a trade."""
    return {"data": list(TEMPLATES)}


@router.post(
    "/v1/journey-maps",
    status_code=201,
    summary="Save a journey from a workbook",
    responses=documented(
        *AUTH, PurposeNotFound, JourneyChanged, JourneyFrozen, MapUnreadable, DefinitionInvalid
    ),
)
def import_map(
    session: Db,
    caller: Writer,
    response: Response,
    content: Annotated[bytes, Body(media_type=sheet_cells.MEDIA_TYPE)],
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """Save the definition of a workbook (XLSX), as it is exported, as the next version of its key.

    The sheet `Map` is for people to look at and is not read.
    """
    version = catalogue.save(session, workbook.read(content), read=read_before(if_match))
    session.refresh(version)
    return out(version, response)


@router.get(
    "/v1/journeys/{key}/map.xlsx",
    response_class=Response,
    summary="A journey as a workbook",
    responses={200: {"description": "The workbook.", **WORKBOOK},
               **documented(*AUTH, JourneyNotFound, MapUnreadable)},
)  # fmt: skip
def export_map(session: Db, caller: Reader, key: str) -> Response:
    """Return the definition (or that of `key@2`) as XLSX; imported again it is the same."""
    version, journey = catalogue.find(session, key)
    name = f'attachment; filename="{version.key.replace(":", "-")}-{version.version}.xlsx"'
    headers = {"Content-Disposition": name, "ETag": f'"{version.definition_hash}"'}
    return Response(workbook.write(journey), media_type=sheet_cells.MEDIA_TYPE, headers=headers)


@router.get(
    "/v1/journeys/{key}/versions",
    summary="List the versions of a journey",
    responses=documented(*AUTH, JourneyNotFound),
)
def list_journey_versions(session: Db, caller: Reader, key: str) -> dict[str, Any]:
    """Return all versions, the newest first; none ever changes, and each can be asked by `key@2`.

    An analysis of `key@2` is answered by that version, whatever was saved since.
    """
    return {
        "data": [
            {
                "version": version.version,
                "definition_hash": version.definition_hash,
                "created_at": version.created_at.isoformat(),
            }
            for version in catalogue.versions(session, key)
        ]
    }


@router.get(
    "/v1/journeys/{key}/diff",
    summary="What differs between two versions",
    responses=documented(*AUTH, JourneyNotFound),
)
def compare_versions(
    session: Db,
    caller: Reader,
    key: str,
    from_version: Annotated[int, Query(alias="from", ge=1, le=2**31 - 1)],
    to_version: Annotated[int | None, Query(alias="to", ge=1, le=2**31 - 1)] = None,
) -> dict[str, Any]:
    """List added, removed, changed and moved places from one version to another, or the newest.

    A place is a JSON Pointer in which items of lists go by their id, as /touchpoints/till/stage.
    """
    before = catalogue.find(session, f"{key}@{from_version}")[0]
    after = catalogue.find(session, f"{key}@{to_version}" if to_version else key)[0]
    found = difference(before.definition, after.definition)
    return {
        "from": before.version,
        "to": after.version,
        "data": [asdict(each) for each in found],
    }


@router.get(
    "/v1/journeys/{key}/provenance",
    summary="Who says what of a journey",
    responses=documented(*AUTH, JourneyNotFound),
)
def read_provenance(session: Db, caller: Reader, key: str) -> dict[str, Any]:
    """Return every field of the map with who says so, and since which version it is as it is.

    Declared (by whom, when), surveyed (among how many) or observed (by which request). What the
    map does not state was declared by whoever saved that version, and `by` is null.
    """
    newest = catalogue.find(session, key)[0]
    past = [
        (one.version, one.created_at, one.definition)
        for one in catalogue.versions(session, newest.key)
        if one.version <= newest.version
    ]
    data = [{**asdict(one), "since": one.since.isoformat()} for one in who_says(past)]
    return {"key": newest.key, "version": newest.version, "data": data}


@router.get(
    "/v1/journeys/{key}/personae",
    summary="How many people each persona is now",
    responses=documented(*AUTH, JourneyNotFound, SegmentNotFound, PurposeNotAllowed),
)
def read_personae(session: Db, caller: Reader, key: str) -> dict[str, Any]:
    """Return each persona with the size of its segment: whose data may be used for it now."""
    journey = catalogue.find(session, key)[1]
    return {"data": [_persona(session, caller, each) for each in journey.personae]}


def _persona(session: Db, caller: Caller, persona: Persona) -> dict[str, Any]:
    segment = members.find(session, persona.segment)
    state_purpose(caller, segment.purpose)
    size = overlap.overlap(session, [segment])["union"]
    return {**persona.model_dump(mode="json", exclude_none=True), "size": size}
