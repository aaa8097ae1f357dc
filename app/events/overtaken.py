"""Which yeses that browsers stamp came after a no that was said later.

Of what is only said again nothing is put on record: one server remembers that it heard it, and
another one does not. The events themselves say it to both.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

import msgspec
from sqlalchemy.orm import Session

from app.db import statement
from app.events.item import Item, Speaker
from app.events.memory import Memory
from consent.signals.stamp import Stamp

#: What comes later than this after it was said lifts nothing which was on record then: record.sql.
LATE = timedelta(minutes=1)


def refused_since(
    session: Session,
    said: Iterable[tuple[Item, Stamp, Speaker]],
    recorded: Collection[Speaker],
    memory: Memory,
    now: datetime,
) -> Mapping[tuple[Speaker, datetime], frozenset[str]]:
    """Return which purposes, refused before, stored events of the same browser refuse later.

    By speaker and time, of stamped yeses of who has anything `recorded`. What was stored while this
    transaction runs, and events that a strict source did not store for their refusal, tell nothing.
    """
    late = [
        (item, speaker)
        for item, stamp, speaker in said
        if stamp.given and not stamp.answer and not item.imported and speaker in recorded
        and now - item.envelope.occurred_at <= LATE
        and _linkable(item, memory)  # else its events refuse all but their own purpose
    ]  # fmt: skip
    if not late:
        return {}
    rows = [
        {"n": n, "source_id": item.source.id, "at": item.envelope.occurred_at,
         "acting": item.envelope.identifiers[0], "speaker": speaker}
        for n, (item, speaker) in enumerate(late)
    ]  # fmt: skip
    asked = {"rows": msgspec.json.encode(rows).decode()}
    found = session.execute(statement("app.events", "refused_since"), asked)
    return {
        (late[row.n][1], late[row.n][0].envelope.occurred_at): frozenset(row.purposes)
        for row in found
    }


def _linkable(item: Item, memory: Memory) -> bool:
    purpose = memory.purposes.get(item.source.collection_purpose)
    return purpose is not None and purpose.linkable
