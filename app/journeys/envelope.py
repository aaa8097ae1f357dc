"""What every answer says beside its result (research/journeys.md §4.0)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from pydantic import BaseModel
from sqlalchemy.orm import Session

import consent
from app.events import stream
from app.journeys import spelling
from app.journeys.predicate import microseconds
from app.lake.duckdb_engine import Lake
from app.lake.ordered import begins
from identity import people

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Seen:
    """What an answer was computed over.

    `fingerprint` changes when, and only when, another event was looked at or one belongs to
    somebody else. `ahead` are events that say they happen after `as_of`; `stamped` those whose own
    stamp refused the purpose. `until` is when the newest one was received.
    """

    profiles: int
    events: int
    ahead: int
    stamped: int
    until: datetime | None
    fingerprint: str


def look(lake: Lake, as_of: datetime) -> Seen:
    """Return what there is to be seen as of a moment; later arrivals do not change it."""
    events, at = lake.ordered, microseconds(as_of)
    here, mine = events.known(at), events.stamped
    stamped = int(((mine.t <= at) & (mine.received <= at)).sum())
    if here is None:
        profiles, seen, ahead, mark = len(events.people), len(events), 0, events.marks
        until = int(events.received.max()) if seen else None
    else:
        seen = int(here.sum())
        profiles = int(begins(events.who[here]).sum())
        ahead = int((events.received <= at).sum()) - seen
        mark = int(np.bitwise_xor.reduce(events.mark[here])) if seen else 0
        until = int(events.received[here].max()) if seen else None
    return Seen(
        profiles=profiles,
        events=seen,
        ahead=ahead,
        stamped=stamped,
        until=None if until is None else _EPOCH + timedelta(microseconds=until),
        fingerprint=f"{mark:016x}",
    )


def check(lake: Lake, request: BaseModel, as_of: datetime) -> list[str]:
    """Return warnings about names of events that nobody has sent; see `spelling.check`."""
    events = lake.ordered
    here = events.known(microseconds(as_of))
    seen = np.bincount(events.kind if here is None else events.kind[here])
    kinds = (events.kinds[place].name for place in np.flatnonzero(seen).tolist())
    names = {name for name in kinds if name is not None}
    return spelling.check(request, names) if names else []


def late(lake: Lake, as_of: datetime) -> list[str]:
    """Return a warning where events that had happened by a moment were not known of then.

    Of a log that was imported these are all: as of its own end there was nothing of it.
    """
    events, at = lake.ordered, microseconds(as_of)
    n = int(((events.t <= at) & (events.received > at)).sum())
    if not n:
        return []
    return [
        f"{n} events had happened by as_of and were received only later, such as those of a log"
        " that was imported; they are left out"
    ]


def wrap(
    session: Session,
    left_out: Mapping[str, int],
    seen: Seen,
    kind: str,
    result: BaseModel,
    *,
    purpose: str,
    as_of: datetime,
    warnings: list[str],
) -> dict[str, Any]:
    """Wrap a result: the same question as of the same time, over the same events of the same
    people, has the same `query_id` and the same bytes in `result`.

    `excluded` counts people where it says `consent:`, events where it says `events:`.
    """
    consent.count_denials(
        session,
        use="journey",
        denials=[(purpose, why, people) for why, people in left_out.items()],
        at=datetime.now(UTC),
    )
    body = result.model_dump(mode="json", by_alias=True)
    semantics, digest = body.pop("semantics"), body.pop("definition_hash")
    body.pop("as_of")
    key = json.dumps([kind, digest, purpose, as_of.isoformat(), seen.fingerprint])
    waiting = stream.backlog(session, "lake").events
    excluded = {f"consent:{why}": people for why, people in left_out.items()}
    excluded |= {"events:in_the_future": seen.ahead} if seen.ahead else {}
    excluded |= {"events:refused_by_their_stamp": seen.stamped} if seen.stamped else {}
    return {
        "query_id": "q_" + hashlib.sha256(key.encode()).hexdigest()[:24],
        "kind": kind,
        "definition_hash": digest,
        "semantics": semantics,
        "purpose": purpose,
        "lawful_basis": consent.catalogue.purpose(session, purpose).lawful_basis,
        "as_of": as_of.isoformat(),
        "identity_version": people.version(session),
        "fingerprint": seen.fingerprint,
        "n_profiles": seen.profiles,
        "n_events": seen.events,
        "freshness": {
            "events_until": seen.until.isoformat() if seen.until else None,
            "not_yet_copied": waiting,
        },
        "excluded": excluded,
        "sampling": 1.0,
        "result": body,
        "warnings": [*_warnings(left_out, seen, waiting, purpose), *warnings],
    }


def _warnings(left_out: Mapping[str, int], seen: Seen, waiting: int, purpose: str) -> list[str]:
    denied = sum(left_out.values())
    found = []
    if denied and not seen.profiles:
        found.append(
            f"nobody's data may be used for {purpose}: {denied} people are excluded by consent"
        )
    if waiting:
        found.append(f"{waiting} events are stored and not yet in what this was computed over")
    if seen.ahead:
        found.append(f"{seen.ahead} events say they happen later than as_of and are left out")
    return found
