"""Findings: what is planted is told, with figures that come again; what is not is not."""

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError

from app.errors import BucketInvalid, DefinitionInvalid
from app.journeys.asked import FORMS, FindingsIn
from app.journeys.definition import Journey, definition_hash
from app.journeys.findings import SOURCES, people
from app.journeys.findings_answer import Finding, FindingsResult
from app.journeys.findings_candidate import Candidate
from app.journeys.findings_questions import questions
from app.journeys.findings_request import FindingsQuery
from app.journeys.kinds import KINDS

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]
START = datetime(2026, 1, 5, tzinfo=UTC)
LATER = START + timedelta(days=365)
JOURNEY: dict[str, Any] = {
    "key": "loan",
    "name": "Loan",
    "stages": [
        {"id": "ask", "order": 1, "name": {"fr": "Je demande", "en": "I ask"}},
        {"id": "file", "order": 2},
        {"id": "wait", "order": 3},
        {"id": "sign", "order": 4},
    ],
    "channels": [{"id": "web", "effort_rank": 1}, {"id": "phone", "effort_rank": 2}],
    "touchpoints": [
        {"id": "page", "stage": "ask", "channel": "web", "match": {"event": "page"}},
        {"id": "call", "stage": "ask", "channel": "phone", "match": {"event": "call"}},
        {"id": "form", "stage": "file", "channel": "web", "match": {"event": "form"}},
        {"id": "help", "stage": "file", "channel": "phone", "match": {"event": "help"}},
        {"id": "deed", "stage": "sign", "channel": "phone", "match": {"event": "deed"}},
    ],
    "target": {"nodes": ["page", "form", "deed"]},
}
#: 600 come through, of whom 100 see the map's page twice; 300 leave at the page, 100 after a call.
WAYS: Sequence[tuple[int, Sequence[tuple[str, float]]]] = [
    (500, [("page", 0), ("form", 24), ("deed", 240)]),
    (100, [("page", 0), ("page", 1), ("form", 24), ("deed", 240)]),
    (300, [("page", 0)]),
    (100, [("page", 0), ("call", 1)]),
]


def rows(ways: Any = WAYS) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    person = 0
    for n, events in ways:
        for _ in range(n):
            person += 1
            found += [
                {"person_id": person, "name": name, "occurred_at": START + timedelta(hours=at)}
                for name, at in events
            ]
    return found


def query(**more: Any) -> FindingsQuery:
    asked = FindingsIn.model_validate({"journey": "loan@1", "observe": "P2D", **more})
    return asked.question(Journey.model_validate(JOURNEY))


def ask(connection: duckdb.DuckDBPyConnection, asked: FindingsQuery) -> FindingsResult:
    found = KINDS["findings"].compute(connection, asked, as_of=LATER)
    assert isinstance(found, FindingsResult)
    return found


@pytest.fixture(scope="module")
def lake(history: History) -> duckdb.DuckDBPyConnection:
    return history(rows())


@pytest.fixture(scope="module")
def told(lake: duckdb.DuckDBPyConnection) -> FindingsResult:
    """All that is found, nothing left out."""
    return ask(lake, query(each=50))


def of(result: FindingsResult, kind: str) -> list[Finding]:
    return [one for one in result.findings if one.kind == kind]


