"""Storage of the ledger: what is in it stays, but for what is sealed under a destroyed key."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from consent.tables import Base, TransactionId

#: How entries that a key was destroyed are found.
SAYS_DESTROYED = sa.text("""entry LIKE '%"event":"subject_key_destroyed"%'""")


class LedgerEntry(Base):
    """One entry of the ledger, as it was hashed; append-only.

    `about` is the record, the statement or the destroyed key that it is about; purposes, notices
    and signing keys have one made of their name.
    """

    __tablename__ = "ledger_entry"

    leaf_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    entry: Mapped[str]
    leaf_hash: Mapped[bytes]
    about: Mapped[UUID] = mapped_column(unique=True)

    __table_args__ = (sa.Index("ledger_entry_destroyed", "about", postgresql_where=SAYS_DESTROYED),)


class LedgerNode(Base):
    """A hash of a level of the ledger's tree that is kept (8, 16, …); append-only."""

    __tablename__ = "ledger_node"

    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    node_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[bytes]


class LedgerCheckpoint(Base):
    """What was signed of the ledger, and up to which record it had come; append-only."""

    __tablename__ = "ledger_checkpoint"

    size: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    root: Mapped[bytes]
    note: Mapped[str]
    transaction: Mapped[int] = mapped_column(TransactionId)
    record_seq: Mapped[int]
    created_at: Mapped[datetime]


class LedgerKey(Base):
    """A public key that signs checkpoints; append-only. Private ones are not in this database."""

    __tablename__ = "ledger_key"

    vkey: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]


class LedgerSealed(Base):
    """The readable text of an entry, sealed under a key that is not in this database.

    Never changed; deleted when its key is destroyed, so that nothing tells whose entries they were.
    """

    __tablename__ = "ledger_sealed"

    leaf_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key_id: Mapped[UUID]
    sealed: Mapped[bytes]

    __table_args__ = (sa.Index("ledger_sealed_key", "key_id"),)


class LedgerStatement(Base):
    """What somebody states in the ledger, until the sealer has made an entry of it."""

    __tablename__ = "ledger_statement"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    about: Mapped[UUID] = mapped_column(unique=True)
    kind: Mapped[str]
    public: Mapped[dict[str, str]] = mapped_column(JSONB)
    namespace: Mapped[str | None]
    value: Mapped[str | None]
    body: Mapped[str | None]
