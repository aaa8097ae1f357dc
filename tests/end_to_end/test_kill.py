"""What was acknowledged is stored exactly once, whatever of the product is killed when."""

import random

import pytest

from tests.end_to_end.conftest import Measure
from tests.end_to_end.kills import Chaos, everybody
from tests.end_to_end.product import Product, Sender
from tests.end_to_end.test_sdk_delivery import timeline

pytestmark = pytest.mark.long

KILLS = 10


def test_ten_kills_under_load_lose_and_double_nothing_that_was_acknowledged(
    own_product: Product, measure: Measure
) -> None:
    result = Chaos(own_product, random.randrange(1_000_000)).run(KILLS)  # noqa: S311  # a seed
    measure("result", result.line())
    assert result.wrong == []
    assert (result.duplicates, result.lost) == (0, 0), result.line()
    assert result.stored == result.acknowledged, result.line()
    assert result.counted == result.stored, "the source's counters went through the same kills"
    assert result.kills.total() == KILLS
    assert result.acknowledged > 500

    reader = own_product.add_client(name="reader")
    Sender(own_product, own_product.add_source("after")).settled(60)
    found = everybody(lambda reference: timeline(reader, reference))
    assert set(found.values()) == {1}
    assert len(found) == result.stored
