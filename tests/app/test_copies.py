"""Hundreds of records that say just the same are one person, however they come."""

from collections.abc import Mapping

import pytest

from app.db import Sessions
from identity import records, reviews
from identity.people import people_of
from tests.app.test_matching import add, numbered, people, run
from tests.app.test_matching import few_suffice as few_suffice

ADA = {
    "first_name": "ada", "last_name": "lovelace", "birth_date": "1985-12-10",
    "email": "countess42@mail.net", "postcode": "NW15LS",
}  # fmt: skip
MANY = 230


def copies(start: int = 0) -> dict[str, dict[str, str]]:
    return {f"ada{number:04}": ADA for number in range(start, start + MANY)}


def persons(sessions: Sessions, found: Mapping[str, int]) -> set[int]:
    with sessions() as session:
        return set(people_of(session, set(found.values())).values())


@pytest.mark.usefixtures("few_suffice")
def test_more_copies_than_a_key_may_have_are_one_person_at_once_or_one_after_another(
    sessions: Sessions,
) -> None:
    add(sessions, numbered(people(200, 7)))
    old = add(sessions, copies())
    done = run(sessions, reviews.ALL)
    assert len(persons(sessions, old)) == 1
    assert done["linked"] < 4 * MANY  # and not each with each
    assert done["alone"] == 0
    new = add(sessions, copies(MANY))
    assert run(sessions, reviews.NEW)["records"] == MANY
    assert persons(sessions, {**old, **new}) == persons(sessions, old)
    with sessions.begin() as session:  # the first says something else, the others stay together
        other = {"first_name": "grace", "last_name": "hopper", "birth_date": "1906-12-09",
                 "email": "grace@navy.mil", "postcode": "02138"}  # fmt: skip
        records.keep(session, {old["ada0000"]: other})
    run(sessions, reviews.NEW)
    first = old.pop("ada0000")
    assert len(persons(sessions, {**old, **new})) == 1
    assert persons(sessions, {"x": first}).isdisjoint(persons(sessions, old))
    run(sessions, reviews.ALL)
    assert len(persons(sessions, {**old, **new})) == 1


def test_many_records_of_one_common_name_and_no_more_are_nobodys_copies(
    sessions: Sessions,
) -> None:
    add(sessions, numbered(people(200, 7)))
    name = {"first_name": "james", "last_name": "smitha"}
    found = add(sessions, {f"james{number:04}": name for number in range(MANY)})
    run(sessions, reviews.ALL)
    assert len(persons(sessions, found)) == MANY
