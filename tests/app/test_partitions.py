"""A message id is stored once, on whichever side of a roll-over it comes again, and at once."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.access import sources
from app.db import Sessions, statement
from app.errors import PartitionBusy
from app.events import insert, partitions, stream
from app.events.append import append
from app.events.body import to_message
from app.events.envelope import Envelope, read
from app.events.insert import Way
from app.events.item import Item
from app.events.memory import Memory
from identity import graph

NOW = datetime(2026, 5, 1, tzinfo=UTC)
WINDOW = timedelta(days=30)


@pytest.fixture
def source(sessions: Sessions) -> sources.SourceSettings:
    with sessions.begin() as session:
        graph.identify(session, [("user_id", "ada")])  # or writers would wait for her, not for us
        return sources.settings_of(sources.add(session, "web")[0])


def write(
    session: Session, source: sources.SourceSettings, *message_ids: str, way: Way = Way.EACH
) -> list[str]:
    """Append one event for each id, all of one visitor; return what became of each."""
    items = []
    for message_id in message_ids:
        message = {"type": "track", "event": "E", "userId": "ada", "messageId": message_id}
        envelope = read(to_message(message), received_at=NOW, largest=9_999)
        assert isinstance(envelope, Envelope)
        items.append(Item(source, envelope, NOW))
    return [outcome.state for outcome in append(session, items, Memory(), way=way)]


def stored(sessions: Sessions) -> dict[str, int]:
    """How often each message id is stored."""
    with sessions() as session:
        rows = session.execute(
            sa.text("SELECT message_id, count(*) AS times FROM app.event GROUP BY 1")
        )
        return {row.message_id: row.times for row in rows}


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def waiting(sessions: Sessions) -> int:
    """How many requests for the lock on the events are not granted."""
    with sessions() as session:
        return (
            session.scalar(
                sa.text(
                    "SELECT count(*) FROM pg_locks WHERE NOT granted"
                    " AND relation = CAST('app.event' AS regclass)"
                    " AND database = (SELECT oid FROM pg_database"
                    " WHERE datname = current_database())"
                )
            )
            or 0
        )


@pytest.mark.parametrize("way", Way, ids=str)
@pytest.mark.parametrize("warm", [0, 8], ids=["planned anew", "prepared plan"])
def test_who_waits_for_a_roll_over_sees_what_was_written_before_it(
    sessions: Sessions,
    source: sources.SourceSettings,
    warm: int,
    way: Way,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(insert, "WORTH_A_COPY", 1)
    with ThreadPoolExecutor(2) as pool, sessions() as early, sessions() as late:
        for n in range(warm):  # from the fifth time on psycopg sends the statement prepared
            write(late, source, f"warm-{n}", way=way)
            late.commit()
        assert write(early, source, "m-1", "m-2", way=way) == ["accepted"] * 2
        rolling = pool.submit(partitions.close_open, sessions)
        until(lambda: waiting(sessions) == 1)
        # It has not even read which partition is open when it starts to wait.
        again: Future[list[str]] = pool.submit(write, late, source, "m-2", "m-3", "m-1", way=way)
        until(lambda: waiting(sessions) == 2)
        early.commit()
        assert rolling.result(10) == 2
        assert again.result(10) == ["duplicate", "accepted", "duplicate"]
        late.commit()
    found = {k: n for k, n in stored(sessions).items() if k.startswith("m-")}
    assert found == {"m-1": 1, "m-2": 1, "m-3": 1}
    with sessions() as session:
        rows = session.execute(sa.text("SELECT message_id, part FROM app.event"))
        parts = {row.message_id: row.part for row in rows}
    assert (parts["m-1"], parts["m-2"], parts["m-3"]) == (1, 1, 2)


def test_a_roll_over_waits_for_the_writers_that_are_under_way_and_gives_up_in_time(
    sessions: Sessions, source: sources.SourceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "LOCK_SECONDS", 1)
    with sessions() as early:
        write(early, source, "m-1")
        with pytest.raises(PartitionBusy):
            partitions.close_open(sessions)
        assert write(early, source, "m-2", "m-1") == ["accepted", "duplicate"]
        early.commit()
    assert partitions.close_open(sessions) == 2
    with sessions.begin() as session:
        assert write(session, source, "m-1", "m-2", "m-3") == ["duplicate", "duplicate", "accepted"]


def test_a_roll_over_between_two_writers_that_wait_for_each_other_fails_neither(
    sessions: Sessions, source: sources.SourceSettings
) -> None:
    """One holds an identifier the other needs, the other holds the events the roll-over needs."""
    identifier = sa.text(
        "INSERT INTO identity.identifier (namespace, value, group_id, person_id, reach_id) "
        "VALUES ('user_id', 'bob', 1, 1, 1)"
    )
    with ThreadPoolExecutor(3) as pool, sessions() as first, sessions() as second:
        first.execute(identifier)
        second.execute(sa.text("LOCK TABLE app.event IN ROW EXCLUSIVE MODE"))
        blocked = pool.submit(second.execute, identifier)
        rolling = pool.submit(partitions.close_open, sessions)
        until(lambda: waiting(sessions) == 1)
        first.execute(sa.text("LOCK TABLE app.event IN ROW EXCLUSIVE MODE"))
        first.commit()
        with pytest.raises(sa.exc.IntegrityError):  # it came second, and nobody was killed
            blocked.result(10)
        second.rollback()
        assert rolling.result(10) == 2


def test_sixteen_writers_of_the_same_events_during_roll_overs_store_each_once(
    sessions: Sessions, source: sources.SourceSettings
) -> None:
    names = [f"m-{n}" for n in range(400)]
    done = threading.Event()

    def writer(number: int) -> int:
        accepted = 0
        order = names[number * 25 :] + names[: number * 25]
        size = 20 + 3 * number
        for start in range(0, len(order), size):
            with sessions.begin() as session:
                states = write(session, source, *order[start : start + size])
            accepted += states.count("accepted")
        return accepted

    def roller() -> int:
        rolled = 0
        while not done.is_set():
            try:
                partitions.close_open(sessions)
                rolled += 1
            except PartitionBusy:
                continue
            done.wait(0.1)
        return rolled

    with ThreadPoolExecutor(17) as pool:
        rolling = pool.submit(roller)
        try:
            accepted = list(pool.map(writer, range(16)))
        finally:
            done.set()
    assert rolling.result() > 2
    assert sum(accepted) == len(names)
    assert stored(sessions) == dict.fromkeys(names, 1)
    read_: list[str] = []
    while True:
        with sessions.begin() as session:
            batch = stream.next_batch(session, "pipeline", 90)
            if not batch:
                break
            stream.done(session, "pipeline", batch[-1])
            read_ += [row.message_id for row in batch]
    assert sorted(read_) == sorted(names)


def test_message_ids_count_for_the_window_and_their_index_is_gone_after_it(
    sessions: Sessions, source: sources.SourceSettings
) -> None:
    with sessions.begin() as session:
        write(session, source, "m-1")
    partitions.close_open(sessions)
    closed = datetime.now(UTC)
    partitions.maintain(sessions, WINDOW, now=closed + WINDOW - timedelta(minutes=1))
    assert indexes(sessions, 1) == {"event_p1_message", "event_p1_stream", "event_p1_timeline"}
    with sessions.begin() as session:
        assert write(session, source, "m-1", "m-2") == ["duplicate", "accepted"]
        assert looked_into(session) == {1, 2}
    partitions.maintain(sessions, WINDOW, now=closed + WINDOW + timedelta(minutes=1))
    assert indexes(sessions, 1) == {"event_p1_stream", "event_p1_timeline"}
    with sessions.begin() as session:
        assert write(session, source, "m-1", "m-2") == ["accepted", "duplicate"]
    assert stored(sessions) == {"m-1": 2, "m-2": 1}


def test_an_index_whose_build_was_interrupted_is_built_again(
    sessions: Sessions, source: sources.SourceSettings
) -> None:
    partitions.close_open(sessions)
    with sessions.begin() as session:
        session.execute(
            sa.text("CREATE INDEX event_p1_message ON app.event_p1 USING hash (message_id)")
        )
        session.execute(
            sa.text(
                "UPDATE pg_index SET indisvalid = false"
                " WHERE indexrelid = CAST('app.event_p1_message' AS regclass)"
            )
        )
    partitions.maintain(sessions, WINDOW)
    with sessions() as session:
        assert partitions._indexes(session, "app.event_p1")["event_p1_message"]


def test_a_new_month_or_a_very_large_partition_is_a_reason_to_roll_over() -> None:
    def opened(at: datetime, *, events: int = 1, size: int = 1) -> partitions.Partition:
        return partitions.Partition(1, at, None, True, events, size)

    february = datetime(2026, 2, 28, 23, 59, tzinfo=UTC)
    large = partitions.LARGEST_BYTES + 1
    assert partitions.is_due(opened(february), datetime(2026, 3, 1, tzinfo=UTC), 0)
    assert not partitions.is_due(opened(february), datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC), 0)
    assert not partitions.is_due(opened(february, events=0), datetime(2026, 3, 1, tzinfo=UTC), 0)
    assert partitions.is_due(opened(february, size=large), february, 3)
    assert not partitions.is_due(opened(february, size=large), february, 4)


def test_maintenance_rolls_over_in_a_new_month_and_has_the_next_partition_ready(
    sessions: Sessions, source: sources.SourceSettings
) -> None:
    with sessions.begin() as session:
        write(session, source, "m-1")
    with sessions() as session:
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        session.execute(sa.text("ANALYZE app.event_p1"))
    for _ in range(2):
        partitions.maintain(sessions, WINDOW, now=datetime.now(UTC) + timedelta(days=32))
    with sessions() as session:
        found = partitions.list_all(session)
    assert [(p.opened_at is None, p.closed_at is None) for p in found] == [
        (False, False),
        (False, True),
        (True, True),
    ]


def test_reading_the_stream_takes_no_sort_and_leaves_passed_partitions_alone(
    sessions: Sessions, source: sources.SourceSettings
) -> None:
    for n in range(3):
        with sessions.begin() as session:
            write(session, source, f"m-{n}")
        with sessions.begin() as session:
            stream.done(session, "pipeline", stream.next_batch(session, "pipeline", 10)[-1])
        partitions.close_open(sessions)
    with sessions.begin() as session:
        write(session, source, "m-last")
        batch = stream.next_batch(session, "pipeline", 10)
        assert batch == []  # its own transaction still runs
    with sessions() as session:
        session.execute(sa.text("SET LOCAL enable_seqscan = off"))
        text = statement("app.events", "next_batch")
        plan = "\n".join(
            session.scalars(
                sa.text(f"EXPLAIN (ANALYZE, COSTS OFF) {text.text}"),
                {"reader": "pipeline", "limit": 10},
            )
        )
        assert [row.message_id for row in stream.next_batch(session, "pipeline", 10)] == ["m-last"]
    assert "Sort Method" not in plan
    assert "Merge Append" in plan
    assert plan.count("(never executed)") >= 2


def indexes(sessions: Sessions, part: int) -> set[str]:
    with sessions() as session:
        return set(partitions._indexes(session, f"app.event_p{part}"))


def looked_into(session: Session) -> set[int]:
    rows = session.scalars(
        sa.text("SELECT part FROM app.event_partition WHERE opened_at IS NOT NULL AND deduplicates")
    )
    return set(rows)
