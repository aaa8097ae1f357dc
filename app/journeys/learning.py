"""A logistic regression that explains itself, and how well it foretells what it has not seen.

NumPy and SciPy are loaded with this module, hence only when a prediction is asked for.
"""

import hashlib
import json
from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np
from scipy import stats

from app.journeys.intervals import wilson, z_of

#: The strength of the ridge, as scikit-learn's C = 1: a feature must be worth what it weighs.
RIDGE = 1.0
#: Steps of Newton's method, of which ten are usual.
MOST_STEPS = 100
#: A step that moves no weight by more is the last.
TINY = 1e-10

Floats = Any  # a NumPy array of doubles


@dataclass(frozen=True, slots=True)
class Model:
    """Weights of standardised features; `mean` and `spread` are those of what it learnt from."""

    names: tuple[str, ...]
    mean: Floats
    spread: Floats
    weights: Floats
    intercept: float

    @property
    def version(self) -> str:
        """Names the model by what it says: two that say the same have one version."""
        said = [self.names, *(np.round(part, 9).tolist() for part in
                              (self.mean, self.spread, self.weights, self.intercept))]  # fmt: skip
        return "m_" + hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]

    def parts(self, features: Floats) -> Floats:
        """Return what each feature adds to the log-odds of each row, against the average row."""
        return (features - self.mean) / self.spread * self.weights

    def scores(self, features: Floats) -> Floats:
        """Return the probability of each row."""
        return _chance(self.parts(features).sum(axis=1) + self.intercept)


def fit(names: tuple[str, ...], features: Floats, outcome: Floats) -> Model:
    """Fit by Newton's method, to convergence.

    A step that makes it worse is halved until it does not. The loss is convex, so that leads to its
    minimum; without it, a name that few have, most of whom did, made the steps run away, and those
    few got the opposite of their score.
    """
    mean, spread = features.mean(axis=0), features.std(axis=0)
    # What is the same of all has a spread of rounding, by which another value would be divided.
    spread = np.where(spread > 1e-9 * np.maximum(1, np.abs(mean)), spread, 1.0)
    rows = np.column_stack([(features - mean) / spread, np.ones(len(features))])
    ridge = np.diag([*([RIDGE] * len(names)), 0.0])
    weights = np.zeros(len(names) + 1)
    weights[-1] = log(max(outcome.mean(), 1e-6) / max(1 - outcome.mean(), 1e-6))

    def loss(of: Floats) -> float:
        odds = rows @ of
        return float((np.logaddexp(0, odds) - outcome * odds).sum() + of @ ridge @ of / 2)

    before = loss(weights)
    for _ in range(MOST_STEPS):
        chance = _chance(rows @ weights)
        slope = rows.T @ (chance - outcome) + ridge @ weights
        curve = (rows * (chance * (1 - chance))[:, None]).T @ rows + ridge
        step = np.linalg.solve(curve + 1e-9 * np.eye(len(weights)), slope)
        # Near the minimum a step gains less than a sum of so many doubles can tell.
        allowed = before + 1e-12 * abs(before)
        while (after := loss(weights - step)) > allowed and np.abs(step).max() >= TINY:
            step = step / 2
        weights, before = weights - step, after
        if np.abs(step).max() < TINY:
            break
    return Model(names, mean, spread, weights[:-1], float(weights[-1]))


def _chance(odds: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(odds, -500, 500)))


def auc(scores: Floats, outcome: Floats) -> tuple[float, tuple[float, float]]:
    """Return how often one who did scores above one who did not, and its 95 % interval.

    Ties count half (Mann and Whitney 1947); the interval is that of Hanley and McNeil 1982.
    """
    yes, no = int(outcome.sum()), int(len(outcome) - outcome.sum())
    ranks = stats.rankdata(scores)
    area = float((ranks[outcome == 1].sum() - yes * (yes + 1) / 2) / (yes * no))
    one, two = area / (2 - area), 2 * area * area / (1 + area)
    spread = area * (1 - area) + (yes - 1) * (one - area**2) + (no - 1) * (two - area**2)
    half = z_of(0.95) * sqrt(max(spread, 0.0) / (yes * no))
    return area, (max(0.0, area - half), min(1.0, area + half))


def calibration(scores: Floats, outcome: Floats, parts: int = 10) -> list[dict[str, Any]]:
    """Return, from the lowest scores to the highest, what was said beside what came."""
    order = np.argsort(scores, kind="stable")
    found = []
    for place in np.array_split(order, min(parts, len(order))):
        n, k = len(place), int(outcome[place].sum())
        found.append(
            {
                "n": n,
                "predicted": round(float(scores[place].mean()), 6),
                "observed": k / n,
                "interval": wilson(k, n),
            }
        )
    return found


def judge(scores: Floats, outcome: Floats) -> dict[str, Any]:
    """Return the measures of a model on rows that it was not learnt from."""
    base = float(outcome.mean())
    area, interval = auc(scores, outcome)
    tenth = np.argsort(-scores, kind="stable")[: max(1, len(scores) // 10)]
    parts = calibration(scores, outcome)
    clipped = np.clip(scores, 1e-12, 1 - 1e-12)
    loss = -(outcome * np.log(clipped) + (1 - outcome) * np.log(1 - clipped)).mean()
    return {
        "n": len(outcome),
        "positives": int(outcome.sum()),
        "base_rate": base,
        "auc": round(area, 6),
        "auc_interval": tuple(round(end, 6) for end in interval),
        "brier": round(float(((scores - outcome) ** 2).mean()), 6),
        "brier_of_base_rate": round(base * (1 - base), 6),
        "log_loss": round(float(loss), 6),
        "calibration_error": round(
            sum(one["n"] * abs(one["predicted"] - one["observed"]) for one in parts) / len(outcome),
            6,
        ),
        "lift_at_10_percent": round(float(outcome[tenth].mean()) / base, 6),
        "calibration": tuple(parts),
    }


def drift(then: Floats, now: Floats) -> float:
    """Return the population stability index of two sets of scores, over deciles of the first.

    Below .1 they are alike, above .25 they are not (the rule of credit scoring).
    """
    edges = np.unique(np.quantile(then, np.linspace(0, 1, 11)[1:-1]))
    one = np.bincount(np.searchsorted(edges, then), minlength=len(edges) + 1)
    two = np.bincount(np.searchsorted(edges, now), minlength=len(edges) + 1)
    shares = [(part + 0.5) / (part.sum() + 0.5 * len(part)) for part in (one, two)]
    return round(float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()), 6)
