"""Holding in the database: once each, within the room, found by who it names, gone in time."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import Sessions
from app.pending import hold as pending
from app.pending.hold import Room, Waiting
from app.pending.seal import SECRET, Key, Keyring

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime.now(UTC)
WIDE = Room(1_000_000, 1_000_000_000)


@pytest.fixture
def keyring() -> Keyring:
    return Keyring([Key(os.urandom(SECRET))])


def waiting(message: str, who: str = "u-1", *, source: int = 1, **other: Any) -> Waiting:
    fields = {"received_at": NOW, "seconds": 3600, "content": b"c" * 100, **other}
    return Waiting(source, message, [("user_id", who)], **fields)


def kept(session: Session) -> dict[int, tuple[int, int]]:
    """What is reckoned as held, by source: events and bytes."""
    rows = session.execute(
        sa.text(
            "SELECT source_id, sum(events)::bigint AS events, sum(bytes)::bigint AS bytes "
            "FROM app.held_room GROUP BY source_id HAVING sum(events) <> 0"
        )
    )
    return {row.source_id: (row.events, row.bytes) for row in rows}


def test_an_event_is_held_once_per_source(session: Session, keyring: Keyring) -> None:
    batch = [waiting("a"), waiting("b"), waiting("a"), waiting("a", source=2)]
    first = pending.hold(session, keyring, WIDE, batch)
    assert first == ["held", "held", "duplicate", "held"]
    assert pending.hold(session, keyring, WIDE, [waiting("b"), waiting("c")]) == [
        "duplicate", "held"
    ]  # fmt: skip
    assert {source: events for source, (events, _) in kept(session).items()} == {1: 3, 2: 1}
    assert pending.hold(session, keyring, WIDE, []) == []


def test_an_event_that_comes_again_after_the_key_changed_is_known_again(session: Session) -> None:
    old, new = Key(os.urandom(SECRET)), Key(os.urandom(SECRET))
    assert pending.hold(session, Keyring([old]), WIDE, [waiting("a")]) == ["held"]
    rotated = Keyring([new, old])
    assert pending.hold(session, rotated, WIDE, [waiting("a"), waiting("b")]) == [
        "duplicate", "held"
    ]  # fmt: skip
    assert pending.destroy(session, rotated, "user_id", "u-1") == 2


def test_what_has_no_room_is_full_and_what_was_destroyed_makes_room(
    session: Session, keyring: Keyring
) -> None:
    narrow = Room(3, 1_000_000)
    batch = [waiting(str(n), f"u-{n}") for n in range(5)] + [waiting("o", "x", source=2)]
    states = pending.hold(session, keyring, narrow, batch)
    assert states == ["held", "held", "held", "full", "full", "held"]
    again = pending.hold(session, keyring, narrow, [waiting("9"), waiting("0")])
    assert again == ["full", "duplicate"]
    assert pending.destroy(session, keyring, "user_id", "u-1") == 1
    assert pending.destroy(session, keyring, "user_id", "u-1") == 0
    assert pending.hold(session, keyring, narrow, [waiting("3"), waiting("4")]) == ["held", "full"]


def test_the_room_is_bounded_in_bytes_too(session: Session, keyring: Keyring) -> None:
    sealed = 12 + 100 + 16
    batch = [waiting(str(n)) for n in range(4)]
    assert pending.hold(session, keyring, Room(100, sealed * 2), batch) == [
        "held", "held", "full", "full"
    ]  # fmt: skip
    assert kept(session) == {1: (2, sealed * 2)}


def test_counting_anew_changes_no_sum(session: Session, keyring: Keyring) -> None:
    for n in range(6):
        pending.hold(session, keyring, WIDE, [waiting(str(n), f"u-{n}", source=n % 2)])
    pending.destroy(session, keyring, "user_id", "u-3")
    before = kept(session)
    rows = sa.text("SELECT count(*) FROM app.held_room")
    assert session.scalar(rows) == 7
    pending.count_anew(session, above=7)
    assert session.scalar(rows) == 7
    pending.count_anew(session, above=6)
    assert session.scalar(rows) == 2
    assert kept(session) == before == {0: (3, 3 * 128), 1: (2, 2 * 128)}


def test_what_has_expired_is_deleted_and_nothing_else(session: Session, keyring: Keyring) -> None:
    over = NOW - timedelta(seconds=3700)
    batch = [waiting("old", received_at=over), waiting("older", received_at=over), waiting("new")]
    pending.hold(session, keyring, WIDE, batch)
    assert len(pending.expire(session, limit=1)) == 1
    assert len(pending.expire(session, limit=9)) == 1
    assert pending.expire(session, limit=9) == []
    assert kept(session) == {1: (1, 128)}


def test_sixteen_writers_of_the_same_events_hold_each_once(
    sessions: Sessions, keyring: Keyring
) -> None:
    events = [waiting(f"m-{n}", f"u-{n % 7}", source=n % 3) for n in range(120)]

    def write(number: int) -> list[str]:
        mine = events[number * 5 :] + events[: number * 5]
        if number % 2:
            mine = mine[::-1]
        with sessions.begin() as session:
            return pending.hold(session, keyring, WIDE, mine)

    with ThreadPoolExecutor(16) as pool:
        states = [state for answer in pool.map(write, range(16)) for state in answer]
    assert states.count("held") == 120
    assert states.count("duplicate") == 120 * 15
    with sessions.begin() as session:
        before = kept(session)
        assert sum(events for events, _ in before.values()) == 120
        pending.count_anew(session, above=0)
        assert kept(session) == before


def test_the_events_of_many_subjects_are_found_by_the_index(
    session: Session, keyring: Keyring
) -> None:
    pending.hold(session, keyring, WIDE, [waiting(str(n), f"u-{n}") for n in range(3000)])
    session.execute(sa.text("UPDATE app.held SET due_at = NULL"))
    subjects = [keyring.newest.subject("user_id", f"u-{n}") for n in range(0, 3000, 3)]
    query = (ROOT / "app/pending/sql/mark_due.sql").read_text()
    plan = session.scalars(sa.text("EXPLAIN (ANALYZE) " + query), {"subjects": subjects}).all()
    assert any("Bitmap Index Scan on held_subjects" in line for line in plan), plan
    due = session.scalar(sa.text("SELECT count(*) FROM app.held WHERE due_at IS NOT NULL"))
    assert due == 1000
