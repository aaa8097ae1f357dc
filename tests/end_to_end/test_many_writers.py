"""Sixteen writers of the same events at once: each event once, no deadlock, no error."""

import json
import random
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.access import sources
from app.db import Sessions
from app.events import envelope, tally
from app.events.body import to_message
from app.events.item import Batch
from app.events.memory import Memory
from app.events.writer import write
from tests.end_to_end.conftest import Measure
from tests.end_to_end.kills import Chaos
from tests.end_to_end.product import Product

pytestmark = pytest.mark.long

WRITERS = 16
EVENTS = 2_000
Message = dict[str, Any]


def messages() -> list[Message]:
    """Events of 200 people: most new to everybody, some with a change of mind about consent."""
    out: list[Message] = []
    for n in range(EVENTS):
        answer = {"analytics.audience": n % 3 > 0, "ads.share": n % 7 == 0}
        message: Message = {
            "type": "identify" if n % 5 == 0 else "track",
            "event": "Same",
            "messageId": f"same-{n}",
            "anonymousId": f"a{n % 200}",
            "traits": {"email": f"p{n % 200}@example.com"},
            "context": {"consent": {"categoryPreferences": answer}},
        }
        if n % 3 == 0:
            message["userId"] = f"u{n % 150}"
        out.append(message)
    return out


def in_batches(chance: random.Random) -> list[list[Message]]:
    """Return all events in an order and in batches that no other writer has."""
    mixed = messages()
    chance.shuffle(mixed)
    out = []
    while mixed:
        size = chance.choice((1, 7, 50, 100, 400))
        out.append(mixed[:size])
        mixed = mixed[size:]
    return out


def at_once(work: Callable[[int], Counter[str]]) -> Counter[str]:
    """Let sixteen threads work and return what their events became in all."""
    with ThreadPoolExecutor(WRITERS) as pool:
        return sum(pool.map(work, range(WRITERS)), Counter())


def assert_once(session: Session, source_id: int, said: Counter[str]) -> None:
    """Each event is there once, was accepted in one answer, and the counters say so too."""
    assert said == {"accepted": EVENTS, "duplicate": (WRITERS - 1) * EVENTS}
    rows, ids = session.execute(
        sa.text(
            "SELECT count(*), count(DISTINCT message_id) FROM app.event WHERE source_id = :source"
        ),
        {"source": source_id},
    ).one()
    assert (rows, ids) == (EVENTS, EVENTS)
    counted = tally.read(session, source_id, datetime.now(UTC) + timedelta(seconds=1)).hour
    assert (counted.accepted, counted.duplicate) == (said["accepted"], said["duplicate"])
    assert (counted.rejected.total(), counted.held) == (0, 0)


def test_sixteen_writers_on_one_database_store_each_event_once(sessions: Sessions) -> None:
    with sessions.begin() as session:
        source = sources.settings_of(sources.add(session, "web")[0])

    def work(number: int) -> Counter[str]:
        memory = Memory()
        said: Counter[str] = Counter()
        for part in in_batches(random.Random(number)):  # noqa: S311  # another order for each
            now = datetime.now(UTC)
            entries = [envelope.read(to_message(m), received_at=now, largest=32_768) for m in part]
            with sessions.begin() as session:
                [outcomes] = write(session, [Batch(source, entries, now)], memory)
            said.update(outcome.state for outcome in outcomes)
        return said

    said = at_once(work)
    with sessions() as session:
        assert_once(session, source.id, said)


def test_sixteen_clients_of_two_server_processes_store_each_event_once(
    own_product: Product, measure: Measure
) -> None:
    own_product.start("--workers", "2")
    key = own_product.add_source("web")
    assert len(Chaos(own_product, 0).children()) == 2

    def work(number: int) -> Counter[str]:
        said: Counter[str] = Counter()
        authorization = "Basic " + b64encode(f"{key}:".encode()).decode()
        with httpx.Client(base_url=own_product.url, trust_env=False, timeout=120) as http:
            for part in in_batches(random.Random(number)):  # noqa: S311  # another order for each
                answer = http.post(
                    "/v1/batch",
                    content=json.dumps({"batch": part}),
                    headers={"Authorization": authorization, "Connection": "close"},
                )
                assert answer.status_code == 200, answer.text
                assert answer.json()["rejected"] == []
                said["accepted"] += answer.json()["accepted"]
                said["duplicate"] += answer.json()["duplicates"]
        return said

    said = at_once(work)
    measure("answers", dict(said))
    with own_product.tables() as session:
        source_id = session.scalar(sa.text("SELECT id FROM app.source WHERE name = 'web'"))
        assert source_id is not None
        assert_once(session, source_id, said)
