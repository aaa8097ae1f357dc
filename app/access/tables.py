"""Storage of sources, clients and signing keys."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class Source(Base):
    """A website or app that sends events; its write key is kept as a hash."""

    __tablename__ = "source"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    write_key_hash: Mapped[bytes] = mapped_column(unique=True)
    collection_purpose: Mapped[str]
    stamp_is_evidence: Mapped[bool]
    categories: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    removed_at: Mapped[datetime | None]


class Client(Base):
    """A program that reads or administers; its secret is kept as a hash."""

    __tablename__ = "client"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    client_id: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    secret_hash: Mapped[bytes]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    purposes: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    removed_at: Mapped[datetime | None]


class SigningKey(Base):
    """A private key (JWK) that signs access tokens."""

    __tablename__ = "signing_key"

    key_id: Mapped[str] = mapped_column(primary_key=True)
    private_jwk: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())


class RevokedToken(Base):
    """A token that was revoked before it expired, by its `jti`."""

    __tablename__ = "revoked_token"

    token_id: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)
