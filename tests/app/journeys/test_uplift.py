"""Uplift: a treatment that works on some alone, one that works on nobody, and Hillstrom's."""

import csv
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pytest
from pydantic import ValidationError
from scipy import optimize

from app.errors import AnalysisTooLarge, BucketInvalid
from app.journeys import learning
from app.journeys.qini import PARTS, qini
from app.journeys.uplift import people, uplift
from app.journeys.uplift_answer import UpliftResult
from app.journeys.uplift_request import UpliftQuery
from tests.app.journeys.conftest import connect
from tests.real_data import need

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]
START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = START + timedelta(days=365)
ASKED: dict[str, Any] = {
    "entry": {"event": "Assigned"},
    "treated": {"prop": "arm", "value": "mail"},
    "control": {"prop": "arm", "value": "none"},
    "outcome": {"event": "Visit"},
    "window": "P14D",
    "props": ["segment", "age"],
    "randomised": True,
}


def ask(connection: duckdb.DuckDBPyConnection, **more: Any) -> UpliftResult:
    return uplift(connection, UpliftQuery.model_validate({**ASKED, **more}), as_of=LATER)


def drawn(works: Callable[[str, bool], float], people: int = 1_600) -> list[dict[str, Any]]:
    """People of two segments who are drawn by lot; `works` says how likely each visits."""
    dice = random.Random(11)  # noqa: S311 - a reproducible history, not a secret
    rows = []
    for person in range(people):
        segment, treated = dice.choice("ab"), dice.random() < 0.5
        said = f'{{"segment": "{segment}", "age": {dice.randrange(60)}, "arm": "%s"}}'
        said = said % ("mail" if treated else "none")
        rows.append({"person_id": person, "name": "Assigned", "properties": said,
                     "occurred_at": START})  # fmt: skip
        if dice.random() < works(segment, treated):
            rows.append({"person_id": person, "name": "Visit",
                         "occurred_at": START + timedelta(days=1)})  # fmt: skip
    return rows


def test_those_whom_a_treatment_changes_are_found(history: History) -> None:
    rows = drawn(lambda segment, treated: 0.6 if treated and segment == "a" else 0.2)
    result = ask(history(rows))
    assert result.features == ("segment = a", "segment = b", "age") or result.features == (
        "segment = b", "segment = a", "age",
    )  # fmt: skip
    assert result.ranking is not None
    assert result.chance is not None
    assert result.effect is not None
    assert result.finds
    assert result.effect.difference == pytest.approx(0.2, abs=0.06)
    assert result.chance.interval[0] < 0 < result.chance.interval[1]
    top, last = result.bands[0], result.bands[-1]
    assert (top.difference or 0) > 0.25 > 0.15 > (last.difference or 0)
    assert sum(band.n for band in result.bands) == 1_600
    # The curve ends at the effect on everybody.
    end = result.treated.k - result.control.k * result.treated.n / result.control.n
    assert result.ranking.curve[-1] == pytest.approx(end / result.treated.n, abs=1e-9)
    # Asked again it is the same to the last digit, and each figure opens to its people.
    again = ask(history(rows))
    assert again == result
    query = UpliftQuery.model_validate(ASKED)
    for one in (result.treated, result.control, top.treated, top.control, last):
        assert len(people(history(rows), query, as_of=LATER, number=one.bucket)) == one.n
    for wrong in ("arm:other", "band:11", "band:x", "arm:[1,2]"):
        with pytest.raises(BucketInvalid):
            people(history(rows), query, as_of=LATER, number=wrong)


def test_where_a_treatment_changes_all_alike_the_ranking_finds_nobody(history: History) -> None:
    result = ask(history(drawn(lambda _, treated: 0.4 if treated else 0.2)))
    assert result.finds is False
    assert result.effect is not None
    assert result.effect.p < 1e-6


def test_numbers_beyond_all_bounds_are_names(history: History) -> None:
    rows = drawn(lambda segment, treated: 0.6 if treated and segment == "a" else 0.2)
    for row in rows:
        if row.get("properties"):
            row["properties"] = row["properties"].replace('"a"', "1e300").replace('"b"', '"nan"')
    result = ask(history(rows))
    assert set(result.features) == {"segment = 1e300", "segment = nan", "age"}
    assert result.finds


def test_thin_or_unfinished_draws_are_refused_and_say_why(history: History) -> None:
    few = ask(history(drawn(lambda _, treated: 0.02)))
    assert few.refused is not None
    assert "both must be 50 at least" in few.refused
    assert (few.ranking, few.finds, few.bands) == (None, None, ())
    rows = drawn(lambda _, treated: 0.5, people=400)
    same = ask(history(rows), props=["nothing"])
    assert same.refused == "the properties say the same of everybody, or nothing"
    query = UpliftQuery.model_validate(ASKED)
    early = uplift(history(rows), query, as_of=START + timedelta(days=13))
    assert (early.treated.n, early.control.n, early.in_progress) == (0, 0, 400)
    assert (early.effect, early.sample_ratio) == (None, None)
    refused: list[dict[str, Any]] = [
        {"randomised": False}, {"props": []}, {"control": ASKED["treated"]},
    ]  # fmt: skip
    for wrong in refused:
        with pytest.raises(ValidationError):
            UpliftQuery.model_validate({**ASKED, **wrong})


