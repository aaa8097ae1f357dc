"""The funnel's documented cases: other products' own examples, edges, refusals."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError

from app.journeys.funnel import funnel, people
from app.journeys.funnel_answer import FunnelResult
from app.journeys.funnel_request import FunnelRequest

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]

START = datetime(2026, 1, 1, 13, tzinfo=UTC)
LATER = START + timedelta(days=365)


def seconds(events: str | Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """«ABC» is one event a second."""
    return [(name, at) for at, name in enumerate(events)] if isinstance(events, str) else [*events]


def ask(
    history: History,
    events: str | Sequence[tuple[str, int]],
    steps: str = "ABC",
    as_of: datetime = LATER,
    **options: Any,
) -> FunnelResult:
    connection = history(
        [
            {"name": name, "occurred_at": START + timedelta(seconds=at)}
            for name, at in seconds(events)
        ]
    )
    request = {"steps": [{"event": step} for step in steps], **options}
    return funnel(connection, FunnelRequest.model_validate(request), as_of=as_of)


def depth(result: FunnelResult) -> int:
    return sum(step.n > 0 for step in result.steps)


@pytest.mark.parametrize(
    ("events", "loose", "strict"),
    [
        ("ABC", 3, 3),
        ("ADBC", 3, 1),
        ("AABBCC", 3, 3),
        ("AAAABBCC", 3, 3),
        ("AABBDCC", 3, 2),
        ("BBCCAA", 1, 1),
        ("AXABC", 3, 3),
    ],
)
def test_the_truth_table_of_clickhouse_pull_request_9773_holds(
    history: History, events: str, loose: int, strict: int
) -> None:
    assert depth(ask(history, events)) == loose
    assert depth(ask(history, events, order="strict")) == strict


def test_mixpanels_documented_case_depends_on_the_entry_rule(history: History) -> None:
    events = [("A", 0), ("A", 1800), ("B", 2700), ("C", 4500)]
    assert depth(ask(history, events, window="PT1H", entry="first")) == 2
    assert depth(ask(history, events, window="PT1H", entry="best")) == 3


def test_amplitudes_documented_case_depends_on_the_entry_rule(history: History) -> None:
    events = [("A", 0), ("A", 3600), ("B", 24 * 3600 + 1800)]
    assert depth(ask(history, events, "AB", window="P1D", entry="first")) == 1
    assert depth(ask(history, events, "AB", window="P1D", entry="best")) == 2


def test_the_last_second_of_the_window_is_inside(history: History) -> None:
    assert depth(ask(history, [("A", 0), ("B", 3600)], "AB", window="PT1H")) == 2
    assert depth(ask(history, [("A", 0), ("B", 3601)], "AB", window="PT1H")) == 1


@pytest.mark.parametrize(
    ("order", "events", "expected"),
    [
        ("loose", "AB", 1),
        ("loose", "AAB", 3),
        ("loose", "ABA", 2),
        ("strict", "AB", 1),
        ("strict", "AAB", 3),
        ("any", "A", 1),
        ("any", "AB", 2),
        ("any", "ABA", 3),
    ],
)
def test_one_event_never_serves_two_steps(
    history: History, order: str, events: str, expected: int
) -> None:
    assert depth(ask(history, events, "AAB", order=order)) == expected


def test_an_exclusion_ends_the_attempt_or_removes_the_person(history: History) -> None:
    excluded: dict[str, Any] = {"match": {"event": "X"}}
    dropping = ask(history, "AXAB", "AB", exclusions=[excluded])
    assert [step.n for step in dropping.steps] == [1, 1]
    first = ask(history, "AXAB", "AB", exclusions=[excluded], entry="first")
    assert [step.n for step in first.steps] == [1, 0]
    assert first.status.excluded == 1
    every = ask(history, "AXAB", "AB", exclusions=[excluded], entry="every")
    assert [step.n for step in every.steps] == [2, 1]
    removing = ask(history, "AXAB", "AB", exclusions=[{**excluded, "effect": "remove"}])
    assert [step.n for step in removing.steps] == [0, 0]
    assert removing.status.removed == 1
    assert removing.status.entered == 0


def test_an_exclusion_reigns_only_between_its_steps(history: History) -> None:
    between = {"match": {"event": "X"}, "after_step": 2, "before_step": 3}
    assert depth(ask(history, "AXBC", exclusions=[between])) == 3
    assert depth(ask(history, "ABXC", exclusions=[between])) == 2
    assert depth(ask(history, "ABCX", exclusions=[between])) == 3
    late = [("A", 0), ("B", 5), ("X", 20)]
    assert ask(history, late, window="PT10S", exclusions=[between]).status.dropped == 1


@pytest.mark.parametrize(
    ("events", "options", "expected"),
    [
        ("ABABC", {"order": "strict"}, [2, 2, 1]),
        ("ABABC", {}, [1, 1, 1]),
        ("ABCABC", {}, [2, 2, 2]),
        (
            [("A", 0), ("B", 5), ("A", 10), ("A", 11), ("B", 12), ("C", 13)],
            {"window": "PT10S"},
            [2, 2, 1],
        ),
        ("ABABC", {"exclusions": [{"match": {"event": "A"}}]}, [2, 2, 1]),
    ],
)
def test_every_starts_again_where_the_last_attempt_ended(
    history: History, events: Any, options: dict[str, Any], expected: list[int]
) -> None:
    # The event that ended an attempt took no step, so it may open the next; a conversion may not.
    result = ask(history, events, entry="every", **options)
    assert [step.n for step in result.steps] == expected


def test_nobody_entering_gives_null_rates_not_zero(history: History) -> None:
    result = ask(history, "BC")
    assert [step.n for step in result.steps] == [0, 0, 0]
    assert result.steps[1].from_previous is None
    assert result.steps[1].from_first is None
    assert result.rates.raw is None
    assert result.rates.closed is None
    assert result.ttc.p50 is None
    assert result.ttc.mean is None


def test_the_window_closes_after_its_last_instant(history: History) -> None:
    for age, status in ((10, "in_progress"), (11, "dropped")):
        as_of = START + timedelta(seconds=age)
        found = ask(history, "A", "AB", as_of=as_of, window="PT10S").status.model_dump()
        assert found[status] == 1


def test_a_person_is_in_progress_while_any_attempt_may_still_convert(history: History) -> None:
    events = [("A", 0), ("B", 1), ("A", 100)]
    result = ask(history, events, window="PT10S", as_of=START + timedelta(seconds=105))
    assert [step.n for step in result.steps] == [1, 1, 0]
    assert result.status.in_progress == 1


def test_without_a_window_nothing_is_ever_called_dropped(history: History) -> None:
    assert ask(history, "AB").status.in_progress == 1
    assert ask(history, "ADB", order="strict").status.dropped == 1


def test_the_range_selects_entries_and_not_what_follows(history: History) -> None:
    events = [("A", 0), ("A", 10), ("B", 20)]
    moments = [START + timedelta(seconds=at) for at in (0, 10, 20)]
    entries = {"from": moments[0], "to": moments[1]}
    assert ask(history, events, "AB", range=entries).ttc.p50 == 20.0
    assert ask(history, events, "AB", range={"from": moments[1]}).ttc.p50 == 10.0
    assert ask(history, events, "AB", range={"from": moments[2]}).steps[0].n == 0


def test_a_late_event_changes_today_and_not_yesterday(history: History) -> None:
    yesterday, today = START + timedelta(days=1), START + timedelta(days=2)
    known = [{"name": "A", "occurred_at": START}]
    late = {"name": "B", "occurred_at": START + timedelta(hours=1), "received_at": today}
    request = FunnelRequest.model_validate({"steps": [{"event": "A"}, {"event": "B"}]})
    stored = funnel(history(known), request, as_of=yesterday).model_dump_json()
    after = history([*known, late])
    assert funnel(after, request, as_of=yesterday).model_dump_json() == stored
    assert funnel(after, request, as_of=today).status.converted == 1
    earlier = request.model_copy(update={"as_of": yesterday})
    assert funnel(after, earlier, as_of=today).status.converted == 0


def test_a_request_cannot_ask_for_a_later_moment_than_is_known(history: History) -> None:
    request = FunnelRequest.model_validate({"steps": [{"event": "A"}], "as_of": LATER})
    assert funnel(history([]), request, as_of=START).as_of == START


def test_ties_fall_as_the_source_sent_them_whatever_the_row_order(history: History) -> None:
    rows = [
        {"name": name, "occurred_at": START, "source_seq": place}
        for place, name in enumerate("ABC")
    ]
    request = FunnelRequest.model_validate({"steps": [{"event": name} for name in "ABC"]})
    for order in (rows, rows[::-1], [rows[1], rows[2], rows[0]]):
        assert depth(funnel(history(order), request, as_of=LATER)) == 3
    backwards = [{**row, "source_seq": -row["source_seq"]} for row in rows]  # type: ignore[operator] # the dicts hold objects
    assert depth(funnel(history(backwards), request, as_of=LATER)) == 1


def test_every_choice_is_echoed(history: History) -> None:
    echoed = ask(history, "ABC", window="P7D", entry="every").model_dump(mode="json")
    assert echoed["semantics"] == {
        "unit": "profile",
        "counted": "attempts",
        "preset": None,
        "entry": "every",
        "order": "loose",
        "anchored": True,
        "assignment": "greedy: each step takes the earliest later event that fits",
        "step_k": "reached step k in order",
        "window": "P7D",
        "window_from": "entry",
        "window_inclusive": True,
        "max_gaps": {},
        "optional": [],
        "range": "selects entries, half-open",
        "ties": "source_order",
        "best_tie": "earliest entry",
        "collapse": False,
        "strict_repeats": "an event that fits the step just taken is no interruption",
        "any_assignment": "in written order, each step takes its earliest free event",
        "one_event_one_step": True,
        "grace": "PT0S",
        "hold_constant": [],
        "scope": "journey",
        "session_gap": None,
        "exclusions": [],
        "universe": None,
        "in_progress": "an attempt that can still convert at as_of",
        "lost": None,
        "incidence": None,
        "breakdown": None,
        "durations": "calendar",
        "quantile": "exact, type 7, to the microsecond",
    }
    assert json.dumps(echoed["definition_hash"]).startswith('"sha256:')


def test_steps_may_be_named_and_may_be_any_of_several(history: History) -> None:
    connection = history([{"name": "A", "occurred_at": START}, {"name": "C", "occurred_at": START}])
    request = FunnelRequest.model_validate(
        {
            "steps": [
                {"name": "Start", "match": {"event": "A"}},
                [{"event": "B"}, {"event": "C"}],
            ]
        }
    )
    result = funnel(connection, request, as_of=LATER)
    assert [(step.name, step.n) for step in result.steps] == [("Start", 1), (None, 1)]
    assert FunnelRequest.model_validate_json(request.model_dump_json()) == request


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": "P1M"},
        {"window": "P"},
        {"window": "PT"},
        {"window": "P1DT"},
        {"window": "7 days"},
        {"window": "P99999999999D"},
        {"steps": []},
        {"range": {"from": "2026-02-01", "to": "2026-02-01"}},
        {"range": {"from": "2026-02-01T00:00:00"}},
        {"exclusions": [{"match": {"event": "X"}, "after_step": 2}]},
        {"exclusions": [{"match": {"event": "X"}, "before_step": 3}]},
        {
            "order": "any",
            "steps": [{"event": n} for n in "ABC"],
            "exclusions": [{"match": {"event": "X"}, "after_step": 2}],
        },
        {"entry": "last"},
    ],
)
def test_a_request_that_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FunnelRequest.model_validate({"steps": [{"event": "A"}, {"event": "B"}], **wrong})


def test_durations_are_exact_to_the_microsecond() -> None:
    request = FunnelRequest.model_validate(
        {"steps": [{"event": "A"}], "window": "P1W2DT3H4M5.000006S"}
    )
    assert request.window == timedelta(
        weeks=1, days=2, hours=3, minutes=4, seconds=5, microseconds=6
    )


def test_asking_who_reached_a_step_that_does_not_exist_is_refused(history: History) -> None:
    request = FunnelRequest.model_validate({"steps": [{"event": "A"}]})
    with pytest.raises(ValueError, match="steps 1 to 1"):
        people(history([]), request, as_of=LATER, step=2)
