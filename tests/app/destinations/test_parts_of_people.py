"""Where matching makes nobody one, each part of a person is decided by what it said itself."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

import consent
from app import pipeline
from app.consents import ages
from consent.ages import Span
from identity import graph
from identity import people as persons
from tests.app.destinations.test_refused import PROS, SCOPES, listed
from tests.app.destinations.world import World
from tests.consent.build import tc
from tests.end_to_end.conftest import Receiver

ADS, SHARE = "ads.personalised", "ads.share"
VENDOR = 10
ALLOWS = tc(purposes=[4], vendors=[VENDOR], disclosed=[10, 11], publisher=[4])
FORBIDS = tc(purposes=[4], vendors=[11], disclosed=[10, 11], publisher=[4])
BOTH = {"ad_user_data": "granted", "ad_personalization": "granted"}
Token = Callable[..., dict[str, str]]


def demands(people: World, *purposes: str, **more: Any) -> None:
    """Let these purposes demand links that are asserted."""
    with people.sessions.begin() as session:
        since = consent.catalogue.lock(session)
        for key in purposes:
            known = consent.catalogue.purpose(session, key)
            consent.catalogue.add_purpose(
                session,
                replace(known, version=known.version + 1, effective_from=since,
                        link_confidence="deterministic", **more),
            )  # fmt: skip


def says(people: World, user: str, **signals: Any) -> None:
    """Let a browser say who it is of, and what that person agrees to; matching is allowed."""
    stated = {"categoryPreferences": {consent.LINK: True}, **signals}
    body = {"userId": user, "traits": {"plan": "pro"}, "writeKey": people.key,
            "context": {"consent": stated}}  # fmt: skip
    people.server.post("/v1/identify", json=body).raise_for_status()


def matched(people: World, one: str, other: str) -> None:
    """Let matching join two, of whom the one that was there first names the person."""
    people.work()
    now = datetime.now(UTC)
    with people.sessions.begin() as session:
        low, high = sorted(persons.find(session, "user_id", user) or 0 for user in (one, other))
        match = graph.Evidence(low, high, "match", "splink", now, evidence_id=1,
                               weight=9.0, probability=0.995)  # fmt: skip
        moved = graph.reconsider(session, graph.observe(session, [match]), at=now)
        assert len(moved.merged) == 1
        pipeline.after_move(session, moved)
    people.work()


def pros(people: World, token: Token, purpose: str) -> None:
    """Who is on a plan, for a purpose; and the vendors are known."""
    people.header = token(*SCOPES, purposes=(ADS, SHARE))
    with people.sessions.begin() as session:
        consent.vendors.add_list(session, msgspec.json.encode(listed(51)))
    people.post("/v1/segments", {"key": "pros", "name": "Pros", "purpose": purpose, "rule": PROS})


def heard(receiver: Receiver) -> list[tuple[str, list[str]]]:
    """Of whom was told what, in no order."""
    bodies = [json.loads(one.body) for one in receiver.received]
    return sorted((b["type"], b["data"].get("identifiers", {}).get("user_id", [])) for b in bodies)


def test_a_vendor_is_told_of_each_part_that_allows_it(
    people: World, receiver: Receiver, token: Token
) -> None:
    """Of all but the part that the person is named after nobody was told: `no_tc_string`."""
    demands(people, ADS)
    for user in ("one", "other"):
        says(people, user, tcf=ALLOWS)
    matched(people, "one", "other")
    pros(people, token, ADS)
    people.destination(url=receiver.url, segments=["pros"], purpose=ADS, tcf_vendor=VENDOR)
    people.settle()
    assert heard(receiver) == [("segment.entered", ["one"]), ("segment.entered", ["other"])]
    change = {"destination": {"purpose": ADS, "segments": ["pros"], "tcf_vendor": VENDOR}}
    found = people.post("/v1/consents/simulate", change)["destination"]["segments"][0]
    assert (found["sends"], found["denied"]) == (2, {})


@pytest.mark.parametrize("who", ["one", "other"])
def test_what_one_part_forbids_a_vendor_holds_for_the_other_and_what_it_allows_does_not(
    people: World, receiver: Receiver, token: Token, who: str
) -> None:
    demands(people, ADS)
    for user in ("one", "other", "alone"):
        says(people, user, tcf=FORBIDS if user == who else ALLOWS)
    matched(people, "one", "other")
    pros(people, token, ADS)
    made = people.destination(url=receiver.url, segments=["pros"], purpose=ADS, tcf_vendor=VENDOR)
    people.settle()
    assert heard(receiver) == [("segment.entered", ["alone"])]
    # No string of its own any more: the other part's allows nothing of it.
    with people.sessions.begin() as session:
        gone = "DELETE FROM consent.tc_string WHERE value = :who"
        session.execute(sa.text(gone), {"who": who})
    people.post(f"/v1/destinations/{made['id']}/sync")
    people.settle()
    [left] = {"one", "other"} - {who}
    assert heard(receiver) == [("segment.entered", ["alone"]), ("segment.entered", [left])]


@pytest.mark.parametrize("demanding", [(SHARE,), (SHARE, ADS)])
def test_google_is_told_what_each_part_said(
    people: World, receiver: Receiver, token: Token, demanding: tuple[str, ...]
) -> None:
    """Of all but the part that the person is named after it was told DENIED."""
    demands(people, *demanding)
    for user in ("one", "other"):
        says(people, user, google=BOTH)
    says(people, "half", google={**BOTH, "ad_personalization": "denied"})
    matched(people, "one", "other")
    pros(people, token, SHARE)
    people.destination(url=receiver.url, segments=["pros"], purpose=SHARE)
    people.settle()
    assert personalised(receiver) == {"one": "GRANTED", "other": "GRANTED", "half": "DENIED"}


def test_google_is_not_told_that_one_part_granted_what_only_the_other_did(
    people: World, receiver: Receiver, token: Token
) -> None:
    """A message names the identifiers of both: what it says of Google's consent is of each."""
    says(people, "one", google=BOTH)
    says(people, "other", google={"ad_user_data": "granted"})
    matched(people, "one", "other")
    pros(people, token, SHARE)
    people.destination(url=receiver.url, segments=["pros"], purpose=SHARE)
    people.settle()
    assert heard(receiver) == [("segment.entered", ["one", "other"])]
    assert personalised(receiver) == {"one": "DENIED"}


