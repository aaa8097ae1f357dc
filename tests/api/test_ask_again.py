"""Whoever said no is left in peace for a while (research/consent.md 2.10)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

import consent
from app.db import Sessions
from tests.api.site import OFFICER, Site, Token


@pytest.fixture
def site(server: TestClient, sessions: Sessions, token: Token) -> Site:
    return Site(server, sessions, token(*OFFICER))


def test_a_decision_says_until_when_who_refused_is_not_to_be_asked_again(
    site: Site, token: Token
) -> None:
    client = token("consents:write")
    no = datetime.now(UTC) - timedelta(days=3)

    def say(state: str, at: datetime) -> None:
        decisions = [{"purpose": "marketing.email", "state": state}]
        said = site.say(client, decisions=decisions, effective_at=at.isoformat())
        assert said.status_code == 200, said.text

    def not_before() -> Any:
        return site.decide("marketing.email")["do_not_ask_before"]

    site.send()
    assert not_before() is None, "nobody has asked yet"
    say("refused", no)
    assert not_before() == (no + timedelta(days=180)).isoformat()
    with site.sessions.begin() as session:
        known = consent.catalogue.purpose(session, "marketing.email")
        new = replace(
            known,
            version=known.version + 1,
            effective_from=datetime.now(UTC),
            declared={**known.declared, "ask_again_days": 30},
        )
        consent.catalogue.add_purpose(session, new)
    assert not_before() == (no + timedelta(days=30)).isoformat()
    say("given", datetime.now(UTC))
    assert not_before() is None
