"""Free text about requests: what is kept as proof names nobody, and goes in time.

Why a request was refused or extended, and how an officer knew who asked, has to be shown to an
authority (GDPR art. 5(2), 12(3), (4) and (6)). Whoever it was of has not.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.privacy.redact import ERASED, Redaction
from app.privacy.subject import Subject
from app.privacy.tables import PrivacyEvent, PrivacyRequest
from identity import identifiers

#: Of a text, what may be an identifier.
_TOKEN = re.compile(r"[^\s\"'\\,;{}\[\]()<>&=?]+")
#: Requests whose time is over of one transaction.
AT_ONCE = 1_000


def redact(session: Session, requests: Iterable[PrivacyRequest], person: Subject) -> None:
    """Take a person's identifiers, in any spelling, out of what was written about requests."""
    known = {value for _, value in person.identifiers}
    redaction = Redaction(replace(person, spellings=tuple({*person.spellings, *known})))
    wanted = frozenset(person.identifiers)
    by_id = {request.id: request for request in requests}
    for request in by_id.values():
        request.reason = _without(request.reason, redaction, wanted)
    events = sa.select(PrivacyEvent).where(PrivacyEvent.request_id.in_(by_id))
    for event in session.scalars(events):
        event.details = {
            name: _without(said, redaction, wanted) if isinstance(said, str) else said
            for name, said in event.details.items()
        }


def _without(
    text: str | None, redaction: Redaction, wanted: frozenset[tuple[str, str]]
) -> str | None:
    if text is None:
        return None
    namespaces = {namespace for namespace, _ in wanted}

    def shown(found: re.Match[str]) -> str:
        said = found.group()
        bare = said.strip(".:!")
        named = any((n, identifiers.normalise(n, bare)) in wanted for n in namespaces)
        return said.replace(bare, ERASED) if named else said

    return redaction.text(_TOKEN.sub(shown, text))


def expire(session: Session, *, before: datetime) -> int:
    """Forget the words about requests that closed before a time, and by whom these are known.

    Some at once; returns how many. What was asked for, when, and what became of it stays.
    """
    over: Sequence[PrivacyRequest] = session.scalars(
        sa.select(PrivacyRequest)
        .where(PrivacyRequest.closed_at < before, sa.func.cardinality(PrivacyRequest.refs) > 0)
        .order_by(PrivacyRequest.closed_at)
        .limit(AT_ONCE)
        .with_for_update()
    ).all()
    for request in over:
        request.reason, request.refs, request.protocol = None, [], None
    ids = [request.id for request in over]
    session.execute(
        sa.update(PrivacyEvent)
        .where(PrivacyEvent.request_id.in_(ids))
        .values(details=PrivacyEvent.details.op("-")(sa.cast(["how", "reason"], _TEXTS)))
    )
    return len(over)


_TEXTS = sa.ARRAY(sa.Text)
