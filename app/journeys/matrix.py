"""The stage x channel matrix: what was declared and what happened, cell by cell (research §4.3).

An event belongs to the first touchpoint whose match it fits, and through it to a cell. Events that
fit none are reported, not hidden. Cells overlap in people: a row or column total is a distinct
count, never a sum of cells.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import duckdb
from pydantic import AwareDatetime

from app.journeys.buckets import bucket, parse, unknown
from app.journeys.cells import cells_query, people_query
from app.journeys.definition import Channel, Frozen, Journey, Label, Stage, definition_hash
from app.journeys.funnel_request import TimeRange
from app.journeys.matrix_request import MatrixQuery
from app.journeys.predicate import Parameters

Status = Literal["planned+observed", "planned_not_observed", "observed_not_planned", "none"]


class MatrixSemantics(Frozen):
    """Every choice behind a matrix's numbers."""

    unit: Literal["profile"] = "profile"
    touchpoint: Literal["first match in written order"] = "first match in written order"
    ties: Literal["source_order"] = "source_order"
    stage_rule: Literal["latest", "furthest"]
    share_of_stage: Literal["profiles of the cell / profiles of the stage"] = (
        "profiles of the cell / profiles of the stage"
    )
    first_contact: Literal["cell of a profile's first event in the stage"] = (
        "cell of a profile's first event in the stage"
    )
    exits: Literal["cell of a profile's last event in the stage before any later stage"] = (
        "cell of a profile's last event in the stage before any later stage"
    )
    dropped: Literal["no later stage and idle for longer than the stage's idle_after"] = (
        "no later stage and idle for longer than the stage's idle_after"
    )
    idle_after: Literal["p95 of gaps between a journey event at the stage and the next one"] = (
        "p95 of gaps between a journey event at the stage and the next one"
    )
    visit: Literal["consecutive journey events in one cell"] = (
        "consecutive journey events in one cell"
    )
    dwell: Literal["start of a visit to start of the next; the last visit has none"] = (
        "start of a visit to start of the next; the last visit has none"
    )
    repeat_rate: Literal["profiles with two visits or more / profiles of the cell"] = (
        "profiles with two visits or more / profiles of the cell"
    )
    channel_out: Literal["next journey event on another channel"] = (
        "next journey event on another channel"
    )
    quantile: Literal["exact, type 7, to the microsecond"] = "exact, type 7, to the microsecond"


class Dwell(Frozen):
    """Seconds spent per finished visit; exact quantiles, null without any."""

    n: int
    p50: float | None
    p90: float | None


class MatrixCell(Frozen):
    """One stage on one channel.

    `exits` is how many profiles left the stage, or stay in it, from this cell: those who reached a
    later stage, plus `dropped`, plus `in_progress`. The last three rates have no meaning at the
    last stage and are null there, as is every rate that would divide by nobody.
    """

    stage: str
    channel: str
    profiles: int
    events: int
    share_of_stage: float | None
    first_contact_share: float | None
    exits: int
    to_next_stage_rate: float | None
    dropped: int | None
    in_progress: int | None
    drop_rate: float | None
    dwell: Dwell
    repeat_rate: float | None
    channel_out: dict[str, int]
    planned: bool
    observed: bool
    status: Status
    bucket: str


class StageTotal(Frozen):
    """A column: distinct profiles over all channels.

    `current` counts the profiles whose current stage this is, by the journey's stage rule.
    `idle_after` is H_s in seconds: silence longer than that is a drop-off; null when no event at
    the stage was ever followed by another.
    """

    id: str
    name: Label | None
    order: int
    profiles: int
    events: int
    current: int
    idle_after: float | None


class ChannelTotal(Frozen):
    """A row: distinct profiles over all stages."""

    id: str
    name: Label | None
    family: str | None
    profiles: int
    events: int


class MatrixResult(Frozen):
    """A matrix's answer; the same definition, as_of and events give the same bytes.

    `events` counts all events in range, `unmapped` those no touchpoint claims; `profiles` the
    people with a mapped event. `pairs` are neighbouring journey events of one person, `switches`
    those whose channel differs.
    """

    semantics: MatrixSemantics
    profiles: int
    events: int
    unmapped: int
    unmapped_share: float | None
    pairs: int
    switches: int
    switch_rate: float | None
    stages: tuple[StageTotal, ...]
    channels: tuple[ChannelTotal, ...]
    cells: tuple[MatrixCell, ...]
    range: TimeRange
    as_of: AwareDatetime
    definition_hash: str


Row = Mapping[str, Any]


