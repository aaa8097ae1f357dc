"""Who says no, and yes again before the worker has heard the no, is told of all the same."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import consent
from app import turning
from app.segments.doubts import heard
from tests.app.destinations.test_refused import PROS
from tests.app.destinations.world import EMAIL, World
from tests.end_to_end.conftest import Receiver
from tests.end_to_end.product import wait_until


def entered(page: dict[str, Any]) -> list[str]:
    """The segments that a page of the feed says somebody came into."""
    return [c["data"]["segment"] for c in page["data"] if c["type"] == "segment.entered"]


def users(receiver: Receiver) -> list[str]:
    """Of whom was told, in order."""
    said = [json.loads(one.body)["data"] for one in receiver.received]
    return [one["identifiers"]["user_id"][0] for one in said]


@pytest.fixture
def listening(people: World, receiver: Receiver) -> World:
    """Ada and Bob are in a segment; a destination and readers of the feed have not heard of it."""
    people.segment("pros", PROS)
    people.destination(url=receiver.url, segments=["pros"])
    people.people("ada", "bob", plan="pro")
    return people


def test_what_was_dropped_and_hidden_between_a_no_and_a_yes_is_told_after_the_yes(
    listening: World, receiver: Receiver
) -> None:
    """They were in, and destination and reader never heard of it: until a sync, or for ever."""
    listening.say("ada", "withdrawn", EMAIL)
    listening.deliver()
    page = listening.get("/v1/changes")
    assert (users(receiver), entered(page)) == (["bob"], ["pros"])
    listening.say("ada", "given", EMAIL)
    listening.settle()
    page = listening.get("/v1/changes", after=page["next_cursor"])
    assert (users(receiver), entered(page)) == (["bob", "ada"], ["pros"])
    listening.settle()
    assert users(receiver) == ["bob", "ada"], "once"
    assert entered(listening.get("/v1/changes", after=page["next_cursor"])) == []


def test_a_yes_that_the_worker_hears_before_the_drop_is_on_record_is_not_lost(
    listening: World, receiver: Receiver
) -> None:
    """The batch that was decided after the no is still being sent to others."""
    listening.say("ada", "withdrawn", EMAIL)

    def meanwhile(_: httpx.Response) -> None:
        listening.say("ada", "given", EMAIL)
        listening.work()

    listening.deliver(httpx.Client(event_hooks={"response": [meanwhile]}))
    assert users(receiver) == ["bob"]
    listening.settle()
    assert users(receiver) == ["bob", "ada"]


def test_who_says_no_for_good_is_told_of_no_more(listening: World, receiver: Receiver) -> None:
    page = listening.get("/v1/changes")
    listening.say("ada", "withdrawn", EMAIL)
    listening.deliver()
    listening.settle()
    listening.settle()
    assert users(receiver) == ["bob"]
    rest = listening.get("/v1/changes", after=page["next_cursor"])
    assert entered(rest) == []


def test_a_no_to_something_else_tells_nothing_twice(people: World) -> None:
    people.segment("pros", PROS)
    people.people("ada", plan="pro")
    page = people.get("/v1/changes")
    assert entered(page) == ["pros"]
    people.say("ada", "refused", "analytics.audience")
    people.work()
    people.say("ada", "given", EMAIL)
    people.work()
    assert entered(people.get("/v1/changes", after=page["next_cursor"])) == []


def test_a_consent_that_lapses_after_it_was_renewed_tells_nothing_twice(people: World) -> None:
    people.segment("pros", PROS)
    ends = datetime.now(UTC) + timedelta(seconds=1)
    first = consent.Choice(
        "user_id", "ada", EMAIL, "given", ends - timedelta(days=1), "test", valid_days=1
    )
    with people.sessions.begin() as session:
        consent.record(session, [first], received_at=datetime.now(UTC))
    people.people("ada", plan="pro")
    people.say("ada", "given", EMAIL)
    people.settle()
    page = people.get("/v1/changes")
    assert entered(page) == ["pros"]
    wait_until(lambda: datetime.now(UTC) > ends, 5, what="the first consent has lapsed")
    with people.sessions.begin() as session:
        assert turning.look(session) == 1
    people.settle()
    assert entered(people.get("/v1/changes", after=page["next_cursor"])) == []


@pytest.mark.parametrize(
    ("said", "no"),
    [
        ({EMAIL: "withdrawn", "analytics.audience": "given"}, {EMAIL}),
        ({"all": "adult"}, None),
        ({"all": "restriction_ended"}, None),
        ({"all": "child_ended"}, None),
        ({"all": "child"}, {"all"}),
        ({EMAIL: "expired"}, {EMAIL}),
    ],
)
def test_what_ends_a_denial_denies_nothing(said: dict[str, str], no: set[str] | None) -> None:
    touched = sa.engine.result.SimpleResultMetaData(["identifier_id", "why", "details"])
    rows: Any = sa.engine.result.IteratorResult(touched, iter([(1, "consent", said)])).all()
    assert heard(rows, {1: 7}) == ({} if no is None else {7: no})
