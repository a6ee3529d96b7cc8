"""The quarantine: events that their source marks as dead letters (`on_bad_signature = "dead_letter"`).

They are kept in files of their own, as the lines they are; the others go on to the sink.
"""

from __future__ import annotations

from ingestd.event import Batch, Entry
from ingestd.pipeline.sink import CommitResult, Sink, Snapshot


class Quarantine:
    """A sink in front of `sink`. `dead_letters`: the sink that takes the marked entries."""

    def __init__(self, sink: Sink, dead_letters: Sink) -> None:
        self.sink = sink
        self.name = sink.name
        self._dead_letters = dead_letters
        # A batch whose dead letters are on disk and whose rest could not be stored yet; and that rest.
        self._pending: tuple[Batch, Batch] | None = None

    async def open(self) -> None:
        """Open both sinks. Raises SinkError."""
        await self.sink.open()
        await self._dead_letters.open()

    async def commit(self, batch: Batch) -> CommitResult:
        """Return when every event is durable in one of the sinks. Raises SinkError: then none counts.

        The retry of a batch does not write its dead letters again, and gives the sink the same rest again.
        """
        marked = [entry for entry in batch.entries if entry.dead_letter is not None]
        if not marked:
            return await self.sink.commit(batch)
        if self._pending is not None and self._pending[0] is batch:
            rest = self._pending[1]
        else:
            await self._dead_letters.commit(_batch(marked))
            rest = _batch([entry for entry in batch.entries if entry.dead_letter is None])
            self._pending = batch, rest
        result = await self.sink.commit(rest) if rest.entries else CommitResult()
        self._pending = None
        for entry in marked:
            key = (entry.counters.source, str(entry.dead_letter))
            result.dead_lettered[key] = result.dead_lettered.get(key, 0) + entry.count
        return result

    async def probe(self) -> None:
        """Raises SinkError unless both sinks could store now."""
        await self._dead_letters.probe()
        await self.sink.probe()

    async def rotate(self) -> None:
        await self.sink.rotate()
        await self._dead_letters.rotate()

    async def tick(self) -> None:
        await self.sink.tick()
        await self._dead_letters.tick()

    async def close(self) -> None:
        """Close both sinks, even if one fails. Raises SinkError."""
        try:
            await self.sink.close()
        finally:
            await self._dead_letters.close()

    def snapshot(self) -> Snapshot:
        """The sink's, with the files of the dead letters in the status."""
        snapshot, dead_letters = self.sink.snapshot(), self._dead_letters.snapshot()
        status = {**snapshot.status, "dead_letters": dead_letters.status[self._dead_letters.name]}
        return Snapshot(snapshot.error or dead_letters.error, snapshot.metrics, status)


def _batch(entries: list[Entry]) -> Batch:
    batch = Batch()
    batch.entries = entries
    batch.events = sum(entry.count for entry in entries)
    batch.bytes = sum(len(entry.data) for entry in entries)
    return batch
