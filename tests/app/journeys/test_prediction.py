"""Predictions: learnt from the past, judged on people and a time not seen, refused when thin."""

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pytest
from scipy import optimize

from app.errors import AnalysisTooLarge, BucketInvalid
from app.journeys import learning, snapshots
from app.journeys.prediction import PredictionResult, about, people, prediction
from app.journeys.prediction_request import PredictionQuery
from app.journeys.snapshots import moments, take

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]

pytestmark = pytest.mark.long

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=200)


def query(**said: Any) -> PredictionQuery:
    asked = {"outcome": {"event": "Buy"}, "horizon": "P20D", "lookback": "P40D", **said}
    return PredictionQuery.model_validate(asked)


def told(
    chance: random.Random, *, people_: int, linked: bool, sale: float = 1
) -> list[Mapping[str, Any]]:
    """People who look, more or less often; and buy, more often the more they look if `linked`, and
    so many times as often in a `sale` of the last twenty days."""
    rows: list[Mapping[str, Any]] = []
    for person in range(people_):
        keen = chance.random() ** 2
        for day in range(200):
            at = START + timedelta(days=day, seconds=chance.randrange(86_400))
            if chance.random() < 0.02 + 0.2 * keen:
                rows.append({"person_id": person, "name": "Look", "occurred_at": at})
            if chance.random() < (0.03 * keen if linked else 0.01) * (sale if day >= 180 else 1):
                rows.append({"person_id": person, "name": "Buy", "occurred_at": at})
    return rows


@pytest.fixture(scope="module")
def shop(history: History) -> duckdb.DuckDBPyConnection:
    return history(told(random.Random(1), people_=1_500, linked=True))  # noqa: S311 - reproducible


@pytest.fixture(scope="module")
def found(shop: duckdb.DuckDBPyConnection) -> PredictionResult:
    return prediction(shop, query(), as_of=END)


def test_what_it_says_is_what_comes(found: PredictionResult) -> None:
    """research/journeys.md §7, 58: a split by time, and calibration by tenths."""
    quality = found.quality
    assert found.refused is None
    assert quality is not None
    assert found.judged_at == END - timedelta(days=20)
    assert found.learnt_at == tuple(END - timedelta(days=days) for days in (40, 60, 80))
    assert quality.auc_interval[0] > 0.6
    assert quality.brier < quality.brier_of_base_rate
    assert quality.calibration_error < 0.05
    assert quality.lift_at_10_percent > 1.5
    assert len(quality.calibration) == 10
    covered = [one.interval[0] <= one.predicted <= one.interval[1] for one in quality.calibration]
    assert sum(covered) >= 7
    assert found.drift is not None
    assert found.drift < 0.1  # nothing has changed in this shop


def test_bands_open_to_their_people_and_scores_say_why(
    shop: duckdb.DuckDBPyConnection, found: PredictionResult
) -> None:
    assert sum(band.n for band in found.bands) == found.scored
    assert [band.band for band in found.bands] == list(range(1, 11))
    first, last = found.bands[0], found.bands[-1]
    assert first.low >= found.bands[1].high
    assert first.mean > 3 * last.mean
    likely = people(shop, query(), as_of=END, number=first.bucket)
    assert len(likely) == first.n
    said = about(shop, query(), END, likely[:5])
    assert list(said) == likely[:5]
    for one in said.values():
        assert first.low <= one["score"] <= first.high
        assert one["model"] == found.model
        assert len(one["reasons"]) == 3
    assert {"Look", "active days", "events"} & {
        reason["feature"] for one in said.values() for reason in one["reasons"]
    }
    with pytest.raises(BucketInvalid):
        people(shop, query(), as_of=END, number="band:11")


def test_the_same_question_has_the_same_bytes(
    shop: duckdb.DuckDBPyConnection, found: PredictionResult
) -> None:
    assert prediction(shop, query(), as_of=END).model_dump_json() == found.model_dump_json()


