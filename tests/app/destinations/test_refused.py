"""Who refuses a vendor leaves it, and a rectification ends where nobody is held or may be."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

import consent
from app import turning
from app.consents import ages
from app.db import statement
from app.destinations import evidence, manifest
from app.ledger.job import LedgerJob
from app.settings import Settings
from consent.ages import Span
from consent.ledger import check_send, store
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


SHARE = "ads.share"


def google(people: World, user: str, *, data: str = "granted", ads: str = "granted") -> None:
    """Let somebody's browser say what Google may have: user data, and for personal advertising."""
    said = {"ad_user_data": data, "ad_personalization": ads}
    body = {"userId": user, "traits": {"plan": "pro"}, "writeKey": people.key,
            "context": {"consent": {"google": said}}}  # fmt: skip
    people.server.post("/v1/identify", json=body).raise_for_status()


def customer_match(people: World, token: Callable[..., dict[str, str]], url: str) -> str:
    """A destination as Google's lists are: nobody may be in them who denies one of the two."""
    people.header = token(*SCOPES, purposes=(SHARE, ADS))
    people.post("/v1/segments", {"key": "pros", "name": "Pros", "purpose": SHARE, "rule": PROS})
    made = people.destination(url=url, segments=["pros"], purpose=SHARE, also_for=[ADS])
    assert made["also_for"] == [ADS]
    return f"/v1/destinations/{made['id']}"


def users(receiver: Receiver) -> list[tuple[str, list[str]]]:
    """What was told, and of whom, as the receiver knows them."""
    bodies = [json.loads(one.body) for one in receiver.received]
    return [(b["type"], b["data"].get("identifiers", {}).get("user_id", [])) for b in bodies]


def test_23_who_denies_one_of_googles_two_is_in_no_upload(
    people: World, receiver: Receiver, token: Callable[..., dict[str, str]]
) -> None:
    google(people, "half", ads="denied")  # first of the batch, which decides for nobody else
    google(people, "both")
    google(people, "other", data="denied")
    people.work()
    path = customer_match(people, token, receiver.url)
    people.settle()
    assert users(receiver) == [("segment.entered", ["both"])]
    said = json.loads(receiver.received[0].body)["data"]["google_consent"]
    assert said == {"ad_user_data": "GRANTED", "ad_personalization": "GRANTED"}
    people.post(f"{path}/sync", full=True)
    google(people, "late")
    people.work()
    google(people, "both", ads="denied")  # while what is of both waits to be sent
    google(people, "late", ads="denied")
    people.deliver()
    people.settle()
    assert told(receiver)[1:] == [("segment.exited", f"consent:{ADS}:withdrawn")], (
        "nothing is sent that one of the two forbids by then, and what was is taken back"
    )
    google(people, "both")
    google(people, "half")
    people.settle()
    assert sorted(users(receiver)[2:]) == [
        ("segment.entered", ["both"]), ("segment.entered", ["half"]),
    ]  # fmt: skip
    denied = people.get("/v1/consents/denials")["data"]
    assert {one["reason"] for one in denied if one["use"] == "export"} >= {f"{ADS}:refused"}


def test_what_needs_several_purposes_is_noted_for_each_and_says_what_it_needs(
    people: World, receiver: Receiver, token: Callable[..., dict[str, str]]
) -> None:
    google(people, "both")
    people.work()
    path = customer_match(people, token, receiver.url)
    people.settle()
    sends = people.get("/v1/consents/sends", subject="user_id:both")["data"]
    assert [one["purpose"] for one in sends] == [SHARE, ADS], "its own is the one that is proved"
    assert len({one["message"] for one in sends}) == 1
    records = [one["records"] for one in sends]
    assert all(len(rests_on) == 1 for rests_on in records)
    assert records[0] != records[1]
    for purpose in (SHARE, ADS):
        activities = people.get("/v1/record-of-processing", people=False)["activities"]
        [activity] = [one for one in activities if one["purpose"] == purpose]
        assert [one["also_for"] for one in activity["destinations"]] == [[ADS]]
    change = {"destination": {"purpose": SHARE, "segments": ["pros"], "also_for": [ADS]}}
    google(people, "half", ads="denied")
    people.settle()
    found = people.post("/v1/consents/simulate", change)["destination"]["segments"][0]
    assert (found["sends"], found["denied"]) == (1, {f"{ADS}:refused": 1})
    google(people, "both", ads="denied")
    people.settle()
    [no] = [r for r in people.get("/v1/consents", subject="user_id:both")["data"]
            if (r["purpose"], r["state"]) == (ADS, "withdrawn")]  # fmt: skip
    assert people.get(path)["held"] == 0
    assert people.get(f"/v1/consents/{no['id']}/disclosures")["data"] == []
    for wrong in ([SHARE], [ADS, ADS]):
        body = {"name": "x", "url": receiver.url, "purpose": SHARE, "segments": ["pros"]}
        answer = people.server.post(
            "/v1/destinations", json={**body, "also_for": wrong}, headers=people.header
        )
        assert answer.status_code == 422, answer.text
    people.header = token(*SCOPES, purposes=(SHARE,))
    answer = people.server.post(
        "/v1/destinations", json={**body, "also_for": [ADS]}, headers=people.header
    )
    assert answer.status_code == 403, "by who is sent, it would learn what they said of the other"
    for method, rest, more in (
        ("PATCH", "", {"rate": 2}), ("POST", "/dry-run", None), ("POST", "/sync", None),
        ("POST", "/replay", None), ("GET", "/deliveries", None),
    ):  # fmt: skip
        answer = people.server.request(method, path + rest, json=more, headers=people.header)
        assert answer.status_code == 403, (method, rest)
    assert people.patch(path, {"enabled": False})["enabled"] is False, "that anybody may"


