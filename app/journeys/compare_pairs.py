"""The pairs of a comparison: every pair of variants by every measure, corrected together. Pure."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from app.journeys.compare_answer import Group, Heap, Overall, Pair, Tested
from app.journeys.compare_request import CompareQuery
from app.journeys.incidence import At
from app.journeys.intervals import newcombe
from app.journeys.significance import (
    Verdict,
    detectable,
    discoveries,
    homogeneity,
    log_rank,
    mann_whitney,
    shares,
    welch,
)

#: People whose amounts are drawn again: 2,000 draws of 50,000 take a second, and with more the
#: mean is as good as normal, so that Welch's test says it.
MOST = 50_000
DRAWS, SEED = 2_000, 1


class Pairs:
    """Collects what is tested, and corrects it when everything is in."""

    def __init__(self, query: CompareQuery) -> None:
        """Nothing is tested yet."""
        self.least = query.least
        self.overall: list[Overall] = []
        self._pairs: list[tuple[Pair, list[Verdict]]] = []

    def shares(
        self, measure: str, groups: Sequence[Group], times: Mapping[int, Sequence[At]]
    ) -> None:
        """Test an outcome between each two variants, and whether it comes sooner."""
        enough = [(one.k, one.n) for one in groups if one.n >= self.least]
        verdict = homogeneity(enough) if len(enough) > 2 else None
        if verdict is not None:
            self.overall.append(
                Overall(
                    measure=measure,
                    test=verdict.test,
                    statistic=verdict.statistic or 0.0,
                    p=verdict.p,
                )
            )
        for (i, one), (j, two) in combinations(enumerate(groups), 2):
            if min(one.n, two.n) < self.least:
                self._add(measure, one.variant, two.variant, "insufficient_sample")
                continue
            k1, n1, k2, n2 = one.k, one.n, two.k, two.n
            if k1 + k2 in (0, n1 + n2):
                self._add(measure, one.variant, two.variant, "no_variation")
                continue
            verdicts = [shares(k1, n1, k2, n2)]
            sooner = log_rank(_merged(times.get(i, ()), times.get(j, ())))
            if sooner is not None:
                verdicts.append(sooner)
            self._add(
                measure, one.variant, two.variant, "tested", verdicts,
                difference=k1 / n1 - k2 / n2,
                interval=newcombe(k1, n1, k2, n2),
                ratio=k1 * n2 / (n1 * k2) if k2 else None,
                odds_ratio=k1 * (n2 - k2) / ((n1 - k1) * k2) if k2 and n1 - k1 else None,
                detectable=detectable((k1 + k2) / (n1 + n2), n1, n2),
            )  # fmt: skip

    def amounts(
        self, measure: str, heaps: Sequence[Heap], values: Mapping[int, Any] | None
    ) -> None:
        """Test the mean of an amount between each two variants, and which tends to be larger."""
        for (i, one), (j, two) in combinations(enumerate(heaps), 2):
            if min(one.n, two.n) < self.least:
                self._add(measure, one.variant, two.variant, "insufficient_sample")
                continue
            verdict = welch(_moments(one), _moments(two))
            if verdict is None:
                self._add(measure, one.variant, two.variant, "no_variation")
                continue
            verdicts, interval = [verdict], None
            if values is not None:
                verdicts.append(mann_whitney(values[i], values[j]))
                interval = resampled(values[i], values[j])
            mean1, mean2 = one.mean or 0.0, two.mean or 0.0
            self._add(
                measure, one.variant, two.variant, "tested", verdicts,
                difference=mean1 - mean2,
                interval=interval,
                ratio=mean1 / mean2 if mean2 else None,
            )  # fmt: skip

    def _add(
        self,
        measure: str,
        one: str,
        two: str,
        status: Any,
        verdicts: Sequence[Verdict] = (),
        **found: Any,
    ) -> None:
        empty = dict.fromkeys(("difference", "interval", "ratio", "odds_ratio", "detectable"))
        pair = Pair(
            measure=measure, one=one, two=two, status=status, tests=(), **{**empty, **found}
        )
        self._pairs.append((pair, list(verdicts)))

    def corrected(self) -> tuple[Pair, ...]:
        """Return every pair, with the q of each test among all of them."""
        qs = iter(discoveries([v.p for _, verdicts in self._pairs for v in verdicts]))
        return tuple(
            pair.model_copy(
                update={
                    "tests": tuple(
                        Tested(test=v.test, statistic=v.statistic, p=v.p, q=next(qs))
                        for v in verdicts
                    )
                }
            )
            for pair, verdicts in self._pairs
        )


def resampled(one: Any, two: Any) -> tuple[float, float]:
    """Return the 95 % percentile interval of the difference of two means, by drawing again.

    Efron 1979. The same seed gives the same interval.
    """
    import numpy as np  # noqa: PLC0415  # loaded when amounts are compared

    dice = np.random.default_rng(SEED)
    draws = [
        float(dice.choice(one, len(one)).mean() - dice.choice(two, len(two)).mean())
        for _ in range(DRAWS)
    ]
    return float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))


def _moments(heap: Heap) -> tuple[float, float, int]:
    return heap.mean or 0.0, heap.deviation or 0.0, heap.n


def _merged(
    one: Sequence[At], two: Sequence[At]
) -> list[tuple[int, tuple[int, int], tuple[int, int]]]:
    """Put the times of two groups side by side."""
    table: dict[int, list[int]] = {}
    for place, group in enumerate((one, two)):
        for at in group:
            row = table.setdefault(at.time, [0, 0, 0, 0])
            row[place] += at.converted
            row[2 + place] += at.censored + at.competing
    return [(time, (r[0], r[1]), (r[2], r[3])) for time, r in table.items()]
