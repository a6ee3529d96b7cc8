"""How long tests wait: as long as it takes, on any machine.

A test waits for an event, with a deadline so far that only an event that never comes reaches it (`FAR`).
Where the time itself is what is tested, the bound grows with how slow the machine is then (`at_most`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

FAR = 240.0  # seconds; below pytest's own limit for a test, which shows less of what went wrong
_POLL = 0.01
_PROBE_SECONDS = 0.03  # to start a bare Python, on a machine of 2020 with nothing else to do


def until(reached: Callable[[], object], what: str, timeout: float = FAR) -> None:
    """Wait for what can only be seen by looking. Fails with `what` it was that never came."""
    deadline = time.monotonic() + timeout
    while not reached():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(_POLL)


def slowness() -> float:
    """How many times slower than alone a process runs here now: at least 1.

    The larger of two measures: processes that want a core, for each core (the last minute's mean), and how
    long a bare Python takes to start against how long it should.
    """
    began = time.monotonic()
    subprocess.run([sys.executable, "-I", "-S", "-c", ""], check=True)
    started = (time.monotonic() - began) / _PROBE_SECONDS
    return max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)), started)


def at_most(seconds: float) -> float:
    """The bound for what takes up to so many seconds on a machine with nothing else to do."""
    return seconds * slowness()
