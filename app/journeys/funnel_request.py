"""What one can ask of a funnel; pure."""

import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BeforeValidator, ConfigDict, Field, model_validator

from app.journeys.definition import Frozen, Match

Entry = Literal["first", "best", "every"]
Order = Literal["loose", "strict", "any"]

MAX_STEPS = 20

_DURATION = re.compile(
    r"P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d{1,6})?)S)?)?",
    re.ASCII,
)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def duration(value: object) -> object:
    """Read an ISO 8601 duration of fixed length, such as P7D or PT36H, into a timedelta.

    Months and years are refused: they have no length until a calendar gives them one. Raises
    ValueError; other types pass through for pydantic to judge.
    """
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value)
    if found is None or value.endswith(("P", "T")):
        raise ValueError(
            f"{value!r} is not a duration in weeks, days, hours, minutes and seconds, like P7D"
        )
    seconds, _, fraction = (found["seconds"] or "0").partition(".")
    parts = {unit: int(found[unit] or 0) for unit in ("weeks", "days", "hours", "minutes")}
    try:
        return timedelta(
            **parts, seconds=int(seconds), microseconds=int(fraction.ljust(6, "0") or 0)
        )
    except OverflowError:
        raise ValueError(f"{value!r} is longer than a calendar") from None


def _instant(value: object) -> object:
    """A plain date is the midnight that starts it, in UTC."""
    return f"{value}T00:00:00Z" if isinstance(value, str) and _DAY.fullmatch(value) else value


Duration = Annotated[
    timedelta, BeforeValidator(duration), Field(ge=timedelta(0), le=timedelta(days=36_500))
]
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
    """One step: a match, under a name to show."""

    match: Match
    name: str | None = None


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


class FunnelRequest(Frozen):
    """A funnel to count; the defaults are those the answer echoes.

    `window` counts from the entry and includes its last instant. `range` selects entries; what
    follows may lie after it. `entry` says which attempts of a person count: the `first` (Mixpanel's
    first-entry rule), the `best` (deepest, then earliest: Amplitude's rule), or `every` one that
    does not overlap the one before (Mixpanel's totals).
    """

    steps: tuple[Annotated[Step, BeforeValidator(_step)], ...] = Field(
        min_length=1, max_length=MAX_STEPS
    )
    window: Duration | None = None
    entry: Entry = "best"
    order: Order = "loose"
    exclusions: tuple[Exclusion, ...] = Field(default=(), max_length=MAX_STEPS)
    range: TimeRange = TimeRange()
    as_of: Instant | None = None

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

    def window_microseconds(self) -> int | None:
        """Return the window in whole microseconds, or None when it never closes."""
        return None if self.window is None else self.window // timedelta(microseconds=1)
