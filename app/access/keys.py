"""The keys that sign access tokens: one signs, its successor is known before it does.

Whoever checks our tokens by `/.well-known/jwks.json` may keep that for some minutes, and tokens
outlive the key's last signature: hence a rotation takes its time, unless a key was lost.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from joserfc.jwk import ECKey
from sqlalchemy.orm import Session

from app.access.tables import SigningKey

#: Members of an EC key that everybody may see (RFC 7517 §4, RFC 7518 §6.2.1). A list of what to
#: show instead of what to hide: a private member added some day stays private.
PUBLIC_MEMBERS = ("kty", "crv", "x", "y", "kid", "use", "alg")
#: How long the key set may be kept by who reads it, in seconds.
PUBLIC_FOR = 300
#: How long a new key is public before it signs: twice as long as the key set may be kept.
PUBLIC_BEFORE = timedelta(seconds=2 * PUBLIC_FOR)
#: How long after its successor began to sign a key goes on being accepted: longer than any token
#: lives (`token_lifetime_seconds` is at most an hour).
ACCEPTED_AFTER = timedelta(minutes=65)
#: How long before the clock says so a lost key is retired: clocks of other servers may be behind.
CLOCKS_DIFFER = timedelta(minutes=5)
#: How long a retired key is kept, so that whoever looks for a cause finds it.
REMEMBERED = timedelta(days=1)


def current(session: Session, *, now: datetime | None = None) -> SigningKey:
    """Return the key that signs now; the first caller creates it (EC P-256, for ES256).

    Of several processes that find no key, one creates it and the others wait for its commit:
    the lock is held until the transaction ends.
    """
    now = now or datetime.now(UTC)
    found = _signing(session, now)
    if found is None:
        _lock(session)
        found = _signing(session, now) or _create(session, signs_from=now)
    return found


def known(session: Session, *, now: datetime) -> list[SigningKey]:
    """Return the keys that are accepted or will be, the newest first."""
    query = sa.select(SigningKey).where(*accepted(now))
    return list(session.scalars(query.order_by(SigningKey.signs_from.desc(), SigningKey.key_id)))


def accepted(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions under which what a key has signed is accepted."""
    return (sa.or_(SigningKey.retired_at.is_(None), SigningKey.retired_at > now),)


def public_set(session: Session) -> dict[str, Any]:
    """Return the public parts of these keys, newest first, as a JWK Set (RFC 7517 §5)."""
    now = datetime.now(UTC)
    current(session, now=now)
    return {
        "keys": [
            {name: key.private_jwk[name] for name in PUBLIC_MEMBERS}
            for key in known(session, now=now)
        ]
    }


def rotate(session: Session, *, now: datetime, at_once: bool = False) -> SigningKey:
    """Make a new key and retire the others, and return it.

    It signs once everybody can know it, and what the others have signed is accepted until it is
    over. `at_once` is for a key that was lost: the new one signs from now on, and every token that
    is out is void.
    """
    _lock(session)
    signs_from = now if at_once else now + PUBLIC_BEFORE
    ends = now - CLOCKS_DIFFER if at_once else signs_from + ACCEPTED_AFTER
    for key in known(session, now=now):
        key.retired_at = min(key.retired_at or ends, ends)
    session.execute(sa.delete(SigningKey).where(SigningKey.retired_at < now - REMEMBERED))
    return _create(session, signs_from=signs_from)


def _lock(session: Session) -> None:
    session.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('app.signing_key', 0))"))


def _signing(session: Session, now: datetime) -> SigningKey | None:
    """Return the newest key that may sign; where none may yet, the first that will.

    So a server whose clock is behind the one that rotated makes no key of its own.
    """
    keys = known(session, now=now)
    return next((key for key in keys if key.signs_from <= now), keys[-1] if keys else None)


def _create(session: Session, *, signs_from: datetime) -> SigningKey:
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"})
    key_id = key.thumbprint()
    private = {**key.as_dict(private=True), "kid": key_id}
    row = SigningKey(key_id=key_id, private_jwk=private, signs_from=signs_from)
    session.add(row)
    session.flush()
    return row
