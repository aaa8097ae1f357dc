"""Requests that are at hand together are written together, and none is lost with its loop."""

import asyncio
from datetime import UTC, datetime

import sqlalchemy as sa

from app.access import sources
from app.access.sources import SourceSettings
from app.db import Sessions
from app.events import envelope
from app.events.body import to_message
from app.events.insert import WORTH_A_COPY
from app.events.item import Batch, Outcome
from app.events.writer import Writer


def batch(source: SourceSettings, *numbers: int) -> Batch:
    now = datetime.now(UTC)
    messages = [
        {"type": "track", "event": "Seen", "userId": "u-1", "messageId": f"m-{number}"}
        for number in numbers
    ]
    read = [envelope.read(to_message(m), received_at=now, largest=1_000) for m in messages]
    return Batch(source, read, now)


def web(sessions: Sessions) -> SourceSettings:
    with sessions.begin() as session:
        return sources.settings_of(sources.add(session, "web")[0])


def transactions(sessions: Sessions) -> list[int]:
    """Return how many events each transaction wrote."""
    query = "SELECT count(*) FROM app.event GROUP BY transaction"
    with sessions() as session:
        return list(session.scalars(sa.text(query)))


def test_requests_that_come_turn_by_turn_share_one_transaction(sessions: Sessions) -> None:
    source = web(sessions)
    writer = Writer(sessions)

    async def send() -> list[list[Outcome]]:
        answers = []
        for number in range(20):
            answers.append(writer.submit(batch(source, number)))
            await asyncio.sleep(0)
        return await asyncio.gather(*answers)

    outcomes = asyncio.run(send())
    writer.close()
    assert [o.state for [o] in outcomes] == ["accepted"] * 20
    assert transactions(sessions) == [20]


def test_what_was_handed_in_is_written_although_its_loop_is_gone(sessions: Sessions) -> None:
    source = web(sessions)
    writer = Writer(sessions)

    async def send() -> None:
        for number in range(3):
            writer.submit(batch(source, number))

    asyncio.run(send())
    writer.close()
    assert sum(transactions(sessions)) == 3
    assert not writer.alive


def test_a_client_that_repeats_itself_is_told_so_and_costs_its_neighbours_nothing(
    sessions: Sessions,
) -> None:
    source = web(sessions)
    writer = Writer(sessions)
    size = WORTH_A_COPY

    async def send(*requests: range) -> list[list[str]]:
        outcomes = await asyncio.gather(*(writer.submit(batch(source, *r)) for r in requests))
        return [[outcome.state for outcome in those] for those in outcomes]

    new, old = ["accepted"] * size, ["duplicate"] * size
    assert asyncio.run(send(range(size))) == [new]
    # The second transaction takes its events for new, is wrong, and looks; the third looks at once.
    for start in (size, 2 * size):
        repeated, unseen = range(start - size, start), range(start, start + size)
        assert asyncio.run(send(repeated, unseen)) == [old, new]
    writer.close()
    assert sorted(transactions(sessions)) == [size] * 3
