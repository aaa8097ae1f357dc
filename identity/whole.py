# ruff: noqa: S608 -- the SQL is composed of constants; values of records travel as tables.
"""Everybody compared with everybody, in a scratch database that spills to disk.

Records come in by portions and links go out by portions: what is in memory at once is bounded by
what DuckDB may take, and not by how many people there are.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from identity import blocking, splink_model
from identity.affordable import affordable, says_little
from identity.blocking import Table
from identity.comparing import Compare, in_duckdb
from identity.isotonic import IDENTITY, Curve
from identity.known import ScoredPair
from identity.learnt import Learnt
from identity.splink_model import Found
from identity.weighing import scored

#: DuckDB's memory, in megabytes.
MEGABYTES = 2_000
#: Pairs that are looked up at once.
_LOOKED_UP = 50_000
#: An id, and its left and right record.
Pair = tuple[int, int, int]


class Whole:
    """The records of one whole run, and what came of comparing them.

    A context manager: at its end the scratch database is gone. Files that a killed process left
    under `spill` are the next one's to delete.
    """

    def __init__(self, spill: Path | None = None, megabytes: int = MEGABYTES) -> None:
        """Begin with no records."""
        self._con = blocking.connect(spill, megabytes)
        self._con.execute(
            "create table seen (record_id bigint, changed_at varchar, is_new boolean)"
        )
        self._found: Found | None = None
        self.records = self.new = 0

    def __enter__(self) -> Self:
        """Nothing is to be done."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Forget everything."""
        blocking.close(self._con)

    def add(self, records: Table) -> None:
        """Take some records in, as `candidates.every` yields them."""
        blocking.add(self._con, records)
        self._con.register("given", records)
        self._con.execute("insert into seen select record_id, changed_at, is_new from given")
        self._con.unregister("given")
        self.records += records.num_rows
        self.new += records.column("is_new").to_pylist().count(True)

    def compare(
        self,
        *,
        threshold: float,
        compare: Compare = in_duckdb,
        progress: Callable[[str], None] | None = None,
        by: Learnt | None = None,
    ) -> Found | None:
        """Compare all with each other, and learn; None where there is nothing to learn from.

        `by` what was learnt before they are scored, and nothing is learnt, if it knows their
        fields: then what was found has learnt just that.
        """
        self._found = splink_model.compare_all(
            self._con, threshold=threshold, compare=compare, progress=progress, by=by
        )
        return self._found

    def affords(self, usual: float, lowest: float, meant: Curve = IDENTITY) -> float | None:
        """Return the merge threshold that the records afford, or None if they say enough.

        `meant` is what probabilities mean, by decided pairs.
        """
        if self._found is None or not self._says_little(meant.least(usual)):
            return None
        likely = self._con.cursor().execute(
            "select record_id_l, record_id_r, 1 / (1 + pow(2, -total)) as p from scored"
            " where p >= $1 order by p desc, 1, 2",
            [meant.least(lowest)],
        )
        rows = (row for some in iter(lambda: likely.fetchmany(10_000), []) for row in some)
        return affordable(((left, right, meant.at(p)) for left, right, p in rows), usual, lowest)

    def _says_little(self, usual: float) -> bool:
        """Say whether pairs speak in few comparisons, or the usual threshold leaves many apart."""
        model = self._found.model if self._found else None
        if model is None:
            return False
        spoken = " + ".join(f"(gamma_{name} >= 0)::int" for name in model.present)
        [(most, sure, records)] = self._con.execute(
            f"select max({spoken}), coalesce(sum(p) filter (p >= $1), 0),"
            " (select count(*) from people)"
            " from (select *, 1 / (1 + pow(2, -total)) as p from scored)",
            [usual],
        ).fetchall()
        if most is None:
            return False
        matches = model.share * records * (records - 1) / 2
        return says_little(most, sure, matches)

    def pairs(
        self, at_once: int, among: Collection[tuple[int, int]] | None = None
    ) -> Iterator[list[ScoredPair]]:
        """Yield the pairs that reach the threshold, so many at once, by record ids.

        All, or those `among` some, as (left, right).
        """
        if self._found is None:
            return
        if among is not None:
            ends = zip(("l", "r"), zip(*sorted(among), strict=True), strict=True)
            given = pa.table({side: pa.array(i, pa.int64()) for side, i in ends})
            self._con.register("given", given)
            self._con.execute("create or replace table wanted as from given")
            self._con.unregister("given")
        every = scored(self._con, self._found.model, "wanted" if among is not None else None)
        while some := list(islice(every, at_once)):
            yield some

    def keys(self, at_once: int, *, anew: bool = False) -> Iterator[list[dict[str, Any]]]:
        """Yield `id`, `keys` and `changed_at` of records whose keys nobody has noted yet.

        Or of all, `anew`, where others were noted by rules of another version of the program.
        """
        rows = self._con.cursor().execute(
            "select record_id, any_value(changed_at),"
            " coalesce(list(key order by key) filter (key is not null), []), any_value(is_new)"
            " from seen left join keyed using (record_id) where is_new or $1 group by 1 order by 1",
            [anew],
        )
        while some := rows.fetchmany(at_once):
            yield [
                {"id": i, "keys": keys, "changed_at": at, "is_new": is_new}
                for i, at, keys, is_new in some
            ]

    def unlikely(self, matches: Iterable[Pair], probability: float) -> Iterator[list[Pair]]:
        """Yield those of these matches that were compared and are not so likely now."""
        seen = " semi join seen a on a.record_id = l semi join seen b on b.record_id = r"
        return self._outside(matches, seen, probability, 1.0)

    def certain(self, reviews: Iterable[Pair], low: float, high: float) -> Iterator[list[int]]:
        """Yield ids of pairs that are not in doubt, from `low` to below `high`, or not compared."""
        for some in self._outside(reviews, "", low, high):
            yield [i for i, _, _ in some]

    def _outside(
        self, pairs: Iterable[Pair], among: str, low: float, high: float
    ) -> Iterator[list[Pair]]:
        if self._found is None:
            self._con.execute(
                "create table if not exists scored"
                " (record_id_l bigint, record_id_r bigint, total double)"
            )
        every = iter(pairs)
        while some := list(islice(every, _LOOKED_UP)):
            columns = zip(("id", "l", "r"), zip(*some, strict=True), strict=True)
            table = pa.table({name: pa.array(values, pa.int64()) for name, values in columns})
            self._con.register("judged", table)
            gone = self._con.execute(
                f"select id, l, r from judged{among} anti join (select"
                " least(record_id_l, record_id_r) as one, greatest(record_id_l, record_id_r)"
                " as other, 1 / (1 + pow(2, -total)) as p from scored"
                " where p >= $1 and (p < $2 or $2 = 1))"
                " on one = l and other = r order by id",
                [low, high],
            ).fetchall()
            self._con.unregister("judged")
            yield gone
