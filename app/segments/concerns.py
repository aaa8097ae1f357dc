"""What can change who meets a rule, so that a step asks only the segments that its news concern."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.profiles.conditions import Called
from app.segments import uses
from app.segments.definition import Computed, Group, Rule, Trait, called
from app.segments.members import rule_of
from app.segments.tables import Segment

#: Two refreshes cost more than one of everything, unless the people of whom little is new are so
#: many times those of whom all may be: a refresh of nobody takes as long as one of some 100 people.
MANY_TIMES = 4


@dataclass(frozen=True, slots=True)
class Concerns:
    """What a rule asks about that news can tell of, with that of the segments it is made of."""

    events: frozenset[Called]
    traits: bool
    computed: bool
    groups: bool


@dataclass(frozen=True, slots=True)
class News:
    """Of whom a step brought what.

    `whole` are people who are new, who moved, or whose consent changed: they are asked about for
    every segment. `events` are people by how their new events are called. `groups` are those of
    whose accounts something else may be used than before.
    """

    whole: frozenset[int]
    events: Mapping[Called, Collection[int]]
    traits: Collection[int]
    computed: Collection[int]
    groups: Collection[int]


def of_all(session: Session, listed: Iterable[Segment]) -> dict[int, Concerns]:
    """Return what each of these segments asks about, by its id."""
    by_purpose: dict[str, list[Segment]] = {}
    for segment in listed:
        by_purpose.setdefault(segment.purpose, []).append(segment)
    return {
        segment.id: _of(parts)
        for purpose, group in by_purpose.items()
        for segment, parts in zip(
            group, uses.parts_of_all(session, [rule_of(s) for s in group], purpose), strict=True
        )
    }


def _of(parts: Collection[Rule]) -> Concerns:
    events = {asked for part in parts for asked in called(part)}
    kinds = {type(part) for part in parts}
    return Concerns(frozenset(events), Trait in kinds, Computed in kinds, Group in kinds)


def portions(
    listed: Sequence[Segment], concerns: Mapping[int, Concerns], news: News
) -> list[tuple[list[Segment], set[int]]]:
    """Return which segments are to be asked about whom: at most two portions.

    What time alone changes is found by looks through everybody, as of those of whom there is no
    news at all.
    """
    asked: list[Segment] = []
    people: set[int] = set()
    for segment in listed:
        told = _told(concerns[segment.id], news)
        if told:
            asked.append(segment)
            people |= told
    rest = people - news.whole
    if news.whole and len(rest) < MANY_TIMES * len(news.whole):
        return [(list(listed), {*news.whole, *rest})]
    found = [(list(listed), set(news.whole)), (asked, rest)]
    return [(segments, whom) for segments, whom in found if whom]


def _told(its: Concerns, news: News) -> set[int]:
    told: set[int] = set()
    for asked in its.events & news.events.keys():
        told |= set(news.events[asked])
    for asks, whom in (
        (its.traits, news.traits), (its.computed, news.computed), (its.groups, news.groups)
    ):  # fmt: skip
        if asks:
            told |= set(whom)
    return told
