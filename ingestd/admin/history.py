"""The last hour in memory, for the status page: what this instance did, in slots of five seconds.

The counters are read every second or few, in slices between which the loop turns; an event pays nothing here.
All of it lives in rings of a fixed size: `History.size_bytes` says how much it is. It ends with the process.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from array import array
from collections import deque
from collections.abc import Callable, Mapping
from itertools import accumulate
from math import isnan, nan
from operator import sub
from typing import TYPE_CHECKING, Any

from ingestd.admin.counter_totals import Rest, Totals, add_up, read_columns
from ingestd.admin.source_history import SourceHistory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestd.pipeline.batch_metrics import BatchMetrics
    from ingestd.pipeline.counters import Counters

SLOT_SECONDS = 5.0
SLOTS = 720
# The counters of no more sources than this are read a second, in the mean.
SOURCES_A_SECOND = 2000
# The busiest sources of a slot are kept by name, all others as one.
BUSIEST = 8
# Reasons for which events are refused: there are fewer (`responses.REFUSALS`).
MAX_REASONS = 40
# Of `admin.metrics`: the largest value in a slot is kept.
GAUGES = ("unstored_events", "buffer_bytes", "buffer_max_bytes", "spool_disk_bytes", "spool_max_bytes")
SERIES = ("events", "stored", "p50", "p99", "kafka_delay", *GAUGES)
# Minutes whose counters `increase` can be asked about, and how often they are noted.
NUMBERS_SECONDS, NUMBERS = 60.0, 61
NOBODY = 0xFFFFFFFF


class History:
    """The rings of one instance.

    `numbers`: its gauges and counters. `essential`: by source, the parameters its events need.
    """

    def __init__(
        self, counters: Counters, batches: BatchMetrics, numbers: Callable[[], Mapping[str, float]],
        essential: Callable[[], Mapping[str, frozenset[str]]],
        clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time,
        rest: Rest = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._counters = counters
        self._batches = batches
        self._numbers = numbers
        self._essential = essential
        self._clock = clock
        self._wall = wall
        self._rest = rest
        self.slot = 0  # the number of the slot that is being filled
        self._times = array("d", [nan]) * SLOTS
        self._series = {name: array("f", [nan]) * SLOTS for name in SERIES}
        self._refused: dict[str, array[float]] = {}
        self._busiest = array("I", [NOBODY]) * (SLOTS * BUSIEST)
        self._busiest_rates = array("f", [0.0]) * (SLOTS * BUSIEST)
        now = clock()
        self.began = now
        self.totals = Totals()
        self.sources = SourceHistory(now)
        self._slot_began = now
        self._slot_totals = Totals()
        self._slot_waits = list(batches.ack_seconds.counts)
        self._peaks: dict[str, float] = {}
        self._recent: deque[tuple[float, int]] = deque([(now, 0)], maxlen=6)
        # The numbers, and what was refused and dead-lettered for each reason: now, and a minute apart.
        self._noted: dict[str, float] = {}
        self._earlier: deque[tuple[float, dict[str, float]]] = deque([(now, {})], maxlen=NUMBERS)

    def size_bytes(self) -> int:
        """Memory the rings take now: 400 KB at the most, and 804 bytes a source."""
        rings: list[array[Any]] = [*self._series.values(), *self._refused.values()]
        rings += [self._times, self._busiest, self._busiest_rates]
        numbers = sum(len(one) for _, one in self._earlier) * 100
        return sum(len(ring) * ring.itemsize for ring in rings) + numbers + self.sources.size_bytes()

    # written

    async def look(self) -> None:
        """Read the counters once, and close the slot where it is due."""
        self.totals = await add_up(self._counters, self._rest)
        now, numbers = self._clock(), self._numbers()
        self._recent.append((now, self.totals.received))
        self._note_peaks(numbers)
        self._noted = _notes(numbers, self.totals)
        if now - self._earlier[-1][0] >= NUMBERS_SECONDS:
            self._earlier.append((now, self._noted))
        if now - self._slot_began >= SLOT_SECONDS:
            columns = await read_columns(self._counters, self._essential(), self._rest)
            came = self.sources.busy(columns, now - self._slot_began, self._wall())
            await self._rest(0)
            self._close_slot(now, came)
            await self._rest(0)
            await self.sources.keep(now, self._rest)

    def _note_peaks(self, numbers: Mapping[str, float]) -> None:
        found = {name: numbers[name] for name in GAUGES if name in numbers}
        if "kafka_connected" in numbers:
            late = (numbers.get(f"{name}_seconds", 0.0) for name in ("kafka_waiting", "spool_oldest_age"))
            found["kafka_delay"] = max(late)
        for name, value in found.items():
            self._peaks[name] = max(self._peaks.get(name, 0.0), value)

    def _close_slot(self, now: float, came: Sequence[tuple[int, int]]) -> None:
        seconds, place = now - self._slot_began, self.slot % SLOTS
        totals, before = self.totals, self._slot_totals
        self._times[place] = self._wall()
        for name in GAUGES:
            self._series[name][place] = self._peaks.get(name, nan)
        self._series["kafka_delay"][place] = self._peaks.get("kafka_delay", nan)
        self._series["events"][place] = (totals.received - before.received) / seconds
        self._series["stored"][place] = (totals.stored - before.stored) / seconds
        waits = self._batches.ack_seconds
        counts = list(waits.counts)
        grown = list(map(sub, counts, self._slot_waits))
        self._series["p50"][place] = quantile(waits.bounds, grown, 0.5)
        self._series["p99"][place] = quantile(waits.bounds, grown, 0.99)
        for ring in self._refused.values():
            ring[place] = 0.0
        for reason, count in _merged(totals).items():
            rate = (count - _merged(before).get(reason, 0)) / seconds
            if rate and (reason in self._refused or len(self._refused) < MAX_REASONS):
                self._refused.setdefault(reason, array("f", bytes(4 * SLOTS)))[place] = rate
        busiest = heapq.nlargest(BUSIEST, came)
        for index in range(BUSIEST):
            count, number = busiest[index] if index < len(busiest) else (0, NOBODY)
            self._busiest[place * BUSIEST + index] = number
            self._busiest_rates[place * BUSIEST + index] = count / seconds
        self._slot_began, self._slot_totals, self._slot_waits, self._peaks = now, totals, counts, {}
        self.slot += 1

    # read

    def rate(self) -> float:
        """Events a second, over the last few seconds."""
        (then, before), (now, received) = self._recent[0], self._recent[-1]
        return (received - before) / (now - then) if now > then else 0.0

    def increase(self, name: str, seconds: float) -> float:
        """By how much one of the numbers has grown in so many seconds (a minute more, or less)."""
        return max(0.0, self._noted.get(name, 0.0) - self._ago(seconds).get(name, 0.0))

    def increases(self, kind: str, seconds: float) -> dict[str, int]:
        """The same for each reason of a kind, `refused` or `dead_lettered`, that has grown."""
        prefix, earlier = f"{kind}:", self._ago(seconds)
        grown = {
            name.removeprefix(prefix): int(value - earlier.get(name, 0.0))
            for name, value in self._noted.items()
            if name.startswith(prefix)
        }
        return {reason: count for reason, count in grown.items() if count > 0}

    def _ago(self, seconds: float) -> dict[str, float]:
        now = self._clock()
        for at, numbers in reversed(self._earlier):
            if now - at >= seconds:
                return numbers
        return self._earlier[0][1]

    def tree(self, since: int) -> dict[str, Any]:
        """The slots from number `since` on, for the charts. Rates a second, times in s, sizes in bytes."""
        first = max(since, self.slot - SLOTS, 0)
        places = [number % SLOTS for number in range(first, self.slot)]
        names = list(self._counters.by_source)
        busiest = [
            [
                [names[self._busiest[at]], round(self._busiest_rates[at], 2)]
                for at in range(place * BUSIEST, (place + 1) * BUSIEST)
                if self._busiest[at] != NOBODY
            ]
            for place in places
        ]
        return {
            "first": first,
            "slot": self.slot,
            "slot_seconds": SLOT_SECONDS,
            "times": [round(self._times[place], 1) for place in places],
            "series": {name: _numbers(ring, places) for name, ring in self._series.items()},
            "refused": {name: _numbers(ring, places) for name, ring in self._refused.items()},
            "busiest": busiest,
        }


def _notes(numbers: Mapping[str, float], totals: Totals) -> dict[str, float]:
    found = dict(numbers)
    for reason, count in _merged(totals).items():
        found[f"refused:{reason}"] = count
    for reason, count in totals.dead_lettered.items():
        found[f"dead_lettered:{reason}"] = count
    return found


def _merged(totals: Totals) -> dict[str, int]:
    """What was refused for each reason, whether it belonged to a source or not."""
    found = dict(totals.refused)
    for reason, count in totals.rejected.items():
        found[reason] = found.get(reason, 0) + count
    return found


def _numbers(ring: Sequence[float], places: Sequence[int]) -> list[float | None]:
    return [None if isnan(ring[place]) else round(ring[place], 6) for place in places]


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float:
    """The value below which this share lies, within its bucket by proportion; NaN of nothing.

    The last bucket has no end: its lower bound then. As Prometheus' histogram_quantile.
    """
    total = sum(counts)
    if not total:
        return nan
    wanted = share * total
    for index, reached in enumerate(accumulate(counts)):
        if reached >= wanted and counts[index]:
            if index == len(bounds):
                return bounds[-1]
            low = bounds[index - 1] if index else 0.0
            into = (wanted - (reached - counts[index])) / counts[index]
            return low + (bounds[index] - low) * into
    return bounds[-1]
