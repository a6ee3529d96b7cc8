"""The buffer: what has been taken and is not stored yet, capped in bytes.

Past the high-water mark new events are refused until what is held falls to the low-water mark. What is
held includes the batch being written: it is memory too, and not yet anybody's promise.
"""

from __future__ import annotations

import asyncio

from ingestd.event import Call, Entry

LOW_WATER = 0.8


class Buffer:
    """An asyncio.Queue of entries with a byte cap.

    `refusing`: why no new event is taken now (a reason of `replies.REFUSALS`), or None; read once per
    request. `bytes` and `events`: held now, waiting or being written.
    """

    def __init__(self, max_bytes: int, ripe_events: int, ripe_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._low_bytes = int(max_bytes * LOW_WATER)
        self._ripe_events = ripe_events
        self._ripe_bytes = ripe_bytes
        self._queue: asyncio.Queue[Entry] = asyncio.Queue()
        self._full = False
        self._blocked: str | None = None
        self.ripe = asyncio.Event()  # enough is held for a batch
        self.bytes = 0
        self.events = 0
        self.refusing: str | None = None

    def put(self, entry: Entry) -> None:
        """Take an entry. The caller has looked at `refusing`; one entry may pass the mark, none is cut."""
        self._queue.put_nowait(entry)
        self.bytes += len(entry.data)
        self.events += entry.count
        if self.events >= self._ripe_events or self.bytes >= self._ripe_bytes:
            self.ripe.set()
            if self.bytes >= self.max_bytes and not self._full:
                self._full = True
                self._decide()

    async def first(self) -> Entry:
        """Wait for an entry and take it out; it is held until released."""
        return await self._queue.get()

    def take(self, batch: list[Entry], max_events: int, max_bytes: int) -> Call | None:
        """Move entries that wait into `batch` until it holds one of the two limits, or none waits.

        A call among them ends the batch: it is taken out and returned, to be run after the batch.
        """
        queue = self._queue
        events = sum(entry.count for entry in batch)
        size = sum(len(entry.data) for entry in batch)
        while events < max_events and size < max_bytes and not queue.empty():
            entry = queue.get_nowait()
            if isinstance(entry, Call):
                return entry
            events += entry.count
            size += len(entry.data)
            batch.append(entry)
        return None

    def take_waiting(self) -> list[Entry]:
        """Take out every entry that waits; calls stay."""
        waiting = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        for entry in waiting:
            if isinstance(entry, Call):
                self._queue.put_nowait(entry)
        return [entry for entry in waiting if not isinstance(entry, Call)]

    def call(self, call: Call) -> None:
        """Have the sink's owner run something in its turn. It holds no bytes and is never refused."""
        self._queue.put_nowait(call)
        self.ripe.set()

    def release(self, events: int, size: int) -> None:
        """What became of these is known: they are held no longer."""
        self.events -= events
        self.bytes -= size
        if self.events < self._ripe_events and self.bytes < self._ripe_bytes:
            self.ripe.clear()
        if self._full and self.bytes <= self._low_bytes:
            self._full = False
            self._decide()

    def block(self, reason: str | None) -> None:
        """Refuse everything new for this reason, until block(None)."""
        self._blocked = reason
        self._decide()

    def _decide(self) -> None:
        self.refusing = self._blocked or ("overload" if self._full else None)
