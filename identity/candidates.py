"""The records that matching may see: all, the new ones, and those a new one is compared with.

Consent is decided in one place, the view `identity.matchable`: who is not in it is in no table that
leaves this file.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from sqlalchemy.orm import Session

from identity import attributes, blocking, graph

#: A blocking key that more records share is left out for new ones; true pairs share others.
MOST_SHARING = 200
#: Keys that are noted in one statement.
AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Candidates:
    """Records as the table that the model scores, and when each was changed last."""

    table: pa.Table
    changed: dict[int, str]

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self.changed)


def every(session: Session) -> Candidates:
    """Return all records that matching may see."""
    return _of(session.execute(graph.statement("candidates")).all())


def new(session: Session, limit: int) -> Candidates:
    """Return records that matching has not seen as they are now."""
    return _of(session.execute(graph.statement("candidates_new"), {"limit": limit}).all())


def count_new(session: Session, limit: int) -> int:
    """Return how many of these there are, up to a limit."""
    return session.scalar(graph.statement("count_new"), {"limit": limit}) or 0


def with_neighbours(session: Session, fresh: Candidates, keys: dict[int, list[int]]) -> Candidates:
    """Return new records and those that share a blocking key with one of them."""
    wanted = {key for theirs in keys.values() for key in theirs}
    found = session.scalars(
        graph.statement("neighbours"), {"keys": graph.array(wanted), "most": MOST_SHARING}
    )
    ids = graph.array(fresh.changed.keys() | set(found))
    return _of(session.execute(graph.statement("candidates_among"), {"ids": ids}).all())


def keys_of(records: Candidates) -> dict[int, list[int]]:
    """Return the blocking keys of each record; needs no transaction."""
    return blocking.blocking_keys(records.table) if len(records) else {}


def keep_keys(session: Session, records: Candidates, keys: dict[int, list[int]]) -> None:
    """Note that these records, as they were read, have been matched."""
    rows = [{"id": i, "keys": keys[i], "changed_at": at} for i, at in records.changed.items()]
    for start in range(0, len(rows), AT_ONCE):
        part = graph.rows_of(rows[start : start + AT_ONCE])
        session.execute(graph.statement("keep_keys"), {"rows": part})


def excluded(session: Session) -> dict[str, int]:
    """Return how many records matching may not see, by reason."""
    return {row.reason: row.records for row in session.execute(graph.statement("excluded"))}


def _of(rows: Collection[Any]) -> Candidates:
    columns: dict[str, pa.Array] = {
        "record_id": pa.array([row.identifier_id for row in rows], pa.int64())
    }
    for name in attributes.FIELDS:
        columns[name] = pa.array([row.fields.get(name) for row in rows], pa.string())
    return Candidates(
        pa.table(columns), {row.identifier_id: row.changed_at.isoformat() for row in rows}
    )
