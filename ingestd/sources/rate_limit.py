"""A rate limit a source may have: so many requests a second, with a second's worth at once."""

from __future__ import annotations

SECOND = 1_000_000_000


class RateLimit:
    """The generic cell rate algorithm: a token bucket in one number.

    `_full_at`: when, in ns since the epoch, a bucket left alone would be full again. The clock is the
    caller's time of reception; where it was set back by more than the bucket can owe, we start anew.
    """

    __slots__ = ("_burst", "_full_at", "_interval")

    def __init__(self, per_second: float) -> None:
        self._interval = max(1, int(SECOND / per_second))
        self._burst = max(SECOND, self._interval) - self._interval
        self._full_at = 0

    def exceeded(self, now_ns: int) -> bool:
        """Whether a request now is over the limit; if not it is counted."""
        owed = self._full_at - now_ns
        if owed <= 0 or owed > self._burst + self._interval:
            self._full_at = now_ns + self._interval
            return False
        if owed > self._burst:
            return True
        self._full_at += self._interval
        return False
