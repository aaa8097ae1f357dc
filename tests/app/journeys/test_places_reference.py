"""Friction, drop-off and comparisons against slow, plain Python on random histories."""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from app.journeys import compare as comparing
from app.journeys.buckets import bucket
from app.journeys.compare import compare
from app.journeys.compare_request import CompareQuery
from app.journeys.definition import Journey
from app.journeys.drop_off import drop_off
from app.journeys.friction import friction
from app.journeys.friction_request import DropOffQuery, FrictionQuery
from app.journeys.matrix import matrix
from app.journeys.matrix import people as matrix_people
from app.journeys.matrix_request import MatrixQuery
from app.journeys.opening_hours import OpeningHours
from app.journeys.quantiles import quantile

Row = Mapping[str, Any]
History = Callable[[Sequence[Row]], duckdb.DuckDBPyConnection]
#: A person's events: seconds after the start, and a name; in the order in which they count.
Events = list[tuple[int, str]]

START = datetime(2026, 1, 1, tzinfo=UTC)
STAGES, HOUR = "abc", 3_600
#: Touchpoints by event: stage, channel. `f` is a failure, `l` a lost event, `x` nothing.
PLACES = {"A": (0, 0), "B": (0, 1), "C": (1, 0), "D": (1, 1), "E": (2, 0)}
JOURNEY: dict[str, Any] = {
    "key": "j",
    "name": "J",
    "stages": [{"id": stage, "order": order} for order, stage in enumerate(STAGES)],
    "channels": [{"id": "web", "effort_rank": 1}, {"id": "phone", "effort_rank": 2}],
    "touchpoints": [
        {"id": name, "stage": STAGES[stage], "channel": ("web", "phone")[channel],
         "match": {"event": name}}
        for name, (stage, channel) in PLACES.items()
    ],
    "lost": [{"event": "l"}],
}  # fmt: skip


def crowd(dice: random.Random) -> dict[int, Events]:
    found = {}
    for person in range(dice.randrange(15)):
        moments = sorted(dice.randrange(40) * 600 for _ in range(dice.randrange(16)))
        found[person] = [(at, dice.choice("AABBCCDEfflxx")) for at in moments]
    return found


def rows(people: Mapping[int, Events]) -> list[dict[str, Any]]:
    return [
        {"person_id": person, "name": name, "occurred_at": START + timedelta(seconds=at),
         "properties": '{"n": 2.5}'}
        for person, events in people.items()
        for at, name in events
    ]  # fmt: skip


def visits(events: Events) -> list[tuple[int, str, bool]]:
    """Start, touchpoint, and whether something failed before the next visit began."""
    found: list[tuple[int, str, bool]] = []
    for at, name in events:
        if name in PLACES and (not found or found[-1][1] != name):
            found.append((at, name, False))
        elif name == "f" and found:
            found[-1] = (*found[-1][:2], True)
    return found


def idle_after(people: Mapping[int, Events]) -> dict[int, float]:
    gaps: dict[int, list[float]] = defaultdict(list)
    for events in people.values():
        mapped = [(at, name) for at, name in events if name in PLACES]
        for (at, name), (then, _) in pairwise(mapped):
            gaps[PLACES[name][0]].append(then - at)
    return {stage: quantile(values, 0.95) or 0.0 for stage, values in gaps.items()}


def leavings(people: Mapping[int, Events], end: int) -> list[tuple[int, int, str, str | None]]:
    """Of each person and stage reached: where they left it, and how."""
    idle, found = idle_after(people), []
    for person, events in people.items():
        mapped = [(n, at, name) for n, (at, name) in enumerate(events) if name in PLACES]
        lost = max((n for n, (_, name) in enumerate(events) if name == "l"), default=-1)
        for stage in range(3):
            here = [one for one in mapped if PLACES[one[2]][0] == stage]
            if not here:
                continue
            later = min((n for n, _, name in mapped if PLACES[name][0] > stage), default=None)
            before = [one for one in here if later is None or one[0] < later]
            if not before:
                continue
            n, _, name = before[-1]
            silence = end - mapped[-1][1]
            how: str | None = "arrived" if stage == 2 else None
            if how is None and later is not None:
                how = "moved"
            elif how is None and lost > n:
                how = "dropped"
            elif how is None and stage in idle:
                how = "dropped" if silence > idle[stage] else "in_progress"
            found.append((person, stage, name, how))
    return found


