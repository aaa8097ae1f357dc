"""The key that signs access tokens, and the tokens revoked before their time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from joserfc.jwk import ECKey
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.access.tables import RevokedToken, SigningKey

#: Members of an EC key that everybody may see (RFC 7517 §4, RFC 7518 §6.2.1). A list of what to
#: show instead of what to hide: a private member added some day stays private.
PUBLIC_MEMBERS = ("kty", "crv", "x", "y", "kid", "use", "alg")

#: How long after its expiry a revoked token is remembered. Far more than the clocks of several
#: servers differ, so that none of them accepts a token that another one forgot.
REMEMBERED = timedelta(hours=1)


def current(session: Session) -> SigningKey:
    """Return the key that signs now; the first caller creates it (EC P-256, for ES256).

    Of several processes that find no key, one creates it and the others wait for its commit:
    the lock is held until the transaction ends.
    """
    found = _newest(session)
    if found is None:
        session.execute(
            sa.text("SELECT pg_advisory_xact_lock(hashtextextended('app.signing_key', 0))")
        )
        found = _newest(session) or _create(session)
    return found


def public_set(session: Session) -> dict[str, Any]:
    """Return the public parts of all keys, newest first, as a JWK Set (RFC 7517 §5)."""
    current(session)
    keys = session.scalars(
        sa.select(SigningKey).order_by(SigningKey.created_at.desc(), SigningKey.key_id)
    )
    return {"keys": [{name: key.private_jwk[name] for name in PUBLIC_MEMBERS} for key in keys]}


def revoke(session: Session, token_id: str, expires_at: datetime) -> None:
    """Let the token with this `jti` be valid no longer; to do so twice is no error.

    Tokens that have expired since are forgotten on the way, so the list stays as short as the
    tokens' lifetime.
    """
    session.execute(
        sa.delete(RevokedToken).where(RevokedToken.expires_at < datetime.now(UTC) - REMEMBERED)
    )
    session.execute(
        insert(RevokedToken)
        .values(token_id=token_id, expires_at=expires_at)
        .on_conflict_do_nothing()
    )


def is_revoked(session: Session, token_id: str) -> bool:
    """Say whether the token with this `jti` was revoked."""
    return session.get(RevokedToken, token_id) is not None


def _newest(session: Session) -> SigningKey | None:
    return session.scalar(
        sa.select(SigningKey).order_by(SigningKey.created_at.desc(), SigningKey.key_id).limit(1)
    )


def _create(session: Session) -> SigningKey:
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"})
    key_id = key.thumbprint()
    private = {**key.as_dict(private=True), "kid": key_id}
    row = SigningKey(key_id=key_id, private_jwk=private)
    session.add(row)
    session.flush()
    return row
