"""Paths: small histories by hand, and a slow, plain reference on random ones."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError

from app.errors import BucketInvalid, DefinitionInvalid
from app.journeys import spelling
from app.journeys.definition import Journey
from app.journeys.funnel import funnel
from app.journeys.funnel_request import FunnelRequest
from app.journeys.paths import paths as find
from app.journeys.paths import people
from app.journeys.paths_answer import Node, PathsResult, Place
from app.journeys.paths_request import PathsRequest

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]
Told = Sequence[tuple[str, int]]

START = datetime(2026, 1, 1, tzinfo=UTC)


def crowd(history: History, *people_: str | Told) -> duckdb.DuckDBPyConnection:
    """People told as «ABC», an event a second, or as (event, second)."""
    return history(
        [
            {
                "person_id": person,
                "name": name,
                "occurred_at": START + timedelta(seconds=at),
                "source_seq": place,
            }
            for person, told in enumerate(people_)
            for place, (name, at) in enumerate(
                [(name, at) for at, name in enumerate(told)] if isinstance(told, str) else told
            )
        ]
    )


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


def ask(connection: duckdb.DuckDBPyConnection, as_of: int = 10_000, **said: Any) -> PathsResult:
    result = find(connection, PathsRequest.model_validate(said), as_of=at(as_of))
    balanced(result)
    return result


def routes(result: PathsResult) -> dict[str, int]:
    return {"".join(one.route): one.n for one in result.variants}


def balanced(result: PathsResult) -> None:
    """As many come in as go on or end, everywhere; and all paths are in some route."""
    nodes: list[Node | Place] = [*result.flow.nodes, *result.graph.nodes]
    for node in nodes:
        ended = sum(node.ends.model_dump().values())
        assert node.n == node.begins + node.inflow == node.outflow + ended, node
    assert sum(node.begins for node in result.flow.nodes) == result.paths
    assert sum(node.begins for node in result.graph.nodes) == result.paths
    assert sum(result.ends.model_dump().values()) == result.paths
    assert sum(one.n for one in result.variants) + result.other.n == result.paths
    links = Counter((one.step, one.source) for one in result.flow.links for _ in range(one.n))
    assert links == {(n.step, n.label): n.outflow for n in result.flow.nodes if n.outflow}


def test_an_anchor_that_comes_twice_is_taken_as_asked(history: History) -> None:
    connection = crowd(history, "ABAC")
    found = {}
    for which in ("first", "last", "every"):
        anchor = {"match": {"event": "A"}, "occurrence": which}
        result = ask(connection, start=anchor)
        found[which] = routes(result)
        assert result.semantics.occurrence == which
    assert found == {"first": {"ABAC": 1}, "last": {"AC": 1}, "every": {"ABAC": 1, "AC": 1}}


def test_neighbours_of_one_label_are_one_step_unless_told_otherwise(history: History) -> None:
    connection = crowd(history, "AABBA")
    assert routes(ask(connection)) == {"ABA": 1}
    assert routes(ask(connection, collapse=False)) == {"AABBA": 1}
    [edge] = [e for e in ask(connection).graph.edges if (e.source, e.target) == ("A", "B")]
    assert edge.p50 == 1.0  # from the last A to the first B


def test_what_ended_what_goes_on_and_what_is_hidden_are_told_apart(history: History) -> None:
    connection = crowd(history, "AB", [("A", 0), ("B", 50)], "ABCDEFG")
    result = ask(connection, start={"event": "A"}, inactivity="PT60S", max_depth=3, as_of=70)
    assert result.ends.model_dump() == {
        "drop": 1, "in_progress": 1, "continues": 1, "arrived": 0,
    }  # fmt: skip
    assert people(
        connection,
        PathsRequest.model_validate(
            {"start": {"event": "A"}, "inactivity": "PT60S", "max_depth": 3}
        ),
        as_of=at(70),
        number="ended:in_progress",
    ) == [1]
    # Without anything that ends them, paths are never over.
    assert ask(connection, max_depth=None).ends.in_progress == 3
    late = ask(connection, start={"event": "A"}, window="PT40S")
    assert routes(late) == {"AB": 1, "A": 1, "ABCDEF": 1}
    assert (late.ends.drop, late.ends.continues) == (2, 1)


def test_paths_to_an_end_and_between_two(history: History) -> None:
    connection = crowd(history, "XABCD", "ABD", "AB", "D")
    to = ask(connection, end={"event": "D"}, max_depth=2)
    assert routes(to) == {"BCD": 1, "ABD": 1, "D": 1}
    assert (to.begun_earlier, to.ends.arrived) == (1, 3)
    assert min(node.step for node in to.flow.nodes) == -2
    between = ask(connection, start={"event": "A"}, end={"event": "D"})
    assert routes(between) == {"ABCD": 1, "ABD": 1}
    assert between.without_end == 1
    cut = ask(crowd(history, "ABCDEFGZ"), start={"event": "A"}, end={"event": "Z"}, max_depth=4)
    assert routes(cut) == {"AB…GZ": 1}


def test_sessions_have_paths_of_their_own(history: History) -> None:
    connection = crowd(history, [("A", 0), ("B", 1), ("A", 100), ("C", 101)])
    result = ask(connection, session_gap="PT30S", as_of=120)
    assert routes(result) == {"AB": 1, "AC": 1}
    assert (result.profiles, result.ends.drop, result.ends.in_progress) == (1, 1, 1)


def test_other_holds_what_is_not_listed(history: History) -> None:
    connection = crowd(history, "AB", "AB", "AC", "AD")
    result = ask(connection, min_share=0.3, top_n=1, max_nodes=2)
    assert routes(result) == {"AB": 2}
    assert (result.other.variants, result.other.n, result.distinct) == (2, 2, 3)
    [other] = [node for node in result.flow.nodes if node.label is None]
    assert (other.step, other.n) == (1, 2)
    request = PathsRequest.model_validate({"min_share": 0.3, "top_n": 1, "max_nodes": 2})
    for number in (result.other.bucket, other.bucket, 'link:[0,"A",null]', "label:[null]"):
        assert people(connection, request, as_of=at(99), number=number) == [2, 3], number


def test_labels_are_cleaned_by_patterns_in_their_order(history: History) -> None:
    connection = crowd(history, [("/shoes/12?q", 0), ("/shoes/13", 1), ("/cart", 2)])
    clean = [{"pattern": r"\?.*", "by": ""}, {"pattern": r"^(/\w+)/\d+$", "by": r"\1/…"}]
    assert ask(connection, replace=clean).variants[0].route == ("/shoes/…", "/cart")
    with pytest.raises(ValidationError, match="no regular expression"):
        PathsRequest.model_validate({"replace": [{"pattern": "(", "by": ""}]})
    with pytest.raises(ValidationError, match="no regular expression"):
        PathsRequest.model_validate({"replace": [{"pattern": "a{99999999999}", "by": ""}]})
    with pytest.raises(DefinitionInvalid):  # Python reads it, RE2 does not
        ask(connection, replace=[{"pattern": "(?=x)", "by": ""}])


def test_a_journey_names_the_steps_and_tells_switches(history: History) -> None:
    journey = Journey.model_validate(
        {
            "key": "k",
            "name": "n",
            "stages": [{"id": "s", "order": 1}],
            "channels": ["web", "phone"],
            "touchpoints": [
                {"id": name, "stage": "s", "channel": channel, "match": {"event": name}}
                for name, channel in (("A", "web"), ("B", "phone"))
            ],
        }
    )
    connection = crowd(history, "ABX")
    result = ask(connection, journey=journey, label="touchpoint")
    assert (routes(result), result.unlabelled) == ({"AB": 1}, 1)
    assert [edge.switch for edge in result.graph.edges] == [True]
    both = ask(connection, journey=journey, label="stage_channel")
    assert both.variants[0].route == ("s × web", "s × phone")
    with pytest.raises(ValidationError, match="needs a journey"):
        PathsRequest.model_validate({"label": "stage"})


@pytest.mark.parametrize(
    "number",
    [
        "",
        "x",
        "node:",
        "node:[",
        'node:[{"a":1}]',
        "node:[1]",
        "edge:A",
        "ended:never",
        "step:1",
        'edge:["A",1]',
        'node:[true,"A"]',
        "variant:[]",
        "label:[1]",
        "node:[1e999,null]",
    ],
)
def test_a_number_that_is_not_in_the_answer_is_refused(history: History, number: str) -> None:
    with pytest.raises(BucketInvalid):
        people(crowd(history, "AB"), PathsRequest(), as_of=at(9), number=number)


def test_a_mistyped_name_is_told_and_below_a_not_refused() -> None:
    known = {"Order Completed", "Product Viewed"}
    plain = PathsRequest.model_validate({"start": {"event": "Order Complete"}})
    [warning] = spelling.check(plain, known)
    assert "did you mean 'Order Completed'?" in warning
    negated = PathsRequest.model_validate({"universe": {"not": {"event": "Order Complete"}}})
    with pytest.raises(DefinitionInvalid, match="fits all"):
        spelling.check(negated, known)
    twice = {"not": {"not": {"event": "Order Complete"}}}
    assert len(spelling.check(PathsRequest.model_validate({"universe": twice}), known)) == 1
    unlike = PathsRequest.model_validate({"universe": {"not": {"event": "zzz"}}})
    assert spelling.check(unlike, known) == ["no event is named 'zzz'"]


@pytest.mark.parametrize("seed", range(8))
def test_paths_equal_the_plain_reference_and_the_funnel(seed: int, history: History) -> None:
    dice = random.Random(seed)  # noqa: S311 - reproducible histories, not a secret
    told: list[list[tuple[str, int]]] = []
    for _ in range(60):
        moments = sorted(dice.randrange(30) for _ in range(dice.randrange(9)))
        told.append([(dice.choice("AABBCD"), moment) for moment in moments])
    connection = crowd(history, *told)
    depth, collapse = dice.randrange(1, 6), dice.random() < 0.6
    said: dict[str, Any] = {"start": {"event": "A"}, "max_depth": depth, "collapse": collapse}
    result = ask(connection, top_variants=5_000, **said)
    expected: Counter[str] = Counter()
    who: dict[str, set[int]] = {}
    steps: Counter[tuple[int, str]] = Counter()
    follows: Counter[tuple[str, str]] = Counter()
    for person, events in enumerate(told):
        names = [name for name, _ in events]
        if collapse:
            names = [n for i, n in enumerate(names) if i == 0 or names[i - 1] != n]
        if "A" in names:
            names = names[names.index("A") :][: depth + 1]
            expected["".join(names)] += 1
            who.setdefault("".join(names), set()).add(person)
            steps.update(enumerate(names))
            follows.update(pairwise(names))
    assert routes(result) == expected
    assert {(n.step, n.label): n.n for n in result.flow.nodes} == steps
    assert {(e.source, e.target): e.n for e in result.graph.edges} == follows
    request = PathsRequest.model_validate({**said, "top_variants": 5_000})
    for variant in result.variants[:3]:
        listed = people(connection, request, as_of=at(10_000), number=variant.bucket)
        assert set(listed) == who["".join(variant.route)]
        assert len(listed) == variant.profiles
    # A funnel of A and then B counts those whose whole path from A has a B.
    asked = FunnelRequest.model_validate({"steps": [{"event": "A"}, {"event": "B"}]})
    whole = ask(connection, **{**said, "max_depth": None}, top_variants=5_000)
    counted = [step.n for step in funnel(connection, asked, as_of=at(10_000)).steps]
    assert counted == [whole.paths, sum(n for r, n in routes(whole).items() if "B" in r)]
