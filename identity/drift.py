"""Whether probabilities still mean what they promise: said by decided pairs, and merges undone."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from identity import labels
from identity.labels import Decided

STEPS = 10
#: Decided pairs in a decile below which nothing is concluded of it.
LEAST = 20
#: How sure the interval is: 1.96 standard deviations, 95 %.
DEVIATIONS = 1.96
#: The origin of labels by which somebody was asked about a pair for its probability alone. Undone
#: merges and constraints come because something was wrong: they are counted and prove no share; of
#: held links a guard has said something too.
ASKED = "review"
FOUND_WRONG = ("undo", "constraint")


@dataclass(frozen=True, slots=True)
class Decile:
    """Pairs of similar probability: what was promised of them, and what people said.

    `observed` is the share of decided pairs that match, `low` and `high` its 95 % interval (Wilson
    1927); None where nothing was decided. `wrong` counts undone merges and constraints against a
    match. `verdict` is holds, optimistic, pessimistic or thin.
    """

    low_edge: float
    high_edge: float
    decided: int
    matches: int
    wrong: int
    promised: float | None
    observed: float | None
    low: float | None
    high: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Drift:
    """One model's promises beside what was decided; `model_run_id` None where it is forgotten."""

    model_run_id: int | None
    decided: int
    matches: int
    wrong: int
    verdict: str
    deciles: tuple[Decile, ...]


def drift(session: Session) -> list[Drift]:
    """Return what was decided of each model's pairs, the latest model first."""
    by_model: dict[int | None, list[Decided]] = {}
    for one in labels.decided(session):
        by_model.setdefault(one.model_run_id, []).append(one)
    order = sorted(by_model, key=lambda run: -1 if run is None else run, reverse=True)
    return [_of_model(run, by_model[run]) for run in order]


def _of_model(run: int | None, known: Sequence[Decided]) -> Drift:
    steps: list[list[Decided]] = [[] for _ in range(STEPS)]
    for one in known:
        steps[min(int(one.probability * STEPS), STEPS - 1)].append(one)
    deciles = tuple(_decile(place, inside) for place, inside in enumerate(steps))
    said = {d.verdict for d in deciles} - {"thin"}
    contradicted = said - {"holds"}
    verdict = "thin" if not said else "drifts" if contradicted else "holds"
    return Drift(
        run,
        sum(d.decided for d in deciles),
        sum(d.matches for d in deciles),
        sum(d.wrong for d in deciles),
        verdict,
        deciles,
    )


def _decile(place: int, inside: Iterable[Decided]) -> Decile:
    pairs = list(inside)
    asked = [one for one in pairs if one.origin == ASKED]
    wrong = sum(one.origin in FOUND_WRONG and not one.is_match for one in pairs)
    edges = place / STEPS, (place + 1) / STEPS
    count, matches = len(asked), sum(one.is_match for one in asked)
    if not count:
        return Decile(*edges, 0, 0, wrong, None, None, None, None, "thin")
    promised = sum(one.probability for one in asked) / count
    low, high = wilson(matches, count)
    verdict = "holds"
    if count < LEAST:
        verdict = "thin"
    elif promised > high:
        verdict = "optimistic"
    elif promised < low:
        verdict = "pessimistic"
    return Decile(*edges, count, matches, wrong, promised, matches / count, low, high, verdict)


def wilson(matches: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, which few observations keep wide (Wilson 1927)."""
    share, square = matches / count, DEVIATIONS**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    reach = share * (1 - share) / count + square / (4 * count**2)
    half = DEVIATIONS * math.sqrt(reach) / (1 + square / count)
    return max(0.0, middle - half), min(1.0, middle + half)
