"""What a sink is, and what it says became of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ingestd.event import Batch, Share


@dataclass(slots=True)
class CommitResult:
    """What became of stored events: returned for a batch, reported for what happens to it later.

    `Counters.record` adds it to the counters; nothing else counts these.
    """

    delivered: dict[str, Mapping[str, Share]] = field(default_factory=dict)
    """Sink, then source: what has reached that sink for good."""
    dead_lettered: dict[tuple[str, str], int] = field(default_factory=dict)
    """Source and reason: events set apart for good."""
    spooled: dict[str, int] = field(default_factory=dict)
    """Source: events more (or, below 0, fewer) that wait on disk for Kafka."""
    recovered: dict[str, int] = field(default_factory=dict)
    """Source: events that an earlier process had spooled; they are part of none of its batches here."""


class Snapshot(NamedTuple):
    """A sink at one moment, as /readyz, /status and /metrics show it.

    `error`: why no commit can succeed, where that is known before one is tried; else "".
    `metrics`: values by the names that `admin.metrics` declares, without their prefix.
    `status`: what /status shows, by the names of the sinks.
    """

    error: str
    metrics: dict[str, float]
    status: dict[str, dict[str, Any]]


class Sink(Protocol):
    """Makes batches durable. Used by one task only: no two calls overlap, but for `snapshot`."""

    name: str

    async def open(self) -> None:
        """Get ready, and recover what a crash left. Raises SinkError."""

    async def commit(self, batch: Batch) -> CommitResult:
        """Return when every event of the batch is durable. Raises SinkError: then none of it counts.

        A batch that failed may be committed again; a retry is recognised by its being the same object.
        """

    async def probe(self) -> None:
        """After a failure: raises SinkError as long as a commit could not succeed."""

    async def rotate(self) -> None:
        """Finish the present file, if any, so that a reader can have it."""

    async def tick(self) -> None:
        """Called about once a second between commits: what is due by time alone."""

    async def close(self) -> None:
        """Finish and release everything. Raises SinkError if something could not be finished."""

    def snapshot(self) -> Snapshot:
        """Its state now. May be called from another thread."""
