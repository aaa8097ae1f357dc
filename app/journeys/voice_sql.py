# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""The SQL of answers to surveys: each score, and the touchpoint it is about."""

from collections.abc import Sequence

from app.journeys.friction_request import Survey
from app.journeys.funnel_request import microseconds_of
from app.journeys.match import Match
from app.journeys.predicate import Parameters, json_pointer


def marks(surveys: Sequence[Survey]) -> dict[str, Match]:
    """Return the marks under which `stays` has to find the answers: s0, s1 …"""
    return {f"s{number}": survey.match for number, survey in enumerate(surveys)}


def spoken(surveys: Sequence[Survey], parameters: Parameters) -> str:
    """Return relations after those of `stays`; the last is `answered`.

    `answered(person_id, survey, score, pos, t, fallen, point)`: one row per answer with a score on
    the scale; `fallen` is how far below the best one it is, 0 to 1 (of effort, above the least);
    `point` is the last touchpoint before it, NULL where there is none within the survey's lag. A
    touchpoint that is itself the answer does not count. Scores off the scale are in `off_scale`.
    """
    answers = []
    for number, survey in enumerate(surveys):
        low, high = survey.bounds
        found = f"json_extract(properties, {parameters.bind(json_pointer(survey.prop))})"
        lag = f"{parameters.bind(microseconds_of(survey.max_lag))}::BIGINT"
        score = (
            f"CASE WHEN json_type({found}) IN ('BIGINT', 'UBIGINT', 'DOUBLE')"
            f" THEN try_cast(json_extract_string({found}, '$') AS DOUBLE) END"
        )
        answers.append(
            f"SELECT person_id, {number} AS survey, pos, t, {score} AS score, {lag} AS lag,"
            f" {parameters.bind(low if survey.instrument == 'ces' else high)}::DOUBLE AS best,"
            f" {parameters.bind(low)}::DOUBLE AS low, {parameters.bind(high)}::DOUBLE AS high"
            f" FROM placed WHERE s{number}"
        )
    asked = " OR ".join(f"s{number}" for number in range(len(surveys)))
    return f"""answer AS MATERIALIZED ({" UNION ALL ".join(answers)}),
touch AS (SELECT person_id, pos, t, point FROM placed WHERE point IS NOT NULL AND NOT ({asked})),
answered AS MATERIALIZED (
    SELECT a.person_id, a.survey, a.score, a.pos, a.t, abs(best - score) / (high - low) AS fallen,
        CASE WHEN a.t - p.t <= a.lag THEN p.point END AS point
    FROM answer a ASOF LEFT JOIN touch p ON p.person_id = a.person_id AND p.pos < a.pos
    WHERE a.score BETWEEN a.low AND a.high),
off_scale AS (
    SELECT survey, count(*) AS n FROM answer
    WHERE score IS NULL OR NOT score BETWEEN low AND high GROUP BY survey)"""
