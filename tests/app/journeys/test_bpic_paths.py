"""Paths, switches and times on a real bank's log: the numbers of research/journeys.md §7."""

from collections import Counter
from itertools import pairwise
from typing import Any

import duckdb
import pytest

from app.imports.xes import XesEvent
from app.journeys.funnel import behind
from app.journeys.funnel_request import FunnelRequest
from app.journeys.paths import paths, people
from app.journeys.paths_answer import PathsResult
from app.journeys.paths_request import PathsRequest
from app.journeys.switches import people as switching
from app.journeys.switches import switches
from app.journeys.switches_request import SwitchesQuery
from app.journeys.time_to_convert import time_to_convert
from tests.app.journeys.test_bpic import DATA_END, OFFER, loan_journey

pytestmark = pytest.mark.long

Bpic = duckdb.DuckDBPyConnection


def ask(connection: Bpic, **said: Any) -> PathsResult:
    return paths(connection, PathsRequest.model_validate(said), as_of=DATA_END)


def starting(events: list[XesEvent], letters: str) -> dict[str, Any]:
    names = sorted({event.name for event in events if event.name and event.name[0] in letters})
    return {"any": [{"event": name} for name in names]}


def test_every_variant_and_edge_is_counted_as_in_the_file(
    bpic: Bpic, bpic_events: list[XesEvent]
) -> None:
    label = ["event", {"prop": "lifecycle"}]
    result = ask(
        bpic, label=label, collapse=False, max_depth=None, max_nodes=100, top_variants=5_000
    )
    cases: dict[str, list[str]] = {}
    for event in bpic_events:
        cases.setdefault(event.case_id, []).append(f"{event.name} · {event.lifecycle}")
    counted = Counter(tuple(case) for case in cases.values())
    assert {one.route: one.n for one in result.variants} == counted
    assert result.distinct == 4_366
    assert [one.n for one in result.variants[:5]] == [3_429, 1_872, 271, 209, 160]
    follows = Counter(pair for case in cases.values() for pair in pairwise(case))
    assert {(e.source, e.target): e.n for e in result.graph.edges} == follows
    top = result.graph.edges[0]
    assert (len(result.graph.edges), top.n) == (188, 17_394)
    assert (top.source, top.target) == (
        "W_Nabellen offertes · COMPLETE",
        "W_Nabellen offertes · START",
    )


def test_paths_from_and_to_a_milestone_as_published(
    bpic: Bpic, bpic_events: list[XesEvent]
) -> None:
    applications = ask(bpic, universe=starting(bpic_events, "A"), collapse=False, max_depth=None)
    assert applications.distinct == 17
    tops = [one.n for one in applications.variants[:6]]
    assert tops == [5_719, 1_640, 1_100, 1_085, 802, 590]
    both = starting(bpic_events, "AO")
    said = {"universe": both, "start": {"event": "A_PREACCEPTED"}, "max_depth": 3}
    result = ask(bpic, **said)
    assert (result.paths, result.distinct) == (7_367, 8)
    assert [one.n for one in result.variants[:4]] == [2_907, 2_108, 1_100, 1_085]
    request = PathsRequest.model_validate(said)
    for one in result.variants:
        listed = people(bpic, request, as_of=DATA_END, number=one.bucket)
        assert len(listed) == one.profiles == one.n
    to = ask(bpic, universe=both, end={"event": "O_ACCEPTED"}, max_depth=3)
    assert (to.paths, to.distinct, to.variants[0].n) == (2_243, 26, 1_172)


def test_switches_are_counted_as_published_and_open_to_their_people(bpic: Bpic) -> None:
    query = SwitchesQuery(journey=loan_journey(bpic), human=("phone",))
    result = switches(bpic, query, as_of=DATA_END)
    assert (result.pairs, result.switches) == (249_113, 69_630)
    assert result.rate == pytest.approx(0.27951, abs=5e-6)
    moves = {(one.source, one.target): one for one in result.channels}
    assert moves["web", "phone"].n == 19_351
    assert moves["phone", "web"].n == 14_404
    for one in (*result.channels, *result.families):
        listed = switching(bpic, query, as_of=DATA_END, number=one.bucket)
        assert len(listed) == one.profiles
    everyone = switching(bpic, query, as_of=DATA_END, number="switching:any")
    assert len(everyone) == result.switching_profiles == 9_658
    assert sum(one.pairs for one in result.completion_after.values()) < result.pairs


@pytest.mark.parametrize("window", [None, "P7D", "P30D"])
def test_incidence_lies_between_what_is_seen_and_what_is_over(
    bpic: Bpic, window: str | None
) -> None:
    request = FunnelRequest.model_validate(
        {"steps": [{"event": name} for name in OFFER], "window": window, "entry": "first"}
    )
    result = time_to_convert(bpic, request, as_of=DATA_END)
    assert sum(one.n for one in result.bins) == result.n
    for one in result.bins[:2] + result.bins[-1:]:
        assert len(behind(bpic, request, as_of=DATA_END, number=one.bucket)) == one.n
    assert result.bins[0].start <= (result.converted["p10"] or 0) <= result.bins[-1].end
    assert result.all is not None
    # A tenth of all takes longer than a tenth of the converted: the others never did.
    if result.all["p10"] is not None:
        assert result.all["p10"] > (result.converted["p10"] or 0)
    assert result.all["p95"] is None
