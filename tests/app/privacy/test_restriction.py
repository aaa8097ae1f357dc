"""A restriction of processing (GDPR art. 18) holds for the whole person, whom it keeps whole."""

from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from app import turning
from app.consents.permission import permissions
from app.consents.record import record
from app.destinations.tables import Destination
from app.segments import members
from consent import restrictions
from identity import candidates, matching, people
from identity.known import ScoredPair
from tests.app.privacy.conftest import GIVEN, World

PURPOSE = "analytics.audience"
RULE = {"event": "Order"}
TRAITS = {"firstName": "Ada", "lastName": "Lovelace", "address": {"city": "London"}}


class Restricted:
    """Two logins with an order each, in a segment that a destination hears of; no request yet."""

    def __init__(self, world: World) -> None:
        self.world = world
        with world.sessions.begin() as session:
            members.create(session, key="s", name="S", purpose=PURPOSE, rule=RULE)
            session.add(
                Destination(
                    name="crm", kind="webhook", url="http://x/", secret="whsec_c2VjcmV0",
                    purpose=PURPOSE, segments=["s"], enabled=True,
                )
            )  # fmt: skip
        for user in ("ml-a", "ml-b"):
            world.send(
                {"type": "identify", "userId": user, "traits": TRAITS, "context": GIVEN},
                {"type": "track", "userId": user, "event": "Order", "context": GIVEN},
            )
        self.request = ""

    def id(self, value: str, namespace: str = "user_id") -> int:
        with self.world.sessions() as session:
            found = people.find_identifier(session, namespace, value)
            assert found is not None
            return found

    def link(self) -> None:
        with self.world.sessions.begin() as session:
            people.must_link(session, self.id("ml-a"), self.id("ml-b"), by="test", at=now())
        self.settle()

    def settle(self) -> None:
        with self.world.sessions.begin() as session:
            turning.look(session)
        self.world.settle()

    def restrict(self) -> None:
        self.request = self.world.ask("restriction", "user_id:ml-a")["id"]
        self.settle()

    def lift(self) -> None:
        with self.world.sessions.begin() as session:
            restrictions.lift(session, f"request:{self.request}", at=now())
        self.settle()

    def reasons(self, purpose: str = PURPOSE) -> dict[str, str]:
        with self.world.sessions() as session:
            named = {i.id: i.value for i in people.identifiers(session, self._everybody())}
            return {named[p.identifier_id]: p.reason for p in permissions(session, purpose)}

    def _everybody(self) -> list[int]:
        with self.world.sessions() as session:
            return list(session.scalars(sa.text("SELECT id FROM identity.identifier")))

    def news(self) -> list[str]:
        with self.world.sessions() as session:
            query = "SELECT type FROM app.change WHERE type LIKE 'segment.%' ORDER BY id"
            return list(session.scalars(sa.text(query)))

    def matchable(self) -> set[int]:
        with self.world.sessions() as session:
            tables = candidates.every(session)
            return {i for some in tables for i in some.column("record_id").to_pylist()}

    def persons(self, ids: Iterable[int]) -> set[int]:
        with self.world.sessions() as session:
            return set(people.people_of(session, list(ids)).values())


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def two(world: World) -> Restricted:
    return Restricted(world)


def test_whoever_is_one_with_the_person_is_restricted_too(two: Restricted) -> None:
    two.link()
    assert two.reasons() == {"ml-a": "given", "ml-b": "given"}
    before = two.news()
    two.restrict()
    assert two.reasons() == dict.fromkeys(("ml-a", "ml-b"), "restricted")
    assert two.news()[len(before) :] == ["segment.exited"]
    assert len(two.persons([two.id("ml-a"), two.id("ml-b")])) == 1
    two.lift()
    assert two.reasons() == {"ml-a": "given", "ml-b": "given"}


def test_what_is_learnt_of_the_person_later_is_restricted_too(two: Restricted) -> None:
    two.restrict()
    two.world.send(
        {"type": "track", "userId": "ml-a", "anonymousId": "new-device", "event": "Order",
         "context": GIVEN},
        {"type": "identify", "userId": "ml-a", "traits": {"email": "new@mail.net"},
         "context": GIVEN},
    )  # fmt: skip
    with two.world.sessions.begin() as session:
        record(session, "email", "new@mail.net", {PURPOSE: "given"}, collected_by="test",
               received_at=now())  # fmt: skip
    two.settle()
    restricted = dict.fromkeys(("ml-a", "new-device", "new@mail.net"), "restricted")
    assert two.reasons() == restricted | {"ml-b": "given"}
    two.lift()
    assert set(two.reasons().values()) == {"given"}


def test_matches_that_stand_go_on_and_new_ones_are_not_made(two: Restricted) -> None:
    ids = [two.id("ml-a"), two.id("ml-b")]
    pair = ScoredPair(min(ids), max(ids), 12.0, 0.999, {"prior": 12.0})

    def match() -> None:
        with two.world.sessions.begin() as session:
            matching.apply(session, [pair], auto=0.9, at=now(), run_id=1)

    two.restrict()
    assert two.matchable() == {two.id("ml-b")}
    match()  # a run that read the records before
    assert len(two.persons(ids)) == 2
    two.lift()
    assert two.matchable() == set(ids)
    match()
    assert len(two.persons(ids)) == 1
    with two.world.sessions.begin() as session:
        session.execute(sa.text("UPDATE identity.record SET keys = '{1}'"))
    two.restrict()
    assert two.matchable() == set()
    assert len(two.persons(ids)) == 1
    assert two.reasons() == dict.fromkeys(("ml-a", "ml-b"), "restricted")
    two.lift()
    with two.world.sessions() as session:
        new = candidates.new(session, 10).column("record_id").to_pylist()
    assert set(new) == set(ids), "others came meanwhile: both are compared again"


def test_a_refusal_of_linking_takes_apart_whatever_is_restricted(two: Restricted) -> None:
    two.link()
    two.restrict()
    with two.world.sessions.begin() as session:
        record(session, "user_id", "ml-b", {"profile.link": "refused"}, collected_by="test",
               received_at=now())  # fmt: skip
    two.settle()
    assert len(two.persons([two.id("ml-a"), two.id("ml-b")])) == 2


def test_an_objection_to_linking_takes_apart(two: Restricted) -> None:
    two.link()
    two.world.ask("objection", "user_id:ml-a", details={"purpose": "profile.link"})
    two.settle()
    assert len(two.persons([two.id("ml-a"), two.id("ml-b")])) == 2
