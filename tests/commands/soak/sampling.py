"""What a process looks like from outside and in its own /status, every few seconds."""

from __future__ import annotations

import csv
import re
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

from tests.support.daemon import Daemon

MIB = 1 << 20


@dataclass(frozen=True)
class Sample:
    """One look. `seconds` since the start; latencies in milliseconds of the load's last slice."""

    seconds: float
    rss_mib: float
    descriptors: int
    threads: int
    tasks: int
    connections: int
    buffer_mib: float
    spool_mib: float
    p50_ms: float
    p99_ms: float
    replies: int  # with success, in all
    refused: int  # or without a reply, in all

    @classmethod
    def of(
        cls, daemon: Daemon, seconds: float, latency: tuple[float, float], counts: tuple[int, int]
    ) -> Self:
        """Look now."""
        process, status = Path(f"/proc/{daemon.pid}"), daemon.status()
        threads = re.search(r"^Threads:\s+(\d+)$", (process / "status").read_text(), re.MULTILINE)
        assert threads is not None
        return cls(
            round(seconds, 1),
            round(daemon.resident() / MIB, 1),
            len(list((process / "fd").iterdir())),
            int(threads[1]),
            status["tasks"],
            status["connections"],
            round(status["buffer_bytes"] / MIB, 3),
            round(status["sinks"]["kafka"]["spool_bytes"] / MIB, 3),
            *latency,
            *counts,
        )


# What must be flat: by how much it may drift over the second half of the run, as a share of its mean and in
# its own unit, whichever is more.
FLAT = {
    "rss_mib": (0.05, 4.0),
    "descriptors": (0.05, 4.0),
    "threads": (0.0, 2.0),
    "tasks": (0.05, 3.0),
    "p50_ms": (0.25, 0.5),
    "p99_ms": (0.25, 3.0),
}


@dataclass(frozen=True)
class Drift:
    """How one measure behaved over the second half; `drift` is its slope times that half's length."""

    name: str
    mean: float
    least: float
    most: float
    drift: float
    allowed: float

    @property
    def flat(self) -> bool:
        return abs(self.drift) <= self.allowed or self.drift < 0

    def __str__(self) -> str:
        verdict = "flat" if self.flat else "NOT FLAT"
        return (
            f"{self.name:>12}  mean {self.mean:9.2f}  {self.least:9.2f} to {self.most:9.2f}"
            f"  drift {self.drift:+8.2f} of {self.allowed:.2f} allowed  {verdict}"
        )


def drifts(samples: Sequence[Sample]) -> list[Drift]:
    """The second half, measured by the median of the slopes between all pairs (Theil and Sen).

    A broker's restart makes a few samples stand out; such a slope does not follow them.
    """
    half = [one for one in samples if one.seconds >= samples[-1].seconds / 2]
    found = []
    for name, (share, least) in FLAT.items():
        points = [(one.seconds, float(getattr(one, name))) for one in half]
        values = [value for _, value in points]
        mean = statistics.fmean(values)
        drift = slope(points) * (half[-1].seconds - half[0].seconds)
        found.append(Drift(name, mean, min(values), max(values), drift, max(share * mean, least)))
    return found


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Per second."""
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for number, earlier in enumerate(points)
        for later in points[number + 1 :]
        if later[0] > earlier[0]
    ]
    return statistics.median(slopes) if slopes else 0.0


def write(samples: Sequence[Sample], path: Path) -> None:
    """As CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Sample)])
        writer.writeheader()
        writer.writerows(asdict(one) for one in samples)
