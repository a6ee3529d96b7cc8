"""What a daemon says of itself at /metrics, before and after a load."""

from __future__ import annotations

import http.client
import math
from collections.abc import Iterable
from dataclasses import dataclass

from bench.procs import BenchError

Samples = dict[str, float]  # ``name{labels}`` to value


@dataclass(frozen=True)
class Histogram:
    """Counts by bucket, not cumulative; `bounds` are upper bounds in seconds, the last is infinity."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    sum: float

    @property
    def total(self) -> float:
        """How many were counted."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """Their mean; 0 where there are none."""
        return self.sum / self.total if self.total else 0.0

    def quantile(self, share: float) -> float:
        """Return the bound below which at least this share lies; 0 where nothing was counted."""
        wanted, seen = share * self.total, 0.0
        for bound, count in zip(self.bounds, self.counts, strict=True):
            seen += count
            if count and seen >= wanted:
                return bound
        return 0.0

    def above(self, bound: float) -> float:
        """Return how many were over a bound of the buckets."""
        return sum(count for upper, count in zip(self.bounds, self.counts, strict=True) if upper > bound)


def scrape(port: int) -> Samples:
    """Read /metrics on a loopback port. Raises BenchError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/metrics")
        reply = connection.getresponse()
        text = reply.read().decode()
    except OSError as error:
        raise BenchError(f"no metrics at port {port}: {error}") from error
    finally:
        connection.close()
    if reply.status != 200:
        raise BenchError(f"no metrics at port {port}: status {reply.status}")
    return parse(text)


def parse(text: str) -> Samples:
    """Read Prometheus' text form."""
    found: Samples = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def total(samples: Samples, name: str) -> float:
    """Return a metric's sum over its labels."""
    return sum(value for key, value in samples.items() if key.partition("{")[0] == name)


def between(before: Iterable[Samples], after: Iterable[Samples], name: str) -> Histogram:
    """Return what a histogram counted between two scrapes, over all instances (with the same bounds)."""
    bounds: list[float] = []
    cumulative: dict[float, float] = {}
    moved = 0.0
    for sign, scrapes in ((-1, before), (1, after)):
        for samples in scrapes:
            moved += sign * samples.get(f"{name}_sum", 0.0)
            for key, value in samples.items():
                if key.startswith(f'{name}_bucket{{le="'):
                    bound = float(key.partition('"')[2].partition('"')[0])
                    cumulative[bound] = cumulative.get(bound, 0.0) + sign * value
    bounds = sorted(cumulative) or [math.inf]
    steps = [cumulative.get(bound, 0.0) for bound in bounds]
    counts = [step - below for step, below in zip(steps, [0.0, *steps[:-1]], strict=True)]
    return Histogram(tuple(bounds), tuple(counts), moved)
