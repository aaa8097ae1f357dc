"""A purpose that universal opt-outs come to be about hears those that were sent before."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

import consent
from app.access import sources
from app.accountability.change import Change
from app.accountability.simulate import simulate
from app.consents.permission import permissions
from app.db import Sessions
from app.events import append as events
from app.events.envelope import Envelope, read
from app.events.item import Item
from app.events.memory import Memory
from consent import Choice
from consent.purposes import Purpose
from consent.signals.stamp import UNIVERSAL
from identity import graph
from tests.app.test_versions_agreed_to import Overtaken, message

NOW = datetime.now(UTC)
ADA, BEN, CLEO = (("user_id", name) for name in ("ada", "ben", "cleo"))
SALE = Purpose("sale", lawful_basis="legitimate_interests", regime="us_optout")
BELOW = Purpose("sale.brokers", lawful_basis="legitimate_interests", parent="sale")


def say(session: Session, who: tuple[str, str], state: str, hours_ago: int, kind: str) -> None:
    """Put a signal on record, or what overrides it, of all that such signals are about."""
    at = NOW - timedelta(hours=hours_ago)
    by: dict[str, Any] = (
        {"collected_by": "source:web", "evidence": {"event_stamp": True, "signal": "gpc"}}
        if kind == "opt_out"
        else {"collected_by": "client:crm"}
    )
    said = [Choice(*who, key, state, at, universal=kind, **by) for key in UNIVERSAL]
    consent.record(session, said, received_at=NOW)


def allowed(session: Session, purpose: str) -> dict[int, tuple[bool, str]]:
    return {p.person_id: (p.allowed, p.reason) for p in permissions(session, purpose)}


@pytest.fixture
def people(session: Session) -> tuple[Session, list[int]]:
    """Ada sent a signal, Ben overrode his, Cleo sent none; the ids of their people."""
    ids = graph.identify(session, [ADA, BEN, CLEO])
    graph.settle(session, list(ids.values()))
    say(session, ADA, "refused", 9, "opt_out")
    say(session, BEN, "refused", 9, "opt_out")
    say(session, BEN, "given", 8, "override")
    return session, [ids[who] for who in (ADA, BEN, CLEO)]


def states(session: Session, purpose: str) -> dict[str, list[tuple[str, str | None]]]:
    return {
        who[1]: [
            (row.state, row.universal) for row in consent.history(session, [who], purpose=purpose)
        ]
        for who in (ADA, BEN, CLEO)
    }


def test_who_opted_out_before_has_opted_out_of_a_new_purpose_too(people: Any) -> None:
    session, _ = people
    consent.catalogue.add_purpose(session, SALE)
    consent.catalogue.add_purpose(session, BELOW)
    out = {"ada": [("refused", "opt_out")], "ben": [], "cleo": []}
    assert states(session, "sale") == states(session, "sale.brokers") == out
    verdicts = sorted(allowed(session, "sale").values())
    basis = True, "lawful_basis:legitimate_interests"
    assert verdicts == [(False, "refused"), basis, basis]


def test_and_of_one_that_becomes_such_with_what_lies_below_it(people: Any) -> None:
    session, _ = people
    consent.catalogue.add_purpose(session, replace(SALE, regime="eu_optin"))
    consent.catalogue.add_purpose(session, BELOW)
    assert states(session, "sale.brokers")["ada"] == []
    consent.catalogue.add_purpose(session, replace(SALE, version=2))
    consent.catalogue.add_purpose(session, replace(SALE, version=3))
    for key in ("sale", "sale.brokers"):
        assert states(session, key)["ada"] == [("refused", "opt_out")], "once"


@pytest.mark.usefixtures("write_key")
def test_and_of_one_that_is_such_for_some_days_to_come(sessions: Sessions) -> None:
    one = replace(SALE, regime="eu_optin")
    days = [replace(SALE, version=2, effective_from=NOW + timedelta(days=5)),
            replace(one, version=3, effective_from=NOW + timedelta(days=10))]  # fmt: skip
    with sessions.begin() as session:
        for version in (one, *days):
            consent.catalogue.add_purpose(session, version)
    hear(sessions, Memory())
    with sessions() as session:
        [row] = consent.history(session, [("user_id", "vera")], purpose="sale")
    assert (row.state, row.universal) == ("refused", "opt_out")


@pytest.mark.parametrize("there", [False, True], ids=["new", "changed"])
def test_the_simulation_says_the_same(people: Any, there: bool) -> None:
    session, _ = people
    if there:
        consent.catalogue.add_purpose(session, replace(SALE, regime="eu_optin"))
    wanted = {"key": "sale", "lawful_basis": "legitimate_interests", "regime": "us_optout"}
    answer = simulate(session, Change.model_validate({"purpose": wanted}), at=NOW)
    [found] = answer["purposes"]
    consent.catalogue.add_purpose(session, replace(SALE, version=2))
    verdicts = list(allowed(session, "sale").values())
    assert found["then"]["denied"] == 1 == sum(not ok for ok, _ in verdicts)
    assert found["then"]["allowed"] == 2


def hear(sessions: Sessions, memory: Memory) -> None:
    """Let Vera's browser send its signal."""
    with sessions.begin() as session:
        source = sources.settings_of(sources.find(session, "web"))
        envelope = read(message("Seen", NOW, {"gpc": True}), received_at=NOW, largest=10_000)
        assert isinstance(envelope, Envelope)
        events.append(session, [Item(source, envelope, NOW)], memory)


@pytest.mark.usefixtures("write_key")
def test_what_is_added_while_a_signal_is_written_is_refused_by_it(sessions: Sessions) -> None:
    hear(sessions, Overtaken(sessions, SALE, BELOW))
    with sessions() as session:
        rows = consent.history(session, [("user_id", "vera")])
    told = {row.purpose for row in rows if row.universal == "opt_out"}
    assert told >= {*UNIVERSAL, "sale", "sale.brokers"}


@pytest.mark.usefixtures("write_key")
def test_and_by_one_that_comes_before_its_version_takes_effect(sessions: Sessions) -> None:
    with sessions.begin() as session:
        later = replace(SALE, effective_from=NOW + timedelta(days=5))
        consent.catalogue.add_purpose(session, later)
    hear(sessions, Memory())
    with sessions() as session:
        [row] = consent.history(session, [("user_id", "vera")], purpose="sale")
    assert (row.state, row.universal) == ("refused", "opt_out")
