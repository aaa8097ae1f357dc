"""Destroys keys of identifiers, with how many entries of the ledger go with each."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from app.db import Sessions, advisory_lock
from app.ledger.keystore import Keystore
from app.ledger.seal import LOCK
from consent.ledger import Identifier
from consent.ledger.ending import named_by, told

log = logging.getLogger("parcours.ledger")


def destroy(
    sessions: Sessions, keystore: Keystore, identifiers: Iterable[Identifier], *, at: datetime
) -> list[UUID] | None:
    """Destroy the keys of identifiers and return their ids; None while the sealer is at work.

    Under its lock: it makes keys, and one that read records before they were deleted seals them.
    Raises LedgerKeyUnusable.
    """
    with sessions.begin() as session, advisory_lock(session, LOCK) as mine:
        if not mine:
            return None
        return keystore.destroy(identifiers, at=at, named=partial(named_by, session))


def agree(sessions: Sessions, keystore: Keystore) -> bool:
    """Have ledger and keystore say the same of destroyed keys, and say whether they do.

    A key that is back with an older keystore is destroyed again: its person was erased. Of one that
    is back with an older database the sealer tells again, and removes what it had sealed. False
    while the sealer is at work. Raises LedgerKeyUnusable.
    """
    with sessions.begin() as session, advisory_lock(session, LOCK) as mine:
        if not mine:
            return False
        said = told(session)
        again = keystore.destroy_again(said, at=datetime.now(UTC))
        if again:
            log.warning("%d keys that had been destroyed were back, and are destroyed again", again)
        keystore.tell_again(sorted(set(keystore.destroyed()) - set(said)))
    return True
