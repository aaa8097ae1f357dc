"""What definitions and questions are made of: models that refuse unknown keys, durations; pure."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    WrapSerializer,
)

Identifier = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.:-]+$")]

_DURATION = re.compile(
    r"P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d{1,6})?)S)?)?",
    re.ASCII,
)


class Frozen(BaseModel):
    """An immutable model that refuses keys it does not know, so that a typo is never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


def _said(value: timedelta, usual: SerializerFunctionWrapHandler) -> Any:
    """Write a duration as it may be read again: pydantic writes 400 days as P1Y35D."""
    said = usual(value)
    if not isinstance(said, str) or "Y" not in said:
        return said
    rest = value - timedelta(days=value.days)
    return f"P{value.days}D" + (f"T{rest.seconds}.{rest.microseconds:06}S" if rest else "")


Duration = Annotated[
    timedelta,
    BeforeValidator(duration),
    WrapSerializer(_said),
    Field(ge=timedelta(0), le=timedelta(days=36_500)),
]
