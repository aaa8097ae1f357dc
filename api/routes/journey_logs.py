"""The events of a journey as an event log, for tools of process mining."""

import gzip
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import Annotated, Any, BinaryIO, Literal, cast
from uuid import UUID

from fastapi import Path, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from api.auth import state_purpose
from api.deps import Configuration, Db
from api.errors import InsufficientScope
from api.problems import documented
from api.resource import Resource
from api.routes.analyses import AUTH, Reader, may_read_traits
from app.access import reads
from app.errors import (
    AnalysesBusy,
    AnalysisTooLarge,
    DefinitionInvalid,
    JourneyNotFound,
    LakeIncomplete,
    PurposeNotAllowed,
)
from app.journeys import catalogue, event_log
from app.journeys.matrix_request import MatrixQuery
from consent.errors import PurposeNotFound

router = Resource(prefix="/v1/journeys", tags=["journeys"])

#: A log up to here is kept in memory until it is sent, a larger one in a file that has no name.
IN_MEMORY = 8_000_000
PORTION = 1 << 16
MEDIA_TYPES = {"xes": event_log.MEDIA_TYPE, "xes.gz": "application/gzip"}
CONTENT: dict[str, Any] = {
    kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()
}


@router.get(
    "/{key}/log.{form}",
    response_class=StreamingResponse,
    summary="A journey as an event log",
    responses={
        200: {"description": "The log.", "content": CONTENT},
        **documented(
            *AUTH,
            JourneyNotFound,
            PurposeNotAllowed,
            PurposeNotFound,
            AnalysesBusy,
            AnalysisTooLarge,
            LakeIncomplete,
            DefinitionInvalid,
        ),
    },
)
def export_log(
    request: Request,
    session: Db,
    settings: Configuration,
    caller: Reader,
    key: str,
    form: Annotated[Literal["xes", "xes.gz"], Path(description="As it is, or compressed.")],
    purpose: Annotated[
        str | None, Query(max_length=100, description="What it is for, if not the journey's own.")
    ] = None,
    as_of: Annotated[
        AwareDatetime | None, Query(description="What was known then; now, if not said.")
    ] = None,
    cases: Annotated[
        Literal["numbers", "profiles"],
        Query(description="What cases are called; `profiles` needs the scope `profiles:read`."),
    ] = "numbers",
) -> StreamingResponse:
    """Return the events of the journey's touchpoints as XES (IEEE 1849-2016), a case per person.

    Of whoever may be used for the purpose now. Events have name, time, touchpoint, stage, channel
    and source, and none of their properties; simultaneous ones stand in the order of their source.
    Numbers begin anew in each log; `profiles` has only people who may be named.
    """
    from app.journeys import analyses, logged  # noqa: PLC0415  # DuckDB and Arrow, loaded if asked

    if cases == "profiles" and "profiles:read" not in caller.scopes:
        raise InsufficientScope("The access token lacks the scope profiles:read.")
    version, journey = catalogue.named(session, key)
    stated = state_purpose(caller, purpose or journey.purpose)
    may_read_traits(caller, analyses.traits("matrix", MatrixQuery(journey=journey)))
    kept = cast("BinaryIO", SpooledTemporaryFile(IN_MEMORY))
    packed: Any = gzip.GzipFile(fileobj=kept, mode="wb", mtime=0) if form == "xes.gz" else None
    named = logged.log(
        request.app.state.sessions,
        settings.lake_dir,
        journey,
        packed or kept,
        purpose=stated,
        as_of=as_of,
        named=cases == "profiles",
    )
    if packed is not None:
        packed.close()
    reads.saw_profiles(session, [UUID(one) for one in named], purpose=stated)
    kept.seek(0)
    name = f'attachment; filename="{version.key.replace(":", "-")}-{version.version}.{form}"'
    headers = {"Content-Disposition": name}
    return StreamingResponse(_sent(kept), media_type=MEDIA_TYPES[form], headers=headers)


def _sent(kept: BinaryIO) -> Iterator[bytes]:
    with kept:
        while part := kept.read(PORTION):
            yield part
