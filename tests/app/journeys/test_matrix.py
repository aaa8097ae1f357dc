"""The matrix on histories small enough to count by hand."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from app.journeys.definition import Journey, current_stage
from app.journeys.funnel_request import TimeRange
from app.journeys.match import EventView
from app.journeys.matrix import matrix
from app.journeys.matrix_answer import MatrixCell, MatrixResult

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]

START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = START + timedelta(days=365)

JOURNEY: dict[str, Any] = {
    "key": "shop",
    "name": "Shop",
    # Written out of order on purpose: `order` rules, not the place in the list.
    "stages": [
        {"id": "use", "order": 30},
        {"id": "learn", "order": 10},
        {"id": "buy", "order": 20},
    ],
    "channels": ["web", "phone", "mail"],
    "touchpoints": [
        {"id": "visit", "stage": "learn", "channel": "web", "match": {"event": "visit"}},
        {"id": "ask", "stage": "learn", "channel": "phone", "match": {"event": "ask"}},
        {"id": "order", "stage": "buy", "channel": "web", "match": {"event": "order"}},
        {
            "id": "call",
            "stage": "buy",
            "channel": "phone",
            "match": {"event": "call"},
            "planned": False,
        },
        {"id": "letter", "stage": "use", "channel": "mail", "match": {"event": "letter"}},
        {
            "id": "rest",
            "stage": "use",
            "channel": "web",
            "match": {"type": "never"},
            "planned": False,
        },
    ],
}

# Seconds from the start; person 1 goes all the way, 2 stays at learn, 3 comes back to learn.
CROWD = {
    1: [("visit", 0), ("ask", 10), ("visit", 20), ("order", 50), ("other", 60), ("letter", 100)],
    2: [("visit", 0), ("visit", 5)],
    3: [("call", 0), ("visit", 40)],
}


def rows(crowd: Mapping[int, Sequence[tuple[str, int]]]) -> list[dict[str, Any]]:
    return [
        {"person_id": person, "name": name, "occurred_at": START + timedelta(seconds=at)}
        for person, events in crowd.items()
        for name, at in events
    ]


def cells(result: MatrixResult) -> dict[tuple[str, str], MatrixCell]:
    return {(cell.stage, cell.channel): cell for cell in result.cells}


def test_cells_come_by_stage_order_then_channel_and_none_is_missing(history: History) -> None:
    result = matrix(history(rows(CROWD)), Journey.model_validate(JOURNEY), as_of=LATER)
    assert [(cell.stage, cell.channel) for cell in result.cells] == [
        (stage, channel)
        for stage in ("learn", "buy", "use")
        for channel in ("web", "phone", "mail")
    ]
    assert [stage.id for stage in result.stages] == ["learn", "buy", "use"]


def test_a_cell_tells_who_came_how_and_where_they_went(history: History) -> None:
    result = matrix(history(rows(CROWD)), Journey.model_validate(JOURNEY), as_of=LATER)
    found = cells(result)
    visit = found["learn", "web"]
    assert (visit.profiles, visit.events) == (3, 5)
    assert visit.share_of_stage == 1.0
    assert visit.first_contact_share == 1.0
    assert visit.channel_out == {"phone": 1}
    assert visit.repeat_rate == 1 / 3
    # Visits of person 1 last 10 s (to ask) and 30 s (to order); the others' are not finished.
    assert visit.dwell.model_dump() == {"n": 2, "p50": 20.0, "p90": 28.0}
    assert found["learn", "phone"].share_of_stage == 1 / 3
    assert found["learn", "phone"].dwell.p50 == 10.0
    # Person 3 reached buy before ever learning: not an exit of learn.
    assert visit.exits == 2
    assert (found["buy", "web"].exits, found["buy", "web"].to_next_stage_rate) == (1, 1.0)
    assert (found["buy", "phone"].exits, found["buy", "phone"].to_next_stage_rate) == (1, 0.0)
    assert visit.to_next_stage_rate == 0.5
    assert (visit.dropped, visit.in_progress) == (1, 0)
    assert visit.drop_rate == 0.5


def test_totals_are_distinct_people_and_not_sums_of_cells(history: History) -> None:
    result = matrix(history(rows(CROWD)), Journey.model_validate(JOURNEY), as_of=LATER)
    web = next(channel for channel in result.channels if channel.id == "web")
    summed = sum(cell.profiles for cell in result.cells if cell.channel == "web")
    assert web.profiles == 3 < summed == 4
    assert result.profiles == 3
    assert sum(stage.events for stage in result.stages) == result.events - result.unmapped


def test_plan_and_observation_are_told_apart(history: History) -> None:
    without_letter = {1: CROWD[1][:5], 3: CROWD[3]}
    result = matrix(history(rows(without_letter)), Journey.model_validate(JOURNEY), as_of=LATER)
    status = {place: cell.status for place, cell in cells(result).items()}
    assert status["learn", "web"] == "planned+observed"
    assert status["use", "mail"] == "planned_not_observed"
    assert status["buy", "phone"] == "observed_not_planned"
    assert status["buy", "mail"] == status["use", "web"] == "none"


def test_what_people_say_stands_beside_what_is_counted(history: History) -> None:
    said: dict[str, Any] = {
        "visit": {"assessment": {"declared": "irritant"}},
        "letter": {"moment_of_truth": True},
    }
    points = [{**one, **said.get(one["id"], {})} for one in JOURNEY["touchpoints"]]
    journey = Journey.model_validate({**JOURNEY, "touchpoints": points})
    found = cells(matrix(history(rows(CROWD)), journey, as_of=LATER))
    beside = {place: [tuple(one.model_dump().values()) for one in cell.declared]
              for place, cell in found.items() if cell.declared}  # fmt: skip
    assert beside == {
        ("learn", "web"): [("visit", "irritant", False)],
        ("use", "mail"): [("letter", None, True)],
    }


def test_removing_a_rule_unmaps_exactly_its_events(history: History) -> None:
    connection = history(rows(CROWD))
    before = matrix(connection, Journey.model_validate(JOURNEY), as_of=LATER)
    fewer = {**JOURNEY, "touchpoints": JOURNEY["touchpoints"][1:]}
    after = matrix(connection, Journey.model_validate(fewer), as_of=LATER)
    assert (before.unmapped, after.unmapped) == (1, 1 + 5)
    assert before.unmapped_share == 1 / 10
    assert after.definition_hash != before.definition_hash


def test_silence_longer_than_usual_is_a_drop_and_shorter_is_in_progress(history: History) -> None:
    connection = history(rows(CROWD))
    journey = Journey.model_validate(JOURNEY)
    # Gaps at learn are 10, 10, 30 (person 1) and 5 s (person 2): p95 type 7 is 27 s.
    last = START + timedelta(seconds=5)
    for silence, expected in ((27, (0, 1)), (28, (1, 0))):
        known = CROWD | {1: CROWD[1][:4]}
        result = matrix(
            history(rows({2: known[2], 1: [(name, at - 60) for name, at in known[1]]})),
            journey,
            as_of=last + timedelta(seconds=silence),
        )
        assert result.stages[0].idle_after == 27.0
        visit = cells(result)["learn", "web"]
        assert (visit.dropped, visit.in_progress) == expected
    everyone = matrix(connection, journey, as_of=LATER)
    for cell in everyone.cells[:6]:
        moved = round((cell.to_next_stage_rate or 0) * cell.exits)
        assert cell.exits == moved + (cell.dropped or 0) + (cell.in_progress or 0)


def test_the_last_stage_has_nowhere_to_go(history: History) -> None:
    result = matrix(history(rows(CROWD)), Journey.model_validate(JOURNEY), as_of=LATER)
    letter = cells(result)["use", "mail"]
    assert letter.exits == 1
    assert letter.to_next_stage_rate is None
    assert letter.dropped is None
    assert letter.drop_rate is None


def test_the_current_stage_is_that_of_one_profiles_timeline(history: History) -> None:
    for rule in ("furthest", "latest"):
        journey = Journey.model_validate({**JOURNEY, "stage_rule": rule})
        result = matrix(history(rows(CROWD)), journey, as_of=LATER)
        expected = dict.fromkeys(("learn", "buy", "use"), 0)
        for events in CROWD.values():
            stage = current_stage(journey, [EventView("track", name, "web") for name, _ in events])
            assert stage is not None
            expected[stage.id] += 1
        assert {stage.id: stage.current for stage in result.stages} == expected


def test_the_range_is_half_open(history: History) -> None:
    connection = history(rows(CROWD))
    span = TimeRange(start=START + timedelta(seconds=10), end=START + timedelta(seconds=50))
    result = matrix(connection, Journey.model_validate(JOURNEY), as_of=LATER, range=span)
    assert result.events == 3
    assert cells(result)["buy", "web"].events == 0


def test_no_events_make_an_empty_matrix_and_no_rates(history: History) -> None:
    result = matrix(history([]), Journey.model_validate(JOURNEY), as_of=LATER)
    assert (result.profiles, result.events, result.pairs) == (0, 0, 0)
    assert result.unmapped_share is None
    assert result.switch_rate is None
    assert all(cell.share_of_stage is None and cell.dwell.p50 is None for cell in result.cells)
    assert (
        result.model_dump_json()
        == matrix(history([]), Journey.model_validate(JOURNEY), as_of=LATER).model_dump_json()
    )