def turned(people: World) -> None:
    """Look whose consent came to mean something else within the last hour."""
    with people.sessions.begin() as session:
        session.execute(sa.text("UPDATE app.progress SET moment = now() - interval '1 hour'"
                                " WHERE reader = 'turning'"))  # fmt: skip
        turning.look(session)
    people.settle()


def test_who_no_longer_allows_another_purpose_though_nobody_said_anything_is_taken_back(
    people: World, receiver: Receiver, token: Callable[..., dict[str, str]]
) -> None:
    """A grant for it lapses, a version of it renews, or is for adults from now on."""
    for user in ("lapses", "stale", "young"):
        google(people, user)
    people.work()
    version(people, SHARE, adults_only=False)
    version(people, ADS, adults_only=False)
    path = customer_match(people, token, receiver.url)
    people.settle()
    assert people.get(path)["held"] == 3
    lapse = "UPDATE consent.record SET valid_until = now() WHERE value = 'lapses' AND purpose = :p"
    with people.sessions.begin() as session:
        session.execute(sa.text("SET LOCAL session_replication_role = replica"))
        session.execute(sa.text(lapse), {"p": ADS})
    turned(people)
    assert told(receiver)[3:] == [("segment.exited", f"consent:{ADS}:expired")]
    with people.sessions.begin() as session:
        since = datetime.now(UTC) - timedelta(days=1)
        ages.state(
            session, "user_id", "young", [Span("teen", since, None)], stated_by="x", at=since
        )
    people.settle()
    assert people.get(path)["held"] == 2
    version(people, ADS, adults_only=True)
    assert told(receiver)[4:] == [("segment.exited", f"consent:{ADS}:underage")]
    version(people, ADS, renews=True)
    assert told(receiver)[5:] == [("segment.exited", f"consent:{ADS}:stale_notice")]


def version(people: World, key: str, **more: Any) -> None:
    """Have the next version of a purpose begin."""
    with people.sessions.begin() as session:
        since = consent.catalogue.lock(session)
        known = consent.catalogue.purpose(session, key)
        new = replace(known, version=known.version + 1, effective_from=since, **more)
        consent.catalogue.add_purpose(session, new)
    turned(people)


def proved(people: World, settings: Settings, who: str, purpose: str) -> dict[str, Any]:
    """What the proof of the last send about somebody shows, for one of its purposes."""
    job = LedgerJob(people.sessions, settings)
    manifest.close(people.sessions)
    with closing(job.keystore):
        job.round()
        with people.sessions() as session:
            row = evidence.last(
                session, *who.split(":"), until=datetime.now(UTC), destination="there",
                purpose=purpose,
            )  # fmt: skip
            return check_send.check_send(
                evidence.prove(session, job.keystore, row), store.vkeys(session)
            )


def test_only_what_may_be_used_for_each_of_several_purposes_is_sent(
    people: World, receiver: Receiver, token: Callable[..., dict[str, str]], settings: Settings
) -> None:
    """Storage on devices is asked of each: of a person who allows it on one, that one is sent."""
    people.header = token(*SCOPES, purposes=(SHARE, "device.storage"))
    people.say("ada", "given", SHARE)
    for device in ("phone-1", "phone-2"):
        body = {"userId": "ada", "anonymousId": device, "traits": {"plan": "pro"}}
        people.server.post("/v1/identify", json={**body, "writeKey": people.key})
    yes = {"subject": {"namespace": "anonymous_id", "value": "phone-1"},
           "decisions": [{"purpose": "device.storage", "state": "given"}]}  # fmt: skip
    people.server.post("/v1/consents", json=yes, auth=(people.key, "")).raise_for_status()
    people.work()
    people.post("/v1/segments", {"key": "pros", "name": "Pros", "purpose": SHARE, "rule": PROS})
    made = people.destination(
        kind="segment", url=receiver.url, secrets={"write_key": "wk"}, segments=["pros"],
        mapping=MAPPING, purpose=SHARE, also_for=["device.storage"],
    )  # fmt: skip
    people.settle()
    assert people.get(f"/v1/destinations/{made['id']}")["held"] == 1
    sent = b"".join(one.body for one in receiver.received)
    assert b"phone-1" in sent
    assert b"phone-2" not in sent
    assert b'"ada"' not in sent
    shared = proved(people, settings, "user_id:ada", SHARE)
    assert [one["value"] for one in shared["records"]] == ["ada"], "on whose word it rests"
    assert shared["identifiers"] == ["anonymous_id:phone-1", "user_id:ada"]
    stored = proved(people, settings, "user_id:ada", "device.storage")
    assert [one["value"] for one in stored["records"]] == ["phone-1"]
    assert stored["identifiers"] == ["anonymous_id:phone-1"], "each by itself"
    no = {**yes, "decisions": [{"purpose": "device.storage", "state": "withdrawn"}]}
    people.server.post("/v1/consents", json=no, auth=(people.key, "")).raise_for_status()
    people.settle()
    assert people.get(f"/v1/destinations/{made['id']}")["held"] == 0
    assert people.outcomes(made["id"])[-1][:2] == ("segment.exited", "delivered")
    people.server.post("/v1/consents", json=yes, auth=(people.key, "")).raise_for_status()
    people.settle()
    people.server.post("/v1/consents", json=no, auth=(people.key, "")).raise_for_status()
    people.work()
    [looked] = [one for one in people.outcomes(made["id"]) if one[1] == "waiting"]
    people.deliver()  # she leaves; and before that is sent, she has agreed again
    people.server.post("/v1/consents", json=yes, auth=(people.key, "")).raise_for_status()
    people.settle()
    assert people.get(f"/v1/destinations/{made['id']}")["held"] == 1, looked
