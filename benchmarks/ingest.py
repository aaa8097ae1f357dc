"""Events per second through HTTP into PostgreSQL, as a ratio to COPY into the same table.

    make bench        (or: python -m benchmarks.ingest --rounds 5 --events 20000)

The server is `parcours serve` in a process of its own, the events are those of the demonstration,
sent over loopback in requests of 100 and of 20 by 8 connections that wait for each answer. The
limit is COPY of the very rows that the server wrote, in one commit, into a table with the same
columns and indexes. The two take turns, because the machine is noisy.
"""

import argparse
import json
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import sqlalchemy as sa

from api.cli.product import add_sources, free_port, running
from api.cli.session import opened
from api.demo.generate import Call, generate
from app import db
from app.db import Sessions
from app.settings import Settings

CONNECTIONS = 8


def main() -> None:
    """Run the rounds and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--events", type=int, default=20_000)
    chosen = arguments.parse_args()
    calls = generate(people=max(100, chosen.events // 20), end=datetime.now(UTC)).calls
    messages = [_message(call) for call in calls][: chosen.events]
    quiet = {"PARCOURS_MATCHING_INTERVAL_SECONDS": "86400"}
    with tempfile.TemporaryDirectory(prefix="parcours-bench-") as scratch:
        Path(scratch).chmod(0o755)
        with (
            running(Path(scratch), free_port(8000), environment=quiet) as url,
            opened(Settings(data_dir=Path(scratch))) as sessions,
        ):
            key = add_sources(sessions, {"bench": "service.operation"})["bench"]
            for size in (100, 20):
                _compare(sessions, url, key, messages, size, chosen.rounds)


def _compare(
    sessions: Sessions,
    url: str,
    key: str,
    messages: list[dict[str, object]],
    size: int,
    rounds: int,
) -> None:
    rates, limits = [], []
    for _ in range(rounds):
        rates.append(_ingest(url, key, messages, size))
        _settle(url)
        limits.append(_copy(sessions))
    ratios = [rate / limit for rate, limit in zip(rates, limits, strict=True)]
    print(
        f"{size:>4} events a request, {CONNECTIONS} connections: "
        f"{statistics.median(rates):>8,.0f} events/s, COPY {statistics.median(limits):>8,.0f}, "
        f"ratio {statistics.median(ratios):.3f} [{min(ratios):.3f} to {max(ratios):.3f}], "
        f"{rounds} rounds"
    )


def _message(call: Call) -> dict[str, object]:
    place = "traits" if call.type == "identify" else "properties"
    return {
        "type": call.type,
        "event" if call.type == "track" else "name": call.event,
        "userId": call.user_id,
        "anonymousId": call.anonymous_id,
        "context": call.context,
        "timestamp": call.timestamp.isoformat(),
        place: call.properties,
    }


def _ingest(url: str, key: str, messages: list[dict[str, object]], size: int) -> float:
    """Send all messages with new ids and return events per second, first byte to last answer."""
    batches = [
        json.dumps(
            {
                "batch": [{**m, "messageId": str(uuid4())} for m in messages[at : at + size]],
                "writeKey": key,
            }
        ).encode()
        for at in range(0, len(messages), size)
    ]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        clients = [
            httpx.Client(base_url=url, timeout=60, trust_env=False) for _ in range(CONNECTIONS)
        ]
        started = time.perf_counter()
        shares = [batches[n::CONNECTIONS] for n in range(CONNECTIONS)]
        accepted = sum(pool.map(_send, clients, shares))
        seconds = time.perf_counter() - started
    # A few of the demonstration's calls carry garbage identifiers only, and are refused as such.
    assert accepted > len(messages) * 0.99, (accepted, len(messages))
    return accepted / seconds


def _send(client: httpx.Client, batches: list[bytes]) -> int:
    with client:
        return sum(
            client.post("/v1/batch", content=body).raise_for_status().json()["accepted"]
            for body in batches
        )


def _settle(url: str) -> None:
    """Wait until the pipeline has done its part, so that it does not slow COPY down."""
    while httpx.get(f"{url}/readyz", trust_env=False).json()["backlog"]:
        time.sleep(0.2)


def _copy(sessions: Sessions) -> float:
    """COPY the newest events into an empty table like app.event and return rows per second."""
    with sessions.begin() as session:
        session.execute(sa.text("DROP TABLE IF EXISTS app.copy_limit"))
        session.execute(sa.text("CREATE TABLE app.copy_limit (LIKE app.event INCLUDING ALL)"))
        rows = session.execute(
            sa.text(
                "SELECT source_id, message_id, type, name, identifier_id, identifier_ids, user_id,"
                " anonymous_id, occurred_at, received_at, refused, CAST(properties AS text) AS p,"
                " CAST(context AS text) AS c FROM app.event ORDER BY id DESC LIMIT 20000"
            )
        ).all()
    columns = (
        "source_id", "message_id", "type", "name", "identifier_id", "identifier_ids", "user_id",
        "anonymous_id", "occurred_at", "received_at", "refused", "properties", "context",
    )  # fmt: skip
    started = time.perf_counter()
    with sessions.begin() as session:
        db.copy(session, "app.copy_limit", columns, rows)
    return len(rows) / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
