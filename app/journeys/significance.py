"""Tests of whether groups differ (two-sided), and of a share against a limit; pure.

With SciPy's distributions: it is loaded when the first p-value is asked for, for it takes a
second, and 60 MB.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

#: Below this expected count the normal distribution is a bad guess of a binomial (Cochran 1954).
LEAST_EXPECTED = 5.0


class Verdict(NamedTuple):
    """The test that was used, its statistic (None of an exact test), and its p-value."""

    test: str
    statistic: float | None
    p: float


def shares(k1: int, n1: int, k2: int, n2: int) -> Verdict:
    """Test whether two shares differ: z with a pooled variance, or Fisher's where counts are small.

    z² is Pearson's χ² of the two by two table.
    """
    from scipy import stats  # noqa: PLC0415  # see above

    table = [[k1, n1 - k1], [k2, n2 - k2]]
    total = n1 + n2
    successes = k1 + k2
    least = min(n1, n2) * min(successes, total - successes) / total
    if least < LEAST_EXPECTED:
        return Verdict("fisher_exact", None, float(stats.fisher_exact(table).pvalue))
    pooled = successes / total
    z = (k1 / n1 - k2 / n2) / sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    return Verdict("z", z, float(2 * stats.norm.sf(abs(z))))


def above(k: int, n: int, limit: float) -> Verdict:
    """Test whether a share k / n is above a limit: the exact binomial test, one-sided.

    No share is above a limit of 1 or more: p is 1.
    """
    from scipy import stats  # noqa: PLC0415  # see above

    return Verdict("binomial_exact", None, float(stats.binom.sf(k - 1, n, min(limit, 1.0))))


def homogeneity(counts: Sequence[tuple[int, int]]) -> Verdict | None:
    """Test whether shares k / n of several groups are one: Pearson's χ².

    None where an expected count is so small that it says nothing.
    """
    from scipy import stats  # noqa: PLC0415  # see above

    total, successes = sum(n for _, n in counts), sum(k for k, _ in counts)
    if min(n for _, n in counts) * min(successes, total - successes) / total < LEAST_EXPECTED:
        return None
    found = stats.chi2_contingency([[k, n - k] for k, n in counts], correction=False)
    return Verdict("chi2", float(found.statistic), float(found.pvalue))


def sample_ratio(counts: Sequence[int], expected: Sequence[float]) -> Verdict:
    """Test whether groups have the sizes that the draw should have given them."""
    from scipy import stats  # noqa: PLC0415  # see above

    whole = sum(expected)
    found = stats.chisquare(counts, [sum(counts) * share / whole for share in expected])
    return Verdict("sample_ratio_chi2", float(found.statistic), float(found.pvalue))


def welch(one: tuple[float, float, int], two: tuple[float, float, int]) -> Verdict | None:
    """Test whether two means differ, from (mean, standard deviation, n), variances unequal.

    None where neither varies: there is nothing to hold the difference against.
    """
    from scipy import stats  # noqa: PLC0415  # see above

    if min(one[2], two[2]) < 2 or one[1] == two[1] == 0:
        return None
    found = stats.ttest_ind_from_stats(*one, *two, equal_var=False)
    return Verdict("welch_t", float(found.statistic), float(found.pvalue))


def mann_whitney(one: Sequence[float], two: Sequence[float]) -> Verdict:
    """Test whether values of one group tend to be larger, whatever they are distributed like."""
    from scipy import stats  # noqa: PLC0415  # see above

    found = stats.mannwhitneyu(one, two, method="asymptotic")
    return Verdict("mann_whitney_u", float(found.statistic), float(found.pvalue))


def log_rank(
    times: Sequence[tuple[int, tuple[int, int], tuple[int, int]]],
) -> Verdict | None:
    """Test whether one group gets there sooner (Mantel 1966, Peto and Peto 1972).

    `times` are (time, who got there, who was last seen), each of the two groups, in any order.
    None where nobody got there, or only one group was there to.
    """
    from scipy import stats  # noqa: PLC0415  # see above

    ordered = sorted(times)
    risk = [sum(e[g] + c[g] for _, e, c in ordered) for g in (0, 1)]
    excess = spread = 0.0
    for _, events, censored in ordered:
        dead, alive = sum(events), sum(risk)
        if dead and alive > 1:
            share = risk[0] / alive
            excess += events[0] - dead * share
            spread += dead * share * (1 - share) * (alive - dead) / (alive - 1)
        risk = [risk[g] - events[g] - censored[g] for g in (0, 1)]
    if spread == 0:
        return None
    statistic = excess * excess / spread
    return Verdict("log_rank", statistic, float(stats.chi2.sf(statistic, 1)))


def discoveries(ps: Sequence[float]) -> list[float]:
    """Return the q-value of each p: the share of false ones among those at least as sure.

    Benjamini and Hochberg 1995.
    """
    from scipy import stats  # noqa: PLC0415  # see above

    return [float(q) for q in stats.false_discovery_control(ps)] if ps else []


def detectable(share: float, n1: int, n2: int, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest difference from a share that groups of these sizes would show.

    In four of five trials (`power`), by the normal approximation at the base share.
    """
    reach = NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(power)
    return reach * sqrt(share * (1 - share) * (1 / n1 + 1 / n2))
