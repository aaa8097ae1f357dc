"""Servers' clocks differ by seconds: a withdrawal counts from its commit all the same."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.access import sources
from app.access.sources import SourceSettings
from app.consents import explain
from app.consents import record as consents
from app.consents.permission import permissions
from app.db import Sessions
from app.events.append import append
from app.events.body import to_message
from app.events.envelope import Envelope, read
from app.events.item import Item
from app.events.memory import Memory
from identity import graph

PURPOSE = "analytics.audience"
SKEW = timedelta(seconds=5)
Withdraw = Callable[[Session, str], None]


@pytest.fixture
def source(sessions: Sessions) -> SourceSettings:
    with sessions.begin() as session:
        return sources.settings_of(sources.add(session, "web", collection_purpose=PURPOSE)[0])


def say(session: Session, state: str, at: datetime, value: str = "ada") -> None:
    consents.record(session, "user_id", value, {PURPOSE: state}, collected_by="t", received_at=at)


def fast(session: Session, value: str) -> None:
    """Withdraw on a server whose clock is ahead."""
    say(session, "refused", datetime.now(UTC) + SKEW, value)


def slow(session: Session, value: str) -> None:
    """Withdraw on a server whose clock is behind."""
    say(session, "refused", datetime.now(UTC) - SKEW, value)


def faster_than_the_database(session: Session, value: str) -> None:
    """Withdraw as servers did that dated records by their own clocks."""
    session.execute(
        sa.text(
            "INSERT INTO consent.record (namespace, value, purpose, purpose_version, state,"
            " effective_at, recorded_at, order_time, collected_by, evidence)"
            " VALUES ('user_id', :value, :purpose, 1, 'refused', :at, :at, :at, 'test', '{}')"
        ),
        {"value": value, "purpose": PURPOSE, "at": datetime.now(UTC) + SKEW},
    )


CLOCKS = pytest.mark.parametrize("withdraw", [fast, slow, faster_than_the_database])


def send(sessions: Sessions, source: SourceSettings, memory: Memory, name: str) -> str:
    now = datetime.now(UTC)
    message = {"type": "track", "event": name, "userId": "ada", "messageId": name}
    found = read(to_message(message), received_at=now, largest=9_999)
    assert isinstance(found, Envelope)
    with sessions.begin() as session:
        [outcome] = append(session, [Item(source, found, now)], memory)
    return outcome.state


@CLOCKS
def test_a_writer_collects_nothing_after_a_withdrawal_even_if_it_remembers_the_grant(
    sessions: Sessions, source: SourceSettings, withdraw: Withdraw
) -> None:
    memory = Memory()
    with sessions.begin() as session:
        say(session, "given", datetime.now(UTC))
    assert send(sessions, source, memory, "a") == "accepted"
    assert memory.standing(("user_id", "ada"), PURPOSE, datetime.now(UTC)) is not None
    with sessions.begin() as session:
        withdraw(session, "ada")
    assert send(sessions, source, memory, "b") == "rejected"
    assert send(sessions, source, Memory(), "c") == "rejected"


@CLOCKS
def test_the_decision_for_one_and_the_one_for_sets_both_deny_at_once(
    session: Session, withdraw: Withdraw
) -> None:
    [one] = graph.identify(session, [("user_id", "ada")]).values()
    say(session, "given", datetime.now(UTC))

    def allowed() -> tuple[bool, bool]:
        now = datetime.now(UTC)
        [answer] = explain.explain(session, one, one, at=now, known_at=now, purpose=PURPOSE)
        return answer.decision.allow, permissions(session, PURPOSE, [one])[0].allowed

    assert allowed() == (True, True)
    withdraw(session, "ada")
    assert allowed() == (False, False)


def test_a_question_about_the_past_is_answered_as_it_was_then(session: Session) -> None:
    [one] = graph.identify(session, [("user_id", "ada")]).values()
    now = datetime.now(UTC)
    say(session, "given", now - timedelta(hours=2))
    say(session, "refused", now - timedelta(hours=1))

    def allowed(at: datetime, known_at: datetime) -> bool:
        [answer] = explain.explain(session, one, one, at=at, known_at=known_at, purpose=PURPOSE)
        return answer.decision.allow

    before, after = now - timedelta(hours=1, seconds=1), now - timedelta(minutes=59)
    assert allowed(before, now)
    assert allowed(now, before)
    assert not allowed(after, after)
    assert not allowed(now, now)


def test_a_grant_of_a_server_whose_clock_is_ahead_is_outranked_by_the_withdrawal_after_it(
    sessions: Sessions, source: SourceSettings
) -> None:
    with sessions.begin() as session:
        say(session, "given", datetime.now(UTC) + SKEW)
    with sessions.begin() as session:
        say(session, "refused", datetime.now(UTC))
    with sessions() as session:
        later = datetime.now(UTC) + timedelta(days=1)
        records = consent.history(session, [("user_id", "ada")])
        found = consent.standings(records, at=later, known_at=None, purposes={})
        [(standing, *_)] = found.values()
    assert standing in ("withdrawn", "refused")
    assert send(sessions, source, Memory(), "a") == "rejected"


@pytest.mark.parametrize("years", [-2, 2])
@pytest.mark.parametrize("answer", [True, False])
def test_a_refusal_of_a_clock_that_cannot_be_right_counts_from_its_receipt(
    sessions: Sessions, source: SourceSettings, years: int, answer: bool
) -> None:
    """A banner's answer or a stamp; a grant of such a clock stays as old as it says."""
    now = datetime.now(UTC)
    memory = Memory()

    def send(number: int, said: bool, *, imported: bool = False) -> str:
        wrong = (now + timedelta(days=366 * years, seconds=number)).isoformat()
        message = {
            "type": "track", "userId": "ada", "messageId": f"m-{number}",
            "event": "Segment Consent Preference Updated" if answer else "Read",
            "timestamp": wrong, "sentAt": wrong,
            "context": {"consent": {"categoryPreferences": {PURPOSE: said}}},
        }  # fmt: skip
        at = datetime.now(UTC)
        envelope = read(to_message(message), received_at=at, largest=100_000)
        assert isinstance(envelope, Envelope)
        with sessions.begin() as session:
            memory.refresh(session)
            append(session, [Item(source, envelope, at, imported=imported)], memory)
        with sessions() as session:
            records = consent.history(session, [("user_id", "ada")], purpose=PURPOSE)
            said_ = consent.standings(records, at=datetime.now(UTC), known_at=None, purposes={})
            return said_["user_id", "ada", PURPOSE].standing

    with sessions.begin() as session:
        say(session, "given", now - timedelta(days=1))
    if years < 0:
        assert send(1, False, imported=True) == "given", "an old file tells of old times"
    assert send(2, False) == "withdrawn"
    assert send(3, True) == "withdrawn"
