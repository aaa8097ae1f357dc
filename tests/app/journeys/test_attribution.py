"""Attribution: Adobe's example, paths told apart, and a plain reference on random histories."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError

from app.errors import BucketInvalid
from app.journeys.attribution import AttributionResult, people
from app.journeys.attribution import attribution as compute
from app.journeys.attribution_request import MODELS, AttributionQuery

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]

Shared = dict[str, float]
RULES = ("first", "last", "linear", "position", "time_decay", "shapley")

START = datetime(2026, 9, 10, tzinfo=UTC)
LATE = START + timedelta(days=1_000)
BOUGHT = {"event": "Bought"}


def at(days: float) -> datetime:
    return START + timedelta(days=days)


def crowd(
    history: History, *people_: Sequence[tuple[str, float]], worth: str | None = None
) -> duckdb.DuckDBPyConnection:
    return history(
        [
            {
                "person_id": person,
                "name": name,
                "occurred_at": at(days),
                "source_seq": place,
                "properties": worth if name == "Bought" else None,
            }
            for person, told in enumerate(people_)
            for place, (name, days) in enumerate(told)
        ]
    )


def query(**said: Any) -> AttributionQuery:
    return AttributionQuery.model_validate({"conversion": BOUGHT, "label": "event", **said})


def ask(connection: duckdb.DuckDBPyConnection, as_of: datetime = LATE, **said: Any) -> Any:
    result = compute(connection, query(**said), as_of=as_of)
    reconciled(result)
    return result


def reconciled(result: AttributionResult) -> None:
    """Whatever the model, credits and what has no touch are all conversions and all their value."""
    for model, total in result.sums.items():
        assert total.conversions + result.unattributed == pytest.approx(
            result.conversions, abs=1e-9
        ), model
        if result.value is not None:
            assert (total.value or 0) + (result.unattributed_value or 0) == pytest.approx(
                result.value, abs=1e-6
            ), model
    assert result.unattributed == result.conversions - result.paths["converted"]


def credits(result: AttributionResult, model: str) -> dict[str | None, float]:
    return {one.label: one.credits[model].conversions for one in result.channels}


ADOBE = [("paid search", 0), ("social", 3), ("e-mail", 9), ("display", 9), ("Bought", 9)]


def test_adobes_example_is_shared_out_as_adobe_shares_it(history: History) -> None:
    """research/journeys.md §7, 40."""
    result = ask(crowd(history, ADOBE, worth='{"total": 50}'), value="total")
    order = ("display", "e-mail", "social", "paid search")
    value = {
        model: [
            round(one.credits[model].value, 2)
            for name in order
            for one in result.channels
            if one.label == name
        ]
        for model in result.sums
    }
    assert value["linear"] == [12.5] * 4
    assert value["j_shaped"] == [30, 5, 5, 10]
    assert value["inverse_j"] == [10, 5, 5, 30]
    assert value["position"] == [20, 5, 5, 20]
    assert value["time_decay"] == [16.88, 16.88, 9.32, 6.92]
    assert (value["first"], value["last"]) == ([0, 0, 0, 50], [50, 0, 0, 0])


def test_two_touches_and_one_have_shares_of_their_own(history: History) -> None:
    two = ask(crowd(history, [("A", 0), ("B", 1), ("Bought", 2)]))
    assert credits(two, "position") == {"A": 0.5, "B": 0.5}
    assert credits(two, "j_shaped") == {"A": 0.25, "B": 0.75}
    assert credits(two, "inverse_j") == {"A": 0.75, "B": 0.25}
    one = ask(crowd(history, [("A", 0), ("Bought", 2)]))
    assert {model: credits(one, model) for model in MODELS} == {m: {"A": 1.0} for m in MODELS}


def test_a_path_is_lost_only_when_the_look_back_is_over(history: History) -> None:
    connection = crowd(history, [("A", 0), ("B", 5)])
    open_ = ask(connection, as_of=at(35))
    assert open_.paths == {"converted": 0, "lost": 0, "in_progress": 1}
    assert ask(connection, as_of=at(35) + timedelta(microseconds=1)).paths["lost"] == 1
    assert open_.absent == {
        "markov": "no conversion has a touch",
        "shapley_rate": "no conversion has a touch",
    }


def test_the_look_back_includes_its_last_instant_and_what_lies_before_it_is_told(
    history: History,
) -> None:
    exact = ask(crowd(history, [("A", 0), ("Bought", 30)]))
    assert (exact.unattributed, exact.too_early) == (0, 0)
    beyond = ask(crowd(history, [("A", 0), ("Bought", 30.001)]))
    # The touch led to nothing in time: a lost path, and a conversion that nothing is known of.
    assert (beyond.unattributed, beyond.paths["lost"]) == (1, 1)
    long = ask(crowd(history, [("A", 0), ("B", 20), ("Bought", 40)]))
    assert (long.too_early, long.paths) == (1, {"converted": 1, "lost": 0, "in_progress": 0})
    assert credits(long, "first") == {"B": 1.0}


def test_every_conversion_has_the_touches_since_the_one_before(history: History) -> None:
    told = [("A", 0), ("Bought", 1), ("B", 2), ("Bought", 3), ("Bought", 4), ("A", 5)]
    result = ask(crowd(history, told), as_of=at(6))
    assert (result.conversions, result.converters, result.unattributed) == (3, 1, 1)
    assert credits(result, "linear") == {"A": 1.0, "B": 1.0}
    assert result.paths == {"converted": 2, "lost": 0, "in_progress": 1}
    first = ask(crowd(history, told), as_of=at(6), range={"from": at(0), "to": at(3)})
    assert (first.conversions, credits(first, "linear")) == (1, {"A": 1.0})


def test_the_last_that_is_not_direct_is_the_last_where_all_are(history: History) -> None:
    connection = crowd(
        history,
        [("A", 0), ("direct", 1), ("Bought", 2)],
        [("direct", 0), ("direct", 1), ("Bought", 2)],
    )
    assert credits(ask(connection), "last") == {"direct": 2.0, "A": 0.0}
    assert credits(ask(connection), "last_non_direct") == {"direct": 1.0, "A": 1.0}
    assert credits(ask(connection, direct=["A"]), "last_non_direct") == {"direct": 2.0, "A": 0.0}


def test_the_chain_worked_out_by_hand_gives_its_credits(history: History) -> None:
    """research/journeys.md §7, 41; names of channels may be anything, of states too."""
    names = ("=", "start", "lost")
    one, two, three = names
    result = ask(
        crowd(
            history,
            [(one, 0), (two, 1), (three, 2), ("Bought", 3)],
            [(one, 0)],
            [(two, 0), (three, 1)],
        )
    )
    assert credits(result, "markov") == pytest.approx({one: 0.2, two: 0.4, three: 0.4}, abs=1e-12)
    assert {c.label: c.removal_effect for c in result.channels} == pytest.approx(
        {one: 0.5, two: 1.0, three: 1.0}, abs=1e-12
    )
    assert result.chain_conversion == pytest.approx(1 / 3)
    assert credits(result, "shapley") == pytest.approx(dict.fromkeys(names, 1 / 3))


def test_labels_beyond_the_limit_are_one_other(history: History) -> None:
    connection = crowd(history, [("A", 0), ("A", 1), ("B", 2), ("C", 3), ("Bought", 4)], [("A", 0)])
    result = ask(connection, max_labels=1)
    assert credits(result, "linear") == {"A": 0.5, None: 0.5}
    assert credits(result, "shapley") == {"A": 0.5, None: 0.5}
    assert people(connection, query(max_labels=1), as_of=LATE, number="channel:[null]") == [0]


def test_many_channels_leave_the_game_of_rates_out_and_say_so(history: History) -> None:
    told = [(f"c{n}", n) for n in range(13)]
    result = ask(crowd(history, [*told, ("Bought", 14)]))
    assert result.absent == {"shapley_rate": "13 channels; it is solved for 12 at most"}
    assert set(result.sums) == set(MODELS) - {"shapley_rate"}
    assert credits(result, "markov") == pytest.approx({f"c{n}": 1 / 13 for n in range(13)})


def test_numbers_open_to_their_people(history: History) -> None:
    connection = crowd(
        history, [("A", 0), ("Bought", 1)], [("B", 0)], [("Bought", 0)], [("A", 989), ("1", 990)]
    )
    result = ask(connection)
    by = {one.label: one for one in result.channels}
    for label, expected in (("A", [0, 3]), ("B", [1]), ("1", [3])):
        assert by[label].profiles == len(expected)
        assert people(connection, query(), as_of=LATE, number=by[label].bucket) == expected
    for how, expected in (
        ("converted", [0]), ("lost", [1]), ("in_progress", [3]), ("unattributed", [2]),
    ):  # fmt: skip
        number = result.buckets[how]
        assert people(connection, query(), as_of=LATE, number=number) == expected
    for wrong in ("paths:x", "channel:", "step:1"):
        with pytest.raises(BucketInvalid):
            people(connection, query(), as_of=LATE, number=wrong)


def test_nothing_happened_gives_zeroes_and_no_rates(history: History) -> None:
    result = ask(history([]))
    assert (result.conversions, result.channels, result.chain_conversion) == (0, (), None)


def test_values_that_are_no_numbers_count_for_nothing(history: History) -> None:
    # The text "12.5" is no number here either: what a journey is worth must say the same.
    for said in ('{"total": "x"}', '{"total": 1e300}', '{"total": "12.5"}'):
        result = ask(crowd(history, ADOBE, worth=said), value="total")
        assert result.value == 0.0
        assert all(one.credits["linear"].value == 0 for one in result.channels)


def test_a_label_of_a_journey_needs_one() -> None:
    with pytest.raises(ValidationError, match="needs a journey"):
        AttributionQuery.model_validate({"conversion": BOUGHT})
    with pytest.raises(ValidationError):
        query(half_life="PT0S")


def reference(
    people_: Sequence[Sequence[tuple[str, float]]], lookback: float, now: float
) -> tuple[dict[str, Shared], Counter[str]]:
    """Credits and ends of paths, the slow way: one person, one conversion, one touch at a time."""
    models: dict[str, Shared] = {name: defaultdict(float) for name in RULES}
    ends: Counter[str] = Counter()
    for told in people_:
        segments: list[list[tuple[str, float]]] = [[]]
        won: list[float] = []
        for name, day in told:
            if name == "Bought":
                won.append(day)
                segments.append([])
            else:
                segments[-1].append((name, day))
        endings: list[float | None] = [*won, None]
        for segment, end in zip(segments, endings, strict=True):
            runs: list[list[tuple[str, float]]] = []
            for touch in segment:
                if runs and touch[1] - runs[-1][-1][1] <= lookback:
                    runs[-1].append(touch)
                else:
                    runs.append([touch])
            for run in runs:
                if end is not None and end - run[-1][1] <= lookback:
                    ends["converted"] += 1
                    shared(models, [t for t in run if end - t[1] <= lookback])
                else:
                    lost = end is not None or run[-1][1] + lookback < now
                    ends["lost" if lost else "in_progress"] += 1
    return models, ends


def shared(models: dict[str, Shared], kept: list[tuple[str, float]]) -> None:
    n = len(kept)
    decay = [2 ** ((day - kept[-1][1]) / 7) for _, day in kept]
    ends = {1: [1.0], 2: [0.5, 0.5]}.get(n, [0.4, *[0.2 / max(n - 2, 1)] * (n - 2), 0.4])
    for place, (name, _) in enumerate(kept):
        models["first"][name] += place == 0
        models["last"][name] += place == n - 1
        models["linear"][name] += 1 / n
        models["position"][name] += ends[place]
        models["time_decay"][name] += decay[place] / sum(decay)
    names = {name for name, _ in kept}
    for name in names:
        models["shapley"][name] += 1 / len(names)


@pytest.mark.parametrize("seed", range(3))
def test_random_histories_are_shared_out_as_by_the_reference(history: History, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a reproducible history, not a secret
    told = [
        sorted(
            [
                (chance.choice(["A", "B", "C", "D", "Bought"]), float(chance.randrange(0, 90)))
                for _ in range(chance.randrange(0, 14))
            ],
            key=lambda one: one[1],
        )
        for _ in range(40)
    ]
    result = ask(crowd(history, *told), as_of=at(95), lookback="P10D")
    models, ends = reference(told, 10, 95)
    assert result.paths == {how: ends[how] for how in ("converted", "lost", "in_progress")}
    for model, expected in models.items():
        found = {label: n for label, n in credits(result, model).items() if n}
        assert found == pytest.approx({k: v for k, v in expected.items() if v}, abs=1e-9), model
    again = compute(crowd(history, *told), query(lookback="P10D"), as_of=at(95))
    assert again.model_dump_json() == result.model_dump_json()
