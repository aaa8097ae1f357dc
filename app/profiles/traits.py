"""The golden record: which value of a trait survives when events, sources and identifiers differ.

`app.segments.golden` says the same as SQL, for sets of people; tests hold both to a slow reference.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app.profiles.survivorship import COUNTED, LATEST, Survivorship

#: When something said counts from: its time, its place in its source, its receipt, its id.
Order = tuple[datetime, int, datetime, int]
#: The place of what has none: after all that have (an envelope's and a cursor's numbers end here).
LAST = 2**62 - 1


def order(
    occurred_at: datetime, received_at: datetime, source_seq: int | None, event_id: int
) -> Order:
    """Return when something said counts from; `project.sql` says the same.

    A clock in the future cannot outrank what is said later. Of equal times the source's own order
    decides, then the receipt (research/journeys.md §4.0).
    """
    place = LAST if source_seq is None else source_seq
    return min(occurred_at, received_at), place, received_at, event_id


@dataclass(frozen=True, slots=True)
class TraitValue:
    """One value with its provenance: who said it, when, in which event of which source.

    Of a value that was said several times it is the last time; `first` is then the first, and
    `times` how often.
    """

    key: str
    value: Any
    occurred_at: datetime
    received_at: datetime
    source_seq: int | None
    event_id: int
    message_id: str
    source: str
    identifier: str
    times: int = 1
    first: "TraitValue | None" = None

    @property
    def order(self) -> Order:
        """When it counts from."""
        return order(self.occurred_at, self.received_at, self.source_seq, self.event_id)

    @property
    def begun(self) -> "TraitValue":
        """The first time it was said."""
        return self.first or self


@dataclass(frozen=True, slots=True)
class Golden:
    """The value of a trait, the rule that chose it, and the values that it was chosen from."""

    chosen: TraitValue
    rule: Survivorship
    others: tuple[TraitValue, ...]

    @property
    def value(self) -> Any:
        """The value itself."""
        return self.chosen.value


def fold(
    values: Iterable[TraitValue], rules: Mapping[str, Survivorship] | None = None
) -> dict[str, Golden]:
    """Return the value of each trait by its rule, by key in alphabetical order.

    Order and repetition of `values` do not matter. An event dated into the future counts from when
    it was received; of equal times the place in the source decides. A trait whose latest value is
    null was removed and does not appear; by `source_priority` only that source falls silent.
    """
    said: dict[str, list[TraitValue]] = defaultdict(list)
    for value in values:
        said[value.key].append(value)
    golden = {}
    for key in sorted(said):
        rule = (rules or {}).get(key, LATEST)
        chosen = _choose(rule, said[key])
        if chosen is not None:
            golden[key] = Golden(chosen, rule, _others(chosen, said[key]))
    return golden


def _choose(rule: Survivorship, said: Sequence[TraitValue]) -> TraitValue | None:
    if rule.rule == "source_priority":
        return _by_source(rule.sources, said)
    latest = max(said, key=lambda v: v.order)
    if latest.value is None:
        return None
    if rule.rule not in COUNTED:
        return latest
    chosen = _CHOICES[rule.rule]([v for v in said if v.value is not None])
    return None if rule.rule == "union" and not chosen.value else chosen


def _by_source(sources: Sequence[str], said: Sequence[TraitValue]) -> TraitValue | None:
    """Of each source the latest counts; one whose latest is null says nothing."""
    latest: dict[str, TraitValue] = {}
    for value in sorted(said, key=lambda v: v.order):
        latest[value.source] = value
    ranks = {source: rank for rank, source in enumerate(reversed(sources), 1)}
    telling = [v for v in latest.values() if v.value is not None]
    return max(telling, key=lambda v: (ranks.get(v.source, 0), v.order), default=None)


def _same(value: Any) -> str:
    """Return what two values share that are the same; `"1"` and `1` are not."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _first(said: Sequence[TraitValue]) -> TraitValue:
    return min((v.begun for v in said), key=lambda v: v.order)


def _most_frequent(said: Sequence[TraitValue]) -> TraitValue:
    times: dict[str, int] = defaultdict(int)
    for value in said:
        times[_same(value.value)] += value.times
    return max(said, key=lambda v: (times[_same(v.value)], v.order))


def _longest(said: Sequence[TraitValue]) -> TraitValue:
    """Of texts; where there is none, the latest."""
    return max(said, key=lambda v: (len(v.value) if isinstance(v.value, str) else 0, v.order))


def _kind(value: Any) -> int:
    """Numbers are compared with numbers, texts where there are none, and nothing else at all."""
    if isinstance(value, bool):
        return 0
    return 2 if isinstance(value, int | float) else 1 if isinstance(value, str) else 0


def _extreme(said: Sequence[TraitValue], *, largest: bool) -> TraitValue:
    kind = max(_kind(v.value) for v in said)
    if kind == 0:
        return max(said, key=lambda v: v.order)
    alike = [v for v in said if _kind(v.value) == kind]
    best = (max if largest else min)(v.value for v in alike)
    return max((v for v in alike if v.value == best), key=lambda v: v.order)


def _union(said: Sequence[TraitValue]) -> TraitValue:
    """All different values in the order in which they were said first; lists count as theirs."""
    found: dict[str, Any] = {}
    for value in sorted(said, key=lambda v: v.begun.order):
        for one in value.value if isinstance(value.value, list) else [value.value]:
            if one is not None:
                found.setdefault(_same(one), one)
    return replace(max(said, key=lambda v: v.order), value=list(found.values()))


_CHOICES: dict[str, Callable[[Sequence[TraitValue]], TraitValue]] = {
    "first": _first,
    "most_frequent": _most_frequent,
    "longest": _longest,
    "max": lambda said: _extreme(said, largest=True),
    "min": lambda said: _extreme(said, largest=False),
    "union": _union,
}


def _others(chosen: TraitValue, said: Sequence[TraitValue]) -> tuple[TraitValue, ...]:
    """Return the values that differ from the chosen one, each as it was said last, latest first."""
    same, others = _same(chosen.value), {}
    for value in sorted(said, key=lambda v: v.order):
        if value.value is not None and _same(value.value) != same:
            others[_same(value.value)] = value
    return tuple(sorted(others.values(), key=lambda v: v.order, reverse=True))
