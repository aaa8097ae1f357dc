"""The BG/NBD model of repeat purchases, fitted by maximum likelihood; pure.

Source: Fader, Hardie and Lee, "Counting Your Customers the Easy Way: An Alternative to the
Pareto/NBD Model", Marketing Science 24 (2005). While a customer is alive, purchases come at a rate
that differs between customers (gamma: r, alpha); after each purchase one is gone for good with a
probability that differs too (beta: a, b). No part of SciPy is loaded before it is
used: `scipy.optimize` took two thirds of the time that a server's first question, of any kind,
took to load libraries.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy

Floats = Any  # a NumPy array of doubles
#: Where the search begins: as many places as find one maximum on all data that have been tried.
_STARTS = ((0.5, 5.0, 0.5, 2.0), (1.0, 1.0, 1.0, 1.0))
#: Logarithms of the smallest and the largest parameter tried; times are shares of the longest.
_BOUNDS = (-8.0, 8.0)
#: So many customers are learnt from at most; four figures are not found better by more.
MOST = 20_000


@dataclass(frozen=True, slots=True)
class Customers:
    """What the model needs of each customer; times are of one unit, `age` is since the first.

    `repeats` are the purchases after the first, `recency` is from the first to the last of them.
    """

    repeats: Floats
    recency: Floats
    age: Floats

    def __len__(self) -> int:
        """How many customers there are."""
        return len(self.age)


@dataclass(frozen=True, slots=True)
class BgNbd:
    """A fitted model; `alpha` is in the unit of the times it was fitted on."""

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float

    def alive(self, of: Customers) -> Floats:
        """Return the probability that each is not gone for good."""
        return 1 / (1 + self._gone(of))

    def chance(self, of: Customers, horizon: float) -> Floats:
        """Return the probability of a purchase within a horizon from now."""
        still = (self.alpha + of.age) / (self.alpha + of.age + horizon)
        return self.alive(of) * (1 - still ** (self.r + of.repeats))

    def expected(self, of: Customers, horizon: float) -> Floats:
        """Return how many purchases each is to make within a horizon from now (equation 10)."""
        r, b, total = self.r + of.repeats, self.b + of.repeats, self.a + self.b + of.repeats - 1
        later = self.alpha + of.age + horizon
        series = scipy.special.hyp2f1(r, b, total, horizon / later)
        powers = ((self.alpha + of.age) / later) ** r * series
        return total / (self.a - 1) * (1 - powers) * self.alive(of)

    def _gone(self, of: Customers) -> Floats:
        """Return the odds that each is gone; who never came back cannot have gone yet."""
        again = of.repeats > 0
        before = self.b + np.where(again, of.repeats, 1) - 1
        power = (self.r + of.repeats) * (
            np.log(self.alpha + of.age) - np.log(self.alpha + of.recency)
        )
        return np.where(again, self.a / before * np.exp(power), 0.0)


def fit(customers: Customers) -> BgNbd | None:
    """Return the model of greatest likelihood, None where the search finds none.

    Of more than MOST customers every so manieth is learnt from, evenly spread.
    """
    every = -(-len(customers) // MOST)
    some = slice(None, None, every)
    scale = float(customers.age.max()) or 1.0
    scaled = Customers(
        customers.repeats[some], customers.recency[some] / scale, customers.age[some] / scale
    )

    def lost(logs: Floats) -> float:
        return -_log_likelihood(np.exp(logs), scaled) / len(scaled)

    found = []
    for r, alpha, a, b in _STARTS:
        begin = np.log([r, alpha / scale, a, b])
        done = scipy.optimize.minimize(
            lost,
            begin,
            method="L-BFGS-B",
            bounds=[_BOUNDS] * 4,
            options={"ftol": 1e-12, "gtol": 1e-7},
        )
        if np.isfinite(done.fun):
            found.append(done)
    if not found:
        return None
    best = min(found, key=lambda one: one.fun)
    # At the edge of what is tried the data say nothing of a parameter: nobody is ever gone, or all.
    if any(value <= _BOUNDS[0] + 0.1 or value >= _BOUNDS[1] - 0.1 for value in best.x):
        return None
    r, alpha, a, b = (float(value) for value in np.exp(best.x))
    model = BgNbd(r, alpha * scale, a, b, 0.0)
    parameters = np.array([r, alpha * scale, a, b])
    return replace(model, log_likelihood=_log_likelihood(parameters, customers))


def _log_likelihood(parameters: Floats, of: Customers) -> float:
    """The logarithm of equation 6, over all customers."""
    r, alpha, a, b = parameters
    x, special = of.repeats, scipy.special
    rate = special.gammaln(r + x) - special.gammaln(r) + r * np.log(alpha)
    alive = special.betaln(a, b + x) - special.betaln(a, b) - (r + x) * np.log(alpha + of.age)
    dead = np.where(
        x > 0,
        special.betaln(a + 1, b + np.where(x > 0, x, 1) - 1)
        - special.betaln(a, b)
        - (r + x) * np.log(alpha + of.recency),
        -np.inf,
    )
    return float((rate + np.logaddexp(alive, dead)).sum())
