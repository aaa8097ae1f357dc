"""DuckDB's funnel equals a slow, plain one on random small histories, in every mode."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.journeys import attempts, plain_walk
from app.journeys.funnel import ends, funnel, people
from app.journeys.funnel_request import FunnelRequest, TimeRange
from app.journeys.match import EventView, Match, matches

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    """An event of one person; `at` counts seconds from the start, the list keeps the order."""

    name: str
    at: int


@dataclass(frozen=True)
class Attempt:
    """What became of one attempt; the next one may start at index `resume`."""

    depth: int
    status: str
    resume: int | None
    seconds: int = 0


def fits(match: Match, event: Event) -> bool:
    return matches(match, EventView(type="track", name=event.name, source="web"))


def bar(request: FunnelRequest, event: Event, step: int) -> str | None:
    """What an exclusion makes of an event met on the way to a step, if any forbids it."""
    effects = {x.effect for x in request.exclusions if x.bars(step) and fits(x.match, event)}
    if not effects:
        return None
    return "removed" if "remove" in effects else "excluded"


def attempt(request: FunnelRequest, events: Sequence[Event], entry: int, as_of: int) -> Attempt:
    """Follow one attempt to its end."""
    opened, closing = events[entry].at, as_of
    last = len(events)
    if request.window is not None:
        closing = opened + int(request.window.total_seconds())
        last = sum(1 for event in events if event.at <= closing)
    follow = in_any_order if request.order == "any" else in_order
    found = follow(request, events, entry, last)
    if found.status != "missed":
        return found
    if request.window is None or closing >= as_of:
        return Attempt(found.depth, "in_progress", None)
    return Attempt(found.depth, "dropped", last)


def in_order(request: FunnelRequest, events: Sequence[Event], entry: int, last: int) -> Attempt:
    step = 1
    for index in range(entry + 1, last):
        if step == len(request.steps):
            break
        event = events[index]
        if fits(request.steps[step].match, event):
            step += 1
            if step == len(request.steps):
                return Attempt(step, "converted", index + 1, event.at - events[entry].at)
        elif effect := bar(request, event, step + 1):
            return Attempt(step, effect, index)
        elif request.order == "strict" and not fits(request.steps[step - 1].match, event):
            return Attempt(step, "dropped", index)
    if step == len(request.steps):
        return Attempt(step, "converted", entry + 1)
    return Attempt(step, "missed", None)


def in_any_order(request: FunnelRequest, events: Sequence[Event], entry: int, last: int) -> Attempt:
    size = len(request.steps)
    bars = {i: bar(request, events[i], size) for i in range(entry + 1, last)}
    stop = min((i for i, effect in bars.items() if effect), default=last)
    taken: list[int] = []
    for step in request.steps[1:]:
        free = (i for i in range(entry + 1, stop) if i not in taken and fits(step.match, events[i]))
        taken += [index for index in [next(free, None)] if index is not None]
    if len(taken) == size - 1:
        end = max(taken, default=entry)
        return Attempt(size, "converted", end + 1, events[end].at - events[entry].at)
    return Attempt(1 + len(taken), bars.get(stop) or "missed", stop if stop < last else None)


def chosen(request: FunnelRequest, events: Sequence[Event], as_of: int) -> list[Attempt]:
    """The attempts of one person that count."""
    begin, end = request.range.start, request.range.end
    entries = [
        index
        for index, event in enumerate(events)
        if fits(request.steps[0].match, event)
        and (begin is None or START + timedelta(seconds=event.at) >= begin)
        and (end is None or START + timedelta(seconds=event.at) < end)
    ]
    if not entries:
        return []
    if request.entry == "every":
        counted: list[Attempt] = []
        resume: int | None = 0
        for entry in entries:
            if resume is not None and entry >= resume:
                counted.append(attempt(request, events, entry, as_of))
                resume = counted[-1].resume
        return counted
    tried = entries[:1] if request.entry == "first" else entries
    every = [attempt(request, events, entry, as_of) for entry in tried]
    best = max(every, key=lambda one: one.depth)
    statuses = {one.status for one in every}
    status = best.status
    if "removed" in statuses:
        status = "removed"
    elif status != "converted" and "in_progress" in statuses:
        status = "in_progress"
    return [Attempt(best.depth, status, None, best.seconds)]


def expected(request: FunnelRequest, crowd: Sequence[Sequence[Event]], as_of: int) -> Any:
    """The whole answer: who reached each step, statuses, people removed, seconds to convert."""
    kept: list[tuple[int, Attempt]] = []
    removed = 0
    for person, events in enumerate(crowd):
        seen = [event for event in events if event.at <= as_of]
        attempts = chosen(request, seen, as_of)
        if any(one.status == "removed" for one in attempts):
            removed += 1
        else:
            kept += [(person, one) for one in attempts]
    reached = [[person for person, one in kept if one.depth > k] for k in range(len(request.steps))]
    statuses = Counter(one.status for _, one in kept)
    seconds = sum(one.seconds for _, one in kept if one.status == "converted")
    return reached, dict(statuses), removed, seconds


NAMES = st.sampled_from(["A", "B", "C", "D"])
STEPS = st.lists(st.lists(NAMES, min_size=1, max_size=2, unique=True), min_size=1, max_size=4)


@st.composite
def requests(draw: st.DrawFn) -> FunnelRequest:
    """Any funnel over four event names, with and without window, range and exclusions."""
    steps = draw(STEPS)
    order = draw(st.sampled_from(["loose", "strict", "any"]))
    exclusions = []
    if len(steps) > 1:
        for name in draw(st.lists(NAMES, max_size=2)):
            effect = draw(st.sampled_from(["drop", "remove"]))
            exclusion: dict[str, Any] = {"match": {"event": name}, "effect": effect}
            if order != "any":
                after = draw(st.integers(1, len(steps) - 1))
                before = draw(st.integers(after + 1, len(steps)))
                exclusion |= {"after_step": after, "before_step": before}
            exclusions.append(exclusion)
    window = draw(st.none() | st.integers(0, 8).map(lambda n: f"PT{n}S"))
    span = draw(st.none() | st.tuples(st.integers(0, 6), st.integers(1, 12)))
    bounds = {}
    if span is not None:
        first, length = span
        bounds = {
            "from": START + timedelta(seconds=first),
            "to": START + timedelta(seconds=first + length),
        }
    return FunnelRequest.model_validate(
        {
            "steps": [[{"event": name} for name in names] for names in steps],
            "window": window,
            "entry": draw(st.sampled_from(["first", "best", "every"])),
            "order": order,
            "exclusions": exclusions,
            "range": bounds,
        }
    )


def crowd_of(seed: int) -> tuple[list[list[Event]], list[dict[str, Any]]]:
    """Sixty random histories twice: for the reference, and as shuffled rows for DuckDB.

    One seed, many people: drawn event by event, 84 % of hypothesis' histories brought nobody
    past step 1, and a cascade that kept a single candidate per step passed unnoticed.
    """
    dice = random.Random(seed)  # noqa: S311 - reproducible histories, not a secret
    crowd: list[list[Event]] = []
    rows = []
    for person in range(60):
        at = 0
        crowd.append([])
        for place in range(dice.randrange(12)):
            at += dice.choice([0, 0, 1, 1, 2, 3])  # 0 makes ties
            crowd[-1].append(Event(dice.choice("AABBCD"), at))
            rows.append(
                {
                    "person_id": person,
                    "name": crowd[-1][-1].name,
                    "occurred_at": START + timedelta(seconds=at),
                    "source_seq": place,
                }
            )
    dice.shuffle(rows)
    return crowd, rows


SEEDS = st.integers(0, 2**32)


@pytest.mark.long
@settings(max_examples=150, deadline=None)
@given(request_=requests(), seed=SEEDS, as_of=st.sampled_from([3, 8, 12, 40]))
def test_duckdb_equals_the_plain_reference_on_any_history(
    request_: FunnelRequest, seed: int, as_of: int, history: History
) -> None:
    crowd, rows = crowd_of(seed)
    connection = history(rows)
    moment = START + timedelta(seconds=as_of)
    result = funnel(connection, request_, as_of=moment)

    who, statuses, removed, seconds = expected(request_, crowd, as_of)
    assert [step.n for step in result.steps] == [len(reached) for reached in who]
    found = result.status.model_dump()
    assert {k: n for k, n in found.items() if n and k not in ("entered", "removed")} == statuses
    assert found["removed"] == removed
    assert found["entered"] == sum(statuses.values())
    assert round((result.ttc.mean or 0) * result.ttc.n) == seconds
    for step, reached in enumerate(who, start=1):
        listed = people(connection, request_, as_of=moment, step=step)
        assert listed == sorted(set(reached))
    connection.close()


@settings(max_examples=40, deadline=None)
@given(request_=requests(), seed=SEEDS, moves=st.integers(0, 12))
def test_in_progress_of_past_entries_never_grows_as_as_of_moves_on(
    request_: FunnelRequest, seed: int, moves: int, history: History
) -> None:
    entered_by = START + timedelta(seconds=10)
    past = request_.model_copy(update={"range": TimeRange(start=None, end=entered_by)})
    connection = history(crowd_of(seed)[1])
    early = funnel(connection, past, as_of=entered_by).status
    late = funnel(connection, past, as_of=entered_by + timedelta(seconds=moves)).status
    # With «every», entries inside an open attempt become attempts of their own when it ends.
    if request_.entry != "every":
        assert late.in_progress <= early.in_progress
    for status in (early, late):
        assert status.entered == (
            status.converted + status.dropped + status.in_progress + status.excluded
        )
    connection.close()


@pytest.mark.long
@settings(max_examples=15, deadline=None)
@given(request_=requests(), seed=SEEDS, as_of=st.sampled_from([8, 12, 40]), gap=st.integers(0, 5))
def test_attempts_are_the_same_over_arrays_and_in_sql(
    request_: FunnelRequest, seed: int, as_of: int, gap: int, history: History
) -> None:
    steps = [step.model_copy() for step in request_.steps]
    if len(steps) > 1 and gap:
        steps[1] = steps[1].model_copy(update={"max_gap": timedelta(seconds=gap)})
    plain = {"steps": tuple(steps), "order": "loose", "exclusions": ()}
    connection, moment = history(crowd_of(seed)[1]), START + timedelta(seconds=as_of)
    for ttc_from in ("earliest", "shortest"):
        asked = request_.model_copy(update={**plain, "ttc_from": ttc_from})
        assert plain_walk.plain(asked)
        found = []
        for searched in (True, False):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(attempts, "plain", lambda _, searched=searched: searched)
                figures = funnel(connection, asked, as_of=moment)
                who = [
                    people(connection, asked, as_of=moment, step=step, status=status)
                    for step in range(1, len(steps) + 1)
                    for status in (None, "converted", "dropped", "in_progress")
                ]
                found.append((figures, who, ends(connection, asked, moment)))
        assert found[0] == found[1]
    connection.close()