def shares(people: Mapping[int, Events], end: int, within: int) -> dict[str, dict[str, Any]]:
    """Every component of every touchpoint as (k, n), slowness as (median, n)."""
    counts: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    dwell: dict[str, list[float]] = defaultdict(list)

    def seen(name: str, part: str, *, judged: bool, against: bool) -> None:
        counts[name][part][0] += judged and against
        counts[name][part][1] += judged

    for _, _, name, how in leavings(people, end):
        seen(name, "abandonment", judged=how in ("moved", "dropped"), against=how == "dropped")
    for events in people.values():
        mapped = [(at, name) for at, name in events if name in PLACES]
        for n, (at, name) in enumerate(mapped):
            again = next((then for then, other in mapped[n + 1 :] if other == name), None)
            soon = again is not None and again - at <= within
            seen(name, "repetition", judged=soon or at + within <= end, against=soon)
        listed = visits(events)
        for n, (at, name, failed) in enumerate(listed):
            seen(name, "failure", judged=True, against=failed)
            then = listed[n + 1] if n + 1 < len(listed) else None
            near = then is not None and then[0] - at <= within
            up = then is not None and PLACES[then[1]][1] > PLACES[name][1] and near
            seen(name, "escalation", judged=near or at + within <= end, against=up)
            if then is not None:
                back = PLACES[then[1]][0] < PLACES[name][0]
                seen(name, "backtrack", judged=True, against=back)
                dwell[name].append(then[0] - at)
    found: dict[str, dict[str, Any]] = {name: {} for name in PLACES}
    for name, parts in counts.items():
        found[name] = {part: (k / n, n) for part, (k, n) in parts.items() if n}
    for name, values in dwell.items():
        found[name]["slowness"] = (quantile(values, 0.5), len(values))
    return found


def compared(people: Mapping[int, Events], end: int, landmark: int, window: int) -> dict[str, Any]:
    """Entry A; exposed by B; outcome E within the window; lost by l; amounts of x."""
    groups: dict[str, Any] = {
        name: {"n": 0, "k": 0, "decided": 0, "waiting": 0, "sum": 0.0} for name in ("B", "rest")
    }
    for events in people.values():
        start = next((n for n, (_, name) in enumerate(events) if name == "A"), None)
        if start is None:
            continue
        zero = events[start][0] + landmark
        after = events[start + 1 :]
        before = [(at, name) for at, name in after if at <= zero] if landmark else []
        if landmark and (zero > end or any(name == "l" for _, name in before)):
            continue
        exposure = before if landmark else after
        group = groups["B" if any(name == "B" for _, name in exposure) else "rest"]
        rest = [(at, name) for at, name in after if at > zero] if landmark else after
        over = zero + window <= end
        amount = 2.5 * sum(name == "x" and at - zero <= window for at, name in rest)
        group["sum"] += amount if over else 0
        if any(name == "E" for _, name in before):
            group["decided"] += 1
        elif not over:
            group["waiting"] += 1
        else:
            group["n"] += 1
            group["k"] += any(name == "E" and at - zero <= window for at, name in rest)
    return groups


