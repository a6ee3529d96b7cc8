"""Dead letters of the sources themselves (`on_bad_signature = "dead_letter"`): events that are kept, and kept
apart. Marked entries go to files of their own, event lines as they are; the rest goes its way.
"""

from __future__ import annotations

from ingestd.event import Batch, Entry
from ingestd.pipeline.sink import CommitResult, Sink, Snapshot


class Aside:
    """A sink before a sink. `letters`: the files of the marked entries."""

    def __init__(self, sink: Sink, letters: Sink) -> None:
        self.sink = sink
        self.name = sink.name
        self._letters = letters
        # A batch whose letters are on disk and whose rest could not be stored yet; and that rest.
        self._kept: tuple[Batch, Batch] | None = None

    async def open(self) -> None:
        """Open both."""
        await self.sink.open()
        await self._letters.open()

    async def commit(self, batch: Batch) -> CommitResult:
        """Return when every event is durable, here or there. Raises SinkError: then none counts.

        A batch that comes again because its rest failed has its letters on disk already.
        """
        marked = [entry for entry in batch.entries if entry.dead_letter is not None]
        if not marked:
            return await self.sink.commit(batch)
        if self._kept is not None and self._kept[0] is batch:
            rest = self._kept[1]
        else:
            await self._letters.commit(_batch(marked))
            rest = _batch([entry for entry in batch.entries if entry.dead_letter is None])
            self._kept = batch, rest
        result = await self.sink.commit(rest) if rest.entries else CommitResult()
        self._kept = None
        for entry in marked:
            key = (entry.counters.source, str(entry.dead_letter))
            result.dead_lettered[key] = result.dead_lettered.get(key, 0) + entry.count
        return result

    async def probe(self) -> None:
        """Raises SinkError as long as either could not store."""
        await self._letters.probe()
        await self.sink.probe()

    async def tick(self) -> None:
        """Pass on."""
        await self.sink.tick()
        await self._letters.tick()

    async def rotate(self) -> None:
        """Pass on."""
        await self.sink.rotate()
        await self._letters.rotate()

    async def close(self) -> None:
        """Close both, whatever becomes of one. Raises SinkError."""
        try:
            await self.sink.close()
        finally:
            await self._letters.close()

    def snapshot(self) -> Snapshot:
        """The sink's, and in the status the dead letters' files."""
        snapshot, letters = self.sink.snapshot(), self._letters.snapshot()
        status = {**snapshot.status, "dead_letters": letters.status[self._letters.name]}
        return Snapshot(snapshot.error or letters.error, snapshot.metrics, status)


def _batch(entries: list[Entry]) -> Batch:
    batch = Batch()
    batch.entries = entries
    batch.events = sum(entry.count for entry in entries)
    batch.bytes = sum(len(entry.data) for entry in entries)
    return batch
