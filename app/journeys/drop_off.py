# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""Where people leave a journey, what is lost there, and where it breaks (research §4.6)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import duckdb
from pydantic import AwareDatetime

from app.journeys.buckets import bucket, parse, unknown
from app.journeys.definition import Frozen, definition_hash
from app.journeys.friction_request import DropOffQuery
from app.journeys.funnel_request import microseconds_of
from app.journeys.intervals import wilson
from app.journeys.labels import Label
from app.journeys.predicate import Parameters, number_at
from app.journeys.quantiles import quantile
from app.journeys.stays import channel_ids, stage_ids, stays
from app.journeys.worth import Worth, at_risk, worth

Method = Literal["observed value of the dropped", "P(comes through | stage) x mean value"]


class DropOffSemantics(Frozen):
    """Every choice behind the numbers of drop-off."""

    unit: Literal["profile"] = "profile"
    dropped: str
    in_progress: Literal["no later stage, and silent for no longer than idle_after"] = (
        "no later stage, and silent for no longer than idle_after"
    )
    resurrected: Literal["came back at the stage after more silence than idle_after"] = (
        "came back at the stage after more silence than idle_after"
    )
    drop_rate: Literal["dropped / (moved + dropped)"] = "dropped / (moved + dropped)"
    interval: Literal["Wilson, 95 %"] = "Wilson, 95 %"
    rupture: Literal["lower end above max(threshold, 2 x median over the places judged)"] = (
        "lower end above max(threshold, 2 x median over the places judged)"
    )
    stalled: Literal["a change of channel with no later stage within `within` / changes judged"] = (
        "a change of channel with no later stage within `within` / changes judged"
    )
    within: str
    threshold: float
    least: int


class StageLoss(Frozen):
    """How people left a stage: `reached` = moved + dropped + in_progress + `unknown`.

    `unknown` are those of whom no silence can be judged, as nobody ever went on from the stage.
    `out_of_order` came to it only after a later one: with `reached` they are all who were here.
    """

    stage: str
    name: Label | None
    reached: int
    moved: int
    dropped: int
    in_progress: int
    unknown: int
    resurrected: int
    out_of_order: int
    drop_rate: float | None
    idle_after: float | None
    lost_value: float | None
    method: Method | None
    buckets: dict[str, str]


class PlaceLoss(Frozen):
    """The same of one place: the people whose last event at the stage was here."""

    stage: str
    channel: str
    touchpoint: str
    moved: int
    dropped: int
    in_progress: int
    drop_rate: float | None
    lower: float | None
    rupture: bool
    bucket: str


class SwitchLoss(Frozen):
    """Changes from one channel to another, and how many led to no later stage in time.

    `profiles` changed so, and `stalled_profiles` once or more without coming further.
    """

    source: str
    target: str
    n: int
    stalled: int
    profiles: int
    stalled_profiles: int
    rate: float | None
    lower: float | None
    rupture: bool
    bucket: str


class DropOffResult(Frozen):
    """An answer about drop-off; a `limit` is what the lower end of a rupture is above.

    `switch_profile_limit` is that of the share of people who stalled once or more.
    """

    semantics: DropOffSemantics
    stages: tuple[StageLoss, ...]
    places: tuple[PlaceLoss, ...]
    place_limit: float
    switches: tuple[SwitchLoss, ...]
    switch_limit: float
    switch_profile_limit: float
    lost_value: float | None
    as_of: AwareDatetime
    definition_hash: str


Row = Mapping[str, Any]
WAYS = ("moved", "dropped", "in_progress")


