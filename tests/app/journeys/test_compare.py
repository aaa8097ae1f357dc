"""Comparisons against a randomised experiment, a real bank's log, and what goes wrong by hand."""

import csv
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError

from app.errors import BucketInvalid
from app.journeys.compare import compare, people
from app.journeys.compare_answer import CompareResult, Pair
from app.journeys.compare_request import CompareQuery, caveats
from app.journeys.significance import discoveries, shares
from tests.app.journeys.conftest import connect
from tests.real_data import need

START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = START + timedelta(days=365)
DATA_END = datetime.fromisoformat("2012-03-14T15:04:54.681Z")
ARMS = ("Mens E-Mail", "Womens E-Mail", "No E-Mail")

Row = Mapping[str, Any]
History = Callable[[Sequence[Row]], duckdb.DuckDBPyConnection]


def ask(connection: duckdb.DuckDBPyConnection, end: datetime, **body: Any) -> CompareResult:
    return compare(connection, CompareQuery.model_validate(body), as_of=end)


def pair(result: CompareResult, measure: str, one: str, two: str, align: int = 0) -> Pair:
    [found] = [
        p
        for p in result.alignments[align].pairs
        if (p.measure, p.one, p.two) == (measure, one, two)
    ]
    return found


@pytest.fixture(scope="module")
def hillstrom() -> Iterator[duckdb.DuckDBPyConnection]:
    """64,000 customers who were drawn into three arms, as events."""
    file = need("data/journeys/hillstrom/hillstrom.csv")
    columns: dict[str, list[Any]] = {
        name: [] for name in ("person_id", "name", "occurred_at", "properties")
    }
    with file.open(encoding="utf-8") as lines:
        for person, row in enumerate(csv.DictReader(lines)):
            said = [("Assigned", f'{{"arm": "{row["segment"]}"}}')]
            said += [("Visit", "{}")] if row["visit"] == "1" else []
            said += (
                [("Order", f'{{"revenue": {row["spend"]}}}')] if row["conversion"] == "1" else []
            )
            for second, (name, properties) in enumerate(said):
                columns["person_id"].append(person)
                columns["name"].append(name)
                columns["occurred_at"].append(1_000_000 * second)
                columns["properties"].append(properties)
    n = len(columns["name"])
    columns |= {
        "event_id": list(range(n)), "type": ["track"] * n, "source": ["mail"] * n,
        "received_at": columns["occurred_at"], "source_seq": list(range(n)), "context": [None] * n,
    }  # fmt: skip
    connection = connect(columns)
    yield connection
    connection.close()


def arms(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "entry": {"prop": "arm", "op": "eq", "value": name}} for name in names]


@pytest.mark.long
def test_47_a_randomised_experiment_gives_its_published_effects(
    hillstrom: duckdb.DuckDBPyConnection,
) -> None:
    result = ask(
        hillstrom,
        LATER,
        entry={"event": "Assigned"},
        variants=arms(*ARMS),
        outcomes=[
            {"name": "visit", "match": {"event": "Visit"}},
            {"name": "conversion", "match": {"event": "Order"}},
        ],
        amounts=[{"name": "spend", "match": {"event": "Order"}, "prop": "revenue"}],
        randomised=True,
        shares=(1, 1, 1),
    )
    groups = {g.variant: g for g in result.alignments[0].outcomes["visit"]}
    assert [round(100 * (groups[name].share or 0), 2) for name in ARMS] == [18.28, 15.14, 10.62]
    visit = pair(result, "visit", "Mens E-Mail", "No E-Mail")
    assert visit.difference == pytest.approx(0.07659, abs=5e-6)
    assert visit.tests[0].test == "z"
    assert visit.tests[0].statistic == pytest.approx(22.486, abs=5e-4)
    assert visit.interval == pytest.approx((0.06995, 0.08323), abs=5e-6)
    order = pair(result, "conversion", "Mens E-Mail", "No E-Mail")
    assert order.difference == pytest.approx(0.00681, abs=5e-6)
    assert order.tests[0].p == pytest.approx(1.5e-13, rel=0.04)
    womens = pair(result, "conversion", "Womens E-Mail", "No E-Mail")
    assert womens.difference == pytest.approx(0.00311, abs=5e-6)
    assert womens.tests[0].p == pytest.approx(1.57e-4, rel=0.01)
    for arm, t in (("Mens E-Mail", 5.300), ("Womens E-Mail", 3.256)):
        spend = pair(result, "spend", arm, "No E-Mail")
        assert spend.tests[0].test == "welch_t"
        assert spend.tests[0].statistic == pytest.approx(t, abs=5e-4)
    ratio = result.sample_ratio
    assert ratio is not None
    assert ratio.statistic == pytest.approx(0.2025, abs=5e-5)
    assert (round(ratio.p, 3), ratio.alarm) == (0.904, False)
    assert result.semantics.evidence == "randomised"
    [overall] = [one for one in result.alignments[0].overall if one.measure == "visit"]
    assert overall.p < 1e-100
    # 64,000 people are too many to draw again; the mean of so many is as good as normal.
    assert spend.interval is None


