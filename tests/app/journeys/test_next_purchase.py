"""Next purchases: the published fit on CDNOW, what a plain simulation knows, and refusals."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import numpy as np
import pytest

from app.errors import BucketInvalid
from app.journeys import next_purchase as analysis
from app.journeys.answer_tables import tables
from app.journeys.buy_till_die import BgNbd, Customers
from app.journeys.next_purchase_request import NextPurchaseQuery
from tests.app.journeys.conftest import History
from tests.real_data import need

BUY = {"event": "Buy"}
START = datetime(2025, 1, 1, 12, tzinfo=UTC)


def bought(rows: Sequence[tuple[int, datetime]]) -> list[dict[str, Any]]:
    return [{"person_id": person, "name": "Buy", "occurred_at": at} for person, at in rows]


def test_57_the_model_fits_cdnow_as_published(history: History) -> None:
    """Fader, Hardie and Lee 2005, table 2; and what came in the 39 weeks after."""
    sample = need("data/journeys/cdnow/CDNOW_sample.txt")
    rows = [line.split() for line in sample.read_text().splitlines() if line.strip()]
    times = [(int(row[1]), datetime.strptime(row[2], "%Y%m%d").replace(tzinfo=UTC)) for row in rows]
    connection = history(bought(times))
    # Half of the 78 weeks are for learning, and the other half is what is foretold.
    query = NextPurchaseQuery.model_validate({"purchase": BUY, "horizon": "P273D"})
    middle = datetime(1997, 9, 30, 23, tzinfo=UTC)
    result = analysis.next_purchase(connection, query, as_of=middle)
    assert (result.profiles, result.repeaters) == (2_357, 946)
    found = result.parameters
    assert found is not None
    published = {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}
    assert {name: getattr(found, name) for name in published} == pytest.approx(published, rel=0.01)
    assert found.log_likelihood == pytest.approx(-9582.4, abs=0.1)
    # Judged by the second half, which it has not seen, it is not far from what came.
    end = datetime(1998, 6, 30, 23, tzinfo=UTC)
    quality = analysis.next_purchase(connection, query, as_of=end).quality
    assert quality is not None
    assert quality.n == 2_357
    later = {(who, at.date()) for who, at in times if at.date() > middle.date()}
    assert quality.observed == len(later)
    assert quality.expected == pytest.approx(quality.observed, rel=0.15)
    held = [one.observed for one in quality.calibration]
    assert held[0] > 3 * held[4] > held[9]


def _lives(people: int, weeks: int, seed: int) -> list[tuple[int, datetime]]:
    """Customers as the model has them: each with a rate and a risk of going of their own."""
    dice = random.Random(seed)  # noqa: S311 - a reproducible history, not a secret
    rows = []
    for person in range(people):
        rate, risk = dice.gammavariate(0.8, 1 / 4.0), dice.betavariate(1.2, 3.0)
        at = dice.uniform(0, weeks / 2)
        while at < weeks:
            rows.append((person, START + timedelta(weeks=at)))
            if at > 0 and dice.random() < risk and len(rows) > 1 and rows[-2][0] == person:
                break
            at += dice.expovariate(max(rate, 1e-9))
    return rows


def test_it_foretells_what_comes_to_people_who_are_as_the_model_says(history: History) -> None:
    rows = _lives(1_500, 100, seed=5)
    connection = history(bought(rows))
    query = NextPurchaseQuery.model_validate({"purchase": BUY, "horizon": "P140D"})
    now = START + timedelta(weeks=80)
    result = analysis.next_purchase(connection, query, as_of=now)
    assert result.refused is None
    answer = {"kind": "next-purchase", "result": result.model_dump(mode="json")}
    found = tables(answer)
    assert [row["band"] for row in found["table"]] == list(range(1, 11))
    assert len(found["quality.calibration"]) == 10
    known = {person for person, at in rows if at <= now}
    come = [(p, at.date()) for p, at in rows if p in known and now < at <= now + timedelta(140)]
    assert result.expected == pytest.approx(len(set(come)), rel=0.2)
    assert result.buyers == pytest.approx(len({person for person, _ in come}), rel=0.2)
    # The people of a band are as many as it says, everybody is in one, and each has own figures.
    bands = [analysis.people(connection, query, as_of=now, number=one.bucket)
             for one in result.bands]  # fmt: skip
    assert [len(band) for band in bands] == [one.n for one in result.bands]
    assert sorted(chain(*bands)) == sorted(known)
    said = analysis.about(connection, query, now, bands[0])
    assert set(said) == set(bands[0])
    mean = sum(one["expected"] for one in said.values()) / len(said)
    assert mean == pytest.approx(result.bands[0].expected)
    assert all(0 <= one["chance"] <= one["alive"] <= 1 for one in said.values())


def test_too_few_customers_are_refused(history: History) -> None:
    connection = history(bought(_lives(90, 100, seed=1)))
    query = NextPurchaseQuery.model_validate({"purchase": BUY})
    result = analysis.next_purchase(connection, query, as_of=START + timedelta(weeks=90))
    assert result.refused is not None
    assert (result.parameters, result.expected, result.bands) == (None, None, ())
    for number in ("band:1", "band:x", "who:1"):
        with pytest.raises(BucketInvalid):
            analysis.people(connection, query, as_of=START + timedelta(weeks=90), number=number)


def test_the_chance_of_a_purchase_is_that_of_a_simulation() -> None:
    """One customer: 3 repeats, the last at 20 of 30 weeks; a posterior by weighting draws."""
    model = BgNbd(r=0.8, alpha=4.0, a=1.2, b=3.0, log_likelihood=0.0)
    one = Customers(np.array([3.0]), np.array([20.0]), np.array([30.0]))
    dice = np.random.default_rng(3)
    rate, risk = dice.gamma(0.8, 1 / 4.0, 400_000), dice.beta(1.2, 3.0, 400_000)
    stayed = rate**3 * (1 - risk) ** 3 * np.exp(-rate * 30)
    gone = rate**3 * risk * (1 - risk) ** 2 * np.exp(-rate * 20)
    alive = stayed.sum() / (stayed + gone).sum()
    assert model.alive(one)[0] == pytest.approx(alive, rel=0.03)
    bought_again = (stayed * (1 - np.exp(-rate * 10))).sum() / (stayed + gone).sum()
    assert model.chance(one, 10.0)[0] == pytest.approx(bought_again, rel=0.03)
    assert model.expected(one, 10.0)[0] >= model.chance(one, 10.0)[0]
