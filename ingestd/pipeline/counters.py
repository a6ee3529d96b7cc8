"""Per-source counters, kept as plain integers on the hot path and read by the metrics at a scrape.

Conservation, per source and at any moment between two loop turns:
`received == rejected + unstored + stored`.
"""

from __future__ import annotations

from bisect import bisect_left

from ingestd.pipeline.sink import CommitResult
from ingestd.sources.dedup_window import DuplicateWindow

# Upper bounds of the buckets of `waits`, seconds.
WAITS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0)

# Parameter names come from outside: past this many distinct ones, and for longer ones, a source's counter
# says "other".
MAX_MACRO_PARAMS = 64
MAX_MACRO_NAME = 64


# What is counted of a source, in the order of /status.
COUNTED = (
    "dead_lettered", "delivered", "delivered_bytes", "duplicates", "macros", "received", "received_bytes",
    "recovered", "rejected", "signatures", "spooled", "stored", "stored_bytes", "unstored", "waits",
)  # fmt: skip


class SourceCounters:
    """What became of one source's events. It outlives a reload: the name is its identity."""

    __slots__ = (*COUNTED, "source", "window")

    def __init__(self, source: str) -> None:
        self.source = source
        self.received = 0
        self.received_bytes = 0
        self.stored = 0
        self.stored_bytes = 0
        self.unstored = 0
        self.waits = [0] * (len(WAITS) + 1)  # stored events by how long they took, for `ingestd top`
        self.delivered: dict[str, int] = {}  # by sink
        self.delivered_bytes: dict[str, int] = {}
        self.dead_lettered: dict[str, int] = {}  # by reason
        self.spooled = 0  # stored for Kafka, and not yet delivered or a dead letter
        self.recovered = 0  # found in the spool of an earlier run
        self.rejected: dict[str, int] = {}
        self.macros: dict[str, int] = {}
        self.signatures: dict[str, int] = {}  # by result
        self.duplicates = 0
        self.window: DuplicateWindow | None = None

    def turn_away(self, reason: str) -> None:
        """Count a request refused before it was decoded, as one event received and rejected."""
        self.received += 1
        self.rejected[reason] = self.rejected.get(reason, 0) + 1

    def settle(self, count: int, size: int, refused: str | None, waited: float = 0.0) -> None:
        """Settle `count` unstored events of `size` bytes: stored (None), or rejected for a reason.

        `waited`: seconds the first of them has been here.
        """
        self.unstored -= count
        if refused is None:
            self.stored += count
            self.stored_bytes += size
            self.waits[bisect_left(WAITS, waited)] += count
        else:
            self.rejected[refused] = self.rejected.get(refused, 0) + count

    def summary(self) -> dict[str, object]:
        """All of it, for /status."""
        return {name: getattr(self, name) for name in COUNTED}

    def window_of(self, capacity: int) -> DuplicateWindow | None:
        """The source's window for repeats, which outlives a reload unless its size changes; 0: none."""
        if self.window is None or self.window.capacity != capacity:
            self.window = DuplicateWindow(capacity) if capacity else None
        return self.window

    def macro(self, param: str) -> None:
        """Count an unreplaced macro in a parameter."""
        macros = self.macros
        count = macros.get(param)
        if count is None and (len(macros) >= MAX_MACRO_PARAMS or len(param) > MAX_MACRO_NAME):
            param = "other"
            count = macros.get(param)
        macros[param] = 1 if count is None else count + 1


class Counters:
    """All counters by source name, and the requests that belong to no source."""

    def __init__(self) -> None:
        self.by_source: dict[str, SourceCounters] = {}
        self.refused: dict[str, int] = {}

    def of(self, source: str) -> SourceCounters:
        """The source's counters, made on first use."""
        counters = self.by_source.get(source)
        if counters is None:
            counters = self.by_source[source] = SourceCounters(source)
        return counters

    def record(self, result: CommitResult) -> None:
        """Count what became of stored events; the only place where that is counted."""
        for sink, shares in result.delivered.items():
            for source, share in shares.items():
                counters = self.of(source)
                counters.delivered[sink] = counters.delivered.get(sink, 0) + share.events
                counters.delivered_bytes[sink] = counters.delivered_bytes.get(sink, 0) + share.bytes
        for (source, reason), events in result.dead_lettered.items():
            dead_lettered = self.of(source).dead_lettered
            dead_lettered[reason] = dead_lettered.get(reason, 0) + events
        for source, events in result.spooled.items():
            self.of(source).spooled += events
        for source, events in result.recovered.items():
            self.of(source).recovered += events

    def refuse(self, reason: str) -> None:
        """Count a request that never became an event of any source."""
        self.refused[reason] = self.refused.get(reason, 0) + 1
