"""Asks rules of many segments at once, so that one that cannot be computed costs only itself."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import limited, refused
from app.segments.definition import Rule, walk

T = TypeVar("T")
#: Conditions that are asked in one statement.
AT_ONCE = 400


def answers(
    session: Session, rules: Sequence[Rule], ask: Callable[[list[int]], list[T]], seconds: float
) -> tuple[dict[int, T], dict[int, str]]:
    """Ask of all rules at once, or of each alone where that fails; return answers and refusals.

    Both by the place of a rule, as `ask` is told.
    """
    found: dict[int, T] = {}
    failed: dict[int, str] = {}
    for places in _portions(rules):
        together = _within(session, seconds, partial(ask, places))
        if not isinstance(together, str):
            found.update(zip(places, together, strict=True))
            continue
        for place in places:
            alone = together
            if len(places) > 1:
                one = _within(session, seconds / 2, partial(ask, [place]))
                if not isinstance(one, str):
                    found[place] = one[0]
                    continue
                alone = one
            failed[place] = alone
    return found, failed


def _portions(rules: Sequence[Rule]) -> Iterator[list[int]]:
    places: list[int] = []
    conditions = 0
    for place, rule in enumerate(rules):
        size = sum(1 for _ in walk(rule))
        if places and conditions + size > AT_ONCE:
            yield places
            places, conditions = [], 0
        places.append(place)
        conditions += size
    if places:
        yield places


def _within(session: Session, seconds: float, ask: Callable[[], T]) -> T | str:
    """Ask within so many seconds; return the answer, or why PostgreSQL refuses one.

    A database that cannot work at all is raised: that is nobody's rule.
    """
    try:
        with session.begin_nested(), limited(session, seconds):
            return ask()
    except sa.exc.DBAPIError as error:
        why = refused(error, seconds)
        if why is None:
            raise
        return why
