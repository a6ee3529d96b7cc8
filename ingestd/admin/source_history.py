"""Each source's last hour: snapshots of a few counters, two minutes apart, in fixed memory.

A source has a number: its place in `Counters.by_source`, which only grows until a restart.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from ingestd.admin.counter_totals import COLUMNS, Columns, Rest

SNAPSHOT_SECONDS = 120.0
SNAPSHOTS = 31  # an hour between the first and the last
# Counters are kept modulo 2**32; their differences are right.
WRAP = 0xFFFFFFFF
Figures = tuple[int, ...]  # by COLUMNS


class SourceSnapshot(NamedTuple):
    """The counters at one moment (monotonic seconds), by COLUMNS, then by source."""

    at: float
    columns: tuple[array[int], ...]

    def figures(self, number: int) -> Figures:
        """The counters of one source; 0 where it was not there yet."""
        return tuple(column[number] if number < len(column) else 0 for column in self.columns)


class SourceHistory:
    """The snapshots of all sources. Times are monotonic seconds, but for `seen`: wall clock."""

    def __init__(self, now: float) -> None:
        self.now: Columns = tuple([] for _ in COLUMNS)
        self.came = array("I")  # requests in the last slot
        self.seconds = 1.0  # how long that was
        self.seen = array("d")  # when something came last, 0.0: never; to the length of a slot
        self.snapshots: deque[SourceSnapshot] = deque(maxlen=SNAPSHOTS)
        self.snapshots.append(SourceSnapshot(now, tuple(array("I") for _ in COLUMNS)))

    def size_bytes(self) -> int:
        """Memory it takes now: 804 bytes a source after an hour."""
        kept = sum(len(column) * column.itemsize for one in self.snapshots for column in one.columns)
        ints = sum(len(column) for column in self.now) * 8
        return kept + ints + len(self.came) * 4 + len(self.seen) * 8

    def busy(self, columns: Columns, seconds: float, wall: float) -> list[tuple[int, int]]:
        """Take the counters at the end of a slot of so many seconds.

        Returns what came in it: the number of events and of the source, of those that had any.
        """
        before, received = self.now[0], columns[0]
        before += [0] * (len(received) - len(before))
        came = [
            (new - old, number)
            for number, (new, old) in enumerate(zip(received, before, strict=True))
            if new != old
        ]
        self.seen.extend([0.0] * (len(received) - len(self.seen)))
        self.came, self.seconds = array("I", bytes(4 * len(received))), seconds
        for count, number in came:
            self.seen[number] = wall
            self.came[number] = count
        self.now = columns
        return came

    async def keep(self, now: float, rest: Rest) -> None:
        """Take a snapshot where one is due."""
        if now - self.snapshots[-1].at >= SNAPSHOT_SECONDS:
            kept = []
            for column in self.now:
                kept.append(array("I", map(WRAP.__and__, column)))
                await rest(0)
            self.snapshots.append(SourceSnapshot(now, tuple(kept)))

    def since(self, seconds: float, now: float) -> SourceSnapshot:
        """The newest snapshot at least so old; the oldest there is where none is."""
        for snapshot in reversed(self.snapshots):
            if now - snapshot.at >= seconds:
                return snapshot
        return self.snapshots[0]

    def figures(self, number: int) -> Figures:
        """A source's counters at the end of the last slot, modulo 2**32."""
        return tuple(column[number] & WRAP if number < len(column) else 0 for column in self.now)

    def grown(self, number: int, snapshot: SourceSnapshot) -> Figures:
        """By how much a source's counters have grown since a snapshot."""
        return difference(self.figures(number), snapshot.figures(number))

    def column(self, index: int, snapshot: SourceSnapshot) -> list[int]:
        """The same for all sources, of one of COLUMNS."""
        new, old = self.now[index], snapshot.columns[index]
        grown = [(one - was) & WRAP for one, was in zip(new, old, strict=False)]
        return grown + [one & WRAP for one in new[len(old) :]]

    def over_time(self, number: int, now: float) -> list[tuple[float, float, Figures]]:
        """For each stretch between two snapshots: how long ago it ended, its length (s), what came in it."""
        rows = []
        before = self.snapshots[0]
        for snapshot in list(self.snapshots)[1:]:
            grown = difference(snapshot.figures(number), before.figures(number))
            rows.append((now - snapshot.at, snapshot.at - before.at, grown))
            before = snapshot
        rows.append((0.0, max(1.0, now - before.at), self.grown(number, before)))
        return rows


def difference(new: Sequence[int], old: Sequence[int]) -> Figures:
    """New less old, modulo 2**32."""
    return tuple((one - was) & WRAP for one, was in zip(new, old, strict=True))
