"""Quality figures against counts made by hand and against plain pair enumeration."""

import itertools
import random

import pytest

from identity.quality import pairwise


def test_the_figures_of_a_small_case_are_those_counted_by_hand() -> None:
    truth = {"a": 1, "b": 1, "c": 1, "d": 2}
    quality = pairwise({"a": "x", "b": "x", "c": "y", "d": "y"}, truth)
    assert (quality.true_pairs, quality.predicted_pairs, quality.found_pairs) == (3, 2, 1)
    assert quality.precision == pytest.approx(1 / 2)
    assert quality.recall == pytest.approx(1 / 3)
    assert quality.f1 == pytest.approx(0.4)
    assert quality.b3_precision == pytest.approx((1 + 1 + 0.5 + 0.5) / 4)
    assert quality.b3_recall == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1) / 4)


def test_counting_agrees_with_enumerating_every_pair() -> None:
    dice = random.Random(7)  # noqa: S311 -- a seeded test, no secret
    truth = {i: dice.randrange(12) for i in range(80)}
    predicted = {i: dice.randrange(15) for i in range(80)}
    pairs = list(itertools.combinations(range(80), 2))
    found = sum(truth[a] == truth[b] and predicted[a] == predicted[b] for a, b in pairs)
    quality = pairwise(predicted, truth)
    assert quality.found_pairs == found
    assert quality.precision == found / sum(predicted[a] == predicted[b] for a, b in pairs)
    assert quality.recall == found / sum(truth[a] == truth[b] for a, b in pairs)


def test_perfect_clusters_score_one_whatever_their_labels() -> None:
    quality = pairwise({1: "x", 2: "x", 3: "y"}, {1: 9, 2: 9, 3: 8})
    assert (quality.f1, quality.b3_f1) == (1.0, 1.0)


def test_merging_everyone_has_full_recall_and_poor_precision() -> None:
    quality = pairwise(dict.fromkeys(range(100), 0), {i: i // 2 for i in range(100)})
    assert quality.recall == 1.0
    assert quality.precision < 0.02


def test_nothing_predicted_and_nothing_known_divide_by_nothing() -> None:
    assert pairwise({}, {}).f1 == 1.0
    assert pairwise({1: 1, 2: 2}, {1: 0, 2: 0}).f1 == 0.0


def test_records_known_to_one_side_only_do_not_count() -> None:
    assert pairwise({1: "x", 2: "x", 3: "x"}, {1: 0, 2: 0, 4: 0}).records == 2


def test_a_cluster_is_exact_with_all_its_records_and_no_other() -> None:
    truth = {"a": 1, "b": 1, "c": 2, "d": 2, "e": 3, "f": 4}
    quality = pairwise({"a": "x", "b": "x", "c": "y", "d": "z", "e": "w", "f": "w"}, truth)
    assert (quality.true_clusters, quality.predicted_clusters) == (4, 4)
    assert quality.exact_clusters == quality.cluster_recall == 1 / 4


def test_clusters_have_precision_and_recall_of_their_own() -> None:
    truth = {"a": 1, "b": 1, "c": 2, "d": 2, "e": 3, "f": 3}
    quality = pairwise({"a": "x", "b": "x", "c": "y", "d": "y", "e": "y", "f": "z"}, truth)
    assert (quality.cluster_precision, quality.cluster_recall) == (1 / 3, 1 / 3)
    split = pairwise({"a": "x", "b": "x", "c": "y", "d": "z", "e": "v", "f": "v"}, truth)
    assert (split.cluster_precision, split.cluster_recall) == (2 / 4, 2 / 3)
    assert split.cluster_f1 == pytest.approx(2 * 0.5 * (2 / 3) / (0.5 + 2 / 3))
