"""Acceptance checks A 1 to 24 of research/consent.md section 3 that need the whole server.

Those of decoders and rules alone are in `tests/consent/test_acceptance_signals.py`.
"""

from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

import consent
from app.access import sources
from app.db import Sessions
from app.destinations import google
from app.destinations.outbox import allowed_people
from consent.errors import VendorListInvalid
from consent.signals.stamp import UNIVERSAL
from tests.consent.build import tc

Token = Callable[..., dict[str, str]]
ADS = sorted(UNIVERSAL)
CATEGORIES = {"Advertising": ["ads.share"], "Analytics": ["analytics.audience"]}
PREFERENCE = "Segment Consent Preference Updated"


class Site:
    """A website that sends events, and what the privacy officer is told of its visitor."""

    def __init__(
        self, server: TestClient, sessions: Sessions, officer: dict[str, str], **settings: Any
    ) -> None:
        with sessions.begin() as session:
            name = f"site-{len(sources.list_all(session))}"
            self.key = sources.add(session, name, categories=CATEGORIES, **settings)[1]
        self.server, self.sessions, self.officer = server, sessions, officer
        self.user = f"u-{name}"

    def send(
        self, context: Any = None, *, event: str = "Seen", headers: Any = None, **more: Any
    ) -> dict[str, Any]:
        body = {
            "type": "track", "event": event, "userId": self.user, "writeKey": self.key,
            "context": {} if context is None else context, **more,
        }  # fmt: skip
        answer = self.server.post("/v1/track", json=body, headers=headers or {})
        assert answer.status_code == 200
        return dict(answer.json())

    def choose(self, preferences: Any) -> dict[str, Any]:
        said = {} if preferences is None else {"categoryPreferences": preferences}
        return self.send({"consent": said}, event=PREFERENCE)

    def decide(self, purpose: str, subject: str | None = None) -> dict[str, Any]:
        answer = self.server.get(
            "/v1/consents/decision",
            params={"subject": subject or f"user_id:{self.user}", "purpose": purpose},
            headers=self.officer,
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def records(self) -> list[dict[str, Any]]:
        answer = self.server.get(
            "/v1/consents", params={"subject": f"user_id:{self.user}"}, headers=self.officer
        )
        return list(answer.json()["data"])

    def say(self, **more: Any) -> Any:
        basic = b64encode(f"{self.key}:".encode()).decode()
        body = {"subject": {"namespace": "user_id", "value": self.user}, **more}
        return self.server.post(
            "/v1/consents", json=body, headers={"Authorization": f"Basic {basic}"}
        )

    def refused(self) -> list[list[str]]:
        """What each stored event may never be used for, in their order."""
        with self.sessions() as session:
            query = sa.text("SELECT refused FROM app.event WHERE user_id = :u ORDER BY received_at")
            return [sorted(row) for row in session.scalars(query, {"u": self.user})]

    def denials(self, use: str) -> dict[tuple[str, str], int]:
        answer = self.server.get("/v1/consents/denials", headers=self.officer)
        return {
            (d["purpose"], d["reason"]): d["denials"]
            for d in answer.json()["data"]
            if d["use"] == use
        }


@pytest.fixture
def officer(token: Token) -> dict[str, str]:
    return token("consents:read", "privacy:process", "destinations:write", "sources:admin")


@pytest.fixture
def site(server: TestClient, sessions: Sessions, officer: dict[str, str]) -> Site:
    return Site(server, sessions, officer)


def states(site: Site) -> list[tuple[str, str]]:
    return [(r["purpose"], r["state"]) for r in site.records()]


def test_01_a_banners_answer_that_says_nothing_is_rejected_and_nothing_of_it_is_kept(
    site: Site,
) -> None:
    site.choose({"Advertising": True})
    silent: list[dict[str, Any]] = [
        {}, {"consent": {}}, {"consent": None}, {"consent": {"x": 1}}
    ]  # fmt: skip
    for context in silent:
        answer = site.send(context, event=PREFERENCE)
        assert [r["code"] for r in answer["rejected"]] == ["consent_missing"]
    assert sorted(states(site)) == [("ads.share", "given"), ("analytics.audience", "refused")]
    with site.sessions() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM app.rejected_event")) == 0


def test_02_a_banners_answer_makes_a_record_of_each_category(site: Site) -> None:
    assert site.choose({"Advertising": True, "Analytics": False})["accepted"] == 1
    assert sorted(states(site)) == [("ads.share", "given"), ("analytics.audience", "refused")]
    assert all(r["seq"] > 0 and "event_stamp" not in r["evidence"] for r in site.records())


def test_03_what_the_next_answer_does_not_name_is_refused_or_stays(
    server: TestClient, sessions: Sessions, officer: dict[str, str]
) -> None:
    for settings, later in (({}, "refused"), ({"preference_snapshot": False}, "given")):
        site = Site(server, sessions, officer, **settings)
        site.choose({"Advertising": True, "Analytics": False})
        site.choose({"Advertising": True})
        assert site.decide("analytics.audience")["reason"] == "refused"
        site.choose({"Analytics": True})
        state = site.decide("ads.share")["reason"]
        assert (state == "given") is (later == "given")


def test_04_an_empty_answer_refuses_all_categories(site: Site) -> None:
    site.choose({})
    assert sorted(states(site)) == [("ads.share", "refused"), ("analytics.audience", "refused")]


def test_05_without_consent_nothing_is_collected_for_a_purpose_that_needs_it(
    server: TestClient, sessions: Sessions, officer: dict[str, str]
) -> None:
    strict = Site(server, sessions, officer, collection_purpose="analytics.audience")
    answer = strict.send()
    assert answer["accepted"] == 0
    assert answer["rejected"][0]["code"] == "consent_denied"
    assert "unknown" in answer["rejected"][0]["message"]
    assert strict.denials("collect") == {("analytics.audience", "unknown"): 1}


def test_10_a_string_that_does_not_count_refuses_its_event_and_is_counted(site: Site) -> None:
    old = tc(created=datetime(2026, 3, 15, tzinfo=UTC), disclosed=None, publisher=[4])
    site.send({"consent": {"categoryPreferences": {"Analytics": True}, "tcf": old}})
    assert site.records() == []
    assert "analytics.audience" in site.refused()[0]
    assert "service.operation" not in site.refused()[0]
    assert site.denials("signal") == {("*", "signal_unparsable:tcf:no_disclosed_vendors"): 1}


@pytest.mark.parametrize("registered", [True, False])
def test_a_registered_banners_string_is_on_record_even_where_stamps_are_not(
    server: TestClient, sessions: Sessions, officer: dict[str, str], registered: bool
) -> None:
    settings = {"tcf_collectors": [300]} if registered else {}
    site = Site(server, sessions, officer, stamp_is_evidence=False, **settings)
    site.send({"consent": {"tcf": {"string": tc(publisher=[4, 9])}}})
    site.send({"consent": {"categoryPreferences": {"Analytics": True}}})
    assert site.decide("ads.personalised")["allow"] is registered
    if registered:
        [row] = [r for r in site.records() if r["purpose"] == "ads.personalised"]
        assert row["evidence"]["signal"] == "tcf"
        assert tc(publisher=[4, 9]) in row["evidence"]["signals"]


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


@pytest.mark.parametrize(
    ("lines", "counts"),
    [
        (["1"], True), (["0"], False), (["true"], False), (["1x"], False), ([""], False),
        (["0", "1"], True), (["1, 1"], True), (["0, 1"], True), (["01"], False), ([" 1 "], True),
        (["0, 0"], False),
    ],
)  # fmt: skip
def test_20_the_header_opts_out_the_device_and_the_person_it_is_known_to_be(
    site: Site, lines: list[str], counts: bool
) -> None:
    headers = [("Sec-GPC", line) for line in lines]
    site.send(headers=headers, anonymousId="a-1")
    for subject in (f"user_id:{site.user}", "anonymous_id:a-1"):
        decision = site.decide("ads.share", subject)
        assert decision["reason"] == ("refused" if counts else "unknown")
    assert site.refused() == [ADS if counts else []]
    kinds = {(r["purpose"], r["evidence"]["signal"]) for r in site.records()}
    assert kinds == ({(p, "gpc") for p in ADS} if counts else set())


def test_20_it_is_about_whatever_is_allowed_until_somebody_opts_out(site: Site) -> None:
    own = {"key": "ads.sell", "regime": "us_optout", "lawful_basis": "legitimate_interests"}
    answer = site.server.post("/v1/purposes", json=own, headers=site.officer)
    assert answer.status_code == 201, answer.text
    site.send()
    assert site.decide("ads.sell")["allow"]
    site.send(headers={"Sec-GPC": "1"})
    assert site.decide("ads.sell")["reason"] == "refused"


def test_20_a_relay_says_it_in_a_field_and_a_batch_in_its_context(site: Site) -> None:
    site.send({"consent": {"gpc": True}})
    assert site.refused() == [ADS]
    body = {"writeKey": site.key, "context": {"gpc": True, "app": {"name": "x"}},
            "batch": [{"type": "track", "event": "E", "userId": f"{site.user}-2"}]}  # fmt: skip
    assert site.server.post("/v1/batch", json=body).json()["accepted"] == 1
    assert site.decide("ads.share", f"user_id:{site.user}-2")["reason"] == "refused"
    # Whatever the context is that came with the header.
    for n, context in enumerate(["text", None, 7, {"gpc": False}, {"consent": "unreadable"}]):
        user = f"{site.user}-h{n}"
        site.send(context, headers={"Sec-GPC": "1"}, userId=user)
        assert site.decide("ads.share", f"user_id:{user}")["reason"] == "refused"


def test_21_only_a_later_grant_on_its_own_notice_lifts_what_the_browser_refuses(
    site: Site,
) -> None:
    notice = {"key": "gpc", "version": 1, "language": "en"}
    made = {**notice, "purposes": ["ads.share"], "body": "Your browser opts out. Allow us?"}
    assert site.server.post("/v1/notices", json=made, headers=site.officer).status_code == 201
    grant = {"purpose": "ads.share", "state": "given"}
    assert site.say(decisions=[grant]).status_code == 200
    site.send(headers={"Sec-GPC": "1"})
    assert site.decide("ads.share")["reason"] == "withdrawn"
    assert site.say(decisions=[grant], notice=notice).status_code == 200  # it names no signal
    assert site.decide("ads.share")["reason"] == "refused"
    over = {**grant, "overrides_universal_opt_out": True}
    assert site.say(decisions=[over]).status_code == 422
    withdrawn = {**over, "state": "withdrawn"}
    assert site.say(decisions=[withdrawn], notice=notice).status_code == 422
    answer = site.say(decisions=[over], notice=notice)
    assert answer.status_code == 200
    decision = site.decide("ads.share")
    assert (decision["allow"], decision["reason"]) == (True, "given")
    told = {(o["kind"], o["signal"]) for o in decision["universal_opt_outs"]}
    assert told == {("opt_out", "gpc"), ("override", None)}
    # The browser goes on sending it; other purposes stay as it says.
    site.send(headers={"Sec-GPC": "1"})
    assert site.decide("ads.share")["allow"]
    assert site.decide("ads.personalised")["reason"] == "refused"
    assert site.refused() == [ADS, [p for p in ADS if p != "ads.share"]]
    # Who refuses after it has refused; and a plain grant does not lift the signal then.
    site.say(decisions=[{"purpose": "ads.share", "state": "withdrawn"}])
    site.say(decisions=[grant])
    assert site.decide("ads.share")["reason"] == "refused"


def test_22_the_server_says_that_it_honours_the_signal_and_shows_a_page_its_status(
    server: TestClient,
) -> None:
    answer = server.get("/.well-known/gpc.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["gpc"] is True
    assert datetime.strptime(answer.json()["lastUpdate"], "%Y-%m-%d").tzinfo is None
    shown = server.get("/v1/opt-out", headers={"Sec-GPC": "1", "Origin": "https://shop.example"})
    assert shown.json() == {"gpc": True, "status": "opted_out", "purposes": ADS}
    assert shown.headers["access-control-allow-origin"] == "*"
    assert shown.headers["cache-control"] == "no-store"
    assert server.get("/v1/opt-out").json()["status"] == "no_signal"


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
            user: google.consent_of(session, "ads.share", person)["google_consent"]
            for user, person in people_.items()
        }
        assert google.consent_of(session, "marketing.email", people_["both"]) == {}
        now = datetime.now(UTC)
        allowed = allowed_people(session, "ads.share", people_.values(), now=now)
    assert told == {
        "both": {"ad_user_data": "GRANTED", "ad_personalization": "GRANTED"},
        "half": {"ad_user_data": "GRANTED", "ad_personalization": "DENIED"},
        "none": {"ad_user_data": "DENIED", "ad_personalization": "DENIED"},
    }
    assert allowed == {people_["both"], people_["half"]}


def test_24_signals_that_contradict_each_other_refuse_and_are_counted(site: Site) -> None:
    own = {"tcf": tc(publisher=[4, 9]), "google": {"ad_personalization": "denied"}}
    site.send({"consent": own})
    assert site.decide("ads.personalised")["reason"] == "refused"
    assert site.decide("analytics.audience")["allow"]
    assert site.denials("signal") == {("ads.personalised", "signal_conflict"): 1}
    [row] = [r for r in site.records() if r["purpose"] == "ads.personalised"]
    assert row["evidence"]["signal_conflict"] is True


def test_who_refuses_a_purpose_refuses_those_below_it_unless_they_say_otherwise(
    site: Site,
) -> None:
    site.send({"consent": {"categoryPreferences": {"ads": False, "ads.basic": True}}})
    assert site.decide("ads.basic")["allow"]
    for purpose in ("ads", "ads.personalised", "measure.ads"):
        assert site.decide(purpose)["reason"] == "refused"
    assert "measure.ads" in site.refused()[0]


def test_a_snowplow_tracker_and_rudderstack_are_heard(site: Site) -> None:
    scopes = {"eventType": "allow_selected", "basisForProcessing": "consent",
              "consentScopes": ["Analytics"]}  # fmt: skip
    site.send(event="consent_preferences", properties=scopes)
    assert site.decide("analytics.audience")["allow"]
    assert site.decide("ads.share")["reason"] == "refused"
    other = Site(site.server, site.sessions, site.officer)
    management = {"allowedConsentIds": ["Analytics"], "deniedConsentIds": ["Advertising"]}
    other.send({"consentManagement": management})
    assert other.decide("analytics.audience")["allow"]
    assert other.decide("ads.share")["reason"] == "refused"
    assert other.refused() == [["ads.share"]]


def test_settings_of_signals_are_changed_like_others_and_followed(site: Site) -> None:
    listed = site.server.get("/v1/sources", headers=site.officer).json()["data"]
    [found] = [s for s in listed if s["name"] in site.user]
    path = f"/v1/sources/{found['id']}"
    assert (found["tcf_policy_floor"], found["tcf_own_purposes"]) == (4, "publisher")
    changed = site.server.patch(
        path, json={"tcf_own_purposes": "core", "tcf_policy_floor": 6}, headers=site.officer
    )
    assert changed.json()["tcf_own_purposes"] == "core"
    wrong = {"tcf_collectors": [1]}
    assert site.server.patch(path, json=wrong, headers=site.officer).status_code == 422


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
