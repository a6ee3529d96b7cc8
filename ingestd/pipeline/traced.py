"""A sink whose commits are spans. Only there where tracing is on: without it nothing asks."""

from __future__ import annotations

from ingestd.event import Batch
from ingestd.pipeline.sink import CommitResult, Sink, Snapshot
from ingestd.system.tracing import Tracing


class Traced:
    """A sink before a sink."""

    def __init__(self, sink: Sink, tracing: Tracing) -> None:
        self.sink = sink
        self.name = sink.name
        self._tracing = tracing

    async def open(self) -> None:
        """Pass on."""
        await self.sink.open()

    async def commit(self, batch: Batch) -> CommitResult:
        """Pass on, within a span. Raises SinkError."""
        with self._tracing.commit(self.name, batch):
            return await self.sink.commit(batch)

    async def probe(self) -> None:
        """Pass on."""
        await self.sink.probe()

    async def tick(self) -> None:
        """Pass on."""
        await self.sink.tick()

    async def rotate(self) -> None:
        """Pass on."""
        await self.sink.rotate()

    async def close(self) -> None:
        """Close the sink, then let the last spans leave."""
        try:
            await self.sink.close()
        finally:
            await self._tracing.close()

    def snapshot(self) -> Snapshot:
        """The sink's."""
        return self.sink.snapshot()
