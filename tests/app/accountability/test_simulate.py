"""Simulations say what the product then does, and write nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

import consent
from app.accountability.change import Change
from app.accountability.simulate import simulate
from app.consents.permission import permissions
from app.db import read_only
from app.destinations import outbox, portions, registry
from app.destinations.tables import Delivery
from app.profiles.tables import Trait
from app.segments import members, refreshing
from consent import Choice, restrictions
from consent.errors import NoticeNotFound, PurposeNotFound
from identity import graph
from tests.app.test_permission import PURPOSES, Population

NOW = datetime.now(UTC)
EMAIL = "marketing.email"
TABLES = (
    "consent.purpose", "consent.notice", "consent.record", "consent.denial", "consent.restriction",
    "identity.identifier", "app.segment", "app.segment_member", "app.destination", "app.delivery",
    "app.change", "app.touched",
)  # fmt: skip


def contents(session: Session) -> dict[str, str | None]:
    """Return a digest of every table that a simulation looks at."""
    return {
        table: session.scalar(
            sa.text(f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t")  # noqa: S608 -- names of tables of our own
        )
        for table in TABLES
    }


def ask(session: Session, named_for: str | None = None, **change: Any) -> dict[str, Any]:
    """Simulate, and demand that nothing was written."""
    before = contents(session)
    answer = simulate(session, Change.model_validate(change), at=NOW, named_for=named_for)
    assert contents(session) == before
    return answer


def people(session: Session, said: dict[str, str | None], **more: Any) -> dict[str, int]:
    """People of one identifier each, who said this about e-mail."""
    ids = graph.identify(session, [("user_id", name) for name in said])
    graph.settle(session, list(ids.values()))
    choices = [
        Choice("user_id", name, EMAIL, state, NOW - timedelta(days=400), "test", **more)
        for name, state in said.items()
        if state
    ]
    consent.record(session, choices, received_at=NOW - timedelta(hours=1))
    return {name: ids["user_id", name] for name in said}


def buyers(session: Session, ids: dict[str, int]) -> None:
    """A segment whose rule everybody who ever bought meets, and a destination that hears of it."""
    traits = [
        {
            "identifier_id": identifier, "key": "bought", "refused": [], "value": True,
            "occurred_at": NOW, "received_at": NOW, "event_id": identifier, "message_id": name,
            "source_id": 1,
        }
        for name, identifier in ids.items()
    ]  # fmt: skip
    session.execute(sa.insert(Trait), traits)
    rule = {"trait": "bought", "op": "eq", "value": True}
    segment = members.create(session, key="buyers", name="Buyers", purpose=EMAIL, rule=rule)
    refreshing.refresh(session, [segment], now=NOW)[0]


@pytest.fixture
def shop(session: Session) -> dict[str, int]:
    """Four who agreed, two who refused, three who were never asked; all of them bought."""
    said: dict[str, str | None] = {f"yes-{n}": "given" for n in range(4)}
    said |= {"no-0": "refused", "no-1": "refused", "x-0": None, "x-1": None, "x-2": None}
    ids = people(session, said)
    buyers(session, ids)
    return ids


def listening(session: Session) -> Any:
    """A destination of the buyers, which has been told of all of them."""
    crm = registry.create(
        session, name="crm", url="https://crm.test/", purpose=EMAIL, segment_keys=["buyers"]
    )
    portions.run(session)
    return crm


def queued(session: Session, kind: str) -> int:
    query = sa.select(sa.func.count()).where(Delivery.type == kind)
    return session.scalar(query) or 0


def test_a_version_that_renews_does_what_the_simulation_said(
    session: Session, shop: dict[str, int]
) -> None:
    listening(session)
    assert queued(session, "segment.entered") == 4
    answer = ask(session, purpose={"key": EMAIL, "renews": True})
    [found] = answer["purposes"]
    assert answer["refused"] is None
    assert found["now"] == {
        "allowed": 4, "denied": 5, "by_reason": {"given": 4, "refused": 2, "unknown": 3},
    }  # fmt: skip
    assert found["then"]["by_reason"] == {"refused": 2, "stale_notice": 4, "unknown": 3}
    assert (found["newly_allowed"], found["newly_denied"]) == (0, 4)
    assert found["changes"] == [
        {"from": "given", "to": "stale_notice", "allowed": False, "people": 4}
    ]
    assert found["segments"] == [
        {"segment": "buyers", "now": 4, "then": 0, "entering": 0, "leaving": 4}
    ]
    assert found["sends"] == [
        {"destination": "crm", "segment": "buyers", "segment.entered": 0, "segment.exited": 4}
    ]
    assert found["what_would_have_leaked"] == {"people": 3, "by_reason": {"unknown": 3}}

    new = consent.Purpose(EMAIL, version=2, renews=True, valid_days=395, parent="marketing")
    consent.catalogue.add_purpose(session, new)
    delta = refreshing.refresh(session, [members.find(session, "buyers")], now=NOW)[0]
    outbox.enqueue(session, delta, now=NOW)
    assert len(delta.left) == 4
    assert queued(session, "segment.exited") == 4
    reasons = [p.reason for p in permissions(session, EMAIL)]
    assert {r: reasons.count(r) for r in set(reasons)} == found["then"]["by_reason"]


def test_a_new_destination_is_told_of_as_many_as_the_simulation_said(
    session: Session, shop: dict[str, int]
) -> None:
    answer = ask(session, destination={"purpose": EMAIL, "segments": ["buyers"]})
    [segment] = answer["destination"]["segments"]
    assert segment == {
        "segment": "buyers", "sends": 4, "denied": {"unknown": 3}, "fail_open": 7,
    }  # fmt: skip
    assert answer["what_would_have_leaked"] == {"people": 3, "by_reason": {"unknown": 3}}
    listening(session)
    assert queued(session, "segment.entered") == answer["destination"]["sends"] == 4


def test_every_rule_of_a_purpose_is_simulated_as_the_product_decides_it(session: Session) -> None:
    """On random histories: the counts of each proposed version are those after it was added."""
    Population(session, 7, people=300)
    total = len({p.person_id for p in permissions(session, PURPOSES[0].key)})
    changes: tuple[dict[str, Any], ...] = (
        {"renews": True},
        {"mode": "per_identifier"},
        {"mode": "latest_explicit"},
        {"explicit": True, "renews": True},
        {"direct_marketing": True},
        {"linkable": False},
    )
    seen = set()
    for purpose in PURPOSES[::2]:
        for change in changes:
            [found] = ask(session, purpose={"key": purpose.key, **change})["purposes"]
            seen |= found["then"]["by_reason"].keys()
            with session.begin_nested() as savepoint:
                now = consent.catalogue.purpose(session, purpose.key)
                said = {"renews": False, **change}
                version = consent.catalogue.versions(session, purpose.key)[-1].version + 1
                consent.catalogue.add_purpose(session, _next(now, version, said))
                people: dict[int, list[bool]] = {}
                for one in permissions(session, purpose.key):
                    people.setdefault(one.person_id, []).append(one.allowed)
                allowed = sum(any(said) for said in people.values())
                savepoint.rollback()
            if change != {"linkable": False}:  # there permissions counts identifiers
                assert (found["then"]["allowed"], found["then"]["denied"]) == (
                    allowed, total - allowed,
                ), (purpose.key, change)  # fmt: skip
            else:
                assert found["then"]["allowed"] == allowed == 0
            assert (
                found["now"]["allowed"] + found["newly_allowed"] - found["newly_denied"]
                == (found["then"]["allowed"])
            )
    assert {"stale_notice", "objection", "not_linkable", "probable_link"} <= seen


def _next(now: consent.Purpose, version: int, said: dict[str, Any]) -> consent.Purpose:
    fields = {name: getattr(now, name) for name in consent.catalogue.COLUMNS}
    return consent.Purpose(**{**fields, "version": version, "effective_from": NOW, **said})


def test_a_new_purpose_is_refused_by_who_refused_its_parent(
    session: Session, shop: dict[str, int]
) -> None:
    for basis, change in (("legitimate_interests", 7), ("consent", 0)):
        key = f"post.{basis}"
        wanted = {"key": key, "parent": EMAIL, "lawful_basis": basis}
        [found] = ask(session, purpose=wanted)["purposes"]
        assert found["now"]["by_reason"] == {"purpose_not_found": 9}
        assert found["then"]["allowed"] == found["newly_allowed"] == change
        consent.catalogue.add_purpose(
            session,
            consent.Purpose(key, parent=EMAIL, lawful_basis=basis),  # type: ignore[arg-type]  # one of two literals
        )
        reasons = [p.reason for p in permissions(session, key)]
        assert {r: reasons.count(r) for r in set(reasons)} == found["then"]["by_reason"]


@pytest.mark.parametrize("basis", ["legitimate_interests", "consent"])
def test_a_version_that_moves_below_another_purpose_is_refused_by_who_refused_that(
    session: Session, shop: dict[str, int], basis: str
) -> None:
    first = consent.Purpose("post.offers", lawful_basis=basis)  # type: ignore[arg-type]  # one of two
    consent.catalogue.add_purpose(session, first)
    rows = consent.records.history(session, [("user_id", user) for user in shop], purpose=EMAIL)
    refused = [row.value for row in rows if row.state != "given"]
    assert len(refused) == 2
    given_since = consent.Choice("user_id", refused[0], first.key, "given", NOW, "test")
    consent.record(session, [given_since], received_at=NOW)
    restrictions.restrict(session, [("user_id", next(u for u in shop if u not in refused))],
                          "objection", reason_ref="r", at=NOW, purpose_key=EMAIL)  # fmt: skip
    [found] = ask(session, purpose={"key": first.key, "parent": EMAIL})["purposes"]
    assert found["then"]["by_reason"]["refused"] == 1
    consent.catalogue.add_purpose(session, replace(first, version=2, parent=EMAIL))
    reasons = [p.reason for p in permissions(session, first.key)]
    assert {r: reasons.count(r) for r in set(reasons)} == found["then"]["by_reason"]


def test_what_is_put_below_marketing_ends_by_an_objection_to_it(
    session: Session, shop: dict[str, int]
) -> None:
    who = [("user_id", next(iter(shop)))]
    restrictions.restrict(session, who, restrictions.MARKETING, reason_ref="r", at=NOW)
    wanted = {"key": "post.ads", "parent": "marketing", "lawful_basis": "contract"}
    [found] = ask(session, purpose=wanted)["purposes"]
    assert found["then"]["by_reason"]["objection"] == 1


def test_what_the_catalogue_would_not_take_is_simulated_and_said_to_be_refused(
    session: Session, shop: dict[str, int]
) -> None:
    answer = ask(session, purpose={"key": EMAIL, "lawful_basis": "legitimate_interests"})
    assert "lawful basis" in answer["refused"]
    assert answer["purposes"][0]["newly_allowed"] == 3
    assert "parent" in ask(session, purpose={"key": "a.b", "parent": "no.such"})["refused"]
    assert "renews" in ask(session, purpose={"key": EMAIL, "explicit": True})["refused"]


def test_days_of_validity_are_those_of_new_grants_and_older_ones_are_counted(
    session: Session, shop: dict[str, int]
) -> None:
    answer = ask(session, purpose={"key": EMAIL, "valid_days": 30})
    [found] = answer["purposes"]
    assert (found["newly_denied"], found["grants_older_than_valid_days"]) == (0, 4)
    assert any("new ones" in limit for limit in answer["limits"])


def test_a_notice_that_asks_anew_ends_what_rests_on_the_grants_before(session: Session) -> None:
    consent.catalogue.add_notice(
        session, key="banner", version=1, language="en", purposes=[EMAIL], body="May we?"
    )
    notice = {"key": "banner", "version": 1, "language": "en"}
    people(session, {"a": "given", "b": "given"}, notice=notice)
    people(session, {"c": "given", "d": None})
    [found] = ask(session, notice={"key": "banner"})["purposes"]
    assert found["newly_denied"] == 3
    assert found["grants"] == {"on_this_notice": 2, "on_another_notice": 0, "without_notice": 1}
    [kept] = ask(session, notice={"key": "banner", "asks_anew": False})["purposes"]
    assert (kept["newly_denied"], kept["changes"]) == (0, [])
    with pytest.raises(NoticeNotFound):
        ask(session, notice={"key": "other"})
    with pytest.raises(PurposeNotFound):
        ask(session, notice={"key": "other", "purposes": ["no.such"]})


def test_fail_open_lets_through_all_but_who_refused_here(session: Session) -> None:
    """Held against the rule written out: the identifier's own last word is no refusal."""
    Population(session, 11, people=300)
    purpose = consent.catalogue.purpose(session, PURPOSES[0].key)
    session.execute(sa.text("DELETE FROM consent.restriction"))
    standing: dict[int, str] = {
        row.identifier_id: row.state
        for row in session.execute(
            sa.text(
                "SELECT identifier_id, state FROM consent.current "
                "JOIN identity.current_person USING (namespace, value) WHERE purpose = :p"
            ),
            {"p": purpose.key},
        )
    }
    lenient: dict[int, bool] = {}
    strict: dict[int, bool] = {}
    for one in permissions(session, purpose.key):
        yes = standing.get(one.identifier_id) not in ("refused", "withdrawn")
        lenient[one.person_id] = lenient.get(one.person_id, False) or yes
        strict[one.person_id] = strict.get(one.person_id, False) or one.allowed
    leaked = {p for p, yes in lenient.items() if yes and not strict[p]}
    [found] = ask(session, purpose={"key": purpose.key})["purposes"]
    assert 0 < found["what_would_have_leaked"]["people"] == len(leaked)


