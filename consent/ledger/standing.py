"""What stands of an identifier in tables that change, and what the ledger says of it last.

Ages and TC strings are replaced as they are stated, so no row is an entry's for good. Each change
states all rows that stand then (a trigger does, whoever writes), sealed under the identifier's key.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from consent.ledger.tables import LedgerStatement

KIND = "standing"
#: The tables whose rows are stated.
TABLES = ("age_band", "carried_tc_string", "tc_string")
#: Read at once.
PORTION = 10_000
_ROWS = (
    "SELECT namespace, value, CAST(jsonb_agg(to_jsonb(a) - 'said_at' ORDER BY "
    "CAST(to_jsonb(a) - 'said_at' AS text)) AS text) AS rows FROM consent.{} a GROUP BY 1, 2"
)


class _Said(NamedTuple):
    """What was said last of an identifier: by which entry, of how many rows, by which members."""

    entry: int | None
    rows: int
    members: tuple[str, ...]
    digest: bytes


class Standing:
    """Keeps of each identifier what was said last; some 300 bytes each."""

    def __init__(self) -> None:
        """Nothing has been read."""
        self._last: dict[tuple[str, bytes], _Said] = {}

    def stated(self, index: int | None, said: Mapping[str, Any], body: str) -> None:
        """Note what an entry, or a statement that waits for one, says of what stands."""
        table = str(said.get("of"))
        if table not in TABLES:
            return
        told = json.loads(body)
        rows = told["rows"]
        members = tuple(sorted(rows[0])) if rows else ()
        key = table, _key(told["namespace"], told["value"])
        self._last[key] = _Said(index, len(rows), members, _digest(rows, members))

    def wrong(self, session: Session) -> Iterator[tuple[int | None, str]]:
        """Yield what stands otherwise than was said last, with the entry that says so."""
        waiting = sa.select(LedgerStatement).where(LedgerStatement.kind == KIND)
        for one in session.scalars(waiting.order_by(LedgerStatement.id)):
            self.stated(None, one.public, one.body or "{}")
        unstated: Counter[str] = Counter()
        for table in TABLES:
            query = sa.text(_ROWS.format(table)).execution_options(yield_per=PORTION)
            for row in session.execute(query):
                said = self._last.pop((table, _key(row.namespace, row.value)), None)
                rows = json.loads(row.rows)
                if said is None:
                    unstated[table] += 1
                elif _digest(rows, said.members) != said.digest:
                    yield said.entry, _names(table, said) + " stands otherwise than it says"
        for table, number in unstated.items():
            yield None, f"what stands of {number} identifiers in consent.{table} was never stated"
        for (table, _), said in self._last.items():
            if said.rows:
                yield said.entry, _names(table, said) + " is gone"


def _names(table: str, said: _Said) -> str:
    who = "a waiting statement" if said.entry is None else f"entry {said.entry}"
    return f"what {who} says of an identifier in consent.{table}"


def _key(namespace: str, value: str) -> bytes:
    return hashlib.sha256(f"{namespace}\0{value}".encode("utf-8", "surrogatepass")).digest()[:16]


def _digest(rows: Sequence[Mapping[str, Any]], members: Sequence[str]) -> bytes:
    """Return a hash of rows by the members they had when they were stated; later ones are none."""
    said = [[row.get(name) for name in members] for row in rows]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest()[:16]
