"""When something happened, by our clock: what clients write for a time, and clocks that are off."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

#: A clock that differs by less than this is right, and what differs is the network: the time is
#: then kept exactly as it was sent.
SKEW_IGNORED = timedelta(seconds=2)
#: Beyond this the sent time says nothing about the clock (research/sdk-contract.md 6).
SKEW_BELIEVED = timedelta(days=365)
#: Seconds or milliseconds since 1970 as text. Eight digits are a day (ISO 8601 basic form).
EPOCH = re.compile(r"-?\d{9,15}(\.\d{1,9})?", re.ASCII)
#: What a time ends in as clients write it; what ends otherwise is tidied first.
ZONES = frozenset("Z0123456789")
_EARLIEST = datetime(1, 1, 2, tzinfo=UTC)


def happened(
    original: datetime | None, sent_at: datetime | None, received_at: datetime
) -> datetime:
    """Return when it happened by our clock: `received - (sent - original)` [Segment].

    Only a clock that is visibly wrong is corrected. Without a readable time it happened when it
    was received.
    """
    if original is None:
        return received_at
    if sent_at is None:
        return original
    skew = received_at - sent_at
    if abs(skew) < SKEW_IGNORED or abs(skew) > SKEW_BELIEVED:
        return original
    try:
        return original + skew
    except OverflowError:
        return original


def read(value: object) -> datetime | None:
    """Read an ISO 8601 time, or seconds or milliseconds since 1970; without zone it is UTC."""
    if value is None:
        return None
    try:
        if type(value) is str:
            if value[4:5] != "-":  # not as nearly every client writes it
                value = value.strip()
                if EPOCH.fullmatch(value):
                    value = float(value)
        if type(value) is str:
            time = datetime.fromisoformat(value if value[-1:] in ZONES else value.strip().upper())
        elif isinstance(value, int | float) and not isinstance(value, bool):
            time = datetime.fromtimestamp(value / 1000 if abs(value) > 1e11 else value, UTC)
        else:
            return None
        if time.tzinfo is not UTC:
            time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return time if time > _EARLIEST else None


def read_sent(value: object) -> datetime | None:
    """Read the time at which a request was sent, one for all of its events."""
    return _remembered(value) if type(value) is str else read(value)


# One time for all the events of a request.
@lru_cache(maxsize=16)
def _remembered(value: str) -> datetime | None:
    return read(value)
