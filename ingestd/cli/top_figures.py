"""The figures of `ingestd top`: an instance's sources between two looks at /status, and since its start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

# Counters of a source that are shown as rates, after its events and their waits.
RATES = ("rejected", "duplicates", "bad_signatures", "macros")
# Counters that are shown as they are, since the start of the instance.
TOTALS = ("received", "rejected", "duplicates", "dead_lettered", "spooled")
Status = dict[str, Any]


@dataclass
class Figures:
    """A source's events between two looks. `waits`: how many by bucket of `bounds`, seconds to be stored.

    `totals`: of TOTALS, and of "delivered to Kafka", since the start.
    """

    bounds: Sequence[float] = ()
    received: float = 0
    waits: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=lambda: [0.0] * len(RATES))
    totals: Counter[str] = field(default_factory=Counter)

    def add(self, other: Figures) -> None:
        """Add another instance's, or another source's."""
        self.bounds = self.bounds or other.bounds
        self.received += other.received
        self.totals.update(other.totals)
        self.rates = [one + more for one, more in zip(self.rates, other.rates, strict=True)]
        longest = max(len(self.waits), len(other.waits))
        padded = [[*waits, *[0.0] * (longest - len(waits))] for waits in (self.waits, other.waits)]
        self.waits = [one + more for one, more in zip(*padded, strict=True)]

    def within(self, share: float) -> str:
        """The bucket's upper bound, ms, within which this share of the events was stored."""
        reached, events = 0.0, sum(self.waits)
        if not events:
            return "-"
        for bound, count in zip(self.bounds, self.waits, strict=False):
            reached += count
            if reached >= share * events:
                return f"<{bound * 1000:g}"
        return f">{self.bounds[-1] * 1000:g}"


def between(before: Status, now: Status) -> dict[str, Figures]:
    """The figures of an instance's sources. An instance that restarted in between has counted from 0."""
    earlier = before["sources"] if before["pid"] == now["pid"] else {}
    found = {}
    for name, source in now["sources"].items():
        old = earlier.get(name, {})
        waits = old.get("waits") or [0] * len(source["waits"])
        totals = Counter({key: int(_read(source, key)) for key in TOTALS})
        totals["delivered"] = source.get("delivered", {}).get("kafka", 0)
        found[name] = Figures(
            now["wait_bounds"],
            source["received"] - old.get("received", 0),
            [new - was for new, was in zip(source["waits"], waits, strict=True)],
            [_read(source, key) - _read(old, key) for key in RATES],
            totals,
        )
    return found


def total(several: Iterable[Figures]) -> Figures:
    """The sum over sources or instances."""
    result = Figures()
    for one in several:
        result.add(one)
    return result


def _read(source: dict[str, Any], key: str) -> float:
    if key == "bad_signatures":
        signatures: dict[str, int] = source.get("signatures", {})
        return sum(number for result, number in signatures.items() if result != "ok")
    value = source.get(key, 0)
    return float(sum(value.values()) if isinstance(value, dict) else value)
