"""Medians with their spread, and ratios taken within each round."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from bench.measure import Result


@dataclass(frozen=True)
class Spread:
    """A median over the rounds, with the lowest and the highest."""

    median: float
    low: float
    high: float

    def text(self, digits: int) -> str:
        """Return ``median [low-high]``, or the median alone where they agree as printed."""
        middle, low, high = (f"{value:,.{digits}f}" for value in (self.median, self.low, self.high))
        return middle if low == high else f"{middle} [{low}-{high}]"


@dataclass(frozen=True)
class Ratio:
    """One figure over another; `most` or `least` is the goal set for it, if any."""

    label: str
    over: tuple[str, str]  # contender and metric
    under: tuple[str, str]
    most: float | None = None
    least: float | None = None

    def goal(self, value: float) -> str:
        """Return the goal and whether the value reaches it."""
        if self.most is not None:
            return f"at most {self.most:g}: {'reached' if value <= self.most else 'missed'}"
        if self.least is not None:
            return f"at least {self.least:g}: {'reached' if value >= self.least else 'missed'}"
        return ""


@dataclass(frozen=True)
class Limit:
    """A figure that has a goal by itself; `every`: it holds for the worst round, not for the median."""

    label: str
    of: tuple[str, str]  # contender and metric
    most: float
    digits: int = 0
    every: bool = False

    def goal(self, found: Spread) -> str:
        """Return the goal and whether the figure reaches it."""
        value = found.high if self.every else found.median
        return f"at most {self.most:g}: {'reached' if value <= self.most else 'missed'}"


LIMITS = (
    Limit("p99 at 10,000/s, stored, ms", ("ingestd stored", "10000.p99_ms"), most=5.0, digits=2),
    Limit(
        "longest pause of the loop seen at 10,000/s, stored, ms: at most",
        ("ingestd stored", "10000.loop_ms"),
        most=10.0,
        every=True,
    ),
    Limit(
        "longest pause of the loop seen at 10,000/s, queued, ms: at most",
        ("ingestd queued", "10000.loop_ms"),
        most=10.0,
        every=True,
    ),
)
RATIOS = (
    Ratio(
        "CPU an event, queued / Go", ("ingestd queued", "sat.cpu_us"), ("go-nethttp", "sat.cpu_us"), most=0.42
    ),
    Ratio(
        "CPU an event, queued / floor",
        ("ingestd queued", "sat.cpu_us"),
        ("nginx-floor", "sat.cpu_us"),
        most=1.6,
    ),
    Ratio(
        "CPU an event, stored / Go", ("ingestd stored", "sat.cpu_us"), ("go-nethttp", "sat.cpu_us"), most=0.6
    ),
    Ratio("CPU an event, stored / floor", ("ingestd stored", "sat.cpu_us"), ("nginx-floor", "sat.cpu_us")),
    Ratio(
        "CPU an event, stored / queued", ("ingestd stored", "sat.cpu_us"), ("ingestd queued", "sat.cpu_us")
    ),
    Ratio(
        "CPU an event, kafka / queued",
        ("ingestd kafka", "sat.cpu_us"),
        ("ingestd queued", "sat.cpu_us"),
        most=1.4,
    ),
    Ratio(
        "requests/s, stored / queued", ("ingestd stored", "sat.rps"), ("ingestd queued", "sat.rps"), least=0.8
    ),
    Ratio("requests/s, queued / Go", ("ingestd queued", "sat.rps"), ("go-nethttp", "sat.rps"), least=1.25),
    Ratio("requests/s, queued / Hertz", ("ingestd queued", "sat.rps"), ("go-hertz", "sat.rps"), least=1.25),
    Ratio("requests/s, stored / Go", ("ingestd stored", "sat.rps"), ("go-nethttp", "sat.rps"), least=1.25),
    Ratio("requests/s, stored / Hertz", ("ingestd stored", "sat.rps"), ("go-hertz", "sat.rps"), least=1.25),
    Ratio(
        "daemon CPU / nginx CPU, queued", ("ingestd queued", "sat.cpu_us"), ("ingestd queued", "sat.front_us")
    ),
    Ratio(
        "daemon CPU / nginx CPU, stored", ("ingestd stored", "sat.cpu_us"), ("ingestd stored", "sat.front_us")
    ),
    Ratio(
        "p99 at 10,000/s, stored / Go",
        ("ingestd stored", "10000.p99_ms"),
        ("go-nethttp", "10000.p99_ms"),
        most=1.0,
    ),
)


class Table:
    """All rounds' figures, by contender and metric."""

    def __init__(self, results: list[Result]) -> None:
        self.results = results
        self.contenders = list(dict.fromkeys(result.contender for result in results))

    def rounds(self, contender: str) -> list[Result]:
        """Return a contender's rounds in order."""
        return [result for result in self.results if result.contender == contender]

    def invalid(self, contender: str) -> list[str]:
        """Return what makes a contender's figures worthless, if anything."""
        return [reason for result in self.rounds(contender) for reason in result.invalid]

    def spread(self, contender: str, metric: str) -> Spread | None:
        """Return a metric over the rounds, or None where no round has it."""
        return spread([r.metrics[metric] for r in self.rounds(contender) if metric in r.metrics])

    def ratio(self, ratio: Ratio) -> Spread | None:
        """Return a ratio over the rounds that have both sides, so that a slow minute slows both."""
        if self.invalid(ratio.over[0]) or self.invalid(ratio.under[0]):
            return None
        under = {result.round: result.metrics.get(ratio.under[1]) for result in self.rounds(ratio.under[0])}
        values = []
        for result in self.rounds(ratio.over[0]):
            above, below = result.metrics.get(ratio.over[1]), under.get(result.round)
            if above is not None and below:
                values.append(above / below)
        return spread(values)


def spread(values: list[float]) -> Spread | None:
    """Return the median, lowest and highest; None for no values."""
    return Spread(statistics.median(values), min(values), max(values)) if values else None