@pytest.mark.long
def test_48_where_nothing_differs_few_tests_say_that_something_does(
    hillstrom: duckdb.DuckDBPyConnection,
) -> None:
    rows = hillstrom.execute(
        "SELECT person_id, bool_or(name = 'Visit') FROM event GROUP BY ALL ORDER BY person_id"
    ).fetchall()
    visited = [bool(row[1]) for row in rows]
    dice = random.Random(48)  # noqa: S311 - a reproducible shuffle, not a secret
    half, found, discovered = len(visited) // 2, 0, 0
    for _ in range(200):
        dice.shuffle(visited)
        k = sum(visited[:half])
        found += shares(k, half, sum(visited) - k, len(visited) - half).p < 0.05
        # Twenty measures of which none differs: ten parts of both halves, and each against itself.
        size = len(visited) // 40
        ks = [sum(visited[n * size : (n + 1) * size]) for n in range(40)]
        ps = [shares(ks[n], size, ks[n + 20], size).p for n in range(20)]
        discovered += min(discoveries(ps)) < 0.05
    assert 0.03 <= found / 200 <= 0.08
    assert discovered / 200 <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5


CALL = {
    "entry": {"event": "O_SENT"},
    "variants": [
        {"name": "called", "exposed": {"event": "W_Nabellen incomplete dossiers"}},
        {"name": "not called", "rest": True},
    ],
    "outcomes": [{"name": "accepted", "match": {"event": "O_ACCEPTED"}}],
    "lost": [{"event": "A_DECLINED"}, {"event": "A_CANCELLED"}],
}


@pytest.mark.long
def test_49_the_alignment_decides_and_the_naive_one_is_warned_of(
    bpic: duckdb.DuckDBPyConnection,
) -> None:
    back = {"milestone": {"event": "O_SENT_BACK"}}
    align = ["entry", back, {**back, "landmark": "P7D"}]
    body = {**CALL, "align": align}
    result = ask(bpic, DATA_END, **body)
    counts = [
        [(one.k, one.n) for one in comparison.outcomes["accepted"]]
        for comparison in result.alignments
    ]
    assert counts[0] == [(1230, 1647), (1013, 3368)]
    assert counts[1] == [(1230, 1647), (1013, 1607)]
    # Of those who are alive and undecided a week after their offer came back.
    assert counts[2] == [(434, 606), (24, 37)]
    naive = pair(result, "accepted", "called", "not called")
    assert naive.odds_ratio == pytest.approx(6.857, abs=5e-4)
    assert naive.interval == pytest.approx((0.4194, 0.4715), abs=5e-5)
    later = pair(result, "accepted", "called", "not called", align=2)
    assert later.tests[0].p > 0.05
    [warning] = caveats(CompareQuery.model_validate(body))
    assert warning.startswith("immortal_time: called")
    assert not caveats(CompareQuery.model_validate({**CALL, "align": align[2]}))
    for number, n in ((1, 1230), (3, 434)):
        bucket = f'came:[{number},"accepted","called"]'
        assert (
            len(people(bpic, CompareQuery.model_validate(body), as_of=DATA_END, number=bucket)) == n
        )
    with pytest.raises(BucketInvalid):
        people(bpic, CompareQuery.model_validate(body), as_of=DATA_END, number='came:[9,"a","b"]')


def crowd(size: dict[str, tuple[int, int]], *, days: int = 1) -> list[dict[str, Any]]:
    """Of each group so many people, of whom so many succeed a day after they came."""
    rows: list[dict[str, Any]] = []
    person = 0
    for group, (n, k) in size.items():
        for number in range(n):
            person += 1
            rows.append({"person_id": person, "name": "In", "occurred_at": START,
                         "properties": f'{{"group": "{group}"}}'})  # fmt: skip
            if number < k:
                at = START + timedelta(days=days)
                rows.append({"person_id": person, "name": "Won", "occurred_at": at,
                             "properties": '{"amount": 10.5}'})  # fmt: skip
    return rows


def two(history: History, a: tuple[int, int], b: tuple[int, int], **more: Any) -> CompareResult:
    groups = {"a": a, "b": b}
    body = {
        "entry": {"event": "In"},
        "variants": [
            {"name": g, "entry": {"prop": "group", "op": "eq", "value": g}} for g in groups
        ],
        "outcomes": [{"name": "won", "match": {"event": "Won"}}],
        **more,
    }
    return ask(history(crowd(groups)), LATER, **body)


@pytest.mark.parametrize(("n", "status"), [(29, "insufficient_sample"), (30, "tested")])
def test_51_a_group_of_29_is_too_small_and_one_of_30_is_tested(
    history: History, n: int, status: str
) -> None:
    [found] = two(history, (n, 10), (500, 100)).alignments[0].pairs
    assert found.status == status
    assert bool(found.tests) == (status == "tested")


