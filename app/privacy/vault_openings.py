"""Opening the proof vault: two people agree, in time, and everything that is done is on record.

Whoever asks states why; somebody else approves or refuses within `AGREE_WITHIN`; then these two
alone may read, for `OPEN_FOR`. What is on record is committed before anything is answered, also
where the answer is no.
"""

import json
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.access import clients
from app.db import Sessions
from app.errors import (
    AppError,
    ClientNotFound,
    PrivacyRequestInvalid,
    VaultEntryNotFound,
    VaultOpeningDenied,
    VaultOpeningNotFound,
    VaultOpeningState,
)
from app.ledger.keystore import Keystore
from app.privacy import vault
from app.privacy.tables import VaultEntry, VaultEvent, VaultOpening
from app.settings import Settings
from consent.ledger import Identifier, SubjectKey

SCOPE = "proof:open"
#: How long a second person may take to agree, and how long the two may read then.
AGREE_WITHIN, OPEN_FOR = timedelta(hours=72), timedelta(hours=1)
PENDING, APPROVED, REFUSED, LAPSED = "pending", "approved", "refused", "lapsed"


def request(
    sessions: Sessions,
    identifiers: Collection[tuple[str, str]],
    *,
    reason: str,
    by: str,
    now: datetime,
    purpose: str | None = None,
) -> UUID:
    """Ask that what the vault holds of these identifiers, for a purpose or for all, be opened.

    `reason` names the claim and nobody. Raises VaultEntryNotFound, PrivacyRequestInvalid,
    VaultOpeningDenied.
    """
    if not reason.strip():
        raise PrivacyRequestInvalid("say why: the claim for which the proof is needed")
    with sessions.begin() as session:
        _demand_authority(session, by)
        entries = [
            one.id
            for one in vault.of(session, identifiers)
            if purpose in (None, one.purpose) and one.kept_until > now
        ]
        if not entries:
            raise VaultEntryNotFound("nothing is kept of these identifiers")
        opening = VaultOpening(
            entries=entries,
            reason=reason.strip(),
            state=PENDING,
            requested_by=by,
            requested_at=now,
            agree_by=now + AGREE_WITHIN,
        )
        session.add(opening)
        session.flush()
        _note(session, opening, "requested", by=by, now=now)
        return opening.id


def decide(
    sessions: Sessions,
    opening_id: UUID,
    *,
    approve: bool,
    by: str,
    now: datetime,
    reason: str | None = None,
) -> None:
    """Agree to an opening that somebody else asked for, or refuse it.

    Who asked may take it back, but never agree. Raises VaultOpeningNotFound, VaultOpeningState
    and VaultOpeningDenied.
    """
    with sessions.begin() as session:
        opening = _locked(session, opening_id)
        why_not = _may_decide(session, opening, approve=approve, by=by, now=now)
        if why_not is None:
            opening.state = APPROVED if approve else REFUSED
            opening.decided_by, opening.decided_at = by, now
            opening.open_until = now + OPEN_FOR if approve else None
            session.flush()
            details = {"reason": reason} if reason else {}
            _note(session, opening, opening.state, by=by, now=now, details=details)
        else:
            _denied(session, opening, why_not, by=by, now=now)
    if why_not is not None:
        raise why_not


def read(
    sessions: Sessions, settings: Settings, opening_id: UUID, *, by: str, now: datetime
) -> list[dict[str, Any]]:
    """Return the proofs of an opening that was agreed on, for one of the two who agreed.

    Each is what was `said`, and the `body` and `key` that `parcours ledger check --body` compares
    with the ledger's proof of the entry at `index`. What was destroyed meanwhile is left out.
    Raises VaultOpeningNotFound, VaultOpeningState, VaultOpeningDenied and LedgerKeyUnusable.
    """
    with sessions.begin() as session:
        opening = _locked(session, opening_id)
        why_not = _may_read(session, opening, by=by, now=now)
        if why_not is not None:
            _denied(session, opening, why_not, by=by, now=now)
        else:
            found = _unsealed(session, settings, opening.entries, now=now)
            _note(session, opening, "opened", by=by, now=now, details={"entries": len(found)})
    if why_not is not None:
        raise why_not
    return found


def _unsealed(
    session: Session, settings: Settings, entries: Collection[UUID], *, now: datetime
) -> list[dict[str, Any]]:
    query = sa.select(VaultEntry).where(VaultEntry.id.in_(entries), VaultEntry.kept_until > now)
    rows = session.scalars(query.order_by(VaultEntry.purpose, VaultEntry.id)).all()
    keystore = Keystore(settings)
    try:
        keys = keystore.existing([vault.key_of(row.id) for row in rows])
    finally:
        keystore.close()
    return [{**describe_entry(row), "proofs": _proofs(row, keys)} for row in rows]


