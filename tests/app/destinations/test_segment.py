"""The Segment-shaped destination: to our own endpoint, and as Segment's SDK would send it."""

import json
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

import httpx
import sqlalchemy as sa
from fastapi.testclient import TestClient
from segment.analytics.client import Client

from app.access import sources
from app.destinations.deliver import deliver
from app.destinations.kind import UNREADABLE, Record, Setup
from app.destinations.segment import Segment
from app.destinations.wire import Wire
from tests.app.destinations.world import World
from tests.end_to_end.conftest import Received, Receiver

MAPPING = {"email": {"identifier": "email"}, "plan": {"trait": "plan"}}


def calls(received: list[Received]) -> list[dict[str, Any]]:
    return [call for one in received for call in json.loads(one.body)["batch"]]


def told(received: list[Received]) -> list[tuple[Any, ...]]:
    return [
        (c["userId"], c["type"], c.get("event"), c.get("traits") or c.get("properties"))
        for c in calls(received)
    ]


def test_entering_changing_and_leaving_are_identify_and_track_calls(
    people: World, receiver: Receiver
) -> None:
    people.people("ada", plan="pro")
    people.segment("pros", {"trait": "plan", "op": "in", "value": ["pro", "max"]})
    people.destination(
        kind="segment", url=receiver.url, secrets={"write_key": "wk-1"}, segments=["pros"],
        mapping=MAPPING,
    )  # fmt: skip
    people.settle()
    traits = {"email": "ada@mail.net", "plan": "pro", "pros": True}
    entered = {"audience_key": "pros", "pros": True}
    assert told(receiver.received) == [
        ("ada", "identify", None, traits),
        ("ada", "track", "Audience Entered", entered),
    ]
    [first] = receiver.received
    assert b64decode(first.headers["authorization"].removeprefix("Basic ")) == b"wk-1:"

    receiver.received.clear()
    people.identify("ada", plan="max")
    people.identify("ada", colour="red")  # is not mapped: nothing differs
    people.settle()
    assert told(receiver.received) == [("ada", "identify", None, {**traits, "plan": "max"})]

    receiver.received.clear()
    people.say("ada", "withdrawn", "marketing.email")
    people.settle()
    assert told(receiver.received) == [
        ("ada", "identify", None, {"email": None, "plan": None, "pros": False}),
        ("ada", "track", "Audience Exited", {"audience_key": "pros", "pros": False}),
    ]
    assert "externalIds" not in json.dumps(calls(receiver.received))


def test_a_field_that_is_mapped_no_more_is_emptied_of_who_withdraws(
    people: World, receiver: Receiver
) -> None:
    people.people("ada", "bob", "eve", plan="pro", city="Lyon")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    made = people.destination(
        kind="segment", url=receiver.url, secrets={"write_key": "wk"}, segments=["pros"],
        settings={"send": "identify"}, mapping={**MAPPING, "city": {"trait": "city"}},
    )  # fmt: skip
    people.settle()
    people.patch(f"/v1/destinations/{made['id']}", {"mapping": MAPPING})
    people.deliver()
    assert all("city" not in call["traits"] for call in calls(receiver.received[1:]))
    receiver.received.clear()
    people.say("ada", "withdrawn", "marketing.email")
    people.settle()
    gone = {"email": None, "plan": None, "city": None, "pros": False}
    assert told(receiver.received) == [("ada", "identify", None, gone)]

    receiver.received.clear()
    people.people("eve", plan="free")  # who only leaves: somebody may keep the field by hand since
    people.settle()
    gone = {"email": None, "plan": None, "pros": False}
    assert told(receiver.received) == [("eve", "identify", None, gone)]

    receiver.received.clear()
    receiver.answers = [400]  # as where the field is gone there, too: the others are emptied
    people.say("bob", "withdrawn", "marketing.email")
    people.settle()
    assert [sorted(call["traits"]) for call in calls(receiver.received)] == [
        ["city", "email", "plan", "pros"], ["email", "plan", "pros"],
    ]  # fmt: skip
    assert ("segment.exited", "delivered", "HTTP 400") in people.outcomes(made["id"])


def test_a_call_that_is_too_large_costs_nobody_else_theirs(
    people: World, receiver: Receiver
) -> None:
    """Segment answers 400 to all of a batch; who left in it was never told of, for good."""
    people.people("ada", "bob", "eve", plan="pro")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    made = people.destination(
        kind="segment", url=receiver.url, secrets={"write_key": "wk"}, segments=["pros"],
        mapping=MAPPING,
    )  # fmt: skip
    receiver.answers = [400, 200, 400, 400, 200]  # all, ada, the others, bob, eve
    people.settle()
    assert [state for _, state, _ in people.outcomes(made["id"])] == [
        "delivered", "failed", "delivered",
    ]  # fmt: skip
    sent = [{call["userId"] for call in calls([one])} for one in receiver.received]
    assert sent == [{"ada", "bob", "eve"}, {"ada"}, {"bob", "eve"}, {"bob"}, {"eve"}]


