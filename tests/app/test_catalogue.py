"""The catalogue over the API: versions in effect, the tree, proof of partners, demands."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

import consent
from app import pipeline, turning
from app.consents.permission import permissions
from app.db import Sessions

Header = dict[str, str]


class Officer:
    """A privacy officer at the API, and somebody called Ada."""

    def __init__(self, server: TestClient, header: Header, sessions: Sessions) -> None:
        self.server, self.header, self.sessions = server, header, sessions

    def add(self, key: str, version: int = 1, **more: Any) -> int:
        body = {"key": key, "version": version, **more}
        return self.server.post("/v1/purposes", json=body, headers=self.header).status_code

    def say(self, state: str, *purposes: str, who: str = "user_id:ada", **more: Any) -> list[Any]:
        namespace, _, value = who.partition(":")
        body = {
            "subject": {"namespace": namespace, "value": value},
            "decisions": [{"purpose": p, "state": state} for p in purposes],
            **more,
        }
        answer = self.server.post("/v1/consents", json=body, headers=self.header)
        answer.raise_for_status()
        records: list[Any] = answer.json()["records"]
        return records

    def work(self) -> None:
        with self.sessions.begin() as session:
            turning.look(session)
            while pipeline.step(session).more:
                pass

    def ask(self, purpose: str, who: str = "user_id:ada", **when: str) -> dict[str, Any]:
        self.work()
        query = {"subject": who, "purpose": purpose, **when}
        answer = self.server.get("/v1/consents/decision", params=query, headers=self.header)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def demand(self, kind: str, purpose: str | None = None) -> None:
        with self.sessions.begin() as session:
            session.execute(
                sa.text(
                    "INSERT INTO consent.restriction (namespace, value, kind, purpose_key, "
                    "from_at, reason_ref) VALUES ('user_id', 'ada', :kind, :purpose, now(), 'test')"
                ),
                {"kind": kind, "purpose": purpose},
            )


@pytest.fixture
def officer(server: TestClient, token: Callable[..., Header], sessions: Sessions) -> Officer:
    return Officer(server, token(), sessions)


def test_34_a_version_that_renews_makes_earlier_grants_stale_from_its_time_on(
    officer: Officer,
) -> None:
    assert officer.add("news.weekly", title={"en": "Weekly"}) == 201
    officer.say("given", "news.weekly")
    assert officer.ask("news.weekly")["reason"] == "given"
    assert officer.add("news.weekly", 2, title={"en": "Every week"}) == 201
    assert officer.ask("news.weekly")["reason"] == "given", "only the text changed"
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    later = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    assert officer.add("news.weekly", 3, renews=True, effective_from=tomorrow) == 201
    assert officer.ask("news.weekly")["reason"] == "given", "its time has not come"
    then = officer.ask("news.weekly", at=later, known_at=later)
    assert (then["allow"], then["reason"]) == (False, "stale_notice")
    assert officer.add("news.weekly", 4, renews=True) == 201
    assert officer.ask("news.weekly")["reason"] == "stale_notice"
    officer.say("given", "news.weekly")
    assert officer.ask("news.weekly")["reason"] == "given"


def test_what_old_grants_cover_is_not_widened_to_special_categories_behind_them(
    officer: Officer,
) -> None:
    def covering(version: int, *categories: str, explicit: bool = True, **more: Any) -> int:
        declared = {"special_categories": list(categories)}
        return officer.add("care.advice", version, explicit=explicit, declared=declared, **more)

    assert covering(1, "health") == 201
    officer.say("given", "care.advice")
    assert covering(2, "health", "religion") == 422
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert covering(2, "health", "religion", renews=True, effective_from=tomorrow) == 201
    assert covering(3, "religion") == 422, "today the version that renews decides nothing"
    assert covering(3, "health", effective_from=tomorrow) == 201
    assert covering(4, effective_from=tomorrow) == 201, "less is no widening"
    assert covering(5, "health", effective_from=tomorrow) == 422, "who agreed to version 4 did not"
    assert officer.ask("care.advice")["reason"] == "given"
    assert covering(5, "health", "religion", renews=True) == 201
    assert officer.ask("care.advice")["reason"] == "stale_notice"

    assert officer.add("care.survey", declared={"special_categories": ["health"]}) == 201
    assert officer.add("care.survey", 2, explicit=True) == 422, "nobody agreed explicitly"
    assert officer.add("care.survey", 2, explicit=True, renews=True) == 201
    assert officer.add("care.survey", 3, explicit=True) == 201
    body = {"key": "care.advice", "version": 6, "explicit": True,
            "declared": {"special_categories": ["health", "religion", "union"]}}  # fmt: skip
    said = officer.server.post("/v1/purposes", json=body, headers=officer.header).json()["detail"]
    assert "union" in said
    assert "renews" in said
    assert "religion" not in said
    fraud = {"lawful_basis": "legitimate_interests", "declared": {"special_categories": ["health"]}}
    assert officer.add("fraud.check", lawful_basis="legitimate_interests") == 201
    assert officer.add("fraud.check", 2, **fraud) == 201, "there are no grants to widen"


def test_a_stale_or_lapsed_grant_of_profile_link_joins_nobody_any_more(officer: Officer) -> None:
    officer.say("given", "profile.link", "marketing.email")
    officer.work()

    def link() -> str:
        with officer.sessions() as session:
            query = "SELECT link_consent FROM identity.identifier WHERE value = 'ada'"
            return str(session.scalar(sa.text(query)))

    assert link() == "given"
    assert officer.add("profile.link", 2, renews=True) == 201
    officer.work()
    assert link() == "unknown"
    officer.say("given", "profile.link")
    officer.work()
    assert link() == "given"
    officer.demand("restriction")
    officer.work()
    assert link() == "given", "it stops matching, and takes nothing apart"


@pytest.mark.parametrize(
    "wider", ["explicit = true", """declared = '{"special_categories": ["health"]}'"""]
)
def test_so_it_is_when_a_version_takes_effect_that_covers_more_and_does_not_say_so(
    officer: Officer, wider: str
) -> None:
    """Versions from before that was refused: each renews when it takes effect."""
    officer.say("given", "profile.link", "marketing.email")
    officer.work()
    assert officer.add("profile.link", 2) == 201
    widened = f"UPDATE consent.purpose SET {wider} WHERE key = 'profile.link' AND version = 2"  # noqa: S608 -- of ours

    def link() -> str:
        officer.work()
        with officer.sessions() as session:
            query = "SELECT link_consent FROM identity.identifier WHERE value = 'ada'"
            return str(session.scalar(sa.text(query)))

    with officer.sessions.begin() as session:
        session.execute(sa.text("SET LOCAL session_replication_role = replica"))
        session.execute(sa.text(widened))
    assert officer.ask("profile.link")["reason"] == "stale_notice"
    assert link() == "unknown"


def waits(sessions: Sessions, thread: threading.Thread) -> bool:
    """Say whether the thread comes to wait for the catalogue, rather than to its end."""
    waiting = sa.text(
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
        "WHERE NOT l.granted AND d.datname = current_database() "
        "AND l.relation = CAST('consent.purpose' AS regclass)"
    )
    with sessions() as session:
        while thread.is_alive():
            if session.scalar(waiting):
                return True
            session.rollback()
    return False


def test_a_version_that_is_added_while_it_is_looked_whom_one_concerns_is_not_missed(
    officer: Officer,
) -> None:
    officer.say("given", "marketing.email")
    officer.work()
    found: list[int] = []

    def look() -> None:
        with officer.sessions.begin() as session:
            found.append(turning.look(session))

    looking = threading.Thread(target=look)
    with officer.sessions.begin() as session:
        since = consent.catalogue.lock(session)
        looking.start()
        assert waits(officer.sessions, looking)
        known = consent.catalogue.purpose(session, "marketing.email")
        new = replace(known, version=known.version + 1, renews=True, effective_from=since)
        consent.catalogue.add_purpose(session, new)
    looking.join(20)
    assert found == [1]


def test_and_takes_effect_after_who_looked_before(officer: Officer) -> None:
    adding = threading.Thread(target=officer.add, args=("news.daily",))
    with officer.sessions.begin() as session:
        consent.catalogue.hold(session)  # as who looks does
        adding.start()
        assert waits(officer.sessions, adding)
        looked = session.scalars(sa.select(sa.func.clock_timestamp())).one()
    adding.join(20)
    with officer.sessions() as session:
        assert consent.catalogue.purpose(session, "news.daily").effective_from > looked


def test_a_refusal_goes_down_the_tree_and_a_grant_does_not(officer: Officer) -> None:
    officer.say("given", "marketing")
    assert officer.ask("marketing.email")["reason"] == "unknown"
    officer.say("given", "marketing.email", "marketing.sms")
    officer.say("withdrawn", "marketing")
    assert officer.ask("marketing.email")["reason"] == "withdrawn"
    officer.say("given", "marketing.email")
    assert officer.ask("marketing.email")["reason"] == "given", "asked anew, and specifically"
    assert officer.ask("marketing.sms")["reason"] == "withdrawn"
    assert officer.add("marketing.post", parent="marketing", direct_marketing=True) == 201
    assert officer.ask("marketing.post")["reason"] == "withdrawn", "as if it had been there"


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({"key": "a.b", "parent": "no.such"}, 422),
        ({"key": "a.b", "parent": "a.b"}, 422),
        ({"key": "a.b", "effective_from": "2020-01-01T00:00:00Z"}, 422),
        ({"key": "a.b", "effective_from": "2150-01-01T00:00:00Z"}, 422),
        ({"key": "a.b", "effective_from": "9999-12-31T23:59:59-14:00"}, 422),
        ({"key": "a.b", "regime": "us_optout"}, 422),
        ({"key": "a.b", "adult_only": True}, 422),  # misspelt, it was for children for ever
        ({"key": "a.b", "declared": {"dpia_required": True}}, 422),
        ({"key": "a.b", "declared": {"dpia_required": True, "dpia_ref": "DPIA-7"}}, 201),
        ({"key": "a.b", "regime": "us_optout", "lawful_basis": "legitimate_interests"}, 201),
        ({"key": "marketing", "version": 2, "parent": "marketing.email"}, 422),
        ({"key": "marketing", "version": 1}, 409),
        ({"key": "marketing", "version": 2, "lawful_basis": "contract"}, 409),
    ],
)
def test_87_a_purpose_that_cannot_be_is_refused(
    officer: Officer, wanted: dict[str, Any], status: int
) -> None:
    body = {"version": 1, **wanted}
    answer = officer.server.post("/v1/purposes", json=body, headers=officer.header)
    assert answer.status_code == status
    if status != 201:
        assert answer.headers["content-type"] == "application/problem+json"


def test_62_what_a_partner_collected_needs_proof(officer: Officer) -> None:
    officer.say("given", "marketing.email", partner={"name": "Partner SA"})
    assert officer.ask("marketing.email")["reason"] == "unproven"
    officer.say("given", "marketing.email", partner={"name": "Partner SA", "proof": {"id": "r1"}})
    assert officer.ask("marketing.email")["reason"] == "given"


def test_63_a_notice_that_nobody_proves_to_have_been_shown_is_marked(officer: Officer) -> None:
    asked = ["ads.share", "ads.basic"]
    notice = {"key": "banner", "version": 1, "language": "fr", "body": "Nous …", "purposes": asked}
    officer.server.post("/v1/notices", json=notice, headers=officer.header).raise_for_status()
    ref = {"key": "banner", "version": 1, "language": "fr"}
    officer.say("given", "ads.share", notice=ref)
    officer.say("given", "ads.basic", notice=ref, evidence={"served_notice_id": "s-1"})
    answer = officer.server.get(
        "/v1/consents", params={"subject": "user_id:ada"}, headers=officer.header
    )
    marks = {r["purpose"]: r["evidence"].get("notice_not_proven") for r in answer.json()["data"]}
    assert marks == {"ads.share": True, "ads.basic": None}
    report = officer.server.get("/v1/consents/evidence", headers=officer.header).json()
    assert report["notice_not_proven"] == 1
    assert report["records"] == 2


def test_37_an_account_answers_for_its_devices_only_on_a_notice_that_says_so(
    officer: Officer,
) -> None:
    assert officer.add("layout.choice", mode="latest_explicit") == 201
    notice = {"key": "account", "version": 1, "language": "en", "body": "…", "scope": "account",
              "purposes": ["layout.choice"]}  # fmt: skip
    officer.server.post("/v1/notices", json=notice, headers=officer.header).raise_for_status()
    ref = {"key": "account", "version": 1, "language": "en"}
    officer.say("given", "layout.choice", notice=ref)
    with officer.sessions() as session:
        found = session.execute(sa.text("SELECT notice FROM consent.record")).scalar_one()
    assert found["account_wide"] is True
    officer.say("given", "layout.choice", who="anonymous_id:d1", notice=ref)
    with officer.sessions() as session:
        query = "SELECT notice FROM consent.record WHERE namespace = 'anonymous_id'"
        assert session.execute(sa.text(query)).scalar_one()["account_wide"] is False


def test_what_is_granted_on_a_notice_is_what_it_asks_for(officer: Officer) -> None:
    notice = {"key": "mail", "version": 1, "language": "en", "body": "…", "purposes": ["marketing"]}
    officer.server.post("/v1/notices", json=notice, headers=officer.header).raise_for_status()
    ref = {"key": "mail", "version": 1, "language": "en"}
    officer.say("refused", "profile.link")

    def answer(purpose: str, state: str) -> Any:
        body = {
            "subject": {"namespace": "user_id", "value": "ada"},
            "decisions": [{"purpose": purpose, "state": state}],
            "notice": ref,
        }
        return officer.server.post("/v1/consents", json=body, headers=officer.header)

    beyond = answer("ads.share", "given")
    assert (beyond.status_code, beyond.json()["detail"]) == (
        422, "mail asks for marketing, not for ads.share",
    )  # fmt: skip
    assert officer.ask("ads.share")["reason"] == "unknown"
    assert answer("marketing.email", "given").status_code == 200, "it lies below what is asked"
    assert officer.ask("marketing.email")["reason"] == "given"
    assert answer("ads.share", "refused").status_code == 200, "nobody has to ask for a refusal"


def test_who_says_two_things_of_one_purpose_has_said_neither(officer: Officer) -> None:
    officer.say("refused", "profile.link")
    decisions = [{"purpose": "ads.share", "state": state} for state in ("refused", "given")]
    body = {"subject": {"namespace": "user_id", "value": "ada"}, "decisions": decisions}
    for said in (decisions, decisions[::-1]):
        answer = officer.server.post(
            "/v1/consents", json=body | {"decisions": said}, headers=officer.header
        )
        assert answer.status_code == 422
        assert "ads.share" in answer.text
    assert officer.ask("ads.share")["reason"] == "unknown"


def test_of_equal_versions_at_once_one_is_added(officer: Officer) -> None:
    notice = {"key": "n", "version": 1, "language": "en", "body": "…", "purposes": ["ads.share"]}
    for path, body in (("/v1/purposes", {"key": "a.b", "version": 1}), ("/v1/notices", notice)):
        odd = officer.server.post(path, json={**body, "scop": "account"}, headers=officer.header)
        assert odd.status_code == 422
        with ThreadPoolExecutor(8) as pool:
            made = [
                pool.submit(officer.server.post, path, json=body, headers=officer.header)
                for _ in range(8)
            ]
        assert sorted(one.result().status_code for one in made) == [201] + [409] * 7


def test_52_and_53_a_demand_stops_what_it_concerns_on_every_path(officer: Officer) -> None:
    officer.say("given", "marketing.email", "analytics.audience")
    officer.demand("objection_marketing")
    assert officer.ask("marketing.email")["reason"] == "objection"
    assert officer.ask("analytics.audience")["reason"] == "given"
    officer.demand("restriction")
    assert officer.ask("analytics.audience")["reason"] == "restricted"
    assert officer.ask("service.operation")["reason"] == "restricted"
    with officer.sessions.begin() as session:  # it was set, and then the clock was set back
        session.execute(sa.text("UPDATE consent.restriction SET from_at = now() + interval '1 h'"))
    assert officer.ask("marketing.email")["reason"] == "restricted"
    with officer.sessions() as session:
        assert {p.reason for p in permissions(session, "marketing.email")} == {"restricted"}
    profile = officer.server.get(
        "/v1/profiles/user_id:ada",
        params={"purpose": "analytics.audience"},
        headers=officer.header,
    )
    assert profile.status_code == 403 or profile.json()["withheld"][0]["reason"] == "restricted"


def test_88_data_of_exempt_measurement_are_counted_and_never_read(officer: Officer) -> None:
    more: dict[str, Any] = {"lawful_basis": "legitimate_interests", "regime": "exempt_measurement"}
    assert officer.add("audience.exempt", linkable=False, **more) == 201
    officer.say("given", "marketing.email")
    officer.work()
    with officer.sessions() as session:
        [read] = permissions(session, "audience.exempt")
        [counted] = permissions(session, "audience.exempt", use="analyse")
    assert (read.allowed, read.reason) == (False, "not_linkable")
    assert counted.allowed
