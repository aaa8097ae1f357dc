"""What reading signals costs an event that has none beside Segment's own: the way in is short."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from msgspec import Raw

from app.access.sources import SourceSettings
from app.events.memory import Memory
from app.events.message import Context, beside, decode_context
from consent.defaults import CATALOGUE
from consent.signals.stamp import Stamp


def shortest(work: Callable[[], object]) -> float:
    """The time of one call in microseconds, as short as it ever was: other programs run too."""
    best = float("inf")
    for _ in range(300):
        start = time.perf_counter()
        for _ in range(300):
            work()
        best = min(best, (time.perf_counter() - start) / 300)
    return best * 1e6


def read(
    memory: Memory, source: SourceSettings, context: Context, own: bytes, now: datetime
) -> Stamp:
    return memory.stamp(source, own, bytes(beside(context)), answer=False, now=now)


def test_an_event_with_segments_stamp_or_none_is_read_once(
    record_property: Callable[[str, object], None],
) -> None:
    """What is said once more is the very object of the first time; what that takes is printed."""
    memory, now = Memory(), datetime.now(UTC)
    memory.purposes = {purpose.key: purpose for purpose in CATALOGUE}
    source = SourceSettings(1, "web")
    words = b'{"categoryPreferences":{"analytics.audience":true,"ads.share":false}}'
    for text in (b"{}", b'{"consent":%b,"page":{"path":"/a"}}' % words):
        context = decode_context(Raw(text))
        assert beside(context) == Raw(b"")
        own = bytes(context.consent)
        again = partial(read, memory, source, context, own, now)
        assert again() is again()
        record_property(f"{len(own)} bytes of consent, in µs", round(shortest(again), 2))
