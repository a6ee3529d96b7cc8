"""Counters by source: plain integers on the hot path, read at a scrape.

Conservation, for each source and between any two turns of the loop:
`received == rejected + unstored + stored`.
"""

from __future__ import annotations

from bisect import bisect_left

from ingestd.pipeline.sink import CommitResult

# Upper bounds of the buckets of `waits`, in seconds.
WAITS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0)

# Parameter names come from outside: more distinct ones than this, and longer ones, are counted as "other".
MAX_MACRO_PARAMS = 64
MAX_MACRO_NAME = 64

# The counters of a source, in the order of /status.
COUNTED = (
    "dead_lettered", "delivered", "delivered_bytes", "duplicates", "macros", "received", "received_bytes",
    "recovered", "rejected", "signatures", "spooled", "stored", "stored_bytes", "unstored", "waits",
)  # fmt: skip


class SourceCounters:
    """The counters of one source. They outlive a reload, identified by the source's name.

    `delivered`, `delivered_bytes`: by sink. `dead_lettered`, `rejected`: by reason. `signatures`: by result.
    `macros`: by parameter. `spooled`: stored, and not yet delivered or dead-lettered. `recovered`: delivered
    from the spool of an earlier process. `waits`: stored events by the buckets of WAITS.
    """

    __slots__ = (*COUNTED, "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.received = 0
        self.received_bytes = 0
        self.stored = 0
        self.stored_bytes = 0
        self.unstored = 0
        self.waits = [0] * (len(WAITS) + 1)
        self.delivered: dict[str, int] = {}
        self.delivered_bytes: dict[str, int] = {}
        self.dead_lettered: dict[str, int] = {}
        self.spooled = 0
        self.recovered = 0
        self.rejected: dict[str, int] = {}
        self.macros: dict[str, int] = {}
        self.signatures: dict[str, int] = {}
        self.duplicates = 0

    def reject(self, reason: str) -> None:
        """Count a request that is rejected before it is decoded, as one event received and rejected."""
        self.received += 1
        self.rejected[reason] = self.rejected.get(reason, 0) + 1

    def settle(self, count: int, size: int, refused: str | None, waited: float = 0.0) -> None:
        """Count `count` unstored events of `size` bytes as stored (None), or as rejected for a reason.

        `waited`: seconds since the first of them was received.
        """
        self.unstored -= count
        if refused is None:
            self.stored += count
            self.stored_bytes += size
            self.waits[bisect_left(WAITS, waited)] += count
        else:
            self.rejected[refused] = self.rejected.get(refused, 0) + count

    def summary(self) -> dict[str, object]:
        """All counters by name, for /status."""
        return {name: getattr(self, name) for name in COUNTED}

    def macro(self, param: str) -> None:
        """Count a left-in macro in a parameter, up to MAX_MACRO_PARAMS names."""
        macros = self.macros
        count = macros.get(param)
        if count is None and (len(macros) >= MAX_MACRO_PARAMS or len(param) > MAX_MACRO_NAME):
            param = "other"
            count = macros.get(param)
        macros[param] = 1 if count is None else count + 1


class Counters:
    """The counters of all sources by name, and of the requests that belong to no source."""

    def __init__(self) -> None:
        self.by_source: dict[str, SourceCounters] = {}
        self.refused: dict[str, int] = {}

    def of(self, source: str) -> SourceCounters:
        """The counters of a source, created on first use."""
        counters = self.by_source.get(source)
        if counters is None:
            counters = self.by_source[source] = SourceCounters(source)
        return counters

    def record(self, result: CommitResult) -> None:
        """Add the result of a commit, or what became later of its events."""
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
        """Count a request that belongs to no source."""
        self.refused[reason] = self.refused.get(reason, 0) + 1
