"""A prediction needs times before it to learn from, and there are none before the year 1."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.errors import DefinitionInvalid
from app.journeys.prediction_request import PredictionQuery
from app.journeys.snapshots import moments


@pytest.mark.parametrize(
    ("as_of", "horizon"),
    [
        (datetime(1, 1, 2, tzinfo=UTC), timedelta(days=30)),
        (datetime(1, 1, 31, tzinfo=timezone(timedelta(hours=-14))), timedelta(days=10)),
    ],
)
def test_there_is_nothing_to_learn_from_before_the_first_year(
    as_of: datetime, horizon: timedelta
) -> None:
    asked = PredictionQuery.model_validate({"outcome": {"event": "Buy"}, "horizon": horizon})
    with pytest.raises(DefinitionInvalid, match="before the year 1"):
        moments(asked, as_of)


def test_the_first_moment_that_can_be_said_is_learnt_from() -> None:
    asked = PredictionQuery.model_validate({"outcome": {"event": "Buy"}, "horizon": "P1D"})
    west = timezone(timedelta(hours=-12))
    as_of = datetime(1, 1, 6, tzinfo=UTC).astimezone(west)
    past, _, now = moments(asked, as_of)
    assert [as_of - timedelta(microseconds=now - at) for at in past][-1].year == 1
