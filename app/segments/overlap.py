# ruff: noqa: S608 - only SQL of our own becomes text; purposes and segments are bound
"""How many people are in several segments at once, of those whose data may be used for each."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents.permission import unit
from app.db import read_only
from app.errors import DefinitionInvalid
from app.segments.compile import renamed
from app.segments.preview import LONGEST
from app.segments.tables import Segment

#: Segments that are laid over each other at once: their combinations are 63.
MOST = 6


def overlap(session: Session, segments: Sequence[Segment]) -> dict[str, Any]:
    """Return the size of each segment, of each combination of them, and of all together.

    A member counts whose data may be used for the segment's purpose now, whatever was computed
    last. `only` is who is in these and in no other of them, as UpSet plots show (Lex et al. 2014).
    Raises DefinitionInvalid where two segments do not know the same people as one.
    """
    purposes = [consent.catalogue.purpose(session, segment.purpose) for segment in segments]
    if len({purpose.link_confidence for purpose in purposes}) > 1:
        raise DefinitionInvalid(
            "#/segment: one of these purposes demands deterministic links and another does not, so"
            " that a member of one is not a member of the other"
        )
    parts: list[str] = []
    values: dict[str, Any] = {}
    for number, (segment, purpose) in enumerate(zip(segments, purposes, strict=True)):
        decided, bound = renamed(purpose, None, f"k{number}_")
        values |= {**bound, f"s{number}": segment.id}
        parts.append(
            f"i{number} AS (SELECT m.person_id FROM app.segment_member m JOIN (SELECT DISTINCT"
            f" {unit(purpose)} AS person_id FROM ({decided}) d WHERE allowed) a USING (person_id)"
            f" WHERE m.segment_id = :s{number} AND m.left_at IS NULL)"
        )
    places = range(len(segments))
    columns = ", ".join(f"coalesce(b{n}, false) AS b{n}" for n in places)
    joined = " FULL JOIN ".join(
        f"(SELECT person_id, true AS b{n} FROM i{n}) j{n}{' USING (person_id)' if n else ''}"
        for n in places
    )
    sql = (
        f"WITH {', '.join(parts)} SELECT {columns}, count(*) AS people FROM {joined}"
        f" GROUP BY {', '.join(str(n + 1) for n in places)}"
    )
    with read_only(session):
        session.execute(sa.text(f"SET LOCAL statement_timeout = '{LONGEST}'"))
        rows = [tuple(row) for row in session.execute(sa.text(sql), values)]
    return _told([segment.key for segment in segments], rows)


def _told(keys: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    places = range(len(keys))
    found = []
    for size in range(1, len(keys) + 1):
        for chosen in combinations(places, size):
            inside = [row for row in rows if all(row[n] for n in chosen)]
            only = [row for row in inside if sum(row[: len(keys)]) == size]
            found.append(
                {
                    "segments": [keys[n] for n in chosen],
                    "size": sum(row[-1] for row in inside),
                    "only": sum(row[-1] for row in only),
                }
            )
    return {"combinations": found, "union": sum(row[-1] for row in rows)}