def test_what_is_planted_is_told_in_both_languages(told: FindingsResult) -> None:
    [drop] = of(told, "stage_drop_off")
    assert (drop.about, drop.k, drop.n) == ({"stage": "ask"}, 400, 1000)
    assert drop.text.fr == (
        "À l’étape «\u00a0Je demande\u00a0», 400 personnes sur 1\u202f000 s’arrêtent, soit"
        " 40,0\u202f%, contre 10,0\u202f% admis (intervalle à 95\u202f%\u00a0: 37,0\u202f% à"
        " 43,1\u202f%\u202f; q < 0,001)."
    )
    assert drop.text.en == (
        "At the stage “I ask”, 400 of 1,000 people leave, which is 40.0%, where 10.0% are"
        " accepted (95% interval: 37.0% to 43.1%; q < 0.001)."
    )
    # Nobody who called came through, and all who filled in the form did.
    assert {one.about["feature"] for one in of(told, "driver")} >= {"call"}
    [path] = of(told, "winning_path")
    assert (path.k, path.n, list(path.about.values())) == (600, 600, ["page", "form", "deed"])
    assert [one.about for one in of(told, "stage_without_touchpoint")] == [{"stage": "wait"}]
    [unseen] = of(told, "planned_not_observed")
    assert (unseen.about, unseen.k, unseen.n) == ({"stage": "file", "channel": "phone"}, 0, 600)
    assert {one.analysis for one in told.looked if one.why_not} == {
        "moments-of-truth", "voice", "compare",
    }  # fmt: skip


def test_the_weightiest_comes_first_and_facts_last(
    lake: duckdb.DuckDBPyConnection, told: FindingsResult
) -> None:
    tested = [one for one in told.findings if one.q is not None]
    assert [one.people for one in tested] == sorted((one.people for one in tested), reverse=True)
    assert list(told.findings[: len(tested)]) == tested
    assert all(one.q is not None and one.p is not None and one.p <= one.q < 0.05 for one in tested)
    assert sum(one.tested for one in told.looked) == told.tested
    assert sum(one.found for one in told.looked) == told.found
    fewer = ask(lake, query(each=1))
    assert (fewer.found, fewer.tested) == (told.found, told.tested)
    assert len({one.kind for one in fewer.findings}) == len(fewer.findings)


def test_every_figure_comes_again_by_the_request_that_is_quoted(
    lake: duckdb.DuckDBPyConnection, told: FindingsResult
) -> None:
    assert len({one.evidence.path for one in told.findings}) >= 4
    for one in told.findings:
        kind = one.evidence.path.removeprefix("/v1/analyses/")
        asked = FORMS[kind].model_validate(one.evidence.request)
        question = asked.question(Journey.model_validate(JOURNEY))
        assert asked.purpose == "analytics.audience"
        assert asked.as_of == LATER
        answer = KINDS[kind].compute(lake, question, as_of=LATER).model_dump(by_alias=True)
        assert answer["definition_hash"] == one.evidence.definition_hash
        place: Any = answer
        for part in one.evidence.at.split("/")[1:]:
            place = place[int(part) if part.isdigit() else part]
        shares = place.values() if isinstance(place, dict) else [place]
        if one.share and one.kind not in ("observed_not_planned",):
            assert any(
                isinstance(v, float) and v == pytest.approx(one.share, abs=1e-9) for v in shares
            ) or {one.k, one.n} <= {v for v in shares if isinstance(v, int)}, (one.kind, place)
        if one.bucket is not None:
            behind = people(lake, query(each=50), as_of=LATER, number=one.bucket)
            assert len(behind) == (one.n if one.kind == "driver" else one.k)


def test_the_same_events_give_the_same_bytes(told: FindingsResult, history: History) -> None:
    events = [{**row, "event_id": k, "source_seq": k} for k, row in enumerate(rows())]
    random.Random(7).shuffle(events)  # noqa: S311 - a reproducible order, not a secret
    again = ask(history(events), query(each=50))
    assert again.model_dump_json() == told.model_dump_json()


def test_of_thin_data_nothing_is_claimed_and_that_is_said(history: History) -> None:
    thin = history(rows([(10, WAYS[0][1]), (19, WAYS[2][1])]))
    result = ask(thin, query())
    assert {one.kind for one in result.findings} == {"stage_without_touchpoint"}
    assert result.tested == 0
    assert result.too_few > 0
    empty = FindingsIn.model_validate({"entry": {"event": "page"}, "outcome": {"event": "deed"}})
    for connection in (thin, history([])):
        nothing = ask(connection, empty.question(None))
        assert (nothing.findings, nothing.tested) == ((), 0)
        assert nothing.summary.fr is not None
        assert nothing.summary.fr.startswith("Trop peu de données\u00a0: aucun groupe n’atteint 30")


