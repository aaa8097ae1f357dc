"""Records that say little are joined below the usual threshold, where nearly all is right."""

import random
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app import matching
from app.db import Sessions
from app.identities import merging
from app.settings import Settings
from identity import affordable, models, reviews
from tests.app.test_matching import AUTO, REVIEW, add, numbered
from tests.app.test_matching import few_suffice as few_suffice

LOWEST = 0.8
SYLLABLES = (
    "ba be bi do du fa fe ga go ka ki la le lo ma mi mo na ne no pa po ra re ri sa so ta".split()
)


def population(size: int) -> list[dict[str, str]]:
    """People with a name and a birth date twice, of whom the second often says something else."""
    dice = random.Random(5)  # noqa: S311 -- a seeded population, no secret
    rows = []
    for number in range(size):
        born = f"{dice.randint(1940, 2005)}-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}"
        person = {
            "first_name": "".join(dice.choices(SYLLABLES, k=2)),
            "last_name": "".join(dice.choices(SYLLABLES, k=3)),
            "birth_date": born,
        }
        other = dict(person)
        if number % 5 == 0:
            other["last_name"] = "".join(dice.choices(SYLLABLES, k=3))
        elif number % 5 == 1:
            other["birth_date"] = "1999-01-31"
        rows += [person, other]
    return rows


def run(sessions: Sessions, scope: str, lowest: float | None) -> dict[str, object]:
    with sessions.begin() as session:
        reviews.request_run(session, {"asked_by": "test"}, scope=scope)
    number = matching.run_waiting(sessions, auto=AUTO, review=REVIEW, lowest=lowest)
    assert number is not None
    with sessions() as session:
        done = reviews.find_run(session, number)
        assert done.state == "done", done.result
        return dict(done.result or {})


@pytest.mark.usefixtures("few_suffice")
def test_the_threshold_falls_for_all_runs_alike_where_records_say_little(
    sessions: Sessions,
) -> None:
    configuration = Settings()
    add(sessions, numbered(population(600)))
    usual = run(sessions, reviews.ALL, None)
    assert usual["merge_threshold"] == AUTO
    with sessions() as session:
        assert merging.threshold(session, configuration) == AUTO
    fallen = run(sessions, reviews.ALL, LOWEST)
    at = fallen["merge_threshold"]
    assert isinstance(at, float)
    assert at < AUTO
    assert fallen["linked"] > usual["linked"]  # type: ignore[operator] # counts, in JSON
    with sessions() as session:
        assert merging.threshold(session, configuration) == at
        chosen = Settings(auto_merge_threshold=0.95)
        assert merging.threshold(session, chosen) == 0.95, "who sets one means it"
    add(sessions, numbered(population(3), start=5_000))
    assert run(sessions, reviews.NEW, LOWEST)["merge_threshold"] == at


@pytest.mark.usefixtures("few_suffice")
def test_it_stands_where_records_say_more(sessions: Sessions) -> None:
    rows = population(600)
    for number, row in enumerate(rows):
        row["email"] = f"user{number // 2}x{number // 2 * 7}@mail.net"
    add(sessions, numbered(rows))
    assert run(sessions, reviews.ALL, LOWEST)["merge_threshold"] == AUTO


@pytest.mark.usefixtures("few_suffice")
def test_it_falls_where_the_usual_one_finds_less_than_is_demanded(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records of the test before, of which nobody demands that much elsewhere."""
    rows = population(600)
    for number, row in enumerate(rows):
        row["email"] = f"user{number // 2}x{number // 2 * 7}@mail.net"
    add(sessions, numbered(rows))
    monkeypatch.setattr(affordable, "FOUND", 1.1)
    at = run(sessions, reviews.ALL, LOWEST)["merge_threshold"]
    assert isinstance(at, float)
    assert at < AUTO


def test_the_lowest_threshold_is_as_set() -> None:
    assert Settings().lowest_merge_threshold == 0.65
    assert Settings(auto_merge_threshold=0.9).lowest_merge_threshold == 0.9
    both = Settings(auto_merge_threshold=0.9, least_merge_threshold=0.75)
    assert both.lowest_merge_threshold == 0.75


@pytest.mark.usefixtures("few_suffice")
def test_a_preview_of_a_model_goes_by_what_records_afforded_when_it_was_learnt(
    server: TestClient, sessions: Sessions, token: Any
) -> None:
    def persons() -> int:
        with sessions() as session:
            return int(session.scalar(sa.text("SELECT count(DISTINCT person_id)"
                                              " FROM identity.identifier")) or 0)  # fmt: skip

    add(sessions, numbered(population(600)))
    lower = run(sessions, reviews.ALL, LOWEST)
    run(sessions, reviews.ALL, None)
    apart = persons()
    body = {"model_run": lower["model_run"]}
    answer = server.post("/v1/identity/preview", json=body, headers=token("identity:read"))
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["people_merged"] > 0
    with sessions.begin() as session:
        models.pin(session, int(str(lower["model_run"])), by="test")
    run(sessions, reviews.ALL, LOWEST)
    assert apart - persons() == found["people_before"] - found["people_after"]
