"""A source's `max_rate`: requests a second, with a burst of one second's worth."""

from __future__ import annotations

SECOND = 1_000_000_000


class RateLimit:
    """The generic cell rate algorithm (ITU-T I.371): a token bucket in one number.

    `_full_at`: when an unused bucket would be full again, in ns since the epoch. If the clock is set back by
    more than the bucket can owe, the bucket starts full again.
    """

    __slots__ = ("_burst", "_full_at", "_interval")

    def __init__(self, per_second: float) -> None:
        self._interval = max(1, int(SECOND / per_second))
        self._burst = max(SECOND, self._interval) - self._interval
        self._full_at = 0

    def exceeded(self, now_ns: int) -> bool:
        """Whether a request now is over the limit; if it is not, it is counted. `now_ns`: wall clock, ns."""
        owed = self._full_at - now_ns
        if owed <= 0 or owed > self._burst + self._interval:
            self._full_at = now_ns + self._interval
            return False
        if owed > self._burst:
            return True
        self._full_at += self._interval
        return False
