"""A token bucket: so many events per second on average, so many at once; no database."""

import math
from dataclasses import dataclass, field


@dataclass(slots=True)
class Bucket:
    """Fills with `rate` events per second up to `burst`, and is full at first.

    A request with more events than the bucket can ever hold passes when it is full, and the
    bucket then owes the rest: the average is kept, and no batch is refused for ever.
    """

    rate: float
    burst: float
    _level: float = field(init=False)
    _at: float = field(init=False, default=-math.inf)

    def __post_init__(self) -> None:
        """Start full."""
        self._level = self.burst

    def take(self, events: int, now: float) -> float:
        """Take so many events out at `now`, in seconds of a clock that only goes forward.

        Returns 0 when they pass; otherwise nothing is taken, and the answer is the seconds until
        they will.
        """
        if now > self._at:
            self._level = min(self.burst, self._level + (now - self._at) * self.rate)
            self._at = now
        needed = min(events, self.burst)
        # Levels are sums of fractions: a billionth of an event more or less is none.
        if self._level + 1e-9 >= needed:
            self._level -= events
            return 0.0
        return (needed - self._level) / self.rate

    def change(self, rate: float, burst: float) -> None:
        """Go on at another rate and size, with what is left; a larger one has yet to fill."""
        self._level = min(self._level, burst)
        self.rate, self.burst = rate, burst
