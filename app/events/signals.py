"""Counts what is wrong with the consent signals of events, for the privacy officer."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.orm import Session

import consent
from app.events.alike import Alike

#: What is counted of no purpose in particular.
ALL = "*"


def count(session: Session, groups: Iterable[Alike], now: datetime) -> None:
    """Count signals that could not be read, were ignored in part, or contradict each other."""
    counts = Counter[tuple[str, str]]()
    for group in groups:
        said, events = group.stamp, len(group.numbers)
        for why in said.problems:
            counts[ALL, f"signal_unparsable:{why}"] += events
        for what in said.notes:
            counts[ALL, f"signal_ignored:{what}"] += events
        for purpose in said.conflicts:
            counts[purpose, "signal_conflict"] += events
    if counts:
        found = [(purpose, why, events) for (purpose, why), events in counts.items()]
        consent.count_denials(session, use="signal", denials=found, at=now)
