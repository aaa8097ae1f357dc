"""The funnel's further choices: each on the smallest history that tells it from its neighbour."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError

from app.journeys.funnel import funnel, people
from app.journeys.funnel_answer import FunnelResult, caveats
from app.journeys.funnel_request import FunnelRequest
from app.journeys.incidence import At, curve, quantile

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]
Told = tuple[str, float] | tuple[str, float, Mapping[str, Any]]

START = datetime(2026, 1, 1, 9, tzinfo=UTC)
LATER = START + timedelta(days=365)


def ask(
    history: History, *people: Sequence[Told], steps: Any = "ABC", as_of: float = 31e6, **said: Any
) -> FunnelResult:
    """A funnel over people told as (event, second, properties)."""
    rows = [
        {
            "person_id": person,
            "name": told[0],
            "occurred_at": START + timedelta(seconds=told[1]),
            "source_seq": place,
            "properties": json.dumps(told[2]) if len(told) > 2 else None,
        }
        for person, events in enumerate(people)
        for place, told in enumerate(events)
    ]
    named = [{"event": step} if isinstance(step, str) else step for step in steps]
    request = FunnelRequest.model_validate({"steps": named, **said})
    return funnel(history(rows), request, as_of=START + timedelta(seconds=as_of))


def counts(result: FunnelResult) -> list[int]:
    return [step.n for step in result.steps]


SHIRT, JEANS = {"item": "shirt"}, {"item": "jeans"}


def test_a_constant_property_ties_the_steps_to_one_item(history: History) -> None:
    browsing = [("A", 0, SHIRT), ("A", 1, JEANS), ("B", 2, JEANS)]
    assert counts(ask(history, browsing, steps="AB", hold_constant=["item"])) == [1, 1]
    crossed = [("A", 0, SHIRT), ("B", 1, JEANS)]
    assert counts(ask(history, crossed, steps="AB", hold_constant=["item"])) == [1, 0]
    assert counts(ask(history, crossed, steps="AB")) == [1, 1]
    first = ask(history, browsing, steps="AB", hold_constant=["item"], entry="first")
    assert counts(first) == [1, 0]
    every = ask(history, browsing, steps="AB", hold_constant=["item"], entry="every")
    assert counts(every) == [2, 1]


def test_an_event_without_the_constant_property_takes_no_part(history: History) -> None:
    without: list[Told] = [("A", 0), ("B", 1), ("A", 2, {"item": None})]
    assert counts(ask(history, without, steps="AB", hold_constant=["item"])) == [0, 0]


@pytest.mark.parametrize(("grace", "reached"), [("PT2S", [1, 1]), ("PT1S", [1, 0]), (None, [1, 0])])
def test_steps_within_the_grace_come_in_any_order(
    history: History, grace: str | None, reached: list[int]
) -> None:
    said: dict[str, Any] = {"grace": grace} if grace else {}
    assert counts(ask(history, [("B", 0), ("A", 1.5)], steps="AB", **said)) == reached


def test_no_event_serves_two_steps_within_the_grace_either(history: History) -> None:
    assert counts(ask(history, [("A", 0), ("B", 1)], steps="AAB", grace="PT9S")) == [1, 0, 0]
    assert counts(ask(history, [("A", 0), ("B", 1), ("A", 2)], steps="AAB", grace="PT9S")) == [
        1, 1, 1,
    ]  # fmt: skip


def test_a_gap_bounds_the_time_since_the_step_before(history: History) -> None:
    steps = ["A", {"match": {"event": "B"}, "max_gap": "PT5S"}, "C"]
    assert counts(ask(history, [("A", 0), ("B", 5), ("C", 99)], steps=steps)) == [1, 1, 1]
    assert counts(ask(history, [("A", 0), ("B", 6), ("C", 99)], steps=steps)) == [1, 0, 0]
    waiting = ask(history, [("A", 0)], steps=steps, as_of=5)
    over = ask(history, [("A", 0)], steps=steps, as_of=6)
    assert (waiting.status.in_progress, over.status.dropped) == (1, 1)


def test_an_optional_step_is_taken_on_the_way_or_passed_over(history: History) -> None:
    steps = ["A", {"match": {"event": "B"}, "optional": True}, "C"]
    with_it, without = [("A", 0), ("B", 1), ("C", 2)], [("A", 0), ("C", 1), ("B", 2)]
    result = ask(history, with_it, without, steps=steps)
    assert counts(result) == [2, 1, 2]
    assert [step.from_previous for step in result.steps] == [None, 0.5, 1.0]
    assert result.status.converted == 2


def test_lost_events_end_an_attempt_at_once(history: History) -> None:
    declined: list[Told] = [("A", 0), ("L", 1), ("B", 2)]
    assert ask(history, declined, steps="AB").status.converted == 1
    lost = ask(history, declined, steps="AB", lost=[{"event": "L"}], as_of=3)
    assert (lost.status.dropped, lost.status.in_progress) == (1, 0)


def test_any_order_without_an_anchor_starts_anywhere(history: History) -> None:
    backwards = [("B", 0), ("A", 1)]
    assert counts(ask(history, backwards, steps="AB", order="any")) == [1, 0]
    assert counts(ask(history, backwards, steps="AB", order="any", anchor=False)) == [1, 1]
    assert counts(ask(history, [("B", 0)], steps="AB", order="any", anchor=False)) == [1, 0]


def test_a_session_ends_attempts_and_can_be_counted(history: History) -> None:
    two = [("A", 0), ("B", 60), ("A", 7200), ("X", 8900), ("B", 10_600)]
    long = [("A", 0), ("B", 3600)]
    assert counts(ask(history, two, long, steps="AB")) == [2, 2]
    assert counts(ask(history, two, long, steps="AB", scope="session")) == [2, 1]
    sessions = ask(history, two, long, steps="AB", scope="session", count="sessions")
    assert (counts(sessions), sessions.semantics.counted) == ([3, 2], "sessions")


def test_the_shortest_conversion_can_give_the_time(history: History) -> None:
    twice = [("A", 0), ("A", 8), ("B", 10)]
    assert ask(history, twice, steps="AB").ttc.p50 == 10
    assert ask(history, twice, steps="AB", ttc_from="shortest").ttc.p50 == 2


def test_opening_hours_count_in_durations_and_not_in_windows(history: History) -> None:
    day = 86_400
    hours: dict[str, Any] = {"tz": "UTC", "hours": [("10:00", "12:00")]}
    # The 1st of January 2026 is a Thursday: on to Monday 11:00 there are 2 + 2 + 1 open hours.
    bought = [("A", 0.0), ("B", 4 * day + 7_200.0)]
    told: list[tuple[dict[str, Any], int]] = [
        ({}, 4 * day + 7_200),
        ({"opening_hours": hours}, 5 * 3_600),
    ]
    for said, seconds in told:
        found = ask(history, bought, steps="AB", window="P7D", **said)
        assert (found.ttc.p50, found.ttc.mean) == (seconds, seconds)
        assert ask(history, bought, steps="AB", window="P3D", **said).status.converted == 0
    assert found.semantics.durations == "opening_hours"
    closed = {**hours, "closed": ["2026-01-02"]}
    assert ask(history, bought, steps="AB", opening_hours=closed).ttc.p50 == 3 * 3_600
    mistaken: list[dict[str, Any]] = [
        {"tz": "Nowhere"},
        {"hours": [("12:00", "10:00")]},
        {"days": []},
    ]
    for wrong in mistaken:
        with pytest.raises(ValidationError):
            ask(history, bought, steps="AB", opening_hours=wrong)


def test_a_universe_hides_what_would_interrupt(history: History) -> None:
    noise: list[Told] = [("A", 0), ("bot", 1), ("B", 2)]
    assert counts(ask(history, noise, steps="AB", order="strict")) == [1, 0]
    universe = {"not": {"event": "bot"}}
    assert counts(ask(history, noise, steps="AB", order="strict", universe=universe)) == [1, 1]


def test_a_breakdown_has_a_row_for_those_without_a_value(history: History) -> None:
    people_: list[Sequence[Told]] = [
        [("A", 0, {"city": "Lyon"}), ("B", 1, {"city": "Nice"})],
        [("A", 0, {"city": "Lyon"})],
        [("A", 0), ("B", 1, {"city": "Nice"})],
        [("A", 0, {"city": "Metz"})],
        [("A", 0, {"city": 7})],
    ]

    def rows(**said: Any) -> list[tuple[Any, bool, tuple[int, ...]]]:
        result = ask(history, *people_, steps="AB", breakdown={"prop": "city", **said})
        assert counts(result) == [5, 2]
        assert sum(row.steps[0] for row in result.breakdown or ()) == 5
        return [(row.value, row.other, row.steps) for row in result.breakdown or ()]

    assert rows() == [
        ("Lyon", False, (2, 1)),
        ("Metz", False, (1, 0)),
        (7, False, (1, 0)),
        (None, False, (1, 1)),
    ]
    assert rows(limit=1) == [("Lyon", False, (2, 1)), (None, True, (2, 0)), (None, False, (1, 1))]
    assert rows(value="last")[0] == ("Nice", False, (2, 2))
    assert rows(step=2) == [("Nice", False, (2, 2)), (None, False, (3, 0))]


def test_incidence_counts_those_in_progress_while_they_were_seen(history: History) -> None:
    """Two at risk of four convert at 10 s, one of the two left at 30 s; one was seen for 20 s."""
    people_: list[Sequence[Told]] = [
        [("A", 0), ("B", 10)],
        [("A", 5), ("B", 15)],
        [("A", 20)],
        [("A", 0), ("B", 30)],
    ]
    result = ask(history, *people_, steps="AB", window="PT60S", entry="first", as_of=40)
    # 2/4 at 10 s; the third is seen until 20 s; then 1 of 1: all of the half that is left.
    assert result.rates.incidence == pytest.approx(0.5 + 0.5 * 1.0)
    assert (result.rates.raw, result.rates.closed) == (0.75, 1.0)
    lost = ask(
        history, *people_, [("A", 0), ("L", 20)], steps="AB", entry="first", as_of=40,
        lost=[{"event": "L"}],
    )  # fmt: skip
    # At 20 s two of three leave (one is lost, one no longer seen); what is left of one minus the
    # 2/5 that converted and the share that was lost converts at 30 s.
    assert lost.rates.incidence == pytest.approx(2 / 5 + 3 / 5 * 2 / 3)
    assert ask(history, *people_, steps="AB").rates.incidence is None


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ("posthog", {"entry": "best", "window": "P14D", "ttc_from": "shortest"}),
        ("mixpanel", {"entry": "first", "window": "P30D", "grace": "PT2S"}),
        ("amplitude", {"entry": "best", "grace": "PT1S"}),
        ("clickhouse", {"entry": "best", "grace": "PT0S"}),
    ],
)
def test_a_preset_sets_what_is_not_said_and_echoes_it(preset: str, said: dict[str, Any]) -> None:
    steps = [{"event": "A"}, {"event": "B"}]
    bars = [{"match": {"event": "X"}}]
    asked = {"steps": steps, "preset": preset, "exclusions": bars}
    request = FunnelRequest.model_validate(asked)
    body = request.model_dump(mode="json")
    assert {key: body[key] for key in said} == said
    assert request.exclusions[0].effect == ("remove" if preset == "posthog" else "drop")
    assert caveats(request)
    own = FunnelRequest.model_validate({**asked, "window": "P2D", "entry": "every"})
    assert (own.window, own.entry) == (timedelta(days=2), "every")
    assert FunnelRequest.model_validate(json.loads(request.model_dump_json())) == request


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"anchor": False}, "only order any"),
        ({"grace": "PT1S", "order": "strict"}, "needs order loose"),
        ({"count": "sessions"}, "needs scope session"),
        ({"count": "sessions", "scope": "session", "entry": "every"}, "two things"),
        ({"breakdown": {"prop": "x", "step": 3}}, "no such step"),
        ({"breakdown": {"prop": "x", "step": 2}, "order": "any"}, "only step 1"),
        ({"steps": [{"match": {"event": "A"}, "optional": True}]}, "cannot be optional"),
        ({"steps": [{"match": {"event": "A"}, "max_gap": "PT1S"}]}, "first step"),
    ],
)
def test_choices_that_mean_nothing_together_are_refused(
    said: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        FunnelRequest.model_validate({"steps": [{"event": "A"}, {"event": "B"}], **said})


def test_people_behind_an_optional_step_and_behind_those_who_went_no_further(
    history: History,
) -> None:
    connection = history(
        [
            {"person_id": person, "name": name, "occurred_at": START + timedelta(seconds=at)}
            for person, names in enumerate(["ABC", "AC", "AB", "A"])
            for at, name in enumerate(names)
        ]
    )
    steps = [{"event": "A"}, {"match": {"event": "B"}, "optional": True}, {"event": "C"}]
    request = FunnelRequest.model_validate({"steps": steps})
    assert people(connection, request, as_of=LATER, step=2) == [0, 2]
    assert people(connection, request, as_of=LATER, step=1, exactly=True) == [3]
    assert people(connection, request, as_of=LATER, step=3) == [0, 1]


def test_the_estimate_is_that_of_the_textbooks() -> None:
    """Freireich's 6-MP arm (1963), as in every course: S(6) = .857, S(10) = .753, S(23) = .448."""
    events = {6: 3, 7: 1, 10: 1, 13: 1, 16: 1, 22: 1, 23: 1}
    seen = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    rows = [At(time, events.get(time, 0), 0, seen.count(time)) for time in sorted({*events, *seen})]
    points = dict(curve(rows))
    assert [round(1 - points[time], 3) for time in (6, 10, 23)] == [0.857, 0.753, 0.448]
    assert quantile(list(points.items()), 0.5) == 23
