"""Readiness of data: each figure by hand, each level by what it asks for."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest

from app.errors import BucketInvalid
from app.journeys.asked import FORMS, ReadinessIn
from app.journeys.definition import Journey
from app.journeys.kinds import KINDS
from app.journeys.readiness import people
from app.journeys.readiness_answer import Criterion, ReadinessResult

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]
NOW = datetime(2026, 6, 1, tzinfo=UTC)
SURVEY = {"instrument": "csat", "match": {"event": "rated"}}
JOURNEY: dict[str, Any] = {
    "key": "shop",
    "name": "Shop",
    "stages": [{"id": "look", "order": 1}, {"id": "buy", "order": 2}],
    "channels": [{"id": "web"}, {"id": "phone"}, {"id": "mail"}, {"id": "fax"}],
    "touchpoints": [
        {"id": "page", "stage": "look", "channel": "web", "match": {"event": "page"}},
        {"id": "call", "stage": "look", "channel": "phone", "match": {"event": "call"}},
        {"id": "letter", "stage": "look", "channel": "mail", "match": {"event": "letter"}},
        {"id": "order", "stage": "buy", "channel": "web", "match": {"event": "order"}},
    ],
}


def event(person: int, name: str, days: float, source: str = "site", late: float = 0) -> Any:
    at = NOW - timedelta(days=days)
    received = at + timedelta(seconds=late)
    return {"person_id": person, "name": name, "source": source, "occurred_at": at,
            "received_at": received,
            "properties": '{"score": 5}' if name == "rated" else None}  # fmt: skip


def lake(history: History, events: Sequence[Any], known: int = 0, left: int = 0) -> Any:
    connection = history(events)
    everybody = sorted({one["person_id"] for one in events})
    rows = [("allowed", one, "true") for one in everybody]
    rows += [("known", one, "true") for one in everybody[:known]]
    rows += [("left_out", 10_000 + k, "refused") for k in range(left)]
    connection.execute("CREATE TABLE attribute (kind VARCHAR, key VARCHAR, person_id BIGINT,"
                       " label VARCHAR)")  # fmt: skip
    if rows:
        connection.executemany("INSERT INTO attribute VALUES (?, '', ?, ?)", rows)
    return connection


def ask(connection: Any, journey: Mapping[str, Any] | None = JOURNEY, **more: Any) -> Any:
    named = {"journey": "shop@1"} if journey else {}
    asked = ReadinessIn.model_validate({**named, **more})
    query = asked.question(Journey.model_validate(journey) if journey else None)
    found = KINDS["readiness"].compute(connection, query, as_of=NOW)
    assert isinstance(found, ReadinessResult)
    return found


def by_name(result: ReadinessResult) -> dict[str, Criterion]:
    return {one.name: one for one in result.criteria}


#: 120 people look, 60 of them buy, 40 call; letters are planned and never sent; 60 rate.
EVENTS = [
    *(event(p, "page", 100, late=30) for p in range(120)),
    *(event(p, "page", 2, late=60) for p in range(120)),
    *(event(p, "order", 1, late=60) for p in range(60)),
    *(event(p, "call", 20, "centre") for p in range(40)),
    *(event(p, "rated", 0.9, late=60) for p in range(60)),
]


def test_every_figure_is_what_a_person_counts(history: History) -> None:
    connection = lake(history, EVENTS, known=90, left=30)
    result = ask(connection, surveys=[SURVEY])
    centre, site = result.feeds
    assert (centre.source, centre.events, centre.silent, centre.delay_p95) == (
        "centre", 40, True, None,
    )  # fmt: skip
    assert (site.events, site.profiles, site.silent, site.delay_p95) == (360, 120, False, 60.0)
    assert [(one.channel, one.status, one.profiles, one.known) for one in result.channels] == [
        ("web", "seen", 120, 90),
        ("phone", "silent", 40, 40),
        ("mail", "blind", 0, 0),
        ("fax", "without_touchpoint", 0, 0),
    ]
    assert [(one.event, one.events) for one in result.unmapped] == [("rated", 60)]
    assert (result.profiles, result.known, result.left_out) == (120, 90, {"refused": 30})
    said = by_name(result)
    values = {name: one.value for name, one in said.items()}
    assert values == {
        "feeds": 1.0, "mapped": 340 / 400, "channels": 1 / 3, "known": 0.75,
        "several_channels": 40.0, "consent": 0.8, "prompt": 60 / 3600, "voice": 1 / 3,
        "history": 100.0, "outcomes": 60.0, "target": 0.0,
    }  # fmt: skip
    assert {name for name, one in said.items() if not one.met} == {"channels", "voice", "target"}
    assert result.level == 1
    assert said["known"].text.fr == (
        "oui\u00a0: 75,0\u202f% des personnes sont connues au-delà d’un appareil (au moins"
        " 50,0\u202f%)\u202f; intervalle à 95\u202f%\u00a0: 66,6\u202f% à 81,9\u202f%."
    )
    assert result.summary.en == "Level 1 of 5: “collect”; 8 of 11 criteria are met."
    for number, n in (("channel:phone", 40), ("known:any", 90), ("unknown:any", 30)):
        asked = ReadinessIn.model_validate({"journey": "shop@1"})
        query = asked.question(Journey.model_validate(JOURNEY))
        assert len(people(connection, query, as_of=NOW, number=number)) == n
    with pytest.raises(BucketInvalid):
        people(connection, query, as_of=NOW, number="channel:fog")


def test_each_level_falls_with_any_of_its_criteria(history: History) -> None:
    journey = {
        **JOURNEY,
        "channels": JOURNEY["channels"][:2],
        "touchpoints": [p for p in JOURNEY["touchpoints"] if p["id"] != "letter"],
        "target": {"nodes": ["page", "order"]},
    }
    events = [*EVENTS, event(1, "call", 1, "centre")]
    connection = lake(history, events, known=90, left=30)
    best: dict[str, Any] = {"surveys": [SURVEY], "voice_share": 0.3}
    assert ask(connection, journey, **best).level == 5
    falls: list[tuple[dict[str, Any], int]] = [
        ({"silent_after": "PT1S"}, 0), ({"mapped_share": 0.9}, 1), ({"known_share": 0.8}, 2),
        ({"consent_share": 0.9}, 2), ({"least": 41}, 2), ({"prompt": "PT59S"}, 3),
        ({"voice_share": 0.5}, 3), ({"surveys": []}, 3), ({"history": "P101D"}, 4),
        ({"outcome": {"event": "call"}}, 4),
    ]  # fmt: skip
    for more, level in falls:
        assert ask(connection, journey, **{**best, **more}).level == level, more


def test_where_nothing_came_nothing_is_ready_and_no_share_is_invented(history: History) -> None:
    for journey in (JOURNEY, None):
        result = ask(lake(history, []), journey)
        said = by_name(result)
        assert (result.level, result.profiles, result.feeds) == (0, 0, ())
        assert said["known"].value is None
        assert said["known"].text.en is not None
        assert said["known"].text.en.endswith("unknown for want of data.")


def test_of_the_first_days_of_the_calendar_too(history: History) -> None:
    query = ReadinessIn.model_validate({}).question(None)
    first = datetime(1, 1, 2, tzinfo=UTC)
    found = KINDS["readiness"].compute(lake(history, EVENTS), query, as_of=first)
    assert isinstance(found, ReadinessResult)
    assert (found.level, found.profiles) == (0, 0)


def test_every_criterion_names_a_request_that_can_be_asked(history: History) -> None:
    connection = lake(history, EVENTS, known=90)
    for surveys in ([SURVEY], []):
        result = ask(connection, surveys=surveys)
        answers: dict[str, dict[str, Any]] = {}
        for one in result.criteria:
            kind = one.evidence.path.removeprefix("/v1/analyses/")
            if kind not in answers:
                asked = FORMS[kind].model_validate(one.evidence.request)
                question = asked.question(Journey.model_validate(JOURNEY))
                computed = KINDS[kind].compute(connection, question, as_of=NOW)
                answers[kind] = computed.model_dump()
            found = answers[kind]
            assert one.evidence.at.removeprefix("/") in found
            if kind == "readiness":
                assert found["criteria"] == result.model_dump()["criteria"]
            if one.name == "mapped":
                assert found["unmapped_share"] == pytest.approx(1 - (one.value or 0))
            if one.name in ("several_channels", "consent", "outcomes"):
                of = found["allowed"] + sum(found["left_out"].values())
                figure = found[one.evidence.at.removeprefix("/")]
                assert figure / (of if one.name == "consent" else 1) == one.value
        without = ask(connection, None)
        mapped = by_name(without)["mapped"].evidence
        assert (mapped.path, mapped.at) == ("/v1/analyses/readiness", "/mapped")
        assert (without.mapped, without.events) == (0, 400)


def test_a_figure_that_just_falls_short_is_seen_to(history: History) -> None:
    # 1,999 of 2,500 people, 79.96 per cent, are known.
    events = [event(p, "page", 1, late=72) for p in range(2500)]
    said = by_name(ask(lake(history, events, known=1999), known_share=0.8))["known"]
    assert not said.met
    assert said.text.fr is not None
    assert said.text.fr.startswith("non\u00a0: 79,96\u202f% des personnes")
    assert "(au moins 80,00\u202f%)" in said.text.fr


def test_times_and_counts_are_told_as_people_say_them(history: History) -> None:
    result = ask(lake(history, [event(1, "page", 1, late=72)]))
    prompt = by_name(result)["prompt"]
    assert (prompt.value, prompt.wanted) == (0.02, 1.0)
    assert prompt.text.fr == (
        "oui\u00a0: Événements reçus, 95 sur 100, en 1,2 minute (au plus 1 heure)."
    )
    assert prompt.text.en == "yes: Events received, 95 of 100, within 1.2 minutes (at most 1 hour)."
    late = by_name(ask(lake(history, [event(1, "page", 1, late=3601)])))["prompt"]
    assert late.text.en == ("no: Events received, 95 of 100, within 1.0003 hours (at most 1 hour).")
    nothing = ask(lake(history, []), None).summary
    assert nothing.fr is not None
    assert nothing.fr.endswith("0 critère rempli sur 11.")
