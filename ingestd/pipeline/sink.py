"""What a sink is."""

from __future__ import annotations

from typing import Any, Protocol

from ingestd.event import Batch


class Sink(Protocol):
    """Makes batches durable. Used by one task only: no two calls overlap."""

    name: str
    final: bool  # a commit is where the event stays (a file), not a stop on its way (a spool)

    async def open(self) -> None:
        """Get ready, and recover what a crash left. Raises SinkError."""

    async def commit(self, batch: Batch) -> None:
        """Return when every event of the batch is durable. Raises SinkError: then none of it counts."""

    async def probe(self) -> None:
        """After a failure: raises SinkError as long as a commit could not succeed."""

    async def tick(self) -> None:
        """Called about once a second between commits: what is due by time alone."""

    async def rotate(self) -> None:
        """Finish the present file, if any, so that a reader can have it."""

    async def close(self) -> None:
        """Finish and release everything. Raises SinkError if something could not be finished."""

    def trouble(self) -> str:
        """Why no commit can succeed, where that is known before one is tried; else ""."""

    def status(self) -> dict[str, Any]:
        """For /status: under the sink's name."""

    def gauges(self) -> dict[str, float]:
        """Of `metrics.GAUGES` and `metrics.KAFKA_GAUGES`, what the sink knows."""

    def counters(self) -> dict[str, float]:
        """Of `metrics.COUNTERS` and `metrics.KAFKA_COUNTERS`, what the sink counts."""
