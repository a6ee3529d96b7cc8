"""The flusher: one task that takes batches from the buffer and has the sink make them durable.

`stored` mode: a commit starts as soon as the last one is done, so the batch grows with the load and
nobody waits for a timer (group commit). `queued` mode: a batch is due by time, by events or by bytes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ingestd.errors import SinkError
from ingestd.event import Batch, Entry
from ingestd.pipeline.batch_metrics import BatchMetrics
from ingestd.pipeline.buffer import Buffer, Call
from ingestd.pipeline.counters import Counters
from ingestd.pipeline.sink import Sink
from ingestd.pipeline.subscribers import Following

logger = logging.getLogger(__name__)

# The loop must turn: at most this many entries are settled without a break.
SLICE = 500
# A watch that is this late, seconds, tells of ourselves: the process was stopped, or the machine.
LATE = 0.5
# How often a sink that failed is tried again, seconds.
PROBE_PERIOD = 0.5


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """When a batch is due: after `interval` s, at `max_events`, or at `max_bytes`.

    `acks`: replies wait for the commit (stored mode), so a batch is due at once, and one that cannot be
    stored is refused; without, it has been answered already and is kept until it can be stored.
    `stall`: seconds a commit may take before those who wait for it are refused.
    """

    interval: float
    max_events: int
    max_bytes: int
    acks: bool
    stall: float


class Timer(Protocol):
    """What the clock gives back for a call to come."""

    def cancel(self) -> object:
        """Do not call."""


@dataclass(frozen=True, slots=True)
class Clock:
    """`later` calls back after a delay in seconds; `now` is monotonic seconds; `wall_ns` since the epoch."""

    later: Callable[[float, Callable[[], object]], Timer]
    now: Callable[[], float]
    wall_ns: Callable[[], int]


class Flusher:
    """Moves entries from the buffer to the sink, and settles them."""

    def __init__(
        self, buffer: Buffer, sink: Sink, policy: FlushPolicy, counters: Counters, metrics: BatchMetrics,
        clock: Clock, following: Following | None = None,
    ) -> None:  # fmt: skip
        self._buffer = buffer
        self._sink = sink
        self._policy = policy
        self._counters = counters
        self._metrics = metrics
        self._clock = clock
        self._following = following or Following()
        self._in_flight: Sequence[Entry] = ()
        self._draining = False
        self._refusing: asyncio.Future[None] | None = None  # kept, or the loop forgets it
        self.trouble = ""  # why nothing can be stored now, in words

    async def run(self) -> None:
        """Flush for ever; ends by being cancelled."""
        buffer = self._buffer
        while True:
            item = await buffer.next()
            if isinstance(item, Call):
                await item.run()
                continue
            if not self._policy.acks and buffer.is_open(item):
                await self._ripen()
            buffer.seal(item)
            await self._store(item)

    async def drain(self) -> None:
        """Return when all that was taken is settled. Nothing waits for the timer any more."""
        self._draining = True
        done = asyncio.Event()

        async def reached() -> None:
            done.set()

        self._buffer.call(Call(reached))
        await done.wait()

    async def _ripen(self) -> None:
        """Wait until the batch that has begun is due: by the timer or by what has gathered."""
        if self._draining:
            return
        ripe = self._buffer.ripe
        ripe.clear()  # what was said of an earlier batch: this one is open, so nothing was said of it
        timer = self._clock.later(self._policy.interval, ripe.set)
        await ripe.wait()
        timer.cancel()

    async def _store(self, batch: Batch) -> None:
        """Have a batch stored; where that fails refuse it, or in queued mode hold on to it and try again."""
        while True:
            try:
                await self._commit(batch)
            except SinkError as error:
                self._metrics.commit_failures += 1
                self.trouble = str(error)
                logger.error("cannot store", extra={"error": str(error), "events": batch.events})
                if not self._policy.acks:
                    await self._recover()
                    continue
                self._buffer.block("storage")
                await self._settle(batch, "storage")
                await self._refuse_waiting("storage")
                await self._recover()
            else:
                if self._following.followers:
                    self._following.offer(batch.entries)
                await self._settle(batch, None)
            return

    async def _commit(self, batch: Batch) -> None:
        clock, metrics = self._clock, self._metrics
        began = clock.now()
        self._in_flight = batch.entries
        self._set_watch()
        try:
            self._counters.record(await self._sink.commit(batch))
        finally:
            self._watch.cancel()
            self._in_flight = ()
            if self.trouble:
                self.trouble = ""
                self._buffer.block(None)
        metrics.commit_seconds.observe(clock.now() - began)
        metrics.batch_events.observe(batch.events)
        if self._policy.acks:
            metrics.ack_seconds.observe_batch(batch.entries, clock.wall_ns())

    def _set_watch(self) -> None:
        self._watch_due = self._clock.now() + self._policy.stall
        self._watch = self._clock.later(self._policy.stall, self._watched)

    def _watched(self) -> None:
        """The commit has taken too long; or it has ended, and we, who stood still, have yet to hear of it."""
        if self._clock.now() - self._watch_due > LATE:
            self._set_watch()
        else:
            self._stalled()

    def _stalled(self) -> None:
        """The commit hangs. Nobody waits for ever: refuse those who wait, and everything new, until it ends.

        What is being written may yet be stored; it is counted when the commit ends, only the reply
        is given now. A platform that repeats it makes a duplicate, not a loss.
        """
        self.trouble = f"a commit has taken more than {self._policy.stall:g} s"
        self._metrics.stalls += 1
        logger.error("storage is stalled", extra={"error": self.trouble})
        if self._policy.acks:
            self._buffer.block("stalled")
            self._refusing = asyncio.ensure_future(self._refuse_stalled())

    async def _refuse_stalled(self) -> None:
        entries = self._in_flight
        for number, entry in enumerate(entries):
            if self._in_flight is not entries:  # the commit has ended meanwhile, and its entries are settled
                return
            entry.stalled()
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        await self._refuse_waiting("stalled")

    async def _refuse_waiting(self, reason: str) -> None:
        for batch in self._buffer.take_waiting():
            await self._settle(batch, reason)

    async def _recover(self) -> None:
        """Try the sink until a commit could succeed again.

        In stored mode nothing waits for that, so a drain need not: what could not be stored was refused.
        """
        while True:
            try:
                await self._sink.probe()
            except SinkError as error:
                if self._draining and self._policy.acks:
                    return
                if str(error) != self.trouble:
                    logger.error("still cannot store", extra={"error": str(error)})
                self.trouble = str(error)
                await self._sleep(PROBE_PERIOD)
            else:
                break
        logger.warning("can store again", extra={"after": self.trouble})
        self.trouble = ""
        self._buffer.block(None)

    async def _sleep(self, seconds: float) -> None:
        awake = asyncio.Event()
        self._clock.later(seconds, awake.set)
        await awake.wait()

    async def _settle(self, batch: Batch, refused: str | None) -> None:
        """Count the batch as stored, or as refused for a reason, and tell every entry, with breaks."""
        now = self._clock.wall_ns()
        for source, share in batch.shares().items():
            # A source's events of one batch count as having waited as long as the first of them.
            waited = (now - share.received_ns) / 1e9
            self._counters.of(source).settle(share.events, share.bytes, refused, waited)
        if self._policy.acks:
            for number, entry in enumerate(batch.entries):
                if number and number % SLICE == 0:
                    await asyncio.sleep(0)
                entry.settle(refused)
        self._buffer.release(batch)
