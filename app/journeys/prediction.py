"""How likely everybody is to do something, or to stay away (research §4.15).

Only people who allow the purpose are in the lake; so only they are learnt from and scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import duckdb
from pydantic import AwareDatetime

from app.journeys import snapshots
from app.journeys.buckets import bucket, parse, unknown
from app.journeys.definition import Frozen, definition_hash
from app.journeys.prediction_request import PredictionQuery
from app.journeys.snapshots import ALWAYS, Snapshot, moments, portions, take

#: People who did, and who did not, that a model must have learnt from, and be judged on.
LEAST_LEARNT, LEAST_JUDGED = 50, 20
#: How far those who did may be from those foretold, as a share of them, or of those who did not.
FARTHEST = 0.5
#: Parts of the people scored, from the likeliest on.
BANDS = 10

Connection = duckdb.DuckDBPyConnection


class PredictionSemantics(Frozen):
    """Every choice behind a prediction."""

    predicts: Literal["propensity", "churn"]
    model: Literal["logistic regression, ridge 1, of logarithms of counts and days"] = (
        "logistic regression, ridge 1, of logarithms of counts and days"
    )
    split: Literal["by time: judged at a later moment than all it was learnt from"] = (
        "by time: judged at a later moment than all it was learnt from"
    )
    scored_by: Literal["the model that was judged"] = "the model that was judged"
    features: Literal["events that happened up to the moment; no traits, no attributes"] = (
        "events that happened up to the moment; no traits, no attributes"
    )
    refused: Literal[
        "too few who did or did not, no better than chance on unseen people, or by half too wrong"
    ] = "too few who did or did not, no better than chance on unseen people, or by half too wrong"
    horizon: str
    lookback: str
    evidence: Literal["observational"] = "observational"


class Calibrated(Frozen):
    """A tenth of the people judged: what was said, and what came with its 95 % interval."""

    n: int
    predicted: float
    observed: float
    interval: tuple[float, float]


class Quality(Frozen):
    """How well the model foretold, on people and a time that it was not learnt from."""

    n: int
    positives: int
    base_rate: float
    auc: float
    auc_interval: tuple[float, float]
    brier: float
    brier_of_base_rate: float
    log_loss: float
    calibration_error: float
    lift_at_10_percent: float
    calibration: tuple[Calibrated, ...]


class Weight(Frozen):
    """What a feature is worth: the change of the log-odds per standard deviation of it."""

    feature: str
    weight: float


class Band(Frozen):
    """A part of the people scored, band 1 the likeliest."""

    band: int
    n: int
    low: float
    high: float
    mean: float
    bucket: str


class PredictionResult(Frozen):
    """An answer about a prediction; `refused` says why there are no scores."""

    semantics: PredictionSemantics
    refused: str | None
    model: str | None
    learnt_at: tuple[AwareDatetime, ...]
    judged_at: AwareDatetime
    learnt_from: int
    learnt_positives: int
    one_of: int
    quality: Quality | None
    drift: float | None
    weights: tuple[Weight, ...]
    scored: int
    expected: float | None
    bands: tuple[Band, ...]
    as_of: AwareDatetime
    definition_hash: str


@dataclass(frozen=True, slots=True)
class Learnt:
    """A model with what it was judged by, or why there is none."""

    refused: str | None
    model: Any
    quality: dict[str, Any] | None
    names: tuple[str, ...]
    rows: int
    positives: int
    every: int
    judged: Any


def prediction(
    connection: Connection, query: PredictionQuery, *, as_of: datetime
) -> PredictionResult:
    """Learn, judge and score over the view `event`. Read-only."""
    past, judged_at, now = moments(query, as_of)
    learnt = _learn(connection, query, as_of)
    bands: tuple[Band, ...] = ()
    scored, drift, expected = 0, None, None
    if learnt.model is not None:
        from app.journeys import learning  # noqa: PLC0415  # loads NumPy and SciPy

        _, scores, _ = _scored(connection, query, now, as_of, learnt.names, learnt.model)
        scored, expected = len(scores), round(float(scores.sum()), 3)
        drift = learning.drift(learnt.judged, scores) if scored else None
        bands = tuple(_bands(scores))
    said = query.model_dump(mode="json")
    return PredictionResult(
        semantics=PredictionSemantics(
            predicts=query.predicts, horizon=said["horizon"], lookback=said["lookback"]
        ),
        refused=learnt.refused,
        model=learnt.model.version if learnt.model is not None else None,
        learnt_at=tuple(as_of - timedelta(microseconds=now - at) for at in past),
        judged_at=as_of - timedelta(microseconds=now - judged_at),
        learnt_from=learnt.rows,
        learnt_positives=learnt.positives,
        one_of=learnt.every,
        quality=None if learnt.quality is None else Quality.model_validate(learnt.quality),
        drift=drift,
        weights=_weights(learnt),
        scored=scored,
        expected=expected,
        bands=bands,
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def people(
    connection: Connection, query: PredictionQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number, ascending: `band:1` for the likeliest tenth.

    Raises BucketInvalid.
    """
    kind, place = parse(number)
    learnt = _learn(connection, query, as_of)
    if kind != "band" or place[0] not in range(1, BANDS + 1) or learnt.model is None:
        raise unknown(number, "band:1 to band:10" if learnt.model is not None else "none")
    now = moments(query, as_of)[2]
    found, scores, _ = _scored(connection, query, now, as_of, learnt.names, learnt.model)
    return sorted(int(found[row]) for row in _places(scores)[place[0] - 1])


