"""Scores people by the fifth of everybody that they are in; what a fifth is, is kept for a day.

Of one person a score says where they are among all, so every event of anybody could change it. The
bounds between the fifths are therefore as of one moment and kept with the trait, and a person is
scored by these on arrival; when a day has passed there are new ones, and everybody is scored anew.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.db import for_many, limited
from app.profiles import computed_sql
from app.profiles.tables import ComputedTrait

#: Bounds count for so long.
LASTS = timedelta(days=1)
#: So long may it take to find them.
LONGEST_SECONDS = 300.0
#: What is smaller the better, for one person: the bounds are of these.
_RANKED = (
    "raw AS (SELECT subject_id, {parts} FROM found GROUP BY subject_id), ranked AS ("
    " SELECT d.part, d.size, row_number() OVER w AS place, count(*) OVER (PARTITION BY d.part)"
    " AS people FROM raw CROSS JOIN LATERAL (VALUES {each}) AS d(part, size)"
    " WINDOW w AS (PARTITION BY d.part ORDER BY d.size))"
    " SELECT part, array_agg(CAST(size AS text) ORDER BY size) AS bounds FROM ranked"
    " JOIN generate_series(1, 4) AS k ON place = people - (k * people + 4) / 5 + 1 GROUP BY part"
)


def scores(trait: ComputedTrait) -> bool:
    """Say whether a trait scores people among all."""
    return bool(trait.definition["kind"] == "rfm_score")


def outdated(trait: ComputedTrait, *, now: datetime) -> bool:
    """Say whether everybody is to be scored anew, by new bounds."""
    whole = trait.until is not None and trait.position >= trait.until
    return whole and scores(trait) and (trait.bounds_at is None or trait.bounds_at <= now - LASTS)


def find_bounds(session: Session, trait: ComputedTrait, *, now: datetime) -> dict[str, list[str]]:
    """Return the bounds between the fifths of everybody who may be used for the trait's purpose.

    Four of each part, the smallest first; none where nobody has such an event. Numbers are text,
    so that none is rounded. Only the trait is read from its definition, and nothing is locked.
    """
    purpose = consent.catalogue.purpose(session, trait.purpose)
    head, values = computed_sql.events(trait.definition, purpose, now=now, people=None)
    parts = ", ".join(f"{made} AS {part}" for part, made in computed_sql.PARTS.items())
    each = ", ".join(f"('{part}', CAST({part} AS numeric))" for part in computed_sql.PARTS)
    text = sa.text(f"{head}, {_RANKED.format(parts=parts, each=each)}")
    with limited(session, LONGEST_SECONDS), for_many(session):
        rows = session.execute(text, values).all()
    found = {part: list[str]() for part in computed_sql.PARTS}
    return found | {row.part: row.bounds for row in rows}