def test_examples_are_named_only_for_a_purpose_that_allows_it(
    session: Session, shop: dict[str, int]
) -> None:
    change: dict[str, Any] = {"purpose": {"key": EMAIL, "renews": True}}
    answer = ask(session, named_for="service.operation", **change)
    assert len(answer["examples"]) == 4
    assert {(e["from"], e["to"]) for e in answer["examples"]} == {("given", "stale_notice")}
    withheld = ask(session, named_for="ads.personalised", **change)
    assert (withheld["examples"], withheld["examples_withheld"]) == ([], 4)
    assert "examples" not in ask(session, **change)


def test_over_http_examples_need_a_purpose_of_the_client_and_the_scope_to_read(
    server: TestClient, token: Callable[..., dict[str, str]]
) -> None:
    def post(header: dict[str, str], body: dict[str, Any]) -> Any:
        return server.post("/v1/consents/simulate", json=body, headers=header)

    reader = token("consents:read")
    both = token("consents:read", "profiles:read", purposes=("service.operation",))
    change = {"purpose": {"key": EMAIL, "renews": True}}
    assert post(reader, change).json()["purposes"][0]["now"]["allowed"] == 0
    assert post(token("segments:read"), change).status_code == 403
    named = {**change, "examples_for": "service.operation"}
    assert post(reader, named).status_code == 403
    assert post(both, named).json()["examples"] == []
    assert post(both, {**change, "examples_for": EMAIL}).json()["code"] == "purpose-not-allowed"
    for wrong in ({}, {**change, "notice": {"key": "x"}}, {"purpose": {"key": EMAIL, "mode": "?"}}):
        assert post(reader, wrong).status_code == 422
    missing = {"destination": {"purpose": EMAIL, "segments": ["no-such"]}}
    assert post(reader, missing).json()["code"] == "segment-not-found"
    absent = {"destination": {"purpose": "no.such", "segments": ["x"]}}
    assert post(reader, absent).json()["code"] == "purpose-not-found"


def test_while_it_is_simulated_postgresql_refuses_every_write(session: Session) -> None:
    write = sa.text("DELETE FROM app.segment")
    with pytest.raises(sa.exc.InternalError), read_only(session):
        session.execute(write)
    with read_only(session):
        pass
    session.execute(write)