def candidates(
    connection: duckdb.DuckDBPyConnection, analysis: str, asked: FindingsQuery, **more: Any
) -> tuple[Any, list[Candidate | None]]:
    """The answer of one analysis, and what could be told of it before tests are corrected."""
    said = questions(asked, LATER)[analysis]
    assert isinstance(said, dict)
    source = SOURCES[analysis]
    question = source.form.model_validate({**said, **more}).question(asked.journey)
    result = source.compute(connection, question, as_of=LATER)
    return result, list(source.read(asked, result))


ONLY_REPETITION = {"weights": {
    "abandonment": 0, "slowness": 0, "repetition": 1, "backtrack": 0, "escalation": 0,
    "failure": 0, "voice": 0,
}}  # fmt: skip
RELOADS = [("page", k / 60) for k in range(60)]


def test_one_person_who_reloads_is_one_person(history: History) -> None:
    events = history(rows([(1, [*RELOADS, ("form", 24)]), (39, [("page", 0), ("form", 24)])]))
    _, found = candidates(events, "friction", query(), **ONLY_REPETITION)
    seen = {one.about["touchpoint"]: one for one in found
            if one and one.about["component"] == "repetition"}  # fmt: skip
    assert (seen["page"].k, seen["page"].n, seen["page"].reference) == (1, 40, 0)
    assert (seen["page"].figures["others"], seen["page"].difference) == (40, 1 / 40)
    assert seen["page"].verdict is not None
    assert seen["page"].verdict.p == pytest.approx(1)


def test_of_few_people_no_friction_and_no_disagreement_is_told(history: History) -> None:
    points = [{**p, "assessment": {"declared": "enchantment", "by": "sales"}}
              if p["id"] == "page" else p for p in JOURNEY["touchpoints"]]  # fmt: skip
    journey = Journey.model_validate({**JOURNEY, "touchpoints": points})
    asked = query().model_copy(update={"journey": journey})
    events = history(rows([(10, [*RELOADS, *(("form", 24 + 4 * k) for k in range(9))])]))
    result, found = candidates(events, "friction", asked, **ONLY_REPETITION)
    assert [one.touchpoint for one in result.disagreements] == ["page"]
    assert set(found) == {None}


def test_friction_is_held_against_the_other_touchpoints_and_told_of_people(
    history: History,
) -> None:
    ways = [
        (40, [("page", 0), ("page", 1), ("form", 24), ("deed", 240)]),
        (10, [("page", 0), ("form", 24), ("form", 25), ("deed", 240)]),
    ]
    _, found = candidates(history(rows(ways)), "friction", query(), **ONLY_REPETITION)
    [page] = [one for one in found if one and one.notable]
    assert (page.k, page.n, page.share, page.reference) == (40, 50, 0.8, 0.1)
    assert page.interval is not None
    assert page.interval[0] < 0.7 < page.interval[1]
    assert (page.bucket, page.figures["others"]) == ("repetition:page", 100)


def test_who_deviates_again_and_again_counts_once(history: History) -> None:
    again = [(name, 240 * k + h) for k in range(12) for name, h in (("page", 0), ("deed", 24))]
    _, found = candidates(history(rows([(10, again), (40, WAYS[0][1])])), "conformance", query())
    assert [(one.k, one.n) for one in found if one] == [(10, 50)]


def test_a_change_of_channel_is_judged_by_people_against_a_limit_of_people(
    history: History,
) -> None:
    # Everybody changes twice from the web to the phone, and comes further after the second.
    way = [("page", 0), ("call", 1), ("page", 2400), ("call", 2401), ("form", 2402)]
    result, found = candidates(history(rows([(50, way)])), "drop-off", query())
    switch = next(one for one in result.switches if (one.source, one.target) == ("web", "phone"))
    assert (switch.stalled, switch.n, switch.stalled_profiles, switch.profiles) == (50, 100, 50, 50)
    [told] = [one for one in found if one and one.about == {"from": "web", "to": "phone"}]
    assert (told.share, told.reference) == (1.0, result.switch_profile_limit)
    assert result.switch_profile_limit == 2 * result.switch_limit
    assert told.verdict is not None
    assert told.verdict.p == 1


