"""What stands is stated under few locks: the server has room for some thousands in all."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import Sessions
from consent import ages, vendors
from tests.app.ledger.recording import NOW
from tests.consent.strings import V1

MANY = 2_000
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
BODIES = "SELECT body FROM consent.ledger_statement WHERE kind = 'standing' ORDER BY id"
AGES = """
INSERT INTO consent.age_band (namespace, value, band, from_at, stated_by)
SELECT 'user_id', 'kid-' || n, 'child', :at, 'test' FROM generate_series(1, :many) n
"""


def test_tc_strings_of_a_batch_take_no_lock_each(session: Session) -> None:
    strings = {("user_id", f"u-{n}"): (V1, NOW) for n in range(MANY)}
    vendors.keep(session, strings)
    assert session.scalar(sa.text(LOCKS)) == 0
    assert len(session.scalars(sa.text(BODIES)).all()) == MANY


def test_ages_of_many_take_some_hundred_locks_in_all(session: Session) -> None:
    session.execute(sa.text(AGES), {"at": NOW, "many": MANY})
    assert 0 < (session.scalar(sa.text(LOCKS)) or 0) <= 256
    bodies = [json.loads(body) for body in session.scalars(sa.text(BODIES))]
    assert {body["value"] for body in bodies} == {f"kid-{n}" for n in range(1, MANY + 1)}
    assert all([row["value"] for row in body["rows"]] == [body["value"]] for body in bodies)


def at_once(sessions: Sessions, first: Callable[[Session], None],
            second: Callable[[Session], None]) -> list[str]:  # fmt: skip
    """Do both, the second one while the first is not committed; return the last thing stated."""

    def do() -> None:
        with sessions.begin() as session:
            second(session)

    later = threading.Thread(target=do)
    with sessions.begin() as session:
        first(session)
        later.start()
        later.join(0.5)  # longer than it takes where it does not wait
    later.join(20)
    assert not later.is_alive()
    with sessions() as session:
        last: list[str] = [
            row.get("string") or row["band"]
            for row in json.loads(session.scalars(sa.text(BODIES)).all()[-1])["rows"]
        ]
    return last


def test_two_who_change_one_tc_string_at_once_state_what_stands(sessions: Sessions) -> None:
    def keep(string: str, hours: int) -> Callable[[Session], None]:
        said = {("user_id", "kim"): (string, NOW + timedelta(hours=hours))}
        return lambda session: vendors.keep(session, said)

    assert at_once(sessions, keep("one", -2), keep("two", -1)) == ["two"]
    assert at_once(sessions, keep("three", 0), keep("late", -1)) == ["three"]


def test_who_asks_whether_a_tc_string_is_kept_waits_for_who_changes_it(
    sessions: Sessions,
) -> None:
    """It would be taken for nothing new, and what is decided by the other one still be sent."""
    said = {("user_id", "kim"): ("one", NOW)}
    with sessions.begin() as session:
        vendors.keep(session, said)
        assert vendors.new(session, said) == set()
    found: list[set[tuple[str, str]]] = []
    other = {("user_id", "kim"): ("two", NOW + timedelta(hours=1))}
    at_once(
        sessions,
        lambda session: vendors.keep(session, other),
        lambda session: found.append(vendors.new(session, said)),
    )
    assert found == [set(said)]


def test_two_who_state_an_age_at_once_state_what_stands(sessions: Sessions) -> None:
    def state(band: str) -> Callable[[Session], None]:
        told = [ages.Span(band, NOW, None)]
        return lambda session: ages.state(session, "user_id", "kim", told, stated_by="test", at=NOW)

    assert sorted(at_once(sessions, state("child"), state("teen"))) == ["child", "teen"]
