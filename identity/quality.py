"""How well clusters agree with the truth: by pairs, by B-cubed, and as whole clusters.

All are computed from counts of the (predicted, true) cluster combinations, so the cost is linear
in the records however large the clusters are.
"""

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
C = TypeVar("C", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Quality:
    """Agreement of predicted clusters with true ones over the records that both contain.

    Shares run from 0 to 1. Where nothing was predicted precision is 1, where nothing was there to
    find recall is 1. B-cubed averages over records, so one huge wrong cluster does not outweigh
    everything else as it does in pairs. `exact_clusters` is the share of the true clusters, those
    of a single record included, that were predicted with all their records and no other. That is
    `cluster_recall`; `cluster_precision` is the share of the predicted clusters that are a whole
    true one, and `cluster_f1` the harmonic mean of the two.
    """

    records: int
    true_pairs: int
    predicted_pairs: int
    found_pairs: int
    precision: float
    recall: float
    f1: float
    b3_precision: float
    b3_recall: float
    b3_f1: float
    true_clusters: int
    predicted_clusters: int
    exact_clusters: float
    cluster_precision: float
    cluster_recall: float
    cluster_f1: float


def pairwise(predicted: Mapping[K, object], truth: Mapping[K, object]) -> Quality:
    """Compare two maps of record -> cluster; cluster labels need only be hashable.

    Records that only one of the maps holds are left out.
    """
    both = [
        (predicted[record], cluster) for record, cluster in truth.items() if record in predicted
    ]
    cells = Counter(both)
    predicted_sizes = Counter(cluster for cluster, _ in both)
    true_sizes = Counter(cluster for _, cluster in both)
    true_pairs = _pairs(true_sizes)
    predicted_pairs = _pairs(predicted_sizes)
    found = _pairs(cells)
    precision = _share(found, predicted_pairs)
    recall = _share(found, true_pairs)
    b3_precision = _share(sum(n * n / predicted_sizes[p] for (p, _), n in cells.items()), len(both))
    b3_recall = _share(sum(n * n / true_sizes[t] for (_, t), n in cells.items()), len(both))
    exact = sum(n == predicted_sizes[p] == true_sizes[t] for (p, t), n in cells.items())
    of_predicted, of_true = _share(exact, len(predicted_sizes)), _share(exact, len(true_sizes))
    return Quality(
        records=len(both),
        true_pairs=true_pairs,
        predicted_pairs=predicted_pairs,
        found_pairs=found,
        precision=precision,
        recall=recall,
        f1=_harmonic(precision, recall),
        b3_precision=b3_precision,
        b3_recall=b3_recall,
        b3_f1=_harmonic(b3_precision, b3_recall),
        true_clusters=len(true_sizes),
        predicted_clusters=len(predicted_sizes),
        exact_clusters=of_true,
        cluster_precision=of_predicted,
        cluster_recall=of_true,
        cluster_f1=_harmonic(of_predicted, of_true),
    )


def _pairs(sizes: Counter[C]) -> int:
    return sum(n * (n - 1) // 2 for n in sizes.values())


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 1.0


def _harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
