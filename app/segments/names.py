"""Warns of names in a rule that nobody has sent lately, and says which may have been meant."""

from collections.abc import Iterator
from difflib import get_close_matches

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.profiles import paths
from app.profiles.conditions import Events
from app.segments.definition import All, Any_, Behaviour, Not, Rule, Sequence, Trait

#: So many events and traits are looked at: some 40 ms, of however many there are.
LATELY = 20_000
_EVENTS = (
    "SELECT DISTINCT name FROM (SELECT name FROM app.event"
    " ORDER BY transaction DESC, id DESC LIMIT :limit) e WHERE name IS NOT NULL"
)
#: Of traits those of the last events, those that are common by the statistics that PostgreSQL keeps
#: of itself, and the first that are stored: together whatever was said often or lately.
_TRAITS = (
    "SELECT DISTINCT key FROM ("
    "(SELECT k.key FROM (SELECT type, properties FROM app.event"
    " ORDER BY transaction DESC, id DESC LIMIT :limit) e CROSS JOIN LATERAL json_object_keys("
    "CASE json_typeof(e.properties) WHEN 'object' THEN e.properties ELSE '{}' END) AS k(key)"
    " WHERE e.type = 'identify')"
    " UNION ALL (SELECT unnest(CAST(CAST(most_common_vals AS text) AS text[])) FROM pg_stats"
    " WHERE schemaname = 'app' AND tablename = 'trait' AND attname = 'key')"
    " UNION ALL (SELECT key FROM app.trait LIMIT :limit)) t"
)


def warnings(session: Session, rule: Rule) -> list[str]:
    """Return a line for each name that is not known: an event may be yet to come, so no error."""
    events = list(session.scalars(sa.text(_EVENTS), {"limit": LATELY}))
    traits = list(session.scalars(sa.text(_TRAITS), {"limit": LATELY}))
    found = []
    for pointer, kind, name in _named(rule, "#/rule"):
        known = events if kind == "event" else traits
        way = paths.split(name) if kind == "trait" else None
        if name not in known and (way is None or way[0] not in known):
            near = get_close_matches(name, known, n=3)
            meant = f"; did you mean {', '.join(near)}?" if near else ""
            found.append(f"{pointer}: no {kind} {name!r} was seen lately{meant}")
    return found


def _named(rule: Rule, at: str) -> Iterator[tuple[str, str, str]]:
    """Yield where in a rule a name is, of what kind it is, and the name."""
    if isinstance(rule, All | Any_):
        key, parts = ("all", rule.all) if isinstance(rule, All) else ("any", rule.any)
        for number, part in enumerate(parts):
            yield from _named(part, f"{at}/{key}/{number}")
    elif isinstance(rule, Not):
        yield from _named(rule.not_, f"{at}/not")
    elif isinstance(rule, Trait):
        yield f"{at}/trait", "trait", rule.trait
    elif isinstance(rule, Behaviour):
        yield from _event(rule, at)
    elif isinstance(rule, Sequence):
        for key, steps in (("sequence", rule.sequence), ("without", rule.without)):
            for number, step in enumerate(steps):
                yield from _event(step, f"{at}/{key}/{number}")


def _event(events: Events, at: str) -> Iterator[tuple[str, str, str]]:
    if events.event is not None:
        yield f"{at}/event", "event", events.event
