"""Ids outlive new data, whole runs and retraining: only who changes can change their name."""

import random
from uuid import UUID

import pytest
import sqlalchemy as sa

from app.db import Sessions
from identity import rebuild
from tests.app.test_matching import add, people, run

pytestmark = pytest.mark.long

ROUNDS = 10


def everybody(sessions: Sessions) -> dict[frozenset[str], tuple[int, UUID]]:
    """Return the id and the profile id of each person, by its members."""
    query = sa.text(
        "SELECT i.person_id, array_agg(i.value) AS members, p.profile_id FROM identity.identifier i"
        " JOIN identity.identifier p ON p.id = i.person_id GROUP BY i.person_id, p.profile_id"
    )
    with sessions() as session:
        return {
            frozenset(row.members): (row.person_id, row.profile_id)
            for row in session.execute(query)
        }


def test_after_ten_rounds_whoever_is_the_same_people_has_the_same_id(sessions: Sessions) -> None:
    """Each round brings new people and new records of old ones; a whole run learns anew."""
    dice = random.Random(4)  # noqa: S311 -- a seeded population, no secret
    known = people(300, 1)
    add(sessions, {f"r0-{n}": fields for n, fields in enumerate(known)})
    run(sessions, "all")
    first = before = everybody(sessions)
    same, grown, models = 0, 0, set()
    for number in range(1, ROUNDS + 1):
        new = people(40, 100 + number)
        again = [
            {**fields, "phone": f"4478{dice.randint(10**7, 10**8 - 1)}"}
            for fields in dice.sample(known, 15)
        ]
        known += new
        add(sessions, {f"r{number}-{n}": fields for n, fields in enumerate(new + again)})
        run(sessions, "all")
        after = everybody(sessions)
        staying = before.keys() & after.keys()
        assert {p: after[p] for p in staying} == {p: before[p] for p in staying}
        same, grown = same + len(staying), grown + len(before.keys() - after.keys())
        with sessions() as session:
            models.add(session.scalar(sa.text("SELECT max(id) FROM identity.model")))
        before = after
    assert len(models) == ROUNDS
    assert same > 1000
    assert grown > 20
    unchanged = first.keys() & before.keys()
    assert {p: before[p] for p in unchanged} == {p: first[p] for p in unchanged}
    with sessions.begin() as session:
        found = rebuild.rebuild(session, check=False)
        assert (found.identifiers_differing, found.links_differing) == (0, 0)
    assert everybody(sessions) == before
