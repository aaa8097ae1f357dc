"""DuckDB's funnel equals a slow, plain one on random small histories, in every mode."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from app.journeys.definition import EventView, Match, matches
from app.journeys.funnel import funnel, people
from app.journeys.funnel_request import FunnelRequest, TimeRange

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
    """The whole answer: n per step, statuses, people removed, seconds of the converted."""
    kept: list[Attempt] = []
    removed = 0
    for events in crowd:
        seen = [event for event in events if event.at <= as_of]
        attempts = chosen(request, seen, as_of)
        if any(one.status == "removed" for one in attempts):
            removed += 1
        else:
            kept += attempts
    reached = [sum(one.depth >= k + 1 for one in kept) for k in range(len(request.steps))]
    statuses = Counter(one.status for one in kept)
    seconds = sorted(one.seconds for one in kept if one.status == "converted")
    return reached, dict(statuses), removed, sum(seconds)


# Few names, so that most events fit some step and entries follow each other closely.
NAMES = st.sampled_from(["A", "B", "A", "C"])
STEPS = st.lists(st.lists(NAMES, min_size=1, max_size=2, unique=True), min_size=1, max_size=4)
# Gaps of 0 make ties, small numbers make windows end exactly at an event.
HISTORY = st.lists(st.tuples(NAMES, st.integers(0, 3)), max_size=9)


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


def spread(
    gaps: Sequence[Sequence[tuple[str, int]]],
) -> tuple[list[list[Event]], list[dict[str, Any]]]:
    """The same histories twice: for the reference, and as rows for DuckDB."""
    crowd: list[list[Event]] = []
    rows = []
    for person, steps in enumerate(gaps):
        at = 0
        crowd.append([])
        for place, (name, gap) in enumerate(steps):
            at += gap
            crowd[-1].append(Event(name, at))
            rows.append(
                {
                    "person_id": person,
                    "name": name,
                    "occurred_at": START + timedelta(seconds=at),
                    "source_seq": place,
                }
            )
    return crowd, rows


@settings(max_examples=150, deadline=None)
@given(
    request_=requests(),
    gaps=st.lists(HISTORY, min_size=1, max_size=3),
    as_of=st.integers(0, 30),
    seed=st.randoms(use_true_random=False),
)
def test_duckdb_equals_the_plain_reference_on_any_history(
    request_: FunnelRequest,
    gaps: list[list[tuple[str, int]]],
    as_of: int,
    seed: Any,
    history: History,
) -> None:
    crowd, rows = spread(gaps)
    seed.shuffle(rows)
    connection = history(rows)
    moment = START + timedelta(seconds=as_of)
    result = funnel(connection, request_, as_of=moment)

    reached, statuses, removed, seconds = expected(request_, crowd, as_of)
    assert [step.n for step in result.steps] == reached
    found = result.status.model_dump()
    assert {k: n for k, n in found.items() if n and k not in ("entered", "removed")} == statuses
    assert found["removed"] == removed
    assert round((result.ttc.mean or 0) * result.ttc.n) == seconds
    assert found["entered"] == sum(statuses.values())
    if request_.entry != "every":
        for step, n in enumerate(reached, start=1):
            assert len(people(connection, request_, as_of=moment, step=step)) == n
    connection.close()


@settings(max_examples=60, deadline=None)
@given(
    request_=requests(), gaps=st.lists(HISTORY, min_size=1, max_size=3), moves=st.integers(0, 12)
)
def test_in_progress_of_past_entries_never_grows_as_as_of_moves_on(
    request_: FunnelRequest, gaps: list[list[tuple[str, int]]], moves: int, history: History
) -> None:
    entered_by = START + timedelta(seconds=10)
    past = request_.model_copy(update={"range": TimeRange(start=None, end=entered_by)})
    _, rows = spread(gaps)
    connection = history(rows)
    early = funnel(connection, past, as_of=entered_by).status
    late = funnel(connection, past, as_of=entered_by + timedelta(seconds=moves)).status
    # A new attempt of «every» starts only when the one before has ended, so only there can the
    # number of open attempts move; people can only leave in_progress.
    if request_.entry != "every":
        assert late.in_progress <= early.in_progress
    for status in (early, late):
        assert status.entered == (
            status.converted + status.dropped + status.in_progress + status.excluded
        )
    connection.close()