def test_more_than_can_be_read_are_refused_and_no_part_of_them_answers(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.journeys.uplift.MOST_PEOPLE", 399)
    with pytest.raises(AnalysisTooLarge, match="more than 399"):
        ask(history(drawn(lambda _, treated: 0.5, people=400)))


def test_qini_is_the_area_between_the_curve_and_chance() -> None:
    # Of the first half of the ranking half come with the treatment and none without; of the
    # second half nobody does: the curve rises to .25 in the middle and stays.
    n = 4_000
    place = np.arange(n)
    treated = place % 2 == 0
    came = treated & (place < n // 2) & (place % 4 == 0)
    found = qini(-place.astype(float), treated, came, 1)
    assert found.curve[PARTS // 2 - 1] == found.curve[-1] == pytest.approx(0.25)
    assert found.value == pytest.approx(0.0625, abs=1e-6)
    assert found.interval[0] < found.value < found.interval[1]
    turned = qini(place.astype(float), treated, came, 1)
    assert turned.value == pytest.approx(-0.0625, abs=1e-6)


@pytest.mark.long
def test_59_a_random_ranking_of_hillstrom_is_within_its_interval_of_0() -> None:
    file = need("data/journeys/hillstrom/hillstrom.csv")
    columns: dict[str, list[Any]] = {
        name: [] for name in ("person_id", "name", "occurred_at", "properties")
    }
    props = ("recency", "history", "mens", "womens", "zip_code", "newbie", "channel")
    with file.open(encoding="utf-8") as lines:
        for person, row in enumerate(csv.DictReader(lines)):
            known = ", ".join(f'"{name}": "{row[name]}"' for name in props)
            said = [("Assigned", f'{{"arm": "{row["segment"]}", {known}}}')]
            said += [("Visit", "{}")] if row["visit"] == "1" else []
            for second, (name, properties) in enumerate(said):
                for column, value in zip(
                    columns, (person, name, 1_000_000 * second, properties), strict=True
                ):
                    columns[column].append(value)
    n = len(columns["name"])
    columns |= {
        "event_id": list(range(n)), "type": ["track"] * n, "source": ["mail"] * n,
        "received_at": columns["occurred_at"], "source_seq": list(range(n)), "context": [None] * n,
    }  # fmt: skip
    connection = connect(columns)
    arms = {
        "treated": {"prop": "arm", "value": "Womens E-Mail"},
        "control": {"prop": "arm", "value": "No E-Mail"},
    }
    result = ask(connection, **arms, props=list(props))
    connection.close()
    # The effect is that of check 47: 15.14 against 10.62 % visit.
    assert result.effect is not None
    assert result.effect.difference == pytest.approx(0.0452, abs=5e-5)
    assert result.chance is not None
    assert result.ranking is not None
    assert result.chance.interval[0] < 0 < result.chance.interval[1]
    # Those who bought women's clothes visit because of it; the ranking finds them.
    assert result.finds
    assert result.ranking.qini > result.chance.interval[1]


def test_random_rankings_are_within_their_interval_of_0_as_often_as_it_says() -> None:
    dice = np.random.default_rng(5)
    n, inside = 4_000, 0
    treated = dice.random(n) < 0.5
    came = dice.random(n) < np.where(treated, 0.3, 0.2)
    for seed in range(200):
        low, high = qini(dice.random(n), treated, came, seed).interval
        inside += low < 0 < high
    assert 180 <= inside <= 200


@pytest.mark.parametrize(
    ("few", "of_all", "of_few"),
    [(60, 0.01, 1.0), (60, 0.01, 0.9), (200, 0.02, 0.95), (20, 0.005, 1)],
)
def test_a_rare_name_that_says_nearly_all_is_learnt(few: int, of_all: float, of_few: float) -> None:
    """Undamped, Newton's steps ran away: of 200 people with the name, 190 came, and their score
    was 1e-217. Held against SciPy's minimum of the same loss.
    """
    n, dice = 20_000, np.random.default_rng(1)
    features = np.column_stack([np.zeros(n), np.log1p(dice.poisson(2, n))])
    features[:few, 0] = np.log(2)
    outcome = (dice.random(n) < of_all).astype(float)
    outcome[:few] = dice.random(few) < of_few
    model = learning.fit(("rare", "often"), features, outcome)
    scores = model.scores(features)
    assert scores[:few].mean() == pytest.approx(outcome[:few].mean(), abs=0.02)
    assert scores.sum() == pytest.approx(outcome.sum())  # what the intercept gives
    rows = np.column_stack([(features - model.mean) / model.spread, np.ones(n)])
    ridge = np.array([learning.RIDGE, learning.RIDGE, 0])

    def loss(weights: Any) -> Any:
        odds = rows @ weights
        slope = rows.T @ (1 / (1 + np.exp(-odds)) - outcome) + ridge * weights
        return (np.logaddexp(0, odds) - outcome * odds).sum() + ridge @ weights**2 / 2, slope

    best = optimize.minimize(loss, np.zeros(3), jac=True, options={"gtol": 1e-8}).x
    assert [*model.weights, model.intercept] == pytest.approx(best, abs=1e-5)
