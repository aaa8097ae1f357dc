"""Sends requests over some connections at once and says how long each answer took."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one run: events by outcome, seconds in all, seconds of each request."""

    accepted: int
    rejected: int
    seconds: float
    latencies: list[float]

    def percentile(self, share: float) -> float:
        """Return the latency in milliseconds under which this share of the requests lies."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


def send(url: str, path: str, bodies: Sequence[bytes], connections: int) -> Sent:
    """Post all bodies, each connection waiting for its answer before the next request.

    Plain sockets, because a client library would take more of two cores than the server.
    """
    return asyncio.run(_send(url, path, bodies, connections))


async def _send(url: str, path: str, bodies: Sequence[bytes], connections: int) -> Sent:
    host, port = urlsplit(url).hostname or "", urlsplit(url).port or 80
    waiting = iter(bodies)
    latencies: list[float] = []
    counts = [0, 0]

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, port, limit=2**20)
        for body in waiting:
            head = (
                f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            began = time.perf_counter()
            writer.write(head.encode() + body)
            answer = await _answer(reader)
            latencies.append(time.perf_counter() - began)
            counts[0] += answer["accepted"] + answer["duplicates"]
            counts[1] += len(answer["rejected"])
        writer.close()
        await writer.wait_closed()

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(connections)))
    return Sent(counts[0], counts[1], time.perf_counter() - started, latencies)


async def _answer(reader: asyncio.StreamReader) -> dict[str, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0])
    body = await reader.readexactly(length)
    if not head.startswith("http/1.1 200"):
        raise RuntimeError(f"{head.splitlines()[0]}: {body[:300]!r}")
    answer: dict[str, Any] = json.loads(body)
    return answer
