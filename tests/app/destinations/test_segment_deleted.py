"""A destination that was off while its segment was deleted goes on, and lets go of everybody."""

import json

import pytest

from tests.app.destinations.world import World
from tests.end_to_end.conftest import Receiver

PROS = {"trait": "plan", "op": "eq", "value": "pro"}


@pytest.mark.parametrize("kind", ["webhook", "segment"])
def test_who_was_told_of_is_taken_back_when_it_is_on_again(
    people: World, receiver: Receiver, kind: str
) -> None:
    people.people("ada", "bob", plan="pro")
    people.segment("pros", PROS)
    people.segment("others", {"trait": "plan", "op": "eq", "value": "free"})
    more = {"secrets": {"write_key": "wk"}} if kind == "segment" else {}
    made = people.destination(kind=kind, url=receiver.url, segments=["pros", "others"], **more)
    path = f"/v1/destinations/{made['id']}"
    people.settle()
    assert people.get(path)["held"] == 2
    people.patch(path, {"enabled": False})
    people.server.delete("/v1/segments/pros", headers=people.header).raise_for_status()
    people.settle()
    before = len(receiver.received)
    assert people.get(path)["held"] == 2, "nothing is sent while it is off"
    assert people.patch(path, {"enabled": True})["enabled"] is True
    people.now()
    people.settle()
    assert people.get(path)["held"] == 0
    said = "".join(json.dumps(json.loads(one.body)) for one in receiver.received[before:])
    exits = "segment.exited" if kind == "webhook" else "Audience Exited"
    assert said.count(exits) == 2
    assert people.post(f"{path}/dry-run")["members"] == 0
