"""Identity checks: who brings back what was sent to an identifier controls it (GDPR art. 12(6)).

The secret is handed to the caller, who sends it where only the person reads it: as a code to type
or in a link. A failed check says nothing, not even whether anybody is known: all are alike.
"""

import hmac
import secrets
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import Sessions
from app.errors import IdentityNotShown, PrivacyRequestInvalid, PrivacyRequestState
from app.privacy import requests
from app.privacy.subject import Subject
from app.privacy.tables import PrivacyCheck, PrivacyRequest
from app.suppression import gate

CODE, LINK = "code", "link"
#: How long a secret holds, how often it may be tried, and how many there may be of one identifier.
LIFETIMES = {CODE: timedelta(minutes=15), LINK: timedelta(days=2)}
MOST_TRIES, MOST_ISSUED = 5, 5
_DIGITS = 8

Identifier = tuple[str, str]


def issue(
    session: Session, request_id: UUID, identifier: Identifier, way: str, *, by: str, now: datetime
) -> tuple[str, datetime]:
    """Return a new secret for an identifier of a request, and when it ends; the old one is void.

    The same whether anybody is known by the identifier or not. Raises PrivacyRequestNotFound,
    PrivacyRequestState and PrivacyRequestInvalid.
    """
    request = requests.find(session, request_id, lock=True)
    requests.must_be_open(request)
    claimed = Subject.of_json(request.subject or {"identifiers": []}).identifiers
    if request.state != requests.AWAITING or identifier not in claimed or way not in LIFETIMES:
        raise PrivacyRequestInvalid("it waits for no check of this identifier")
    row = _of(session, request_id, identifier)
    if row is not None and row.issued >= MOST_ISSUED:
        raise PrivacyRequestState(f"{MOST_ISSUED} secrets were made for this identifier already")
    secret = (
        f"{secrets.randbelow(10**_DIGITS):0{_DIGITS}}" if way == CODE else secrets.token_urlsafe(24)
    )
    if row is None:
        ref = gate.keys().newest.ref(*identifier)
        row = PrivacyCheck(request_id=request_id, ref=ref, issued=0)
        session.add(row)
    row.secret_hash, row.made_at, row.expires_at = (
        _hash(request_id, secret),
        now,
        now + LIFETIMES[way],
    )
    row.issued, row.tries, row.passed_at = row.issued + 1, 0, None
    requests.note(session, request, "check_issued", by=by, now=now, details={"way": way})
    return secret, row.expires_at


def confirm(
    sessions: Sessions,
    request_id: UUID,
    identifier: Identifier,
    secret: str,
    *,
    by: str,
    now: datetime,
) -> None:
    """Take back a secret; once every identifier of the request is shown, the person is.

    In a transaction of its own, so that a failed try counts. Raises IdentityNotShown, whatever is
    wrong: the secret, its time, too many tries, the identifier or the request.
    """
    with sessions.begin() as session:
        shown = _try(session, request_id, identifier, secret, by=by, now=now)
    if not shown:
        raise IdentityNotShown("ask for a new code if this goes on")


def _try(
    session: Session, request_id: UUID, identifier: Identifier, secret: str, *, by: str,
    now: datetime,
) -> bool:  # fmt: skip
    # First, as everybody who ends a request does, which deletes its checks.
    request = session.get(PrivacyRequest, request_id, with_for_update=True)
    row = _of(session, request_id, identifier)
    if request is None or row is None or row.passed_at is not None:
        return False
    if row.tries >= MOST_TRIES or row.expires_at <= now:
        return False
    row.tries += 1
    right = hmac.compare_digest(bytes(row.secret_hash), _hash(request_id, secret))
    if not right or request.state != requests.AWAITING:
        requests.note(session, request, "check_failed", by=by, now=now)
        return False
    row.passed_at = now
    session.flush()
    if _all_passed(session, request):
        requests.verified(session, request, how="control of the identifiers", by=by, now=now)
    return True


def _of(session: Session, request_id: UUID, identifier: Identifier) -> PrivacyCheck | None:
    """Return the check of an identifier, locked, also one that was begun under an older key."""
    return session.scalar(
        sa.select(PrivacyCheck)
        .where(
            PrivacyCheck.request_id == request_id,
            PrivacyCheck.ref.in_(gate.keys().refs(*identifier)),
        )
        .order_by(PrivacyCheck.made_at.desc())
        .limit(1)
        .with_for_update()
    )


def _all_passed(session: Session, request: PrivacyRequest) -> bool:
    """Say whether each identifier was shown: not how many checks passed, which may be of one."""
    passed = set(
        map(bytes, session.scalars(
            sa.select(PrivacyCheck.ref).where(
                PrivacyCheck.request_id == request.id, PrivacyCheck.passed_at.is_not(None)
            )
        ))
    )  # fmt: skip
    claimed = Subject.of_json(request.subject or {"identifiers": []}).identifiers
    ring = gate.keys()
    return all(not passed.isdisjoint(ring.refs(*identifier)) for identifier in claimed)


def _hash(request_id: UUID, secret: str) -> bytes:
    """Keyed, because a code of eight digits is found by trying all."""
    return gate.keys().newest.ref(f"check {request_id}", secret)
