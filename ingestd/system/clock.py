"""Whether the wall clock is plausible: some machines boot in 1970, until NTP answers.

An event of 1970 is worse than a refused one: Kafka's retention deletes it at once, and no hour of an audit
covers it.
"""

from __future__ import annotations

import time

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
