"""Who refuses a vendor leaves it, and a rectification ends where nobody is held or may be."""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa

import consent
from app.db import statement
from identity import graph
from tests.app.destinations.world import EMAIL, World
from tests.consent.build import tc
from tests.end_to_end.conftest import Receiver

ADS = "ads.personalised"
PROS = {"trait": "plan", "op": "eq", "value": "pro"}
MAPPING = {"plan": {"trait": "plan"}}


def accepts(people: World, *vendors: int, by: str = "identify") -> None:
    """Let Ada say anew which vendors may have her data; to the purpose she agrees each time."""
    said = {"traits": {"plan": "pro"}} if by == "identify" else {"event": "Seen"}
    string = tc(purposes=[4], vendors=list(vendors), disclosed=[10, 11], publisher=[4])
    people.server.post(
        f"/v1/{by}",
        json={"userId": "ada", **said, "writeKey": people.key,
              "context": {"consent": {"tcf": string}}},
    ).raise_for_status()  # fmt: skip
    people.settle()


def test_who_refuses_a_vendor_alone_is_taken_back_from_it_and_sent_again_by_a_sync(
    people: World, receiver: Receiver, token: Callable[..., dict[str, str]]
) -> None:
    people.header = token(purposes=(ADS,))
    entry = {"purposes": [4], "legIntPurposes": [], "flexiblePurposes": []}
    listed = {"vendorListVersion": 51, "vendors": {"10": entry, "11": entry}}
    with people.sessions.begin() as session:
        consent.vendors.add_list(session, msgspec.json.encode(listed))
    accepts(people, 10, 11)
    people.post("/v1/segments", {"key": "pros", "name": "Pros", "purpose": ADS, "rule": PROS})
    made = people.destination(
        kind="segment", url=receiver.url, secrets={"write_key": "wk"}, segments=["pros"],
        mapping=MAPPING, purpose=ADS, tcf_vendor=10,
    )  # fmt: skip
    path = f"/v1/destinations/{made['id']}"
    people.settle()
    assert people.get(path)["held"] == 1
    accepts(people, 11, by="track")
    assert people.get(path)["held"] == 0
    assert people.outcomes(made["id"])[-1][:2] == ("segment.exited", "delivered")
    assert len(people.get("/v1/segments/pros/members")["data"]) == 1, "of the purpose she is"
    accepts(people, 10, 11)
    people.post(f"{path}/sync")
    people.settle()
    assert people.get(path)["held"] == 1


def test_a_rectification_ends_where_nothing_is_held_and_takes_back_where_nobody_may_be(
    people: World, receiver: Receiver
) -> None:
    people.people("ada", "bob", plan="pro")
    people.segment("pros", PROS)
    number = people.destination(
        kind="segment", url=receiver.url, secrets={"write_key": "wk"}, segments=["pros"],
        mapping=MAPPING,
    )["id"]  # fmt: skip
    people.settle()
    people.identify("ada", plan="free")
    people.settle()
    people.say("bob", "withdrawn", EMAIL)  # of which the pipeline has not heard yet
    with people.sessions.begin() as session:
        everybody = sa.text("SELECT DISTINCT person_id FROM app.delivery")
        session.execute(
            statement("app.privacy", "told_of"),
            {"people": graph.array(session.scalars(everybody).all()), "payload": "{}",
             "type": "profile.rectified", "at": datetime.now(UTC)},
        )  # fmt: skip
    people.deliver()
    said = [row[1:] for row in people.outcomes(number) if row[0] == "profile.rectified"]
    assert sorted(said, key=str) == [
        ("delivered", "the receiver holds nothing of it"), ("delivered", None),
    ]  # fmt: skip
    assert people.get(f"/v1/destinations/{number}")["held"] == 0
