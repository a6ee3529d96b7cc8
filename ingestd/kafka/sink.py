"""The Kafka sink through a spool: a batch is stored once it is in the spool, and delivered from there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict

from aiokafka.errors import KafkaError

from ingestd.config.kafka import KafkaConfig
from ingestd.errors import SinkError
from ingestd.event import Batch
from ingestd.kafka.checkpoint_topic import FencedError
from ingestd.kafka.delivery import Delivery, Pace
from ingestd.kafka.delivery_report import DeliveryReport
from ingestd.kafka.gauges import KafkaGauges
from ingestd.kafka.manifest_topic import ManifestTopic
from ingestd.kafka.sender import Sender
from ingestd.kafka.state import Progress, State
from ingestd.kafka.topics import Topics
from ingestd.kafka.transactions import Transactions
from ingestd.pipeline.sink import CommitResult, Snapshot
from ingestd.spool.envelope import payloads
from ingestd.spool.spool import Position, Spool
from ingestd.system.io_thread import IoThread

logger = logging.getLogger(__name__)

# Bytes that a probe asks the spool for: a commit may be this large.
RESERVE = 4 << 20
RETRY_PAUSE = 1.0


class KafkaSink:
    """Appends batches to the spool, which one task delivers. Kafka may be unreachable at any time."""

    name = "kafka"

    def __init__(
        self, sender: Sender, spool: Spool, state: State, pace: Pace, report: Callable[[CommitResult], None],
        *, drain_timeout: float, transactions: Transactions | None = None,
    ) -> None:  # fmt: skip
        """`drain_timeout`: seconds that `close` waits for Kafka to take the rest."""
        self.sender = sender
        self.spool = spool
        self._state = state
        self._pace = pace
        self._report = report
        self._drain_timeout = drain_timeout
        self._transactions = transactions
        self._thread = IoThread("spool")
        self._manifest = ManifestTopic(sender, self._save)
        self._gauges = KafkaGauges(sender, spool)
        self._delivery: Delivery  # from `open` on
        self._opened = False
        self._tasks: list[asyncio.Task[None]] = []
        self._direct: asyncio.Task[DeliveryReport] | None = None
        self._fenced = ""

    async def open(self) -> None:
        """Open the spool and begin to deliver. Raises SinkError."""
        found = await self._thread.call(self.spool.open)
        fields = {name: value for name, value in asdict(found).items() if value and name != "checkpoint"}
        logger.info("spool opened", extra={"undelivered_bytes": self.spool.backlog_bytes, **fields})
        progress = await self._thread.call(self._state.load, self.spool.checkpoint, self.spool.end)
        self._delivery = Delivery(
            self.spool, progress, self._state, self._pace, send=self._send, in_thread=self._thread.call,
            report=self._report, publish=self._manifest.publish,
        )  # fmt: skip
        self._opened = True
        self._tasks = [asyncio.create_task(self._deliver()), asyncio.create_task(self._connect())]

    async def commit(self, batch: Batch) -> CommitResult:
        """Append to the spool, durably. Raises SinkError."""
        if self._fenced:
            raise SinkError(self._fenced)
        lines = payloads(batch.entries)
        end = await self._thread.call(self.spool.append, lines)
        self._delivery.add(end, lines)
        return _spooled(batch)

    async def commit_sent(self, batch: Batch, sending: asyncio.Task[DeliveryReport]) -> CommitResult:
        """Append a batch that a direct send has under way; it is delivered from here only if that fails.

        Delivery is suspended until then. Raises SinkError.
        """
        start = self.spool.end
        end = await self._thread.call(self.spool.append, payloads(batch.entries))
        self._delivery.hold(end)
        self._direct = sending
        sending.add_done_callback(lambda sent: self._sent(sent, start, end))
        return _spooled(batch)

    @property
    def suspended(self) -> bool:
        """Whether delivery waits for the direct send of `commit_sent`."""
        return self._direct is not None

    def _sent(self, sending: asyncio.Task[DeliveryReport], start: Position, end: Position) -> None:
        self._direct = None
        if sending.cancelled():
            return
        error = sending.exception()
        if error is not None:
            logger.error("direct send failed, retrying from the spool", extra={"error": str(error)})
            self._delivery.release(None)
        else:
            self._report(sending.result().result(from_spool=True))
            self._count_rows(sending.result())
            self._delivery.release((start, end))

    async def probe(self) -> None:
        """Raises SinkError unless a commit could succeed now."""
        if self._fenced:
            raise SinkError(self._fenced)
        await self._thread.call(self.spool.probe, RESERVE)

    async def rotate(self) -> None:
        """Do nothing: there is no file to finish."""

    async def tick(self) -> None:
        """Measure how fast the spool fills, publish due rows. Raises what a task of the sink failed with."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()
        self._gauges.tick()
        if self._manifest.due and not self.sender.client.error:
            self._delivery.wake()

    def reconfigure(self, settings: KafkaConfig, topics: Topics) -> None:
        """Take new settings without a restart, but for those of `factory.NEED_RESTART`."""
        self.sender.reconfigure(settings, topics)
        if self._transactions is not None:
            self._transactions.reconfigure(settings)

    async def close(self) -> None:
        """Deliver what Kafka takes within the drain timeout; the rest stays in the spool."""
        drained = self._opened and not self._fenced
        try:
            if drained:
                await asyncio.wait_for(self._delivery.drained(), self._drain_timeout)
        except TimeoutError:
            drained = False
            left = {"spool_bytes": self.spool.backlog_bytes}
            logger.warning("kafka is unreachable or slow; the rest stays in the spool", extra=left)
        finally:
            for task in (*self._tasks, self._direct):
                if task is not None:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, SinkError):
                        await task
            if drained and not self.sender.client.error:
                await self._manifest.publish_rest()
            await self.sender.close()
            await self._thread.call(self.spool.close)
            self._thread.close()

    def snapshot(self) -> Snapshot:
        """Kafka and the spool. An error once another process has taken over, not for an unreachable Kafka."""
        error = self._fenced or self.sender.client.error or (self._delivery.error if self._opened else "")
        return self._gauges.snapshot(self.name, self._fenced, error)

    # delivery

    async def _connect(self) -> None:
        await self.sender.client.producer()

    async def _deliver(self) -> None:
        try:
            if self._transactions is not None:
                await self._take_over(self._transactions)
            await self._delivery.run()
        except FencedError as error:
            self._fenced = f"kafka: fenced by another producer: {error}"
            logger.critical("fenced by another producer; refusing new events", extra={"error": self._fenced})

    async def _take_over(self, transactions: Transactions) -> None:
        delivery = self._delivery
        while True:
            try:
                last_owner = await self._thread.call(self._state.read_owner)
                committed = await transactions.take_over(delivery.progress, last_owner)
                await self._thread.call(self._state.write_owner, transactions.owner)
                await delivery.resume(committed)
            except (SinkError, KafkaError, OSError, TimeoutError, ValueError) as error:
                delivery.error = str(error) or type(error).__name__
                logger.error("cannot read the checkpoint, retrying", extra={"error": delivery.error})
                await asyncio.sleep(RETRY_PAUSE)
            else:
                delivery.error = ""
                return

    async def _send(self, lines: Sequence[bytes], after: Progress) -> DeliveryReport:
        if self._transactions is not None:
            report = await self._transactions.send(lines, after)
        else:
            report = await self.sender.send(lines)
        self._count_rows(report)
        return report

    def _count_rows(self, report: DeliveryReport) -> None:
        """Add to the manifest; the rows count once they are saved with the progress."""
        if self.sender.manifest is not None and report.rows is not None:
            self.sender.manifest.add(report.rows)

    async def _save(self) -> None:
        await self._thread.call(self._state.save, self._state.snapshot(self._delivery.progress))


def _spooled(batch: Batch) -> CommitResult:
    return CommitResult(spooled={source: share.events for source, share in batch.shares().items()})
