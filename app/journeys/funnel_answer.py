"""What a funnel's answer says, and every choice behind it; pure."""

from typing import Any, Literal

from pydantic import AwareDatetime

from app.journeys.definition import Frozen
from app.journeys.funnel_request import Entry, FunnelRequest, Order, Preset

PERCENTILES = (0.10, 0.25, 0.50, 0.75, 0.90, 0.95)


class FunnelSemantics(Frozen):
    """Every choice behind a funnel's numbers, defaults made explicit."""

    unit: Literal["profile"] = "profile"
    counted: Literal["profiles", "sessions", "attempts"]
    preset: Preset | None
    entry: Entry
    order: Order
    anchored: bool
    assignment: Literal["greedy: each step takes the earliest later event that fits"] = (
        "greedy: each step takes the earliest later event that fits"
    )
    step_k: Literal["reached step k in order", "fitted k distinct steps"]
    window: str | None
    window_from: Literal["entry"] = "entry"
    window_inclusive: Literal[True] = True
    max_gaps: dict[str, str]
    optional: tuple[int, ...]
    range: Literal["selects entries, half-open"] = "selects entries, half-open"
    ties: Literal["source_order"] = "source_order"
    best_tie: Literal["earliest entry", "shortest conversion, then earliest entry"]
    collapse: Literal[False] = False
    strict_repeats: Literal["an event that fits the step just taken is no interruption"] = (
        "an event that fits the step just taken is no interruption"
    )
    any_assignment: Literal["in written order, each step takes its earliest free event"] = (
        "in written order, each step takes its earliest free event"
    )
    one_event_one_step: Literal[True] = True
    grace: str
    hold_constant: tuple[str, ...]
    scope: Literal["journey", "session"]
    session_gap: str | None
    exclusions: tuple[str, ...]
    universe: dict[str, Any] | None
    in_progress: Literal["an attempt that can still convert at as_of"] = (
        "an attempt that can still convert at as_of"
    )
    lost: Literal["ends an attempt: dropped, at once"] | None
    incidence: str | None
    breakdown: Literal["trait as of now", "segment as of now"] | None
    durations: Literal["calendar", "opening_hours"]
    quantile: Literal["exact, type 7, to the microsecond"] = "exact, type 7, to the microsecond"


class FunnelStep(Frozen):
    """How many reached a step; the rates are null when nobody could.

    Of an optional step: how many took it. `from_previous` is from the last step before that is not
    optional. `bucket` opens the number to its profiles.
    """

    name: str | None
    n: int
    from_previous: float | None
    from_first: float | None
    bucket: str


class FunnelStatus(Frozen):
    """What became of those who entered: the four add up to `entered`.

    `removed` counts the people whom an exclusion with effect `remove` took out of the funnel;
    they are in no step and in no other count.
    """

    entered: int
    converted: int
    dropped: int
    in_progress: int
    excluded: int
    removed: int


class FunnelRates(Frozen):
    """`raw` = converted / entered; `closed` = converted / those no longer in progress.

    `incidence` counts those in progress for as long as they were seen: the Kaplan-Meier estimate
    of having converted by the end of the window, Aalen-Johansen's where attempts also end for good
    in another way. Null unless `entry` is first, and where nobody entered.
    """

    raw: float | None
    closed: float | None
    incidence: float | None


class TimeToConvert(Frozen):
    """Seconds from entry to the last step, over the converted; exact quantiles (type 7)."""

    n: int
    mean: float | None
    p10: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    p90: float | None
    p95: float | None


class FunnelRow(Frozen):
    """The same funnel for one value of the breakdown; `value` null is «has none».

    `other` is true for the row of all the values beyond the limit. `buckets` open the numbers of
    `steps` to their profiles.
    """

    value: Any
    other: bool
    steps: tuple[int, ...]
    buckets: tuple[str, ...]
    status: FunnelStatus
    rates: FunnelRates
    ttc: TimeToConvert


class FunnelResult(Frozen):
    """A funnel's answer; the same definition, as_of and events give the same bytes.

    The total is computed without the breakdown. People have one row each, the one of the attempt
    that counts; with `entry=every` a person's attempts can be in several.
    """

    semantics: FunnelSemantics
    steps: tuple[FunnelStep, ...]
    status: FunnelStatus
    rates: FunnelRates
    ttc: TimeToConvert
    breakdown: tuple[FunnelRow, ...] | None
    as_of: AwareDatetime
    definition_hash: str


def semantics(request: FunnelRequest) -> FunnelSemantics:
    """Return the choices of a request, those it did not make included."""
    said = request.model_dump(mode="json", by_alias=True, exclude_none=True)
    counted: Literal["profiles", "sessions", "attempts"] = request.count
    if request.entry == "every":
        counted = "attempts"
    return FunnelSemantics(
        counted=counted,
        preset=request.preset,
        entry=request.entry,
        order=request.order,
        anchored=request.anchor,
        step_k=("fitted k distinct steps" if request.order == "any" else "reached step k in order"),
        window=said.get("window"),
        max_gaps={
            str(k): step["max_gap"]
            for k, step in enumerate(said["steps"], start=1)
            if "max_gap" in step
        },
        optional=tuple(k for k, step in enumerate(request.steps, start=1) if step.optional),
        best_tie=(
            "shortest conversion, then earliest entry"
            if request.ttc_from == "shortest"
            else "earliest entry"
        ),
        grace=said["grace"],
        hold_constant=request.hold_constant,
        scope=request.scope,
        session_gap=said["session_gap"] if request.scope == "session" else None,
        exclusions=tuple(one.effect for one in request.exclusions),
        universe=said.get("universe"),
        lost="ends an attempt: dropped, at once" if request.lost else None,
        incidence=(
            "Aalen-Johansen; attempts in progress are censored, those that end otherwise compete"
            if request.entry == "first"
            else None
        ),
        breakdown=_of_people(request),
        durations="calendar" if request.opening_hours is None else "opening_hours",
    )


def _of_people(
    request: FunnelRequest,
) -> Literal["trait as of now", "segment as of now"] | None:
    row = request.breakdown
    if row is None or row.prop is not None:
        return None
    return "trait as of now" if row.trait is not None else "segment as of now"


def caveats(request: FunnelRequest) -> list[str]:
    """Return in which way an answer may still differ from the product of the preset."""
    said = {
        "posthog": "PostHog takes events of one instant in the order of the steps; here they keep"
        " the order of their source",
        "mixpanel": "Mixpanel's «optimized re-entry» is entry best",
        "amplitude": "Amplitude's conversion window is not part of the preset: give the one you"
        " use there",
        "clickhouse": "windowFunnel needs a window: give the one you use there",
    }
    found = [said[request.preset]] if request.preset else []
    if request.preset in ("amplitude", "clickhouse") and request.window is not None:
        found = []
    return found
