# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""The SQL of answers to surveys: each score, and the touchpoint it is about."""

from collections.abc import Sequence

from app.journeys.funnel_request import microseconds_of
from app.journeys.match import Match
from app.journeys.predicate import Parameters, json_pointer
from app.journeys.survey import Survey


def marks(surveys: Sequence[Survey]) -> dict[str, Match]:
    """Return the marks under which `stays` has to find the answers: s0, s1 …"""
    return {f"s{number}": survey.match for number, survey in enumerate(surveys)}


def spoken(surveys: Sequence[Survey], parameters: Parameters) -> str:
    """Return relations after those of `stays`; the last is `answered`.

    `answered(person_id, survey, score, pos, t, fallen, point)`: one row per answer with a score on
    the scale; `fallen` is how far below the best one it is, 0 to 1 (of effort, above the least);
    `point` is the touchpoint that it is, where the survey says so, or the last one before it, NULL
    where there is none within the survey's lag. An answer that is about what was before is no
    touchpoint of other answers. Scores off the scale are in `off_scale`.
    """
    answers = []
    for number, survey in enumerate(surveys):
        low, high = survey.bounds
        lag = f"{parameters.bind(microseconds_of(survey.max_lag))}::BIGINT"
        answers.append(
            f"SELECT person_id, {number} AS survey, pos, t, {_score(survey, parameters)} AS score,"
            f" {lag} AS lag, {'point' if survey.itself else 'NULL::BIGINT'} AS own,"
            f" {parameters.bind(low if survey.instrument == 'ces' else high)}::DOUBLE AS best,"
            f" {parameters.bind(low)}::DOUBLE AS low, {parameters.bind(high)}::DOUBLE AS high"
            f" FROM placed WHERE s{number}"
        )
    before = [f"s{number}" for number, survey in enumerate(surveys) if not survey.itself]
    return f"""answer AS MATERIALIZED ({" UNION ALL ".join(answers)}),
touch AS (
    SELECT person_id, pos, t, point FROM placed
    WHERE point IS NOT NULL AND NOT ({" OR ".join(before) or "false"})),
answered AS MATERIALIZED (
    SELECT a.person_id, a.survey, a.score, a.pos, a.t, abs(best - score) / (high - low) AS fallen,
        coalesce(a.own, CASE WHEN a.t - p.t <= a.lag THEN p.point END) AS point
    FROM answer a ASOF LEFT JOIN touch p ON p.person_id = a.person_id AND p.pos < a.pos
    WHERE a.score BETWEEN a.low AND a.high),
off_scale AS (
    SELECT survey, count(*) AS n FROM answer
    WHERE score IS NULL OR NOT score BETWEEN low AND high GROUP BY survey)"""


def _score(survey: Survey, parameters: Parameters) -> str:
    """The score of an answer: a number, or what a word stands for; else NULL."""
    found = f"json_extract(properties, {parameters.bind(json_pointer(survey.prop))})"
    said = f"json_extract_string({found}, '$')"
    words = "".join(
        f" WHEN {parameters.bind(word)} THEN {parameters.bind(score)}::DOUBLE"
        for word, score in survey.words.items()
    )
    word = (
        f" WHEN json_type({found}) IN ('VARCHAR', 'BOOLEAN')"
        f" THEN CASE lower(trim({said})){words} END"
    )
    return (
        f"CASE WHEN json_type({found}) IN ('BIGINT', 'UBIGINT', 'DOUBLE')"
        f" THEN try_cast({said} AS DOUBLE){word if words else ''} END"
    )
