"""What no purpose keeps any more is not compared, and parts nobody whom it told apart (0080)."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app import pipeline
from app.db import Sessions
from app.retention import expire
from identity import graph, people, rebuild
from tests.app.retention.test_purposes import DAY, NOW, declare, happened

LINKED = {"consent": {"categoryPreferences": {"profile.link": True}}}
MAIL = "ada.king@example.org"


def case(number: str) -> dict[str, Any]:
    """Somebody known by the id of a case management alone."""
    one = {"id": number, "type": "crm_id", "collection": "users", "encoding": "none"}
    return {"context": {**LINKED, "externalIds": [one]}}


class Office:
    """People of whom events said something, long ago or lately."""

    def __init__(self, server: TestClient, sessions: Sessions, key: str, lake: Path) -> None:
        self.server, self.sessions, self.key, self.lake = server, sessions, key, lake

    def say(self, days_ago: int, traits: dict[str, Any], **who: Any) -> None:
        """Let somebody identify themselves so many days ago."""
        message = {"type": "identify", "timestamp": happened(days_ago), "traits": traits,
                   "context": LINKED, **who}  # fmt: skip
        answer = self.server.post("/v1/batch", json={"batch": [message], "writeKey": self.key})
        assert answer.json()["accepted"] == 1, answer.text
        self.pass_on()

    def pass_on(self) -> None:
        idle = False
        while not idle:
            with self.sessions.begin() as session:
                idle = pipeline.step(session).idle

    def keep(self) -> expire.Expired | None:
        """Let retention do its work, and the pipeline what follows from it."""
        declare(self.sessions, profile_link=100, service_operation=2)
        done = expire.run(self.sessions, self.lake, rejected=30 * DAY, now=NOW)
        self.pass_on()
        return done

    def person(self, namespace: str, value: str) -> int | None:
        with self.sessions() as session:
            return people.find(session, namespace, value)

    def compared(self) -> list[dict[str, str]]:
        """What matching knows of anybody."""
        with self.sessions() as session:
            query = "SELECT fields FROM identity.record WHERE fields <> '{}' ORDER BY 1"
            return list(session.scalars(sa.text(query)))

    def is_as_rebuilt(self) -> bool:
        with self.sessions() as session:
            found = rebuild.rebuild(session, check=True)
        return (found.identifiers_differing, found.links_differing) == (0, 0)


@pytest.fixture
def office(server: TestClient, sessions: Sessions, write_key: str, tmp_path: Path) -> Office:
    return Office(server, sessions, write_key, tmp_path / "lake")


@pytest.mark.parametrize("traits", ["there", "deleted by an earlier version"])
def test_names_go_with_the_traits_that_said_them_and_with_them_the_matches(
    office: Office, traits: str
) -> None:
    named = {"firstName": "Ada", "lastName": "King", "birthday": "1990-12-10"}
    office.say(300, named, userId="u-1")
    office.say(300, named, **case("c-1"))
    office.say(5, {"firstName": "Bea", "lastName": "Roy"}, userId="u-2")
    who = [("user_id", "u-1"), ("crm_id", "c-1"), ("user_id", "u-2")]
    with office.sessions.begin() as session:
        a, b, c = (people.find_identifier(session, *one) for one in who)
        assert a
        assert b
        assert c
        found = graph.Evidence(a, b, "match", "splink", NOW, probability=0.97, weight=5.0)
        pipeline.after_move(
            session, graph.reconsider(session, graph.observe(session, [found]), at=NOW)
        )
        doubt = {"left_id": a, "right_id": c, "weight": 1.6, "probability": 0.75, "evidence": {},
                 "run_id": 1}  # fmt: skip
        session.execute(graph.statement("queue_reviews"), {"rows": graph.rows_of([doubt])})
        if traits != "there":
            session.execute(sa.text("DELETE FROM app.trait WHERE identifier_id <> :c"), {"c": c})
    assert office.person("crm_id", "c-1") == a
    counted = office.keep()

    assert counted
    assert counted.profiles_without_purpose == 2
    assert office.compared() == [{"first_name": "bea", "last_name": "roy"}]
    assert office.person("crm_id", "c-1") == b
    with office.sessions() as session:
        assert session.scalars(sa.text("SELECT id FROM identity.review")).all() == []
    assert office.is_as_rebuilt()
    assert office.keep() == expire.Expired()

    office.say(0, named, userId="u-1")  # what is said from now on is compared again
    assert named["birthday"] in {one.get("birth_date") for one in office.compared()}


def test_two_people_stay_two_when_what_told_them_apart_is_not_kept(office: Office) -> None:
    """Their events carried one address: by the names alone it was known to be shared."""
    office.say(300, {"firstName": "Bea", "email": MAIL}, **case("c-1"))
    office.say(5, {"firstName": "Zoe", "email": MAIL}, userId="u-1")
    zoe, bea = office.person("user_id", "u-1"), office.person("crm_id", "c-1")
    assert zoe
    assert bea
    assert zoe != bea
    office.keep()

    assert [one.get("first_name") for one in office.compared()] == ["zoe"]
    assert office.person("user_id", "u-1") != office.person("crm_id", "c-1")
    assert office.person("email", MAIL) == office.person("user_id", "u-1")
    assert office.is_as_rebuilt()
