# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""The voice of the customer: what surveys say of the touchpoints before them (research §4.3)."""

from collections.abc import Mapping
from datetime import datetime
from math import sqrt
from typing import Any, Literal

import duckdb
from pydantic import AwareDatetime

from app.journeys.buckets import bucket, parse, unknown
from app.journeys.definition import Frozen, definition_hash
from app.journeys.friction_request import VoiceQuery
from app.journeys.intervals import wilson, z_of
from app.journeys.matrix_answer import SaidAt
from app.journeys.predicate import Parameters
from app.journeys.stays import channel_ids, stage_ids, stays
from app.journeys.survey import Instrument, Survey
from app.journeys.voice_sql import marks, spoken

KINDS = ("all", "high", "low")


class VoiceSemantics(Frozen):
    """Every choice behind what customers say."""

    counted: Literal["answers"] = "answers"
    link: Literal["by survey: its own touchpoint, or the last one before it, within max_lag"] = (
        "by survey: its own touchpoint, or the last one before it, within max_lag"
    )
    nps: Literal["100 x (share of 9 and 10 - share of 0 to 6)"] = (
        "100 x (share of 9 and 10 - share of 0 to 6)"
    )
    csat: Literal["share of answers in the best two fifths of the scale"] = (
        "share of answers in the best two fifths of the scale"
    )
    ces: Literal["mean score, more is more effort"] = "mean score, more is more effort"
    sentiment: Literal["mean score, as it came with the event; of -1 to 1"] = (
        "mean score, as it came with the event; of -1 to 1"
    )
    fcr: Literal["share of answers that say yes"] = "share of answers that say yes"
    interval: Literal["95 %: of csat and fcr Wilson's, of the others by their variance"] = (
        "95 %: of csat and fcr Wilson's, of the others by their variance"
    )


class Said(Frozen):
    """What `n` answers say; `high` are the best ones, `low` the worst, `mean` is of the scores.

    `low_profiles` of the `profiles` gave one of the worst or more.
    """

    n: int
    profiles: int
    value: float | None
    interval: tuple[float, float] | None
    mean: float | None
    high: int
    low: int
    low_profiles: int
    buckets: dict[str, str]


class SaidOf(Said):
    """The same of one touchpoint."""

    touchpoint: str
    stage: str
    channel: str


class Spoken(Frozen):
    """One survey: all of it, each touchpoint it is about, and what could not be joined.

    `unlinked` answers have no touchpoint before them in time; `off_scale` have no score on it.
    """

    survey: int
    instrument: Instrument
    scale: tuple[float, float]
    overall: Said
    touchpoints: tuple[SaidOf, ...]
    unlinked: int
    off_scale: int


class VoiceResult(Frozen):
    """An answer about what customers say."""

    semantics: VoiceSemantics
    surveys: tuple[Spoken, ...]
    as_of: AwareDatetime
    definition_hash: str


#: What is counted of answers, in the order of `_said`.
_COUNTED = """count(*), count(DISTINCT person_id),
            sum(score::DECIMAL(24, 6)), sum((score * score)::DECIMAL(30, 6)),
            count(*) FILTER (high), count(*) FILTER (low),
            count(DISTINCT person_id) FILTER (low)"""


