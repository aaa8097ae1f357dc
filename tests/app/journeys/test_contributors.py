"""What an alert comes from: parts that add up to the deviation, and open to their people."""

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from pydantic import ValidationError

from app.errors import BucketInvalid
from app.journeys.anomalies import Point, anomalies, people
from app.journeys.anomaly_request import AnomaliesQuery
from app.journeys.buckets import bucket
from app.journeys.contributors import attributes

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
DAYS, BAD = 50, 45
SHOPS: tuple[tuple[str | None, int], ...] = (("Lyon", 30), ("Nantes", 20), (None, 10))


def orders(days: int = DAYS, bad: int = BAD, left: int = 0) -> list[dict[str, Any]]:
    """So many orders a day of each shop; on the bad day Lyon has few, and Nantes four more."""
    rows = []
    for day in range(days):
        person = 0
        for shop, usual in SHOPS:
            n = usual
            if day == bad:
                n = {"Lyon": left, "Nantes": usual + 4}.get(shop or "", usual)
            for _ in range(n):
                at = START + timedelta(days=day, hours=9)
                said = {} if shop is None else {"shop": shop}
                rows.append({"person_id": person, "name": "Order", "source": "till",
                             "occurred_at": at, "properties": json.dumps(said)})  # fmt: skip
                person += 1
    return rows


def ask(
    connection: duckdb.DuckDBPyConnection, **said: Any
) -> tuple[AnomaliesQuery, dict[str, Point]]:
    query = AnomaliesQuery.model_validate({"match": {"event": "Order"}, **said})
    result = anomalies(connection, query, as_of=START + timedelta(days=DAYS))
    return query, {one.start: one for one in result.points if one.status in ("high", "low")}


@pytest.mark.parametrize("count", ["events", "profiles"])
def test_the_shop_that_fell_has_more_than_its_part_of_the_fall(
    history: History, count: str
) -> None:
    query, found = ask(
        history(orders()), count=count, by=[{"prop": "shop"}, {"of": "source"}, {"of": "event"}]
    )
    [point] = found.values()
    assert (point.value, point.expected) == (34, 60)
    by = [(one.by.prop or one.by.of, one.value) for one in point.contributors]
    # Nantes moved the other way, and those without a shop did not move.
    assert by == [("shop", "Lyon"), ("source", "till"), ("event", "Order")]
    lyon, till, _ = point.contributors
    assert (lyon.n, lyon.expected, lyon.usual_share) == (0, 30, 0.5)
    assert lyon.share == pytest.approx(30 / 26)
    assert (till.share, till.usual_share) == (1.0, 1.0)
    behind = people(
        history(orders()), query, as_of=START + timedelta(days=DAYS), number=lyon.bucket
    )
    assert len(behind) == lyon.n


def test_of_events_the_parts_are_the_deviation_whatever_there_was(history: History) -> None:
    draw = random.Random(60)  # noqa: S311 - a reproducible history, not a secret
    rows: list[dict[str, Any]] = []
    for day in range(DAYS):
        for _ in range(300 if day != BAD else draw.randrange(100, 200)):
            shop = draw.choice(["a", "b", "c", None])
            rows.append(
                {
                    "person_id": draw.randrange(50),
                    "name": "Order",
                    "occurred_at": START + timedelta(days=day, seconds=draw.randrange(86_400)),
                    "properties": None if shop is None else json.dumps({"shop": shop}),
                }
            )
    _, found = ask(history(rows), count="events", by=[{"prop": "shop"}])
    [point] = found.values()
    usual, seen = Counter[str | None](), Counter[str | None]()
    for row in rows:
        day = (row["occurred_at"] - START).days
        at = json.loads(row["properties"] or "{}").get("shop")
        if day in range(BAD - 7, -1, -7):
            usual[at] += 1
        if day == BAD:
            seen[at] += 1
    assert point.expected is not None
    parts = {
        shop: (seen[shop] - point.expected * usual[shop] / usual.total())
        / (point.value - point.expected)
        for shop in usual
    }
    assert sum(parts.values()) == pytest.approx(1)
    fell = sorted(((s, p) for s, p in parts.items() if p > 0), key=lambda one: -one[1])
    assert [one.value for one in point.contributors] == [shop for shop, _ in fell]
    assert [one.share for one in point.contributors] == pytest.approx([p for _, p in fell])


def test_a_rise_is_of_those_who_rose_and_people_are_split_by_what_they_are(
    history: History,
) -> None:
    connection = history(orders(left=60))
    vips = [(person, '"gold"') for person in range(30, 60)]
    connection.register(
        "attribute",
        pa.table(
            {
                "kind": ["trait"] * 30 + ["segment"] * 30,
                "key": ["tier"] * 30 + ["vip"] * 30,
                "person_id": [person for person, _ in vips] * 2,
                "label": [said for _, said in vips] + ["true"] * 30,
            }
        ),
    )
    query, found = ask(connection, by=[{"trait": "tier"}, {"segment": "vip"}])
    assert {(one.kind, one.key) for one in attributes(query)} == {
        ("trait", "tier"),
        ("segment", "vip"),
    }
    [point] = found.values()
    assert (point.status, point.value) == ("high", 94)
    # Usually half of the sixty are gold; of those who came in addition nobody is.
    plain, outside = point.contributors
    assert (plain.value, plain.n, plain.usual_share) == (None, 64, 0.5)
    assert outside.value is False
    assert outside.share == pytest.approx(1.0)
    gold = bucket("of", point.start, 0, '"gold"')
    assert people_of(connection, query, gold) == list(range(30, 60))


def people_of(
    connection: duckdb.DuckDBPyConnection, query: AnomaliesQuery, number: str
) -> list[int]:
    return people(connection, query, as_of=START + timedelta(days=DAYS), number=number)


def test_what_there_is_nothing_to_say_of(history: History) -> None:
    connection = history(orders())
    query, found = ask(connection)
    [point] = found.values()
    assert point.contributors == ()
    january = {"from": "2026-01-05T00:00:00Z", "to": "2026-01-20T00:00:00Z"}
    _, found = ask(connection, by=[{"prop": "shop"}], range=january)
    assert found == {}
    _, found = ask(history([]), by=[{"prop": "shop"}])
    assert found == {}
    query, _ = ask(connection, by=[{"prop": "shop"}])
    for wrong in (
        f'of:["{point.start}",1,null]', f'of:["{point.start}",0]', 'of:["2020-01-01",0,null]',
        f'of:["{point.start}",0,3]', f'of:["{point.start}","0",null]', f"of:{point.start}",
    ):  # fmt: skip
        with pytest.raises(BucketInvalid):
            people_of(connection, query, wrong)
    for said, why in (
        ({"by": [{"of": "source", "prop": "shop"}]}, "give one of"),
        ({"by": [{}]}, "give one of"),
        ({"by": [{"prop": "shop"}], "per": {"event": "Visit"}}, "a count is taken apart"),
        ({"by": [{"prop": "shop"}] * 6}, "at most 5"),
    ):
        with pytest.raises(ValidationError, match=why):
            AnomaliesQuery.model_validate({"match": {"event": "Order"}, **said})
