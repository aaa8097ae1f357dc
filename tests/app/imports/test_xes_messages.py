"""Logs as messages: nothing of a case is lost, the same log is the same, another one is not."""

import gzip
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.access import sources
from app.db import Sessions
from app.imports import load
from app.imports.messages import Faulty, journeys

HEAD = '<log xmlns="http://www.xes-standard.org/">'
CASE = (
    '<trace><string key="concept:name" value="{case}"/>'
    '<int key="AMOUNT_REQ" value="{amount}"/>{events}</trace>'
)
EVENT = (
    '<event><string key="concept:name" value="{name}"/>'
    '<date key="time:timestamp" value="2026-01-01T10:00:00Z"/>'
    '<string key="org:resource" value="112"/>{more}</event>'
)


def event(name: str, more: str = "") -> str:
    return EVENT.format(name=name, more=more)


def case(*events: str, name: str = "7", amount: int = 500) -> str:
    return CASE.format(case=name, amount=amount, events="".join(events))


def log(file: Path, *cases: str) -> list[Any]:
    text = (HEAD + "".join(cases) + "</log>").encode()
    file.write_bytes(gzip.compress(text) if file.suffix == ".gz" else text)
    return list(journeys(file, namespace="case_id"))


def ids(messages: list[Any]) -> list[str]:
    return [one["messageId"] for one in messages]


def test_what_a_trace_says_stands_in_its_events(tmp_path: Path) -> None:
    more = '<string key="resource" value="desk"/><date key="due" value="2026-02-01T00:00:00Z"/>'
    [message] = log(tmp_path / "a.xes", case(event("A", more)))
    assert message["properties"] == {
        "resource": "desk", "org:resource": "112", "due": "2026-02-01T00:00:00+00:00",
        "case:AMOUNT_REQ": 500,
    }  # fmt: skip


def test_the_same_log_is_a_repetition_whatever_it_is_called(tmp_path: Path) -> None:
    cases = case(event("A"), event("A")), case(event("A"), name="8")
    first = ids(log(tmp_path / "a.xes", *cases))
    assert len({*first}) == 3, "events that are alike are two"
    assert ids(log(tmp_path / "b.xes.gz", *reversed(cases))) == [first[2], first[0], first[1]]


def test_another_log_of_the_same_name_is_no_repetition(tmp_path: Path) -> None:
    file = tmp_path / "export.xes"
    before = ids(log(file, case(event("A"), event("B"))))
    corrected = ids(log(file, case(event("A"), event("between"), event("B"))))
    assert [one in before for one in corrected] == [True, False, True]
    richer = ids(log(file, case(event("A"), event("B"), amount=900)))
    assert not {*richer} & {*before}


def test_two_traces_of_one_case_are_both_there(tmp_path: Path) -> None:
    both = ids(log(tmp_path / "a.xes", case(event("A")), case(event("A"))))
    assert len({*both}) == 2
    assert ids(log(tmp_path / "b.xes", case(event("A")), case(event("A")))) == both


@pytest.mark.usefixtures("write_key")
def test_a_log_with_a_bad_event_comes_in_all_but_that(sessions: Sessions, tmp_path: Path) -> None:
    with sessions() as session:
        source = sources.settings_of(sources.find(session, "web"))
    cases = (case(event("A"), "<event/>", event("B"), name="NA"), case(event("C"), name="0"))
    said = log(tmp_path / "a.xes", *cases)
    assert isinstance(said[1], Faulty)
    report = load.load(sessions, source, said)
    assert (report.accepted, dict(report.rejected)) == (3, {"event_missing": 1})
    assert report.examples["event_missing"] == (
        "row 2: it has no concept:name (trace 1 of those with events, event 2)"
    )
    again = load.load(sessions, source, log(tmp_path / "b.xes", *cases))
    assert (again.accepted, again.duplicates) == (0, 3)
    with sessions() as session:
        names = session.scalars(sa.text("SELECT name FROM app.event ORDER BY name")).all()
    assert names == ["A", "B", "C"]