def test_bad_scores_are_those_of_people(history: History) -> None:
    journey = Journey.model_validate(JOURNEY)
    asked = FindingsIn.model_validate({
        "journey": "loan@1",
        "surveys": [{"instrument": "csat", "match": {"event": "rated"}}],
    }).question(journey)  # fmt: skip
    events = [{**one, "properties": '{"score": 1}' if one["name"] == "angry" else '{"score": 5}'}
              for one in rows([
                  (1, [("page", 0), *(("angry", k / 60) for k in range(1, 60))]),
                  (39, [("page", 0), ("rated", 1)]), (40, [("form", 0), ("rated", 1)]),
              ])]  # fmt: skip
    connection = history([{**e, "name": "rated" if e["name"] == "angry" else e["name"]}
                          for e in events])  # fmt: skip
    _, found = candidates(connection, "voice", asked)
    [page] = [one for one in found if one and one.about["touchpoint"] == "page"]
    assert (page.k, page.n, page.reference) == (1, 40, 0)
    assert page.verdict is not None
    assert page.verdict.p == pytest.approx(1)


def test_the_winning_path_is_a_whole_way_chosen_by_looking(history: History) -> None:
    back = [(name, k) for k, name in enumerate(["page", "call"] * 3)]
    long = [*back, ("form", 24), ("deed", 240)]
    _, [way] = candidates(history(rows([(40, long)])), "paths", query())
    assert way is not None
    assert list(way.about.values()) == [name for name, _ in long]
    assert "; there is no other" in way.english
    ways = [(20, WAYS[0][1]), (10, [("page", 0), ("deed", 240)])]
    _, [close] = candidates(history(rows(ways)), "paths", query())
    assert close is not None
    assert close.verdict is not None
    # 20 or more of 30 come in 4.94 of 100 draws of equals, and so do 10 or fewer.
    assert close.verdict.p == pytest.approx(2 * 0.0493686, abs=1e-6)
    assert "; the next one has {next}" in close.english


def test_a_way_that_is_cut_is_none_that_is_told(history: History) -> None:
    longer = [(name, k / 60) for k, name in enumerate(["page", "call"] * 60)]
    ways = [(50, [*longer, ("deed", 24)]), (40, WAYS[0][1])]
    result, [way] = candidates(history(rows(ways)), "paths", query())
    assert "…" in result.variants[0].route
    assert way is not None
    assert (list(way.about.values()), way.at) == (["page", "form", "deed"], "/variants/1")


def test_of_fewer_than_least_no_day_and_no_share_of_events_is_told(history: History) -> None:
    said = questions(query(least=50), LATER)["anomalies"]
    assert isinstance(said, dict)
    assert said["floor"] == 50
    few = ask(history(rows([(5, [("page", 0), ("fog", 1)])])), query())
    assert (few.findings, few.tested) == ((), 0)


@pytest.mark.long
def test_where_nothing_differs_hardly_anything_is_told(history: History) -> None:
    asked = {"entry": {"event": "page"}, "outcome": {"event": "deed"}, "observe": "P1D"}
    question = FindingsIn.model_validate({**asked, "window": "P9D"}).question(None)
    wrong = 0
    for seed in range(20):
        draw = random.Random(seed)  # noqa: S311 - a reproducible draw, not a secret
        ways = []
        for _ in range(300):
            did = [(f"f{k}", 1.0 + k) for k in range(10) if draw.random() < 0.4]
            ends = [("deed", 30.0)] if draw.random() < 0.5 else []
            ways.append((1, [("page", 0.0), *did, *ends]))
        result = ask(history(rows(ways)), question)
        assert result.tested >= 10
        wrong += bool(of(result, "driver"))
    # 1 in 20 is what the correction bears; 4 or more of 20 would come by chance 1.6 times in 100.
    assert wrong <= 3


