"""Friction, drop-off, the voice of the customer and moments of truth, on truth tables by hand."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError

from app.errors import BucketInvalid
from app.journeys import drop_off as drop_offs
from app.journeys import friction as frictions
from app.journeys import moments_of_truth as truths
from app.journeys import voice as voices
from app.journeys.definition import Journey
from app.journeys.drop_off import drop_off
from app.journeys.friction import friction
from app.journeys.friction_answer import FrictionPoint, FrictionResult
from app.journeys.friction_request import DropOffQuery, FrictionQuery, VoiceQuery
from app.journeys.intervals import wilson
from app.journeys.matrix import matrix
from app.journeys.moments_of_truth import moments_of_truth
from app.journeys.moments_request import MomentsQuery
from app.journeys.survey import Survey
from app.journeys.voice import voice

Row = Mapping[str, Any]
History = Callable[[Sequence[Row]], duckdb.DuckDBPyConnection]

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
LATER = START + timedelta(days=365)
HOUR = 3_600

JOURNEY: dict[str, Any] = {
    "key": "loan",
    "name": "Loan",
    "stages": [{"id": "ask", "order": 1}, {"id": "file", "order": 2}, {"id": "sign", "order": 3}],
    "channels": [{"id": "web", "effort_rank": 1}, {"id": "phone", "effort_rank": 2}, "mail"],
    "touchpoints": [
        {"id": "page", "stage": "ask", "channel": "web", "match": {"event": "page"},
         "assessment": {"declared": "enchantment", "by": "workshop"}},
        {"id": "call", "stage": "ask", "channel": "phone", "match": {"event": "call"}},
        {"id": "form", "stage": "file", "channel": "web", "match": {"event": "form"}},
        {"id": "letter", "stage": "file", "channel": "mail", "match": {"event": "letter"}},
        {"id": "deed", "stage": "sign", "channel": "phone", "match": {"event": "deed"}},
    ],
    "value": {"match": {"event": "deed"}, "prop": "margin"},
    "lost": [{"event": "refused"}],
}  # fmt: skip

#: A way is names with hours after the start; so many people take it.
Ways = Sequence[tuple[int, Sequence[tuple[str, float]]]]


def rows(ways: Ways, properties: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    person = 0
    for people, events in ways:
        for _ in range(people):
            person += 1
            found += [
                {
                    "person_id": person,
                    "name": name,
                    "occurred_at": START + timedelta(hours=at),
                    "properties": (properties or {}).get(name),
                }
                for name, at in events
            ]
    return found


def ask(
    connection: duckdb.DuckDBPyConnection, end: datetime = LATER, **more: Any
) -> FrictionResult:
    query = FrictionQuery.model_validate({"journey": JOURNEY, **more})
    return friction(connection, query, as_of=end)


def points(result: FrictionResult) -> dict[str, FrictionPoint]:
    return {one.touchpoint: one for one in result.touchpoints}


def parts(point: FrictionPoint) -> dict[str, tuple[int, float]]:
    return {one.name: (one.n, one.observed) for one in point.components}


#: 40 go through, 10 call after the page and come back to it, 10 leave at the form.
WAYS: Ways = [
    (40, [("page", 0), ("form", 24), ("deed", 48)]),
    (10, [("page", 0), ("call", 1), ("page", 2), ("form", 26), ("deed", 50)]),
    (10, [("page", 0), ("form", 24), ("call", 30)]),
]


def test_each_component_is_what_it_says(history: History) -> None:
    found = points(ask(history(rows(WAYS)), least=10, failure={"event": "call"}))
    page, form, call = parts(found["page"]), parts(found["form"]), parts(found["call"])
    # 60 people and 70 visits; 10 visits are followed by a call within a week, and by a page again.
    assert page["escalation"] == (70, 10 / 70)
    assert page["repetition"] == (70, 10 / 70)
    assert page["backtrack"] == (70, 0.0)
    assert page["slowness"] == (70, 24 * HOUR)
    # All reach a later stage from the page; of the 60 at the form 10 never do.
    assert page["abandonment"] == (60, 0.0)
    assert form["abandonment"] == (60, 10 / 60)
    assert form["backtrack"] == (60, 10 / 60)
    assert call["failure"] == (20, 1.0)
    assert found["page"].absent.keys() == {"voice"}
    assert found["deed"].absent.keys() >= {"abandonment", "slowness"}
    people = frictions.people(
        history(rows(WAYS)),
        FrictionQuery.model_validate({"journey": JOURNEY}),
        as_of=LATER,
        number="abandonment:form",
    )
    assert people == list(range(51, 61))
    with pytest.raises(BucketInvalid):
        frictions.people(
            history(rows(WAYS)),
            FrictionQuery.model_validate({"journey": JOURNEY}),
            as_of=LATER,
            number="slowness:form",
        )


def test_nobody_abandons_the_last_stage(history: History) -> None:
    ways = [(40, [("page", 0), ("form", 24), ("deed", 48), ("page", 49), ("deed", 50)])]
    deed = points(ask(history(rows(ways))))["deed"]
    assert "abandonment" in deed.absent
    assert parts(deed)["backtrack"] == (40, 1.0)
    stage = drop_off(
        history(rows(ways)), DropOffQuery(journey=Journey.model_validate(JOURNEY)), as_of=LATER
    ).stages[2]
    assert (stage.reached, stage.moved, stage.dropped, stage.drop_rate) == (40, 40, 0, None)


def test_44_the_median_scores_0_the_worst_100_and_too_few_are_absent(history: History) -> None:
    # Six pages of one stage, of which the last is left by all; each by 40 people and then by 5.
    names = [f"p{n}" for n in range(7)]
    journey = {
        "key": "j", "name": "J", "channels": ["web"],
        "stages": [{"id": "a", "order": 1}, {"id": "b", "order": 2}],
        "touchpoints": [
            {"id": n, "stage": "a", "channel": "web", "match": {"event": n}} for n in names
        ] + [{"id": "end", "stage": "b", "channel": "web", "match": {"event": "end"}}],
    }  # fmt: skip
    ways: list[tuple[int, list[tuple[str, float]]]] = []
    for name in names[:5]:
        ways += [(30, [(name, 0), ("end", 10)]), (10, [(name, 0)])]
    ways += [(5, [("p5", 0), ("end", 10)]), (2, [("p6", 0), ("end", 100)]), (38, [("p6", 0)])]
    only = {"abandonment": 1, "slowness": 0, "repetition": 0, "backtrack": 0, "failure": 0}
    found = {
        one.touchpoint: one
        for one in friction(
            history(rows(ways)),
            FrictionQuery.model_validate({"journey": journey, "weights": only}),
            as_of=LATER,
        ).touchpoints
    }
    assert [found[name].score for name in names[:5]] == [0.0] * 5
    # Shrunk towards the others, it is the worst all the same.
    [worst] = [one for one in found["p6"].components if one.name == "abandonment"]
    assert 0.25 < worst.value < worst.observed == 0.95
    assert found["p6"].score == pytest.approx(100.0)
    assert found["p5"].score is None
    assert found["p5"].absent["abandonment"] == 5
    declared = friction(
        history(rows(ways)),
        FrictionQuery.model_validate({
            "journey": journey, "weights": only,
            "references": {"abandonment": 0.0}, "worst": {"abandonment": 1.0},
        }),
        as_of=LATER,
    )  # fmt: skip
    for one in declared.touchpoints:
        part = next((c for c in one.components if c.name == "abandonment"), None)
        if part is not None and one.score is not None:
            assert one.score == pytest.approx(100 * part.value)


def test_45_a_double_event_raises_repetition_alone_and_equal_weights_are_equal(
    history: History,
) -> None:
    options: dict[str, Any] = {"least": 10, "failure": {"event": "call"}}
    before = ask(history(rows(WAYS)), **options)
    doubled = [*WAYS[1:], (40, [("page", 0), ("page", 0.1), ("form", 24), ("deed", 48)])]
    after = ask(history(rows(doubled)), **options)
    for name, point in points(after).items():
        old, new = parts(points(before)[name]), parts(point)
        changed = {part for part in new if new[part] != old[part]}
        assert changed == ({"repetition"} if name == "page" else set())
    [one] = [c for c in points(after)["page"].components if c.name == "repetition"]
    assert one.observed == 50 / 110
    weights = dict.fromkeys(
        ("abandonment", "slowness", "repetition", "backtrack", "escalation", "failure"), 2.0
    )
    same = ask(history(rows(WAYS)), **options, weights=weights)
    assert [p.score for p in same.touchpoints] == [p.score for p in before.touchpoints]


def test_46_what_people_say_and_what_is_computed_stand_beside_each_other(history: History) -> None:
    survey = {"instrument": "csat", "match": {"event": "rated"}}
    ways = [(40, [("page", 0), ("rated", 1), ("form", 24), ("deed", 48)])]
    said = rows(ways, {"rated": '{"score": 1}'})
    result = ask(
        history(said), surveys=[survey], references={"voice": 0.0}, worst={"voice": 0.9},
        weights={"slowness": 0, "abandonment": 0, "repetition": 0, "backtrack": 0, "escalation": 0},
    )  # fmt: skip
    page = points(result)["page"]
    assert (page.score, page.assessment and page.assessment.declared) == (100.0, "enchantment")
    [found] = result.disagreements
    assert (found.touchpoint, found.declared, found.score) == ("page", "enchantment", 100.0)


def test_nights_and_weekends_are_no_waiting_where_hours_say_so(history: History) -> None:
    # Friday 17:00 in Paris (16:00 UTC) to Monday 10:00: 65 hours, of which 2 are open.
    ways = [(30, [("page", 4 * 24 + 16), ("form", 7 * 24 + 9)])]
    assert parts(points(ask(history(rows(ways))))["page"])["slowness"] == (30, 65 * HOUR)
    result = ask(history(rows(ways)), opening_hours={"tz": "Europe/Paris"})
    assert parts(points(result)["page"])["slowness"] == (30, 2 * HOUR)
    closed = {"tz": "Europe/Paris", "closed": ["2026-01-12"]}
    result = ask(history(rows(ways)), opening_hours=closed)
    assert parts(points(result)["page"])["slowness"] == (30, 1 * HOUR)


def test_drop_off_is_what_the_matrix_says_until_a_lost_event_says_more(history: History) -> None:
    ways: Ways = [*WAYS, (5, [("page", 8750)]), (3, [("page", 8750), ("refused", 8751)])]
    plain = Journey.model_validate({**JOURNEY, "lost": []})
    connection = history(rows(ways))
    table = matrix(connection, plain, as_of=LATER)
    found = drop_off(connection, DropOffQuery(journey=plain), as_of=LATER)
    for place in found.places:
        cell = next(c for c in table.cells if (c.stage, c.channel) == (place.stage, place.channel))
        assert (place.dropped, place.in_progress) == (cell.dropped, cell.in_progress)
        assert place.moved == round((cell.to_next_stage_rate or 0) * cell.exits)
    whole = Journey.model_validate(JOURNEY)
    told = drop_off(connection, DropOffQuery(journey=whole), as_of=LATER)
    table = matrix(connection, whole, as_of=LATER)
    for place in told.places:
        cell = next(c for c in table.cells if (c.stage, c.channel) == (place.stage, place.channel))
        assert (place.dropped, place.in_progress) == (cell.dropped, cell.in_progress)
    ask_, before = told.stages[0], found.stages[0]
    assert (before.dropped, before.in_progress) == (0, 8)
    assert (ask_.dropped, ask_.in_progress, ask_.moved) == (3, 5, 60)
    for stage in told.stages:
        parts_ = stage.moved + stage.dropped + stage.in_progress + stage.unknown
        assert stage.reached == parts_
    for stage in told.stages[:2]:
        for how in ("moved", "dropped", "in_progress", "resurrected"):
            query = DropOffQuery(journey=Journey.model_validate(JOURNEY))
            n = len(drop_offs.people(connection, query, as_of=LATER, number=stage.buckets[how]))
            assert n == getattr(stage, how)


def test_lost_value_is_what_was_at_stake_or_what_may_be_expected(history: History) -> None:
    properties = {"deed": '{"margin": 120}', "call": '{"cart": 70.5}'}
    connection = history(rows(WAYS, properties))
    journey = Journey.model_validate(JOURNEY)
    expected = drop_off(connection, DropOffQuery(journey=journey), as_of=LATER)
    form = expected.stages[1]
    # 50 of the 60 at the form come through, and bring 120 each; 10 do not.
    assert form.dropped == 10
    assert form.lost_value == pytest.approx(10 * 50 / 60 * 120)
    assert form.method == "P(comes through | stage) x mean value"
    stake = {"match": {"event": "call"}, "prop": "cart"}
    observed = drop_off(
        connection,
        DropOffQuery.model_validate({"journey": JOURNEY, "at_stake": stake}),
        as_of=LATER,
    )
    assert observed.stages[1].lost_value == 10 * 70.5
    assert observed.lost_value == 705.0
    assert observed.stages[1].method == "observed value of the dropped"


def test_a_place_breaks_where_most_are_lost_and_a_switch_where_it_leads_nowhere(
    history: History,
) -> None:
    ways: Ways = [
        (100, [("page", 0), ("form", 5), ("deed", 9)]),
        (60, [("page", 0), ("letter", 5), ("deed", 9)]),
        (60, [("page", 0), ("form", 5), ("letter", 8)]),
    ]
    result = drop_off(
        history(rows(ways)), DropOffQuery(journey=Journey.model_validate(JOURNEY)), as_of=LATER
    )
    places = {place.touchpoint: place for place in result.places}
    assert (places["letter"].dropped, places["letter"].moved) == (60, 60)
    assert places["letter"].lower == pytest.approx(wilson(60, 120)[0])
    assert places["letter"].rupture
    assert not places["form"].rupture
    switches = {(one.source, one.target): one for one in result.switches}
    stalled = switches["web", "mail"]
    assert (stalled.n, stalled.stalled) == (120, 60)
    assert switches["web", "phone"].stalled == 0
    people = drop_offs.people(
        history(rows(ways)),
        DropOffQuery(journey=Journey.model_validate(JOURNEY)),
        as_of=LATER,
        number=stalled.bucket,
    )
    assert people == list(range(161, 221))


def test_answers_belong_to_the_touchpoint_before_them(history: History) -> None:
    surveys = [
        {"instrument": "nps", "match": {"event": "nps"}},
        {"instrument": "ces", "match": {"event": "ces"}, "prop": "a.b", "max_lag": "PT2H"},
    ]
    scores = (10, 9, 7, 6, 0, 11)
    said: list[dict[str, Any]] = []
    for person, score in enumerate(scores):
        for name, at, properties in (
            ("page", 0, None),
            ("nps", 1, f'{{"score": {score}}}'),
            ("call", 2, None),
            ("ces", 3 if person else 5, '{"a": {"b": 6}}'),
        ):
            moment = START + timedelta(hours=at)
            said.append({"person_id": person, "name": name, "occurred_at": moment,
                         "properties": properties})  # fmt: skip
    query = VoiceQuery.model_validate({"journey": JOURNEY, "surveys": surveys})
    nps, ces = voice(history(said), query, as_of=LATER).surveys
    here = {one.touchpoint: one for one in nps.touchpoints}
    assert (here["page"].n, here["page"].high, here["page"].low) == (5, 2, 2)
    assert here["page"].value == 0.0
    assert here["page"].interval is not None
    assert here["page"].interval[1] == pytest.approx(100 * 1.959964 * (0.8 / 5) ** 0.5, rel=1e-6)
    assert (nps.off_scale, nps.unlinked) == (1, 0)
    calls = {one.touchpoint: one for one in ces.touchpoints}
    assert (calls["call"].n, calls["call"].value, ces.unlinked) == (5, 6.0, 1)
    assert calls["page"].n == 0
    assert calls["page"].value is None
    for one, n in ((here["page"], 2), (calls["call"], 5)):
        number = one.buckets["low"]
        assert len(voices.people(history(said), query, as_of=LATER, number=number)) == n
    for wrong in ({"scale": (5, 1)}, {"scale": (0, 1e300)}, {"instrument": "nps", "scale": (1, 5)}):
        with pytest.raises(ValidationError):
            Survey.model_validate({"instrument": "csat", "match": {"event": "x"}, **wrong})


def test_a_moment_of_truth_is_where_good_and_bad_visits_part(history: History) -> None:
    ways: Ways = [
        (60, [("page", 0), ("solved", 1), ("deed", 9)]),
        (20, [("page", 0), ("solved", 1)]),
        (10, [("page", 0), ("failed", 1), ("deed", 9)]),
        (50, [("page", 0), ("failed", 1), ("solved", 2)]),
        (7, [("deed", 0), ("page", 1), ("failed", 2)]),
        (40, [("form", 0), ("solved", 1), ("deed", 9)]),
        (40, [("form", 0), ("failed", 1), ("deed", 9)]),
        (30, [("call", 0), ("solved", 1)]),
        (29, [("call", 0), ("failed", 1)]),
    ]
    query = MomentsQuery.model_validate({
        "journey": JOURNEY,
        "readings": [{"good": {"event": "solved"}, "bad": {"event": "failed"}}],
    })  # fmt: skip
    result = moments_of_truth(history(rows(ways)), query, as_of=LATER)
    found = {one.touchpoint: one for one in result.moments}
    page = found["page"]
    assert result.moments[0] == page
    assert page.status == "detected"
    assert [(side.k, side.n) for side in (page.good, page.bad)] == [(60, 80), (10, 60)]
    assert page.effect == pytest.approx(60 / 80 - 10 / 60)
    assert page.decided == 7
    assert found["form"].status == "no_variation"
    assert found["call"].status == "insufficient_sample"
    for side in (page.good, page.bad):
        listed = truths.people(history(rows(ways)), query, as_of=LATER, number=side.bucket)
        assert len(listed) == side.n
    early = moments_of_truth(history(rows(ways)), query, as_of=START + timedelta(days=20))
    # Nobody's month is over yet: who has come through early does not count before the others.
    [waiting] = [one for one in early.moments if one.touchpoint == "page"]
    assert (waiting.good.n, waiting.in_progress) == (0, 140)
    with pytest.raises(ValidationError):
        MomentsQuery.model_validate({
            "journey": JOURNEY,
            "readings": [{"touchpoints": ["nowhere"], "late_after": "PT1H"}],
        })  # fmt: skip
