"""DuckDB's funnel equals a slow, plain one on random histories, for the further choices.

The reference knows no joins: it walks each person's events once per entry, as the definition says.
"""

import json
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

from app.journeys.funnel import funnel, people
from app.journeys.funnel_request import FunnelRequest

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    """An event of one person: what, at which second, of which item, in which session."""

    name: str
    at: int
    item: str | None
    session: int


@dataclass(frozen=True)
class Attempt:
    """What became of one attempt, which optional steps it took, and how long it took."""

    entry: int
    depth: int
    status: str
    took: frozenset[int] = frozenset()
    seconds: int = 0


def name(step: Mapping[str, Any]) -> str:
    return str(step.get("match", step)["event"])


def walk(asked: Mapping[str, Any], events: Sequence[Event], entry: int, as_of: int) -> Attempt:
    """One attempt, step after step, over the events of its own lane."""
    steps, window, grace = asked["steps"], asked.get("window"), asked.get("grace", 0)
    lost = {match["event"] for match in asked.get("lost", ())}
    used, latest, depth, took = {entry}, entry, 1, set()
    for k, step in enumerate(steps[1:], start=2):
        closing = min(
            events[entry].at + window if window is not None else 10**9,
            events[latest].at + step["gap"] if "gap" in step else 10**9,
        )
        fitting = [
            i
            for i, event in enumerate(events)
            if event.name == name(step)
            and i not in used
            and event.at <= closing
            and (event.at >= events[latest].at - grace if grace else i > latest)
        ]
        found = fitting[0] if fitting else None
        ends = [
            i for i, e in enumerate(events) if i > latest and e.name in lost and e.at <= closing
        ]
        barred = bool(ends) and (found is None or ends[0] < found)
        if step.get("optional"):
            required = name(next(s for s in steps[k:] if not s.get("optional")))
            rivals = [i for i, e in enumerate(events) if i > latest and e.name == required]
            if found is not None and not barred and (not rivals or found < rivals[0]):
                used.add(found)
                latest, depth = found, k
                took.add(k)
            continue
        if barred:
            return Attempt(entry, depth, "dropped", frozenset(took))
        if found is None:
            over = closing < as_of
            return Attempt(entry, depth, "dropped" if over else "in_progress", frozenset(took))
        used.add(found)
        latest, depth = max(latest, found), k
    return Attempt(entry, depth, "converted", frozenset(took), events[latest].at - events[entry].at)


def lanes(asked: Mapping[str, Any], events: Sequence[Event]) -> list[list[int]]:
    """The events of a person that attempts may mix, as indexes."""
    found: dict[Any, list[int]] = {}
    for i, event in enumerate(events):
        if asked.get("hold_constant") and event.item is None:
            continue
        key = (
            event.item if asked.get("hold_constant") else None,
            event.session if asked.get("scope") == "session" else None,
        )
        found.setdefault(key, []).append(i)
    return list(found.values())


def chosen(asked: Mapping[str, Any], events: Sequence[Event], as_of: int) -> list[Attempt]:
    """The attempts that count, by the person or by the lane that is a session."""
    every: list[list[Attempt]] = []
    for lane in lanes(asked, events):
        own = [events[i] for i in lane]
        attempts = [
            (lane[i], walk(asked, own, i, as_of))
            for i, event in enumerate(own)
            if event.name == name(asked["steps"][0])
        ]
        every.append([Attempt(i, a.depth, a.status, a.took, a.seconds) for i, a in attempts])
    groups = every if asked.get("count") == "sessions" else [[a for lane in every for a in lane]]
    return [pick(asked, group) for group in groups if group]


def pick(asked: Mapping[str, Any], attempts: list[Attempt]) -> Attempt:
    attempts = sorted(attempts, key=lambda a: a.entry)
    if asked["entry"] == "first":
        return attempts[0]

    def rank(a: Attempt) -> tuple[int, int]:
        quick = asked.get("ttc_from") == "shortest" and a.status == "converted"
        return a.depth, -a.seconds if quick else 0

    best = max(attempts, key=rank)
    if best.status != "converted" and any(a.status == "in_progress" for a in attempts):
        return Attempt(best.entry, best.depth, "in_progress", best.took)
    return best


