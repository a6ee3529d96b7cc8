"""The wall clock, and when it is not to be believed: some machines boot in 1970, until NTP answers.

An event of 1970 is worse than none: Kafka deletes it as long past its time, and no hour is ever asked for it.
"""

from __future__ import annotations

import time

# Nothing was received before ingestd was written; and until 2286 a time in ms has 13 digits (event.py).
EARLIEST_NS = 1_735_689_600 * 1_000_000_000  # 2025-01-01
LATEST_NS = 10_000_000_000 * 1_000_000_000  # 2286-11-20


def trouble(now_ns: int) -> str:
    """What is wrong with the clock; "" where nothing is."""
    if EARLIEST_NS <= now_ns < LATEST_NS:
        return ""
    return f"the clock says {_text(now_ns)}"


def _text(now_ns: int) -> str:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_ns // 1_000_000_000))
    except (OverflowError, OSError, ValueError):  # no calendar goes so far
        return f"{now_ns // 1_000_000_000} s since 1970"
