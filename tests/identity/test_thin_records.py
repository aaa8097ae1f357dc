"""Data too thin to learn from: matched as shipped, without a probability that is no number."""

import math
from collections.abc import Mapping

import pytest

from identity.splink_model import learn
from tests.identity.test_splink_model import ADA, sure, table, town

NOBODY: dict[str, str | None] = {}


def only(people: list[dict[str, str | None]], *fields: str) -> list[dict[str, str | None]]:
    return [{field: one.get(field) for field in fields} for one in people]


THIN: dict[str, list[dict[str, str | None]]] = {
    "no record": [],
    "one record": [ADA],
    "two strangers": town(2),
    "twenty strangers": town(20),
    "no field at all": [NOBODY] * 30,
    "one of twenty says something": [*[NOBODY] * 19, ADA],
    "first names alone": only(town(200), "first_name"),
    "dates alone": only(town(200), "birth_date"),
    "one town alone": only([ADA] * 50, "city"),
    "one name three hundred times": only([ADA] * 300, "first_name", "last_name"),
    "dates that no calendar has": [{**one, "birth_date": "1999-99-99"} for one in town(100)],
}


@pytest.mark.parametrize("name", THIN)
def test_nobody_is_merged_on_what_says_too_little(name: str) -> None:
    pairs, learnt = learn(table(THIN[name]), threshold=0.01)
    assert not sure(pairs)
    assert all(0 < pair.probability < 1 and math.isfinite(pair.weight) for pair in pairs)
    shares = [] if learnt is None else [*learnt.shares.m.values(), *learnt.shares.u.values()]
    assert all(0 < share <= 1 for level in shares for share in level)


@pytest.mark.parametrize("size", [1, 10])
def test_the_same_record_twice_is_one_person_in_ever_so_few(size: int) -> None:
    people: list[Mapping[str, str | None]] = [*town(size), *town(size)]
    pairs, _ = learn(table(people))
    assert sure(pairs) == {(i, i + size) for i in range(size)}
