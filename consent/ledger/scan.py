"""One pass over all entries of the ledger: what each says, hashes to, and sealed."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from itertools import islice, takewhile
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from consent.ledger.check import leaf_hash
from consent.ledger.dated import Dated
from consent.ledger.gone import Gone
from consent.ledger.report import Claim, Report
from consent.ledger.sealer import LIST, catalogue_id
from consent.ledger.sealing import SubjectKey
from consent.ledger.standing import Standing
from consent.ledger.store import statement
from consent.ledger.tables import LedgerEntry, LedgerNode, LedgerSealed
from consent.ledger.tree import WIDTH, Running

#: Entries read at once: a multiple of 256.
STEP = 64 * WIDTH

#: Behind which entry a kept subtree ends.
ENDS = (LedgerNode.node_index + 1).op("<<")(sa.cast(LedgerNode.level, sa.Integer))

#: Returns the keys with these ids; None for one that was destroyed.
KeysById = Callable[[Collection[UUID]], Mapping[UUID, SubjectKey | None]]


class Scan:
    """Reads entry after entry and notes what is wrong."""

    def __init__(
        self,
        session: Session,
        report: Report,
        signed: Collection[Claim],
        external: Collection[Claim],
        keys: KeysById | None,
    ) -> None:
        """`signed` are the checkpoints of the database, `external` those kept elsewhere."""
        self._session, self._report, self._keys = session, report, keys
        self._signed = max((claim.size for claim in signed), default=0)
        self._claims = sorted([*signed, *external])
        self._catalogue = {
            catalogue_id(row.kind, row.key, row.version, row.language): row.content
            for row in session.execute(statement("ledger_catalogue"))
        }
        self._running, self._whole = Running(), True
        self._good, self._logged, self._dated = 0, "", Dated(claim.size for claim in signed)
        self._groups: dict[tuple[int, int], bytes] = {}
        self._exact: list[int] = []
        self._catalogue |= {
            catalogue_id(LIST, "iab", row.version): row.content
            for row in session.execute(statement("ledger_lists"), {"versions": None})
        }
        self._gone, self._standing = Gone(), Standing()
        self._place: tuple[int, int] | None = None

    def run(self, progress: Callable[[int], None]) -> None:
        """Examine every entry, in order."""
        self._outside()
        for start in range(0, self._signed, STEP):
            past = min(start + STEP, self._signed)
            self._groups = self._kept(start, past)
            rows = self._session.execute(
                statement("ledger_rows"), {"first": start, "past": past}
            ).all()
            keys = self._opening(rows)
            for row in rows:
                self._entry(row, keys)
            for level, index in sorted(self._groups):
                self._within(index << level, past, f"there are hashes of level {level} too many")
            progress(past)
        self._keys_gone()
        if self._keys is not None:
            for entry, what in self._standing.wrong(self._session):
                self._report.wrong(entry, what)
        size = self._report.entries = self._running.size
        if size < self._signed:
            self._tell(size, f"entries from {size} on are gone")
        for claim in self._claims[:1] if self._whole else ():
            self._tell(size, claim.refuted(size))

    def _outside(self) -> None:
        """Look for entries that no checkpoint covers: each one was made with its own."""
        place = LedgerEntry.leaf_index
        query = sa.select(place).where(sa.or_(place < 0, place >= self._signed))
        for index in self._session.scalars(query.order_by(place).limit(1)):
            self._tell(max(0, index), f"entry {index} is in no checkpoint")
        if self._session.scalar(sa.select(sa.exists().where(ENDS > self._signed))):
            self._tell(self._signed, "the tree holds hashes of no entries")

    def _kept(self, start: int, past: int) -> dict[tuple[int, int], bytes]:
        """Return the kept hashes of subtrees that end within the entries from here on."""
        query = sa.select(LedgerNode.level, LedgerNode.node_index, LedgerNode.hash)
        rows = self._session.execute(query.where(ENDS > start, ENDS <= past))
        return {(row.level, row.node_index): row.hash for row in rows}

    def _opening(self, rows: Iterable[sa.Row[Any]]) -> Mapping[UUID, SubjectKey | None]:
        if self._keys is None:
            return {}
        return self._keys({row.key_id for row in rows if row.key_id is not None})

    def _entry(self, row: sa.Row[Any], keys: Mapping[UUID, SubjectKey | None]) -> None:
        index, size = row.leaf_index, self._running.size
        if index != size:
            self._tell(size, f"entry {size} is gone")
            self._whole = False
            self._running.size = index  # to read on; of the tree nothing is said any more
        if leaf_hash(row.entry.encode()) != row.leaf_hash:
            self._tell(index, f"entry {index} is not what was hashed")
        said = self._read(row)
        if said is not None and said.get("type") in ("purpose", "notice", LIST):
            self._version(row, said)
        elif said is not None:
            self._sealed(row, said, keys)
            self._time(row, said)
            self._order(row)
            self._of_keys(row, said)
        self._grow(index, row.leaf_hash)

    def _read(self, row: sa.Row[Any]) -> dict[str, Any] | None:
        index = row.leaf_index
        try:
            said: dict[str, Any] = json.loads(row.entry)
            stands, logged = said["index"], str(said["logged"])
        except (ValueError, KeyError, TypeError):
            self._tell(index, f"entry {index} cannot be read")
            return None
        if stands != str(index):
            first = int(stands) if str(stands).isdecimal() else index  # it was moved from there
            self._tell(min(index, first), f"entry {index} says that it is entry {stands}")
        elif logged < self._logged:
            self._tell(index, f"entry {index} is dated before the one before it")
        else:
            self._logged = logged
        return said

    def _version(self, row: sa.Row[Any], said: Mapping[str, Any]) -> None:
        """Compare a version of a purpose, notice or vendor list with its entry."""
        now = self._catalogue.get(row.about)
        if now is None or not within(str(said.get("content", "{}")), now):
            name = said.get(said["type"])
            what = f"{said['type']} {name} version {said.get('version')}"
            self._tell(row.leaf_index, f"{what} is not what entry {row.leaf_index} says")

    def _of_keys(self, row: sa.Row[Any], said: Mapping[str, Any]) -> None:
        try:
            self._gone.stated(row.leaf_index, said)
        except ValueError:
            self._tell(row.leaf_index, f"entry {row.leaf_index} names no key")

    def _keys_gone(self) -> None:
        """Hold destroyed keys against what is there: the keys themselves, and what they sealed."""
        for what in self._gone.wrong():
            self._report.wrong(None, what)
        destroyed = self._gone.destroyed
        known = iter(destroyed)
        while some := list(islice(known, STEP)):
            # The sealer removed what such a key had sealed when it said so.
            under = sa.select(LedgerSealed.leaf_index).where(LedgerSealed.key_id.in_(some))
            for index in self._session.scalars(under.order_by(LedgerSealed.leaf_index)):
                self._tell(index, f"what was sealed of entry {index} is under a destroyed key")
            there = {} if self._keys is None else self._keys(some)
            for key in some:
                if there.get(key) is not None:
                    what = f"the key that entry {destroyed[key]} says is destroyed is there"
                    self._tell(destroyed[key], f"{what}: an older keystore was restored")

    def _order(self, row: sa.Row[Any]) -> None:
        """Look whether records stand in the order in which they were sealed: of equals one wins."""
        if row.transaction is None:
            return
        place = (int(row.transaction), row.seq)
        if self._place is not None and place <= self._place:
            what = f"the record of entry {row.leaf_index} or the one in front of it was moved"
            self._tell(row.leaf_index, what)
        self._place = place

    def _time(self, row: sa.Row[Any], said: Mapping[str, Any]) -> None:
        """Look whether a record states a time that its place in the ledger bears out."""
        try:
            logged = datetime.fromisoformat(said["logged"])
            is_record = said["type"] == "consent" and row.body is not None
            recorded = json.loads(row.body)["recorded_at"] if is_record else None
            wrong = self._dated.wrong(row.leaf_index, logged, recorded)
        except (ValueError, KeyError, TypeError):
            return  # what is not as we wrote it was found before
        if wrong:
            self._tell(row.leaf_index, f"the record of entry {row.leaf_index} {wrong}")

    def _sealed(
        self, row: sa.Row[Any], said: Mapping[str, Any], keys: Mapping[UUID, SubjectKey | None]
    ) -> None:
        """Compare an entry with what was sealed of it, and that with the record.

        Key, sealed text and record end together. One that is there without the others was taken
        from, whoever took it.
        """
        index, is_record = row.leaf_index, said.get("type") in ("consent", "restriction")
        if row.sealed is None:
            if row.body is not None:
                self._tell(index, f"what was sealed of entry {index} is gone, its record is not")
            else:
                self._gone.missing(index, said)
            return
        key = keys.get(row.key_id)
        is_destroyed = key is None and row.key_id in keys
        if row.body is None and is_record and not is_destroyed:
            self._tell(index, f"the record of entry {index} is gone, what was sealed of it is not")
        if is_destroyed and row.body is not None:  # an erasure deletes records first
            self._tell(index, f"what was sealed of entry {index} is under a destroyed key")
        if self._keys is None or is_destroyed:
            return  # the sealer has still to remove what it sealed
        body = key.open(row.sealed, row.entry.encode()) if key is not None else None
        if key is None or body is None:
            self._tell(index, f"what was sealed of entry {index} cannot be opened")
        elif said.get("body") != key.commitment(index, body):
            self._tell(index, f"entry {index} does not commit to what was sealed of it")
        elif row.body is not None:
            self._report.compared += 1
            if not within(body.decode(), row.body):
                self._tell(index, f"the record of entry {index} was changed")
        else:
            self._standing.stated(index, said, body.decode())

    def _grow(self, index: int, found: bytes) -> None:
        if not self._whole:
            self._running.size = index + 1
            self._groups.clear()
            return
        for level, node, kept in self._running.add(found):
            if self._groups.pop((level, node), None) != kept:
                low, high = node << level, (node + 1) << level
                self._within(low, high, f"the tree does not fit the entries {low} to {high - 1}")
        size = self._running.size
        if not self._claims or self._claims[0].size > size:
            return
        here = list(takewhile(lambda claim: claim.size == size, self._claims))
        self._claims = self._claims[len(here) :]
        for claim in here:
            if claim.root != self._running.root():
                self._within(self._good, size, claim.refuted(size))
                self._claims = []  # whatever comes after is wrong too
                return
        self._good = size

    def _tell(self, index: int, what: str) -> None:
        self._exact.append(index)
        self._report.wrong(index, what)

    def _within(self, low: int, high: int, what: str) -> None:
        """Tell of something wrong in a range: of the entry in it that is known to be, if any."""
        self._report.wrong(min((i for i in self._exact if low <= i < high), default=low), what)


def within(then: str, now: str) -> bool:
    """Say whether an object still has all members that it had; a later column is no change."""
    if then == now:
        return True
    before, after = (json.loads(t, parse_float=str, parse_int=str) for t in (then, now))
    return all(name in after and after[name] == value for name, value in before.items())
