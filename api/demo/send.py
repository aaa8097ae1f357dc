"""Sends the demonstration through the SDK that customers use, over HTTP."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from segment.analytics.client import Client

from api.demo.behaviour import Call

#: What the SDK puts into one request.
UPLOAD_SIZE = 100


class Undelivered(Exception):
    """The SDK gave up on some of the events."""


def send(
    calls: Sequence[Call],
    write_keys: Mapping[str, str],
    *,
    host: str,
    progress: Callable[[int], None],
) -> float:
    """Send every call with `segment-analytics-python`, one client per source; return seconds.

    In order of time inside each source, the sources side by side, as they would be in life.
    `progress` hears how many have been delivered. Raises Undelivered when the SDK reports events
    that it could not deliver.
    """
    failures: list[str] = []
    clients = {
        source: Client(
            key,
            host=host,
            on_error=lambda error, _: failures.append(str(error)),
            max_queue_size=5_000,
            upload_size=UPLOAD_SIZE,
            upload_interval=0.05,
        )
        for source, key in write_keys.items()
    }
    started = time.perf_counter()
    enqueued = dict.fromkeys(clients, 0)

    def feed(source: str) -> None:
        for call in calls:
            if call.source == source:
                while not _enqueue(clients[source], call):
                    time.sleep(0.01)
                enqueued[source] += 1

    threads = [threading.Thread(target=feed, args=(source,), daemon=True) for source in clients]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or any(
        client.queue.unfinished_tasks for client in clients.values()
    ):
        progress(sum(enqueued.values()) - sum(c.queue.qsize() for c in clients.values()))
        time.sleep(0.1)
    for client in clients.values():
        client.shutdown()
    progress(sum(enqueued.values()))
    if failures:
        raise Undelivered(f"{len(failures)} requests failed, the first with: {failures[0]}")
    return time.perf_counter() - started


def _enqueue(client: Client, call: Call) -> bool:
    """Hand one call to the SDK as an application would; False when its queue is full."""
    if client.queue.full():
        return False
    shared = {
        "user_id": call.user_id,
        "anonymous_id": call.anonymous_id,
        "context": dict(call.context),
        "timestamp": call.timestamp,
        "message_id": call.message_id,
    }
    if call.type == "identify":
        accepted, _ = client.identify(traits=call.properties, **shared)
    elif call.type == "page":
        accepted, _ = client.page(name=call.event, properties=call.properties, **shared)
    elif call.type == "screen":
        accepted, _ = client.screen(name=call.event, properties=call.properties, **shared)
    else:
        accepted, _ = client.track(event=call.event, properties=call.properties, **shared)
    return bool(accepted)