def checked(history: History, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - reproducible histories, not a secret
    people = crowd(dice)
    end = dice.randrange(24_000, 40_000)
    within = dice.choice((600, 3_000, 20_000))
    as_of = START + timedelta(seconds=end)
    with history(rows(people)) as connection:
        options = {"journey": JOURNEY, "within": f"PT{within}S", "least": 1}
        asked = FrictionQuery.model_validate({**options, "failure": {"event": "f"}})
        expected = shares(people, end, within)
        for point in friction(connection, asked, as_of=as_of).touchpoints:
            parts = {one.name: (round(one.observed, 9), one.n) for one in point.components}
            plain = expected[point.touchpoint].items()
            assert parts == {part: (round(x, 9), n) for part, (x, n) in plain}, (seed, point)
        left = leavings(people, end)
        journey = Journey.model_validate(JOURNEY)
        found = drop_off(connection, DropOffQuery(journey=journey), as_of=as_of)
        for number, stage in enumerate(found.stages[:2]):
            ways = [how for _, one, _, how in left if one == number]
            counted = (stage.reached, stage.moved, stage.dropped, stage.in_progress)
            assert counted == (
                len(ways), ways.count("moved"), ways.count("dropped"), ways.count("in_progress"),
            ), seed  # fmt: skip
        for place in found.places:
            ways = [how for _, _, name, how in left if name == place.touchpoint]
            assert (place.moved, place.dropped) == (ways.count("moved"), ways.count("dropped"))
        table = matrix(connection, journey, as_of=as_of)
        for cell in table.cells:
            ways = [
                how for _, _, name, how in left
                if (STAGES[PLACES[name][0]], ("web", "phone")[PLACES[name][1]])
                == (cell.stage, cell.channel)
            ]  # fmt: skip
            assert cell.exits == len(ways), (seed, cell)
            if cell.stage == STAGES[-1]:
                assert (cell.dropped, cell.in_progress) == (None, None)
                continue
            assert cell.dropped == ways.count("dropped"), (seed, cell)
            assert cell.in_progress in (None, ways.count("in_progress")), (seed, cell)
            for how in ("moved", "dropped", "in_progress"):
                listed = matrix_people(
                    connection, MatrixQuery(journey=journey), as_of=as_of,
                    number=bucket(how, cell.stage, cell.channel),
                )  # fmt: skip
                assert len(listed) == ways.count(how), (seed, cell, how)
        landmark, window = dice.choice((0, 1_200, 6_000)), dice.choice((600, 9_000))
        query = CompareQuery.model_validate({
            "entry": {"event": "A"},
            "variants": [{"name": "B", "exposed": {"event": "B"}}, {"name": "rest", "rest": True}],
            "align": [{"landmark": f"PT{landmark}S"}] if landmark else "entry",
            "outcomes": [{"name": "E", "match": {"event": "E"}, "window": f"PT{window}S"}],
            "amounts": [{"name": "x", "match": {"event": "x"}, "prop": "n",
                         "window": f"PT{window}S"}],
            "lost": [{"event": "l"}] if landmark else [],
        })  # fmt: skip
        groups = compared(people, end, landmark, window)
        [one] = compare(connection, query, as_of=as_of).alignments
        for group, heap in zip(one.outcomes["E"], one.amounts["x"], strict=True):
            group_ = groups[group.variant]
            counts = (group.n, group.k, group.decided, group.in_progress)
            assert counts == tuple(group_[part] for part in ("n", "k", "decided", "waiting")), seed
            assert heap.total == pytest.approx(group_["sum"]), seed
            listed = comparing.people(connection, query, as_of=as_of, number=group.bucket)
            assert len(listed) == group.k


def test_a_few_random_histories_every_day(history: History) -> None:
    for seed in range(4):
        checked(history, seed)


@pytest.mark.long
def test_many_random_histories(history: History) -> None:
    for seed in range(100, 135):
        checked(history, seed)


@pytest.mark.parametrize("seed", range(3))
def test_open_time_is_what_a_minute_by_minute_count_says(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - reproducible moments, not a secret
    hours = OpeningHours.model_validate({
        "tz": "Europe/Paris", "days": ["mon", "tue", "sat", "sun"],
        "hours": [("01:30", "04:00"), ("13:00", "24:00")], "closed": ["2026-03-30"],
    })  # fmt: skip
    # Around the last Sunday of March, when Paris goes from 02:00 to 03:00.
    first = datetime(2026, 3, 27, tzinfo=UTC) + timedelta(minutes=dice.randrange(2_000))
    last = first + timedelta(minutes=dice.randrange(4_000))
    stretches = hours.stretches(last)

    def opened(moment: datetime) -> int:
        us = int(moment.timestamp()) * 1_000_000
        starts = [one for one in stretches if one[0] <= us]
        if not starts:
            return 0
        start, end, before = starts[-1]
        return before + min(us, end) - start

    zone, minutes, at = ZoneInfo("Europe/Paris"), 0, first
    while at < last:
        local = at.astimezone(zone)
        clock = local.hour * 60 + local.minute
        inside = 90 <= clock < 240 or clock >= 780
        minutes += inside and local.weekday() in (0, 1, 5, 6) and local.day != 30
        at += timedelta(minutes=1)
    assert (opened(last) - opened(first)) // 60_000_000 == minutes
