"""Makes entries of what was recorded, lets the tree grow, and signs a checkpoint.

One step is one transaction, and there is no state beside what it writes: a checkpoint says up to
which record the ledger has come, and an entry of a purpose, a notice or a statement is what says
that it is there. So a step that dies leaves nothing, and the next one does the same work.
"""

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol
from uuid import UUID, uuid5

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from consent.errors import StatementInvalid
from consent.ledger import ending, gone, standing
from consent.ledger.check import leaf_hash
from consent.ledger.ending import Counts
from consent.ledger.entry import STATED, checked, entry, word
from consent.ledger.note import Signer, checkpoint
from consent.ledger.sealing import SubjectKey
from consent.ledger.store import Head, head, statement, tree
from consent.ledger.tables import (
    LedgerCheckpoint,
    LedgerEntry,
    LedgerKey,
    LedgerSealed,
    LedgerStatement,
)
from consent.ledger.tree import Node, grow
from consent.tables import VendorListVersion

Identifier = tuple[str, str]
#: Whose key seals what is about nobody. Namespaces have names, so it is no identifier.
INSTALLATION: Identifier = ("", "installation")
#: What this folder states beside `entry.STATED`.
OWN = ("restriction", standing.KIND)
#: Names what has no id of its own (RFC 9562 section 5.5).
NAMES = UUID("8d2f7d3c-64a5-4c1e-9d0a-5b1f2f0f6a01")
#: The version of ids that are made of names.
OF_NAMES = 5


#: The kind of entries of vendor lists, of which one body publishes all that count.
LIST = "vendor_list"


class Keys(Protocol):
    """Where the keys of identifiers are kept."""

    def of(
        self, identifiers: Collection[Identifier]
    ) -> Mapping[Identifier, tuple[UUID, SubjectKey]]:
        """Return the keys of identifiers with their ids, made where there were none."""


@dataclass(frozen=True, slots=True)
class Due:
    """What becomes an entry: what it says in public, and what is sealed for whom."""

    kind: str
    public: Mapping[str, str | None]
    about: UUID
    subject: Identifier | None = None
    body: str | None = None

    @property
    def keeper(self) -> Identifier | None:
        """Whose key it needs."""
        return self.subject or (INSTALLATION if self.body is not None else None)


def step(
    session: Session,
    keys: Keys,
    signers: list[Signer],
    *,
    most: int,
    destroyed: Mapping[UUID, Counts | None] = MappingProxyType({}),
) -> int:
    """Seal what waits, records up to so many entries, and return how many entries that made.

    `destroyed` are keys that are gone, with how many entries named each: what they sealed goes too,
    and an entry says so. The caller holds the lock of the ledger. Nothing is written, and no
    transaction id taken, before all is computed, so that no reader of events waits for it.
    """
    before = head(session)
    due = _counting(session) + _new(
        session,
        _catalogue(session) + _lists(session) + _vkeys(signers) + _ended(session, destroyed),
    )
    stated = _statements(session, most)
    rows = _records(session, before, max(0, most - len(due) - len(stated)))
    due += [_statement(row) for row in stated] + [_record(row) for row in rows]
    if not due:
        return 0
    logged = _now(session, before)
    made, hashes = _entries(due, keys, before.size, logged)
    kept, grown = grow(tree(session, before.size), hashes)
    root = grown.root()
    mark = (rows[-1].transaction, rows[-1].seq) if rows else before.mark
    _write(session, made, kept)
    done = [row.id for row in stated]
    session.execute(sa.delete(LedgerStatement).where(LedgerStatement.id.in_(done)))
    if destroyed:
        session.execute(sa.delete(LedgerSealed).where(LedgerSealed.key_id.in_(list(destroyed))))
    vkeys = [{"vkey": signer.vkey, "created_at": logged} for signer in signers]
    session.execute(insert(LedgerKey).values(vkeys).on_conflict_do_nothing())
    session.execute(
        sa.insert(LedgerCheckpoint).values(
            size=grown.size,
            root=root,
            note=checkpoint(signers, grown.size, root),
            transaction=sa.cast(mark[0], LedgerCheckpoint.transaction.type),
            record_seq=mark[1],
            created_at=logged,
        )
    )
    return len(due)


def _now(session: Session, before: Head) -> datetime:
    """Return the time by the database's clock, never earlier than the entries before."""
    now: datetime = session.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return max(now, before.created_at) if before.created_at else now


def _catalogue(session: Session) -> list[Due]:
    """Return the versions of purposes and notices."""
    return [
        Due(
            row.kind,
            {
                row.kind: row.key,
                "version": str(row.version),
                "language": row.language or None,
                "sha256": row.sha256,
                "content": row.content,
            },
            catalogue_id(row.kind, row.key, row.version, row.language),
        )
        for row in session.execute(statement("ledger_catalogue"))
    ]


def _lists(session: Session) -> list[Due]:
    """Return the vendor lists; what one says is hashed by the database, once."""
    versions = session.scalars(sa.select(VendorListVersion.version)).all()
    ids = {catalogue_id(LIST, "iab", version): version for version in versions}
    there = sa.select(LedgerEntry.about).where(LedgerEntry.about.in_(ids))
    new = {about: ids[about] for about in ids.keys() - set(session.scalars(there))}
    if not new:
        return []
    rows = session.execute(statement("ledger_lists"), {"versions": sorted(new.values())})
    return [
        Due(
            LIST,
            {LIST: "iab", "version": str(row.version), "content": row.content},
            catalogue_id(LIST, "iab", row.version),
        )
        for row in rows
    ]