def test_52_small_expected_counts_are_tested_exactly(history: History) -> None:
    for won, name in ((2, "fisher_exact"), (20, "z")):
        [found] = two(history, (40, won), (40, won + 4)).alignments[0].pairs
        assert found.tests[0].test == name
    [few] = two(history, (30, 0), (30, 5)).alignments[0].pairs
    assert few.tests[0].p == pytest.approx(
        0.0522, abs=5e-4
    )  # R: fisher.test(matrix(c(0,30,5,25),2))
    assert (few.ratio, few.odds_ratio) == (0.0, 0.0)
    [same] = two(history, (30, 0), (30, 0)).alignments[0].pairs
    assert (same.status, same.tests) == ("no_variation", ())


def test_only_people_whose_window_is_over_are_counted(history: History) -> None:
    outcome = {"name": "won", "match": {"event": "Won"}, "window": "P2D"}
    groups = {"a": (50, 20), "b": (50, 30)}
    body = {
        "entry": {"event": "In"},
        "variants": [{"name": "a", "entry": {"prop": "group", "op": "eq", "value": "a"}},
                     {"name": "b", "rest": True}],
        "outcomes": [outcome],
        "amounts": [{"name": "sum", "match": {"event": "Won"}, "prop": "amount", "window": "P2D"}],
    }  # fmt: skip
    early = ask(history(crowd(groups)), START + timedelta(days=1, hours=1), **body)
    for group in early.alignments[0].outcomes["won"]:
        assert (group.n, group.k, group.in_progress) == (0, 0, 50)
    late = ask(history(crowd(groups)), START + timedelta(days=2), **body)
    assert [(g.k, g.n) for g in late.alignments[0].outcomes["won"]] == [(20, 50), (30, 50)]
    assert [h.total for h in late.alignments[0].amounts["sum"]] == [210.0, 315.0]
    won = pair(late, "won", "a", "b")
    assert [one.test for one in won.tests] == ["z", "log_rank"]
    total = pair(late, "sum", "a", "b")
    assert [one.test for one in total.tests] == ["welch_t", "mann_whitney_u"]
    assert total.difference == pytest.approx(-2.1)
    assert total.interval is not None
    assert total.interval[0] < -2.1 < total.interval[1] < 0.1
    again = ask(history(crowd(groups)), START + timedelta(days=2), **body)
    assert again.model_dump_json() == late.model_dump_json()
    # All tests of an alignment are corrected together.
    ps = [one.p for one in (*won.tests, *total.tests)]
    assert [one.q for one in (*won.tests, *total.tests)] == discoveries(ps)


def test_nobody_and_amounts_beyond_all_measure_give_an_answer(history: History) -> None:
    body = {
        "entry": {"event": "In"},
        "variants": [{"name": "a", "entry": {"prop": "group", "op": "eq", "value": "a"}},
                     {"name": "b", "rest": True}],
        "outcomes": [{"name": "won", "match": {"event": "Won"}}],
        "amounts": [{"name": "sum", "match": {"event": "Won"}, "prop": "amount"}],
        "randomised": True, "shares": (1, 1),
    }  # fmt: skip
    nothing = ask(history([]), LATER, **body)
    assert nothing.sample_ratio is None
    assert {one.status for one in nothing.alignments[0].pairs} == {"insufficient_sample"}
    rows = crowd({"a": (40, 40), "b": (40, 20)})
    huge = [{**row, "properties": '{"amount": 9e14, "group": "a"}'} for row in rows]
    most = [{**row, "person_id": 1} for row in huge for _ in range(20)]
    unusable = [{**row, "properties": '{"amount": 1e300}'} for row in rows]
    result = ask(history([*huge, *most, *unusable]), LATER, **body)
    [heap, _] = result.alignments[0].amounts["sum"]
    assert heap.total == pytest.approx(9e14 * (60 + 60 * 20))
    json.loads(result.model_dump_json())  # no NaN, no infinity


WRONG: list[dict[str, Any]] = [
    {"variants": [{"name": "a", "rest": True}, {"name": "b", "entry": {"event": "x"}}]},
    {"variants": [{"name": "a", "entry": {"event": "x"}}, {"name": "a", "rest": True}]},
    {"variants": [{"name": "a"}, {"name": "b", "rest": True}]},
    {"variants": [{"name": "a", "trait": "t"}, {"name": "b", "rest": True}]},
    {"outcomes": []},
    {"shares": (1, 1)},
    {"randomised": True, "shares": (1, 1, 1)},
    {"align": [{"landmark": "P1M"}]},
]


@pytest.mark.parametrize("more", WRONG)
def test_a_comparison_that_means_nothing_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CompareQuery.model_validate({**CALL, **more})
