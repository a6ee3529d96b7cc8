"""Several sinks at once, each with its own account. An event is stored when one of them has it for good.

A sink that fails or hangs is left out until it can store again, and does not slow the others; what it
missed meanwhile is counted, and can be filled in from the other (`ingestd replay`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from ingestd.errors import SinkError
from ingestd.event import Batch
from ingestd.pipeline.sink import Sink

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
    """A sink over sinks. `patience`: seconds a commit of one may take while another has finished."""

    name = "both"
    final = False

    def __init__(
        self, sinks: Sequence[Sink], patience: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.legs = [Leg(sink) for sink in sinks]
        self._patience = patience
        self._clock = clock

    async def open(self) -> None:
        """Open all; one that cannot be opened is an error: a daemon starts whole or not at all."""
        for leg in self.legs:
            await leg.sink.open()

    async def commit(self, batch: Batch) -> None:
        """Return when every sink that takes part has the batch. Raises SinkError where none has."""
        taking = [leg for leg in self.legs if await self._takes_part(leg)]
        for leg in taking:
            leg.under_way = asyncio.create_task(self._one(leg, batch))
        tasks = {leg.under_way: leg for leg in taking if leg.under_way is not None}
        waiting, stored = set(tasks), False
        while waiting:
            done, waiting = await asyncio.wait(
                waiting, timeout=self._patience if stored else None, return_when=asyncio.FIRST_COMPLETED
            )
            stored = stored or any(not tasks[task].trouble for task in done)
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

    def trouble(self) -> str:
        """Where every sink has one: with one that stores, events are taken."""
        troubles = [leg.sink.trouble() for leg in self.legs]
        return "; ".join(troubles) if all(troubles) else ""

    def status(self) -> dict[str, Any]:
        """By sink, with what it missed."""
        return {
            leg.sink.name: {
                **leg.sink.status()[leg.sink.name],
                "trouble": leg.trouble,
                "missed_events": leg.missed_events,
            }
            for leg in self.legs
        }

    def gauges(self) -> dict[str, float]:
        """Of all."""
        return {name: value for leg in self.legs for name, value in leg.sink.gauges().items()}

    def counters(self) -> dict[str, float]:
        """Of all, and what one missed that another has."""
        missed = {f"{leg.sink.name}_missed_events": leg.missed_events for leg in self.legs}
        return {name: value for leg in self.legs for name, value in leg.sink.counters().items()} | missed

    async def _one(self, leg: Leg, batch: Batch) -> None:
        try:
            await leg.sink.commit(batch)
        except SinkError as error:
            self._leave_out(leg, str(error))
            leg.missed_events += leg.late_events
            leg.late_events = 0
        else:
            leg.late_events = 0
            if not leg.sink.final:
                return
            for entry in batch.entries:
                entry.account.deliver(leg.sink.name, entry.count, len(entry.data))

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
