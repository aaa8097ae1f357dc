"""Storage of traits, their rules and history, computed traits, accounts, and the change feed."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.events.tables import TransactionId


class Trait(Base):
    """The latest value of one trait that one identifier's events of one source set.

    Traits hang on identifiers, not on people: a merge or its undo rewrites none of them, so
    both are exact. `refused` (the purposes that the event's own consent stamp refused) is part of
    the key, because a later value that may not be used must not hide an earlier one that may; so is
    the source, because a rule may prefer one that spoke earlier.
    The event's message id is here too: a trait outlives the event when retention deletes that.
    """

    __tablename__ = "trait"

    identifier_id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    refused: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    occurred_at: Mapped[datetime]
    received_at: Mapped[datetime]
    source_seq: Mapped[int | None]
    event_id: Mapped[int]
    message_id: Mapped[str]
    source_id: Mapped[int] = mapped_column(primary_key=True)


class TraitRule(Base):
    """Which of several values of a trait survives; traits without a rule follow the latest.

    Of a rule that needs to know every value ever said, `position` is how far the identifiers have
    been looked through, up to `until` (null before the first look). Until then the latest counts.
    """

    __tablename__ = "trait_rule"

    key: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str]
    sources: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    position: Mapped[int] = mapped_column(server_default=sa.text("0"))
    until: Mapped[int | None]
    set_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    set_by: Mapped[str]


class TraitValue(Base):
    """One of the values that one identifier's events ever set, how often, first and last.

    Only of traits whose rule needs it. Counts add up and first and last are an order, so the same
    events give the same rows in whatever order they come; people are folded from identifiers when
    read. `digest` is of the value as `jsonb` writes it.
    """

    __tablename__ = "trait_value"

    identifier_id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    refused: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    times: Mapped[int]
    first_occurred_at: Mapped[datetime]
    first_received_at: Mapped[datetime]
    first_source_seq: Mapped[int | None]
    first_event_id: Mapped[int]
    first_message_id: Mapped[str]
    first_source_id: Mapped[int]
    last_occurred_at: Mapped[datetime]
    last_received_at: Mapped[datetime]
    last_source_seq: Mapped[int | None]
    last_event_id: Mapped[int]
    last_message_id: Mapped[str]
    last_source_id: Mapped[int]


class ComputedTrait(Base):
    """A trait that is computed from events, and for which purpose.

    `position` is how far people have been computed by this definition, up to `until` (null before
    the first look); `error` is why that cannot be done. One that scores people among all does so by
    `bounds`, as of `bounds_at` (`app.profiles.scores`).
    """

    __tablename__ = "computed_trait"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    purpose: Mapped[str]
    definition: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    position: Mapped[int] = mapped_column(server_default=sa.text("0"))
    until: Mapped[int | None]
    computed_at: Mapped[datetime | None]
    milliseconds: Mapped[float] = mapped_column(server_default=sa.text("0"))
    error: Mapped[str | None]
    failed_at: Mapped[datetime | None]
    bounds: Mapped[dict[str, list[str]] | None] = mapped_column(JSONB(none_as_null=True))
    bounds_at: Mapped[datetime | None]


class ComputedValue(Base):
    """What a computed trait is for one person, or asserted group where its purpose demands these.

    `basis` are the identifiers whose events may have entered: where others may be used now, the
    value is not that person's. `due_at` is when time alone may change it. Who has no such event has
    no row.
    """

    __tablename__ = "computed_value"

    trait_id: Mapped[int] = mapped_column(
        sa.ForeignKey("app.computed_trait.id", ondelete="CASCADE"), primary_key=True
    )
    subject_id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    events: Mapped[int]
    basis: Mapped[list[int]] = mapped_column(ARRAY(sa.BigInteger))
    computed_at: Mapped[datetime]
    due_at: Mapped[datetime | None]

    __table_args__ = (
        sa.Index("computed_value_subject", "subject_id"),
        sa.Index(
            "computed_value_due",
            "trait_id",
            "due_at",
            postgresql_where=sa.text("due_at IS NOT NULL"),
        ),
    )


class Account(Base):
    """A group of people by the name its sources know it: a company, a team, a household.

    Nothing of it is kept but that there is one: who belongs to it and what it is like hangs on the
    identifiers whose events said so.
    """

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    type: Mapped[str]
    key: Mapped[str]
    account_id: Mapped[UUID] = mapped_column(
        unique=True, server_default=sa.text("gen_random_uuid()")
    )
    first_seen_at: Mapped[datetime]

    __table_args__ = (sa.UniqueConstraint("type", "key"),)


class AccountMember(Base):
    """What one identifier's events say of its being in an account: since when, and until when.

    `joined` is the call that the latest stay began with, `seen_at` the last that says so; `refused`
    are the purposes that the events' own stamps refused. Who was removed stands in the row that
    refuses none. The person is in while no identifier of theirs was removed after `seen_at`.
    """

    __tablename__ = "account_member"

    account_id: Mapped[int] = mapped_column(primary_key=True)
    identifier_id: Mapped[int] = mapped_column(primary_key=True)
    refused: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), primary_key=True)
    joined_at: Mapped[datetime | None]
    joined_message_id: Mapped[str | None]
    joined_source_id: Mapped[int | None]
    seen_at: Mapped[datetime | None]
    left_at: Mapped[datetime | None]
    left_message_id: Mapped[str | None]
    left_source_id: Mapped[int | None]

    __table_args__ = (sa.Index("account_member_identifier", "identifier_id"),)


class AccountTrait(Base):
    """The latest value of one trait of an account that one identifier's events of one source set.

    As `Trait`, and for the same reasons: what a person's event says of an account goes with them.
    """

    __tablename__ = "account_trait"

    account_id: Mapped[int] = mapped_column(primary_key=True)
    identifier_id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    refused: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    occurred_at: Mapped[datetime]
    received_at: Mapped[datetime]
    source_seq: Mapped[int | None]
    event_id: Mapped[int]
    message_id: Mapped[str]
    source_id: Mapped[int] = mapped_column(primary_key=True)

    __table_args__ = (
        sa.Index("account_trait_identifier", "identifier_id"),
        # As `traits.order` says it: of the many who tell a trait of one account the latest count.
        sa.Index(
            "account_trait_latest",
            "account_id",
            "key",
            sa.text("least(occurred_at, received_at) DESC"),
            sa.text("coalesce(source_seq, 4611686018427387903) DESC"),
            sa.text("received_at DESC"),
            sa.text("event_id DESC"),
        ),
    )


class Change(Base):
    """One entry of the change feed, in commit order."""

    __tablename__ = "change"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    transaction: Mapped[int] = mapped_column(
        TransactionId, server_default=sa.text("pg_current_xact_id()")
    )
    type: Mapped[str]
    person_id: Mapped[int]
    profile_id: Mapped[UUID]
    at: Mapped[datetime]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)

    __table_args__ = (sa.Index("change_stream", "transaction", "id"),)
