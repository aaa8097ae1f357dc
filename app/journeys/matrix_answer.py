"""What a matrix says: of each cell what was planned, what happened, and how it was judged; pure."""

from typing import Literal

from pydantic import AwareDatetime

from app.journeys.definition import Frozen
from app.journeys.funnel_request import TimeRange
from app.journeys.labels import Label
from app.journeys.survey import Instrument

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
    voice: Literal["as in the analysis of voice, of the cell's touchpoints"] = (
        "as in the analysis of voice, of the cell's touchpoints"
    )
    friction: Literal["mean of the cell's touchpoints' scores, weighted by their visits"] = (
        "mean of the cell's touchpoints' scores, weighted by their visits"
    )


class Dwell(Frozen):
    """Seconds spent per finished visit; exact quantiles, null without any."""

    n: int
    p50: float | None
    p90: float | None


class DeclaredAt(Frozen):
    """What people say of a touchpoint of a cell, beside what is computed of the cell."""

    touchpoint: str
    assessment: Literal["enchantment", "neutral", "irritant", "rupture"] | None
    moment_of_truth: bool


class SaidAt(Frozen):
    """What the answers to one survey say of a cell, with the 95 % interval of their `value`."""

    survey: int
    instrument: Instrument
    n: int
    profiles: int
    value: float
    interval: tuple[float, float]
    buckets: dict[str, str]


class MatrixCell(Frozen):
    """One stage on one channel; `declared` are its touchpoints of which people say something.

    `voice` is what answers to the surveys that were named say of it, those with any; `friction`,
    where it was asked for, is from 0 to 100, null where nothing was seen often enough.

    `exits` is how many profiles left the stage, or stay in it, from this cell: those who reached a
    later stage, plus `dropped`, plus `in_progress`, plus those of whom nothing can be said where
    nobody's silence is known. Dropped is who had a `lost` event of the journey since, or is silent
    for longer than `idle_after`, as in drop-off. The last three rates have no meaning at the last
    stage and are null there, as is every rate that would divide by nobody.
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
    declared: tuple[DeclaredAt, ...]
    voice: tuple[SaidAt, ...]
    friction: float | None
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
