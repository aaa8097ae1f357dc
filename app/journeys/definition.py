"""What a journey is: the map that events are compared with.

Pure: no database, no clock, no settings.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from app.journeys.frozen import Frozen as Frozen  # part of every definition
from app.journeys.frozen import Identifier as Identifier
from app.journeys.labels import Label
from app.journeys.map_parts import (
    Amount,
    Channel,
    Kpi,
    Objective,
    Owner,
    Parent,
    Persona,
    Scope,
    Stage,
    Touchpoint,
)
from app.journeys.match import EventView, Match, matches, may_be_called
from app.journeys.provenance import LISTS, Provenance, check
from app.journeys.target import Target


def _channel(value: object) -> object:
    return {"id": value} if isinstance(value, str) else value


class Journey(Frozen):
    """A declared journey: the map that events are compared with.

    Touchpoints are ordered rules: the first whose match fits an event wins. Stages have distinct
    orders, so that the furthest stage of a person is always one stage. `stage_rule` says which
    stage a person is at: the furthest ever reached, or the one of the latest event. `value` is
    what an arrival at the last stage is worth, `lost` are events after which somebody is gone,
    `personae` are whom it is drawn for, `provenance` says who says what of it. Its `objective`,
    `scope`, `owner` and `kpis` frame it; `parent` is the larger journey that it is a part of.
    """

    key: Identifier
    name: Label
    purpose: Identifier = "analytics.audience"
    stages: tuple[Stage, ...] = Field(min_length=1)
    channels: tuple[Annotated[Channel, BeforeValidator(_channel)], ...] = Field(min_length=1)
    touchpoints: tuple[Touchpoint, ...] = Field(min_length=1)
    stage_rule: Literal["latest", "furthest"] = "furthest"
    target: Target | None = None
    value: Amount | None = None
    lost: tuple[Match, ...] = Field(default=(), max_length=50)
    personae: tuple[Persona, ...] = Field(default=(), max_length=50)
    provenance: tuple[Provenance, ...] = Field(default=(), max_length=5_000)
    objective: Objective | None = None
    scope: Scope | None = None
    owner: Owner | None = None
    kpis: tuple[Kpi, ...] = Field(default=(), max_length=100)
    parent: Parent | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for field in LISTS:
            _distinct(f"/{field}", "id", [part.id for part in getattr(self, field)])
        _distinct("/stages", "order", [stage.order for stage in self.stages])
        lists = {part: {one.id: type(one).model_fields for one in getattr(self, part)}
                 for part in LISTS}  # fmt: skip
        check(self.provenance, lists, type(self).model_fields)
        if self.target is not None:
            self.target.check(
                {point.id for point in self.touchpoints}, {channel.id for channel in self.channels}
            )
        self._measured()
        if self.parent is not None and self.parent.journey == self.key:
            raise ValueError("/parent/journey: a journey is no part of itself")
        known = {
            "stage": {stage.id for stage in self.stages},
            "channel": {channel.id for channel in self.channels},
        }
        for index, touchpoint in enumerate(self.touchpoints):
            for field, ids in known.items():
                if (wanted := getattr(touchpoint, field)) not in ids:
                    raise ValueError(
                        f"/touchpoints/{index}/{field}: unknown {field} {wanted!r}; "
                        f"known: {', '.join(sorted(ids))}"
                    )
        return self

    def _measured(self) -> None:
        """Refuse KPIs that the map does not have; raises ValueError."""
        known = {kpi.id for kpi in self.kpis}
        lists: dict[str, Sequence[Stage] | Sequence[Touchpoint]] = {
            "stages": self.stages,
            "touchpoints": self.touchpoints,
        }
        named = [
            (f"/{field}/{index}/kpis/{place}", kpi)
            for field, parts in lists.items()
            for index, measured in enumerate([part.kpis for part in parts])
            for place, kpi in enumerate(measured)
        ]
        if self.objective is not None and self.objective.kpi is not None:
            named.append(("/objective/kpi", self.objective.kpi))
        for path, kpi in named:
            if kpi not in known:
                raise ValueError(f"{path}: unknown kpi {kpi!r}; known: {', '.join(sorted(known))}")


def _distinct(path: str, field: str, values: Sequence[object]) -> None:
    seen: dict[object, int] = {}
    for index, value in enumerate(values):
        if value in seen:
            raise ValueError(
                f"{path}/{index}/{field}: {value!r} is already used by {path}/{seen[value]}"
            )
        seen[value] = index


def finder(journey: Journey) -> Callable[[EventView], Touchpoint | None]:
    """Return what finds the first touchpoint whose match fits an event; None when it is unmapped.

    Of the touchpoints of a large map few may fit a name, so that is looked up once for each name.
    """
    named: dict[str | None, tuple[Touchpoint, ...]] = {}

    def find(event: EventView) -> Touchpoint | None:
        here = named.get(event.name)
        if here is None:
            points = journey.touchpoints
            here = tuple(one for one in points if may_be_called(one.match, event.name))
            named[event.name] = here
        return next((point for point in here if matches(point.match, event)), None)

    return find


def current_stage(journey: Journey, timeline: Iterable[EventView]) -> Stage | None:
    """Return the stage one person is at, by the journey's stage rule; None before the first.

    `timeline` is the person's events in the order of `pos` (research/journeys.md §4.0).
    """
    stages = {stage.id: stage for stage in journey.stages}
    current: Stage | None = None
    find = finder(journey)
    for event in timeline:
        point = find(event)
        if point is None:
            continue
        stage = stages[point.stage]
        if current is None or journey.stage_rule == "latest" or stage.order > current.order:
            current = stage
    return current


def definition_hash(definition: BaseModel) -> str:
    """Return `sha256:…` of a definition's canonical JSON: keys sorted, defaults left out.

    A default written out and one left out give the same hash, and a field added to a later
    version of the product, with a default, does not change the hashes already stored.
    """
    body = definition.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()
