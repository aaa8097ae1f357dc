"""What identifiers' events say about people: the attributes that matching compares."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import graph
from identity.tables import Record

_SINCE = datetime(1970, 1, 1, tzinfo=UTC)
_UNIT = timedelta(microseconds=1)


class Said(NamedTuple):
    """A value and when it was said. The later one stands; of one time the greater value.

    Which one of a time is as good as the other, but it must not be by arrival.
    """

    at: datetime
    value: str


def fold(session: Session, told: Mapping[int, Mapping[str, Said]]) -> set[int]:
    """Fold attributes into what is known; return the identifiers of which something else is now.

    In whatever order and portions they come, what was said last stands. The caller holds the lock
    of identity.
    """
    rows = [
        {
            "identifier_id": i,
            "fields": {name: said.value for name, said in fields.items()},
            "said_at": {name: (said.at - _SINCE) // _UNIT for name, said in fields.items()},
        }
        for i, fields in sorted(told.items())
        if fields
    ]
    if not rows:
        return set()
    changed = session.execute(graph.statement("keep_records"), {"rows": graph.rows_of(rows)})
    return {row.identifier_id for row in changed}


def silent(session: Session, identifiers: Collection[int]) -> set[int]:
    """Return those of whom nothing is known any more: all that was has been erased with somebody.

    Who never said anything is none of them.
    """
    query = sa.select(Record.identifier_id).where(
        graph.among(Record.identifier_id, identifiers), Record.fields == {}
    )
    return set(session.scalars(query))


def unmatch(session: Session, identifiers: Collection[int]) -> None:
    """Take back what records were matched by that say nothing any more; for who reconsiders them.

    No run would: it compares nobody with who says nothing. The caller holds the lock of identity.
    """
    if identifiers:
        session.execute(graph.statement("unmatch"), {"ids": graph.array(identifiers)})


def forget(session: Session, identifiers: Collection[int]) -> set[int]:
    """Forget all that is known of identifiers; return of whom something was.

    Their matches fall. What their names kept apart stays apart: evidence that these alone kept from
    being followed goes with them, or two people would become one because we deleted what told them
    apart. The caller holds the lock of identity, and has those returned computed again.
    """
    gone = set(
        session.scalars(graph.statement("forget_records"), {"ids": graph.array(identifiers)})
    )
    unmatch(session, gone)
    while gone:
        joined = {"ids": graph.array(graph.followed(session, gone))}
        if not session.scalars(graph.statement("forget_conflicts"), joined).all():
            break
    return gone


def keep(
    session: Session, records: Mapping[int, Mapping[str, str]], *, at: datetime | None = None
) -> set[int]:
    """Fold in attributes that are all said at one time, now unless told otherwise, as `fold`."""
    now = at or datetime.now(UTC)
    told = {i: {k: Said(now, v) for k, v in fields.items()} for i, fields in records.items()}
    return fold(session, told)
