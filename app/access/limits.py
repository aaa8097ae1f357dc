"""How fast each client may ask this process."""

import math
import time
from threading import Lock

from app.access.bucket import Bucket
from app.errors import RateLimited


def at_once(rate: float, burst: float | None) -> float:
    """Return how many requests a client may ask at once: those of a second unless it is said."""
    return burst or max(1.0, rate)


class ClientLimits:
    """The rate limits of clients; what is left of one lives in this process (decision 0025)."""

    def __init__(self) -> None:
        """Every client begins with a full bucket."""
        self._buckets: dict[str, Bucket] = {}
        self._lock = Lock()

    def admit(self, client_id: str, rate: float | None, burst: float | None) -> None:
        """Let one request of a client in; raises RateLimited. Safe in threads."""
        if rate is None:
            return
        burst = at_once(rate, burst)
        with self._lock:
            bucket = self._buckets.get(client_id)
            if bucket is None:
                bucket = self._buckets[client_id] = Bucket(rate, burst)
            elif (bucket.rate, bucket.burst) != (rate, burst):
                bucket.change(rate, burst)
            wait = bucket.take(1, time.monotonic())
        if wait:
            raise RateLimited(
                f"this client may ask {rate:g} times per second and {burst:g} at once",
                retry_after=math.ceil(wait),
            )
