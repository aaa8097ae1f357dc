"""The BG/NBD model of repeat purchases, fitted by maximum likelihood; pure.

Source: Fader, Hardie and Lee, "Counting Your Customers the Easy Way: An Alternative to the
Pareto/NBD Model", Marketing Science 24 (2005). While a customer is alive, purchases come at a rate
that differs between customers (gamma: r, alpha); after each purchase one is gone for good with a
probability that differs too (beta: a, b). SciPy is loaded with this module, when it is asked for.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, hyp2f1

Floats = Any  # a NumPy array of doubles
#: Where the search begins: as many places as find one maximum on all data that have been tried.
_STARTS = ((0.5, 5.0, 0.5, 2.0), (1.0, 1.0, 1.0, 1.0))


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
        powers = ((self.alpha + of.age) / later) ** r * hyp2f1(r, b, total, horizon / later)
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
    """Return the model of greatest likelihood, None where the search finds none."""
    scale = float(customers.age.max()) or 1.0
    scaled = Customers(customers.repeats, customers.recency / scale, customers.age / scale)

    def lost(logs: Floats) -> float:
        value = -_log_likelihood(np.exp(np.clip(logs, -20, 20)), scaled)
        return value if np.isfinite(value) else 1e300

    found = []
    for r, alpha, a, b in _STARTS:
        begin = np.log([r, alpha / scale, a, b])
        done = minimize(lost, begin, method="Nelder-Mead",
                        options={"maxiter": 4000, "xatol": 1e-7, "fatol": 1e-7})  # fmt: skip
        if done.success:
            found.append(done)
    if not found:
        return None
    best = min(found, key=lambda one: one.fun)
    r, alpha, a, b = (float(value) for value in np.exp(best.x))
    # At the edge of what the search tries the data say nothing of this parameter.
    if not all(1e-6 < value < 1e6 for value in (r, alpha, a, b)):
        return None
    repeats = float(customers.repeats.sum())
    return BgNbd(r, alpha * scale, a, b, float(-best.fun) - repeats * float(np.log(scale)))


def _log_likelihood(parameters: Floats, of: Customers) -> float:
    """The logarithm of equation 6, over all customers."""
    r, alpha, a, b = parameters
    x = of.repeats
    rate = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    alive = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + of.age)
    dead = np.where(
        x > 0,
        betaln(a + 1, b + np.where(x > 0, x, 1) - 1)
        - betaln(a, b)
        - (r + x) * np.log(alpha + of.recency),
        -np.inf,
    )
    return float((rate + np.logaddexp(alive, dead)).sum())
