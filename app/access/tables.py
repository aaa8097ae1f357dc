"""Storage of sources, clients and signing keys."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class Source(Base):
    """A website or app that sends events, and what it may send; None is the server's setting."""

    __tablename__ = "source"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    name: Mapped[str]
    collection_purpose: Mapped[str]
    stamp_is_evidence: Mapped[bool]
    categories: Mapped[dict[str, Any]] = mapped_column(JSONB)
    allowed_origins: Mapped[list[str]] = mapped_column(
        ARRAY(sa.Text), server_default=sa.text("'{}'")
    )
    max_event_bytes: Mapped[int | None]
    max_batch_bytes: Mapped[int | None]
    max_batch_events: Mapped[int | None]
    events_per_second: Mapped[float | None] = mapped_column(sa.Double)
    burst: Mapped[int | None]
    pending_seconds: Mapped[int] = mapped_column(server_default=sa.text("0"))
    tcf_collectors: Mapped[list[int]] = mapped_column(
        ARRAY(sa.BigInteger), server_default=sa.text("'{}'")
    )
    tcf_policy_floor: Mapped[int] = mapped_column(server_default=sa.text("4"))
    tcf_own_purposes: Mapped[str] = mapped_column(server_default="publisher")
    preference_snapshot: Mapped[bool] = mapped_column(server_default=sa.true())
    server_side: Mapped[bool] = mapped_column(server_default=sa.false())
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    #: Since when nothing is accepted of it. Its name stays, and may be given to another one.
    removed_at: Mapped[datetime | None]

    __table_args__ = (
        sa.Index(
            "source_name", "name", unique=True, postgresql_where=sa.text("removed_at IS NULL")
        ),
    )


class WriteKey(Base):
    """A key with which a source sends, kept as a hash; `hint` is the end of it, to tell it by."""

    __tablename__ = "write_key"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    source_id: Mapped[int] = mapped_column(sa.ForeignKey(Source.id, ondelete="CASCADE"))
    key_hash: Mapped[bytes] = mapped_column(unique=True)
    hint: Mapped[str] = mapped_column(server_default="")
    label: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    expires_at: Mapped[datetime | None]
    removed_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]

    __table_args__ = (sa.Index("write_key_source", "source_id"),)


class Client(Base):
    """A program that reads or administers, with what it may do and how fast."""

    __tablename__ = "client"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    client_id: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    purposes: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    requests_per_second: Mapped[float | None] = mapped_column(sa.Double)
    burst: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    #: Tokens that were issued earlier are void.
    tokens_from: Mapped[datetime | None]
    removed_at: Mapped[datetime | None]


class ClientCredential(Base):
    """A secret of a client, kept as a hash, or a public key (JWK) that it signs assertions with.

    `hint` tells it from others: the end of the secret, or the `kid` of the key.
    """

    __tablename__ = "client_credential"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    client_id: Mapped[int] = mapped_column(sa.ForeignKey(Client.id, ondelete="CASCADE"))
    secret_hash: Mapped[bytes | None]
    public_jwk: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    hint: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]

    __table_args__ = (
        sa.Index("client_credential_client", "client_id"),
        sa.CheckConstraint(
            "(secret_hash IS NULL) <> (public_jwk IS NULL)", name="client_credential_is_one"
        ),
    )


class ClientAssertion(Base):
    """An assertion that a client has authenticated itself with, by a hash of its `jti`."""

    __tablename__ = "client_assertion"

    client_id: Mapped[int] = mapped_column(
        sa.ForeignKey(Client.id, ondelete="CASCADE"), primary_key=True
    )
    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]


class SigningKey(Base):
    """A private key (JWK) that signs access tokens from a time on; it is void once retired."""

    __tablename__ = "signing_key"

    key_id: Mapped[str] = mapped_column(primary_key=True)
    private_jwk: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    signs_from: Mapped[datetime]
    retired_at: Mapped[datetime | None]


class RevokedToken(Base):
    """A token that was revoked before it expired, by its `jti`."""

    __tablename__ = "revoked_token"

    token_id: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class PersonRead(Base):
    """One read of people's data: by which client, for what, and of which identifiers."""

    __tablename__ = "person_read"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    read_at: Mapped[datetime]
    client_id: Mapped[str]
    operation: Mapped[str]
    purpose: Mapped[str | None]
    identifier_ids: Mapped[list[int]] = mapped_column(ARRAY(sa.BigInteger))

    __table_args__ = (
        sa.Index("person_read_identifiers", "identifier_ids", postgresql_using="gin"),
        sa.Index("person_read_at", "read_at", postgresql_using="brin"),
    )
