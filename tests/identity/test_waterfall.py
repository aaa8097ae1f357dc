"""The waterfall of a pair, without Splink, is what Splink's comparison gives, to a millionth."""

from itertools import combinations

import pytest

from identity import splink_model, waterfall
from identity.blocking import Table
from identity.known import ScoredPair
from identity.learnt import Learnt
from tests.identity.test_splink_model import ADA, Person, table, town

CLOSE = 1e-6
STRANGERS = 500


def noisy() -> list[Person]:
    """A town, and one person in many spellings, so that every level of agreement is reached."""
    changes: list[Person] = [
        {},
        {"first_name": "lovelace", "last_name": "ada"},
        {"first_name": "a"},
        {"first_name": "adda", "last_name": "lovelaec"},
        {"last_name": "king lovelace", "birth_date": "1985-10-12"},
        {"birth_date": "1985-12-25"},
        {"birth_date": "1985-12-11", "email": "countess42@post.org"},
        {"birth_date": "1985-11-10", "email": "countes42@mail.net", "phone": "33700900123"},
        {"phone": "447700900132", "address": "14 marylebone rd"},
        {"address": "12 marylebone rd", "city": "bristol", "postcode": "BS12AB"},
        {"address": None, "city": None},
        {"address": None, "postcode": "NW25LS"},
        {"address": "3 elm st", "city": "bristol", "postcode": None},
        {"first_name": None, "email": None, "national_id": "2850775116"},
        {"national_id": "2850775161", "email": "ada.lovelace@mail.net"},
        {"email": "ada.lovelace@post.org", "phone": None},
    ]
    return [*town(STRANGERS), *({**ADA, **change} for change in changes)]


@pytest.fixture(scope="module")
def scored() -> tuple[Table, list[ScoredPair], Learnt]:
    people = table(noisy())
    pairs, learnt = splink_model.learn(people, threshold=0.0)
    assert learnt is not None
    return people, pairs, learnt


def test_every_pair_that_splink_scores_is_weighed_alike(
    scored: tuple[Table, list[ScoredPair], Learnt],
) -> None:
    people, pairs, learnt = scored
    found = waterfall.compare(people, [(p.left, p.right) for p in pairs], learnt)
    assert len(found) == len(pairs) >= 1_000
    for ours, splinks in zip(found, pairs, strict=True):
        assert (ours.left, ours.right) == (splinks.left, splinks.right)
        assert ours.waterfall.weight == pytest.approx(splinks.weight, abs=CLOSE)
        assert ours.waterfall.probability == pytest.approx(splinks.probability, abs=CLOSE)
        weights = {bar.name: bar.weight for bar in ours.waterfall.bars}
        assert weights == pytest.approx(splinks.evidence, abs=CLOSE)
        assert ours.rules, "a pair that blocking proposed shares a rule"


def test_bars_start_where_the_one_before_ends_and_sum_to_the_weight(
    scored: tuple[Table, list[ScoredPair], Learnt],
) -> None:
    people, pairs, learnt = scored
    for one in waterfall.compare(people, [(p.left, p.right) for p in pairs[:200]], learnt):
        bars = one.waterfall.bars
        assert bars[0].name == "prior"
        assert bars[-1].name == "household"
        at = 0.0
        for bar in bars:
            assert bar.start == at
            at = bar.end
            assert (bar.level is None) == (bar.name in ("prior", "household"))
        assert at == pytest.approx(one.waterfall.weight, abs=CLOSE)
        assert sum(bar.weight for bar in bars) == pytest.approx(one.waterfall.weight, abs=CLOSE)


def test_nearly_every_level_of_agreement_was_reached(
    scored: tuple[Table, list[ScoredPair], Learnt],
) -> None:
    people, _, learnt = scored
    everybody = list(combinations(range(STRANGERS, people.num_rows), 2))
    levels = {
        (bar.name, bar.level)
        for one in waterfall.compare(people, everybody, learnt)
        for bar in one.waterfall.bars
    }
    assert {
        ("first_name", "swapped"),
        ("first_name", "initial"),
        ("last_name", "close"),
        ("last_name", "shared part"),
        ("birth_date", "typo"),
        ("birth_date", "two parts"),
        ("email", "same user"),
        ("email", "own name"),
        ("email", "close user"),
        ("phone", "same last eight"),
        ("phone", "typo"),
        ("address", "close"),
        ("address", "same street elsewhere"),
        ("postcode", "same"),
        ("national_id", "typo"),
    } <= levels


def test_two_records_that_no_rule_proposes_are_weighed_all_the_same(
    scored: tuple[Table, list[ScoredPair], Learnt],
) -> None:
    people, pairs, learnt = scored
    proposed = {(p.left, p.right) for p in pairs}
    other = next(p for p in combinations(range(STRANGERS), 2) if p not in proposed)
    [found] = waterfall.compare(people, [other], learnt)
    assert found.rules == ()
    assert found.waterfall.probability < 0.01
