"""Acceptance checks A 1 to 24 of research/consent.md section 3 that need the whole server.

Those of decoders and rules alone are in `tests/consent/test_acceptance_signals.py`.
"""

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

import consent
from app.db import Sessions
from consent.signals.stamp import UNIVERSAL
from tests.api.site import OFFICER, PREFERENCE, Site, Token
from tests.consent.build import tc

ADS = sorted(UNIVERSAL)


@pytest.fixture
def officer(token: Token) -> dict[str, str]:
    return token(*OFFICER)


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
        {}, {"consent": {}}, {"consent": None}, {"consent": {"x": 1}},
        {"consent": {"categoryPreferences": None}}, {"consent": {"categoryPreferences": []}},
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


def test_a_no_to_any_marketing_of_adobes_refuses_every_channel_of_the_catalogue(
    site: Site,
) -> None:
    with site.sessions.begin() as session:
        consent.catalogue.add_purpose(session, consent.Purpose("marketing.fax", parent="marketing"))
    site.send({"consent": {"categoryPreferences": {"marketing.fax": True}}})
    assert site.decide("marketing.fax")["allow"]
    site.send({"consents": {"marketing": {"any": {"val": "y"}}}})
    assert site.decide("marketing")["reason"] == "unknown"  # a yes gives the channels we name
    site.send({"consents": {"marketing": {"any": {"val": "n"}}}})
    ended = {"marketing": "refused", "marketing.email": "withdrawn", "marketing.fax": "withdrawn"}
    assert {one: site.decide(one)["reason"] for one in ended} == ended


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
    site: Site, token: Token
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
    answer = site.say(token("consents:write"), decisions=[over], notice=notice)
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


def test_an_event_that_says_its_consent_twice_refuses_everything(
    server: TestClient, write_key: str, sessions: Sessions
) -> None:
    no, yes = (b'{"categoryPreferences":{"marketing.email":%b}}' % w for w in (b"false", b"true"))
    body = (
        b'{"type":"track","event":"Seen","userId":"twice","context":{"consent":%b},'
        b'"context":{"consent":%b}}' % (no, yes)
    )
    sent = b'{"writeKey":"%b","batch":[%b]}' % (write_key.encode(), body)
    assert server.post("/v1/batch", content=sent).json()["accepted"] == 1
    with sessions() as session:
        [refused] = session.scalars(sa.text("SELECT refused FROM app.event")).all()
        records = session.scalars(sa.text("SELECT state FROM consent.record")).all()
    assert {"marketing.email", "profile.link", "analytics.audience"} <= set(refused)
    assert records == []
