"""The records that matching may see: all, the new ones, and those a new one is compared with.

Consent is decided in one place, the view `identity.matchable`: who is not in it is in no table that
leaves this file.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import blocking, graph
from identity.blocking import ALIKE, PAIRS_AT_LEAST, LeftOut, Table

#: Records that are read at once.
AT_ONCE = 50_000
#: Pairs of one rule that a new record makes on average, at most: a whole run makes ten a record, so
#: that a record is in twenty. Twice that leaves room for who comes at once.
PAIRS_PER_NEW = 40
#: Of records that say just what a new one does so many are looked up: the oldest that matching may
#: see are among them.
COPIES = 20
#: Keys that are noted in one statement.
NOTED_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Fresh:
    """New records, when each was changed last, and their blocking keys as (record, rule, key)."""

    table: Table
    changed: dict[int, str]
    keys: list[tuple[int, str, int]]

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self.changed)

    def noted(self) -> list[dict[str, Any]]:
        """Return what `keep_keys` notes of them."""
        of: dict[int, list[int]] = {i: [] for i in self.changed}
        for i, _, key in self.keys:
            of[i].append(key)
        return [
            {"id": i, "keys": sorted(of[i]), "changed_at": at, "is_new": True}
            for i, at in self.changed.items()
        ]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """New records and those that share one of the `usable` keys with them; what was left out.

    `within` are all keys that no more records share than a whole run would have.
    """

    table: Table
    usable: set[int]
    within: set[int]
    left_out: dict[str, LeftOut]
    alone: int


def every(session: Session) -> Iterator[Table]:
    """Yield all records that matching may see, some at a time.

    Columns: `record_id`, `fields` (a JSON object), `changed_at`, and `is_new` where matching has
    not seen the record as it is now.
    """
    found = session.execute(graph.statement("candidates"), execution_options={"yield_per": AT_ONCE})
    for rows in found.partitions():
        yield table_of(rows)


def new(session: Session, limit: int) -> Table:
    """Return records that matching has not seen as they are now."""
    return table_of(session.execute(graph.statement("candidates_new"), {"limit": limit}).all())


def count_new(session: Session, limit: int) -> int:
    """Return how many of these there are, up to a limit."""
    return session.scalar(graph.statement("count_new"), {"limit": limit}) or 0


def with_keys(table: Table) -> Fresh:
    """Find the blocking keys of new records; needs no transaction."""
    ids, at = table.column("record_id").to_pylist(), table.column("changed_at").to_pylist()
    keys = blocking.keys_of(table) if table.num_rows else []
    return Fresh(table, dict(zip(ids, at, strict=True)), keys)


def neighbours(
    session: Session, fresh: Fresh, most: Mapping[str, int], beside: Collection[int] = ()
) -> Neighbours:
    """Return new records, those that share a blocking key with one of them, and those `beside`.

    A key counts if no more records share it, the new ones included, than `most` says for its rule:
    which is the rule of a whole run too. So many pairs a new record as a whole run makes it meet
    are enough: of what comes at once with the same few values, the keys that the most share are
    left out.
    """
    blocks = [one for one in fresh.keys if one[1] != ALIKE]
    copies = _copies(session, fresh)
    sharing = Counter(key for _, _, key in blocks)
    rule_of = {key: rule for _, rule, key in blocks}
    wanted = [
        {"key": key, "most": most[rule_of[key]] - among}
        for key, among in sharing.items()
        if among <= most[rule_of[key]]
    ]
    rows = session.execute(graph.statement("neighbours"), {"rows": graph.rows_of(wanted)}).all()
    found = _within_budget({row.key: row.ids for row in rows}, sharing, rule_of, len(fresh))
    ids = fresh.changed.keys() | {i for others in found.values() for i in others} | set(beside)
    ids |= {i for others in copies.values() for i in others}
    among = session.execute(graph.statement("candidates_among"), {"ids": graph.array(ids)})
    shared = {key for key, others in found.items() if others or sharing[key] > 1}
    reached = {i for i, _, key in fresh.keys if key in shared or key in copies}
    out = [(i, rule, key) for i, rule, key in blocks if key not in found]
    return Neighbours(
        table_of(among.all()),
        shared,
        {row.key for row in rows},
        {
            rule: LeftOut(
                most[rule],
                len({key for _, r, key in out if r == rule}),
                len({i for i, r, _ in out if r == rule}),
            )
            for rule in sorted({rule for _, rule, _ in out})
        },
        len({i for i, _, _ in out} - reached),
    )


def _copies(session: Session, fresh: Fresh) -> dict[int, list[int]]:
    """Return the oldest records that say just what a new one does, by the key of what they say.

    Of what only new ones say alike, those.
    """
    among: dict[int, list[int]] = {}
    for i, rule, key in fresh.keys:
        if rule == ALIKE:
            among.setdefault(key, []).append(i)
    rows = session.execute(
        graph.statement("copies"), {"keys": graph.array(among), "most": COPIES}
    ).all()
    old = {row.key: row.ids for row in rows}
    return {key: old.get(key, []) for key, new in among.items() if key in old or len(new) > 1}


def _within_budget(
    found: Mapping[int, list[int]], among: Mapping[int, int], rule_of: Mapping[int, str], new: int
) -> dict[int, list[int]]:
    """Keep the keys that the fewest share, as long as the pairs of their rule are few enough."""
    budget = max(PAIRS_AT_LEAST, PAIRS_PER_NEW * new)
    made: Counter[str] = Counter()
    kept = {}
    for key in sorted(found, key=lambda key: (among[key] + len(found[key]), key)):
        made[rule_of[key]] += among[key] * (len(found[key]) + (among[key] - 1) // 2)
        if made[rule_of[key]] <= budget:
            kept[key] = found[key]
    return kept


def keep_keys(session: Session, noted: Sequence[Mapping[str, Any]]) -> None:
    """Note that these records, as they were read, have been matched."""
    session.execute(sa.text("SET LOCAL gin_pending_list_limit = '2000MB'"))  # see defer_keys
    for start in range(0, len(noted), NOTED_AT_ONCE):
        part = graph.rows_of(noted[start : start + NOTED_AT_ONCE])
        session.execute(graph.statement("keep_keys"), {"rows": part})


def defer_keys(session: Session) -> None:
    """Let PostgreSQL sort what keys are noted from now on into their index at once, and not singly.

    For a million records that is one minute instead of five. Meanwhile look-ups are right, and
    slow: `sort_keys` ends it.
    """
    session.execute(sa.text("ALTER INDEX identity.record_keys SET (fastupdate = on)"))


def sort_keys(session: Session) -> None:
    """End what `defer_keys` began, here or in a process that died."""
    deferred = session.scalar(
        sa.text(
            "SELECT 'fastupdate=on' = ANY(reloptions) FROM pg_class"
            " WHERE oid = 'identity.record_keys'::regclass"
        )
    )
    if deferred:
        session.execute(sa.text("SET LOCAL maintenance_work_mem = '512MB'"))
        session.execute(sa.text("SELECT gin_clean_pending_list('identity.record_keys')"))
        session.execute(sa.text("ALTER INDEX identity.record_keys SET (fastupdate = off)"))


def excluded(session: Session) -> dict[str, int]:
    """Return how many records matching may not see, by reason."""
    return {row.reason: row.records for row in session.execute(graph.statement("excluded"))}


def table_of(rows: Sequence[Sequence[Any]]) -> Table:
    """Return rows of (identifier, fields as JSON, changed at, is new) as a table."""
    types = (("record_id", pa.int64()), ("fields", pa.string()),
             ("changed_at", pa.string()), ("is_new", pa.bool_()))  # fmt: skip
    columns = zip(*rows, strict=True) if rows else ((),) * len(types)
    return pa.table(
        {name: pa.array(values, kind) for (name, kind), values in zip(types, columns, strict=True)}
    )
