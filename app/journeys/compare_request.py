"""What one can ask of a comparison; pure."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from app.journeys.definition import Frozen
from app.journeys.funnel_request import Duration, TimeRange
from app.journeys.least import LEAST
from app.journeys.match import Match

Name = Annotated[str, Field(min_length=1, max_length=100)]


class Variant(Frozen):
    """A group: whoever did something later (`exposed`), entered with an event that fits (`entry`),
    is in a `segment` or has a `trait` of a `value` now, entered in a `range`; or the `rest`.

    A person belongs to the first variant that fits.
    """

    name: Name
    exposed: Match | None = None
    entry: Match | None = None
    segment: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    trait: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    value: Any = None
    range: TimeRange | None = None
    rest: Literal[True] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        ways = (self.exposed, self.entry, self.segment, self.trait, self.range, self.rest)
        if sum(way is not None for way in ways) != 1:
            raise ValueError(
                f"variant {self.name!r}: give one of exposed, entry, segment, trait, range, rest"
            )
        if (self.value is not None) != (self.trait is not None):
            raise ValueError(f"variant {self.name!r}: trait and value belong together")
        return self


class Align(Frozen):
    """Where time begins for everybody who is compared.

    At the entry; at a `milestone` after it, which all have reached; or `landmark` later than that:
    exposure then counts before the landmark and outcomes after it, and whoever is decided by then
    is left out.
    """

    milestone: Match | None = None
    landmark: Duration | None = None

    @property
    def called(self) -> Literal["entry", "milestone", "landmark"]:
        """The name of the alignment."""
        if self.landmark is not None:
            return "landmark"
        return "entry" if self.milestone is None else "milestone"


def _align(value: object) -> object:
    return {} if value == "entry" else value


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


class Outcome(Frozen):
    """Something that may happen after time zero, within a `window`.

    With a window only those count whose window is over, whatever happened to them before: to count
    the early successes of others would flatter them.
    """

    name: Name
    match: Match
    window: Duration | None = None


class Amounts(Frozen):
    """What the events of a person after time zero add up to; who has none has 0."""

    name: Name
    match: Match
    prop: str = Field(min_length=1, max_length=300)
    window: Duration | None = None


class CompareQuery(Frozen):
    """Groups of people held against each other from the same time zero.

    `entry` is whom it is about, from their first such event in `range`. `lost` are events after
    which nothing is to be expected. `randomised` says that a draw made the groups; `shares` are
    then the sizes it should have given. Groups of fewer than `least` people are not tested.
    """

    entry: Match
    range: TimeRange = TimeRange()
    variants: tuple[Variant, ...] = Field(min_length=2, max_length=10)
    align: Annotated[
        tuple[Annotated[Align, BeforeValidator(_align)], ...],
        BeforeValidator(_several),
        Field(min_length=1, max_length=4),
    ] = (Align(),)
    outcomes: tuple[Outcome, ...] = Field(default=(), max_length=20)
    amounts: tuple[Amounts, ...] = Field(default=(), max_length=10)
    lost: tuple[Match, ...] = Field(default=(), max_length=20)
    randomised: bool = False
    shares: tuple[Annotated[float, Field(gt=0, le=1e6)], ...] = ()
    least: int = Field(default=LEAST, ge=2, le=1_000_000)

    @property
    def measures(self) -> tuple[Outcome | Amounts, ...]:
        """Everything that the variants are held against each other by."""
        return (*self.outcomes, *self.amounts)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [one.name for one in self.variants]
        kpis = [one.name for one in self.measures]
        wrong = {
            "/variants: names are used twice": len(set(names)) < len(names),
            "/outcomes: names are used twice": len(set(kpis)) < len(kpis),
            "/outcomes: say by what the variants are compared": not kpis,
            "/variants: rest takes whoever is left, so it comes last": any(
                one.rest for one in self.variants[:-1]
            ),
            "/shares: one for each variant, of a randomised comparison": bool(self.shares)
            and (not self.randomised or len(self.shares) != len(self.variants)),
        }
        for complaint, holds in wrong.items():
            if holds:
                raise ValueError(complaint)
        return self


def caveats(query: CompareQuery) -> list[str]:
    """Return what is wrong with how the groups are aligned, whatever the numbers are."""
    found = []
    exposed = [one.name for one in query.variants if one.exposed is not None]
    late = sorted({one.called for one in query.align if one.landmark is None})
    if exposed and late:
        found.append(
            f"immortal_time: {', '.join(exposed)} is known by an event after time zero"
            f" ({', '.join(late)}), so its people must have lasted until then; align at a landmark"
        )
    periods = [one for one in query.variants if one.range is not None]
    if len(periods) > 1 and any(one.window is None for one in query.measures):
        found.append(
            "unequal_follow_up: periods are compared without a window, so the earlier one had"
            " longer to come through"
        )
    return found
