"""Requests that are killed at each of their commits, and gone on with by the next worker."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.lake import copy
from app.privacy import requests, run
from identity import identifiers, people
from tests.app.privacy.conftest import GIVEN, World
from tests.app.privacy.test_erasure import parquet

#: More commits than any of these requests makes.
MANY = 60


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def killed(moment: str, number: int) -> Iterator[list[int]]:
    """Die at the commit of this number: just before it, or just after."""
    seen = [0]

    def die(_: Session) -> None:
        seen[0] += 1
        if seen[0] == number:
            raise Killed

    sa.event.listen(Session, f"{moment}_commit", die)
    try:
        yield seen
    except Killed:
        pass
    finally:
        sa.event.remove(Session, f"{moment}_commit", die)


def person(world: World, name: str) -> tuple[str, str]:
    login, address = f"login-{name}", f"{name}@example.org"
    world.send(
        {"type": "identify", "userId": login, "anonymousId": f"anon-{name}",
         "traits": {"email": address}, "context": GIVEN},
        {"type": "track", "userId": login, "event": "Bought", "context": GIVEN},
        {"type": "track", "userId": f"friend-{name}", "event": "Invited", "context": GIVEN,
         "properties": {"whom": address}},
    )  # fmt: skip
    return login, address


def opened(world: World, kind: str, login: str, address: str) -> UUID:
    with world.sessions.begin() as session:
        made = requests.open_(
            session, world.settings, kind=kind, by="test", now=datetime.now(UTC), attested="a test",
            identifiers=[identifiers.parse(f"user_id:{login}"), ("email", address)],
            details={"trait": "email", "value": f"right.{address}"}
            if kind == "rectification" else None,
        )  # fmt: skip
        return made.id


def carried_through(world: World, kind: str, moment: str, number: int) -> dict[str, Any] | None:
    """Kill one request there, go on with it, and return it; None where it never came so far."""
    login, address = person(world, f"{kind}-{moment}-{number}")
    copy.copy_new(world.sessions, world.settings.lake_dir)
    request_id = opened(world, kind, login, address)
    with killed(moment, number) as seen:
        run.at_once(world.sessions, world.settings, request_id)
    if seen[0] < number:
        return None
    run.at_once(world.sessions, world.settings, request_id)
    shown = world.shown(request_id)
    if kind == "erasure":
        assert world.where(login, address, f"anon-{kind}-{moment}-{number}") == set(), number
    if kind == "rectification":
        with world.sessions() as session:
            known = people.find(session, "email", f"right.{address}")
            assert known is not None
            assert known == people.find(session, "user_id", login), number
        assert parquet(world).count(f"right.{address}") == 1, number
    return shown


@pytest.mark.long
@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "kind", ["erasure", "access", "restriction", "withdraw_all", "rectification"]
)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_whichever_commit_a_request_is_killed_at_it_is_carried_through_once(
    world: World, kind: str, moment: str
) -> None:
    results = []
    for number in range(1, MANY):
        shown = carried_through(world, kind, moment, number)
        if shown is None:
            break
        # Of what was done and not noted the second time finds nothing.
        states = {t["store"]: t["state"].replace("not_present", "done") for t in shown["tasks"]}
        results.append((shown["state"], states))
    assert len(results) > 3
    assert all(one == results[0] for one in results), results
