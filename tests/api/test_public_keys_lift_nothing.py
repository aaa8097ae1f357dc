"""A write key stands in every page: what a stranger sends with it lifts nobody's withdrawal."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.consents.record import record
from app.db import Sessions
from tests.api.site import OFFICER, PREFERENCE, Site, Token

PURPOSE = "analytics.audience"
Make = Callable[..., Site]


@pytest.fixture
def make(server: TestClient, sessions: Sessions, token: Token) -> Make:
    return lambda **settings: Site(server, sessions, token(*OFFICER), **settings)


def withdraw(site: Site, *, by: str = "client:preference-centre", user: str = "") -> None:
    with site.sessions.begin() as session:
        record(session, "user_id", user or site.user, {PURPOSE: "withdrawn"}, collected_by=by,
               received_at=datetime.now(UTC))  # fmt: skip


def grants(site: Site, **event: Any) -> None:
    """A grant in the person's name by each way that a write key has."""
    yes = {"consent": {"categoryPreferences": {"Analytics": True}}}
    site.send(yes, anonymousId="stranger", **event)
    site.send(yes, event=PREFERENCE, anonymousId="stranger", **event)
    said = site.say(decisions=[{"purpose": PURPOSE, "state": "given"}],
                    evidence={"server_side": True, "claimed": False})  # fmt: skip
    assert said.status_code == 200


def test_a_stranger_with_a_pages_key_lifts_no_withdrawal_made_elsewhere(make: Make) -> None:
    site = make()
    site.send()
    withdraw(site)
    grants(site)
    found = site.decide(PURPOSE)
    assert (found["allow"], found["reason"]) == (False, "refused")
    assert "given" in {r["state"] for r in site.records()}, "what was said is kept"


def test_whichever_of_them_arrives_first(make: Make) -> None:
    site = make()
    site.send()
    grants(site)
    assert site.decide(PURPOSE)["allow"]
    with site.sessions.begin() as session:
        record(session, "user_id", site.user, {PURPOSE: "withdrawn"}, collected_by="request:1",
               received_at=datetime.now(UTC),
               effective_at=datetime.now(UTC) - timedelta(hours=1))  # fmt: skip
    assert not site.decide(PURPOSE)["allow"]


def test_a_source_whose_key_is_kept_on_servers_lifts_it(make: Make) -> None:
    site = make(server_side=True)
    site.send()
    withdraw(site)
    site.choose({"Analytics": True})
    assert site.decide(PURPOSE)["allow"]


def test_a_page_takes_back_what_a_page_said_and_a_device_speaks_for_itself(make: Make) -> None:
    site = make()
    site.choose({"Analytics": False})
    assert not site.decide(PURPOSE)["allow"]
    site.choose({"Analytics": True})
    assert site.decide(PURPOSE)["allow"]
    device = {"userId": None, "anonymousId": "d-of-their-own"}
    site.send(
        {"consent": {"categoryPreferences": {"Analytics": False}}}, event=PREFERENCE, **device
    )
    site.send({"consent": {"categoryPreferences": {"Analytics": True}}}, event=PREFERENCE, **device)
    assert site.decide(PURPOSE, "anonymous_id:d-of-their-own")["allow"]


def test_a_page_speaks_for_no_account_over_its_devices(
    make: Make, sessions: Sessions, server: TestClient, token: Token
) -> None:
    site = make()
    ref = {"key": "account", "version": 1, "language": "en"}
    notice = {
        **ref,
        "purposes": ["content.personalised"],
        "body": "All of them",
        "scope": "account",
    }
    assert server.post("/v1/notices", json=notice, headers=site.officer).status_code == 201
    decisions = [{"purpose": "content.personalised", "state": "given"}]
    assert site.say(decisions=decisions, notice=ref).status_code == 200
    assert [r["notice"]["account_wide"] for r in site.records()] == [False]
    body = {"subject": {"namespace": "user_id", "value": site.user}, "decisions": decisions,
            "notice": ref}  # fmt: skip
    headers = token("consents:write")
    assert server.post("/v1/consents", json=body, headers=headers).status_code == 200
    assert [r["notice"]["account_wide"] for r in site.records()] == [False, True]
