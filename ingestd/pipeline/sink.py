"""The Sink protocol, and the result of a commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ingestd.event import Batch, Share


@dataclass(slots=True)
class CommitResult:
    """The fate of stored events: returned for a batch, reported for what happens to its events later.

    `Counters.record` is the only place that counts it.
    `delivered`: sink, then source: the events that have reached this sink for good.
    `dead_lettered`: (source, reason): number of events in a dead-letter file or topic.
    `spooled`: source: change of the number of events on disk that Kafka has not confirmed.
    `recovered`: source: events that an earlier process had spooled; they are in none of its batches here.
    """

    delivered: dict[str, Mapping[str, Share]] = field(default_factory=dict)
    dead_lettered: dict[tuple[str, str], int] = field(default_factory=dict)
    spooled: dict[str, int] = field(default_factory=dict)
    recovered: dict[str, int] = field(default_factory=dict)


class Snapshot(NamedTuple):
    """The state of a sink at one moment, for /readyz, /status and /metrics.

    `error`: why no commit can succeed, if that is known before one is tried; else "".
    `metrics`: values by the names that `admin.metrics` declares, without `ingestd_`.
    `status`: the part of /status, by the name of the sink.
    """

    error: str
    metrics: dict[str, float]
    status: dict[str, dict[str, Any]]


class Sink(Protocol):
    """Makes batches durable. Used by one task only: no two calls overlap, except `snapshot`."""

    name: str

    async def open(self) -> None:
        """Prepare, and recover after a crash. Raises SinkError."""

    async def commit(self, batch: Batch) -> CommitResult:
        """Return when every event of the batch is durable. Raises SinkError: then none of it counts.

        A batch that failed may be committed again. A retry is recognised by the same Batch object.
        """

    async def probe(self) -> None:
        """After a failure: raises SinkError as long as a commit could not succeed."""

    async def rotate(self) -> None:
        """Finish the present file, if any, so that others can read it."""

    async def tick(self) -> None:
        """Do what is due by time alone. Called about once a second, between commits."""

    async def close(self) -> None:
        """Finish and release everything. Raises SinkError if something could not be finished."""

    def snapshot(self) -> Snapshot:
        """Return the present state. May be called from another thread."""
