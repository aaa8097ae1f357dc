"""Storage of requests of data subjects, of their plans, identity checks and packages."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class PrivacyRequest(Base):
    """One request. `subject` and `details` name the person, and are gone once it is closed.

    `refs` are keyed hashes of the identifiers: by these a second request of the same person is
    known, also when nothing else is left of them.
    """

    __tablename__ = "privacy_request"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=sa.text("gen_random_uuid()"))
    kind: Mapped[str]
    regime: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str | None]
    subject: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    refs: Mapped[list[bytes]] = mapped_column(ARRAY(BYTEA))
    details: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    protocol: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    opened_by: Mapped[str]
    received_at: Mapped[datetime]
    due_at: Mapped[datetime]
    extended: Mapped[bool] = mapped_column(server_default=sa.false())
    verified_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    duplicate_of: Mapped[UUID | None]

    __table_args__ = (
        sa.Index("privacy_request_refs", "refs", postgresql_using="gin"),
        sa.Index("privacy_request_open", "due_at", postgresql_where=sa.text("closed_at IS NULL")),
    )


class PrivacyEvent(Base):
    """Something that happened to a request, of which an auditor asks; it names nobody."""

    __tablename__ = "privacy_event"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    request_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("app.privacy_request.id", ondelete="CASCADE"), index=True
    )
    at: Mapped[datetime]
    what: Mapped[str]
    by: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)


class PrivacyTask(Base):
    """What one store or destination has to do for a request, and what came of it."""

    __tablename__ = "privacy_task"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    request_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("app.privacy_request.id", ondelete="CASCADE")
    )
    place: Mapped[int]
    store: Mapped[str]
    target: Mapped[str] = mapped_column(server_default="")
    state: Mapped[str]
    result: Mapped[dict[str, Any]] = mapped_column(JSONB)
    attempts: Mapped[int] = mapped_column(server_default=sa.text("0"))
    due_at: Mapped[datetime]
    done_at: Mapped[datetime | None]

    __table_args__ = (
        sa.UniqueConstraint("request_id", "store", "target"),
        sa.Index(
            "privacy_task_due",
            "due_at",
            postgresql_where=sa.text("state IN ('open', 'waiting', 'failed')"),
        ),
        sa.CheckConstraint(
            "state IN ('open', 'waiting', 'failed', 'done', 'not_present', 'retained',"
            " 'not_supported')",
            name="privacy_task_state",
        ),
    )


class PrivacyCheck(Base):
    """A secret that was handed out to be brought back by who controls an identifier."""

    __tablename__ = "privacy_check"

    request_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("app.privacy_request.id", ondelete="CASCADE"), primary_key=True
    )
    ref: Mapped[bytes] = mapped_column(BYTEA, primary_key=True)
    secret_hash: Mapped[bytes] = mapped_column(BYTEA)
    made_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    issued: Mapped[int] = mapped_column(server_default=sa.text("1"))
    tries: Mapped[int] = mapped_column(server_default=sa.text("0"))
    passed_at: Mapped[datetime | None]


class PrivacyPackage(Base):
    """A package that was made for a request: a file in the data directory until it expires."""

    __tablename__ = "privacy_package"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=sa.text("gen_random_uuid()"))
    request_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("app.privacy_request.id", ondelete="CASCADE"), index=True
    )
    file: Mapped[str]
    sha256: Mapped[str]
    bytes: Mapped[int]
    made_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class FormerIdentifier(Base):
    """An address that was put right: it was the person's, and an erasure has to find it.

    Sealed under a key of the suppression list, which is not in the database. `identifier_id` is one
    of those that the person has instead: with these it goes wherever they go. `former_id` is what
    the address was known by, which evidence of sends may still name. A `contested` one may be
    somebody else's, who told of it before the person's events came with it.
    """

    __tablename__ = "former_identifier"

    identifier_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    former_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key_id: Mapped[bytes] = mapped_column(BYTEA)
    sealed: Mapped[bytes] = mapped_column(BYTEA)
    ended_at: Mapped[datetime]
    contested: Mapped[bool] = mapped_column(server_default=sa.false())

    __table_args__ = (sa.Index("former_identifier_former", "former_id"),)


class ErasureLeft(Base):
    """An erasure of the journal that was repeated in the tables and not everywhere yet.

    It names the person until that is done, before anybody is served.
    """

    __tablename__ = "erasure_left"

    erasure_id: Mapped[UUID] = mapped_column(primary_key=True)
    subject: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Processor(Base):
    """A destination that takes requests of data subjects by OpenDSR, as its discovery said."""

    __tablename__ = "processor"

    destination_id: Mapped[int] = mapped_column(
        sa.ForeignKey("app.destination.id", ondelete="CASCADE"), primary_key=True
    )
    url: Mapped[str]
    #: By which its answers and callbacks say who signed them.
    domain: Mapped[str] = mapped_column(index=True)
    #: The value of the header `Authorization` of what is sent to it, sealed.
    credentials: Mapped[str | None]
    #: PEM of its own certificate or of the authority behind it, where a person registered one.
    registered: Mapped[str | None]
    certificate: Mapped[str]
    kinds: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    #: As [type, format].
    identities: Mapped[list[list[str]]] = mapped_column(JSONB)
    discovered_at: Mapped[datetime]


class ProcessorRequest(Base):
    """A request of a data subject as it was passed on to one processor, and what came of it.

    `identities` are places in the identifiers of the request, which go when that ends.
    """

    __tablename__ = "processor_request"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    request_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("app.privacy_request.id", ondelete="CASCADE")
    )
    destination_id: Mapped[int]
    identities: Mapped[list[int]] = mapped_column(ARRAY(sa.Integer))
    status: Mapped[str]
    why: Mapped[str | None]
    expected_at: Mapped[datetime | None]
    results_url: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(server_default=sa.text("0"))
    due_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        sa.UniqueConstraint("request_id", "destination_id"),
        sa.Index("processor_request_due", "due_at", postgresql_where=sa.text("ended_at IS NULL")),
        sa.CheckConstraint(
            "status IN ('open', 'pending', 'in_progress', 'completed', 'cancelled', 'unsupported')",
            name="processor_request_status",
        ),
    )


class VaultEntry(Base):
    """What one identifier agreed to for one purpose, sealed, after its person was erased.

    The key is in the keystore and goes when the time is over, the row with it. `refs` are keyed
    hashes of all identifiers of the person: by each of them a later claim finds the entry.
    """

    __tablename__ = "vault_entry"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    erasure_id: Mapped[UUID] = mapped_column(index=True)
    refs: Mapped[list[bytes]] = mapped_column(ARRAY(BYTEA))
    purpose: Mapped[str]
    records: Mapped[int]
    kept_at: Mapped[datetime]
    kept_until: Mapped[datetime] = mapped_column(index=True)
    sealed: Mapped[bytes] = mapped_column(BYTEA)

    __table_args__ = (sa.Index("vault_entry_refs", "refs", postgresql_using="gin"),)


class VaultOpening(Base):
    """A wish to open entries of the vault, on which two people have to agree in time."""

    __tablename__ = "vault_opening"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=sa.text("gen_random_uuid()"))
    entries: Mapped[list[UUID]] = mapped_column(ARRAY(sa.Uuid()))
    reason: Mapped[str]
    state: Mapped[str]
    requested_by: Mapped[str]
    requested_at: Mapped[datetime]
    agree_by: Mapped[datetime]
    decided_by: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    open_until: Mapped[datetime | None]

    __table_args__ = (
        sa.CheckConstraint(
            "state IN ('pending', 'approved', 'refused')", name="vault_opening_state"
        ),
        # Whatever the code does, nobody agrees with themselves.
        sa.CheckConstraint(
            "state <> 'approved' OR decided_by <> requested_by", name="vault_opening_two_people"
        ),
    )


class VaultEvent(Base):
    """What somebody did, or was not let do, with an opening; append-only (a trigger refuses else).

    The ledger tells of each as well.
    """

    __tablename__ = "vault_event"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    opening_id: Mapped[UUID] = mapped_column(sa.ForeignKey("app.vault_opening.id"), index=True)
    at: Mapped[datetime]
    what: Mapped[str]
    by: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Breach(Base):
    """A breach of personal data: its scope, what the officer tells of it, and whom it concerns.

    In numbers; nobody is named.
    """

    __tablename__ = "breach"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=sa.text("gen_random_uuid()"))
    noticed_at: Mapped[datetime]
    scope: Mapped[dict[str, Any]] = mapped_column(JSONB)
    told: Mapped[dict[str, Any]] = mapped_column(JSONB)
    assessment: Mapped[dict[str, Any]] = mapped_column(JSONB)
    opened_by: Mapped[str]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class BreachEvent(Base):
    """What was done about a breach and known then; append-only (a trigger refuses else).

    The ledger has the hash of `details`.
    """

    __tablename__ = "breach_event"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    breach_id: Mapped[UUID] = mapped_column(sa.ForeignKey("app.breach.id"), index=True)
    at: Mapped[datetime]
    what: Mapped[str]
    by: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
