"""A destination that needs several purposes: each is asked, proved and followed."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

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
from identity import graph
from identity import people as persons
from tests.app.destinations.test_refused import ADS, MAPPING, PROS, SCOPES, told
from tests.app.destinations.world import World
from tests.end_to_end.conftest import Receiver

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
    with people.sessions() as session:
        both = persons.find(session, "user_id", "both")
        assert both is not None
        ids = {"ids": graph.array([both])}
        [row] = session.execute(statement("app.privacy", "own_recipients"), ids)
    assert (row.purpose, row.also_for) == (SHARE, ADS)
    hour = timedelta(hours=1)
    now = datetime.now(UTC)
    window = {"since": (now - hour).isoformat(), "until": (now + hour).isoformat()}
    breach = {"noticed_at": now.isoformat(), "scope": {**window, "destinations": ["there"]}}
    breached = people.post("/v1/privacy/breaches", {**breach, "told": {"nature": "lost"}})
    assert breached["assessment"]["purposes"] == [ADS, SHARE]
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