def test_our_own_endpoint_takes_what_is_sent_and_knows_duplicates(people: World) -> None:
    """The product as its own receiver: another source, by way of the whole application."""
    with people.sessions.begin() as session:
        key = sources.add(session, "elsewhere")[1]
    people.people("ada", plan="pro")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    there = people.destination(
        kind="segment", url="https://parcours.test/v1/batch", secrets={"write_key": key},
        segments=["pros"], mapping=MAPPING,
    )  # fmt: skip
    page = httpx.MockTransport(lambda _: httpx.Response(200, text=" <!doctype html>"))
    people.deliver(httpx.Client(transport=page))
    assert people.outcomes(there["id"])[0][1:] == ("waiting", UNREADABLE), "a page is no API"
    people.now()
    client = _as_client(people.server)
    while deliver(people.sessions, client):
        pass
    assert [o[:2] for o in people.outcomes(there["id"])] == [("segment.entered", "delivered")]
    with people.sessions.begin() as session:  # as if it had died before the answer was noted
        session.execute(sa.text("UPDATE app.delivery SET state = 'waiting', due_at = now()"))
    assert deliver(people.sessions, client) == 1
    query = sa.text(
        "SELECT e.type, e.name FROM app.event e JOIN app.source s ON s.id = e.source_id"
        " WHERE s.name = 'elsewhere' ORDER BY e.type"
    )
    with people.sessions() as session:
        events = [tuple(row) for row in session.execute(query)]
    assert events == [("identify", None), ("track", "Audience Entered")]


def test_segments_own_sdk_shows_the_same_calls(people: World, receiver: Receiver) -> None:
    """Each call that was received is made again by `segment-analytics-python`, and compared."""
    people.people("ada", "bob", plan="pro")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    people.destination(
        kind="segment", url=receiver.url, secrets={"write_key": "wk"}, segments=["pros"],
        mapping=MAPPING,
    )  # fmt: skip
    people.settle()
    ours = calls(receiver.received)
    assert len(ours) == 4
    receiver.received.clear()
    host = receiver.url.removesuffix("/hook")
    sdk = Client("wk", host=host, sync_mode=True, max_retries=0, on_error=_fail)
    for call in ours:
        _again(sdk, call)
    theirs = calls(receiver.received)
    for mine, sdks in zip(ours, theirs, strict=True):
        assert mine.keys() <= sdks.keys()
        for name in mine.keys() - {"context", "timestamp"}:
            assert sdks[name] == mine[name], name
        assert datetime.fromisoformat(sdks["timestamp"]) == datetime.fromisoformat(
            mine["timestamp"]
        )
        for name in mine["context"].keys() - {"library"}:  # which names the library itself
            assert sdks["context"][name] == mine["context"][name]


def test_a_name_that_is_anothers_and_could_not_be_emptied_is_not_told_to_be() -> None:
    """Of an endpoint that says which calls it does not take."""
    refused: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        first = json.loads(request.content)["batch"][0]
        refused.append(first["userId"])
        said = {"rejected": [{"message_id": first["messageId"], "code": "too_large"}]}
        return httpx.Response(200, json=said)

    kind, url = Segment(), "https://there.example/v1/batch"
    setup = Setup(
        1, "there", url, "marketing.email", ("pros",), kind.settings.model_validate({"url": url}),
        kind.secrets.model_validate({"write_key": "wk"}),
    )  # fmt: skip
    record = Record(
        str(uuid4()), "profile.updated", datetime.now(UTC), str(uuid4()), "hold",
        identifiers={"user_id": ["new"]}, segments=frozenset({"pros"}), remote="userId:old",
    )  # fmt: skip
    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        [outcome] = kind.send(setup, [record], Wire(client))
    assert refused == ["old"]
    assert (outcome.state, outcome.reason) == (
        "refused", "the endpoint did not take it: too_large",
    )  # fmt: skip


def _again(sdk: Client, call: dict[str, Any]) -> None:
    common = {
        "user_id": call["userId"], "context": call["context"], "message_id": call["messageId"],
        "timestamp": datetime.fromisoformat(call["timestamp"]),
    }  # fmt: skip
    if call["type"] == "identify":
        sdk.identify(traits=call["traits"], **common)
    else:
        sdk.track(event=call["event"], properties=call["properties"], **common)


def _fail(error: Exception, _batch: Any) -> None:
    raise error


def _as_client(server: TestClient) -> httpx.Client:
    return cast("httpx.Client", server)
