"""The stage x channel matrix: what was declared and what happened, cell by cell (research §4.3).

An event belongs to the first touchpoint whose match it fits, and through it to a cell. Events that
fit none are reported, not hidden. Cells overlap in people: a row or column total is a distinct
count, never a sum of cells.
"""

from dataclasses import dataclass
from datetime import datetime

import duckdb
import numpy as np

from app.journeys import voice
from app.journeys.buckets import bucket, parse, unknown
from app.journeys.cells import DROPPED, IN_PROGRESS, MOVED, Steps
from app.journeys.definition import Journey, definition_hash
from app.journeys.friction_request import FrictionRules
from app.journeys.funnel_request import TimeRange
from app.journeys.groups import quantile
from app.journeys.map_parts import Channel, Stage
from app.journeys.matrix_answer import (
    ChannelTotal,
    DeclaredAt,
    Dwell,
    MatrixCell,
    MatrixResult,
    MatrixSemantics,
    StageTotal,
    Status,
)
from app.journeys.matrix_judged import Judged, judged, said
from app.journeys.matrix_request import MatrixQuery
from app.journeys.survey import Survey
from app.lake.ordered import Array

#: How people leave a stage, as numbers open to them.
LEFT = ("moved", "dropped", "in_progress")


def matrix(
    connection: duckdb.DuckDBPyConnection,
    journey: Journey,
    *,
    as_of: datetime,
    range: TimeRange | None = None,
    surveys: tuple[Survey, ...] = (),
    friction: FrictionRules | None = None,
) -> MatrixResult:
    """Compute a journey's matrix over the view `event` of the connection.

    Only events that happened and were received by `as_of`, inside `range` (half-open), count.
    Cells come by stage order, then in the order in which the journey lists its channels, empty
    ones included. Read-only.
    """
    query = MatrixQuery(
        journey=journey, range=range or TimeRange(), surveys=surveys, friction=friction
    )
    steps = Steps(connection, query, as_of)
    stages = sorted(journey.stages, key=lambda stage: stage.order)
    width = len(journey.channels)
    profiles, by_stage, by_channel = steps.profiles
    events = np.bincount(steps.cell, minlength=steps.cells).reshape(-1, width)
    standing = steps.latest if journey.stage_rule == "latest" else steps.furthest
    current = np.bincount(standing, minlength=len(stages))
    openings, repeaters, moves = steps.openings, steps.repeaters, steps.moves
    exits = np.bincount(steps.left.cell.astype(np.int64) * 4 + steps.left.how,
                        minlength=steps.cells * 4).reshape(-1, 4)  # fmt: skip
    judgement = judged(connection, query, as_of)
    cells = []
    for s, stage in enumerate(stages):
        for c, channel in enumerate(journey.channels):
            number = s * width + c
            out = {journey.channels[to].id: n for to, n in enumerate(moves[number].tolist()) if n}
            cells.append(
                _cell(
                    journey,
                    (stage, channel),
                    _Counts(
                        profiles=int(profiles[number]),
                        events=int(events[s, c]),
                        stage_profiles=int(by_stage[s]),
                        openings=int(openings[number]),
                        repeaters=int(repeaters[number]),
                        left=exits[number].tolist(),
                        dwells=steps.dwells.get(number),
                    ),
                    judgement,
                    known=s in steps.idle,
                    last=s == len(stages) - 1,
                    channel_out=out,
                )
            )
    mapped = len(steps.cell)
    people = int(steps.starts.sum())
    switches = int(moves.sum())
    pairs = mapped - people
    return MatrixResult(
        semantics=MatrixSemantics(stage_rule=journey.stage_rule),
        profiles=people,
        events=steps.all_events,
        unmapped=steps.all_events - mapped,
        unmapped_share=_rate(steps.all_events - mapped, steps.all_events),
        pairs=pairs,
        switches=switches,
        switch_rate=_rate(switches, pairs),
        stages=tuple(
            StageTotal(
                id=stage.id,
                name=stage.name,
                order=stage.order,
                profiles=int(by_stage[s]),
                events=int(events[s].sum()),
                current=int(current[s]),
                idle_after=_seconds(steps.idle.get(s)),
            )
            for s, stage in enumerate(stages)
        ),
        channels=tuple(
            ChannelTotal(
                id=channel.id,
                name=channel.name,
                family=channel.family,
                profiles=int(by_channel[c]),
                events=int(events[:, c].sum()),
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
    stage and a channel; `stage:`, `current:`, `channel:` with one; `all:`, `high:`, `low:` with
    a survey, a stage and a channel. Raises BucketInvalid.
    """
    journey = query.journey
    kind, place = parse(number)
    if kind in voice.KINDS and query.surveys:
        return voice.people(connection, said(query), as_of=as_of, number=number)
    stages = [stage.id for stage in sorted(journey.stages, key=lambda stage: stage.order)]
    channels = [channel.id for channel in journey.channels]
    steps = Steps(connection, query, as_of)
    try:
        if kind in ("cell", *LEFT) and len(place) == 2:
            cell = stages.index(place[0]) * len(channels) + channels.index(place[1])
            who = steps.who[steps.cell == cell]
            if kind in LEFT:
                left = steps.left
                who = left.person[(left.cell == cell) & (left.how == LEFT.index(kind))]
        elif kind == "stage" and len(place) == 1:
            who = steps.who[steps.stage == stages.index(str(place[0]))]
        elif kind == "current" and len(place) == 1:
            standing = steps.latest if journey.stage_rule == "latest" else steps.furthest
            who = steps.who[steps.last][standing == stages.index(str(place[0]))]
        elif kind == "channel" and len(place) == 1:
            who = steps.who[steps.channel == channels.index(str(place[0]))]
        else:
            raise ValueError(kind)
    except ValueError:
        kinds = "cell, moved, dropped, in_progress, stage, current, channel"
        raise unknown(number, kinds) from None
    return [int(person) for person in steps.people[np.flatnonzero(np.bincount(who))]]


@dataclass(frozen=True, slots=True)
class _Counts:
    """What was counted of one cell; `left` by how, `dwells` none where no visit ended."""

    profiles: int
    events: int
    stage_profiles: int
    openings: int
    repeaters: int
    left: list[int]
    dwells: Array | None


def _cell(
    journey: Journey,
    place: tuple[Stage, Channel],
    found: _Counts,
    judgement: Judged,
    *,
    known: bool,
    last: bool,
    channel_out: dict[str, int],
) -> MatrixCell:
    stage, channel = place
    planned = any(
        point.planned and (point.stage, point.channel) == (stage.id, channel.id)
        for point in journey.touchpoints
    )
    exits = sum(found.left)
    moved, dropped, waiting = (found.left[how] for how in (MOVED, DROPPED, IN_PROGRESS))
    dwells = found.dwells
    told = not last and (known or bool(journey.lost))
    return MatrixCell(
        stage=stage.id,
        channel=channel.id,
        profiles=found.profiles,
        events=found.events,
        share_of_stage=_rate(found.profiles, found.stage_profiles),
        first_contact_share=_rate(found.openings, found.stage_profiles),
        exits=exits,
        to_next_stage_rate=None if last else _rate(moved, exits),
        dropped=dropped if told else None,
        in_progress=waiting if known and not last else None,
        drop_rate=_rate(dropped, exits) if known and not last else None,
        dwell=Dwell(
            n=0 if dwells is None else len(dwells),
            p50=None if dwells is None else _seconds(quantile(dwells, 0.5)),
            p90=None if dwells is None else _seconds(quantile(dwells, 0.9)),
        ),
        repeat_rate=_rate(found.repeaters, found.profiles),
        channel_out=channel_out,
        planned=planned,
        observed=found.profiles > 0,
        status=_status(planned, found.profiles > 0),
        declared=tuple(
            DeclaredAt(
                touchpoint=point.id,
                assessment=None if point.assessment is None else point.assessment.declared,
                moment_of_truth=point.moment_of_truth,
            )
            for point in journey.touchpoints
            if (point.stage, point.channel) == (stage.id, channel.id)
            and (point.assessment is not None or point.moment_of_truth)
        ),
        voice=judgement.voice.get((stage.id, channel.id), ()),
        friction=judgement.friction.get((stage.id, channel.id)),
        bucket=bucket("cell", stage.id, channel.id),
    )


def _status(planned: bool, observed: bool) -> Status:
    if planned:
        return "planned+observed" if observed else "planned_not_observed"
    return "observed_not_planned" if observed else "none"


def _seconds(microseconds: float | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None
