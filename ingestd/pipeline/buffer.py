"""The buffer: events that are accepted and not stored yet, capped in bytes.

An asyncio.Queue of batches. The youngest batch stays open: entries join it until it is full or the flusher
has taken it, so that a queue operation is paid once a batch, not once an event.

Back-pressure: above the high-water mark new events are refused until the buffer has fallen to the low-water
mark. The batch being written counts too: it is in memory, and nobody has stored it yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ingestd.event import Batch, Entry

LOW_WATER = 0.8  # of `max_bytes`


class Call:
    """Work for the task that owns the sink, done in its turn among the batches: a rotation, for example."""

    __slots__ = ("run",)

    def __init__(self, run: Callable[[], Awaitable[None]]) -> None:
        self.run = run


class Buffer:
    """Batches that wait for the flusher.

    `max_bytes`: the high-water mark. `batch_events`, `batch_bytes`: a batch of this size takes no more.
    `refusing`: why new events are refused now (a key of `responses.REFUSALS`), or None; read once a request.
    `bytes`, `events`: in the buffer now, waiting or being written.
    """

    def __init__(self, max_bytes: int, batch_events: int, batch_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._low_bytes = int(max_bytes * LOW_WATER)
        self._batch_events = batch_events
        self._batch_bytes = batch_bytes
        self._queue: asyncio.Queue[Batch | Call] = asyncio.Queue()
        self._open: Batch | None = None
        self._full = False
        self._blocked: str | None = None
        self.due = asyncio.Event()  # the flusher need not wait for its timer
        self.bytes = 0
        self.events = 0
        self.refusing: str | None = None

    def put(self, entry: Entry) -> None:
        """Take an entry whole. The caller has checked `refusing`: a single entry may pass the mark."""
        batch = self._open
        if batch is None:
            batch = self._open = Batch()
            self._queue.put_nowait(batch)
        size, count = len(entry.data), entry.count
        batch.entries.append(entry)
        batch.events += count
        batch.bytes += size
        self.events += count
        self.bytes += size
        if batch.events >= self._batch_events or batch.bytes >= self._batch_bytes:
            self._open = None
            self.due.set()
        if self.bytes >= self.max_bytes and not self._full:
            self._full = True
            self._update_refusing()

    async def next(self) -> Batch | Call:
        """Wait for the next batch or call. A batch stays open to entries until `seal`."""
        return await self._queue.get()

    def is_open(self, batch: Batch) -> bool:
        """Whether entries may still join the batch."""
        return self._open is batch

    def seal(self, batch: Batch) -> None:
        """Let no further entry join a batch. It counts as held until `release`."""
        if self._open is batch:
            self._open = None

    def take_waiting(self) -> list[Batch]:
        """Take out every batch that waits; calls stay."""
        taken: list[Batch] = []
        for _ in range(self._queue.qsize()):
            item = self._queue.get_nowait()
            if isinstance(item, Call):
                self._queue.put_nowait(item)
            else:
                taken.append(item)
        self._open = None
        return taken

    def call(self, call: Call) -> None:
        """Queue a call behind the batches. It holds no bytes and is never refused."""
        self._open = None
        self._queue.put_nowait(call)
        self.due.set()

    def release(self, batch: Batch) -> None:
        """Hold a batch no longer: it is stored or refused."""
        self.events -= batch.events
        self.bytes -= batch.bytes
        if self._full and self.bytes <= self._low_bytes:
            self._full = False
            self._update_refusing()

    def block(self, reason: str | None) -> None:
        """Refuse all new events for this reason, until block(None)."""
        self._blocked = reason
        self._update_refusing()

    def _update_refusing(self) -> None:
        self.refusing = self._blocked or ("overload" if self._full else None)