def catalogue_id(kind: str, key: str, version: int, language: str = "") -> UUID:
    """Return what the entry of a version of a purpose or notice is found by."""
    return uuid5(NAMES, f"{kind}\0{key}\0{version}\0{language}")


def _vkeys(signers: Iterable[Signer]) -> list[Due]:
    """Return the public keys that sign."""
    said = {signer.vkey: {"event": "signing_key", "vkey": signer.vkey} for signer in signers}
    return [Due("key_event", said[vkey], uuid5(NAMES, vkey)) for vkey in said]


def _ended(session: Session, destroyed: Mapping[UUID, Counts | None]) -> list[Due]:
    if not destroyed:
        return []
    return [
        Due("key_event", {"event": gone.DESTROYED, "key": key.hex, **gone.numbers(found)}, key)
        for key, found in ending.going(session, destroyed).items()
    ]


def _counting(session: Session) -> list[Due]:
    """Return the first entry of every ledger: what is gone from now on is counted (`gone`)."""
    about = uuid5(NAMES, gone.COUNTED)
    there = sa.select(LedgerEntry.entry).where(LedgerEntry.about == about)
    if gone.COUNTED in (session.scalar(there) or ""):
        return []
    before = gone.numbers(ending.gone_before(session))
    return [Due("key_event", {"event": gone.COUNTED, **before}, about)]


def _new(session: Session, due: Sequence[Due]) -> list[Due]:
    """Leave out what has an entry."""
    asked = [one.about for one in due]
    there = set(session.scalars(sa.select(LedgerEntry.about).where(LedgerEntry.about.in_(asked))))
    return [one for one in due if one.about not in there]


def _statements(session: Session, most: int) -> Sequence[LedgerStatement]:
    """Return what waits and is of a form that is stated; anything else was put there by hand.

    What the sealer says of itself (its keys, purposes, records) nobody else may say.
    """
    stated = LedgerStatement.kind.in_((*STATED, *OWN))
    query = sa.select(LedgerStatement).where(stated).order_by(LedgerStatement.id).limit(most)
    return [row for row in session.scalars(query) if is_stated(row.kind, row.public, row.about)]


def is_stated(kind: str, public: Mapping[str, Any], about: UUID) -> bool:
    """Say whether a statement is of a form that this product states.

    Nor is one about what the sealer's own entries are about, whose ids are made of names: what it
    has to say of itself would be taken to have an entry.
    """
    if about.version == OF_NAMES:
        return False
    if kind in OWN:
        return all(isinstance(value, str) for value in public.values())
    try:
        checked(kind, public)
    except StatementInvalid:
        return False
    return True


def _statement(row: LedgerStatement) -> Due:
    subject = (row.namespace, row.value) if row.namespace and row.value else None
    return Due(row.kind, row.public, row.about, subject, row.body)


def _records(session: Session, before: Head, most: int) -> Sequence[sa.Row[Any]]:
    mark = {"transaction": before.mark[0], "seq": before.mark[1], "most": most}
    return session.execute(statement("ledger_records"), mark).all()


def _record(row: sa.Row[Any]) -> Due:
    public = {
        "purpose": row.purpose,
        "purpose_version": row.purpose_version,
        "state": row.state,
        "order_time": row.order_time,
        "source": word(row.collected_by),
        "notice": row.notice,
    }
    return Due("consent", public, row.id, (row.namespace, row.value), row.body)


def _entries(
    due: Sequence[Due], keys: Keys, first: int, logged: datetime
) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Return rows of the entries with what is sealed of them, and the hashes of the entries."""
    of = keys.of({one.keeper for one in due if one.keeper is not None})
    rows: list[dict[str, Any]] = []
    hashes = []
    for index, one in enumerate(due, first):
        key_id, key = of[one.keeper] if one.keeper is not None else (None, None)
        body = None if one.body is None else one.body.encode()
        said = entry(
            one.kind, index, logged, one.public, key=key, subject=one.subject is not None, body=body
        )
        found = leaf_hash(said)
        hashes.append(found)
        sealed = _base64(key.seal(body, said)) if key is not None and body is not None else None
        rows.append({"leaf_index": index, "entry": said.decode(), "leaf_hash": _base64(found),
                     "about": one.about, "key_id": key_id, "sealed": sealed})  # fmt: skip
    return rows, hashes


def _write(session: Session, rows: list[dict[str, Any]], kept: list[Node]) -> None:
    session.execute(statement("ledger_seal"), {"rows": _json(rows)})
    if kept:
        nodes = [{"level": n[0], "node_index": n[1], "hash": _base64(n[2])} for n in kept]
        session.execute(statement("ledger_nodes"), {"rows": _json(nodes)})


def _json(rows: list[dict[str, Any]]) -> str:
    return msgspec.json.encode(rows).decode()


def _base64(found: bytes) -> str:
    return base64.b64encode(found).decode()
