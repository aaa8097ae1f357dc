# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""Moments of truth: touchpoints after which good and bad visits end differently (research §4.5)."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

import duckdb
from pydantic import AwareDatetime

from app.journeys.buckets import bucket, parse, unknown
from app.journeys.definition import Frozen, definition_hash
from app.journeys.funnel_request import microseconds_of
from app.journeys.intervals import newcombe
from app.journeys.labels import Label
from app.journeys.match import Match
from app.journeys.moments_request import GOOD_BAD, MomentsQuery, Reading
from app.journeys.predicate import Parameters
from app.journeys.significance import Verdict, discoveries, shares
from app.journeys.stays import stays
from app.journeys.voice_sql import marks, spoken

Status = Literal["detected", "not_detected", "insufficient_sample", "no_variation"]


class MomentsSemantics(Frozen):
    """Every choice behind moments of truth."""

    unit: Literal["profile"] = "profile"
    time_zero: Literal["the first reading of a profile at the touchpoint; late_after: its end"] = (
        "the first reading of a profile at the touchpoint; late_after: its end"
    )
    effect: Literal["P(outcome | good) - P(outcome | bad)"] = "P(outcome | good) - P(outcome | bad)"
    interval: Literal["Newcombe (method 10), 95 %"] = "Newcombe (method 10), 95 %"
    multiplicity: Literal["Benjamini-Hochberg over all touchpoints and readings tested"] = (
        "Benjamini-Hochberg over all touchpoints and readings tested"
    )
    detected: Literal["q below level"] = "q below level"
    rank: Literal["|effect| x reach"] = "|effect| x reach"
    evidence: Literal["observational"] = "observational"
    outcome: dict[str, Any] | None
    window: str
    level: float
    least: int


class Side(Frozen):
    """Profiles whose visit went well, or badly: `k` of `n` had the outcome."""

    n: int
    k: int
    share: float | None
    bucket: str


class MomentOfTruth(Frozen):
    """One touchpoint by one reading.

    `declared` says that people hold it for one, `status` what the numbers say; neither overwrites
    the other. `in_progress` have time left, `decided` had the outcome before.
    """

    touchpoint: str
    name: Label | None
    reading: int
    declared: bool
    status: Status
    profiles: int
    reach: float | None
    good: Side
    bad: Side
    in_progress: int
    decided: int
    effect: float | None
    interval: tuple[float, float] | None
    test: str | None
    p: float | None
    q: float | None
    rank: float | None


class MomentsResult(Frozen):
    """An answer about moments of truth, the weightiest first."""

    semantics: MomentsSemantics
    moments: tuple[MomentOfTruth, ...]
    as_of: AwareDatetime
    definition_hash: str


