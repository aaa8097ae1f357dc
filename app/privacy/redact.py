"""Takes an erased person out of what others' events say: their data stay, without the name."""

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import Sessions, statement
from app.privacy.subject import Subject
from app.profiles import rewritten
from app.suppression import mentions
from app.work import ask_again
from identity import erasure, graph

#: What stands where an identifier stood.
ERASED = "[erased]"
#: Rejected events looked through in one transaction.
PORTION = 500


class Redaction:
    """Finds and replaces the identifiers of one person in texts."""

    def __init__(self, subject: Subject) -> None:
        """Values that are short or only digits are replaced where they stand alone, in `exact`."""
        self._values = set(subject.spellings)
        told = sorted(subject.patterns, key=len, reverse=True)
        digests = sorted(subject.digests)
        words = "|".join(map(re.escape, [*told, *digests]))
        self._words = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE) if words else None
        #: The same for PostgreSQL, which finds some more. Hashes apart, in lower case: as part of
        #: the expression they take 10 s for 100,000 events where these take 2.
        self.pattern = "|".join(_escaped(one) for one in told) or None
        self.digests = [f"%{one}%" for one in digests]

    def text(self, value: str | None) -> str | None:
        """Return a text without them."""
        return self._words.sub(ERASED, value) if value and self._words else value

    def json(self, text: str | None, *, exact: bool) -> str | None:
        """Return a JSON text without them; `exact` where it is known to hold one as a value."""
        if text is None:
            return None
        return json.dumps(self._without(json.loads(text), exact), ensure_ascii=False)

    def _without(self, value: Any, exact: bool) -> Any:
        if isinstance(value, dict):
            return {self.text(k) or "": self._without(v, exact) for k, v in value.items()}
        if isinstance(value, list):
            return [self._without(one, exact) for one in value]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return value
        alone = str(value).strip()
        if alone in self._values and (exact or not alone.isdigit()):
            return ERASED
        return self.text(value) if isinstance(value, str) else value


def _escaped(text: str) -> str:
    """Write a text as a regular expression of PostgreSQL that matches it, as JSON has it too."""
    written = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    return "|".join(re.sub(r"([^\w\s])", r"\\\1", one) for one in sorted(written))


def others(sessions: Sessions, subject: Subject) -> int:
    """Redact the events, traits and records of others; return how many events.

    A partition at a time, each in a transaction of its own; safe to repeat.
    """
    redaction = Redaction(subject)
    with sessions() as session:
        parts = session.scalars(sa.text("SELECT part FROM app.event_partition ORDER BY part")).all()
    events = sum(_partition(sessions, part, subject, redaction) for part in parts)
    with sessions.begin() as session:
        _traits(session, redaction)
    with sessions.begin() as session:
        ask_again(session, erasure.redact(session, [*subject.patterns, *subject.digests]))
    return events


def _partition(sessions: Sessions, part: int, subject: Subject, redaction: Redaction) -> int:
    mine = set(subject.ids)
    values = {value for _, value in subject.identifiers}
    with sessions.begin() as session:
        found = session.execute(
            statement("app.privacy", "mentioning_events"),
            {
                "part": part,
                "ids": graph.array(mine),
                "values": sorted(values),
                "pattern": redaction.pattern,
                "digests": redaction.digests,
            },
        ).all()
        if not found:
            return 0
        rows = [_event(row, mine, values, redaction) for row in found]
        session.execute(
            statement("app.privacy", "redact_events"),
            {"part": part, "rows": msgspec.json.encode(rows).decode()},
        )
        rewritten.follow(session, {row.identifier_id for row in found})
    return len(rows)


