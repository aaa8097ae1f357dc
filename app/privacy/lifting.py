"""Lets data of an erased person be stored again: only by a new and explicit act of theirs."""

from collections.abc import Collection
from datetime import datetime
from uuid import uuid4

from sqlalchemy.orm import Session

from app.privacy import journal
from app.settings import Settings
from app.suppression import gate
from app.suppression.key import NORMALISER
from consent import erasure as consents
from consent import suppression
from consent.suppression import Entry


def lift(
    session: Session,
    settings: Settings,
    identifiers: Collection[tuple[str, str]],
    *,
    reason_ref: str,
    now: datetime,
) -> int:
    """Take identifiers off the list; return how many keyed hashes that was.

    In the journal as well, or a restored database would suppress them again. `reason_ref` names
    nobody. Raises SuppressionKeyUnusable, JournalUnusable.
    """
    ring = gate.keys_or_new()
    entries = tuple(
        Entry(key.ref(namespace, value), key.id, namespace)
        for namespace, value in sorted(set(identifiers))
        for key in ring.keys
    )
    lifted_id = uuid4()
    lifted = suppression.lift(session, [entry.ref for entry in entries])
    consents.begun(session, lifted_id, reason_ref=reason_ref, what="lifted")
    journal.append(
        settings.journal,
        journal.Line(lifted_id, journal.LIFTED, now, reason_ref, NORMALISER, entries),
    )
    return lifted
