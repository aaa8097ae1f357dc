"""Where people go next from a place in a journey is what one counts by hand."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import groupby
from statistics import median

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.journeys import counting, flow
from app.journeys.definition import Journey
from app.journeys.tables import JourneyFlow, JourneyNext
from tests.app.journeys.conftest import History

START, LABELS = datetime(2026, 1, 1, tzinfo=UTC), "ABCDEFGH"
NOW = START + timedelta(days=30)
JOURNEY = Journey.model_validate(
    {
        "key": "shop", "name": "Shop", "purpose": "analytics.audience",
        "stages": [{"id": "all", "order": 1}], "channels": [{"id": "web"}],
        "touchpoints": [
            {"id": label, "stage": "all", "channel": "web", "match": {"event": label}}
            for label in LABELS
        ],
    }
)  # fmt: skip


def test_where_people_go_next_is_what_one_counts_by_hand(
    history: History, session: Session
) -> None:
    dice = random.Random(3)  # noqa: S311 - reproducible, not a secret
    ways = {
        person: [(dice.choices(LABELS, range(8, 0, -1))[0], 60 * place) for place in range(35)]
        for person in range(1, 41)
    }
    rows = [
        {"person_id": person, "name": label, "occurred_at": START + timedelta(seconds=at)}
        for person, way in ways.items()
        for label, at in way
    ]
    counted = counting.compute(history(rows), JOURNEY, as_of=NOW)
    session.add(JourneyFlow(journey="shop", version=1, computed_at=NOW))
    session.flush()
    session.execute(sa.insert(JourneyNext), [{"journey": "shop", **one} for one in counted])

    #: Of each place, after whatever and after the one before it: who went where, after how long.
    went: dict[tuple[str, ...], dict[str | None, list[tuple[int, int]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for person, way in ways.items():
        stops = [next(group) for _, group in groupby(way, lambda stop: stop[0])]
        for place, (label, at) in enumerate(stops):
            later = stops[place + 1] if place + 1 < len(stops) else (None, at)
            for given in ((label,), (stops[place - 1][0], label) if place else ()):
                if given:
                    went[given][later[0]].append((person, later[1] - at))
    used = set()
    for before in LABELS:
        for last in set(LABELS) - {before}:
            given = (before, last)
            many = {to: who for to, who in went[given].items() if len({p for p, _ in who}) >= 5}
            if not many or sum(map(len, went[given].values())) < flow.ENOUGH:
                given = (last,)
            total = sum(map(len, went[given].values()))
            expected = {
                (to, len(who) / total, median(s for _, s in who), len(given))
                for to, who in went[given].items()
                if to is not None and len({p for p, _ in who}) >= 5
            }
            found = flow.next_steps(session, {"shop": ["A", before, last], "none": ["A"]})["shop"]
            said = [tuple(step.values()) for step in found.steps]
            assert set(said) <= expected
            assert [one[1] for one in said] == sorted((e[1] for e in expected), reverse=True)[:5]
            used.add(len(given))
    assert used == {1, 2}
    assert flow.next_steps(session, {"shop": []})["shop"].steps == []
    assert flow.next_steps(session, {"shop": []})["shop"].counted_at == NOW
