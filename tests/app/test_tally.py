"""The counters of a source: exact, through concurrent writers and through summing up."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import Sessions
from app.events import tally

NOW = datetime(2026, 11, 22, 12, 30, 30, tzinfo=UTC)
KEEP = timedelta(days=90)


def rows(session: Session) -> int:
    return session.scalar(sa.text("SELECT count(*) FROM app.tally")) or 0


def test_each_outcome_is_counted_for_the_last_hour_and_the_last_day(session: Session) -> None:
    batch = {
        (1, "accepted", ""): 5,
        (1, "duplicate", ""): 2,
        (1, "held", ""): 1,
        (1, "rejected", "too_large"): 3,
        (1, "rejected", "event_missing"): 0,
        (2, "accepted", ""): 7,
    }
    tally.add(session, batch, NOW - timedelta(minutes=59))
    tally.add(session, batch, NOW - timedelta(minutes=61))
    tally.add(session, batch, NOW - timedelta(hours=25))
    recent = tally.read(session, 1, NOW)
    for counts, times in ((recent.hour, 1), (recent.day, 2)):
        assert (counts.accepted, counts.duplicate, counts.held) == (5 * times, 2 * times, times)
        assert counts.rejected == {"too_large": 3 * times}
        assert counts.received == 11 * times
    assert recent.last_seen == NOW - timedelta(minutes=59)
    silent = tally.read(session, 3, NOW)
    assert (silent.hour.received, silent.day.received, silent.last_seen) == (0, 0, None)
    both = tally.read_all(session, [1, 2], NOW)
    assert (both[1].day.received, both[2].day.accepted) == (22, 14)


def test_summing_up_changes_no_count(session: Session) -> None:
    for second in range(0, 26 * 3600, 20):
        counts = {(1, "accepted", ""): 1, (1, "rejected", "too_large"): 2}
        tally.add(session, counts, NOW - timedelta(seconds=second))
    whole = NOW.replace(second=0)
    before = tally.read(session, 1, whole)
    assert (before.hour.accepted, before.day.accepted) == (3 * 60 + 2, 3 * 1440 + 2)
    many = rows(session)
    for _ in range(2):
        tally.compact(session, NOW, keep=KEEP)
        after = tally.read(session, 1, whole)
        assert (after.hour, after.day) == (before.hour, before.day)
        assert rows(session) < many / 2
    spans = session.execute(
        sa.text("SELECT span, count(*), count(DISTINCT at) FROM app.tally "
                "WHERE outcome = 'accepted' GROUP BY span ORDER BY span")
    ).all()  # fmt: skip
    assert [span for span, _, _ in spans] == [0, 60, 3600]
    for _, count, times in spans:
        assert count == times


def test_every_minute_of_two_days_leaves_one_row_per_hour(session: Session) -> None:
    start = NOW - timedelta(days=2)
    for minute in range(0, 2 * 1440, 10):
        at = start + timedelta(minutes=minute)
        tally.add(session, {(1, "accepted", ""): 1}, at)
        tally.compact(session, at, keep=KEEP)
    hours = session.execute(
        sa.text("SELECT at, sum(events) AS events, count(*) AS rows FROM app.tally "
                "WHERE span = 3600 GROUP BY at")
    ).all()  # fmt: skip
    assert len(hours) > 20
    assert {row.rows for row in hours} == {1}
    assert session.scalar(sa.text("SELECT sum(events) FROM app.tally")) == 288


def test_old_counts_are_forgotten_but_when_a_source_was_last_seen_is_not(session: Session) -> None:
    old = NOW - timedelta(days=100)
    for hours in range(5):
        tally.add(session, {(1, "accepted", ""): 1}, old + timedelta(hours=hours))
    tally.add(session, {(2, "accepted", ""): 1}, old)
    tally.add(session, {(2, "accepted", ""): 1}, NOW)
    tally.compact(session, NOW, keep=KEEP)
    recent = tally.read_all(session, [1, 2], NOW)
    assert rows(session) == 2
    assert recent[1].last_seen == (old + timedelta(hours=4)).replace(minute=0, second=0)
    assert recent[2].last_seen == NOW


def test_writers_at_once_lose_no_count_and_do_not_wait_for_each_other(sessions: Sessions) -> None:
    with sessions.begin() as held:
        tally.add(held, {(1, "accepted", ""): 1}, NOW)  # open all the while

        def write(number: int) -> None:
            for _ in range(20):
                with sessions.begin() as session:
                    session.execute(sa.text("SET LOCAL lock_timeout = '2s'"))
                    tally.add(session, {(1, "accepted", ""): 1, (1, "duplicate", ""): 2}, NOW)
                    if number == 0:
                        tally.compact(session, NOW + timedelta(days=2), keep=KEEP)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(write, range(8)))
    with sessions() as session:
        counts = tally.read(session, 1, NOW + timedelta(minutes=30)).day
    assert (counts.accepted, counts.duplicate) == (161, 320)


def test_what_came_of_held_events_is_counted_apart_and_is_no_sign_of_life(session: Session) -> None:
    came, later = NOW - timedelta(hours=3), NOW - timedelta(minutes=30)
    tally.add(session, {(1, "held", ""): 5, (1, "accepted", ""): 2}, came)
    tally.add(session, {(1, "released", ""): 3, (1, "destroyed", "expired"): 2}, later)
    recent = tally.read(session, 1, NOW)
    assert (recent.day.received, recent.day.released) == (7, 3)
    assert dict(recent.day.destroyed) == {"expired": 2}
    assert (recent.hour.received, recent.hour.released) == (0, 3)
    assert recent.last_seen == came
    after = NOW + KEEP + timedelta(days=1)
    tally.compact(session, after, keep=KEEP)
    assert tally.read(session, 1, after).last_seen is not None
    left = session.scalars(sa.text("SELECT DISTINCT outcome FROM app.tally WHERE source_id = 1"))
    assert set(left) <= {"held", "accepted"}
