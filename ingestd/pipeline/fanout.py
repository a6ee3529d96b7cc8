"""The fan-out: several sinks at once. An event is stored when one of them has stored it.

A sink that fails or hangs is excluded until it can store again and does not slow the others. The events it
misses meanwhile are counted and can be filled in from the other sink (`ingestd replay`).
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

# Seconds between two probes of an excluded sink.
PROBE_PERIOD = 0.5


class Branch:
    """One sink of a fan-out. `error`: why it is excluded; "" while it takes part."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.error = ""
        self.missed_events = 0
        self.late_events = 0  # in a commit that hangs: missed only if that fails in the end
        self.commit: asyncio.Task[None] | None = None
        self.probe_at = 0.0


class Fanout:
    """A sink over sinks. `timeout`: seconds a commit may take once another sink has finished the same batch.

    `report` takes each sink's CommitResult when that sink is done, which may be long after the commit.
    """

    name = "fanout"

    def __init__(
        self, sinks: Sequence[Sink], timeout: float, report: Callable[[CommitResult], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.branches = [Branch(sink) for sink in sinks]
        self._timeout = timeout
        self._report = report
        self._clock = clock

    async def open(self) -> None:
        """Open all sinks. Raises SinkError for the first that fails: a daemon starts whole or not at all."""
        for branch in self.branches:
            await branch.sink.open()

    async def commit(self, batch: Batch) -> CommitResult:
        """Return when every sink that takes part has the batch. Raises SinkError if none has.

        The result is empty: everything is reported sink by sink.
        """
        taking = [branch for branch in self.branches if await self._takes_part(branch)]
        tasks: dict[asyncio.Task[None], Branch] = {}
        for branch in taking:
            branch.commit = asyncio.create_task(self._commit_to(branch, batch))
            tasks[branch.commit] = branch
        waiting, stored = set(tasks), False
        while waiting:
            done, waiting = await asyncio.wait(
                waiting, timeout=self._timeout if stored else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                stored = stored or not tasks[task].error
            if not done:
                for task in waiting:
                    self._exclude(tasks[task], f"a commit takes more than {self._timeout:g} s")
                    tasks[task].late_events = batch.events
                break
        if not stored:
            raise SinkError(self._errors())
        for branch in self.branches:
            if branch.error and not (branch in taking and branch.late_events):
                branch.missed_events += batch.events
        return CommitResult()

    async def probe(self) -> None:
        """Raises SinkError unless a sink could store now."""
        for branch in self.branches:
            branch.probe_at = 0.0
        if not any([await self._takes_part(branch) for branch in self.branches]):
            raise SinkError(self._errors())

    async def rotate(self) -> None:
        """Rotate the sinks that take part."""
        for branch in self.branches:
            if not branch.error:
                await branch.sink.rotate()

    async def tick(self) -> None:
        """Tick the sinks that take part, after a probe of those that are excluded."""
        for branch in self.branches:
            if await self._takes_part(branch):
                await branch.sink.tick()

    async def close(self) -> None:
        """Close every sink, even if another fails. Raises SinkError for the first that failed."""
        closing = (branch.sink.close() for branch in self.branches)
        for result in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    def snapshot(self) -> Snapshot:
        """All sinks in one, with the events each missed. An error only if every sink has one."""
        errors: list[str] = []
        whole = Snapshot("", {}, {})
        for branch in self.branches:
            name, one = branch.sink.name, branch.sink.snapshot()
            errors.append(one.error)
            whole.metrics.update(one.metrics)
            whole.metrics[f"{name}_missed_events"] = branch.missed_events
            state = {"excluded_because": branch.error, "missed_events": branch.missed_events}
            whole.status.update({sink: {**status, **state} for sink, status in one.status.items()})
        return whole._replace(error="; ".join(errors)) if all(errors) else whole

    async def _commit_to(self, branch: Branch, batch: Batch) -> None:
        try:
            self._report(await branch.sink.commit(batch))
        except Exception as error:
            self._exclude(branch, _text(error))
            if not isinstance(error, SinkError):
                logger.exception("bug in a sink", extra={"sink": branch.sink.name, "events": batch.events})
            branch.missed_events += branch.late_events
        branch.late_events = 0

    def _errors(self) -> str:
        return "; ".join(f"{branch.sink.name}: {branch.error}" for branch in self.branches)

    def _exclude(self, branch: Branch, error: str) -> None:
        if not branch.error:
            logger.error(
                "sink failed, excluded from the fan-out", extra={"sink": branch.sink.name, "error": error}
            )
        branch.error = error
        branch.probe_at = self._clock() + PROBE_PERIOD

    async def _takes_part(self, branch: Branch) -> bool:
        if not branch.error:
            return True
        if branch.commit is not None and not branch.commit.done():
            return False
        if self._clock() < branch.probe_at:
            return False
        try:
            await branch.sink.probe()
        except Exception as error:
            self._exclude(branch, _text(error))
            if not isinstance(error, SinkError):
                logger.exception("bug in a sink's probe", extra={"sink": branch.sink.name})
            return False
        state = {"sink": branch.sink.name, "missed_events": branch.missed_events}
        logger.warning("sink recovered, back in the fan-out", extra=state)
        branch.error = ""
        return True


def _text(error: Exception) -> str:
    """An error for operators; of a bug only its kind, since its message may quote an event."""
    return str(error) if isinstance(error, SinkError) else f"{type(error).__name__}, a bug; the log has it"