def drop_off(
    connection: duckdb.DuckDBPyConnection, query: DropOffQuery, *, as_of: datetime
) -> DropOffResult:
    """Count who leaves where over the view `event`. Read-only."""
    parameters = Parameters()
    text = _relations(query, as_of, parameters)
    ways = ", ".join(f"count(*) FILTER (how = '{how}') AS {how}" for how in WAYS)
    staked = "NULL"
    if query.at_stake is not None:
        staked = """(SELECT list(x) FROM (SELECT stage,
            sum(stake::DECIMAL(24, 6)) FILTER (how = 'dropped') AS value
            FROM left_by LEFT JOIN staked USING (person_id) GROUP BY stage) x)"""
    row = connection.execute(
        f"""{text}
        SELECT (SELECT list(x) FROM (SELECT stage, count(*) AS reached, {ways}
                FROM left_by GROUP BY stage) x),
            (SELECT list(x) FROM idle x),
            (SELECT list(x) FROM (SELECT stage, count(DISTINCT person_id) AS n FROM back
                GROUP BY stage) x),
            (SELECT list(x) FROM (SELECT point, {ways} FROM left_by GROUP BY point) x),
            (SELECT list(x ORDER BY channel, next_channel) FROM (
                SELECT channel, next_channel, count(*) AS n, count(*) FILTER (stalled) AS stalled,
                    count(DISTINCT person_id) AS profiles,
                    count(DISTINCT person_id) FILTER (stalled) AS stalled_profiles
                FROM switch GROUP BY channel, next_channel) x),
            (SELECT list(x) FROM (SELECT stage, count(*) AS n FROM reach GROUP BY stage) x),
            {staked}""",
        parameters.values,
    ).fetchone()
    if row is None:
        raise RuntimeError("a select of aggregates always has one row")
    by_stage, idles, back, points, moves, here, stakes = row
    come = worth(connection, query.journey, query.range, as_of)
    lists = (by_stage or (), idles or (), back or (), here or ())
    stages = _stages(query, *lists, stakes, come)
    places, place_limit = _places(query, points or ())
    switches, switch_limit, switch_profile_limit = _switches(query, moves or ())
    losses = [one.lost_value for one in stages if one.lost_value is not None]
    return DropOffResult(
        semantics=DropOffSemantics(
            dropped=(
                "no later stage, and a lost event after the last one of the stage or more silence"
                " than idle_after"
                if query.journey.lost
                else "no later stage, and more silence than idle_after"
            ),
            within=query.model_dump(mode="json")["within"],
            threshold=query.threshold,
            least=query.least,
        ),
        stages=stages,
        places=places,
        place_limit=place_limit,
        switches=switches,
        switch_limit=switch_limit,
        switch_profile_limit=switch_profile_limit,
        lost_value=sum(losses) if losses else None,
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def people(
    connection: duckdb.DuckDBPyConnection, query: DropOffQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number: `moved:[stage]`, `dropped:`, `in_progress:`,
    `resurrected:`, `out_of_order:`; `left:[touchpoint]` for those who dropped there;
    `stalled:[from,to]`.

    Raises BucketInvalid.
    """
    kind, place = parse(number)
    stages, channels = stage_ids(query.journey), channel_ids(query.journey)
    points = [point.id for point in query.journey.touchpoints]
    later = "reach ANTI JOIN left_by USING (person_id, stage)"
    try:
        match kind, place:
            case "moved" | "dropped" | "in_progress", [stage]:
                found = ("left_by", f"stage = {stages.index(stage)} AND how = '{kind}'")
            case "resurrected" | "out_of_order", [stage]:
                relation = "back" if kind == "resurrected" else later
                found = (relation, f"stage = {stages.index(stage)}")
            case "left", [point]:
                found = ("left_by", f"point = {points.index(point)} AND how = 'dropped'")
            case "stalled", [one, two]:
                moved = f"channel = {channels.index(one)} AND next_channel = {channels.index(two)}"
                found = ("switch", f"{moved} AND stalled")
            case _:
                raise ValueError(kind)
    except ValueError:
        kinds = "moved, dropped, in_progress, resurrected, out_of_order, left, stalled"
        raise unknown(number, kinds) from None
    parameters = Parameters()
    text = _relations(query, as_of, parameters)
    rows = connection.execute(
        f"{text} SELECT DISTINCT person_id FROM {found[0]} WHERE {found[1]} ORDER BY person_id",
        parameters.values,
    ).fetchall()
    return [int(row[0]) for row in rows]


def _relations(query: DropOffQuery, as_of: datetime, parameters: Parameters) -> str:
    marks = {"at_stake": query.at_stake.match} if query.at_stake else {}
    text = stays(query.journey, query.range, as_of, parameters, marks=marks)
    within = f"{parameters.bind(microseconds_of(query.within))}::BIGINT"
    last = len(query.journey.stages) - 1
    staked = ""
    if query.at_stake is not None:
        number = number_at(query.at_stake.prop, parameters)
        staked = f""", staked AS (
            SELECT person_id, arg_max(stake, pos) AS stake
            FROM (SELECT person_id, pos, {number} AS stake FROM placed WHERE at_stake)
            WHERE stake IS NOT NULL GROUP BY person_id)"""
    # How far somebody has come decides what is a later stage; who is at the last one has none.
    return f"""{text},
back AS (
    SELECT person_id, stage FROM step JOIN idle USING (stage) WHERE next_t - t > idle_after),
run AS (
    SELECT person_id, pos, max(stage) OVER (PARTITION BY person_id ORDER BY pos) AS far FROM step),
progress AS (
    SELECT person_id, far, min(pos) AS pos FROM run GROUP BY person_id, far),
switch AS (
    SELECT s.person_id, s.channel, s.next_channel,
        p.t IS NULL OR p.t - s.next_t > {within} AS stalled
    FROM (SELECT s.*, run.far FROM step s JOIN run USING (person_id, pos)
        WHERE next_channel <> channel AND run.far < {last}) s
    LEFT JOIN (SELECT person_id, far, lead(t) OVER (PARTITION BY person_id ORDER BY far) AS t
        FROM progress JOIN step USING (person_id, pos)) p
        ON p.person_id = s.person_id AND p.far = s.far
    CROSS JOIN horizon
    WHERE p.t - s.next_t <= {within} OR s.next_t + {within} <= ends){staked}"""


def _stages(
    query: DropOffQuery,
    rows: Any,
    idles: Any,
    back: Any,
    here: Any,
    stakes: Any,
    come: Worth | None,
) -> tuple[StageLoss, ...]:
    by_stage = {one["stage"]: one for one in rows}
    idle = {one["stage"]: one["idle_after"] for one in idles}
    again = {one["stage"]: one["n"] for one in back}
    everybody = {one["stage"]: one["n"] for one in here}
    staked = {one["stage"]: one["value"] for one in stakes or ()}
    expected = at_risk(query.journey, come)
    ids = stage_ids(query.journey)
    names = {stage.id: stage.name for stage in query.journey.stages}
    found = []
    for number, stage in enumerate(ids):
        # Whoever is at the last stage has arrived: there is nothing after it to drop out of.
        final = number == len(ids) - 1
        one = by_stage.get(number, {})
        reached, moved = one.get("reached", 0), one.get("moved", 0)
        dropped = 0 if final else one.get("dropped", 0)
        waiting = 0 if final else one.get("in_progress", 0)
        value, method = _lost(query, number, dropped, staked, expected, stage)
        found.append(
            StageLoss(
                stage=stage,
                name=names[stage],
                reached=reached,
                moved=reached if final else moved,
                dropped=dropped,
                in_progress=waiting,
                unknown=0 if final else reached - moved - dropped - waiting,
                resurrected=again.get(number, 0),
                out_of_order=everybody.get(number, 0) - reached,
                drop_rate=None if final else _rate(dropped, moved + dropped),
                idle_after=None if idle.get(number) is None else idle[number] / 1e6,
                lost_value=None if final else value,
                method=None if final else method,
                buckets={
                    how: bucket(how, stage)
                    for how in ("resurrected", "out_of_order") + (() if final else WAYS)
                },
            )
        )
    return tuple(found)


def _lost(
    query: DropOffQuery,
    number: int,
    dropped: int,
    staked: Mapping[int, Any],
    expected: Mapping[str, float] | None,
    stage: str,
) -> tuple[float | None, Method | None]:
    if query.at_stake is not None:
        return float(staked.get(number) or 0), "observed value of the dropped"
    if expected is None:
        return None, None
    return dropped * expected.get(stage, 0.0), "P(comes through | stage) x mean value"


def _places(query: DropOffQuery, rows: Any) -> tuple[tuple[PlaceLoss, ...], float]:
    by_point = {one["point"]: one for one in rows}
    last = stage_ids(query.journey)[-1]
    judged, limit = _judged(
        query,
        {
            number: (one["dropped"], one["moved"] + one["dropped"])
            for number, one in by_point.items()
            if query.journey.touchpoints[number].stage != last
        },
    )
    found = []
    for number, point in enumerate(query.journey.touchpoints):
        if point.stage == last:
            continue
        one = by_point.get(number, {})
        moved, dropped = one.get("moved", 0), one.get("dropped", 0)
        lower = judged.get(number)
        found.append(
            PlaceLoss(
                stage=point.stage,
                channel=point.channel,
                touchpoint=point.id,
                moved=moved,
                dropped=dropped,
                in_progress=one.get("in_progress", 0),
                drop_rate=_rate(dropped, moved + dropped),
                lower=lower,
                rupture=lower is not None and lower > limit,
                bucket=bucket("left", point.id),
            )
        )
    return tuple(found), limit


def _switches(query: DropOffQuery, rows: Any) -> tuple[tuple[SwitchLoss, ...], float, float]:
    channels = channel_ids(query.journey)
    judged, limit = _judged(query, {n: (one["stalled"], one["n"]) for n, one in enumerate(rows)})
    _, profile_limit = _judged(
        query, {n: (one["stalled_profiles"], one["profiles"]) for n, one in enumerate(rows)}
    )
    found = []
    for number, one in enumerate(rows):
        source, target = channels[one["channel"]], channels[one["next_channel"]]
        lower = judged.get(number)
        found.append(
            SwitchLoss(
                source=source,
                target=target,
                n=one["n"],
                stalled=one["stalled"],
                profiles=one["profiles"],
                stalled_profiles=one["stalled_profiles"],
                rate=_rate(one["stalled"], one["n"]),
                lower=lower,
                rupture=lower is not None and lower > limit,
                bucket=bucket("stalled", source, target),
            )
        )
    return tuple(found), limit, profile_limit


def _judged(
    query: DropOffQuery, counts: Mapping[int, tuple[int, int]]
) -> tuple[dict[int, float], float]:
    """Return the lower end of the share at each place with enough people, and what is too much."""
    enough = {key: (k, n) for key, (k, n) in counts.items() if n >= query.least}
    middle = quantile((k / n for k, n in enough.values()), 0.5) or 0.0
    lower = {key: wilson(k, n)[0] for key, (k, n) in enough.items()}
    return lower, max(query.threshold, 2 * middle)


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None
