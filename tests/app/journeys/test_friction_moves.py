"""The friction of transitions, on tables by hand and against the touchpoints they lead to."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest

from app.errors import BucketInvalid
from app.journeys.friction import friction, people
from app.journeys.friction_answer import FrictionMove
from app.journeys.friction_request import FrictionQuery

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]
Way = Sequence[tuple[str, float]]

START = datetime(2026, 1, 5, tzinfo=UTC)
LATER = START + timedelta(days=365)
HOUR = 3_600
JOURNEY: dict[str, Any] = {
    "key": "loan",
    "name": "Loan",
    "stages": [{"id": "ask", "order": 1}, {"id": "file", "order": 2}, {"id": "sign", "order": 3}],
    "channels": [{"id": "web", "effort_rank": 1}, {"id": "phone", "effort_rank": 2}],
    "touchpoints": [
        {"id": "page", "stage": "ask", "channel": "web", "match": {"event": "page"}},
        {"id": "form", "stage": "file", "channel": "web", "match": {"event": "form"}},
        {"id": "call", "stage": "file", "channel": "phone", "match": {"event": "call"}},
        {"id": "deed", "stage": "sign", "channel": "phone", "match": {"event": "deed"}},
    ],
}
RATED = {"instrument": "csat", "match": {"event": "rated"}}
#: 40 sign what they filled in; 20 have to call, fail there and are lost; 30 call at once and sign;
#: 10 go back from the form to the page, and the same way again.
WAYS: Sequence[tuple[int, Way]] = [
    (40, [("page", 0), ("form", 10), ("deed", 30)]),
    (20, [("page", 0), ("form", 10), ("call", 12), ("failed", 13), ("rated", 14)]),
    (30, [("page", 0), ("call", 1), ("rated", 2), ("deed", 30)]),
    (10, [("page", 0), ("form", 10), ("page", 11), ("form", 12), ("deed", 40)]),
]
OPTIONS: dict[str, Any] = {
    "least": 10, "failure": {"event": "failed"}, "surveys": [RATED], "transitions": 50,
}  # fmt: skip


def rows() -> list[dict[str, Any]]:
    found, person = [], 0
    for n, events in WAYS:
        for _ in range(n):
            person += 1
            score = 1 if ("failed", 13) in events else 5
            found += [
                {
                    "person_id": person,
                    "name": name,
                    "occurred_at": START + timedelta(hours=at),
                    "properties": f'{{"score": {score}}}' if name == "rated" else None,
                }
                for name, at in events
            ]
    return found


def query(**more: Any) -> FrictionQuery:
    return FrictionQuery.model_validate({"journey": JOURNEY, **OPTIONS, **more})


def parts(move: FrictionMove) -> dict[str, tuple[int, float]]:
    return {one.name: (one.n, one.observed) for one in move.components}


def test_each_component_of_a_move_is_what_it_says(history: History) -> None:
    result = friction(history(rows()), query(), as_of=LATER)
    found = {(one.source, one.target): one for one in result.transitions}
    assert {place: (one.profiles, one.moves) for place, one in found.items()} == {
        ("page", "form"): (70, 80), ("form", "call"): (20, 20), ("page", "call"): (30, 30),
        ("form", "deed"): (50, 50), ("form", "page"): (10, 10), ("call", "deed"): (30, 30),
    }  # fmt: skip
    to_form, called, at_once = (
        parts(found[place]) for place in (("page", "form"), ("form", "call"), ("page", "call"))
    )
    assert to_form["slowness"] == (80, 10 * HOUR)  # a few of an hour, most of ten
    assert to_form["repetition"] == (80, 10 / 80)
    assert to_form["backtrack"] == (80, 0.0)
    # Both led to the same touchpoint; only on one of the ways people fail, are lost, are cross.
    assert (called["failure"], at_once["failure"]) == ((20, 1.0), (30, 0.0))
    assert (called["abandonment"], at_once["abandonment"]) == ((20, 1.0), (30, 0.0))
    assert (called["voice"], at_once["voice"]) == ((20, 1.0), (30, 0.0))
    assert (called["escalation"], to_form["escalation"]) == ((20, 1.0), (80, 0.0))
    assert parts(found["form", "page"])["backtrack"] == (10, 1.0)
    assert found["form", "call"].switch
    assert not found["page", "form"].switch
    assert (result.transitions[0].source, result.transitions[0].target) == ("form", "call")
    scores = [one.score or 0 for one in result.transitions]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 50 > scores[-1]


def test_moves_open_to_their_people_and_only_the_commonest_are_listed(history: History) -> None:
    connection = history(rows())
    for number, who in (
        ('move:["form","call"]', range(41, 61)),
        ('failure:["form","call"]', range(41, 61)),
        ('failure:["page","call"]', range(0)),
        ('backtrack:["form","page"]', range(91, 101)),
        ('repetition:["page","form"]', range(91, 101)),
    ):
        assert people(connection, query(), as_of=LATER, number=number) == list(who), number
    for wrong in ('move:["form","nowhere"]', "move:form", 'touchpoint:["form","call"]'):
        with pytest.raises(BucketInvalid):
            people(connection, query(), as_of=LATER, number=wrong)
    few = friction(connection, query(transitions=1), as_of=LATER)
    assert [(one.source, one.target) for one in few.transitions] == [("page", "form")]
    none = friction(connection, query(transitions=0), as_of=LATER)
    assert none.transitions == ()
    whole = friction(connection, query(), as_of=LATER)
    # What is listed changes no score, of moves or of touchpoints.
    [first] = few.transitions
    assert first in whole.transitions
    assert none.touchpoints == whole.touchpoints
