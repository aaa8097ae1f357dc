"""The analyses of people over time, and of what decides."""

from app.journeys import drivers, lifecycle, retention
from app.journeys.activity_request import LifecycleQuery, RetentionQuery, StickinessQuery
from app.journeys.drivers_request import DriversQuery
from app.journeys.kind import Kind

KINDS: dict[str, Kind] = {
    "retention": Kind(
        RetentionQuery,
        lambda c, r, at: retention.retention(c, r, as_of=at),
        lambda c, r, at, number: retention.people(c, r, as_of=at, number=number),
    ),
    "lifecycle": Kind(
        LifecycleQuery,
        lambda c, r, at: lifecycle.lifecycle(c, r, as_of=at),
        lambda c, r, at, number: lifecycle.people(c, r, as_of=at, number=number),
    ),
    "stickiness": Kind(
        StickinessQuery,
        lambda c, r, at: lifecycle.stickiness(c, r, as_of=at),
        lambda c, r, at, number: lifecycle.sticking(c, r, as_of=at, number=number),
    ),
    "drivers": Kind(
        DriversQuery,
        lambda c, r, at: drivers.drivers(c, r, as_of=at),
        lambda c, r, at, number: drivers.people(c, r, as_of=at, number=number),
    ),
}