def test_a_change_between_periods_is_told_and_the_period_before_is_as_long(
    history: History,
) -> None:
    def month(first: int, came: int, n: int, at: int) -> list[dict[str, Any]]:
        return [
            {"person_id": first + k, "name": name,
             "occurred_at": START + timedelta(days=at, hours=h)}
            for k in range(n)
            for name, h in [("page", 0), *([("deed", 5)] if k < came else [])]
        ]  # fmt: skip

    events = history([*month(0, 200, 400, 1), *month(1000, 100, 400, 31)])
    now = {"from": (START + timedelta(days=30)).isoformat(),
           "to": (START + timedelta(days=60)).isoformat()}  # fmt: skip
    asked = {"entry": {"event": "page"}, "outcome": {"event": "deed"}, "window": "P7D"}
    question = FindingsIn.model_validate({**asked, "range": now}).question(None)
    [change] = of(ask(events, question), "change")
    assert (change.reference, change.share, change.difference) == (0.5, 0.25, -0.25)
    assert change.text.fr is not None
    assert "passe de 50,0\u202f% (400 personnes) à 25,0\u202f% (400), soit \u221225,0 points" in (
        change.text.fr
    )


def test_a_bucket_of_no_analysis_and_a_question_without_ends_are_refused(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    for name in ("of:drop-off", 'of:["voice","all:1"]', 'of:["drop-off",1]', "step:1"):
        with pytest.raises(BucketInvalid):
            people(lake, query(), as_of=LATER, number=name)
    with pytest.raises(ValidationError, match="entry and outcome"):
        FindingsIn.model_validate({"entry": {"event": "page"}}).question(None)


def test_what_a_part_would_refuse_is_refused_as_a_definition(
    lake: duckdb.DuckDBPyConnection,
) -> None:
    with pytest.raises(DefinitionInvalid, match="unknown nothing"):
        ask(lake, query(readings=[{"touchpoints": ["nothing"], "late_after": "P1D"}]))
    deep: dict[str, Any] = {"event": "call"}
    for _ in range(10):
        deep = {"not": deep}
    points = [{**p, "match": deep} if p["id"] == "call" else p for p in JOURNEY["touchpoints"]]
    turned = {**JOURNEY, "touchpoints": points[::-1]}
    asked = FindingsIn.model_validate({"journey": "loan@1"})
    with pytest.raises(DefinitionInvalid, match="stage ask"):
        ask(lake, asked.question(Journey.model_validate(turned)))


def test_what_one_analysis_cannot_answer_of_the_events_there_are_is_said_beside_the_others(
    history: History,
) -> None:
    """Of ten years there are more days than a series may have."""
    past = [{"person_id": 1, "name": "deed", "occurred_at": START - timedelta(days=3_000)}]
    connection = history([*rows([(40, [("page", 0)]), (40, [("page", 0), ("deed", 24)])]), *past])
    asked = query(each=50, range={"from": START - timedelta(days=4_000)})
    result = ask(connection, asked)
    looked = {one.analysis: one for one in result.looked}
    why = looked["anomalies"].why_not
    assert why is not None
    assert "more than 2000 intervals" in (why.en or "")
    assert (why.fr or "").startswith("l’analyse")
    assert [name for name, one in looked.items() if one.why_not is None and one.tested]
    # Without a range the last 2,000 days are looked at.
    of_now = {one.analysis: one for one in ask(connection, query(each=50)).looked}
    assert of_now["anomalies"].why_not is None


@pytest.mark.parametrize("window", ["P7D", "P365D", "P400DT1.500000S", "P36500D"])
def test_a_question_with_a_long_window_can_be_asked_again(window: str) -> None:
    asked = query(window=window)
    again = FindingsQuery.model_validate(asked.model_dump(mode="json", by_alias=True))
    assert (again, definition_hash(again)) == (asked, definition_hash(asked))
