"""Delivers the spool to Kafka in rounds: the events that have just come, and a bounded share of any backlog.

New events are still in memory (the window); while Kafka is unreachable the window overflows, and what it held
becomes a gap, read back from disk later. A round waits for Kafka as long as it takes and is never sent again
because of time, so an outage makes no repeats. Memory: the window and one round, whatever the backlog.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ingestd.errors import SinkError
from ingestd.kafka.delivery_report import DeliveryReport
from ingestd.kafka.records import source_of
from ingestd.kafka.state import Progress
from ingestd.pipeline.sink import CommitResult
from ingestd.spool.envelope import lines
from ingestd.spool.spool import Position, Spool

logger = logging.getLogger(__name__)

RETRY_PAUSE = 1.0
# With more gaps than this the newest events wait for the oldest, or the number of gaps would not be bounded.
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


class SavedState(Protocol):
    """Where the progress is saved: see `state.State`."""

    def snapshot(self, progress: Progress) -> Progress:
        """A copy for the thread that saves it."""

    def save(self, snapshot: Progress) -> None:
        """Blocking; a failure is only logged."""


class Delivery:
    """Delivers what is spooled.

    `send` sends payloads, and commits the progress they make where it sends in transactions. `in_thread` runs
    the blocking calls of `spool` and `state`, one at a time. `publish` is called between rounds.
    `error`: why nothing is delivered now, in words; "" while delivery goes on.
    """

    def __init__(
        self, spool: Spool, progress: Progress, state: SavedState, pace: Pace, *,
        send: Callable[[Sequence[bytes], Progress], Awaitable[DeliveryReport]],
        in_thread: Callable[..., Awaitable[Any]], report: Callable[[CommitResult], None],
        publish: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._spool = spool
        self._state = state
        self._pace = pace
        self._send = send
        self._in_thread = in_thread
        self._report = report
        self._publish = publish
        self._window: deque[Spooled] = deque()
        self._window_bytes = 0
        self._old = spool.end  # what lies before it was spooled by an earlier process
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._free = asyncio.Event()  # not set while a direct send has events of the spool under way
        self._free.set()
        self._changes = self._recorded = 0  # of the progress: made, and of these known to the disk
        self.progress = progress
        self.error = ""
        progress.skip_to(spool.end)

    async def resume(self, committed: Progress) -> None:
        """Before the first round: take the progress Kafka holds, whatever the disk says. Raises SinkError."""
        committed.skip_to(self.progress.live)
        self.progress = committed
        await self._in_thread(
            self._record, self._state.snapshot(self.progress)
        )  # there may be no round to do it

    def hold(self, end: Position) -> None:
        """Suspend delivery until `release`: a direct send has the events up to `end` under way."""
        self._free.clear()
        self._idle.clear()
        self.leave_on_disk(end)

    def release(self, delivered: tuple[Position, Position] | None) -> None:
        """Resume delivery after the direct send; `delivered` is its range, None if it failed."""
        if delivered is not None:
            self.progress.deliver(*delivered)
            self._changes += 1
        self._free.set()
        self._arrived.set()

    def add(self, end: Position, payloads: Sequence[bytes]) -> None:
        """Take over payloads just appended to the spool, up to `end`."""
        size = sum(map(len, payloads))
        self._window.append(Spooled(end, payloads, size))
        self._window_bytes += size
        if self._window_bytes > self._pace.window_bytes:
            self.leave_on_disk(end)
        self._idle.clear()
        self._arrived.set()

    def leave_on_disk(self, end: Position) -> None:
        """Drop the window: everything up to `end` that is not under way is read back later."""
        self.progress.skip_to(end)
        self._window.clear()
        self._window_bytes = 0

    def wake(self) -> None:
        """Have `publish` called, even if there is nothing to deliver."""
        self._arrived.set()

    @property
    def pending(self) -> bool:
        """Whether something in the spool is not delivered yet, or is delivered and not released."""
        return bool(self._window or self.progress.gaps) or self._recorded != self._changes

    async def drained(self) -> None:
        """Return when everything is delivered and released."""
        while self.pending:
            await self._idle.wait()

    async def run(self) -> None:
        """Deliver until cancelled; a failed round is retried after RETRY_PAUSE seconds."""
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
                self.error = str(error)
                logger.error("delivery failed, retrying in 1 s", extra={"error": self.error})
                await asyncio.sleep(RETRY_PAUSE)
                continue
            self.error = ""
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
        await self._in_thread(self._record, self._state.snapshot(self.progress))
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
        """In the thread: save the progress, and give back the room of what is delivered.

        `progress` is a snapshot, for the loop goes on: half of a change would release what is not delivered.
        """
        self._state.save(progress)
        self._spool.release(progress.oldest)


def count_sources(payloads: Iterable[bytes]) -> dict[str, int]:
    """How many events of each source the payloads hold."""
    counts: dict[str, int] = {}
    for payload in payloads:
        for line in lines(payload):
            source = source_of(line).decode()
            counts[source] = counts.get(source, 0) + 1
    return counts