def _proofs(row: VaultEntry, keys: Mapping[Identifier, SubjectKey]) -> list[dict[str, Any]] | None:
    """Return what an entry holds; None where its key is gone."""
    key = keys.get(vault.key_of(row.id))
    text = key.open(row.sealed, row.id.bytes) if key is not None else None
    if text is None:
        return None
    return [{**proof, "said": json.loads(proof["body"])} for proof in json.loads(text)]


def _may_decide(
    session: Session, opening: VaultOpening, *, approve: bool, by: str, now: datetime
) -> AppError | None:
    """Return why somebody may not decide, None when they may."""
    if not _has_authority(session, by):
        return VaultOpeningDenied(f"this needs the scope {SCOPE}")
    if state_of(opening, now=now) != PENDING:
        return VaultOpeningState(f"it is {state_of(opening, now=now)}")
    if approve and by == opening.requested_by:
        return VaultOpeningDenied("somebody else than who asked has to agree")
    if approve and not _has_authority(session, opening.requested_by):
        return VaultOpeningDenied("who asked may not any more")
    return None


def _may_read(
    session: Session, opening: VaultOpening, *, by: str, now: datetime
) -> AppError | None:
    """Return why somebody may not read, None when they may: both must still be whom we trust."""
    if by not in (opening.requested_by, opening.decided_by):
        return VaultOpeningDenied("only the two who agreed may read")
    if opening.state != APPROVED or opening.open_until is None or now >= opening.open_until:
        return VaultOpeningState(f"it is {state_of(opening, now=now)}")
    both = (opening.requested_by, opening.decided_by)
    if not all(one is not None and _has_authority(session, one) for one in both):
        return VaultOpeningDenied("one of the two may not any more")
    return None


def _has_authority(session: Session, client_id: str) -> bool:
    try:
        return SCOPE in clients.find(session, client_id).scopes
    except ClientNotFound:
        return False


def _demand_authority(session: Session, client_id: str) -> None:
    if not _has_authority(session, client_id):
        raise VaultOpeningDenied(f"this needs the scope {SCOPE}")


def _locked(session: Session, opening_id: UUID) -> VaultOpening:
    query = sa.select(VaultOpening).where(VaultOpening.id == opening_id).with_for_update()
    found = session.scalar(query)
    if found is None:
        raise VaultOpeningNotFound(str(opening_id))
    return found


def find(session: Session, opening_id: UUID) -> VaultOpening:
    """Return an opening; raises VaultOpeningNotFound."""
    found = session.get(VaultOpening, opening_id)
    if found is None:
        raise VaultOpeningNotFound(str(opening_id))
    return found


def list_all(session: Session, *, limit: int = 100) -> list[VaultOpening]:
    """Return openings, the newest first."""
    newest = sa.select(VaultOpening).order_by(VaultOpening.requested_at.desc(), VaultOpening.id)
    return list(session.scalars(newest.limit(limit)))


def _denied(
    session: Session, opening: VaultOpening, why: AppError, *, by: str, now: datetime
) -> None:
    _note(session, opening, "denied", by=by, now=now, details={"why": str(why)})


def _note(
    session: Session,
    opening: VaultOpening,
    what: str,
    *,
    by: str,
    now: datetime,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Put on record what was done, in the ledger too."""
    session.add(
        VaultEvent(opening_id=opening.id, at=now, what=what, by=by, details=dict(details or {}))
    )
    vault.say(session, what, opening=str(opening.id), by=by)


def state_of(opening: VaultOpening, *, now: datetime) -> str:
    """Return the state of an opening at a time: one whose time ran out has lapsed."""
    until = opening.agree_by if opening.state == PENDING else opening.open_until
    return LAPSED if until is not None and now >= until else opening.state


def describe_entry(row: VaultEntry) -> dict[str, Any]:
    """Return what is told of an entry without opening it."""
    return {
        "id": str(row.id),
        "erasure": str(row.erasure_id),
        "purpose": row.purpose,
        "records": row.records,
        "kept_at": row.kept_at.isoformat(),
        "kept_until": row.kept_until.isoformat(),
    }


def describe(session: Session, opening: VaultOpening, *, now: datetime) -> dict[str, Any]:
    """Return an opening with all that happened to it."""
    events = session.scalars(
        sa.select(VaultEvent).where(VaultEvent.opening_id == opening.id).order_by(VaultEvent.id)
    )
    return {
        "id": str(opening.id),
        "state": state_of(opening, now=now),
        "reason": opening.reason,
        "entries": [str(entry) for entry in opening.entries],
        "requested_by": opening.requested_by,
        "requested_at": opening.requested_at.isoformat(),
        "agree_by": opening.agree_by.isoformat(),
        "decided_by": opening.decided_by,
        "decided_at": opening.decided_at.isoformat() if opening.decided_at else None,
        "open_until": opening.open_until.isoformat() if opening.open_until else None,
        "events": [
            {"at": e.at.isoformat(), "what": e.what, "by": e.by, **e.details} for e in events
        ],
    }
