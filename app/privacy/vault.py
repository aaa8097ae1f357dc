"""The proof vault: what shows, after an erasure, that data were used with consent.

GDPR art. 17(3)(e) lets a controller keep what it needs against legal claims. Kept are grants that
counted, sealed under a key of the entry's own in the keystore, found by a keyed hash alone, read
by nothing in the product but `app.privacy.vault_openings`, and destroyed with their key when the
time is over (research/consent.md 2.9).
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, insert
from sqlalchemy.orm import Session

import consent
from app.db import Sessions, advisory_lock
from app.ledger.keystore import Keystore
from app.ledger.seal import LOCK
from app.privacy.tables import VaultEntry
from app.settings import Settings
from app.suppression import gate
from consent import erasure as consents
from consent.ledger import Identifier, statements
from consent.ledger.openings import openings_of

#: What a purpose declares where its proofs are kept for another time than the others'.
DECLARED = "proof_retention_days"
#: Entries destroyed in one transaction.
AT_ONCE = 1_000


def keep(
    session: Session,
    settings: Settings,
    identifiers: Collection[tuple[str, str]],
    *,
    erasure_id: UUID,
    since: datetime,
    at: datetime,
) -> int:
    """Seal the proofs of these identifiers that may be kept, and return how many entries that is.

    For the transaction that erases them, before it does. `since` is when the person was erased
    first, from which the time runs. Refusals are not kept, nor what never counted. Raises
    LedgerKeyUnusable.
    """
    kept = _relied_on(session, settings, identifiers, since=since, at=at)
    if not kept:
        return 0
    ref = gate.keys_or_new().newest.ref
    refs = [ref(*identifier) for identifier in sorted(identifiers)]
    rows = {
        uuid5(erasure_id, f"{ref(namespace, value).hex()} {purpose}"): (purpose, until, grants)
        for (namespace, value, purpose), (until, grants) in kept.items()
    }
    keystore = Keystore(settings)
    try:
        about = [grant.id for _, _, grants in rows.values() for grant in grants]
        openings = openings_of(session, keystore.by_ids, about) if keystore.exists else {}
        keys = keystore.of([key_of(entry) for entry in rows])
    finally:
        keystore.close()
    for entry, (purpose, until, grants) in rows.items():
        text = json.dumps([_proof(grant, openings.get(grant.id)) for grant in grants])
        row = {
            "id": entry, "erasure_id": erasure_id, "refs": refs, "purpose": purpose,
            "records": len(grants), "kept_at": at, "kept_until": until,
            "sealed": keys[key_of(entry)][1].seal(text.encode(), entry.bytes),
        }  # fmt: skip
        session.execute(insert(VaultEntry).values(row).on_conflict_do_nothing())
    say(session, "kept", erasure=str(erasure_id), entries=str(len(rows)))
    return len(rows)


def key_of(entry: UUID) -> Identifier:
    """Return what the key of an entry is kept under; namespaces have names, so it is nobody's."""
    return "", f"vault/{entry}"


def say(session: Session, what: str, **public: str) -> None:
    """Have the ledger tell of something that happened to the vault."""
    statements.append(session, "admin", {"act": "vault", "what": what, **public})


def _relied_on(
    session: Session,
    settings: Settings,
    identifiers: Collection[tuple[str, str]],
    *,
    since: datetime,
    at: datetime,
) -> dict[tuple[str, str, str], tuple[datetime, list[Any]]]:
    """Return the grants to be kept and until when, by identifier and purpose."""
    purposes = consent.catalogue.purposes(session)
    found: dict[tuple[str, str, str], tuple[datetime, list[Any]]] = {}
    grants = defaultdict(list)
    for grant in consents.relied_on(session, identifiers, at=at):
        grants[grant.namespace, grant.value, grant.purpose].append(grant)
    for key, theirs in grants.items():
        purpose = purposes.get(key[2])
        if purpose is None or purpose.lawful_basis != "consent":
            continue  # nothing was allowed by it
        declared = purpose.declared.get(DECLARED)
        days = settings.proof_days if declared is None else declared
        until = since + timedelta(days=days)
        counted = [grant for grant in theirs if not (purpose.explicit and grant.stamp)]
        if until > at and counted:
            found[key] = until, counted
    return found


def _proof(grant: Any, opening: dict[str, Any] | None) -> dict[str, Any]:
    """Return a grant as it is sealed: what the ledger's proof of it is compared with as well."""
    return {
        "record": str(grant.id),
        "ended_at": grant.ended_at.isoformat() if grant.ended_at else None,
        "index": opening["index"] if opening else None,
        "key": opening["key"] if opening else None,
        "body": opening["body"] if opening else grant.body,
    }


def of_erasure(session: Session, erasure_id: UUID) -> list[VaultEntry]:
    """Return the entries that one erasure left, by purpose."""
    query = sa.select(VaultEntry).where(VaultEntry.erasure_id == erasure_id)
    return list(session.scalars(query.order_by(VaultEntry.purpose, VaultEntry.id)))


def of(session: Session, identifiers: Iterable[tuple[str, str]]) -> list[VaultEntry]:
    """Return the entries of the person of these identifiers, by purpose."""
    refs = [ref for identifier in identifiers for ref in gate.keys().refs(*identifier)]
    query = sa.select(VaultEntry).where(VaultEntry.refs.overlap(sa.cast(refs, ARRAY(BYTEA))))
    return list(session.scalars(query.order_by(VaultEntry.purpose, VaultEntry.id)))


def expire(sessions: Sessions, settings: Settings, *, now: datetime) -> int:
    """Destroy the entries whose time is over, keys first, and return how many.

    Under the lock of the sealer, which makes keys. Raises LedgerKeyUnusable.
    """
    gone = 0
    while True:
        with sessions.begin() as session:
            over = sa.select(VaultEntry.id).where(VaultEntry.kept_until <= now).limit(AT_ONCE)
            ids = list(session.scalars(over))
            if not ids:
                return gone
            with advisory_lock(session, LOCK) as mine:
                if not mine:
                    return gone
                keystore = Keystore(settings)
                try:
                    keystore.destroy([key_of(entry) for entry in ids], at=now)
                finally:
                    keystore.close()
            session.execute(sa.delete(VaultEntry).where(VaultEntry.id.in_(ids)))
            say(session, "expired", entries=str(len(ids)))
        gone += len(ids)
