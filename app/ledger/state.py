"""How the ledger is: what `parcours doctor` says of it."""

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import AnchorUnusable
from app.ledger.anchor import Anchor
from app.ledger.keystore import Keystore
from consent.ledger.store import head, waiting_since


@dataclass(frozen=True, slots=True)
class State:
    """Where the ledger has come to, and what keeps it."""

    size: int
    #: Since when the oldest record waits that should have been sealed.
    waiting_seconds: float
    #: Entries that the anchored checkpoints cover; None where the anchor cannot be read.
    anchored: int | None
    why: str = ""
    #: Entries of the newest checkpoint of the log that is signed now, as the keystore knows it.
    signed: int = 0


def state(session: Session, anchor: Anchor, keystore: Keystore | None = None) -> State:
    """Return how the ledger is. What was signed is read first: the sealer goes on meanwhile."""
    signed = _signed(keystore) if keystore is not None and keystore.exists else 0
    last = head(session)
    oldest = waiting_since(session)
    now = session.scalar(sa.select(sa.func.clock_timestamp())) or datetime.now(UTC)
    # A record may be older than its way here: one of an event that was held or replayed.
    since = max(oldest, last.created_at or oldest) if oldest else now
    waited = max(0.0, (now - since).total_seconds())
    try:
        there = anchor.last(last.note.partition("\n")[0]) if last.note else None
    except AnchorUnusable as error:
        return State(last.size, waited, None, str(error), signed)
    return State(last.size, waited, there.size if there else 0, signed=signed)


def _signed(keystore: Keystore) -> int:
    keys = keystore.signing_keys(at=datetime.now(UTC))
    claim = keystore.last_signed(keys[0].signer.origin) if keys else None
    return claim.size if claim else 0
