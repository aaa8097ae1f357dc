"""What clients authenticate themselves with: secrets and public keys, several at once.

So a new one can be brought to every place it is used at before the old one ends.
"""

import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.access.tables import Client, ClientCredential
from app.access.write_keys import HINT, hash_key
from app.errors import CredentialNotFound, DefinitionInvalid

#: Credentials of one client that work at a time: each is tried.
MOST = 10


def add_secret(session: Session, client: Client, *, now: datetime) -> str:
    """Give a client one more secret and return it; it is shown only this once.

    Raises DefinitionInvalid when it has too many already.
    """
    secret = "cs_" + secrets.token_urlsafe(24)
    hashed = hash_key(secret)
    _add(session, client, [{"secret_hash": hashed, "hint": secret[-HINT:]}], now=now)
    return secret


def add_keys(
    session: Session, client: Client, keys: Iterable[Mapping[str, Any]], *, now: datetime
) -> None:
    """Give a client public keys, as `public_keys.read` returns them.

    Raises DefinitionInvalid when it has a key of the same `kid`, or too many credentials.
    """
    added = [{"public_jwk": dict(key), "hint": key["kid"]} for key in keys]
    known = {row.hint for row in in_use(session, client, now=now) if row.public_jwk}
    if same := known.intersection(row["hint"] for row in added):
        raise DefinitionInvalid(f"the client has a key of this kid already: {', '.join(same)}")
    _add(session, client, added, now=now)


def in_use(session: Session, client: Client, *, now: datetime) -> list[ClientCredential]:
    """Return the credentials of a client that work now, the oldest first."""
    query = sa.select(ClientCredential).where(
        ClientCredential.client_id == client.id,
        sa.or_(ClientCredential.expires_at.is_(None), ClientCredential.expires_at > now),
    )
    return list(session.scalars(query.order_by(ClientCredential.id)))


def describe(row: ClientCredential) -> dict[str, Any]:
    """Return what tells a credential from others; `hint` is the end of a secret, or a `kid`."""
    return {
        "id": row.id,
        "kind": "key" if row.public_jwk else "secret",
        "hint": row.hint,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
    }


def has_secret(session: Session, client: Client, secret: str) -> bool:
    """Say whether this is a secret of the client, in a time that tells nothing about it."""
    given = hash_key(secret)
    return any(
        [
            secrets.compare_digest(row.secret_hash, given)
            for row in in_use(session, client, now=datetime.now(UTC))
            if row.secret_hash is not None
        ]
    )


def keys_of(session: Session, client: Client, *, now: datetime) -> list[dict[str, Any]]:
    """Return the public keys that a client may sign with now."""
    rows = in_use(session, client, now=now)
    return [row.public_jwk for row in rows if row.public_jwk is not None]


def end(
    session: Session, rows: Iterable[ClientCredential], *, keep: timedelta, now: datetime
) -> None:
    """Let credentials work on for `keep` and no longer; what was to end earlier still does.

    Those that have ended are forgotten.
    """
    for row in rows:
        row.expires_at = min(row.expires_at or now + keep, now + keep)
    session.flush()
    session.execute(sa.delete(ClientCredential).where(ClientCredential.expires_at <= now))


def find(
    session: Session, client: Client, credential_id: int, *, now: datetime
) -> ClientCredential:
    """Return a credential of a client that works now; raises CredentialNotFound."""
    for row in in_use(session, client, now=now):
        if row.id == credential_id:
            return row
    raise CredentialNotFound(str(credential_id))


def _add(
    session: Session, client: Client, rows: Iterable[Mapping[str, Any]], *, now: datetime
) -> None:
    made = [ClientCredential(client_id=client.id, created_at=now, **row) for row in rows]
    if len(in_use(session, client, now=now)) + len(made) > MOST:
        raise DefinitionInvalid(f"a client has at most {MOST} secrets and keys; end some first")
    session.add_all(made)
    session.flush()
