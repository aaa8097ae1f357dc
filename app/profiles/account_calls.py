"""What events say of accounts: `group` calls, and who was removed from one (Segment's B2B spec)."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from app.db import statement
from app.events.alone import is_alone
from app.events.stream import Outline
from app.profiles.survivorship import LONGEST_KEY

#: What an account is unless its call says otherwise, in the trait `group_type`.
ACCOUNT = "account"
TYPE = re.compile(r"[a-z][a-z0-9_]{0,39}")
#: The trait in which a call says of what type its group is: `household`, `team`.
TYPE_TRAIT = "group_type"
#: Longest id of a group; a longer one names none.
LONGEST_ID = 512
_TRAITS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def project(session: Session, events: Iterable[Outline], *, most: int) -> set[int]:
    """Fold what events say of accounts into the store; return identifiers whom it concerns.

    Those are the speakers, and the members of accounts of which a trait is another now, unless they
    are more than `most`. Any order of the same events ends in the same rows.
    """
    calls = [call for event in events if event.group_id for call in _read(event)]
    if not calls:
        return set()
    rows = msgspec.json.encode(calls).decode()
    session.execute(statement("app.profiles", "account_new"), {"rows": rows})
    session.execute(statement("app.profiles", "account_members"), {"rows": rows})
    session.execute(statement("app.profiles", "account_rejoined"), {"rows": rows})
    asked = {"rows": rows, "most": most + 1}
    told = session.scalars(statement("app.profiles", "account_traits"), asked).all()
    return {call["identifier_id"] for call in calls} | (set(told) if len(told) <= most else set())


def kind_of(stated: object) -> str:
    """Return the type of a group as it is stated; `account` where nothing usable is."""
    text = stated.lower() if isinstance(stated, str) else ""
    return text if TYPE.fullmatch(text) else ACCOUNT


def _read(event: Outline) -> Iterator[dict[str, Any]]:
    """Yield what an event says of an account: that somebody is in it or not, and its traits."""
    key = event.group_id or ""
    if is_alone(event.refused):
        return  # it joins nobody with an account
    if not key.strip() or len(key) > LONGEST_ID:
        return
    traits = _TRAITS.decode(event.group_traits or "{}")
    stated = traits.pop(TYPE_TRAIT, None)
    kind = kind_of(msgspec.json.decode(stated) if stated is not None else None)
    left = event.type != "group"
    yield {
        "type": kind,
        "key": key,
        "identifier_id": event.identifier_ids[0],
        "refused": sorted(event.refused),
        "left": left,
        "occurred_at": event.occurred_at,
        "received_at": event.received_at,
        "source_seq": event.source_seq,
        "event_id": event.id,
        "message_id": event.message_id,
        "source_id": event.source_id,
        "traits": {}
        if left
        else {
            name: value for name, value in traits.items() if 0 < len(name.encode()) <= LONGEST_KEY
        },
    }
