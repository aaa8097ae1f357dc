"""Writes rows of events, each once, and says which were there already."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Raw
from sqlalchemy.orm import Session

from app.db import copy_csv, statement

Key = tuple[int, str]
_encode = msgspec.json.Encoder().encode
#: So many rows are worth the two more round trips of COPY.
WORTH_A_COPY = 64
COLUMNS = (
    "part", "source_id", "message_id", "type", "name", "identifier_id", "identifier_ids",
    "user_id", "anonymous_id", "occurred_at", "received_at", "sent_at", "source_seq", "refused",
    "properties", "context", "rest",
)  # fmt: skip


class Row(msgspec.Struct, frozen=True):
    """One row of app.event. A Struct is made and encoded in a third of a dict's time."""

    source_id: int
    message_id: str
    type: str
    name: str | None
    identifier_ids: list[int]
    user_id: str | None
    anonymous_id: str | None
    occurred_at: datetime
    received_at: datetime
    sent_at: datetime | None
    source_seq: int | None
    refused: list[str]
    properties: Raw
    context: Raw
    rest: Raw | None


def insert(session: Session, rows: Mapping[Key, Row], *, copy: bool) -> set[Key]:
    """Write the rows that are not stored yet and return the keys of those that are.

    With `copy` many rows go by COPY, at half the cost. It raises IntegrityError when somebody else
    writes one of them at the same time; then the transaction is to be repeated without.
    """
    if not rows:
        return set()
    if copy and len(rows) >= WORTH_A_COPY:
        return _copy(session, rows)
    encoded = _encode(list(rows.values())).decode()
    inserted = session.execute(
        statement("app.events", "append"), {"rows": encoded, "expected": len(rows)}
    ).scalar_one()
    return set() if inserted is None else rows.keys() - {(s, m) for s, m in inserted}


def _copy(session: Session, rows: Mapping[Key, Row]) -> set[Key]:
    asked = _encode([{"s": s, "m": m} for s, m in rows]).decode()
    probe = session.execute(statement("app.events", "probe"), {"keys": asked}).one()
    seen = {(source_id, message_id) for source_id, message_id in probe.seen}
    # In the order of INSERT: writers of the same events wait for each other, and do not deadlock.
    fresh = [rows[key] for key in (sorted(rows.keys() - seen) if seen else sorted(rows))]
    if fresh:
        copy_csv(session, "app.event", COLUMNS, _lines(probe.part, fresh))
    return seen


#: A row as COPY reads it: fields end in U+0002 and may be quoted in U+0001. JSON contains neither
#: as such, so only what people wrote into ids and names has to be looked at.
_LINE = b"\x02".join(
    (b"%d", b"%d", b"%b", b"%b", b"%b", b"%d", b"{%b}", *[b"%b"] * 10)
) + b"\n"  # fmt: skip


def _lines(part: int, rows: Sequence[Row]) -> bytes:
    return b"".join([_line(part, row) for row in rows])


def _line(part: int, row: Row) -> bytes:
    message_id, name = row.message_id, row.name or ""
    user_id, anonymous_id = row.user_id or "", row.anonymous_id or ""
    if not (message_id + name + user_id + anonymous_id).isprintable():
        message_id, name, user_id, anonymous_id = map(
            _quoted, (message_id, name, user_id, anonymous_id)
        )
    ids = row.identifier_ids
    return _LINE % (
        part,
        row.source_id,
        message_id.encode(),
        row.type.encode(),
        name.encode(),
        ids[0],
        _encode(ids)[1:-1],
        user_id.encode(),
        anonymous_id.encode(),
        # A twelfth of what isoformat() takes; the quotes that JSON puts around are cut off.
        _encode(row.occurred_at)[1:-1],
        _encode(row.received_at)[1:-1],
        _encode(row.sent_at)[1:-1] if row.sent_at else b"",
        b"" if row.source_seq is None else b"%d" % row.source_seq,
        _array(row.refused) if row.refused else b"{}",
        row.properties,
        row.context,
        row.rest or b"",
    )


def _quoted(text: str) -> str:
    return "\x01" + text.replace("\x01", "\x01\x01") + "\x01" if text else ""


def _array(texts: Sequence[str]) -> bytes:
    """Return an array as PostgreSQL writes it; the keys of purposes need no escaping."""
    return b"{%b}" % _encode(texts)[1:-1]
