"""Warns where a question asks of a time of which there is nothing."""

from datetime import UTC, datetime

import numpy as np
from pydantic import BaseModel

from app.journeys.attribution_request import AttributionQuery
from app.journeys.funnel_request import TimeRange, microseconds_of
from app.journeys.predicate import microseconds
from app.journeys.prediction_request import PredictionQuery
from app.journeys.snapshots import moments
from app.lake.duckdb_engine import Lake
from app.lake.ordered import Array


def beyond(lake: Lake, request: BaseModel, as_of: datetime) -> list[str]:
    """Return warnings of a look-back that begins before the first event, and of an empty range."""
    span = getattr(request, "range", None)
    far = _far(request, as_of)
    ranged = isinstance(span, TimeRange) and (span.start is not None or span.end is not None)
    if far is None and not ranged:
        return []
    events = lake.ordered
    at = microseconds(as_of)
    here = events.known(at)
    times = events.t if here is None else events.t[here]
    if not len(times):
        return []  # an answer over no events says so
    first, last, found = int(times.min()), int(times.max()), []
    if far is not None and far < first:
        found.append(
            f"the look-back begins on {_day(far)}, before the first event ({_day(first)}):"
            " what people did by then is not known, and counts as nothing"
        )
    if ranged and isinstance(span, TimeRange) and not _any(times, span):
        found.append(
            f"no event lies in the range; the first is of {_day(first)}, the last of {_day(last)}"
        )
    return found


def _far(request: BaseModel, as_of: datetime) -> int | None:
    """Return the earliest moment that is looked back to; None where nothing is."""
    if isinstance(request, PredictionQuery):
        return moments(request, as_of)[0][-1] - microseconds_of(request.lookback)
    if isinstance(request, AttributionQuery):
        # Of no range the first conversions always reach too far; all of them, only where a
        # look-back is longer than all there is.
        return microseconds(request.range.start or as_of) - microseconds_of(request.lookback)
    return None


def _any(times: Array, span: TimeRange) -> bool:
    inside: Array = np.ones(len(times), np.bool_)
    if span.start is not None:
        inside &= times >= microseconds(span.start)
    if span.end is not None:
        inside &= times < microseconds(span.end)
    return bool(inside.any())


def _day(moment: int) -> str:
    """Return the day of a moment, also of one beyond the calendar of Python."""
    try:
        return datetime.fromtimestamp(moment / 1e6, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return "a day before the year 1" if moment < 0 else "a day after the year 9999"
