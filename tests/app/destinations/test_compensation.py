"""After undo of a merge, withdrawal and erasure each receiver holds what it should and no more.

What a receiver of each kind has come to hold is compared with what another of its kind is sent that
is new, so of the people as they are now: also where answers were lost, or the process was killed,
between what happened and what undid it.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from app.consents.record import record
from app.destinations import deliver as delivering
from app.destinations.kind import Outcome
from app.privacy import requests as privacy_requests
from app.privacy import run
from app.settings import Settings
from identity import identifiers
from tests.app.destinations.copies import KINDS, SEGMENTS, Copy, receiving
from tests.app.destinations.world import EMAIL, World
from tests.conftest import _execute, _named

pytestmark = pytest.mark.long


class Killed(BaseException):
    """The process ends between a receiver's answer and the note of it."""


@pytest.fixture(scope="module")
def warehouse(server_url: str) -> Iterator[str]:
    """A database of its own, as somebody else's."""
    name = f"warehouse_{uuid4().hex[:12]}"
    _execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE template0')
    yield _named(server_url, name)
    _execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


class Trial:
    """A world, a receiver of one kind, and what goes wrong on the way to it."""

    def __init__(
        self, people: World, settings: Settings, warehouse: str, copy: Copy, fault: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        self.people, self.copy = people, copy
        self._settings, self._warehouse = settings, warehouse
        self._fault, self._patch = fault, monkeypatch

    def step(self, does: Callable[..., None], *args: Any, **traits: Any) -> None:
        """Let something happen, and be sent as far as what goes wrong lets it."""
        does(*args, **traits)
        self.people.work()
        if self._fault == "calm":
            self._heal()
            return
        real = delivering._send

        def send(*args: Any) -> list[Outcome]:
            outcomes = real(*args)
            if self._fault == "killed":
                raise Killed
            return [Outcome("again", "the answer is lost")] * len(outcomes)

        with self._patch.context() as patch:
            patch.setattr(delivering, "_send", send)
            try:
                self.people.deliver()
            except Killed:
                pass

    def check(self) -> None:
        """Compare the receiver with a new one of its kind, once nothing waits any more."""
        self._heal()
        with receiving(self.copy.kind, self._settings, self._warehouse) as fresh:
            made = self.people.destination(
                name=uuid4().hex, kind=fresh.kind, segments=list(SEGMENTS), **fresh.wanted
            )
            self._heal()
            assert self.copy.holds() == fresh.holds()
            answer = self.people.server.delete(
                f"/v1/destinations/{made['id']}", headers=self.people.header
            )
            assert answer.is_success

    def _heal(self) -> None:
        for _ in range(4):  # a look that what was displaced asks for is queued by a send
            self.people.now()
            self.people.settle()

    def joined(self, user: str, device: str, **traits: Any) -> None:
        """Let a device that agrees say something of itself, and turn out to be this person's."""
        self.device(device, **traits)
        self.people.work()
        self.meet(user, device)

    def device(self, device: str, **traits: Any) -> None:
        with self.people.sessions.begin() as session:
            record(
                session, "anonymous_id", device, dict.fromkeys((EMAIL, "profile.link"), "given"),
                collected_by="test", received_at=datetime.now(UTC),
            )  # fmt: skip
        body = {"anonymousId": device, "traits": traits, "writeKey": self.people.key}
        self.people.server.post("/v1/identify", json=body).raise_for_status()

    def meet(self, user: str, device: str) -> None:
        body = {"userId": user, "anonymousId": device, "event": "Seen", "writeKey": self.people.key}
        self.people.server.post("/v1/track", json=body).raise_for_status()

    def erase(self, who: str) -> None:
        with self.people.sessions.begin() as session:
            made = privacy_requests.open_(
                session, self._settings, kind="erasure", identifiers=[identifiers.parse(who)],
                by="test", now=datetime.now(UTC), attested="a test",
            )  # fmt: skip
            request = made.id
        run.at_once(self.people.sessions, self._settings, request)


@pytest.fixture(params=KINDS)
def copy(request: pytest.FixtureRequest, settings: Settings, warehouse: str) -> Iterator[Copy]:
    with receiving(request.param, settings, warehouse) as served:
        yield served


@pytest.fixture(params=["calm", "lost", "killed"])
def trial(
    request: pytest.FixtureRequest, people: World, settings: Settings, warehouse: str, copy: Copy,
    monkeypatch: pytest.MonkeyPatch,
) -> Trial:  # fmt: skip
    """Ada, Bob and Eve, who agree; Ada and Eve are in a segment."""
    for user in ("ada", "eve"):
        people.people(user, plan="pro", first_name=user.title(), last_name="Smith")
    people.people("bob", first_name="Bob", last_name="Smith")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    people.segment("locals", {"trait": "city", "op": "eq", "value": "Lyon"})
    people.destination(kind=copy.kind, segments=list(SEGMENTS), **copy.wanted)
    people.settle()
    found = Trial(people, settings, warehouse, copy, request.param, monkeypatch)
    assert len(copy.holds()) == 2
    return found


def test_after_the_undo_of_a_merge_nothing_of_the_other_person_is_left(trial: Trial) -> None:
    """Also of one that is in no segment by itself, and so would never be told of alone."""
    other = {"email": "other@mail.net", "first_name": "Adda", "last_name": "Smyth"}
    trial.step(trial.joined, "ada", "dev-1", **other)
    trial.step(trial.people.undo)
    trial.check()
    assert "other@mail.net" not in str(trial.copy.holds())
    eva = {"first_name": "Eva", "email": "eva@mail.net"}
    trial.step(trial.joined, "eve", "dev-2", plan="pro", city="Lyon", **eva)
    trial.check()
    trial.step(trial.people.undo)
    trial.check()


def test_who_was_first_told_of_as_part_of_another_is_held_as_itself_after_the_undo(
    trial: Trial,
) -> None:
    """The device, which was known first, is in the segment; the one whose name it had is not."""

    def met() -> None:
        trial.device("dev-0", plan="pro", email="zo@mail.net")
        trial.people.work()
        trial.people.people("zoe", first_name="Zoe", last_name="Smith")
        trial.meet("zoe", "dev-0")

    trial.step(met)
    trial.step(trial.people.undo)
    trial.check()
    assert "zoe" not in str(trial.copy.holds())


def test_after_withdrawal_of_each_purpose_nothing_is_left_that_rests_on_it(trial: Trial) -> None:
    say = trial.people.say
    trial.step(trial.joined, "ada", "dev-1", email="second@mail.net", city="Lyon")
    trial.check()
    trial.step(say, "ada", "withdrawn", "profile.link")
    trial.check()
    trial.step(say, "eve", "withdrawn", EMAIL)
    trial.step(say, "ada", "withdrawn", EMAIL)
    trial.check()
    trial.step(say, "eve", "given", EMAIL)
    trial.step(say, "ada", "given", "profile.link", EMAIL)
    trial.check()


def test_after_erasure_nothing_is_left_of_the_person(trial: Trial) -> None:
    trial.step(trial.joined, "ada", "dev-1", email="second@mail.net", city="Lyon")
    trial.step(trial.people.undo)
    trial.step(trial.erase, "anonymous_id:dev-1")
    trial.check()
    trial.step(trial.joined, "eve", "dev-2", email="eva@mail.net")
    trial.step(trial.erase, "user_id:eve")
    trial.check()
    assert "eva@mail.net" not in str(trial.copy.holds())
