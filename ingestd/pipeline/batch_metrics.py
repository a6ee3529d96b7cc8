"""Histograms and counters of the flusher and the loop, filled once a batch; `admin.metrics` exposes them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from ingestd.event import Entry

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)

_received_ns = attrgetter("received_ns")


class Histogram:
    """Counts in buckets, filled many at a time. `bounds`: upper bounds, ascending."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value `times` times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def observe_batch(self, batch: Sequence[Entry], now_ns: int) -> None:
        """Count for each entry the seconds since it was received, in O(buckets), not O(entries).

        Entries stand in the order they were received, so bisection finds the number in each bucket.
        `now_ns`: wall clock, nanoseconds since the epoch.
        """
        size = len(batch)
        oldest = max(0.0, (now_ns - batch[0].received_ns) / 1e9)
        newest = max(0.0, (now_ns - batch[-1].received_ns) / 1e9)
        first, last = bisect_left(self.bounds, newest), bisect_left(self.bounds, oldest)
        rest = size
        for bucket in range(first, last):
            since = now_ns - int(self.bounds[bucket] * 1e9)
            older = bisect_left(batch, since, key=_received_ns)
            self.counts[bucket] += max(0, rest - older)
            rest = min(rest, older)
        self.counts[last] += rest
        self.sum += max(0.0, size * now_ns - sum(map(_received_ns, batch))) / 1e9


@dataclass
class BatchMetrics:
    """Counted once a batch, except `loop_lag_seconds`: the delay of a timer of the loop."""

    ack_seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    commit_seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    batch_events: Histogram = field(default_factory=lambda: Histogram(COUNTS))
    loop_lag_seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    commit_failures: int = 0
    stalls: int = 0