def test_people_by_portions_have_the_same_bytes_and_are_bounded(
    shop: duckdb.DuckDBPyConnection, found: PredictionResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of millions of people with a hundred names one table of all would fill the memory."""
    with monkeypatch.context() as small:
        small.setattr(snapshots, "PORTION", 37)
        small.setattr(snapshots, "BATCH", 11)
        assert prediction(shop, query(), as_of=END).model_dump_json() == found.model_dump_json()
    with monkeypatch.context() as small:
        rows = found.learnt_from * (4 + 2)  # two names of events
        small.setattr(snapshots, "MOST_NUMBERS", rows // 2)
        part = prediction(shop, query(), as_of=END)
        assert part.one_of in (2, 3)
        assert part.learnt_from < 0.6 * found.learnt_from
        assert part.scored == found.scored  # all are scored
    with monkeypatch.context() as small:
        small.setattr(snapshots, "MOST_PEOPLE", found.scored - 1)
        with pytest.raises(AnalysisTooLarge, match="more than"):
            prediction(shop, query(), as_of=END)


@pytest.mark.parametrize("first", [False, True])
def test_what_is_known_at_a_moment_is_what_one_counts_by_hand(
    history: History, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    monkeypatch.setattr(snapshots, "PORTION", 7)
    monkeypatch.setattr(snapshots, "BATCH", 5)
    rows = told(random.Random(4), people_=60, linked=True)  # noqa: S311 - reproducible
    at, back, ahead = START + timedelta(days=120), timedelta(days=10), timedelta(days=20)
    expected = {}
    for person in range(60):
        mine = [row for row in rows if row["person_id"] == person]
        here = [row for row in mine if at - back < row["occurred_at"] <= at]
        buys = [row["occurred_at"] for row in mine if row["name"] == "Buy"]
        if not here or (first and any(when <= at for when in buys)):
            continue
        seen = min(row["occurred_at"] for row in mine)
        expected[person] = (
            len(here),
            len({row["occurred_at"].date() for row in here}),
            (at - max(row["occurred_at"] for row in here)) / timedelta(days=1),
            min(at - seen, back) / timedelta(days=1),
            sum(row["name"] == "Buy" for row in here),
            sum(row["name"] == "Look" for row in here),
            any(at < when <= at + ahead for when in buys),
        )
    asked = query(lookback="P10D", first=first)
    moment = int(at.timestamp()) * 1_000_000
    whole = take(history(rows), asked, moment, END, names=("Buy", "Look"))
    assert 0 < len(expected) < 60
    assert whole.people.tolist() == list(expected)
    assert np.allclose(np.column_stack([whole.plain, whole.outcome]), list(expected.values()))
    some = list(expected)[3:20:5]
    part = take(history(rows), asked, moment, END, names=("Buy", "Look"), only=some)
    assert part.people.tolist() == some
    assert np.array_equal(part.plain, whole.plain[3:20:5])


def test_probabilities_that_are_by_half_too_wrong_are_refused(history: History) -> None:
    """A sale: who looks more buys more, as before, and all of them four times as often."""
    rows = told(random.Random(6), people_=600, linked=True, sale=4)  # noqa: S311 - reproducible
    found = prediction(history(rows), query(), as_of=END)
    assert found.quality is not None
    assert found.quality.auc_interval[0] > 0.6  # it ranks them well
    assert found.refused is not None
    assert found.refused.startswith("foretold that ")
    assert found.refused.endswith(f"{found.quality.positives} did")
    assert (found.bands, found.scored) == ((), 0)


def test_churn_is_the_rest_of_propensity(
    shop: duckdb.DuckDBPyConnection, found: PredictionResult
) -> None:
    churn = prediction(shop, query(predicts="churn"), as_of=END)
    assert churn.quality is not None
    assert found.quality is not None
    assert churn.quality.auc == pytest.approx(found.quality.auc, abs=1e-6)
    assert churn.expected == pytest.approx(churn.scored - (found.expected or 0), abs=0.01)


def test_nothing_that_happens_later_changes_what_was_known(
    history: History, shop: duckdb.DuckDBPyConnection
) -> None:
    """No feature is of the time after its snapshot: the outcome cannot leak into it."""
    _, judged_at, _ = moments(query(), END)
    rows = told(random.Random(1), people_=1_500, linked=True)  # noqa: S311 - the shop's own
    cut = START + timedelta(days=180)
    past = history([row for row in rows if row["occurred_at"] <= cut])
    one = take(shop, query(), judged_at, END, names=("Look", "Buy"))
    two = take(past, query(), judged_at, END, names=("Look", "Buy"))
    assert np.array_equal(one.people, two.people)
    assert np.array_equal(one.features, two.features)
    assert one.outcome.sum() > two.outcome.sum() == 0


def test_who_has_done_it_before_is_left_out_if_asked_for(
    shop: duckdb.DuckDBPyConnection,
) -> None:
    _, judged_at, _ = moments(query(), END)
    all_ = take(shop, query(), judged_at, END, names=("Buy",))
    first = take(shop, query(first=True), judged_at, END, names=("Buy",))
    assert 0 < len(first.people) < len(all_.people)
    assert first.plain[:, 4].sum() == 0


def test_too_thin_data_and_a_coin_are_refused(history: History) -> None:
    thin = prediction(
        history(told(random.Random(2), people_=30, linked=True)),  # noqa: S311 - reproducible
        query(), as_of=END,
    )  # fmt: skip
    assert thin.refused is not None
    assert thin.refused.startswith("too thin:")
    assert (thin.bands, thin.quality, thin.scored) == ((), None, 0)
    coin = history(told(random.Random(3), people_=400, linked=False))  # noqa: S311 - reproducible
    by_chance = prediction(coin, query(), as_of=END)
    assert by_chance.refused == "no better than chance on people it had not seen"
    assert by_chance.quality is not None
    with pytest.raises(BucketInvalid):
        people(coin, query(), as_of=END, number="band:1")
    empty = prediction(history([]), query(), as_of=END)
    assert empty.refused is not None


def test_the_weights_are_where_the_likelihood_is_greatest() -> None:
    draw = np.random.default_rng(5)
    rows = draw.normal(size=(400, 3)) * [1, 5, 0.1] + [0, 2, 9]
    outcome = (draw.random(400) < 1 / (1 + np.exp(-(rows[:, 0] - 0.2 * rows[:, 1])))).astype(float)
    model = learning.fit(("a", "b", "c"), rows, outcome)
    z = (rows - rows.mean(axis=0)) / rows.std(axis=0)

    def loss(w: Any) -> float:
        odds = z @ w[:3] + w[3]
        return float((np.logaddexp(0, odds) - outcome * odds).sum() + 0.5 * (w[:3] ** 2).sum())

    best = optimize.minimize(loss, np.zeros(4), tol=1e-12).x
    assert np.allclose([*model.weights, model.intercept], best, atol=1e-4)
    # A feature that separates all does not run away, and one that never changes weighs nothing.
    apart = learning.fit(("x", "y"), np.column_stack([outcome, np.ones(400)]), outcome)
    assert np.isfinite(apart.weights).all()
    assert apart.weights[1] == 0
    # Its mean is not its value to the last digit: divided by that, another value weighed all.
    same = learning.fit(("x", "y"), np.column_stack([rows[:, 0], np.full(400, np.log(3))]), outcome)
    assert same.spread[1] == 1
    assert learning.auc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([0, 0, 1, 1]))[0] == 0.875
