"""Who refuses a vendor leaves it, and a rectification ends where nobody is held or may be."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

import consent
from app import turning
from app.db import statement
from consent.signals import acceptance, tcf
from identity import graph
from tests.app.destinations.world import EMAIL, World
from tests.consent.build import tc
from tests.end_to_end.conftest import Receiver

ADS = "ads.personalised"
SCOPES = (
    "destinations:write", "segments:write", "consents:read", "privacy:read", "privacy:process",
    "profiles:read",
)  # fmt: skip
PROS = {"trait": "plan", "op": "eq", "value": "pro"}
MAPPING = {"plan": {"trait": "plan"}}


def accepts(people: World, *vendors: int, by: str = "identify", of: int = 51) -> None:
    """Let Ada say anew which vendors may have her data; to the purpose she agrees each time."""
    said = {"traits": {"plan": "pro"}} if by == "identify" else {"event": "Seen"}
    string = tc(purposes=[4], vendors=list(vendors), disclosed=[10, 11], publisher=[4],
                list_version=of)  # fmt: skip
    people.server.post(
        f"/v1/{by}",
        json={"userId": "ada", **said, "writeKey": people.key,
              "context": {"consent": {"tcf": string}}},
    ).raise_for_status()  # fmt: skip
    people.settle()


def vendors_are_known(people: World, token: Callable[..., dict[str, str]]) -> None:
    """Vendors 10 and 11, and a segment for the purpose that they declare."""
    people.header = token(purposes=(ADS,))
    with people.sessions.begin() as session:
        consent.vendors.add_list(session, msgspec.json.encode(listed(51)))
    people.post("/v1/segments", {"key": "pros", "name": "Pros", "purpose": ADS, "rule": PROS})


def listed(version: int) -> dict[str, Any]:
    """A version of the vendor list."""
    entry = {"purposes": [4], "legIntPurposes": [], "flexiblePurposes": []}
    return {"vendorListVersion": version, "vendors": {"10": entry, "11": entry}}


def told(receiver: Receiver) -> list[tuple[str, str | None]]:
    """What a webhook was told last, and why."""
    bodies = [json.loads(one.body) for one in receiver.received]
    return [(body["type"], body["data"].get("reason")) for body in bodies]


def test_a_webhook_that_is_a_vendor_is_told_of_nobody_who_refuses_it(
    people: World, receiver: Receiver, token: Callable[..., dict[str, str]]
) -> None:
    vendors_are_known(people, token)
    accepts(people, 11)
    made = people.destination(url=receiver.url, segments=["pros"], purpose=ADS, tcf_vendor=10)
    people.settle()
    assert told(receiver) == [], "another vendor may have her data"
    accepts(people, 10, 11)
    people.post(f"/v1/destinations/{made['id']}/sync")
    people.settle()
    assert told(receiver) == [("segment.entered", None)]
    accepts(people, 11, by="track")
    assert told(receiver)[1:] == [("segment.exited", "consent:no_vendor_consent")]
    accepts(people, 11)
    people.post(f"/v1/destinations/{made['id']}/sync")
    people.settle()
    assert len(receiver.received) == 2
    accepts(people, 10, of=52)
    assert len(receiver.received) == 2, "what it declares by that version is not known here"
    people.post("/v1/vendor-lists", listed(52))
    people.settle()
    assert told(receiver)[2:] == [("segment.entered", None)]


@pytest.mark.parametrize("kind", ["webhook", "segment"])
def test_whose_string_lapses_leaves_a_vendor_though_nobody_says_anything(
    people: World, receiver: Receiver, token: Callable[..., dict[str, str]], kind: str
) -> None:
    vendors_are_known(people, token)
    accepts(people, 10)
    more = {"secrets": {"write_key": "wk"}, "mapping": MAPPING} if kind == "segment" else {}
    made = people.destination(
        kind=kind, url=receiver.url, segments=["pros"], purpose=ADS, tcf_vendor=10, **more
    )
    people.settle()
    assert people.get(f"/v1/destinations/{made['id']}")["held"] == 1
    old = datetime.now(UTC) - acceptance.LONGEST - timedelta(minutes=20)
    string = tc(created=old, purposes=[4], vendors=[10], disclosed=[10], publisher=[4])
    with people.sessions.begin() as session:  # as if that time had passed
        session.execute(sa.text("UPDATE consent.tc_string SET string = :s"), {"s": string})
        session.execute(sa.text("UPDATE app.progress SET moment = now() - interval '1 hour'"
                                " WHERE reader = 'turning'"))  # fmt: skip
        assert turning.look(session) == 1
    people.settle()
    assert people.get(f"/v1/destinations/{made['id']}")["held"] == 0
    assert people.outcomes(made["id"])[-1] == ("segment.exited", "delivered", None)
    with people.sessions.begin() as session:
        assert turning.look(session) == 0


def test_postgresql_knows_when_a_string_ends(people: World) -> None:
    strings = [tc(created=datetime(year, 7, 3, 11, 59, 58, 700_000, tzinfo=UTC), publisher=[4])
               for year in (2021, 2033, 2024)]  # fmt: skip
    with people.sessions() as session:
        for kept, last in ((strings[0], 0), (" ".join(strings), 1), ("", None)):
            ends = session.scalar(sa.text("SELECT consent.tc_ends(:kept)"), {"kept": kept})
            told = None if last is None else acceptance.ends(tcf.decode(strings[last]))
            assert ends == told


def test_who_refuses_a_vendor_alone_is_taken_back_from_it_and_sent_again_by_a_sync(
    people: World, receiver: Receiver, token: Callable[..., dict[str, str]]
) -> None:
    vendors_are_known(people, token)
    accepts(people, 10, 11)
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
