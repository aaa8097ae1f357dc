"""Computed traits that ask how long ago, or how soon, a date of an event is."""

import random
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from app.events import stream
from app.profiles import computed_traits, computing
from app.profiles.tables import ComputedTrait, ComputedValue
from tests.app.profiles.histories import DAY, NOW, PURPOSE, Event, World


def test_time_alone_gives_and_takes_what_dates_of_events_make(session: Session) -> None:
    world = World(session, random.Random(2))  # noqa: S311 -- a seeded test, no secret
    world.begin(2)
    dates = [(NOW + 3 * DAY).date().isoformat(), (NOW - 30 * DAY).isoformat()]

    def booking(number: int) -> Event:
        return Event(10**9 + number, world.ids[number], "crm", "track", "Booked", NOW, NOW, None,
                     {"starts": dates[number]}, [])  # fmt: skip

    world.event = booking  # type: ignore[method-assign]  # what happens is given
    for key, op in (("soon", "in_next_days"), ("past", "older_than_days"), ("now", "within_days")):
        where = [{"prop": "starts", "op": op, "value": 5}]
        definition = {"kind": "count", "event": "Booked", "where": where}
        computed_traits.put(session, key=key, name=key, purpose=PURPOSE, definition=definition)
    session.flush()
    within = sessionmaker(session.connection(), join_transaction_mode="create_savepoint")

    def values(after: timedelta) -> dict[str, list[Any]]:
        while computing.advance(within, now=NOW + after):
            pass
        session.expire_all()
        query = (
            sa.select(ComputedTrait.key, ComputedValue.subject_id)
            .join(ComputedValue, ComputedValue.trait_id == ComputedTrait.id)
            .where(sa.cast(ComputedValue.value, sa.Text) == "1")
        )
        found: dict[str, list[Any]] = {"soon": [], "past": [], "now": []}
        for key, person in session.execute(query):
            found[key].append(world.ids.index(person))
        return {key: sorted(who) for key, who in found.items()}

    assert values(timedelta()) == {"soon": [], "past": [], "now": []}
    outlines = sorted(world.outlines(world.happen(2)), key=lambda e: e.id)
    computing.follow(session, set(), now=NOW, events=outlines)
    stream.done(session, "pipeline", outlines[-1])
    first = {"soon": [0], "past": [1], "now": []}
    assert values(timedelta()) == first
    assert values(computing.DATES_LAST - timedelta(minutes=1)) == first
    assert values(4 * DAY) == {"soon": [], "past": [1], "now": [0]}
    assert values(20 * DAY) == {"soon": [], "past": [0, 1], "now": []}
