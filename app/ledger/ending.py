"""Destroys keys of identifiers, with how many entries of the ledger go with each."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from app.db import Sessions, advisory_lock
from app.ledger.anchor import Anchor
from app.ledger.keystore import Keystore
from app.ledger.seal import LOCK, demand_same
from consent.ledger import Identifier
from consent.ledger.ending import named_by, proved, told

log = logging.getLogger("parcours.ledger")

UNPROVED = (
    "%d keys are there that the ledger says are destroyed, which what was signed does not show, or "
    "something is sealed under them: they are left alone; see `parcours ledger verify --full`"
)


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


def agree(sessions: Sessions, keystore: Keystore, anchor: Anchor) -> bool:
    """Have ledger and keystore say the same of destroyed keys, and say whether they were compared.

    A key that is back with an older keystore is destroyed again: its person was erased. That cannot
    be undone, so it is done on the word of an entry in the tree that was signed, and of no other.
    Of one that is back with an older database the sealer tells again, and removes what it had
    sealed. False while the sealer is at work, or where nothing tells who signs. Raises
    LedgerKeyUnusable, and LedgerForked for a ledger that is not as it was signed.
    """
    with sessions.begin() as session, advisory_lock(session, LOCK) as mine:
        if not mine:
            return False
        said = told(session)
        now = datetime.now(UTC)
        back = [key for key, found in keystore.by_ids(said).items() if found is not None]
        if back:
            signers = [key.signer for key in keystore.signing_keys(at=now)]
            if not signers:
                return False
            demand_same(session, keystore, anchor, signers)
            sure = proved(session, back)
            again = keystore.destroy_again(sure, at=now)
            if again:
                log.warning("%d keys that were destroyed were back: destroyed again", again)
            if again < len(back):
                log.error(UNPROVED, len(back) - again)
        keystore.tell_again(sorted(set(keystore.destroyed()) - set(said)))
    return True
