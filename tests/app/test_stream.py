"""Events are read in commit order: nothing is skipped and nothing is read twice."""

import random
import re
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app import work
from app.access import sources
from app.db import Sessions, listen, statement
from app.events import stream
from app.events.append import append
from app.events.body import to_message
from app.events.envelope import Envelope, read
from app.events.item import Item
from app.events.memory import Memory

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def write(session: Session, source: sources.SourceSettings, *names: str) -> None:
    items = []
    for name in names:
        message = {"type": "track", "event": name, "userId": f"u-{name}", "messageId": name}
        envelope = read(to_message(message), received_at=NOW, largest=9_999)
        assert isinstance(envelope, Envelope)
        items.append(Item(source, envelope, NOW))
    append(session, items, Memory())
    session.flush()


def source_of(sessions: Sessions) -> sources.SourceSettings:
    with sessions.begin() as session:
        return sources.settings_of(sources.add(session, "web")[0])


def take(sessions: Sessions, limit: int = 100) -> list[str]:
    with sessions.begin() as session:
        batch: Sequence[sa.Row[tuple[object, ...]]] = stream.next_batch(session, "pipeline", limit)
        if batch:
            stream.done(session, "pipeline", batch[-1])
        return [row.name for row in batch]


def test_the_writer_that_took_its_ids_first_and_commits_last_is_not_skipped(
    sessions: Sessions,
) -> None:
    source = source_of(sessions)
    with sessions() as early, sessions() as late:
        write(early, source, "a1", "a2")
        write(late, source, "b1")
        late.commit()
        assert take(sessions) == []  # b1 has the higher id: reading on would skip a1
        write(early, source, "a3")
        early.commit()
    assert take(sessions) == ["a1", "a2", "a3", "b1"]
    assert take(sessions) == []


def test_the_writer_that_took_its_ids_last_and_began_first_is_not_skipped(
    sessions: Sessions,
) -> None:
    """Transaction numbers and ids may run against each other."""
    source = source_of(sessions)
    with sessions() as first, sessions() as second:
        first.execute(sa.text("SELECT pg_current_xact_id()"))
        write(second, source, "b1")
        second.commit()
        write(first, source, "a1")
        first.commit()
    assert take(sessions, 1) == ["a1"]
    assert take(sessions, 1) == ["b1"]
    assert take(sessions, 1) == []


def test_what_a_writer_rolled_back_never_appears(sessions: Sessions) -> None:
    source = source_of(sessions)
    with sessions() as early, sessions() as late:
        write(early, source, "a1")
        write(late, source, "b1")
        late.commit()
        early.rollback()
    assert take(sessions) == ["b1"]


def test_a_reader_that_fails_reads_the_same_events_again(sessions: Sessions) -> None:
    source = source_of(sessions)
    with sessions.begin() as session:
        write(session, source, "a1", "a2")
    with sessions() as session:
        batch = stream.next_batch(session, "pipeline", 10)
        stream.done(session, "pipeline", batch[-1])
        session.rollback()
    with sessions() as session:
        assert stream.backlog(session, "pipeline") == stream.Backlog(2, NOW)
    assert take(sessions) == ["a1", "a2"]


def test_the_cost_of_a_batch_does_not_grow_with_what_was_read_before(sessions: Sessions) -> None:
    source = source_of(sessions)
    with sessions.begin() as session:
        write(session, source, *(f"a{n}" for n in range(300)))
    assert len(take(sessions, 299)) == 299
    for query in ("next_batch", "next_outlines", "backlog"):
        text = statement("app.events", query).text
        with sessions() as session:
            session.execute(sa.text("SET enable_seqscan = off"))  # a table of 300 rows fits in RAM
            plan = session.scalars(
                sa.text("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) " + text),
                {"reader": "pipeline", "limit": 10, "most": 10},
            ).all()
        removed = re.findall(r"Rows Removed by \w+: (\d+)", "\n".join(plan))
        assert sum(map(int, removed)) < 10  # of the readers and the partitions, not of the events


def test_in_any_interleaving_every_event_is_read_exactly_once(sessions: Sessions) -> None:
    source = source_of(sessions)
    dice = random.Random(5)  # noqa: S311 -- a seeded test, no secret
    read_: list[str] = []
    written: list[str] = []
    with ExitStack() as stack:
        writers = [stack.enter_context(sessions()) for _ in range(4)]
        for step in range(120):
            writer = dice.choice(writers)
            match dice.randrange(4):
                case 0 | 1:
                    name = f"e{step}"
                    writer.info.setdefault("open", []).append(name)
                    write(writer, source, name)
                case 2:
                    written += writer.info.pop("open", [])
                    writer.commit()
                case _:
                    read_ += take(sessions, dice.randrange(1, 5))
        for writer in writers:
            written += writer.info.pop("open", [])
            writer.commit()
    while batch := take(sessions, 7):
        read_ += batch
    assert len(read_) == len(set(read_))
    assert sorted(read_) == sorted(written)


def test_what_was_written_while_the_worker_was_busy_wakes_it_once(
    database_url: str, sessions: Sessions
) -> None:
    """Looking once for each commit cost three statements each, for nothing."""
    bursts = listen(database_url, work.CHANNEL, lambda: False, 0.2)
    assert next(bursts) == ""
    for _ in range(5):
        with sessions.begin() as session:
            session.execute(sa.text(f"NOTIFY {work.CHANNEL}, 'events'"))
    time.sleep(0.3)
    assert [next(bursts), next(bursts)] == ["events", ""]
    bursts.close()


def test_a_batch_is_bounded_by_what_its_events_weigh_and_is_never_empty(sessions: Sessions) -> None:
    source = source_of(sessions)
    with sessions.begin() as session:
        write(session, source, *(f"e{n}" for n in range(10)))
        session.execute(
            sa.text("UPDATE app.event SET properties = json_build_object('a', repeat('x', 1000))")
        )
    seen: list[str] = []
    sizes: list[int] = []
    while True:
        with sessions.begin() as session:
            batch = stream.next_batch(session, "lake", 100, largest=2_500)
            if not batch:
                break
            stream.done(session, "lake", batch[-1])
        sizes.append(len(batch))
        seen += [row.name for row in batch]
    assert seen == [f"e{n}" for n in range(10)]
    assert sizes == [3, 3, 3, 1]
