"""The page of measured quality says what was missed and what was not measured."""

from typing import Any

from benchmarks.quality_page import Row, Set, page
from benchmarks.rivals import METHODS
from identity.calibration import calibration


def figures(**changed: float) -> dict[str, Any]:
    perfect = {"records": 6_000, "true_clusters": 3_000, "precision": 1.0, "recall": 1.0,
               "f1": 1.0, "b3_f1": 1.0, "exact_clusters": 1.0}  # fmt: skip
    return {**perfect, **changed}


def measured(name: str, band_error: float = 0.0, **changed: float) -> Set:
    errors = {"error": 0.0, "band_error": band_error, "pairs": 9, "band_pairs": 3}
    return Set(
        name,
        product=Row("ours", figures(**changed), 1.0, 2.0),
        best=Row("best", figures(), labels=True),
        calibration={**errors, "deciles": [{"pairs": 0}] * 10},
    )


def goals(*sets: Set) -> list[str]:
    text = page(sets).partition("## Goals")[2].partition("\n## ")[0]
    return [line for line in text.splitlines() if line.startswith("| ")][1:]


def test_a_goal_is_met_from_its_value_on_and_missed_below() -> None:
    assert "met" in goals(measured("febrl3", f1=0.99))[0]
    assert "**missed**" in goals(measured("febrl3", f1=0.9899))[0]
    assert all("met" in line for line in goals(measured("febrl4")))


def test_a_rival_ahead_a_better_threshold_and_bad_calibration_are_missed_goals() -> None:
    one = measured("pseudopeople", band_error=0.06, b3_f1=0.98)
    one.rivals = [
        Row("with labels", figures(), labels=True),
        Row("blind", figures(b3_f1=0.995)),
        Row("absent", skipped="not installed"),
    ]
    said = goals(one)
    assert [line.rsplit("| ", 1)[1] for line in said] == ["met |", *["**missed** |"] * 3]
    assert "0.0150 (blind)" in said[2]
    assert "not installed" in page([one])


def test_a_set_that_is_not_there_is_seen_to_be_skipped() -> None:
    [line] = goals(Set("febrl4", skipped="not there"))
    assert "skipped: not there" in line


def test_deciles_show_what_was_said_and_what_is_true() -> None:
    one = measured("febrl3")
    steps = calibration([(0.92, True), (0.94, False)], 0.95).deciles
    one.calibration["deciles"] = [
        {"pairs": s.pairs, "predicted": s.predicted, "observed": s.observed} for s in steps
    ]
    assert "| 0.9 to 1.0 | 0.93 → 0.50 (2) |" in page([one])


def test_rules_join_records_of_one_address_or_of_one_name_and_birth_date() -> None:
    given: dict[str, Any] = {
        "fields": {
            "a": {"email": "x@y.example", "first_name": "ada"},
            "b": {"email": "x@y.example"},
            "c": {"first_name": "bob", "last_name": "bee", "birth_date": "1970-02-03"},
            "d": {"first_name": "bob", "last_name": "bee", "birth_date": "1970-02-03"},
            "e": {"first_name": "bob", "last_name": "bee"},
        },
        "identifiers": {"e": {"user_id": "7"}, "a": {"user_id": "7"}},
    }
    assert {frozenset(p) for p in METHODS["rules"](given) if p[0] != p[1]} == {
        frozenset("ab"),
        frozenset("cd"),
    }
    joined = {frozenset(p) for p in METHODS["rules_and_identifiers"](given) if p[0] != p[1]}
    assert joined == {frozenset("ab"), frozenset("cd"), frozenset("ae")}
