"""What the answer about readiness says; pure."""

from typing import Literal

from pydantic import AwareDatetime

from app.journeys.definition import Frozen
from app.journeys.findings_answer import Evidence
from app.journeys.labels import Label, LocalizedText

ChannelStatus = Literal["seen", "silent", "blind", "without_touchpoint"]
LEVELS: dict[int, LocalizedText] = {
    0: LocalizedText(fr="rien n’est collecté", en="nothing is collected"),
    1: LocalizedText(fr="collecter", en="collect"),
    2: LocalizedText(fr="cartographier", en="map"),
    3: LocalizedText(fr="réconcilier", en="reconcile"),
    4: LocalizedText(fr="mesurer", en="measure"),
    5: LocalizedText(fr="prédire et agir", en="predict and act"),
}


class ReadinessSemantics(Frozen):
    """Every choice behind the figures of readiness."""

    level: Literal["the highest of which, and of all below, every criterion is met"] = (
        "the highest of which, and of all below, every criterion is met"
    )
    known: Literal["has an identifier of a namespace that is no device's, as of now"] = (
        "has an identifier of a namespace that is no device's, as of now"
    )
    consent: Literal["people of whom some identifier allows the purpose / people, as of now"] = (
        "people of whom some identifier allows the purpose / people, as of now"
    )
    delay: Literal["received less occurred, of events received within silent_after"] = (
        "received less occurred, of events received within silent_after"
    )
    blind: Literal["has touchpoints and no event of them was ever seen"] = (
        "has touchpoints and no event of them was ever seen"
    )
    silent_after: str
    prompt: str
    history: str
    least: int


class Feed(Frozen):
    """One source: how much it sent, how lately, and how long its events take (seconds)."""

    source: str | None
    events: int
    profiles: int
    first: AwareDatetime
    last_received: AwareDatetime
    silent: bool
    delay_p50: float | None
    delay_p95: float | None


class ChannelSeen(Frozen):
    """One channel of the map: `known` of its profiles are more than a device."""

    channel: str
    name: Label | None
    status: ChannelStatus
    touchpoints: int
    observed: int
    events: int
    profiles: int
    known: int
    last: AwareDatetime | None
    bucket: str


class Unmapped(Frozen):
    """A name of events that no touchpoint claims."""

    event: str | None
    events: int


class Criterion(Frozen):
    """One thing that a level asks for: the figure, what it must be, and the request it is of.

    `value` is null where nothing says it, and the criterion is not met.
    """

    level: int
    name: str
    met: bool
    value: float | None
    wanted: float
    interval: tuple[float, float] | None
    text: LocalizedText
    evidence: Evidence
    bucket: str | None


class ReadinessResult(Frozen):
    """An answer about readiness; `level` is 0 to 5.

    Of the `events`, `mapped` belong to a touchpoint. Of the `profiles`, `known` are more than a
    device, `several` were on more channels than one, and `came` to the outcome. `allowed` are the
    people who allow the purpose, `left_out` those who do not, by why.
    """

    semantics: ReadinessSemantics
    level: int
    summary: LocalizedText
    criteria: tuple[Criterion, ...]
    feeds: tuple[Feed, ...]
    channels: tuple[ChannelSeen, ...]
    unmapped: tuple[Unmapped, ...]
    events: int
    mapped: int
    profiles: int
    known: int
    several: int
    came: int
    allowed: int
    left_out: dict[str, int]
    as_of: AwareDatetime
    definition_hash: str
