"""Children agree to nothing alone, over HTTP (research/consent.md section 3, check 88)."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app import pipeline
from app.access import sources
from app.consents.permission import permissions
from app.db import Sessions
from consent.ages import spans

Token = Callable[..., dict[str, str]]
CHILD = {"namespace": "user_id", "value": "kim"}
AGREED = ("analytics.audience", "profile.ads", "profile.link")
GIVEN = {"consent": {"categoryPreferences": dict.fromkeys(AGREED, True)}}


class Office:
    """A privacy office at work: what it asks and states."""

    def __init__(self, server: TestClient, sessions: Sessions, token: Token) -> None:
        self.server, self.sessions = server, sessions
        self.client = token("consents:read", "consents:write", "profiles:read")
        with sessions.begin() as session:
            self.key = sources.add(session, "web")[1]
            self.strict = sources.add(session, "s", collection_purpose="analytics.audience")[1]

    def send(self, key: str, **message: Any) -> list[str]:
        answer = self.server.post("/v1/track", json={"event": "Seen", **message, "writeKey": key})
        self.work()
        return [one["code"] for one in answer.json()["rejected"]]

    def work(self) -> None:
        while True:
            with self.sessions.begin() as session:
                if pipeline.step(session).idle:
                    return

    def matchable(self) -> set[str]:
        with self.sessions() as session:
            return set(
                session.scalars(
                    sa.text(
                        "SELECT i.value FROM identity.matchable m "
                        "JOIN identity.identifier i ON i.id = m.identifier_id"
                    )
                )
            )

    def state(self, **age: Any) -> int:
        body = {"subject": "user_id:kim", **age}
        return self.server.put("/v1/ages", json=body, headers=self.client).status_code

    def reason(self, purpose: str, subject: str = "user_id:kim") -> str:
        answer = self.server.get(
            "/v1/consents/decision",
            params={"subject": subject, "purpose": purpose},
            headers=self.client,
        )
        return str(answer.json()["reason"])

    def agree(self, *, with_key: bool = False, **more: Any) -> Any:
        body = {
            "subject": CHILD,
            "decisions": [{"purpose": "analytics.audience", "state": "given"}],
            **more,
        }
        if with_key:
            return self.server.post("/v1/consents", json=body, auth=(self.key, ""))
        return self.server.post("/v1/consents", json=body, headers=self.client)


GUARDIAN: dict[str, Any] = {"guardian": {"verified_by": "a letter to the parent"}}


def test_88_a_child_without_a_guardian_is_denied_every_purpose_on_consent(
    server: TestClient, sessions: Sessions, token: Token
) -> None:
    office = Office(server, sessions, token)
    seen = {"userId": "kim", "anonymousId": "d-1", "context": GIVEN}
    assert office.send(office.strict, **seen) == []
    assert office.reason("analytics.audience") == "given"
    told = {"userId": "kim", "traits": {"first_name": "Kim", "last_name": "Doe", "city": "Lyon"}}
    server.post("/v1/identify", json={**told, "context": GIVEN, "writeKey": office.key})
    office.work()
    assert "kim" in office.matchable()
    assert office.agree(**GUARDIAN).status_code == 409  # nobody said that this is a child
    today = datetime.now(UTC).date()
    born = today.replace(year=today.year - 12, day=1)

    assert office.state(born=born.isoformat(), country="FR") == 200

    for purpose in ("analytics.audience", "marketing.email", "profile.link"):
        assert office.reason(purpose) == "guardian_needed"
    assert office.reason("analytics.audience", "anonymous_id:d-1") == "guardian_needed"
    assert office.reason("profile.ads") == "underage"
    assert office.reason("service.operation") == "lawful_basis:contract"
    assert office.send(office.strict, **seen) == ["consent_denied"]
    assert office.agree().status_code == 409  # the child alone
    assert office.agree(with_key=True, **GUARDIAN).status_code == 403
    forged = office.agree(
        with_key=True,
        subject={"namespace": "anonymous_id", "value": "d-1"},
        evidence={"expressed_by": "guardian"},
    )
    assert forged.status_code == 200
    assert office.reason("analytics.audience") == "guardian_needed"

    office.work()
    assert office.matchable() == set()  # E3: compared with nobody
    answer = office.agree(**GUARDIAN)
    assert answer.status_code == 200, answer.text
    link = [{"purpose": "profile.link", "state": "given"}]
    assert office.agree(**GUARDIAN, decisions=link).status_code == 200
    office.work()
    assert "kim" in office.matchable()
    assert office.reason("analytics.audience") == "given"
    assert office.send(office.strict, **seen) == []
    listed = server.get(
        "/v1/consents", params={"subject": "user_id:kim"}, headers=office.client
    ).json()["data"]
    theirs, _ = [r for r in listed if r["evidence"].get("expressed_by") == "guardian"]
    ends = datetime.fromisoformat(theirs["valid_until"])
    [child, teen] = server.get(
        "/v1/ages", params={"subject": "user_id:kim"}, headers=office.client
    ).json()["data"]
    assert (child["band"], teen["band"]) == ("child", "teen")
    assert ends <= datetime.fromisoformat(child["to"])
    assert "born" not in str(child)

    assert office.state(band="teen") == 200
    assert office.reason("profile.ads") == "underage"
    assert office.state(band="adult") == 200
    assert office.reason("profile.ads") == "given"
    assert office.state(band="child", born="2015-01-01") == 422
    assert office.state(born="1815-12-10") == office.state() == 422
    unborn = today + timedelta(days=2)
    assert office.state(born=unborn.isoformat()) == 422


@pytest.mark.parametrize("band", ["teen", "adult"])
def test_88_what_a_guardian_agreed_to_ends_with_a_childhood_of_which_no_end_was_stated(
    server: TestClient, sessions: Sessions, token: Token, band: str
) -> None:
    office = Office(server, sessions, token)
    assert office.send(office.key, userId="kim") == []
    assert office.state(band="child") == 200
    agreed = [{"purpose": p, "state": "given"} for p in ("analytics.audience", "profile.link")]
    assert office.agree(**GUARDIAN, decisions=agreed).status_code == 200
    office.work()

    def link() -> str:
        query = "SELECT link_consent FROM identity.identifier WHERE value = 'kim'"
        with sessions() as session:
            return str(session.scalar(sa.text(query)))

    def allowed() -> list[tuple[bool, str]]:
        with sessions() as session:
            return [(p.allowed, p.reason) for p in permissions(session, "analytics.audience")]

    assert (office.reason("analytics.audience"), allowed()) == ("given", [(True, "given")])
    assert link() == "given"

    assert office.state(band=band) == 200

    assert office.reason("analytics.audience") == office.reason("profile.link") == "expired"
    assert allowed() == [(False, "expired")]
    assert office.send(office.strict, userId="kim") == ["consent_denied"]
    assert link() == "unknown"
    assert office.agree(decisions=agreed).status_code == 200  # by who is no child any more
    office.work()
    assert (office.reason("analytics.audience"), allowed()) == ("given", [(True, "given")])
    assert link() == "given"


def test_88_what_was_stated_of_an_age_is_in_the_ledger_and_readable_by_nobody_else(
    server: TestClient, sessions: Sessions, token: Token
) -> None:
    office = Office(server, sessions, token)
    for age in ({"band": "child"}, {"band": "adult"}):  # what an operator who cheats would state
        body = {"subject": "user_id:kim", **age}
        answer = server.put("/v1/ages", json=body, headers=office.client).json()
        with sessions() as session:
            said = session.execute(
                sa.text(
                    "SELECT kind, public, namespace, value, CAST(body AS jsonb) AS body "
                    "FROM consent.ledger_statement WHERE about = CAST(:about AS uuid)"
                ),
                {"about": answer["entry_id"]},
            ).one()
        assert (said.kind, said.public) == ("admin", {"act": "age_stated"})
        assert (said.namespace, said.value) == ("user_id", "kim")
        assert [one["band"] for one in said.body["bands"]] == ["child"] * (age["band"] == "child")
        assert said.body["stated_by"].startswith("client:")


@pytest.mark.parametrize(
    ("born", "country", "bands"),
    [
        (date(2012, 6, 1), "ES", [("child", date(2026, 6, 1)), ("teen", date(2030, 6, 1))]),
        (date(2012, 6, 1), "XX", [("child", date(2028, 6, 1)), ("teen", date(2030, 6, 1))]),
        (date(2012, 2, 29), "EE", [("teen", date(2030, 3, 1))]),
        (date(2008, 5, 31), "DE", [("teen", date(2026, 5, 31))]),
        (date(2008, 5, 1), "DE", []),
    ],
)
def test_bands_end_on_birthdays_by_the_law_of_the_country(
    born: date, country: str, bands: list[tuple[str, date]]
) -> None:
    at = datetime(2026, 5, 2, tzinfo=UTC)
    found = spans(born, country, at=at)
    assert [(s.band, s.to_at.date()) for s in found if s.to_at] == bands
    assert all(a.to_at == b.from_at for a, b in pairwise(found))
    assert not found or found[0].from_at - at < timedelta(1)