def moments_of_truth(
    connection: duckdb.DuckDBPyConnection, query: MomentsQuery, *, as_of: datetime
) -> MomentsResult:
    """Test every touchpoint over the view `event`. Read-only."""
    parameters = Parameters()
    text = _relations(query, as_of, parameters)
    row = connection.execute(
        f"""{text}
        SELECT (SELECT list(x) FROM (SELECT point, reading,
                    count(*) FILTER (good AND judged) AS good_n,
                    count(*) FILTER (good AND judged AND came) AS good_k,
                    count(*) FILTER (NOT good AND judged) AS bad_n,
                    count(*) FILTER (NOT good AND judged AND came) AS bad_k,
                    count(*) FILTER (NOT judged AND NOT decided) AS in_progress,
                    count(*) FILTER (decided) AS decided
                FROM judged GROUP BY point, reading) x),
            (SELECT list(x) FROM (SELECT point, count(DISTINCT person_id) AS n
                FROM visit GROUP BY point) x),
            (SELECT count(DISTINCT person_id) FROM visit)""",
        parameters.values,
    ).fetchone()
    rows, sizes, everybody = row or (None, None, 0)
    counts = {(one["point"], one["reading"]): one for one in rows or ()}
    profiles = {one["point"]: one["n"] for one in sizes or ()}
    found = [
        _moment(query, number, place, counts.get((number, place), {}), profiles, everybody)
        for place, reading in enumerate(query.readings)
        for number, point in enumerate(query.journey.touchpoints)
        if not reading.touchpoints or point.id in reading.touchpoints
    ]
    return MomentsResult(
        semantics=MomentsSemantics(
            outcome=query.outcome.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            if query.outcome
            else None,
            window=query.model_dump(mode="json")["window"],
            level=query.level,
            least=query.least,
        ),
        moments=tuple(_ranked(query, found)),
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def people(
    connection: duckdb.DuckDBPyConnection, query: MomentsQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number: `good:[reading,touchpoint]` and `bad:` for all who are
    judged. Raises BucketInvalid.
    """
    kind, place = parse(number)
    ids = [point.id for point in query.journey.touchpoints]
    inside = range(1, len(query.readings) + 1)
    if (
        kind not in ("good", "bad")
        or len(place) != 2
        or place[0] not in inside
        or place[1] not in ids
    ):
        raise unknown(number, "good:[reading,touchpoint], bad:[reading,touchpoint]")
    parameters = Parameters()
    text = _relations(query, as_of, parameters)
    rows = connection.execute(
        f"{text} SELECT DISTINCT person_id FROM judged WHERE judged AND reading = {place[0] - 1}"
        f" AND point = {ids.index(place[1])} AND good = {kind == 'good'} ORDER BY person_id",
        parameters.values,
    ).fetchall()
    return [int(row[0]) for row in rows]


def _relations(query: MomentsQuery, as_of: datetime, parameters: Parameters) -> str:
    flags: dict[str, Match] = {}
    surveys = [reading.survey for reading in query.readings if reading.survey is not None]
    flags |= marks(surveys)
    for k, reading in enumerate(query.readings):
        if reading.good is not None and reading.bad is not None:
            flags |= {f"g{k}": reading.good, f"b{k}": reading.bad}
    if query.outcome is not None:
        flags["y"] = query.outcome
    text = stays(query.journey, query.range, as_of, parameters, marks=flags)
    relations = [spoken(surveys, parameters)] if surveys else []
    parts = []
    for k, reading in enumerate(query.readings):
        parts.append(_read(query, k, reading, surveys, parameters))
    last = len(query.journey.stages) - 1
    outcome = f"SELECT person_id, pos, t FROM step WHERE stage = {last}"
    if query.outcome is not None:
        outcome = "SELECT person_id, pos, t FROM placed WHERE y"
    window = f"{parameters.bind(microseconds_of(query.window))}::BIGINT"
    relations += [
        f"reading AS ({' UNION ALL '.join(parts)})",
        """zero AS (
        SELECT * FROM reading
        QUALIFY row_number() OVER (PARTITION BY person_id, point, reading ORDER BY t, pos) = 1)""",
        f"""first_outcome AS (
        SELECT person_id, min(pos) AS out_pos, arg_min(t, pos) AS out_t
        FROM ({outcome}) GROUP BY person_id)""",
        # Whose window is not over is not judged, outcome or not: early ones alone would flatter.
        f"""judged AS (
        SELECT *, NOT decided AND t + {window} <= ends AS judged
        FROM (SELECT z.person_id, z.point, z.reading, z.good, z.t, ends,
                coalesce(out_t < z.t OR (out_t = z.t AND out_pos <= z.pos), false) AS decided,
                coalesce(out_t - z.t <= {window}, false) AS came
            FROM zero z LEFT JOIN first_outcome o USING (person_id) CROSS JOIN horizon))""",
    ]
    return ", ".join([text, *relations])


def _read(
    query: MomentsQuery, k: int, reading: Reading, surveys: list[Any], parameters: Parameters
) -> str:
    if reading.late_after is not None:
        late = f"{parameters.bind(microseconds_of(reading.late_after))}::BIGINT"
        return (
            f"SELECT person_id, point, {k} AS reading, coalesce(next_t - t <= {late}, false)"
            f" AS good, pos, t + {late} AS t FROM visit CROSS JOIN horizon WHERE t + {late} <= ends"
        )
    if reading.survey is not None:
        high, low = GOOD_BAD[reading.survey.instrument]
        good, bad = f"score >= {high}", f"score <= {low}"
        if reading.survey.instrument == "ces":  # much effort is bad
            good, bad = f"score <= {high}", f"score >= {low}"
        return (
            f"SELECT person_id, point, {k} AS reading, {good} AS good, pos, t FROM answered"
            f" WHERE survey = {surveys.index(reading.survey)} AND point IS NOT NULL"
            f" AND ({good} OR {bad})"
        )
    return (
        f"SELECT r.person_id, v.point, {k} AS reading, NOT r.b{k} AS good, r.pos, r.t"
        f" FROM (SELECT * FROM placed WHERE g{k} OR b{k}) r ASOF JOIN visit v"
        " ON v.person_id = r.person_id AND v.pos <= r.pos"
    )


def _moment(
    query: MomentsQuery,
    number: int,
    place: int,
    found: Mapping[str, int],
    profiles: Mapping[int, int],
    everybody: int,
) -> MomentOfTruth:
    point = query.journey.touchpoints[number]
    here = profiles.get(number, 0)
    sides = {}
    for side in ("good", "bad"):
        n, k = found.get(f"{side}_n", 0), found.get(f"{side}_k", 0)
        name = bucket(side, place + 1, point.id)
        sides[side] = Side(n=n, k=k, share=k / n if n else None, bucket=name)
    good, bad = sides["good"], sides["bad"]
    reach = here / everybody if everybody else None
    enough = min(good.n, bad.n) >= query.least and (reach or 0) >= query.reach
    effect = (good.share or 0) - (bad.share or 0) if enough else None
    return MomentOfTruth(
        touchpoint=point.id,
        name=point.name,
        reading=place + 1,
        declared=point.moment_of_truth,
        status="not_detected" if enough else "insufficient_sample",
        profiles=here,
        reach=reach,
        good=good,
        bad=bad,
        in_progress=found.get("in_progress", 0),
        decided=found.get("decided", 0),
        effect=effect,
        interval=newcombe(good.k, good.n, bad.k, bad.n) if enough else None,
        test=None,
        p=None,
        q=None,
        rank=None if effect is None else abs(effect) * (reach or 0),
    )


def _ranked(query: MomentsQuery, found: Iterable[MomentOfTruth]) -> list[MomentOfTruth]:
    """Test what can be tested, all together, and put the weightiest first."""
    listed = list(found)
    tested: dict[int, Verdict] = {}
    for place, one in enumerate(listed):
        good, bad = one.good, one.bad
        if one.effect is not None and 0 < good.k + bad.k < good.n + bad.n:
            tested[place] = shares(good.k, good.n, bad.k, bad.n)
    qs = dict(zip(tested, discoveries([v.p for v in tested.values()]), strict=True))
    for place, one in enumerate(listed):
        if place in tested:
            verdict, q = tested[place], qs[place]
            status: Status = "detected" if q < query.level else "not_detected"
            said = {"test": verdict.test, "p": verdict.p, "q": q, "status": status}
            listed[place] = one.model_copy(update=said)
        elif one.effect is not None:
            listed[place] = one.model_copy(update={"status": "no_variation"})
    return sorted(listed, key=lambda one: (-(one.rank or 0), one.touchpoint, one.reading))
