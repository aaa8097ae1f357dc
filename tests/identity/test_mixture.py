"""What may be learnt, whatever the data shows: how many pairs are matches, and how these agree."""

import os
import subprocess
import sys

import msgspec
import pytest

from identity import learnt
from identity.learnt import Learnt
from identity.likeness import COMPARISONS, labels_of, levels_of
from identity.mixture import Expected, Model

PAIRS, RECORDS = 12_500_000.0, 5_000


def shares(matches: float, homes: float) -> Model:
    model = Model(list(COMPARISONS))
    model.learn_shares(Expected({}, {}, {}, matches, homes), PAIRS, RECORDS)
    return model


def test_few_matches_do_not_show_that_there_are_no_households() -> None:
    model = shares(matches=2, homes=0)
    assert model.home_share / model.share == pytest.approx(0.5, rel=0.05)


def test_many_matches_without_a_household_show_that_there_are_hardly_any() -> None:
    model = shares(matches=6_500, homes=0)
    assert 0.001 < model.home_share / model.share < 0.01


def test_households_that_the_data_shows_count_at_any_size() -> None:
    model = shares(matches=6_500, homes=5_000)
    assert model.home_share / model.share == pytest.approx(5_000 / 6_500)


def told(name: str, counts: dict[str, float], matches: float = 0.0, homes: float = 0.0) -> Model:
    """Return a model that was told so often of each degree of agreement, and no others."""
    model = Model([name])
    seen = {name: [counts.get(label, 0.0) for label in labels_of(name)]}
    expected = Expected(seen, seen, seen, matches, homes)
    model.learn_matches(expected)
    model.learn_homes(expected)
    return model


def share(of: list[float], name: str, label: str) -> float:
    return of[labels_of(name).index(label)] / sum(of)


TYPING = {"same": 6_000.0, "different": 4_000.0}


def test_where_there_are_households_other_first_names_are_theirs() -> None:
    shipped = share(Model(["first_name"]).m["first_name"], "first_name", "different")
    many = told("first_name", TYPING, matches=10_000, homes=10_000)
    assert share(many.m["first_name"], "first_name", "different") < 1.7 * shipped
    few = told("first_name", TYPING, matches=10_000, homes=0)
    assert share(few.m["first_name"], "first_name", "different") > 3.5 * shipped


def test_few_matches_move_what_is_shipped_by_little() -> None:
    shipped = Model(["last_name"]).m["last_name"]
    moved = told("last_name", {"different": 5.0}, matches=5).m["last_name"]
    assert moved == pytest.approx(shipped, abs=0.06)
    assert share(moved, "last_name", "different") > share(shipped, "last_name", "different")


@pytest.mark.parametrize("name", COMPARISONS)
@pytest.mark.parametrize("label", ["same", "different"])
def test_no_share_moves_beyond_its_reach_whatever_is_seen(name: str, label: str) -> None:
    model = told(name, {label: 1e6}, matches=1e6)
    shipped = [level.m for level in levels_of(name)]
    gains = [model.most_gain(name, i) for i in range(len(shipped))]
    for learnt_share, at_first, bits in zip(model.m[name], shipped, gains, strict=True):
        assert learnt_share <= at_first * 2**bits * 1.001  # what a run leaves out relies on it
        assert learnt_share > 0


def test_what_one_degree_may_not_have_is_the_others() -> None:
    model = told("first_name", {"same": 5_000, "close": 2_000, "different": 3_000}, 1e4, homes=1e4)
    shipped = [level.m for level in levels_of("first_name")]
    assert sum(model.m["first_name"]) == pytest.approx(sum(shipped))


def test_of_a_household_is_learnt_what_it_shares_and_not_how_often_twins_are_born() -> None:
    born = Model(["birth_date"]).h["birth_date"]
    assert told("birth_date", {"same": 1e5}, homes=1e5).h["birth_date"] == pytest.approx(born)
    shared = labels_of("email").index("same")
    mailbox = told("email", {"same": 1e5}, homes=1e5).h["email"][shared]
    assert mailbox == pytest.approx(8 * Model(["email"]).h["email"][shared])


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_by_which_rules_records_are_found_is_called_the_same_in_every_process(seed: str) -> None:
    told = subprocess.run(
        [sys.executable, "-c", "from identity.learnt import KEYED; print(KEYED)"],
        env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.strip() == learnt.KEYED


def test_what_was_learnt_of_other_degrees_of_agreement_is_not_read() -> None:
    model = Model(["first_name", "email"])
    known = Learnt(10, model.shares(), {}, {}, {})
    kept = msgspec.to_builtins(known)
    assert learnt.read(kept) == known
    kept["shares"]["levels"]["first_name"][0] = "something else"
    assert learnt.read(kept) is None
    kept = {**msgspec.to_builtins(known), "keyed": "by other rules"}
    assert learnt.read(kept) is None
    del kept["keyed"]
    assert learnt.read(kept) is None
    del kept["shares"]["levels"]  # as the first versions of this program kept it
    assert learnt.read(kept) is None