def _event(
    row: sa.Row[Any], mine: set[int], values: set[str], redaction: Redaction
) -> dict[str, Any]:
    named = redaction.text(row.message_id) != row.message_id
    carries = not mine.isdisjoint(row.identifier_ids) or bool(
        {row.user_id, row.anonymous_id} & values
    )
    return {
        "id": row.id,
        "message_id": f"erased-{uuid4().hex}" if named else row.message_id,
        "name": redaction.text(row.name),
        "user_id": None if row.user_id in values else row.user_id,
        "anonymous_id": None if row.anonymous_id in values else row.anonymous_id,
        "identifier_ids": [i for i in row.identifier_ids if i not in mine],
        "properties": redaction.json(row.properties, exact=False),
        "context": redaction.json(row.context, exact=carries),
        "rest": redaction.json(row.rest, exact=carries),
    }


def _traits(session: Session, redaction: Redaction) -> None:
    wanted = {"pattern": redaction.pattern, "digests": redaction.digests}
    for name, told in (("redact_traits", _TOLD), ("redact_account_traits", _TOLD_OF_ACCOUNTS)):
        rows = [
            {**row, "value": redaction.json(row["value"], exact=False)}
            for row in session.execute(told, wanted).mappings()
        ]
        if rows:
            encoded = msgspec.json.encode(rows).decode()
            session.execute(statement("app.privacy", name), {"rows": encoded})
    session.execute(_NAMES_OF_ACCOUNTS, wanted)


_TOLD = sa.text(
    "SELECT identifier_id, key, refused, source_id, CAST(value AS text) AS value "
    "FROM app.trait WHERE CAST(value AS text) ~* CAST(:pattern AS text)"
    " OR lower(CAST(value AS text)) LIKE ANY(CAST(:digests AS text[]))"
)
_TOLD_OF_ACCOUNTS = sa.text(
    "SELECT account_id, identifier_id, key, refused, source_id, CAST(value AS text) AS value "
    "FROM app.account_trait WHERE CAST(value AS text) ~* CAST(:pattern AS text)"
    " OR lower(CAST(value AS text)) LIKE ANY(CAST(:digests AS text[]))"
)
#: An account called after the person keeps its members, under a name that is nobody's.
_NAMES_OF_ACCOUNTS = sa.text(
    "UPDATE app.account SET key = 'erased-' || CAST(account_id AS text) "
    "WHERE key ~* CAST(:pattern AS text) OR lower(key) LIKE ANY(CAST(:digests AS text[]))"
)


def rejected(sessions: Sessions, subject: Subject) -> int:
    """Delete the rejected events that name the person, and return how many."""
    digests = subject.digests
    deleted, after = 0, 0
    while True:
        with sessions.begin() as session:
            rows = session.execute(_REJECTED, {"after": after, "limit": PORTION}).all()
            gone = [row.id for row in rows if _names(row, subject, digests)]
            if gone:
                session.execute(
                    sa.text("DELETE FROM app.rejected_event WHERE id = ANY(:ids)"), {"ids": gone}
                )
        deleted += len(gone)
        if len(rows) < PORTION:
            return deleted
        after = rows[-1].id


def rejected_of(session: Session, subject: Subject) -> list[dict[str, Any]]:
    """Return what is kept of the rejected events that name the person."""
    found: list[dict[str, Any]] = []
    digests, after = subject.digests, 0
    while rows := session.execute(_REJECTED, {"after": after, "limit": PORTION}).all():
        found += [
            {"payload": row.payload, "message_id": row.message_id, "why": row.message}
            for row in rows
            if _names(row, subject, digests)
        ]
        after = rows[-1].id
    return found


_REJECTED = sa.text(
    "SELECT id, payload, message, message_id, CAST(details AS text) AS details, result_message_id, "
    "name FROM app.rejected_event WHERE id > :after ORDER BY id LIMIT :limit"
)


def _names(row: sa.Row[Any], subject: Subject, digests: set[str]) -> bool:
    wanted = set(subject.identifiers)
    namespaces = {namespace for namespace, _ in wanted}
    return any(
        found in wanted for text in _texts(row) for found in mentions.named(text, namespaces)
    ) or any(digest in text.lower() for text in _texts(row) for digest in digests)


def _texts(row: sa.Row[Any]) -> Iterator[str]:
    return (str(text) for text in tuple(row)[1:] if text)