def voice(
    connection: duckdb.DuckDBPyConnection, query: VoiceQuery, *, as_of: datetime
) -> VoiceResult:
    """Join the answers of surveys to touchpoints over the view `event`. Read-only."""
    parameters = Parameters()
    text = _relations(query, as_of, parameters)
    rows = connection.execute(
        f"""{text}
        SELECT survey, point, GROUPING(point) = 1 AS whole, {_COUNTED}
        FROM rated GROUP BY GROUPING SETS ((survey), (survey, point))""",
        parameters.values,
    ).fetchall()
    parameters = Parameters()
    off = dict(
        connection.execute(
            f"{_relations(query, as_of, parameters)} SELECT survey, n FROM off_scale",
            parameters.values,
        ).fetchall()
    )
    found = {(row[0], None if row[2] else -1 if row[1] is None else row[1]): row for row in rows}
    return VoiceResult(
        semantics=VoiceSemantics(),
        surveys=tuple(
            _spoken(query, k, survey, found, off.get(k, 0))
            for k, survey in enumerate(query.surveys)
        ),
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def of_cells(
    connection: duckdb.DuckDBPyConnection, query: VoiceQuery, *, as_of: datetime
) -> dict[tuple[str, str], tuple[SaidAt, ...]]:
    """Return what is said of each stage and channel of which something is said. Read-only."""
    parameters = Parameters()
    rows = connection.execute(
        f"""{_relations(query, as_of, parameters)}
        SELECT survey, stage, channel, {_COUNTED}
        FROM rated JOIN place USING (point) GROUP BY survey, stage, channel ORDER BY ALL""",
        parameters.values,
    ).fetchall()
    stages, channels = stage_ids(query.journey), channel_ids(query.journey)
    found: dict[tuple[str, str], list[SaidAt]] = {}
    for row in rows:
        survey, place = query.surveys[row[0]], (stages[row[1]], channels[row[2]])
        told = _said(survey, row, (row[0] + 1, *place))
        kept = {name: told[name] for name in SaidAt.model_fields if name in told}
        found.setdefault(place, []).append(
            SaidAt(survey=row[0] + 1, instrument=survey.instrument, **kept)
        )
    return {place: tuple(told) for place, told in found.items()}


def people(
    connection: duckdb.DuckDBPyConnection, query: VoiceQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number: `all:[survey]`, `high:`, `low:`, of a touchpoint
    `low:[survey,id]`, of a cell `low:[survey,stage,channel]`; surveys count from 1. Raises
    BucketInvalid.
    """
    kind, place = parse(number)
    points = query.journey.touchpoints
    named = {(point.id,) for point in points} | {(point.stage, point.channel) for point in points}
    rest = tuple(place[1:])
    inside = place[0] in range(1, len(query.surveys) + 1)
    if kind not in KINDS or not inside or not (rest == () or rest in named):
        raise unknown(number, "all:N, high:N, low:N, all:[N,touchpoint], all:[N,stage,channel] …")
    parameters = Parameters()
    where = [f"survey = {place[0] - 1}", "true" if kind == "all" else kind]
    if rest:
        here = (k for k, one in enumerate(points) if rest in ((one.id,), (one.stage, one.channel)))
        where.append(f"point IN ({', '.join(map(str, here))})")
    rows = connection.execute(
        f"{_relations(query, as_of, parameters)} SELECT DISTINCT person_id FROM rated"
        f" WHERE {' AND '.join(where)} ORDER BY person_id",
        parameters.values,
    ).fetchall()
    return [int(row[0]) for row in rows]


def _relations(query: VoiceQuery, as_of: datetime, parameters: Parameters) -> str:
    text = stays(query.journey, query.range, as_of, parameters, marks=marks(query.surveys))
    sides = [(k, *_ends(survey)) for k, survey in enumerate(query.surveys)]
    highs = " ".join(f"WHEN {k} THEN {high}" for k, high, _ in sides)
    lows = " ".join(f"WHEN {k} THEN {low}" for k, _, low in sides)
    return f"""{text}, {spoken(query.surveys, parameters)},
rated AS (SELECT *, CASE survey {highs} END AS high, CASE survey {lows} END AS low FROM answered)"""


def _ends(survey: Survey) -> tuple[str, str]:
    """What counts as one of the best answers, and as one of the worst."""
    if survey.instrument == "nps":
        return "score >= 9", "score <= 6"
    return "fallen <= 0.4", "fallen >= 0.6"


def _spoken(
    query: VoiceQuery, k: int, survey: Survey, found: Mapping[Any, Any], off: int
) -> Spoken:
    unlinked = found.get((k, -1))
    return Spoken(
        survey=k + 1,
        instrument=survey.instrument,
        scale=survey.bounds,
        overall=Said(**_said(survey, found.get((k, None)), (k + 1,))),
        touchpoints=tuple(
            SaidOf(
                touchpoint=point.id,
                stage=point.stage,
                channel=point.channel,
                **_said(survey, found.get((k, number)), (k + 1, point.id)),
            )
            for number, point in enumerate(query.journey.touchpoints)
        ),
        unlinked=unlinked[3] if unlinked else 0,
        off_scale=off,
    )


def _said(survey: Survey, row: Any, place: tuple[Any, ...]) -> dict[str, Any]:
    n, profiles, total, squares, high, low, who = row[3:] if row else (0,) * 7
    mean = float(total) / n if n else None
    value: float | None = None
    interval: tuple[float, float] | None = None
    if mean is not None:
        half = z_of(0.95) / sqrt(n)
        if survey.instrument == "nps":
            share = (high - low) / n
            spread = sqrt(max((high + low) / n - share * share, 0.0))
            value = 100 * share
            interval = (value - 100 * half * spread, value + 100 * half * spread)
        elif survey.instrument in ("csat", "fcr"):
            value, interval = high / n, wilson(high, n)
        else:
            value = mean
            spread = sqrt(max(float(squares) / n - mean * mean, 0.0))
            interval = (mean - half * spread, mean + half * spread)
    return {
        "n": n, "profiles": profiles, "value": value, "interval": interval, "mean": mean,
        "high": high, "low": low, "low_profiles": who,
        "buckets": {kind: bucket(kind, *place) for kind in KINDS},
    }  # fmt: skip
