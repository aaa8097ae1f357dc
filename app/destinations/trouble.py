"""Destinations that somebody should look at: what `readyz` and `parcours doctor` say of them."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import statement

#: How long a message may wait before somebody should look.
LATE = timedelta(hours=1)
#: Messages of a destination that are looked at where the answer must come in bounded time.
LATEST = 1_000


def of_all(session: Session, *, latest: int | None = LATEST) -> list[tuple[str, str]]:
    """Return the names of destinations in trouble, each with what is wrong; [] when none is.

    Switched off by its receiver, more than an hour late, or with people who left or were erased
    and whom it could not be told to forget, among its `latest` messages (all when None), or of a
    segment whose key serves another purpose now, or whose sync fails. One that was switched off on
    purpose is none.
    """
    rows = session.execute(statement("app.destinations", "trouble"), {"latest": latest}).all()
    now: datetime = session.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    found: list[tuple[str, str]] = []
    for row in rows:
        if row.why_disabled is not None:
            found.append((row.name, f"was switched off: {row.why_disabled}"))
        elif row.since is not None and now - row.since > LATE:
            status = f"; it answers {row.status}" if row.status else ""
            found.append((row.name, f"is {(now - row.since).total_seconds():.0f} s late{status}"))
        if row.kept:
            people = "1 person" if row.kept == 1 else f"{row.kept} people"
            found.append((row.name, f"failed to take back {people}, who may be held there still"))
        if row.sync_error is not None:
            found.append((row.name, f"cannot be synced: {row.sync_error}"))
        if row.anothers:
            keys = ", ".join(row.anothers)
            found.append((row.name, f"is sent nobody of {keys}: made anew for another purpose"))
    return found
