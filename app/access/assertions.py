"""Assertions that clients have authenticated themselves with: each counts once (RFC 7523 §3)."""

import hashlib
import math
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.access.tables import Client, ClientAssertion
from app.db import statement
from app.errors import RateLimited

#: Assertions of one client that are remembered: in the six minutes that one may be valid.
MOST = 1_000
#: How long after its end one is remembered. Far more than clocks of several servers differ.
REMEMBERED = timedelta(minutes=5)


def take(
    session: Session, client: Client, token_id: str, *, expires_at: datetime, now: datetime
) -> bool:
    """Say whether a client uses the assertion of this `jti` for the first time, and remember it.

    Of two connections that present it at once, one is told so: the other waits for its commit.
    What is over is forgotten on the way. Raises RateLimited when the client has used so many that
    no more can be remembered.
    """
    mine = ClientAssertion.client_id == client.id
    over = ClientAssertion.expires_at < now - REMEMBERED
    session.execute(sa.delete(ClientAssertion).where(mine, over))
    said = session.execute(
        statement("app.access", "take_assertion"),
        {
            "client": client.id,
            "token": hashlib.sha256(token_id.encode("utf-8", "replace")).digest(),
            "expires_at": expires_at,
            "most": MOST,
        },
    ).one()
    if said.full:
        first: datetime = said.first_ends
        wait = (first + REMEMBERED - now).total_seconds()
        raise RateLimited("this client asks for tokens too often", retry_after=math.ceil(wait))
    return bool(said.taken)
