"""Which finished files retention removes: too old, or too many bytes.

Age is what a clock says, and a clock may be wrong: one that is 30 days ahead for a minute makes every file
too old. So files are removed by age only while the clock is confirmed, and only some at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from math import inf

from ingestd import config
from ingestd.file.listing import FinishedFile
from ingestd.system.clock import SteadyClock

logger = logging.getLogger(__name__)

# Files removed by age in one round, once a minute: a clock that is wrong all the same takes only some of them
# before somebody has read the log.
MAX_BY_AGE = 100
# A file that was written so many seconds ago says that the present clock was right then, to a day.
_CONFIRMS = (3600.0, 26 * 3600.0)


class Retention:
    """Decides which files go. `clock`: monotonic, `wall`: since the epoch, both in seconds."""

    def __init__(
        self, settings: config.FileConfig, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._wall = wall
        self._steady = SteadyClock(wall, clock)
        self.doubt = ""
        """Why files that are too old are kept; "" if nothing keeps them."""

    def look(self) -> None:
        """To be called about once a second, so that a step of the clock is seen."""
        self._steady.look()

    def due(self, files: list[FinishedFile]) -> list[str]:
        """The names of the files to remove now, of `files`, oldest first."""
        keep_days, keep_bytes = self._settings.keep_days, self._settings.keep_bytes
        excess = past_bytes(files, keep_bytes) if keep_bytes else []
        now = self._wall()
        limit = (now - keep_days * 86400) * 1e9 if keep_days else -inf
        old = [file.name for file in files[len(excess) :] if file.written_ns < limit]
        if not old or not self._may_go_by_age(files, now, len(old)):
            return excess
        if len(old) > MAX_BY_AGE:
            fields = {"files": MAX_BY_AGE, "left": len(old) - MAX_BY_AGE}
            logger.warning("many files are past file.keep_days: the oldest are removed now", extra=fields)
        return excess + old[:MAX_BY_AGE]

    def _may_go_by_age(self, files: list[FinishedFile], now: float, number: int) -> bool:
        """Whether the clock is right, as far as can be told; says so when that changes."""
        doubt = self._steady.doubt()
        if doubt and not self._steady.step and confirmed_by(files, now):
            doubt = ""
        if doubt and not self.doubt:
            fields = {"files": number, "error": doubt}
            logger.warning("files past file.keep_days are kept until the clock is confirmed", extra=fields)
        elif self.doubt and not doubt:
            logger.info("the clock is confirmed: files past file.keep_days are removed")
        self.doubt = doubt
        return not doubt


def past_bytes(files: list[FinishedFile], keep_bytes: int) -> list[str]:
    """The names of the oldest of `files`, oldest first, beyond so many bytes in all."""
    total = sum(file.size for file in files)
    found = []
    for file in files:
        if total <= keep_bytes:
            break
        total -= file.size
        found.append(file.name)
    return found


def confirmed_by(files: Iterable[FinishedFile], now: float) -> bool:
    """Whether a file was written an hour to a day before `now`, seconds since the epoch.

    A clock that has just jumped by days has no such file; neither has one before which nothing was written
    for a day, and that one is confirmed by time.
    """
    nearest, farthest = _CONFIRMS
    return any(nearest <= now - file.written_ns / 1e9 <= farthest for file in files)
