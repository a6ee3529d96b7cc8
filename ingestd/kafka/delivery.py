"""From the spool to Kafka, in rounds: what has just come, and beside it a bounded share of any backlog.

What has just come is still in memory (the window); when Kafka is away the window overflows and what it
held is read back from disk later, as a gap. A round waits for Kafka as long as it takes: it is never sent
anew because of time, so an outage makes no repeats. Memory: the window and one round, whatever the backlog.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ingestd.errors import SinkError
from ingestd.kafka.delivery_report import Sent
from ingestd.kafka.progress import Progress
from ingestd.kafka.records import source_of
from ingestd.pipeline.sink import CommitResult
from ingestd.spool.envelope import lines
from ingestd.spool.spool import Position, Spool

logger = logging.getLogger(__name__)

RETRY_PAUSE = 1.0
# With more gaps than this the newest events wait for the oldest, or the gaps would be without number.
MAX_GAPS = 64


@dataclass(frozen=True, slots=True)
class Spooled:
    """One append to the spool, still in memory."""

    end: Position
    payloads: Sequence[bytes]
    size: int


@dataclass(frozen=True, slots=True)
class Pace:
    """`linger`: seconds a round gathers before it starts. Bytes: of a round's two parts, of the window."""

    linger: float
    round_bytes: int
    window_bytes: int


class Delivery:
    """Delivers what is spooled. `in_thread` runs the spool's blocking calls, one at a time."""

    def __init__(
        self,
        spool: Spool,
        progress: Progress,
        send: Callable[[Sequence[bytes], Progress], Awaitable[Sent]],
        save: Callable[[Progress], None],
        in_thread: Callable[..., Awaitable[Any]],
        report: Callable[[CommitResult], None],
        pace: Pace,
        publish: Callable[[], Awaitable[None]],
        snapshot: Callable[[Progress], Progress] = Progress.copy,
    ) -> None:
        self._spool = spool
        self._send = send
        self._save = save
        self._in_thread = in_thread
        self._report = report
        self._pace = pace
        self._publish = publish
        self._snapshot = snapshot
        self._window: deque[Spooled] = deque()
        self._window_bytes = 0
        self._old = spool.end  # what lies before it was spooled by an earlier run
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._free = asyncio.Event()  # not set while something of the spool is on its way by another way
        self._free.set()
        self._changes = self._recorded = 0  # of the progress: made, and of these known to the disk
        self.progress = progress
        self.trouble = ""  # why nothing is delivered now, in words
        progress.skip_to(spool.end)

    async def take_up(self, committed: Progress) -> None:
        """Before the first round: what Kafka holds counts, whatever the disk says. Raises SinkError."""
        committed.skip_to(self.progress.live)
        self.progress = committed
        await self._in_thread(self._record, self._snapshot(self.progress))  # there may be no round to do it

    def hold(self, end: Position) -> None:
        """What was just appended up to `end` is on its way already: deliver nothing until `let_go`."""
        self._free.clear()
        self._idle.clear()
        self.leave_on_disk(end)

    def let_go(self, delivered: tuple[Position, Position] | None) -> None:
        """It has arrived (or not: None)."""
        if delivered is not None:
            self.progress.deliver(*delivered)
            self._changes += 1
        self._free.set()
        self._arrived.set()

    def add(self, end: Position, payloads: Sequence[bytes]) -> None:
        """Take over what was just appended, up to `end`."""
        size = sum(map(len, payloads))
        self._window.append(Spooled(end, payloads, size))
        self._window_bytes += size
        if self._window_bytes > self._pace.window_bytes:
            self.leave_on_disk(end)
        self._idle.clear()
        self._arrived.set()

    def leave_on_disk(self, end: Position) -> None:
        """Everything up to `end` that is not on its way is read back later."""
        self.progress.skip_to(end)
        self._window.clear()
        self._window_bytes = 0

    def look_up(self) -> None:
        """There may be something to publish."""
        self._arrived.set()

    @property
    def pending(self) -> bool:
        """Something of the spool is not delivered yet, or is and not released."""
        return bool(self._window or self.progress.gaps) or self._recorded != self._changes

    async def drained(self) -> None:
        """Return when everything is delivered and released."""
        while self.pending:
            await self._idle.wait()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            if not self.pending:
                self._idle.set()
                self._arrived.clear()
                await self._publish()
                await self._arrived.wait()
                continue
            await self._free.wait()
            if not self.progress.gaps and self._window_bytes < self._pace.round_bytes:
                await asyncio.sleep(self._pace.linger)
            try:
                await self._round()
            except SinkError as error:
                self.trouble = str(error)
                logger.error("delivery pauses", extra={"error": self.trouble})
                await asyncio.sleep(RETRY_PAUSE)
                continue
            self.trouble = ""
            await self._publish()

    async def _round(self) -> None:
        """Send a share of the oldest gap and what has just come. Until it is done both count as gaps.

        With nothing to send it records what is delivered: where the disk refused that, it is tried again.
        """
        done: list[tuple[Position, Position]] = []
        payloads: list[bytes] = []
        old: dict[str, int] = {}
        if self.progress.gaps:
            start, stop = self.progress.gaps[0]
            stored, reached = await self._in_thread(self._spool.read, start, self._pace.round_bytes)
            inside = [one for one in stored if one.end <= stop]
            payloads += [one.payload for one in inside]
            old = count_sources(one.payload for one in inside if one.end <= self._old)
            done.append((start, min(reached, stop) if stored else stop))  # nothing readable: it is done, too
        if self._window and len(self.progress.gaps) <= MAX_GAPS:
            start = self.progress.live
            live, stop = self._take_live()
            payloads += live
            done.append((start, stop))
            self.progress.skip_to(stop)
        if payloads:
            sent = await self._send(payloads, self.progress.without(done))
            # What an earlier run had spooled is taken over now that it is settled.
            self._report(sent.result(from_spool=True, recovered=old))
        for start, stop in done:
            self.progress.deliver(start, stop)
        self._changes += 1
        changes = self._changes
        await self._in_thread(self._record, self._snapshot(self.progress))
        self._recorded = changes

    def _take_live(self) -> tuple[list[bytes], Position]:
        payloads: list[bytes] = []
        size, end = 0, self.progress.live
        while self._window and size < self._pace.round_bytes:
            piece = self._window.popleft()
            self._window_bytes -= piece.size
            size += piece.size
            payloads += piece.payloads
            end = piece.end
        return payloads, end

    def _record(self, progress: Progress) -> None:
        """In the thread: what is delivered need not be kept, and a restart need not send it again.

        With a snapshot, for the loop goes on: half of a change seen would release what is not delivered.
        """
        self._save(progress)
        self._spool.release(progress.oldest)


def count_sources(payloads: Iterable[bytes]) -> dict[str, int]:
    """How many events of each source the payloads hold."""
    counts: dict[str, int] = {}
    for payload in payloads:
        for line in lines(payload):
            source = source_of(line).decode()
            counts[source] = counts.get(source, 0) + 1
    return counts
