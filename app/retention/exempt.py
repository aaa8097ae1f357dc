"""Deletes what was collected for exempt audience measurement after 25 months at the latest.

No rule and no other purpose keeps it longer: it is for its own purpose alone (`app.events.alone`).
Research/consent.md 2.10, after CNIL's conditions of the exemption.
"""

from datetime import datetime, timedelta

import msgspec

import consent
from app.db import Sessions, statement
from app.events.alone import MARK
from app.retention import parts
from consent.catalogue import EXEMPT_DAYS

#: Events of one transaction; a count alone takes all at once.
BATCH, ALL = 5_000, 2**62


def run(sessions: Sessions, *, late: timedelta, now: datetime, dry_run: bool = False) -> int:
    """Delete them in small transactions, and return how many events that is, or would be."""
    with sessions() as session:
        known = consent.catalogue.purposes(session).values()
        days = {p.key: _days(p) for p in known if not p.linkable}
        if not days:
            return 0
        before = now - timedelta(days=min(days.values()))
        asked = parts.holding(session, before, late, column="occurred_at")
    marks = [{"mark": MARK + key, "days": kept} for key, kept in days.items()]
    told = {"purposes": msgspec.json.encode(marks).decode(), "now": now, "really": not dry_run,
            "limit": ALL if dry_run else BATCH}  # fmt: skip
    return sum(_part(sessions, {**told, "part": part}) for part in asked)


def _part(sessions: Sessions, asked: dict[str, object]) -> int:
    gone = 0
    while True:
        with sessions.begin() as session:
            found = session.scalar(statement("app.retention", "exempt"), asked) or 0
        gone += found
        if found < BATCH or not asked["really"]:
            return gone


def _days(purpose: consent.Purpose) -> int:
    return min(purpose.declared.get("retention_days") or EXEMPT_DAYS, EXEMPT_DAYS)
