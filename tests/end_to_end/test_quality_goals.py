"""The goals of docs/quality.md, by the product's own command on each labelled set; no rivals."""

import pytest

from benchmarks.quality import SETS, product
from benchmarks.quality_page import GOALS, judged
from tests.real_data import need

pytestmark = pytest.mark.long
#: A minute or two each, as quiet as it may be.
BIG = {"pseudopeople", "cdp_graph"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.exhaustive if n in BIG else ()) for n in SETS],
)
def test_the_goals_of_a_labelled_set_are_met(name: str) -> None:
    found = product(name, need("data", "er", name, "records.parquet"))
    goals = list(judged(found))
    assert len(goals) > len(GOALS[name])
    assert [(what, measured) for what, met, measured in goals if not met] == []