NAMES = st.sampled_from("ABC")


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    """A funnel of one to four steps with some of the further choices."""
    size = draw(st.integers(1, 4))
    steps: list[dict[str, Any]] = [{"match": {"event": draw(NAMES)}} for _ in range(size)]
    asked: dict[str, Any] = {"steps": steps, "entry": draw(st.sampled_from(["first", "best"]))}
    for key, values in {
        "window": st.integers(0, 9),
        "hold_constant": st.just(["item"]),
        "lost": st.just([{"event": "L"}]),
        "ttc_from": st.just("shortest"),
    }.items():
        if draw(st.booleans()):
            asked[key] = draw(values)
    if draw(st.booleans()):
        asked |= {"scope": "session", "count": draw(st.sampled_from(["profiles", "sessions"]))}
        if asked["count"] == "sessions":
            asked.pop("hold_constant", None)  # a lane is then a session and an item
    shape = draw(st.sampled_from(["grace", "optional", "plain"]))
    if shape == "grace":
        asked["grace"] = draw(st.integers(1, 3))
    for k, step in enumerate(steps):
        if k and draw(st.integers(0, 2)) == 0:
            step["gap"] = draw(st.integers(0, 4))
        if shape == "optional" and 0 < k < size - 1:
            step["optional"] = draw(st.booleans())
    return asked


def request_of(asked: Mapping[str, Any]) -> FunnelRequest:
    said = {k: f"PT{v}S" if k in ("window", "grace") else v for k, v in asked.items()}
    said["steps"] = [
        {**{k: v for k, v in step.items() if k != "gap"}}
        | ({"max_gap": f"PT{step['gap']}S"} if "gap" in step else {})
        for step in asked["steps"]
    ]
    return FunnelRequest.model_validate({**said, "session_gap": "PT2S"})


def crowd_of(seed: int) -> tuple[list[list[Event]], list[dict[str, Any]]]:
    """Forty random people, for the reference and as shuffled rows."""
    dice = random.Random(seed)  # noqa: S311 - reproducible histories, not a secret
    crowd: list[list[Event]] = []
    rows: list[dict[str, Any]] = []
    for person in range(40):
        at = session = 0
        crowd.append([])
        for place in range(dice.randrange(14)):
            step = dice.choice([0, 0, 1, 1, 2, 3])
            at, session = at + step, session + (step > 2)
            item = dice.choice(["x", "x", "y", None])
            crowd[-1].append(Event(dice.choice("AABBCCL"), at, item, session))
            rows.append(
                {
                    "person_id": person,
                    "name": crowd[-1][-1].name,
                    "occurred_at": START + timedelta(seconds=at),
                    "source_seq": place,
                    "properties": json.dumps({"item": item}),
                }
            )
    dice.shuffle(rows)
    return crowd, rows


@pytest.mark.long
@settings(max_examples=120, deadline=None)
@given(asked=questions(), seed=st.integers(0, 2**32), as_of=st.sampled_from([3, 8, 12, 40]))
def test_duckdb_equals_the_plain_reference_for_every_further_choice(
    asked: dict[str, Any], seed: int, as_of: int, history: History
) -> None:
    compare(asked, seed, as_of, history)


@pytest.mark.parametrize("seed", range(6))
def test_a_few_questions_every_day(seed: int, history: History) -> None:
    gap = {"match": {"event": "B"}, "gap": 3}
    plain = [{"match": {"event": "A"}}, gap, {"match": {"event": "C"}}]
    optional = [plain[0], {**gap, "optional": True}, plain[2]]
    more = {"window": 9, "hold_constant": ["item"], "lost": [{"event": "L"}]}
    compare({"steps": plain, "entry": "best", "grace": 2, **more}, seed, 12, history)
    compare({"steps": optional, "entry": "first", "scope": "session"}, seed, 12, history)


def compare(asked: Mapping[str, Any], seed: int, as_of: int, history: History) -> None:
    crowd, rows = crowd_of(seed)
    connection, request = history(rows), request_of(asked)
    moment = START + timedelta(seconds=as_of)
    kept = [
        (person, attempt)
        for person, events in enumerate(crowd)
        for attempt in chosen(asked, [e for e in events if e.at <= as_of], as_of)
    ]
    result = funnel(connection, request, as_of=moment)
    for number, step in enumerate(asked["steps"], start=1):
        behind = [
            person
            for person, a in kept
            if (number in a.took if step.get("optional") else a.depth >= number)
        ]
        assert result.steps[number - 1].n == len(behind)
        assert people(connection, request, as_of=moment, step=number) == sorted(set(behind))
    statuses = Counter(a.status for _, a in kept)
    found = result.status.model_dump()
    assert {k: n for k, n in found.items() if n and k != "entered"} == dict(statuses)
    assert found["entered"] == len(kept)
    seconds = sum(a.seconds for _, a in kept if a.status == "converted")
    assert round((result.ttc.mean or 0) * result.ttc.n) == seconds
    connection.close()
