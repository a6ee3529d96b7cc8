"""Several sinks at once. An event is stored when one of them has it for good.

A sink that fails or hangs is left out until it can store again, and does not slow the others; what it
missed meanwhile is counted, and can be filled in from the other (`ingestd replay`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from ingestd.errors import SinkError
from ingestd.event import Batch
from ingestd.pipeline.sink import CommitResult, Sink, Snapshot

logger = logging.getLogger(__name__)

# How often a sink that was left out is tried again, seconds.
PROBE_PERIOD = 0.5


class Leg:
    """One of the sinks. `trouble`: why it is left out, "" while it takes part."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.trouble = ""
        self.missed_events = 0
        self.late_events = 0  # of a commit that hangs: missed if it fails in the end
        self.under_way: asyncio.Task[None] | None = None
        self.probe_at = 0.0


class Both:
    """A sink over sinks. `patience`: seconds a commit of one may take while another has finished.

    What became of a batch is reported for each sink when it is done, which may be long after the commit.
    """

    name = "both"

    def __init__(
        self, sinks: Sequence[Sink], patience: float, report: Callable[[CommitResult], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.legs = [Leg(sink) for sink in sinks]
        self._report = report
        self._patience = patience
        self._clock = clock

    async def open(self) -> None:
        """Open all; one that cannot be opened is an error: a daemon starts whole or not at all."""
        for leg in self.legs:
            await leg.sink.open()

    async def commit(self, batch: Batch) -> CommitResult:
        """Return when every sink that takes part has the batch. Raises SinkError where none has.

        The result is empty: all of it has been reported, or will be.
        """
        taking = [leg for leg in self.legs if await self._takes_part(leg)]
        for leg in taking:
            leg.under_way = asyncio.create_task(self._one(leg, batch))
        tasks = {leg.under_way: leg for leg in taking if leg.under_way is not None}
        waiting, stored = set(tasks), False
        while waiting:
            done, waiting = await asyncio.wait(
                waiting, timeout=self._patience if stored else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()  # whatever a sink does not foresee is a bug, and ends the flusher
                stored = stored or not tasks[task].trouble
            if not done:
                for task in waiting:
                    self._leave_out(tasks[task], f"a commit takes more than {self._patience:g} s")
                    tasks[task].late_events = batch.events
                break
        if not stored:
            raise SinkError(self._troubles())
        for leg in self.legs:
            if leg.trouble and not (leg in taking and leg.late_events):
                leg.missed_events += batch.events
        return CommitResult()

    async def probe(self) -> None:
        """Raises SinkError as long as no sink could store."""
        for leg in self.legs:
            leg.probe_at = 0.0
        if not any([await self._takes_part(leg) for leg in self.legs]):
            raise SinkError(self._troubles())

    async def tick(self) -> None:
        """Pass on, and try those left out again."""
        for leg in self.legs:
            if await self._takes_part(leg):
                await leg.sink.tick()

    async def rotate(self) -> None:
        """Pass on."""
        for leg in self.legs:
            if not leg.trouble:
                await leg.sink.rotate()

    async def close(self) -> None:
        """Close all, whatever becomes of one. Raises SinkError for the first that failed."""
        results = await asyncio.gather(*(leg.sink.close() for leg in self.legs), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def snapshot(self) -> Snapshot:
        """All sinks in one, with what each missed. An error only where every sink has one."""
        errors: list[str] = []
        whole = Snapshot("", {}, {})
        for leg in self.legs:
            name, one = leg.sink.name, leg.sink.snapshot()
            errors.append(one.error)
            whole.metrics.update(one.metrics)
            whole.metrics[f"{name}_missed_events"] = leg.missed_events
            for sink, status in one.status.items():
                whole.status[sink] = {**status, "trouble": leg.trouble, "missed_events": leg.missed_events}
        return whole._replace(error="; ".join(errors)) if all(errors) else whole

    async def _one(self, leg: Leg, batch: Batch) -> None:
        try:
            self._report(await leg.sink.commit(batch))
        except SinkError as error:
            self._leave_out(leg, str(error))
            leg.missed_events += leg.late_events
            leg.late_events = 0
        else:
            leg.late_events = 0

    def _troubles(self) -> str:
        return "; ".join(f"{leg.sink.name}: {leg.trouble}" for leg in self.legs)

    def _leave_out(self, leg: Leg, trouble: str) -> None:
        if not leg.trouble:
            logger.error("sink left out", extra={"sink": leg.sink.name, "error": trouble})
        leg.trouble = trouble
        leg.probe_at = self._clock() + PROBE_PERIOD

    async def _takes_part(self, leg: Leg) -> bool:
        if not leg.trouble:
            return True
        if leg.under_way is not None and not leg.under_way.done():
            return False
        if self._clock() < leg.probe_at:
            return False
        try:
            await leg.sink.probe()
        except SinkError as error:
            self._leave_out(leg, str(error))
            return False
        logger.warning("sink takes part again", extra={"sink": leg.sink.name, "missed": leg.missed_events})
        leg.trouble = ""
        return True
