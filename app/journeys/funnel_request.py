"""What one can ask of a funnel; pure."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BeforeValidator, ConfigDict, Field, model_validator

from app.journeys.definition import Frozen
from app.journeys.frozen import Duration as Duration  # part of what one asks
from app.journeys.match import Match
from app.journeys.opening_hours import OpeningHours

Entry = Literal["first", "best", "every"]
Order = Literal["loose", "strict", "any"]
Preset = Literal["posthog", "mixpanel", "amplitude", "clickhouse"]

MAX_STEPS = 20

#: What each product does where it is not told otherwise, as far as it can be said in the choices
#: of a request (research/journeys.md §2.1-2.4). Windows are the defaults of PostHog's source and
#: of Mixpanel's help; Amplitude and ClickHouse have to be told one.
PRESETS: dict[str, dict[str, Any]] = {
    "posthog": {"entry": "best", "ttc_from": "shortest", "window": "P14D", "effect": "remove"},
    "mixpanel": {"entry": "first", "grace": "PT2S", "window": "P30D", "effect": "drop"},
    "amplitude": {"entry": "best", "grace": "PT1S", "effect": "drop"},
    "clickhouse": {"entry": "best", "effect": "drop"},
}

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _instant(value: object) -> object:
    """A plain date is the midnight that starts it, in UTC."""
    return f"{value}T00:00:00Z" if isinstance(value, str) and _DAY.fullmatch(value) else value


Instant = Annotated[AwareDatetime, BeforeValidator(_instant)]


class TimeRange(Frozen):
    """A half-open stretch of time [from, to); a plain date means midnight UTC."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
    )

    start: Instant | None = Field(default=None, alias="from")
    end: Instant | None = Field(default=None, alias="to")

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.start and self.end and self.start >= self.end:
            raise ValueError("from must be before to")
        return self


class Step(Frozen):
    """One step: a match, under a name to show.

    `max_gap` bounds the time since the step before. An `optional` step is taken when its event
    comes before that of the next step that is not, and is passed over otherwise.
    """

    match: Match
    name: str | None = None
    max_gap: Duration | None = None
    optional: bool = False


def _step(value: object) -> object:
    """A bare match, or a list of matches of which any will do, is a step without a name."""
    if isinstance(value, list | tuple):
        return {"match": {"any": list(value)}}
    if isinstance(value, Match) or (isinstance(value, dict) and "match" not in value):
        return {"match": value}
    return value


class Exclusion(Frozen):
    """An event that must not happen between two steps (numbered from 1, `after` < `before`).

    It ends the attempt there (`drop`, Mixpanel's rule: another entry may still convert) or takes
    the person out of the funnel (`remove`, PostHog's rule), whatever their other attempts did.
    Without bounds it forbids from the first step to the last. An event that is itself the next
    step is not between.
    """

    match: Match
    after_step: int = Field(default=1, ge=1)
    before_step: int | None = Field(default=None, ge=2)
    effect: Literal["drop", "remove"] = "drop"

    def bars(self, step: int) -> bool:
        """Say whether the exclusion forbids its event between step - 1 and step."""
        return self.after_step < step and (self.before_step is None or step <= self.before_step)


class Breakdown(Frozen):
    """A row for each value of a property or trait, and one for those who have none (null).

    The value of a property (`prop`) is that of the event that took `step` (from 1), or the `first`
    or the `last` one that any event of the person has. A `trait` is the person's as of now. Of a
    `segment` of the same purpose there are two rows, true and false: who is in it now, and who is
    not. Values beyond the `limit` most frequent are in one row, `other`.
    """

    prop: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    trait: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    segment: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    value: Literal["step", "first", "last"] = "step"
    step: int = Field(default=1, ge=1)
    limit: int = Field(default=25, ge=1, le=200)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(part is not None for part in (self.prop, self.trait, self.segment)) != 1:
            raise ValueError("/breakdown: give one of prop, trait and segment")
        if self.prop is None and (self.value, self.step) != ("step", 1):
            raise ValueError("/breakdown: value and step are of a prop")
        return self


