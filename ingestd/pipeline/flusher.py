"""The flusher: one task that takes batches from the buffer and has the sink make them durable.

`stored` mode: a commit starts as soon as the last one is done, so a batch grows with the load and nobody
waits for a timer (group commit). `queued` mode: a batch is due by time, by events or by bytes.
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
from ingestd.pipeline.subscribers import Subscribers
from ingestd.system.tracing import Tracing

logger = logging.getLogger(__name__)

# The loop must turn: at most this many entries are settled without a break.
SLICE = 500
# A stall timer that fires this late, in seconds, says nothing about the sink: this process was stopped.
LATE = 0.5
# Seconds between two probes of a sink that failed.
PROBE_PERIOD = 0.5


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """When a batch is due by time: after `interval` s. By size the buffer says so.

    `acks`: responses wait for the commit (stored mode), so a batch is due at once, and one that cannot be
    stored is refused. Without it, a batch has been answered already and is retried until it is stored.
    `stall`: seconds a commit may take before the requests that wait for it are refused.
    """

    interval: float
    acks: bool
    stall: float


class Timer(Protocol):
    """A call that is scheduled, as `asyncio.TimerHandle`."""

    def cancel(self) -> object:
        """Drop the call if it has not been made."""


@dataclass(frozen=True, slots=True)
class Clock:
    """`later` calls back after a delay in seconds; `now` is monotonic seconds; `wall_ns` since the epoch."""

    later: Callable[[float, Callable[[], object]], Timer]
    now: Callable[[], float]
    wall_ns: Callable[[], int]


class Flusher:
    """Moves batches from the buffer to the sink and settles their entries.

    `error`: why events cannot be stored now; "" while they can.
    """

    def __init__(
        self, buffer: Buffer, sink: Sink, policy: FlushPolicy, counters: Counters, metrics: BatchMetrics,
        clock: Clock, subscribers: Subscribers | None = None, tracing: Tracing | None = None,
    ) -> None:  # fmt: skip
        self._buffer = buffer
        self._sink = sink
        self._policy = policy
        self._counters = counters
        self._metrics = metrics
        self._clock = clock
        self._subscribers = subscribers or Subscribers()
        self._tracing = tracing
        self._in_flight: Sequence[Entry] = ()
        self._draining = False
        self._refusing: asyncio.Future[None] | None = None  # the loop keeps only a weak reference
        self.error = ""

    async def run(self) -> None:
        """Store batches and run calls, in order, until cancelled. Raises what a call raises."""
        buffer = self._buffer
        while True:
            item = await buffer.next()
            if isinstance(item, Call):
                await item.run()
                continue
            if not self._policy.acks and buffer.is_open(item):
                await self._wait_until_due()
            buffer.seal(item)
            await self._store(item)

    async def drain(self) -> None:
        """Return when everything in the buffer is settled. From now on no batch waits for the timer."""
        self._draining = True
        done = asyncio.Event()

        async def reached() -> None:
            done.set()

        self._buffer.call(Call(reached))
        await done.wait()

    async def _wait_until_due(self) -> None:
        if self._draining:
            return
        due = self._buffer.due
        due.clear()  # it was set for an earlier batch: this one is still open
        timer = self._clock.later(self._policy.interval, due.set)
        await due.wait()
        timer.cancel()

    async def _store(self, batch: Batch) -> None:
        """Store a batch. If that fails: in stored mode refuse all that wait, in queued mode retry.

        An exception other than SinkError costs its own batch, in both modes, and no more.
        """
        while True:
            try:
                await self._commit(batch)
            except SinkError as error:
                self._metrics.commit_failures += 1
                self.error = str(error)
                state = {"error": self.error, "events": batch.events}
                if not self._policy.acks:
                    logger.error("cannot store, will retry", extra=state)
                    await self._recover()
                    continue
                logger.error("cannot store, refusing events", extra=state)
                self._buffer.block("storage")
                await self._settle(batch, "storage")
                await self._refuse_waiting("storage")
                await self._recover()
            except Exception as error:
                # A bug, which may lie in what the batch holds: retried, it would stop all later events.
                self._metrics.commit_failures += 1
                logger.exception("bug in a sink, refusing its batch", extra={"events": batch.events})
                self.error = f"{type(error).__name__} in a sink"
                self._buffer.block("storage")
                await self._settle(batch, "internal")
                await self._recover()
            else:
                if self._subscribers.active:
                    self._subscribers.offer(batch.entries)
                await self._settle(batch, None)
            return

    async def _commit(self, batch: Batch) -> None:
        clock, metrics = self._clock, self._metrics
        began = clock.now()
        self._in_flight = batch.entries
        self._set_stall_timer(began)
        try:
            if self._tracing is None:
                result = await self._sink.commit(batch)
            else:
                with self._tracing.commit(self._sink.name, batch):
                    result = await self._sink.commit(batch)
            self._counters.record(result)
        finally:
            self._stall_timer.cancel()
            self._in_flight = ()
            if self.error:
                self.error = ""
                self._buffer.block(None)
        metrics.commit_seconds.observe(clock.now() - began)
        metrics.batch_events.observe(batch.events)
        if self._policy.acks:
            metrics.ack_seconds.observe_batch(batch.entries, clock.wall_ns())

    def _set_stall_timer(self, now: float) -> None:
        self._stall_due = now + self._policy.stall
        self._stall_timer = self._clock.later(self._policy.stall, self._check_stall)

    def _check_stall(self) -> None:
        now = self._clock.now()
        if now - self._stall_due > LATE:  # the commit may have ended while this process was stopped
            self._set_stall_timer(now)
        else:
            self._stalled()

    def _stalled(self) -> None:
        """The commit hangs. Refuse the requests that wait, and new ones, until it ends.

        The batch may yet be stored; it is counted when the commit ends, only the response is written now. A
        platform that repeats the event makes a duplicate, not a loss.
        """
        self.error = f"a commit has taken more than {self._policy.stall:g} s"
        self._metrics.stalls += 1
        logger.error("storage is stalled", extra={"error": self.error})
        if self._policy.acks:
            self._buffer.block("stalled")
            self._refusing = asyncio.ensure_future(self._refuse_stalled())

    async def _refuse_stalled(self) -> None:
        entries = self._in_flight
        for number, entry in enumerate(entries):
            if self._in_flight is not entries:  # the commit has ended, and its entries are settled
                return
            entry.stalled()
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        await self._refuse_waiting("stalled")

    async def _refuse_waiting(self, reason: str) -> None:
        for batch in self._buffer.take_waiting():
            await self._settle(batch, reason)

    async def _recover(self) -> None:
        """Probe the sink until a commit could succeed.

        In stored mode a drain does not wait for that: everything that could not be stored has been refused.
        """
        while True:
            try:
                await self._probe()
            except SinkError as error:
                if self._draining and self._policy.acks:
                    return
                if str(error) != self.error:
                    logger.error("still cannot store, will retry", extra={"error": str(error)})
                self.error = str(error)
                await self._sleep(PROBE_PERIOD)
            else:
                break
        logger.warning("storage recovered", extra={"after": self.error})
        self.error = ""
        self._buffer.block(None)

    async def _probe(self) -> None:
        """Raises SinkError unless a commit could succeed; a bug in the probe is logged, and counts as one."""
        try:
            await self._sink.probe()
        except SinkError:
            raise
        except Exception as error:
            logger.exception("bug in a sink's probe")
            raise SinkError(f"{type(error).__name__} in a sink") from error

    async def _sleep(self, seconds: float) -> None:
        awake = asyncio.Event()
        self._clock.later(seconds, awake.set)
        await awake.wait()

    async def _settle(self, batch: Batch, refused: str | None) -> None:
        """Count a batch as stored (None), or as refused for a reason, and settle its entries in slices."""
        now = self._clock.wall_ns()
        for source, share in batch.shares().items():
            # All events of a source in one batch count as having waited as long as the first of them.
            waited = (now - share.received_ns) / 1e9
            self._counters.of(source).settle(share.events, share.bytes, refused, waited)
        if self._policy.acks:
            for number, entry in enumerate(batch.entries):
                if number and number % SLICE == 0:
                    await asyncio.sleep(0)
                entry.settle(refused)
        self._buffer.release(batch)
