"""The event: schema v1, and the entry that carries finished events from the intake to the sinks.

An event becomes its final bytes inside the request that brought it; from there on only those bytes,
a count and the source's counters travel, and nothing is decoded twice.

The first keys of every line stand at fixed places (`v`, `id`, `dup_key`, `received_at`), so that a
sink can cut them out without parsing: see `ID_SLICE`, `DUP_KEY_SLICE`, `RECEIVED_AT_SLICE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

if TYPE_CHECKING:
    from ingestd.pipeline.counters import SourceCounters

SCHEMA_VERSION = 1

# {"v":1,"id":"<36>","dup_key":"<32>","received_at":<13 digits until the year 2286>,...
ID_SLICE = slice(13, 49)
DUP_KEY_SLICE = slice(62, 94)
RECEIVED_AT_SLICE = slice(110, 123)
LINE_START = b'{"v":1,"id":"'


@mypyc_attr(allow_interpreted_subclasses=True)
class Entry:
    """The events of one request as finished NDJSON bytes. All of them are stored, or none.

    `data`: the lines, each ended by a newline. `count`: how many. `counters`: the source's.
    `received_ns`: wall clock, nanoseconds since the epoch. `keys`: for each line the Kafka key where the
    source chooses one by its own parameters (None in it: no key), else None: the key is the `dup_key`.
    `trace`: the request's traceparent, or None. `dead_letter`: why its source wants it quarantined
    (`pipeline.quarantine`), or None.
    """

    __slots__ = ("count", "counters", "data", "dead_letter", "keys", "received_ns", "trace")

    counters: SourceCounters
    count: int
    data: bytes
    received_ns: int
    keys: Sequence[bytes | None] | None
    trace: bytes | None
    dead_letter: str | None

    def stalled(self) -> None:
        """The commit takes too long: whoever waits for the reply is refused now. `settle` follows later."""

    def settle(self, refused: str | None) -> None:
        """Called once, in stored mode, when the entry is stored (None) or refused for a reason.

        In queued mode it is not called.
        """


class Share:
    """One source's part of a batch. `received_ns`: of its first event, nanoseconds since the epoch."""

    __slots__ = ("bytes", "events", "received_ns")

    def __init__(self, events: int = 0, size: int = 0, received_ns: int = 0) -> None:
        self.events = events
        self.bytes = size
        self.received_ns = received_ns


class Batch:
    """Entries that are made durable together. `events` and `bytes` are sums over `entries`."""

    __slots__ = ("_shares", "bytes", "entries", "events")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.events = 0
        self.bytes = 0
        self._shares: dict[str, Share] | None = None

    def shares(self) -> dict[str, Share]:
        """The batch by source. Computed once: no entry may join it afterwards."""
        shares = self._shares
        if shares is None:
            shares = self._shares = {}
            for entry in self.entries:
                source = entry.counters.source
                share = shares.get(source)
                if share is None:
                    share = shares[source] = Share(received_ns=entry.received_ns)
                share.events += entry.count
                share.bytes += len(entry.data)
        return shares

    def data(self) -> bytes:
        """All lines, in the order of the entries."""
        return b"".join([entry.data for entry in self.entries])
