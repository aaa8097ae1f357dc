"""Storage of destinations and of the outbox."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class Destination(Base):
    """Where to send what: its kind, the segments it hears of, and the purpose that allows it.

    `url` is where it sends, without secrets; `secret` is sealed (`seal.py`).
    """

    __tablename__ = "destination"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    url: Mapped[str]
    secret: Mapped[str]
    purpose: Mapped[str]
    #: Purposes that each person must allow beside that one.
    also_for: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), server_default="{}")
    #: Its id in the Global Vendor List of IAB Europe, if it is a TCF vendor.
    tcf_vendor: Mapped[int | None]
    segments: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    #: What is told of it and decides nothing: recipient, region, transfer tool, agreement.
    declared: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    #: As its kind declares them (`kind.py`), and which trait becomes which field (`mapping.py`).
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    mapping: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    #: Fields that are mapped no more: they are emptied with the others when somebody leaves.
    formerly: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), server_default="{}")
    #: Most requests a second; None is what its kind says.
    rate: Mapped[float | None]
    #: When its turn comes at the earliest: it is being served, rests, or was told to wait.
    not_before: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    #: How often in a row it answered that it was too much for it, or that it was away.
    busy: Mapped[int] = mapped_column(server_default=sa.text("0"))
    enabled: Mapped[bool]
    why_disabled: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    #: Since when nothing is sent there any more. Whom it was told of stays on record (art. 19).
    removed_at: Mapped[datetime | None]

    __table_args__ = (
        sa.Index(
            "destination_name",
            "name",
            unique=True,
            postgresql_where=sa.text("removed_at IS NULL"),
        ),
    )


class Sync(Base):
    """One way through everybody whom a destination may have to be told of, as far as it has come.

    `what` is looked for: `changes` (who is missing, who should be no more, what differs),
    `everything` (and all of it is sent anew) or `failed` (what failed is sent again).
    """

    __tablename__ = "destination_sync"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    destination_id: Mapped[int] = mapped_column(
        sa.ForeignKey("app.destination.id", ondelete="CASCADE")
    )
    what: Mapped[str]
    #: Where it is: at `members` or at those `gone` of the segment at `place` of the destination's,
    #: at records that are `held`, at what `failed`; and whose id was looked at last there.
    stage: Mapped[str]
    place: Mapped[int] = mapped_column(server_default=sa.text("0"))
    after: Mapped[int] = mapped_column(server_default=sa.text("0"))
    #: People (of `failed`, messages) looked at, and messages queued.
    people: Mapped[int] = mapped_column(server_default=sa.text("0"))
    queued: Mapped[int] = mapped_column(server_default=sa.text("0"))
    asked_at: Mapped[datetime] = mapped_column(server_default=sa.func.clock_timestamp())
    #: When its next portion comes at the earliest: they take turns, and one that fails rests.
    due_at: Mapped[datetime] = mapped_column(server_default=sa.func.clock_timestamp())
    begun_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    #: Why the last portion failed: a class, no data.
    error: Mapped[str | None]

    __table_args__ = (
        sa.Index("destination_sync_of", "destination_id", "id"),
        sa.CheckConstraint(
            "what IN ('changes', 'everything', 'failed')", name="destination_sync_what"
        ),
        sa.CheckConstraint(
            "stage IN ('members', 'gone', 'held', 'failed')", name="destination_sync_stage"
        ),
    )


class Delivery(Base):
    """One message to one destination; `id` is its order, `message_id` its identity.

    Once `sent`, it has left or may have: its receiver counts as told, whatever became of it. What
    it said is `told`, as a digest: what says something else is another message.
    """

    __tablename__ = "delivery"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    destination_id: Mapped[int] = mapped_column(sa.ForeignKey("app.destination.id"))
    message_id: Mapped[UUID] = mapped_column(unique=True)
    person_id: Mapped[int]
    profile_id: Mapped[UUID]
    type: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str]
    attempts: Mapped[int] = mapped_column(server_default=sa.text("0"))
    sent: Mapped[bool] = mapped_column(server_default=sa.false())
    told: Mapped[bytes | None] = mapped_column(BYTEA)
    due_at: Mapped[datetime]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    reason: Mapped[str | None]

    __table_args__ = (
        sa.Index(
            "delivery_due",
            "destination_id",
            "due_at",
            "id",
            postgresql_where=sa.text("state = 'waiting'"),
        ),
        sa.Index("delivery_destination", "destination_id", "id"),
        sa.Index("delivery_person", "person_id"),
        sa.Index(
            "delivery_order",
            "destination_id",
            "person_id",
            "id",
            postgresql_where=sa.text("state = 'waiting'"),
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'delivered', 'dropped', 'failed')", name="delivery_state"
        ),
    )


class HeldRecord(Base):
    """What a receiver that keeps records of people holds of one, as far as it has told us.

    `remote` is the id by which it knows the person, sealed: it is how it can be told to forget,
    and goes once it has. `digest` is of what was sent last, so that only differences are sent.
    """

    __tablename__ = "held_record"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    destination_id: Mapped[int] = mapped_column(
        sa.ForeignKey("app.destination.id", ondelete="CASCADE")
    )
    profile_id: Mapped[UUID]
    person_id: Mapped[int]
    remote: Mapped[str | None]
    remote_hash: Mapped[bytes | None] = mapped_column(BYTEA)
    segments: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    digest: Mapped[bytes | None] = mapped_column(BYTEA)
    withdrawn: Mapped[bool]
    #: By what else the receiver may know the person, sealed: addresses it was sent, records from
    #: before another address.
    also: Mapped[str | None]
    #: Of the address that the receiver knows the person by, and nobody else; or of the one that
    #: who is `absent` waits for: in, but without a record, for what is in the way of one.
    key_hash: Mapped[bytes | None] = mapped_column(BYTEA)
    absent: Mapped[bool] = mapped_column(server_default=sa.false())
    sent_at: Mapped[datetime]

    __table_args__ = (
        sa.UniqueConstraint("destination_id", "profile_id"),
        sa.Index("held_record_remote", "destination_id", "remote_hash"),
        sa.Index("held_record_key", "destination_id", "key_hash"),
        sa.Index("held_record_person", "person_id"),
    )


class Manifest(Base):
    """Decisions to send that one entry of the ledger commits to, as the hashes of their leaves.

    `id` is what the entry is about. The hashes are of nobody once a leaf is deleted.
    """

    __tablename__ = "manifest"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    destination_id: Mapped[int]
    purpose: Mapped[str]
    hashes: Mapped[bytes] = mapped_column(BYTEA)
    made_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())


class Disclosure(Base):
    """One decision to send: what was sent to whom, about whom, on which consent.

    The `leaf` holds ids and keyed hashes, no identifier. It outlives the message and the
    destination, and goes with the person or after `PARCOURS_DISCLOSURE_DAYS`.
    """

    __tablename__ = "disclosure"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    destination_id: Mapped[int]
    purpose: Mapped[str]
    identifier_ids: Mapped[list[int]] = mapped_column(ARRAY(sa.BigInteger))
    leaf: Mapped[str]
    decided_at: Mapped[datetime]
    manifest_id: Mapped[UUID | None]
    place: Mapped[int | None]

    __table_args__ = (
        sa.Index("disclosure_identifiers", "identifier_ids", postgresql_using="gin"),
        sa.Index("disclosure_decided", "decided_at", postgresql_using="brin"),
        sa.Index("disclosure_waiting", "id", postgresql_where=sa.text("manifest_id IS NULL")),
    )
