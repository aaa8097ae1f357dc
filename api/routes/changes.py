"""The change feed: CloudEvents 1.0, at least once, in order."""

from typing import Annotated, Any

from fastapi import Query

from api.auth import Caller, requires
from api.deps import Configuration, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app.access import reads
from app.errors import CursorInvalid, DefinitionInvalid
from app.profiles import changes

router = Resource(tags=["changes"])


@router.get(
    "/v1/changes",
    summary="Read what happened to profiles",
    responses=documented(InvalidToken, InsufficientScope, CursorInvalid, DefinitionInvalid),
)
def read_changes(
    session: Db,
    settings: Configuration,
    caller: Annotated[Caller, requires("profiles:read")],
    after: Annotated[
        str | None,
        Query(description="`next_cursor` of the last answer, or the `sequence` of a change."),
    ] = None,
    types: Annotated[str | None, Query(examples=["segment.entered,segment.exited"])] = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """Return changes after a cursor; ask again with `next_cursor`.

    The feed names profiles and says what happened; it carries no traits. Read those with the
    purpose they are for. Segments, journeys and consents are told only to clients registered
    for the purpose they are about, journeys while the person allows it, so a page may be shorter
    than `limit`, or empty: `next_cursor` moves.
    `sequence` (of CloudEvents) is a text that sorts as the feed does.
    """
    wanted = [t.strip() for t in (types or "").split(",") if t.strip()]
    changes.check_types(wanted)
    page = changes.read(session, after=after, types=wanted, limit=limit)
    told = changes.told(session, page.rows, caller.purposes)
    reads.saw_profiles(session, {row.profile_id for row, _ in told}, purpose=None)
    return {
        "data": [
            {
                "specversion": "1.0",
                "id": str(row.id),
                "source": settings.public_url,
                "type": row.type,
                "subject": str(row.profile_id),
                "time": row.at.isoformat(),
                "sequence": changes.sequence(row),
                "datacontenttype": "application/json",
                "data": data,
            }
            for row, data in told
        ],
        "next_cursor": page.following,
        "has_more": page.more,
    }
