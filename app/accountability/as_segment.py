"""What Segment would have sent of one event, beside what this product lets go of it."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy.orm import Session

import consent
from app.access import sources
from app.accountability.change import SegmentEvent
from consent.reach import reach
from consent.signals import as_segment
from consent.signals.meanings import Meanings
from consent.signals.read import read
from consent.signals.stamp import Stamp

#: Why an event alone allows a destination nothing.
UNMAPPED, UNREADABLE, REFUSED, UNKNOWN = "unmapped", "signal_unparsable", "refused", "unknown"
ALLOWED = "given"


def compare(session: Session, event: SegmentEvent) -> dict[str, Any]:
    """Return for each destination what Segment does with an event, and what is done here.

    Of somebody of whom nothing else is known: the event alone speaks. Raises SourceNotFound.
    """
    source = sources.settings_of(sources.find(session, event.source))
    known = consent.catalogue.purposes(session)
    reached = reach(known, consent.catalogue.history(session).states(datetime.now(UTC)))
    theirs = as_segment.flows(event.consent, event.integrations, event.destinations)
    stamp = read(
        b"" if event.consent is None else msgspec.json.encode(event.consent),
        known=reached.known,
        categories=source.categories,
        rules=source.signals,
        now=datetime.now(UTC),
        below=reached.below,
        universal=reached.universal,
    )
    meanings = Meanings(known.keys(), source.categories)
    found: list[dict[str, Any]] = []
    for name, categories in event.destinations.items():
        why = _why(stamp, [meanings.of([one]) for one in categories])
        found.append(
            {"destination": name, "segment": name in theirs, "here": why == ALLOWED, "reason": why}
        )
    leaks = sum(1 for one in found if one["segment"] and not one["here"])
    return {"destinations": found, "what_would_have_leaked": leaks}


def _why(stamp: Stamp, asked: Collection[Collection[str]]) -> str:
    """Say whether an event's own consent allows every category that a destination stands in."""
    if not asked or not all(asked):
        return UNMAPPED
    purposes = frozenset().union(*asked)
    if not stamp.readable:
        return UNREADABLE
    if not purposes.isdisjoint(stamp.refused | stamp.opt_out):
        return REFUSED
    return ALLOWED if purposes <= stamp.given else UNKNOWN
