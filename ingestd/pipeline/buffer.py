"""The buffer: what has been taken and is not stored yet, capped in bytes.

An asyncio.Queue of batches. The youngest batch stays open: entries join it until it is full or the
flusher has taken it, so that a queue operation is paid once a batch, not once an event.

Past the high-water mark new events are refused until what is held falls to the low-water mark. What is
held includes the batch being written: it is memory too, and not yet anybody's promise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ingestd.event import Batch, Entry

LOW_WATER = 0.8


class Call:
    """Work for the task that owns the sink, in its turn among the batches: a rotation, say."""

    __slots__ = ("run",)

    def __init__(self, run: Callable[[], Awaitable[None]]) -> None:
        self.run = run


class Buffer:
    """What waits for the flusher, under a byte cap.

    `refusing`: why no new event is taken now (a reason of `replies.REFUSALS`), or None; read once per
    request. `bytes` and `events`: held now, waiting or being written.
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
        self.ripe = asyncio.Event()  # the flusher need not wait for its timer
        self.bytes = 0
        self.events = 0
        self.refusing: str | None = None

    def put(self, entry: Entry) -> None:
        """Take an entry. The caller has looked at `refusing`; one entry may pass the mark, none is cut."""
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
            self.ripe.set()
        if self.bytes >= self.max_bytes and not self._full:
            self._full = True
            self._decide()

    async def next(self) -> Batch | Call:
        """Wait for what is next. A batch stays open to entries until `seal`."""
        return await self._queue.get()

    def is_open(self, batch: Batch) -> bool:
        """Whether entries may still join the batch."""
        return self._open is batch

    def seal(self, batch: Batch) -> None:
        """No further entry joins a batch that was taken; it is held until released."""
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
        """Have the sink's owner run something in its turn. It holds no bytes and is never refused."""
        self._open = None
        self._queue.put_nowait(call)
        self.ripe.set()

    def release(self, batch: Batch) -> None:
        """What became of the batch is known: it is held no longer."""
        self.events -= batch.events
        self.bytes -= batch.bytes
        if self._full and self.bytes <= self._low_bytes:
            self._full = False
            self._decide()

    def block(self, reason: str | None) -> None:
        """Refuse everything new for this reason, until block(None)."""
        self._blocked = reason
        self._decide()

    def _decide(self) -> None:
        self.refusing = self._blocked or ("overload" if self._full else None)
