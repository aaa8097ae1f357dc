"""What becomes of other requests when their person is erased, or does not show who they are."""

from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.orm import Session

from app.privacy import requests, words
from app.privacy.subject import Subject
from app.privacy.tables import PrivacyCheck, PrivacyEvent, PrivacyRequest
from app.suppression import gate

#: So long a request waits for the person to show who they are, and until it is due at least.
MOST_AWAITING = timedelta(days=30)
ERASED, NOT_SHOWN = "the person was erased", "nobody showed in time that it is the person"


def by_erasure(
    session: Session, refs: Collection[bytes], person: Subject, *, by: str, now: datetime
) -> int:
    """Take from all requests what they hold of who was erased; return how many that ended.

    `refs` are keyed hashes of all their identifiers. What was written about theirs names them no
    more (`app.privacy.words`). A request that claims others too and is not
    planned yet goes on with these. An erasure that is carried out ends by itself.
    """
    theirs = PrivacyRequest.refs.overlap(sa.cast(list(refs), ARRAY(BYTEA)))
    session.execute(
        sa.update(PrivacyRequest)
        .where(theirs, PrivacyRequest.closed_at.is_not(None))
        .values(subject=None, details=None)
    )
    words.redact(session, session.scalars(sa.select(PrivacyRequest).where(theirs)), person)
    query = sa.select(PrivacyRequest).where(theirs, PrivacyRequest.closed_at.is_(None))
    return sum(
        _without(session, request, frozenset(refs), by=by, now=now)
        for request in session.scalars(query.order_by(PrivacyRequest.id).with_for_update()).all()
    )


def _without(
    session: Session, request: PrivacyRequest, refs: frozenset[bytes], *, by: str, now: datetime
) -> bool:
    planned = request.state not in (requests.AWAITING, requests.VERIFIED)
    if request.kind == "erasure" and planned:
        return False
    left = _left(request, refs)
    if planned or not left:
        state = requests.CLOSED if request.state == requests.RESPONDED else requests.NO_MATCH
        requests.end(session, request, state, by=by, now=now, reason=ERASED)
        return True
    request.subject = Subject(left, ()).as_json()
    session.execute(
        sa.delete(PrivacyCheck).where(
            PrivacyCheck.request_id == request.id, PrivacyCheck.ref.in_(refs)
        )
    )
    return False


def _left(request: PrivacyRequest, refs: frozenset[bytes]) -> tuple[tuple[str, str], ...]:
    claimed = Subject.of_json(request.subject or {"identifiers": []}).identifiers
    return tuple(one for one in claimed if refs.isdisjoint(gate.keys().refs(*one)))


def unshown(session: Session, *, by: str, now: datetime) -> int:
    """Refuse the requests whose person did not show who they are in time; return how many."""
    query = (
        sa.select(PrivacyRequest)
        .join(PrivacyEvent, PrivacyEvent.request_id == PrivacyRequest.id)
        .where(
            PrivacyRequest.state == requests.AWAITING,
            PrivacyRequest.due_at <= now,
            PrivacyEvent.what == requests.AWAITING,
            PrivacyEvent.at <= now - MOST_AWAITING,
        )
        .with_for_update(of=PrivacyRequest)
    )
    found = session.scalars(query).all()
    for request in found:
        requests.end(session, request, requests.REFUSED, by=by, now=now, reason=NOT_SHOWN)
    return len(found)
