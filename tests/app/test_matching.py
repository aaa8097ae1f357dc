"""New records are matched by what a whole run has learnt, at the price of what is new."""

import random
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app import matching
from app.db import Sessions
from identity import candidates, graph, records, reviews
from identity import matching as model
from identity.people import people_of

AUTO, REVIEW = 0.95, 0.6


@pytest.fixture
def few_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was learnt from few records judges others, as what was learnt from many does."""
    monkeypatch.setattr(model, "LEAST_LEARNT", 0)


FIRST = "james mary john linda robert susan david karen paul nancy mark lisa kevin ruth".split()
LAST = "smith jones brown taylor wilson evans thomas roberts walker wright hall green".split()


def people(size: int, seed: int) -> list[dict[str, str]]:
    """People of whom every third has a second record, with another address and a typo."""
    dice = random.Random(seed)  # noqa: S311 -- a seeded population, no secret
    made = []
    for number in range(size):
        person = {
            "first_name": dice.choice(FIRST),
            "last_name": dice.choice(LAST) + dice.choice("abcdefgh"),
            "birth_date": f"{dice.randint(1940, 2005)}-1{dice.randrange(3)}-{dice.randint(10, 28)}",
            "email": f"user{seed}x{number}y{dice.randint(100, 999)}@mail.net",
            "phone": f"4477{dice.randint(10**7, 10**8 - 1)}",
            "postcode": f"NW{dice.randint(10, 99)}AB",
        }
        made.append(person)
        if number % 3 == 0:
            typo = person["last_name"] + person["last_name"][-1]
            made.append({**person, "email": f"other{seed}x{number}@post.org", "last_name": typo})
    return made


def add(sessions: Sessions, named: Mapping[str, Mapping[str, str]]) -> dict[str, int]:
    """Keep records of people who gave `profile.link`; return their identifiers."""
    with sessions.begin() as session:
        ids = graph.identify(session, [("crm_id", name) for name in named])
        found = {name: ids["crm_id", name] for name in named}
        graph.settle(session, list(found.values()))
        graph.reconsider(
            session,
            graph.set_link_consent(session, dict.fromkeys(found.values(), "given")),
            at=datetime.now(UTC),
        )
        records.keep(session, {found[name]: fields for name, fields in named.items()})
    return found


def run(sessions: Sessions, scope: str) -> dict[str, Any]:
    """Do a run and return what it did."""
    with sessions.begin() as session:
        reviews.request_run(session, {"asked_by": "test"}, scope=scope)
    number = matching.run_waiting(sessions, auto=AUTO, review=REVIEW)
    assert number is not None
    with sessions() as session:
        done = reviews.find_run(session, number)
        assert done.state == "done", done.result
        return dict(done.result or {})


def links(sessions: Sessions) -> dict[tuple[str, str], float]:
    """Return the matched pairs by name, with their weights."""
    query = (
        "SELECT a.value AS one, b.value AS other, k.weight FROM identity.link k"
        " JOIN identity.identifier a ON a.id = k.left_id"
        " JOIN identity.identifier b ON b.id = k.right_id WHERE k.kind = 'match'"
    )
    with sessions() as session:
        rows = session.execute(sa.text(query))
        return {(min(r.one, r.other), max(r.one, r.other)): r.weight for r in rows}


def numbered(rows: Iterable[dict[str, str]], start: int = 0) -> dict[str, dict[str, str]]:
    return {f"r{number:05}": row for number, row in enumerate(rows, start)}


@pytest.mark.usefixtures("few_suffice")
def test_new_people_are_matched_with_those_there_and_each_other_as_a_whole_run_would(
    sessions: Sessions,
) -> None:
    everybody = numbered(people(600, 1))
    # Two of five come later: beside a record that is there, beside one that is new, or alone.
    later = {name: row for number, (name, row) in enumerate(everybody.items()) if number % 5 < 2}
    add(sessions, {name: row for name, row in everybody.items() if name not in later})
    whole = run(sessions, reviews.ALL)
    assert whole["records"] == len(everybody) - len(later)
    add(sessions, later)
    new = run(sessions, reviews.NEW)
    assert new["records"] == len(later)
    one_by_one = links(sessions)
    assert run(sessions, reviews.NEW)["records"] == 0
    run(sessions, reviews.ALL)
    at_once = links(sessions)
    assert len(at_once) > 150
    differ = one_by_one.keys() ^ at_once.keys()
    assert len(differ) <= len(at_once) // 100, differ
    # What each run has learnt differs a little; who is who does not.
    assert max(abs(one_by_one[k] - at_once[k]) for k in one_by_one.keys() & at_once) < 3


@pytest.mark.usefixtures("few_suffice")
def test_who_changed_is_compared_again_and_who_refused_never(sessions: Sessions) -> None:
    ids = add(sessions, numbered(people(200, 2)))
    run(sessions, reviews.ALL)
    before = links(sessions)
    ada = {"first_name": "ada", "last_name": "lovelace", "birth_date": "1985-12-10"}
    found = add(
        sessions,
        {
            "ada": {**ada, "email": "countess@mail.net", "phone": "447700900123"},
            "refuses": {**ada, "email": "countess@mail.net", "phone": "447700900123"},
            "stranger": {"first_name": "grace", "last_name": "hopper"},
        },
    )
    with sessions.begin() as session:
        graph.set_link_consent(session, {found["refuses"]: "refused"})
    assert run(sessions, reviews.NEW)["records"] == 2
    assert links(sessions).keys() == before.keys()
    with sessions.begin() as session:
        assert candidates.count_new(session, 10) == 0
        records.keep(
            session,
            {found["stranger"]: {**ada, "email": "countess@mail.net", "phone": "447700900123"}},
        )
        assert candidates.count_new(session, 10) == 1
    assert run(sessions, reviews.NEW)["records"] == 1
    assert links(sessions).keys() - before.keys() == {("ada", "stranger")}
    assert len(ids) == 267


@pytest.mark.usefixtures("few_suffice")
def test_what_another_version_of_this_program_learnt_is_learnt_anew(sessions: Sessions) -> None:
    add(sessions, numbered(people(60, 5)))
    run(sessions, reviews.ALL)
    with sessions.begin() as session:
        session.execute(sa.text("UPDATE identity.model SET learnt = '{\"records\": 5}'"))
    add(sessions, {"n1": {"first_name": "grace", "last_name": "hopper"}})
    assert run(sessions, reviews.NEW)["records"] == 81
    add(sessions, {"n2": {"first_name": "joan", "last_name": "clarke"}})
    assert run(sessions, reviews.NEW)["records"] == 1


def test_an_upgrade_that_changes_the_keys_has_them_made_anew(sessions: Sessions) -> None:
    add(sessions, numbered(people(60, 5)))
    run(sessions, reviews.ALL)
    keys = sa.text("SELECT identifier_id, keys FROM identity.record ORDER BY 1")
    with sessions.begin() as session:
        before = session.execute(keys).all()
        session.execute(sa.text("UPDATE identity.record SET keys = '{1}'"))
    run(sessions, reviews.ALL)
    with sessions.begin() as session:
        assert {row.keys[0] for row in session.execute(keys)} == {1}  # nothing has changed
        session.execute(
            sa.text("UPDATE identity.model SET learnt = jsonb_set(learnt, '{keyed}', '\"before\"')")
        )
    run(sessions, reviews.NEW)  # nothing is known that this version has learnt
    assert run(sessions, reviews.ALL)["records"] == 80
    with sessions() as session:
        assert session.execute(keys).all() == before


def strangers(size: int) -> list[dict[str, str]]:
    """People of few names, no two of whom are one."""
    dice = random.Random(6)  # noqa: S311 -- a seeded population, no secret
    return [
        {
            "first_name": dice.choice(FIRST),
            "last_name": dice.choice(LAST),
            "birth_date": f"{1940 + number % 60}-{1 + number % 12:02}-{1 + number % 28:02}",
            "email": f"person{number}q{dice.randint(100, 999)}@mail.net",
        }
        for number in range(size)
    ]


def test_what_was_learnt_of_a_few_or_of_other_fields_joins_no_strangers(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [{"first_name": f"n{n}", "last_name": "lee"} for n in range(3)]
    add(sessions, numbered(names))
    run(sessions, reviews.ALL)
    everybody = numbered(strangers(300), start=100)
    add(sessions, everybody)
    assert run(sessions, reviews.NEW)["records"] == 303  # a whole run: it learns first
    assert links(sessions) == {}
    with sessions.begin() as session:  # and so does a run that knows of no birth dates
        session.execute(
            sa.text(
                "UPDATE identity.model SET learnt = learnt #- '{shares,m,birth_date}'"
                " #- '{shares,u,birth_date}'"
            )
        )
        session.execute(sa.text("UPDATE identity.record SET keys = NULL"))
    monkeypatch.setattr(model, "LEAST_LEARNT", 0)
    assert run(sessions, reviews.NEW)["records"] == 303
    assert links(sessions) == {}


@pytest.mark.usefixtures("few_suffice")
def test_a_match_that_is_likely_no_more_is_taken_back_by_the_next_whole_run(
    sessions: Sessions,
) -> None:
    ada = {"first_name": "ada", "last_name": "lovelace", "email": "countess@mail.net"}
    same = {**ada, "birth_date": "1985-12-10", "phone": "447700900123"}
    found = add(sessions, {"ada": same, "also ada": same, **numbered(people(200, 7))})
    run(sessions, reviews.ALL)
    assert ("ada", "also ada") in links(sessions)
    other = {"first_name": "grace", "last_name": "hopper", "birth_date": "1906-12-09",
             "email": "grace@navy.mil", "phone": "12025550123"}  # fmt: skip
    with sessions.begin() as session:
        records.keep(session, {found["also ada"]: other})
    run(sessions, reviews.ALL)
    with sessions() as session:
        held = session.execute(
            sa.text("SELECT held FROM identity.link WHERE left_id = :a AND right_id = :b"),
            {"a": found["ada"], "b": found["also ada"]},
        ).scalar_one()
        persons = people_of(session, set(found.values()))
    assert held == "outscored"
    assert persons[found["ada"]] != persons[found["also ada"]]


@pytest.mark.usefixtures("few_suffice")
def test_a_switchboard_is_known_to_runs_over_new_people_and_who_gives_again_is_compared(
    sessions: Sessions,
) -> None:
    rows = strangers(300)
    for number, row in enumerate(rows):
        row["phone"] = "33142685300" if number % 3 == 0 else f"336{number:08}"
    add(sessions, numbered(rows))
    run(sessions, reviews.ALL)
    dorn = {"first_name": "anna", "last_name": "dorn", "phone": "33142685300"}
    found = add(
        sessions,
        {"x1": {**dorn, "birth_date": "1960-01-02"}, "x2": {**dorn, "birth_date": "1985-07-08"}},
    )
    assert run(sessions, reviews.NEW)["records"] == 2
    assert links(sessions) == {}
    for state, waiting in (("refused", 0), ("given", 1)):
        with sessions.begin() as session:
            graph.set_link_consent(session, {found["x1"]: state})
            assert candidates.count_new(session, 5) == waiting


@pytest.mark.usefixtures("few_suffice")
def test_a_flood_of_records_alike_costs_what_other_records_do_and_the_run_says_what_it_left_out(
    sessions: Sessions, record_property: Any
) -> None:
    """2,000 records of one e-mail address and surname, of few first names: 111,000 pairs once."""
    add(sessions, numbered(people(300, 8)))
    run(sessions, reviews.ALL)
    dice = random.Random(9)  # noqa: S311 -- a seeded population, no secret
    flood = [
        {
            "first_name": FIRST[number % 4],
            "last_name": "lovelace",
            "email": "countess@mail.net",
            "birth_date": f"{dice.randint(1940, 2005)}-1{dice.randrange(3)}-{dice.randint(10, 28)}",
        }
        for number in range(2_000)
    ]
    add(sessions, numbered(flood, start=1_000))
    started = time.process_time()
    done = run(sessions, reviews.NEW)
    seconds = time.process_time() - started
    record_property("seconds of CPU", round(seconds, 1))
    record_property("pairs", done["pairs"])
    assert done["records"] == len(flood)
    assert done["pairs"] < 40_000
    assert done["left_out"]["names"]["records"] > len(flood) // 2
    assert set(done["left_out"]["names"]) == {"most", "keys", "records"}
    assert seconds < 20


class Killed(BaseException):
    """What nobody catches: the process is gone."""


@pytest.mark.usefixtures("few_suffice")
def test_a_whole_run_that_died_between_two_portions_is_done_again_to_the_same_end(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spill = tmp_path / "matching"
    way = matching.Way(spill)
    waiting = len(add(sessions, numbered(people(150, 12))))
    with sessions.begin() as session:
        wanted = reviews.request_run(session, {"asked_by": "test"}).id
    monkeypatch.setattr(matching, "LINKED_AT_ONCE", 10)
    apply, calls = matching._apply, iter(range(100))

    def dies(*arguments: Any) -> Any:
        if next(calls) == 2:
            (spill / "left.tmp").write_text("what a killed process leaves")
            raise Killed
        return apply(*arguments)

    monkeypatch.setattr(matching, "_apply", dies)
    with pytest.raises(Killed):
        matching.run_waiting(sessions, auto=AUTO, review=REVIEW, way=way)
    partly = links(sessions)
    assert 0 < len(partly) <= 20
    with sessions() as session:
        assert candidates.count_new(session, 1_000) == waiting
    monkeypatch.setattr(matching, "_apply", apply)
    assert matching.run_waiting(sessions, auto=AUTO, review=REVIEW, way=way) == wanted
    at_last = links(sessions)
    assert partly.items() <= at_last.items()
    assert not list(spill.iterdir())
    with sessions.begin() as session:
        assert candidates.count_new(session, 1_000) == 0
        session.execute(sa.text("TRUNCATE identity.link"))
        session.execute(sa.text("UPDATE identity.record SET keys = NULL"))
    run(sessions, reviews.ALL)
    assert links(sessions) == at_last


def test_a_run_compares_everybody_when_none_has_learnt_or_much_is_new(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(interval: float = 0, whole_every: float = 3600) -> str | None:
        matching.request_if_needed(sessions, interval=interval, whole_every=whole_every)
        with sessions() as session:
            last = reviews.last_run(session)
        return last.parameters["scope"] if last and last.state == "waiting" else None

    def do() -> None:
        matching.run_waiting(sessions, auto=AUTO, review=REVIEW)

    assert asked() is None
    add(sessions, numbered(people(60, 3)))
    assert asked() == reviews.ALL
    do()
    assert asked() is None
    add(sessions, {"n1": {"first_name": "grace", "last_name": "hopper"}})
    assert asked(interval=3600) is None
    assert asked() == reviews.NEW
    do()
    add(sessions, {"n2": {"first_name": "joan", "last_name": "clarke"}})
    assert asked(whole_every=0) == reviews.ALL
    do()
    monkeypatch.setattr(matching, "MANY", 3)
    add(sessions, numbered(people(20, 4), start=500))
    assert asked() == reviews.ALL
