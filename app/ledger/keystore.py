"""The keystore: a key per identifier and the signing keys, in a database of their own.

By default a SQLite file in the data directory, or any database that `PARCOURS_KEYSTORE_URL` names.
It is kept and backed up apart from the main database, for a shorter time, and every key in it is
wrapped under a key that is in neither. To destroy the key of an identifier is to empty one row.
"""

import os
import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from app import db
from app.errors import LedgerKeyUnusable
from app.key_file import KeyFile
from app.ledger.keystore_tables import (
    OWN,
    key_counts,
    metadata,
    signed_logs,
    signing_keys,
    subject_keys,
)
from app.ledger.wrapping import Wrapping, look_up
from app.settings import Settings
from consent.ledger import INSTALLATION, Identifier, Signer, SubjectKey
from consent.ledger.check import Checkpoint, read_checkpoint

T = TypeVar("T")
#: Says how many entries of the ledger name a key, by kind.
Named = Callable[[UUID, SubjectKey], Mapping[str, int]]

#: The files in the data directory.
FILE, KEY_FILE = "keystore.db", "ledger.key"
#: Identifiers asked for, or keys wrapped anew, at once.
AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A signing key, and when it ends, if it does."""

    signer: Signer
    created_at: datetime
    retires_at: datetime | None


class Keystore:
    """The keys of this installation; opened when first asked for, made where there is none."""

    def __init__(self, settings: Settings) -> None:
        """Raises LedgerKeyUnusable when the setting of the wrapping key is no list of keys."""
        self._home = settings.home
        self._url = settings.keystore_url
        self.file = KeyFile(
            settings.home / KEY_FILE, settings.ledger_key, "PARCOURS_LEDGER_KEY", LedgerKeyUnusable
        )
        self._engine: sa.Engine | None = None
        self._opening = threading.Lock()
        self._look_up: bytes | None = None
        self._read: tuple[bytes, ...] | None = None
        self._known: Wrapping | None = None

    @property
    def exists(self) -> bool:
        """Whether the file is there; a database of its own is taken to be."""
        return self._url is not None or (self._home / FILE).exists()

    def close(self) -> None:
        """Let go of the connections; the next question opens them again."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        """One transaction; it opens the keystore, and makes it where there is none."""
        with self._opening:
            if self._engine is None:
                self._engine = self._open()
            if self._known is not None and self.file.keys() is not self._read:
                self._known = None
        with self._engine.begin() as connection:
            yield connection

    def _open(self) -> sa.Engine:
        engine = db.engine(self._url) if self._url else _sqlite(self._home / FILE)
        try:
            with engine.begin() as connection:
                for table in metadata.sorted_tables:
                    connection.execute(CreateTable(table, if_not_exists=True))
                    for index in table.indexes:
                        connection.execute(CreateIndex(index, if_not_exists=True))
                used = connection.execute(sa.select(subject_keys.c.id).limit(1)).first()
            if used is not None and self.file.keys() is None:
                raise LedgerKeyUnusable(f"{self.file.origin} is gone, which opens the keystore")
        except BaseException:
            engine.dispose()
            raise
        return engine

    def of(self, identifiers: Collection[Identifier]) -> dict[Identifier, tuple[UUID, SubjectKey]]:
        """Return the keys of identifiers with their ids, made where there were none.

        For the sealer, under its lock: two who make keys at once would make two of one identifier,
        of which the second fails.
        """
        if not identifiers:
            return {}
        with self._begin() as connection:
            wanted = {self._ref(connection, identifier): identifier for identifier in identifiers}
            found: dict[Identifier, tuple[UUID, SubjectKey]] = {}
            for some in _parts(wanted):
                query = sa.select(subject_keys).where(subject_keys.c.ref.in_(some))
                for row in connection.execute(query):
                    found[wanted[row.ref]] = row.id, SubjectKey(self._unwrapped(row))
            missing = [ref for ref, identifier in wanted.items() if identifier not in found]
            for some in _parts(missing):
                made = [(ref, uuid4(), secrets.token_bytes(32)) for ref in some]
                self._insert(connection, made)
                found |= {wanted[ref]: (key_id, SubjectKey(key)) for ref, key_id, key in made}
            return found

    def by_ids(self, key_ids: Collection[UUID]) -> dict[UUID, SubjectKey | None]:
        """Return keys by their ids; None is one that was destroyed, left out one never made."""
        found: dict[UUID, SubjectKey | None] = {}
        with self._begin() as connection:
            for some in _parts(key_ids):
                query = sa.select(subject_keys).where(subject_keys.c.id.in_(some))
                for row in connection.execute(query):
                    gone = row.destroyed_at is not None
                    found[row.id] = None if gone else SubjectKey(self._unwrapped(row))
        return found

    def existing(self, identifiers: Collection[Identifier]) -> dict[Identifier, SubjectKey]:
        """Return the keys of identifiers that have one; makes none."""
        found = {}
        with self._begin() as connection:
            for identifier in identifiers:
                ref = subject_keys.c.ref == self._ref(connection, identifier)
                row = connection.execute(sa.select(subject_keys).where(ref)).first()
                if row is not None:
                    found[identifier] = SubjectKey(self._unwrapped(row))
        return found

    def by_id(self, key_id: UUID) -> SubjectKey | None:
        """Return a key, or None where it is gone."""
        return self.by_ids([key_id]).get(key_id)

    def destroy(
        self,
        identifiers: Iterable[Identifier],
        *,
        at: datetime,
        named: Named = lambda _id, _key: {},
    ) -> list[UUID]:
        """Destroy the keys of identifiers, on disk when this returns, and return their ids.

        What they sealed opens no more, and nothing tells which entries they named. The sealer then
        removes what they sealed and enters that they are gone. An identifier that comes again gets
        another key. One without a key is passed over. One row each, whatever it has sealed.

        `named` says how many entries of the ledger name a key, which is kept here: more than that
        may not be without a record (`app.ledger.ending` asks it, under the lock of the sealer).
        """
        gone = []
        with self._begin() as connection:
            for identifier in identifiers:
                ref = self._ref(connection, identifier)
                found = connection.execute(
                    sa.select(subject_keys).where(subject_keys.c.ref == ref)
                ).first()
                if found is not None:
                    counts = dict(named(found.id, SubjectKey(self._unwrapped(found))))
                    self._empty(connection, found.id, at)
                    connection.execute(sa.insert(key_counts).values(id=found.id, named=counts))
                    gone.append(found.id)
        return gone

    def destroy_again(self, key_ids: Collection[UUID], *, at: datetime) -> int:
        """Destroy keys that the ledger says are destroyed: an older keystore was restored.

        Return how many of them were there. The installation's own is no identifier's, and stays.
        """
        with self._begin() as connection:
            there: list[UUID] = []
            for some in _parts(key_ids):
                is_there = subject_keys.c.id.in_(some) & (subject_keys.c.ref != OWN)
                is_there &= subject_keys.c.destroyed_at.is_(None)
                there += connection.scalars(sa.select(subject_keys.c.id).where(is_there))
            for key_id in there:
                self._empty(connection, key_id, at)
        self.told(there)
        return len(there)

    def _empty(self, connection: sa.Connection, key_id: UUID, at: datetime) -> None:
        empty = {"ref": None, "wrapped": None, "destroyed_at": at}
        row = subject_keys.c.id == key_id
        connection.execute(sa.update(subject_keys).where(row).values(empty))

    def untold(self) -> dict[UUID, Mapping[str, int] | None]:
        """Return destroyed keys of which the ledger does not tell yet, and how many entries each.

        None where an earlier version destroyed it and did not count.
        """
        is_untold = subject_keys.c.destroyed_at.is_not(None) & ~subject_keys.c.told
        with self._begin() as connection:
            query = (
                sa.select(subject_keys.c.id, key_counts.c.named)
                .outerjoin(key_counts, key_counts.c.id == subject_keys.c.id)
                .where(is_untold)
                .order_by(subject_keys.c.id)
            )
            return {row.id: row.named for row in connection.execute(query.limit(AT_ONCE))}

    def destroyed(self) -> list[UUID]:
        """Return the ids of all keys that were destroyed."""
        with self._begin() as connection:
            is_gone = subject_keys.c.destroyed_at.is_not(None)
            return list(connection.scalars(sa.select(subject_keys.c.id).where(is_gone)))

    def tell_again(self, key_ids: Collection[UUID]) -> None:
        """Note that the ledger does not tell of these destroyed keys: an older one was restored."""
        self._note(key_ids, told=False)

    def told(self, key_ids: Collection[UUID]) -> None:
        """Note that the ledger tells of these destroyed keys."""
        self._note(key_ids, told=True)

    def _note(self, key_ids: Collection[UUID], *, told: bool) -> None:
        with self._begin() as connection:
            for some in _parts(key_ids):
                done = sa.update(subject_keys).where(subject_keys.c.id.in_(some))
                connection.execute(done.values(told=told))

    def signing_keys(self, *, at: datetime) -> list[SigningKey]:
        """Return the keys that sign, the newest first; forgets those that have retired."""
        with self._begin() as connection:
            ended = signing_keys.c.retires_at <= at
            connection.execute(sa.delete(signing_keys).where(ended))
            order = (signing_keys.c.created_at.desc(), signing_keys.c.id)
            return [
                SigningKey(
                    Signer(row.origin, self._unwrapped(row)),
                    _aware(row.created_at),
                    _aware(row.retires_at) if row.retires_at else None,
                )
                for row in connection.execute(sa.select(signing_keys).order_by(*order))
            ]

    def vkeys(self) -> list[str]:
        """Return the public keys of those that sign now."""
        return [key.signer.vkey for key in self.signing_keys(at=datetime.now(UTC))]

    def add_signing_key(self, origin: str, *, at: datetime, overlap: timedelta) -> Signer:
        """Add a key for a log. Older ones of the log sign beside it for the time of the overlap.

        Those of another log end at once: one checkpoint is of one log.
        """
        seed, key_id = secrets.token_bytes(32), uuid4()
        with self._begin() as connection:
            others = signing_keys.c.origin != origin
            connection.execute(sa.delete(signing_keys).where(others))
            open_ended = signing_keys.c.retires_at.is_(None)
            ends = sa.update(signing_keys).where(open_ended).values(retires_at=at + overlap)
            connection.execute(ends)
            row = {"id": key_id, "origin": origin, "created_at": at, **self._wrapped(key_id, seed)}
            connection.execute(sa.insert(signing_keys).values(row))
        return Signer(origin, seed)

    def signed(self, origin: str, note: str) -> None:
        """Note the newest checkpoint of a log."""
        with self._begin() as connection:
            connection.execute(sa.delete(signed_logs).where(signed_logs.c.origin == origin))
            connection.execute(sa.insert(signed_logs).values(origin=origin, note=note))

    def last_notes(self) -> dict[str, str]:
        """Return the newest checkpoint of each log by its name, as far as it was noted."""
        with self._begin() as connection:
            rows = connection.execute(sa.select(signed_logs.c.origin, signed_logs.c.note))
            return {row.origin: row.note for row in rows}

    def last_signed(self, origin: str) -> Checkpoint | None:
        """Return the newest checkpoint of a log, as far as it was noted."""
        note = self.last_notes().get(origin)
        return read_checkpoint(note.partition("\n\n")[0] + "\n") if note else None

    def old(self) -> int:
        """Return how many keys an older key wraps."""
        with self._begin() as connection:
            query = sa.select(sa.func.count())
            return sum(
                connection.scalar(query.where(self._is_old(table))) or 0
                for table in (signing_keys, subject_keys)
            )

    def _is_old(self, table: sa.Table) -> sa.ColumnElement[bool]:
        newest = self._wrapping().newest
        return table.c.wrapped.is_not(None) & (table.c.wrapping != newest)

    def rewrap(self) -> int:
        """Wrap some keys that older keys wrap under the newest, and return how many."""
        done = 0
        with self._begin() as connection:
            if len(self._wrapping().ids) < 2:
                return 0
            for table in (signing_keys, subject_keys):
                old = sa.select(table).where(self._is_old(table)).limit(AT_ONCE)
                rows = connection.execute(old).all()
                for row in rows:
                    again = self._wrapped(row.id, self._unwrapped(row))
                    connection.execute(sa.update(table).where(table.c.id == row.id).values(again))
                done += len(rows)
        return done

    def _ref(self, connection: sa.Connection, identifier: Identifier) -> bytes:
        """Return what an identifier is looked up by.

        Under a key that the installation's own is derived to, so that it stays when the wrapping
        key changes.
        """
        if identifier == INSTALLATION:
            return OWN
        if self._look_up is None:
            own = sa.select(subject_keys).where(subject_keys.c.ref == OWN)
            row = connection.execute(own).first()
            self._look_up = self._unwrapped(row) if row else secrets.token_bytes(32)
            if row is None:
                self._insert(connection, [(OWN, uuid4(), self._look_up)])
        return look_up(self._look_up, *identifier)

    def _insert(self, connection: sa.Connection, made: Iterable[tuple[bytes, UUID, bytes]]) -> None:
        rows = [{"id": i, "ref": ref, **self._wrapped(i, key)} for ref, i, key in made]
        connection.execute(sa.insert(subject_keys), rows)

    def _wrapped(self, key_id: UUID, key: bytes) -> dict[str, Any]:
        wrapping = self._wrapping()
        return {"wrapped": wrapping.wrap(key, key_id.bytes), "wrapping": wrapping.newest}

    def _unwrapped(self, row: Any) -> bytes:
        key = self._wrapping().unwrap(row.wrapping, row.wrapped, row.id.bytes)
        if key is None:
            raise LedgerKeyUnusable(f"{self.file.origin} does not open the keystore")
        return key

    def _wrapping(self) -> Wrapping:
        """Return the wrapping keys, as they were when this transaction began."""
        if self._known is None:
            keys = self.file.keys()
            if keys is None and self._read is not None:
                raise LedgerKeyUnusable(f"{self.file.origin} is gone, which opens the keystore")
            keys = keys or self.file.keys_or_new()
            self._read, self._known = keys, Wrapping(keys)
        return self._known


def _sqlite(path: Path) -> sa.Engine:
    """Return an engine on a file that its owner alone reads, and in which nothing lingers."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise LedgerKeyUnusable(f"{path}: {type(error).__name__}") from error
    engine = sa.create_engine(f"sqlite:///{path}", hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def _(connection: Any, _record: object) -> None:
        # What is deleted is overwritten; the journal of a transaction goes with its commit; a
        # commit is on disk, its directory included, before anybody is told of it.
        for pragma in ("secure_delete = ON", "journal_mode = DELETE", "synchronous = EXTRA",
                       "busy_timeout = 30000"):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}").close()

    return engine


def _aware(at: datetime) -> datetime:
    """Return a time with its zone, which SQLite forgets; all of them are written in UTC."""
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _parts(what: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(what)
    while part := list(islice(rest, AT_ONCE)):
        yield part