def about(
    connection: Connection, query: PredictionQuery, as_of: datetime, people_: Sequence[int]
) -> dict[int, dict[str, Any]]:
    """Return the score of each of these people, and the three features that move it most."""
    learnt = _learn(connection, query, as_of)
    if learnt.model is None or not people_:
        return {}
    now = moments(query, as_of)[2]
    here = take(connection, query, now, as_of, names=learnt.names, only=people_)
    rows = {int(person): row for row, person in enumerate(here.people)}
    return {person: _reasons(learnt, here, rows[person]) for person in people_ if person in rows}


def _reasons(learnt: Learnt, here: Snapshot, row: int) -> dict[str, Any]:
    features = here.features[row : row + 1]
    parts = learnt.model.parts(features)[0]
    most = sorted(range(len(parts)), key=lambda place: -abs(parts[place]))[:3]
    return {
        "score": round(float(learnt.model.scores(features)[0]), 6),
        "model": learnt.model.version,
        "reasons": [
            {
                "feature": learnt.model.names[place],
                "value": round(float(here.plain[row][place]), 3),
                "log_odds": round(float(parts[place]), 3),
            }
            for place in most
        ],
    }


def _learn(connection: Connection, query: PredictionQuery, as_of: datetime) -> Learnt:
    """Learn from the past and judge at the last moment whose outcome is known."""
    import numpy as np  # noqa: PLC0415  # loaded when a prediction is asked for

    from app.journeys import learning  # noqa: PLC0415  # likewise

    past, judged_at, _ = moments(query, as_of)
    names = tuple(snapshots.names(connection, query, past[0], as_of))
    every = snapshots.sampled(connection, query, as_of, len(ALWAYS) + len(names))
    taken = [
        (one.features, one.outcome)
        for at in past
        for one in portions(connection, query, at, as_of, names=names, every=every)
    ]
    features = np.concatenate([np.empty((0, len(ALWAYS) + len(names))), *(f for f, _ in taken)])
    outcome = np.concatenate([np.empty(0), *(o for _, o in taken)])
    taken.clear()
    counts = (len(outcome), int(outcome.sum()), every)

    def without(why: str, quality: dict[str, Any] | None = None) -> Learnt:
        return Learnt(why, None, quality, names, *counts, None)

    if (why := _thin(outcome, LEAST_LEARNT, "to learn from")) is not None:
        return without(why)
    model = learning.fit((*ALWAYS, *names), features, outcome)
    _, scores, came = _scored(connection, query, judged_at, as_of, names, model)
    if (why := _thin(came, LEAST_JUDGED, "to be judged on")) is not None:
        return without(why)
    quality = learning.judge(scores, came)
    if quality["auc_interval"][0] <= 0.5:
        return without("no better than chance on people it had not seen", quality)
    if (why := _off(scores, came)) is not None:
        return without(why, quality)
    return Learnt(None, model, quality, names, *counts, scores)


def _scored(
    connection: Connection,
    query: PredictionQuery,
    at: int,
    as_of: datetime,
    names: Sequence[str],
    model: Any,
) -> tuple[Any, Any, Any]:
    """Return who is scored at a moment, their scores, and what they did after it."""
    import numpy as np  # noqa: PLC0415  # loaded when a prediction is asked for

    found: tuple[list[Any], ...] = ([np.empty(0, np.int64)], [np.empty(0)], [np.empty(0)])
    for one in portions(connection, query, at, as_of, names=names):
        for parts, part in zip(
            found, (one.people, model.scores(one.features), one.outcome), strict=True
        ):
            parts.append(part)
    people_, scores, outcome = (np.concatenate(parts) for parts in found)
    return people_, scores, outcome


def _thin(outcome: Any, least: int, when: str) -> str | None:
    """Say that too few did, or did not, if so."""
    yes = int(outcome.sum())
    if min(yes, len(outcome) - yes) >= least:
        return None
    return f"too thin: {yes:,} did and {len(outcome) - yes:,} did not {when}; {least} each needed"


def _off(scores: Any, came: Any) -> str | None:
    """Say that probabilities are not what came, if so, though they may rank people well.

    Their sum is how many will do it, by which people plan; so it is for next purchases.
    """
    foretold, yes = float(scores.sum()), int(came.sum())
    if abs(foretold - yes) <= FARTHEST * min(yes, len(came) - yes):
        return None
    return f"foretold that {foretold:,.0f} of {len(came):,} would in the last horizon; {yes:,} did"


def _places(scores: Any) -> list[Any]:
    import numpy as np  # noqa: PLC0415  # loaded when a prediction is asked for

    return list(np.array_split(np.argsort(-scores, kind="stable"), BANDS))


def _bands(scores: Any) -> list[Band]:
    return [
        Band(
            band=number,
            n=len(place),
            low=round(float(scores[place].min()), 6),
            high=round(float(scores[place].max()), 6),
            mean=round(float(scores[place].mean()), 6),
            bucket=bucket("band", number),
        )
        for number, place in enumerate(_places(scores), start=1)
        if len(place)
    ]


def _weights(learnt: Learnt) -> tuple[Weight, ...]:
    if learnt.model is None:
        return ()
    pairs = zip(learnt.model.names, learnt.model.weights, strict=True)
    found = [Weight(feature=name, weight=round(float(weight), 6)) for name, weight in pairs]
    return tuple(sorted(found, key=lambda one: (-abs(one.weight), one.feature)))
