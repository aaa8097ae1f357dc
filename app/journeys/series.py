"""What a number was to be at each time, which times are not like it, and when its level changed.

Expected is the level of the times before, times the weekday; both are medians, so that a bad day
does not move them (Hampel 1974). A shift of the level is found by a cumulative sum (Page 1954), and
placed where it is likeliest. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random
from statistics import NormalDist, median
from typing import Literal

Status = Literal["learning", "usual", "high", "low", "holiday", "feed_gap", "incomplete"]

#: Seasons that must have passed before anything is expected.
LEAST_SEASONS = 3
#: The standard deviation of a normal distribution by the median of what lies beyond its middle.
BY_MEDIAN = 1.4826
#: Allowance and threshold of the cumulative sum, in standard deviations (research §4.14).
ALLOWANCE, THRESHOLD = 0.5, 5.0
#: Values beyond this many standard deviations do not by themselves make a shift.
CLIPPED = 3.0


@dataclass(frozen=True, slots=True)
class Rules:
    """How far off is too far. `season` is 7 for days, 1 for weeks; `history` is in seasons."""

    season: int
    history: int
    confidence: float = 0.99
    least_effect: float = 0.1
    floor: float = 10.0
    share: bool = False


@dataclass(frozen=True, slots=True)
class Value:
    """What was counted at one time; `of` is what a share is of, `skip` why it is not judged."""

    value: float
    of: float = 0.0
    skip: Literal["feed_gap", "incomplete"] | None = None
    holiday: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """One time: what was expected, between which bounds, and how far off it was in deviations."""

    status: Status
    expected: float | None
    low: float | None
    high: float | None
    z: float | None


@dataclass(frozen=True, slots=True)
class Shift:
    """The level changed at one time, and was noticed at another; both are places in the series."""

    place: int
    noticed: int
    before: float
    after: float


def judge(values: Sequence[Value], rules: Rules) -> list[Judged]:
    """Return what is to be said of each time, from those before it alone."""
    found: list[Judged] = []
    kept: list[tuple[int, float]] = []  # weekday and value of the times that expectations rest on
    ratios: dict[str, float] = {}  # of each holiday, how it was to a usual day when it was last
    for place, value in enumerate(values):
        day = place % rules.season
        here = _expect(kept[-rules.history * rules.season :], day, value, rules)
        found.append(_verdict(value, here, ratios, rules))
        if value.holiday and here is not None and here[0] > 0 and value.skip is None:
            ratios[value.holiday] = value.value / here[0]
        # Medians bear a bad day; a level that stays becomes usual once it is half of what they see.
        if value.skip is None and not value.holiday:
            kept.append((day, value.value))
    return found


def _expect(
    kept: Sequence[tuple[int, float]], day: int, value: Value, rules: Rules
) -> tuple[float, float] | None:
    """Return what is expected and its standard deviation; None before enough is known."""
    if len(kept) < LEAST_SEASONS * rules.season + (rules.season == 1):
        return None
    middle = median(one for _, one in kept)
    by_day: dict[int, list[float]] = {}
    for weekday, one in kept:
        by_day.setdefault(weekday, []).append(one)
    if day not in by_day:
        return None
    factors = {d: (median(ones) / middle if middle > 0 else 1.0) for d, ones in by_day.items()}
    plain = [one / factors[weekday] for weekday, one in kept if factors[weekday] > 0]
    if not plain or factors[day] <= 0:
        return None
    level = median(plain[-4 * rules.season - 4 * (rules.season == 1) :])
    spread = BY_MEDIAN * median(abs(one - level) for one in plain)
    # What is counted varies by itself, however alike the days before were.
    expected = level * factors[day]
    if rules.share:
        own = sqrt(max(expected * (1 - min(expected, 1.0)), 0.0) / max(value.of, 1.0))
    else:
        own = sqrt(max(expected, 0.0))
    # The expectation is itself of so many times only.
    known = sqrt(1 + 1.57 / len(by_day[day]))
    return expected, max(spread * factors[day], own, 1e-12) * known


def _verdict(
    value: Value, here: tuple[float, float] | None, ratios: dict[str, float], rules: Rules
) -> Judged:
    if here is None:
        return Judged(value.skip or "learning", None, None, None, None)
    expected, spread = here
    if value.holiday:
        if value.holiday not in ratios:
            return Judged(value.skip or "holiday", None, None, None, None)
        ratio = ratios[value.holiday]
        expected, spread = expected * ratio, spread * max(ratio, sqrt(ratio))
    reach = NormalDist().inv_cdf((1 + rules.confidence) / 2) * spread
    low, high = max(0.0, expected - reach), expected + reach
    z = (value.value - expected) / spread
    if value.skip is not None:
        return Judged(value.skip, expected, low, high, None)
    enough = (value.of if rules.share else expected) >= rules.floor
    big = abs(value.value - expected) >= rules.least_effect * expected
    status: Status = "usual"
    if enough and big and not low <= value.value <= high:
        status = "high" if value.value > expected else "low"
    return Judged(status, expected, low, high, z)


def shifts(zs: Sequence[float | None]) -> list[Shift]:
    """Return when the level of a series of deviations changed, and stayed changed.

    After a shift the new level is what counts as usual. Times without a deviation take no part.
    """
    places = [place for place, z in enumerate(zs) if z is not None]
    plain = [max(-CLIPPED, min(CLIPPED, z)) for z in zs if z is not None]
    found: list[Shift] = []
    begin, level = 0, 0.0
    up = down = 0.0
    at = 0
    while at < len(plain):
        up = max(0.0, up + plain[at] - level - ALLOWANCE)
        down = max(0.0, down - plain[at] + level - ALLOWANCE)
        if max(up, down) > THRESHOLD:
            split = _likeliest(plain[begin : at + 1])
            before, after = plain[begin : begin + split], plain[begin + split : at + 1]
            found.append(
                Shift(
                    places[begin + split],
                    places[at],
                    sum(before) / len(before) if before else level,
                    sum(after) / len(after),
                )
            )
            begin, level, up, down = begin + split, found[-1].after, 0.0, 0.0
        at += 1
    return found


def _likeliest(part: Sequence[float]) -> int:
    """Where splitting a stretch in two explains it best: the greatest likelihood of one shift."""
    total, size, sum_, best, place = sum(part), len(part), 0.0, -1.0, max(len(part) - 1, 0)
    for split in range(1, size):
        sum_ += part[split - 1]
        gap = sum_ / split - (total - sum_) / (size - split)
        gain = gap * gap * split * (size - split) / size
        if gain > best:
            best, place = gain, split
    return place


@dataclass(frozen=True, slots=True)
class Chance:
    """What the rules raise in a year in which nothing happens."""

    alerts: float
    shifts: float


def false_alarms(judged: Sequence[Judged], rules: Rules, *, years: int = 10) -> Chance | None:
    """Return what the rules raise a year where nothing happens.

    Years are made of what was expected last and of deviations drawn, with a fixed seed, from all
    there were, so that alerts which were none count as what chance does here. What is expected is
    itself off for weeks at a time, so that shifts are more frequent than those of a level that is
    known (one in 465). None before there are enough.
    """
    zs = [one.z for one in judged if one.z is not None]
    known = [one for one in judged if one.expected is not None][-rules.season :]
    if len(zs) < 4 * rules.season or len(known) < rules.season:
        return None
    middle = median(zs)
    draw = Random(1)  # noqa: S311 - a simulation that can be repeated, not a secret
    length, alerts, changes = 365 if rules.season == 7 else 52, 0, 0
    warm = rules.history * rules.season
    for _ in range(years):
        year = []
        for place in range(warm + length):
            one = known[place % len(known)]
            expected = one.expected or 0.0
            spread = ((one.high or expected) - expected) / NormalDist().inv_cdf(
                (1 + rules.confidence) / 2
            )
            year.append(Value(max(0.0, expected + spread * (draw.choice(zs) - middle)), of=1e9))
        made = judge(year, rules)[warm:]
        alerts += sum(one.status in ("high", "low") for one in made)
        changes += len(shifts([one.z for one in made]))
    return Chance(alerts / years, changes / years)
