"""What became of access tokens since they were issued."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.access import keys
from app.access.tables import Client, RevokedToken, SigningKey

#: How long after its expiry a revoked token is remembered. Far more than the clocks of several
#: servers differ, so that none of them accepts a token that another one forgot.
REMEMBERED = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with a token: its client, and whether it was revoked or its key retired."""

    client: Client
    revoked: bool
    key_retired: bool


def standing(
    session: Session, *, client_id: str, token_id: str, key_id: str, now: datetime
) -> Standing | None:
    """Return how it stands with a token, None when its client was removed; one statement.

    What an operator takes away is gone with the next request, hence nothing of this is cached.
    """
    row = session.execute(
        sa.select(
            Client,
            sa.exists().where(RevokedToken.token_id == token_id),
            sa.exists().where(SigningKey.key_id == key_id, *keys.accepted(now)),
        ).where(Client.client_id == client_id, Client.removed_at.is_(None))
    ).one_or_none()
    return None if row is None else Standing(row[0], row[1], not row[2])


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


def revoke_all(client: Client, *, now: datetime) -> None:
    """Let every token of a client that was issued up to now be valid no longer.

    Tokens tell the second of their issue: one of this second, issued after this, is void too.
    """
    client.tokens_from = now.replace(microsecond=0) + timedelta(seconds=1)