def matrix(
    connection: duckdb.DuckDBPyConnection,
    journey: Journey,
    *,
    as_of: datetime,
    range: TimeRange | None = None,
) -> MatrixResult:
    """Compute a journey's matrix over the view `event` of the connection.

    Only events that happened and were received by `as_of`, inside `range` (half-open), count.
    Cells come by stage order, then in the order in which the journey lists its channels, empty
    ones included. Read-only.
    """
    query = MatrixQuery(journey=journey, range=range or TimeRange())
    parameters = Parameters()
    row = connection.execute(cells_query(query, as_of, parameters), parameters.values).fetchone()
    if row is None:
        raise RuntimeError("a select of aggregates always has one row")
    totals, by_cell, by_stage, moves = row[0], _keyed(row[1]), _keyed(row[2]), row[3] or []
    stages = sorted(journey.stages, key=lambda stage: stage.order)
    counts = {(one["stage"], one["channel"]): one for one in totals}
    everything = counts[None, None]
    out: dict[int, dict[str, int]] = {}
    for move in sorted(moves, key=lambda one: (one["cell"], one["channel"])):
        channel = journey.channels[move["channel"]].id
        out.setdefault(move["cell"], {})[channel] = move["n"]
    cells = []
    for s, stage in enumerate(stages):
        for c, channel_ in enumerate(journey.channels):
            number = s * len(journey.channels) + c
            cells.append(
                _cell(
                    journey,
                    (stage, channel_),
                    by_cell.get(number, {}),
                    stage_profiles=_count(counts, (s, None), "profiles"),
                    forward=s < len(stages) - 1 and _idle(by_stage, s) is not None,
                    last=s == len(stages) - 1,
                    channel_out=out.get(number, {}),
                )
            )
    events, mapped = everything["all_events"], everything["events"]
    switches = sum(move["n"] for move in moves)
    pairs = mapped - everything["profiles"]
    return MatrixResult(
        semantics=MatrixSemantics(stage_rule=journey.stage_rule),
        profiles=everything["profiles"],
        events=events,
        unmapped=events - mapped,
        unmapped_share=_rate(events - mapped, events),
        pairs=pairs,
        switches=switches,
        switch_rate=_rate(switches, pairs),
        stages=tuple(
            StageTotal(
                id=stage.id,
                name=stage.name,
                order=stage.order,
                profiles=_count(counts, (s, None), "profiles"),
                events=_count(counts, (s, None), "events"),
                current=by_stage.get(s, {}).get("current") or 0,
                idle_after=_seconds(_idle(by_stage, s)),
            )
            for s, stage in enumerate(stages)
        ),
        channels=tuple(
            ChannelTotal(
                id=channel.id,
                name=channel.name,
                family=channel.family,
                profiles=_count(counts, (None, c), "profiles"),
                events=_count(counts, (None, c), "events"),
            )
            for c, channel in enumerate(journey.channels)
        ),
        cells=tuple(cells),
        range=query.range,
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def people(
    connection: duckdb.DuckDBPyConnection, query: MatrixQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number: `cell:`, `moved:`, `dropped:`, `in_progress:` with a
    stage and a channel; `stage:`, `current:`, `channel:` with one. Raises BucketInvalid.
    """
    journey = query.journey
    kind, place = parse(number)
    stages = [stage.id for stage in sorted(journey.stages, key=lambda stage: stage.order)]
    channels = [channel.id for channel in journey.channels]
    left = kind in ("moved", "dropped", "in_progress")
    try:
        if (kind == "cell" or left) and len(place) == 2:
            cell = stages.index(place[0]) * len(channels) + channels.index(place[1])
            relation, where = "step", f"cell = {cell}"
            if left:
                relation, where = "left_by", f"cell = {cell} AND how = '{kind}'"
        elif kind == "stage" and len(place) == 1:
            relation, where = "step", f"stage = {stages.index(str(place[0]))}"
        elif kind == "current" and len(place) == 1:
            relation, where = "latest", f"{journey.stage_rule} = {stages.index(str(place[0]))}"
        elif kind == "channel" and len(place) == 1:
            relation, where = "step", f"channel = {channels.index(str(place[0]))}"
        else:
            raise ValueError(kind)
    except ValueError:
        kinds = "cell, moved, dropped, in_progress, stage, current, channel"
        raise unknown(number, kinds) from None
    parameters = Parameters()
    text = people_query(query, as_of, parameters, relation=relation, where=where)
    return [int(row[0]) for row in connection.execute(text, parameters.values).fetchall()]


def _cell(
    journey: Journey,
    place: tuple[Stage, Channel],
    found: Row,
    *,
    stage_profiles: int,
    forward: bool,
    last: bool,
    channel_out: dict[str, int],
) -> MatrixCell:
    stage, channel = place
    planned = any(
        point.planned and (point.stage, point.channel) == (stage.id, channel.id)
        for point in journey.touchpoints
    )
    profiles, exits = found.get("profiles") or 0, found.get("exits") or 0
    dropped, waiting = found.get("dropped") or 0, found.get("in_progress") or 0
    return MatrixCell(
        stage=stage.id,
        channel=channel.id,
        profiles=profiles,
        events=found.get("events") or 0,
        share_of_stage=_rate(profiles, stage_profiles),
        first_contact_share=_rate(found.get("first_contacts") or 0, stage_profiles),
        exits=exits,
        to_next_stage_rate=None if last else _rate(found.get("moved") or 0, exits),
        dropped=dropped if forward else None,
        in_progress=waiting if forward else None,
        drop_rate=_rate(dropped, exits) if forward else None,
        dwell=Dwell(
            n=found.get("dwells") or 0,
            p50=_seconds(found.get("dwell_p50")),
            p90=_seconds(found.get("dwell_p90")),
        ),
        repeat_rate=_rate(found.get("repeaters") or 0, profiles),
        channel_out=channel_out,
        planned=planned,
        observed=profiles > 0,
        status=_status(planned, profiles > 0),
        bucket=bucket("cell", stage.id, channel.id),
    )


def _status(planned: bool, observed: bool) -> Status:
    if planned:
        return "planned+observed" if observed else "planned_not_observed"
    return "observed_not_planned" if observed else "none"


def _keyed(rows: Sequence[Row] | None) -> dict[int, Row]:
    return {row["key"]: row for row in rows or []}


def _count(
    counts: Mapping[tuple[int | None, int | None], Row],
    key: tuple[int | None, int | None],
    field: str,
) -> int:
    return int(counts.get(key, {}).get(field, 0))


def _idle(by_stage: Mapping[int, Row], stage: int) -> float | None:
    found = by_stage.get(stage, {}).get("idle_after")
    return None if found is None else float(found)


def _seconds(microseconds: float | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None
