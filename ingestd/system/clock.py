"""Whether the wall clock is plausible, and whether it may be trusted with deleting.

Some machines boot in 1970, until NTP answers. An event of 1970 is worse than a refused one: Kafka's retention
deletes it at once, and no hour of an audit covers it. Others show a wrong day for a while (SteadyClock).
"""

from __future__ import annotations

import time
from collections.abc import Callable

# ingestd did not exist before; and until 2286 a time in ms has 13 digits, as event.RECEIVED_AT_SLICE wants.
EARLIEST_NS = 1_735_689_600 * 1_000_000_000  # 2025-01-01
LATEST_NS = 10_000_000_000 * 1_000_000_000  # 2286-11-20


def error(now_ns: int) -> str:
    """Why the clock is wrong; "" if it is plausible. `now_ns`: nanoseconds since the epoch."""
    if EARLIEST_NS <= now_ns < LATEST_NS:
        return ""
    return f"the clock says {_text(now_ns)}"


def _text(now_ns: int) -> str:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_ns // 1_000_000_000))
    except (OverflowError, OSError, ValueError):  # beyond the last year of the C library
        return f"{now_ns // 1_000_000_000} s since 1970"


class SteadyClock:
    """A wall clock that is trusted once it has gone in step with the monotonic clock for SETTLE seconds.

    Both are in seconds. To be looked at about once a second: a step is what the two differ by since the last
    look.
    """

    SETTLE = 3600.0
    STEP = 300.0  # smaller ones are NTP's, or a pause of this process

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._since = monotonic()
        self._offset = wall() - self._since
        self.step = 0.0
        """The last step in seconds; 0 if none has been seen."""

    def look(self) -> None:
        """See whether the wall clock has made a step."""
        now = self._monotonic()
        offset = self._wall() - now
        if abs(offset - self._offset) > self.STEP:
            self.step, self._since = offset - self._offset, now
        self._offset = offset

    def doubt(self) -> str:
        """Why the clock is not to be trusted yet; "" if it is."""
        self.look()
        if self._monotonic() - self._since >= self.SETTLE:
            return ""
        if self.step:
            return f"the clock was set by {self.step:+.0f} s less than {self.SETTLE / 60:g} minutes ago"
        return f"the clock has been watched for less than {self.SETTLE / 60:g} minutes"
