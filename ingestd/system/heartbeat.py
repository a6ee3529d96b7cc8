"""The heartbeat of the event loop: how late it is, and the watchdog it feeds while it turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ingestd.system import systemd

PERIOD = 0.1  # seconds
# The watchdog is fed this many times in its period.
FEEDS = 4


async def beat(observe: Callable[[float], None]) -> None:
    """Call `observe` with the seconds by which a timer was late, every PERIOD, until cancelled.

    The watchdog is fed from here, so that a loop that does not turn is restarted by systemd.
    """
    watchdog = systemd.watchdog_period()
    fed = 0.0
    while True:
        due = time.monotonic() + PERIOD
        await asyncio.sleep(PERIOD)
        now = time.monotonic()
        observe(max(0.0, now - due))
        if watchdog is not None and now - fed >= watchdog / FEEDS:
            fed = now
            systemd.notify("WATCHDOG=1")