def test_what_a_version_would_send_counts_parts(people: World, token: Token) -> None:
    """The simulator said that nobody would be sent but the part that the person is named after."""
    demands(people, SHARE)
    demands(people, ADS, adults_only=False)
    for user in ("one", "other", "half"):
        says(people, user, google={**BOTH, **({"ad_personalization": "denied"} if user == "half"
                                              else {})})  # fmt: skip
    matched(people, "one", "other")
    now = datetime.now(UTC)
    with people.sessions.begin() as session:
        for user in ("one", "other", "half"):
            teen = [Span("teen", now - timedelta(days=1), None)]
            ages.state(session, "user_id", user, teen, stated_by="x", at=now)
    people.work()
    pros(people, token, SHARE)
    people.destination(url="https://crm.example/", segments=["pros"], purpose=SHARE, also_for=[ADS])
    change = {"purpose": {"key": SHARE, "adults_only": False}}
    [found] = people.post("/v1/consents/simulate", change)["purposes"]
    assert [one["entering"] for one in found["segments"]] == [3]
    assert [one["segment.entered"] for one in found["sends"]] == [2]


def personalised(receiver: Receiver) -> dict[str, str]:
    """What Google may do with each, by the first name that was sent."""
    data = [json.loads(one.body)["data"] for one in receiver.received]
    return {
        one["identifiers"]["user_id"][0]: one["google_consent"]["ad_personalization"]
        for one in data
    }
