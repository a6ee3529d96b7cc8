"""Dead letters of the sources themselves (`on_bad_signature = "dead_letter"`): events that are kept, and kept
apart. Marked entries go to files of their own, event lines as they are; the rest goes its way.
"""

from __future__ import annotations

from typing import Any

from ingestd.event import Batch, Entry
from ingestd.pipeline.sink import Sink


class Aside:
    """A sink before a sink. `letters`: the files of the marked entries."""

    final = False

    def __init__(self, sink: Sink, letters: Sink) -> None:
        self.sink = sink
        self.name = sink.name
        self._letters = letters
        self._kept: Batch | None = None  # its letters are on disk, and its rest could not be stored yet

    async def open(self) -> None:
        """Open both."""
        await self.sink.open()
        await self._letters.open()

    async def commit(self, batch: Batch) -> None:
        """Return when every event is durable, here or there. Raises SinkError: then none counts.

        A batch that comes again because its rest failed has its letters on disk already.
        """
        marked = [entry for entry in batch.entries if entry.dead_letter is not None]
        if marked and batch is not self._kept:
            await self._letters.commit(_batch(marked))
            self._kept = batch
        rest = batch if not marked else _batch([one for one in batch.entries if one.dead_letter is None])
        if rest.entries:
            await self.sink.commit(rest)
        self._kept = None
        for entry in marked:
            entry.account.bury(str(entry.dead_letter), entry.count)
        if self.sink.final:
            for entry in rest.entries:
                entry.account.deliver(self.sink.name, entry.count, len(entry.data))

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

    def trouble(self) -> str:
        """The sink's, or the dead letters'."""
        return self.sink.trouble() or self._letters.trouble()

    def status(self) -> dict[str, Any]:
        """The sink's, and the dead letters'."""
        return {**self.sink.status(), "dead_letters": self._letters.status()[self._letters.name]}

    def gauges(self) -> dict[str, float]:
        """The sink's."""
        return self.sink.gauges()

    def counters(self) -> dict[str, float]:
        """The sink's."""
        return self.sink.counters()


def _batch(entries: list[Entry]) -> Batch:
    batch = Batch()
    batch.entries = entries
    batch.events = sum(entry.count for entry in entries)
    batch.bytes = sum(len(entry.data) for entry in entries)
    return batch
