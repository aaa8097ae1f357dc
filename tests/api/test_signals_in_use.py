"""What consent signals mean for destinations: vendors, Google, and Segment's own matrix."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

import consent
from app import pipeline
from app.access import sources
from app.db import Sessions
from app.destinations import google
from app.destinations.outbox import allowed_people
from consent.errors import VendorListInvalid
from consent.signals.stamp import UNIVERSAL
from identity import people
from tests.api.site import OFFICER, PREFERENCE, Site, Token
from tests.consent.build import tc

ADS = sorted(UNIVERSAL)


@pytest.fixture
def officer(token: Token) -> dict[str, str]:
    return token(*OFFICER)


@pytest.fixture
def site(server: TestClient, sessions: Sessions, officer: dict[str, str]) -> Site:
    return Site(server, sessions, officer)


def test_13_and_14_a_destination_that_is_a_vendor_needs_the_string_to_allow_it(
    site: Site,
) -> None:
    string = tc(purposes=[4], vendors=[10, 11], disclosed=[10, 11], publisher=[4],
                restrictions=[(4, 0, 11)])  # fmt: skip
    site.send({"consent": {"tcf": string}})
    with site.sessions.begin() as session:
        who = {("user_id", site.user): True}

        def why(vendor: int, purpose: str = "ads.personalised") -> str | None:
            return consent.vendors.denied(session, who, vendor, purpose)

        assert why(10) == "vendor_list_unknown"
        entry = {"purposes": [4], "legIntPurposes": [], "flexiblePurposes": []}
        document = {"vendorListVersion": 51, "vendors": {"10": entry, "11": entry, "12": entry}}
        consent.vendors.add_list(session, msgspec.json.encode(document))
        assert why(10) is None
        assert why(11) == "vendor_restricted"
        assert why(12) == "vendor_not_disclosed"
        assert why(13) == "vendor_not_listed"
        assert why(10, "ads.share") == "no_tcf_purpose"
        for other in ({("user_id", "x"): True}, {("user_id", site.user): False}):
            denied = consent.vendors.denied(session, other, 10, "ads.personalised")
            assert denied == "no_tc_string"
        [person] = session.scalars(sa.text("SELECT DISTINCT person_id FROM identity.identifier"))
        now = datetime.now(UTC)
        for vendor, told in ((None, {person}), (10, {person}), (11, set())):
            assert told == allowed_people(
                session, "ads.personalised", [person], now=now, tcf_vendor=vendor
            )
        with pytest.raises(VendorListInvalid):
            consent.vendors.add_list(session, b'{"vendorListVersion": 51, "vendors": {}}')
        for wrong in (b"", b"[]", b'{"vendorListVersion": 0, "vendors": {}}', b"{", b"[" * 9999):
            with pytest.raises(VendorListInvalid):
                consent.vendors.add_list(session, wrong)


def test_a_string_that_cannot_be_read_any_more_allows_nothing_and_stops_nobody_else(
    site: Site,
) -> None:
    """One was kept of the wrong section of a GPP string: no destination of a vendor could go on."""
    good = tc(purposes=[4], vendors=[10], disclosed=[10], publisher=[4])
    for user in ("one", "other"):
        site.send({"consent": {"tcf": good}}, userId=user)
    with site.sessions.begin() as session:
        entry = {"purposes": [4], "legIntPurposes": [], "flexiblePurposes": []}
        document = {"vendorListVersion": 51, "vendors": {"10": entry}}
        consent.vendors.add_list(session, msgspec.json.encode(document))
        session.execute(sa.text("UPDATE consent.tc_string SET string = 'x y' WHERE value = 'one'"))
        who = {name: people.find(session, "user_id", name) for name in ("one", "other")}
        told = allowed_people(session, "ads.personalised", [p for p in who.values() if p],
                              now=datetime.now(UTC), tcf_vendor=10)  # fmt: skip
    assert told == {who["other"]}


def test_23_google_is_told_of_each_persons_consent_in_a_message_of_its_own(site: Site) -> None:
    whole = {"ad_user_data": "granted", "ad_personalization": "granted"}
    users = {"both": whole, "half": {**whole, "ad_personalization": "denied"}, "none": {}}
    for user, said in users.items():
        site.send({"consent": {"google": said}}, userId=f"{site.user}-{user}")
    with site.sessions() as session:
        people_ = {
            user: session.scalar(
                sa.text("SELECT coalesce(person_id, id) FROM identity.identifier WHERE value = :v"),
                {"v": f"{site.user}-{user}"},
            )
            for user in users
        }
        told = {
            user: google.consent_of(session, "ads.share", {person})["google_consent"]
            for user, person in people_.items()
        }
        assert google.consent_of(session, "marketing.email", {people_["both"]}) == {}
        now = datetime.now(UTC)
        allowed = allowed_people(session, "ads.share", people_.values(), now=now)
    assert told == {
        "both": {"ad_user_data": "GRANTED", "ad_personalization": "GRANTED"},
        "half": {"ad_user_data": "GRANTED", "ad_personalization": "DENIED"},
        "none": {"ad_user_data": "DENIED", "ad_personalization": "DENIED"},
    }
    assert allowed == {people_["both"], people_["half"]}


def test_23_a_segment_that_asks_for_both_has_nobody_in_it_who_lacks_one(
    site: Site, token: Token
) -> None:
    """What a destination for `ads.share` uploads of it, by any kind, has nobody else in it."""
    both = {"ad_user_data": "granted", "ad_personalization": "granted"}
    header = token(purposes=("ads.share", "ads.personalised"))
    for user, said in ("both", both), ("half", {**both, "ad_personalization": "denied"}):
        site.send({"consent": {"google": said}}, userId=f"{site.user}-{user}")
    rule = {"all": [{"type": "track"}, {"consent": "ads.personalised"}]}
    body = {"key": "match", "name": "Customer Match", "purpose": "ads.share", "rule": rule}
    made = site.server.post("/v1/segments", json=body, headers=header)
    assert (made.status_code, made.json().get("size")) == (201, 1), made.text
    denied = {"consent": {"google": {**both, "ad_personalization": "denied"}}}
    site.send(denied, userId=f"{site.user}-both")
    with site.sessions.begin() as session:
        while not pipeline.step(session).idle:
            pass
    page = site.server.get("/v1/changes?types=segment.entered,segment.exited", headers=header)
    assert [one["type"].rpartition(".")[2] for one in page.json()["data"]] == ["entered", "exited"]
    assert site.server.get("/v1/segments/match", headers=header).json()["size"] == 0


#: Segment's table of consent and integrations objects (segment-docs, "Consent in Segment
#: Connections"): what the event says, and which destinations consent lets hear of it, by itself:
#: facebook and google-ads are for ads, amplitude is for analytics, facebook for both where said.
ROWS: list[tuple[int, Any, bool, set[str]]] = [
    (1, {}, False, set()),  # Segment: all
    (1, {"consent": {}}, False, set()),  # Segment: all
    (2, {"consent": {"categoryPreferences": {}}}, False, set()),
    (3, {}, False, set()),  # Segment: those that the integrations object switches on
    (4, {"consent": {"categoryPreferences": {}}}, False, set()),
    (5, {"consent": {"categoryPreferences": {"x": True, "y": False}}}, False, set()),  # all
    (6, {"consent": {"categoryPreferences": {"ad": True, "analytics": False}}}, False,
     {"facebook", "google-ads"}),
    (7, {"consent": {"categoryPreferences": {"ad": True, "analytics": False}}}, False,
     {"facebook", "google-ads"}),
    (8, {"consent": {"categoryPreferences": {"ad": True, "analytics": False}}}, False,
     {"facebook", "google-ads"}),  # an integrations object is no consent, and is not looked at
    (9, {"consent": {"categoryPreferences": {"ad": True, "analytics": False}}}, True,
     {"google-ads"}),
    (10, {"consent": {"categoryPreferences": {"ad": True, "analytics": True}}}, True,
     {"facebook", "google-ads", "amplitude"}),
    (11, {"consent": {"categoryPreferences": {"ad": False, "analytics": True}}}, True,
     {"amplitude"}),
]  # fmt: skip


def test_06_segments_matrix_in_our_own_mode_denies_where_segment_lets_everything_flow(
    server: TestClient, sessions: Sessions, officer: dict[str, str]
) -> None:
    site = Site(server, sessions, officer)
    with sessions.begin() as session:
        source = sources.find_by_key(session, site.key)
        assert source is not None
        found = sources.find_by_id(session, source.id)
        found.categories = {"ad": ["ads.share"], "analytics": ["analytics.audience"]}
    for n, (row, context, both, expected) in enumerate(ROWS):
        site.user = f"row-{row}-{n}"
        site.send(context, integrations={"facebook": True, "amplitude": False})
        ads, analytics = (
            site.decide(purpose)["allow"] for purpose in ("ads.share", "analytics.audience")
        )
        flows = {
            "facebook": ads and (analytics or not both),
            "google-ads": ads,
            "amplitude": analytics,
        }
        assert {name for name, allowed in flows.items() if allowed} == expected, row


#: The same table in Segment's own words: consent, integrations, the mapping, and where data flow.
AD = {"facebook": ["ad"], "google-ads": ["ad"], "amplitude": ["analytics"]}
BOTH = {**AD, "facebook": ["ad", "analytics"]}
NONE: dict[str, list[str]] = {name: [] for name in AD}
MIXED = {**AD, "warehouse": []}
YES_NO = {"categoryPreferences": {"ad": True, "analytics": False}}
SWITCHES = {"facebook": True, "amplitude": False}
THEIRS: list[tuple[int, Any, Any, dict[str, list[str]], set[str]]] = [
    (1, None, None, AD, {"facebook", "google-ads", "amplitude"}),
    (1, {}, {}, AD, {"facebook", "google-ads", "amplitude"}),
    (2, {"categoryPreferences": {}}, {}, MIXED, {"warehouse"}),
    (3, None, SWITCHES, AD, {"facebook"}),
    (4, {"categoryPreferences": {}}, SWITCHES, MIXED, {"warehouse"}),
    (5, YES_NO, None, NONE, {"facebook", "google-ads", "amplitude"}),
    (6, YES_NO, None, AD, {"facebook", "google-ads"}),
    (7, YES_NO, SWITCHES, AD, {"facebook", "google-ads"}),
    (8, YES_NO, {"facebook": False, "amplitude": False}, AD, {"google-ads"}),
    (9, YES_NO, SWITCHES, BOTH, {"google-ads"}),
    (10, {"categoryPreferences": {"ad": True, "analytics": True}}, SWITCHES, BOTH,
     {"facebook", "google-ads"}),
    (11, {"categoryPreferences": {"ad": False, "analytics": True}}, SWITCHES, BOTH, set()),
]  # fmt: skip


def test_06_segments_matrix_as_segment_has_it_is_compared_and_never_decides(
    server: TestClient, sessions: Sessions, officer: dict[str, str]
) -> None:
    site = Site(server, sessions, officer)
    with sessions.begin() as session:
        source = sources.find_by_key(session, site.key)
        assert source is not None
        name = source.name
        found = sources.find_by_id(session, source.id)
        found.categories = {"ad": ["ads.share"], "analytics": ["analytics.audience"]}
    denied = {1: 3, 3: 1, 5: 3}  # of each row: what Segment sends and this does not
    for row, said, switches, mapped, expected in THEIRS:
        event = {"source": name, "consent": said, "integrations": switches, "destinations": mapped}
        answer = server.post(
            "/v1/consents/simulate", json={"segment_event": event}, headers=officer
        )
        assert answer.status_code == 200, answer.text
        told = {one["destination"]: one for one in answer.json()["destinations"]}
        assert {name for name, one in told.items() if one["segment"]} == expected, row
        leaks = {name for name, one in told.items() if one["segment"] and not one["here"]}
        assert len(leaks) == denied.get(row, len(expected & {"warehouse"})), row
        assert answer.json()["what_would_have_leaked"] == len(leaks)
    nobody = server.post("/v1/consents/simulate", headers=officer,
                         json={"segment_event": {"source": "no", "destinations": AD}})  # fmt: skip
    assert nobody.status_code == 404


@pytest.mark.parametrize("since", [None, 20], ids=["one_version", "a_version_since"])
def test_a_string_of_a_later_answer_renews_what_has_lapsed(site: Site, since: int | None) -> None:
    """Its date is that of the answer: of a version that came after that it is none."""
    now = datetime.now(UTC)

    def send(days: int) -> str:
        at = (now - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
        site.send({"consent": {"tcf": tc(created=at, publisher=[4])}})
        return str(site.decide("ads.personalised")["reason"])

    lapsed = sa.text(
        "INSERT INTO consent.record (namespace, value, purpose, purpose_version, state,"
        " effective_at, recorded_at, order_time, valid_until, collected_by, evidence) VALUES"
        " ('user_id', :user, 'ads.personalised', 1, 'given', :at, :at, :at, :until, 'source:web',"
        """ '{"event_stamp": true}')"""
    )
    when = {"at": now - timedelta(days=100), "until": now - timedelta(days=5)}
    with site.sessions.begin() as session:
        session.execute(lapsed, {"user": site.user, **when})
        if since is not None:
            known = consent.catalogue.purpose(session, "ads.personalised")
            of = now - timedelta(days=since)
            new = replace(known, version=known.version + 1, renews=True, effective_from=of)
            consent.catalogue.add_purpose(session, new)
    assert send(200) == "expired"
    assert send(50) == ("given" if since is None else "stale_notice")
    [renewed] = [r for r in site.records() if r["purpose"] == "ads.personalised"][1:]
    until = datetime.fromisoformat(renewed["valid_until"])
    assert timedelta(days=344) <= until - now <= timedelta(days=345), "from the answer on"
    assert send(10) == "given", "also to the version that came since"


def test_a_string_of_a_later_answer_gives_what_a_version_since_the_grant_asks(site: Site) -> None:
    """On the day on which that takes effect its date, a day, tells less than an answer's event."""
    now = datetime.now(UTC)

    def string(days: int) -> dict[str, Any]:
        at = (now - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
        return {"consent": {"tcf": tc(created=at, publisher=[4])}}

    def said() -> str:
        return str(site.decide("ads.personalised")["reason"])

    site.send(string(30))
    with site.sessions.begin() as session:
        known = consent.catalogue.purpose(session, "ads.personalised")
        before = now - timedelta(minutes=1)
        new = replace(known, version=known.version + 1, renews=True, effective_from=before)
        consent.catalogue.add_purpose(session, new)
    assert said() == "stale_notice"
    site.send(string(0))
    assert said() == "stale_notice", "it may have been answered before"
    site.send(string(0), event=PREFERENCE)
    assert said() == "given"