class FunnelRequest(Frozen):
    """A funnel to count; the defaults are those the answer echoes.

    `window` counts from the entry and includes its last instant. `range` selects entries; what
    follows may lie after it. `entry` says which attempts of a person count: the `first` (Mixpanel's
    first-entry rule), the `best` (deepest, then earliest: Amplitude's rule), or `every` one that
    does not overlap the one before (Mixpanel's totals). `ttc_from` says which of several that
    converted gives the time: the `earliest`, or the `shortest` (PostHog).

    `universe` says which events are looked at at all. `lost` events end an attempt for good.
    `hold_constant` names properties that all events of an attempt share; an event without them
    takes no part. `scope` session keeps an attempt inside a session, which `session_gap` without
    any event ends; `count` sessions then counts them instead of people. `grace` is how close steps
    may lie to come in any order. `anchor: false` lets an attempt in any order begin with any step.

    `opening_hours` are those that count in how long conversions took; windows and gaps are those of
    the calendar all the same.

    `preset` sets what is not said as that product does; what is said stays.
    """

    steps: tuple[Annotated[Step, BeforeValidator(_step)], ...] = Field(
        min_length=1, max_length=MAX_STEPS
    )
    preset: Preset | None = None
    window: Duration | None = None
    entry: Entry = "best"
    order: Order = "loose"
    anchor: bool = True
    exclusions: tuple[Exclusion, ...] = Field(default=(), max_length=MAX_STEPS)
    lost: tuple[Match, ...] = Field(default=(), max_length=MAX_STEPS)
    hold_constant: tuple[Annotated[str, Field(min_length=1, max_length=300)], ...] = Field(
        default=(), max_length=3
    )
    grace: Duration = timedelta(0)
    scope: Literal["journey", "session"] = "journey"
    session_gap: Duration = timedelta(minutes=30)
    count: Literal["profiles", "sessions"] = "profiles"
    ttc_from: Literal["earliest", "shortest"] = "earliest"
    breakdown: Breakdown | None = None
    universe: Match | None = None
    opening_hours: OpeningHours | None = None
    range: TimeRange = TimeRange()
    as_of: Instant | None = None

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, given: Any) -> Any:
        preset = given.get("preset") if isinstance(given, dict) else None
        if not isinstance(preset, str) or preset not in PRESETS:
            return given
        usual = dict(PRESETS[preset])
        effect = usual.pop("effect")
        if given.get("order", "loose") != "loose":
            usual.pop("grace", None)
        bars = given.get("exclusions")
        if isinstance(bars, list | tuple):
            usual_bars = [{"effect": effect, **b} if isinstance(b, dict) else b for b in bars]
            return {**usual, **given, "exclusions": usual_bars}
        return {**usual, **given}

    @model_validator(mode="after")
    def _sound(self) -> Self:
        last = len(self.steps)
        for index, exclusion in enumerate(self.exclusions):
            before = exclusion.before_step or last
            if not exclusion.after_step < before <= last:
                raise ValueError(
                    f"/exclusions/{index}: between steps {exclusion.after_step} and {before}"
                    f" there is nothing to exclude in a funnel of {last} steps"
                )
            if self.order == "any" and (exclusion.after_step, before) != (1, last):
                raise ValueError(
                    f"/exclusions/{index}: with order any there is no «between steps»;"
                    " leave after_step and before_step out"
                )
        return self

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        """Refuse choices that mean nothing beside each other, rather than ignore one."""
        gaps = any(step.max_gap is not None for step in self.steps)
        optional = [step.optional for step in self.steps]
        row = self.breakdown
        wrong = {
            "/steps: the first and the last step cannot be optional": optional[0] or optional[-1],
            "/steps: an optional step needs order loose": any(optional) and self.order != "loose",
            "/steps: max_gap has no meaning for the first step": self.steps[0].max_gap is not None,
            "/steps: with order any there is no step before; leave max_gap out": gaps
            and self.order == "any",
            "/anchor: only order any can do without": not self.anchor and self.order != "any",
            "/grace: needs order loose, without optional steps": bool(self.grace)
            and (self.order != "loose" or any(optional)),
            "/count: sessions needs scope session": self.count == "sessions"
            and self.scope != "session",
            "/count: sessions and entry every count two things": self.count == "sessions"
            and self.entry == "every",
            "/breakdown/step: the funnel has no such step": row is not None
            and row.step > len(self.steps),
            "/breakdown/step: with order any only step 1 has a place": row is not None
            and row.value == "step"
            and row.step > 1
            and self.order == "any",
        }
        for complaint, holds in wrong.items():
            if holds:
                raise ValueError(complaint)
        return self

    def window_microseconds(self) -> int | None:
        """Return the window in whole microseconds, or None when it never closes."""
        return None if self.window is None else microseconds_of(self.window)


def microseconds_of(length: timedelta) -> int:
    """Return a length of time in whole microseconds."""
    return length // timedelta(microseconds=1)
