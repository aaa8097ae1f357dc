"""What a map is made of: stages, channels, touchpoints, personae, and what it is for; pure."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from app.journeys.frozen import Frozen, Identifier
from app.journeys.labels import Label
from app.journeys.match import Match
from app.journeys.provenance import Query

#: Somebody who answers for something: a person's or a department's name, as people say it.
Owner = Annotated[str, Field(min_length=1, max_length=200)]
Words = Annotated[str, Field(min_length=1, max_length=200)]


class Stage(Frozen):
    """One step of the relation, in the customer's eyes; `order` places it in the journey.

    `owner` answers for it, `kpis` are those of the map that measure it.
    """

    id: Identifier
    name: Label | None = None
    order: int
    phase: Literal["before", "during", "after"] | None = None
    owner: Owner | None = None
    kpis: tuple[Identifier, ...] = Field(default=(), max_length=50)


class Channel(Frozen):
    """A way to meet: web, phone, branch; `family` groups channels (remote, face to face …).

    `effort_rank` says how much effort it costs the person: who goes from web (1) to phone (2)
    escalates.
    """

    id: Identifier
    name: Label | None = None
    family: str | None = None
    effort_rank: int | None = Field(default=None, ge=0, le=1000)


class Assessment(Frozen):
    """What people say of a touchpoint; what is computed of it stands beside it, never over it."""

    declared: Literal["enchantment", "neutral", "irritant", "rupture"]
    by: str | None = Field(default=None, max_length=200)


class Amount(Frozen):
    """A number that events of a kind carry, at a path of their properties."""

    match: Match
    prop: str = Field(min_length=1, max_length=300)


class Touchpoint(Frozen):
    """Where a channel meets a stage (CustUp's definition), with the events that prove it happened.

    `planned` says that the declared journey wants it; an unplanned one only names what is seen.
    `moment_of_truth` says that people hold it for one. `statement` is what the customer says of it
    (« Je remplis… »), `goal` what they want there, `emotion` how they feel, from -2 to 2; `owner`
    answers for it, `departments` work at it, `kpis` are those of the map that measure it.
    """

    id: Identifier
    stage: Identifier
    channel: Identifier
    match: Match
    planned: bool = True
    name: Label | None = None
    assessment: Assessment | None = None
    moment_of_truth: bool = False
    statement: Label | None = None
    goal: Label | None = None
    emotion: int | None = Field(default=None, ge=-2, le=2)
    owner: Owner | None = None
    departments: tuple[Words, ...] = Field(default=(), max_length=50)
    kpis: tuple[Identifier, ...] = Field(default=(), max_length=50)
    tags: tuple[Words, ...] = Field(default=(), max_length=50)


class Persona(Frozen):
    """A kind of person that the map is drawn for; who is one of them now says the `segment`."""

    id: Identifier
    segment: Identifier
    name: Label | None = None
    description: Label | None = None


class Kpi(Frozen):
    """What the journey is measured by: the figure `at` a place of the answer to a `query`.

    `at` is a JSON Pointer (RFC 6901) into the `result`. `direction` says which way is better,
    `target` what is to be reached. Without a query it is measured elsewhere.
    """

    id: Identifier
    name: Label | None = None
    description: Label | None = None
    direction: Literal["up", "down"] = "up"
    target: float | None = Field(default=None, allow_inf_nan=False)
    owner: Owner | None = None
    query: Query | None = None
    at: str | None = Field(default=None, max_length=400, pattern=r"^(/[^/]+)+$")

    @model_validator(mode="after")
    def _measured(self) -> Self:
        if (self.query is None) != (self.at is None):
            raise ValueError("a query needs at, the place of its figure, and at needs a query")
        return self


class Objective(Frozen):
    """What the journey is to bring: in words, by a KPI of the map, until a day."""

    text: Label
    kpi: Identifier | None = None
    target: float | None = Field(default=None, allow_inf_nan=False)
    by: date | None = None
    owner: Owner | None = None


class Scope(Frozen):
    """What the journey is about, and what it is not."""

    use_case: Label | None = None
    products: tuple[Words, ...] = Field(default=(), max_length=200)
    included: Label | None = None
    excluded: Label | None = None


class Parent(Frozen):
    """The larger journey that this one is a part of: all of it, or one of its stages."""

    journey: Identifier
    stage: Identifier | None = None
