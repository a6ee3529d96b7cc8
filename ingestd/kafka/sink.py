"""The Kafka sink. What counts as stored depends on the mode:

stored, with a spool     in the spool, fdatasync'd; delivery follows (`Delivery`)
stored, without          confirmed by Kafka within `direct_timeout`, else refused
queued, with a spool     confirmed by Kafka, or in the spool where that takes longer than `direct_timeout`
queued, without          confirmed by Kafka; the flusher holds on to it until then
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from aiokafka.errors import KafkaError

from ingestd.config.kafka import KafkaConfig, SpoolConfig
from ingestd.errors import SinkError
from ingestd.event import Batch
from ingestd.kafka.dead_letter_file import DeadLetterFile
from ingestd.kafka.delivery import Delivery, Pace
from ingestd.kafka.delivery_report import Sent
from ingestd.kafka.gauges import KafkaGauges
from ingestd.kafka.manifest import KafkaManifest
from ingestd.kafka.producer import Client
from ingestd.kafka.progress import Progress
from ingestd.kafka.records import Topics
from ingestd.kafka.sender import Sender
from ingestd.kafka.state import Keeping
from ingestd.kafka.transactions import FencedError, Transactions
from ingestd.pipeline.sink import CommitResult, Snapshot
from ingestd.spool.envelope import payloads, traces
from ingestd.spool.spool import Position, Spool
from ingestd.system.io_thread import IoThread
from ingestd.system.tracing import Tracing

logger = logging.getLogger(__name__)

# A commit may be this large; less room than that is "spool full".
RESERVE = 4 << 20
RETRY_PAUSE = 1.0
# What only a new process takes up.
NEED_RESTART = (
    "delivery", "checkpoint_topic", "manifest_topic", "dead_letter_directory", "linger", "round_bytes",
    "window_bytes", "max_batch_bytes",
)  # fmt: skip


class KafkaSink:
    """Sink into Kafka, through a spool where there is one."""

    name = "kafka"

    def __init__(
        self, settings: KafkaConfig, spool: SpoolConfig, topics: Mapping[str, str],
        report: Callable[[CommitResult], None], *, instance: str, node: str, acks: bool, patience: float,
        tracing: Tracing | None = None,
    ) -> None:  # fmt: skip
        """`patience`: seconds `close` waits for Kafka."""
        self._settings = settings
        self._patience = patience
        self._report = report
        self._acks = acks
        self._tracing = tracing
        self._worker = IoThread("spool")
        self._spool = Spool(spool.directory / instance, max_bytes=spool.max_bytes) if spool.enabled else None
        name = "ingestd-" + node.replace("/", "-")
        exactly_once = settings.delivery == "exactly_once"
        self._client = Client(settings, name, name if exactly_once else None)
        self._sender = Sender(
            self._client, Topics(settings.topic, topics), settings.dead_letter_topic,
            DeadLetterFile(settings.dead_letter_directory, instance), settings.max_batch_bytes,
        )  # fmt: skip
        if settings.manifest_topic:
            self._sender.manifest = KafkaManifest(settings.manifest_topic, node)
        self._publishing: asyncio.Task[None] | None = None
        self._transactions = (
            Transactions(self._client, self._sender, settings, name) if exactly_once else None
        )
        self._keeping = Keeping(
            self._client, self._sender, self._worker, spool.directory, instance, transactional=exactly_once
        )
        self._numbers = KafkaGauges(self._client, self._sender, self._spool)
        self._delivery: Delivery | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._late: asyncio.Task[Sent] | None = None  # a send that takes longer than we wait for
        # ... and that the spool had no room for: its batch is expected again.
        self._refused: tuple[Batch, asyncio.Task[Sent]] | None = None
        self._fenced = ""

    # Sink

    async def open(self) -> None:
        """Take up the spool and begin to deliver; Kafka may be away."""
        if self._spool is not None:
            found = await self._worker.call(self._spool.open)
            fields = {name: value for name, value in asdict(found).items() if value and name != "checkpoint"}
            logger.info("spool opened", extra={"undelivered_bytes": self._spool.backlog_bytes, **fields})
            pace = Pace(self._settings.linger, self._settings.round_bytes, self._settings.window_bytes)
            self._delivery = Delivery(
                self._spool, await self._keeping.load(self._spool), self._send, self._keeping.save,
                self._worker.call, self._report, pace, self._publish, self._keeping.snapshot,
            )  # fmt: skip
            self._begin(self._deliver(self._delivery))
        self._begin(self._connect())

    def _begin(self, work: Any) -> None:
        self._tasks = [task for task in self._tasks if not task.done() or task.exception() is not None]
        self._tasks.append(asyncio.create_task(work))

    async def commit(self, batch: Batch) -> CommitResult:
        """See the table above. Raises SinkError."""
        if self._fenced:
            raise SinkError(self._fenced)
        lines = payloads(batch.entries)
        if self._delivery is not None and (self._acks or self._late is not None):
            end = await self._append(lines)
            self._delivery.add(end, lines)
            return _spooled(batch)
        return await self._straight(batch, lines)

    async def probe(self) -> None:
        """Raises SinkError unless a commit could succeed now."""
        if self._fenced:
            raise SinkError(self._fenced)
        if self._spool is not None:
            await self._worker.call(self._spool.probe, RESERVE)
        elif self._client.error:
            raise SinkError(f"kafka: {self._client.error}")

    async def tick(self) -> None:
        """Look at how fast the spool fills. Raises what a task of the sink has failed with: a bug."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()
        self._numbers.tick()
        if self._keeping.due and not self._client.error:
            if self._delivery is not None:
                self._delivery.look_up()
            elif self._publishing is None or self._publishing.done():
                self._publishing = asyncio.create_task(self._publish())

    def renew(self, settings: KafkaConfig, topics: Mapping[str, str]) -> None:
        """Take new settings without a restart, but for those of `NEED_RESTART`."""
        self._settings = settings
        self._client.renew(settings)
        self._sender.topics = Topics(settings.topic, topics)
        self._sender.dead_topic = settings.dead_letter_topic
        if self._transactions is not None:
            self._transactions.settings = settings

    async def rotate(self) -> None:
        """There is no file to finish."""

    async def close(self) -> None:
        """Deliver what Kafka takes in time; the rest stays in the spool."""
        drained = not self._fenced
        try:
            if self._delivery is not None and not self._fenced:
                await asyncio.wait_for(self._delivery.drained(), self._patience)
        except TimeoutError:
            drained = False
            logger.warning("kafka is away, the rest stays in the spool", extra=self._rest())
        finally:
            refused = self._refused[1] if self._refused is not None else None
            for task in [*self._tasks, self._late, refused, self._publishing]:
                if task is not None:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, SinkError):
                        await task
            if drained and not self._client.error:
                await self._keeping.publish_rest(self._progress)
            await self._client.discard("closed")
            if self._spool is not None:
                await self._worker.call(self._spool.close)
            self._worker.close()

    def snapshot(self) -> Snapshot:
        """Kafka and the spool. An error once another process has taken over; an unreachable Kafka is none."""
        gauges = self._numbers.gauges()
        status = {name: value for name, value in gauges.items() if value != float("inf")}
        metrics = gauges | self._numbers.counters()
        return Snapshot(self._fenced, metrics, {self.name: {"error": self._error(), **status}})

    def _error(self) -> str:
        trouble = self._delivery.trouble if self._delivery is not None else ""
        return self._fenced or self._client.error or trouble

    def _rest(self) -> dict[str, Any]:
        return {"spool_bytes": self._spool.backlog_bytes if self._spool is not None else 0}

    # the ways of a batch

    async def _append(self, lines: Sequence[bytes]) -> Position:
        assert self._spool is not None  # noqa: S101 (whoever has a delivery has a spool)
        return await self._worker.call(self._spool.append, lines)

    async def _straight(self, batch: Batch, lines: Sequence[bytes]) -> CommitResult:
        """To Kafka, if it confirms in time; if not, into the spool while the send goes on."""
        task = self._sending(batch, lines)
        done, _ = await asyncio.wait([task], timeout=self._settings.direct_timeout)
        if done:
            sent = task.result()
            self._keeping.note(sent)
            return sent.result(from_spool=False)
        if self._spool is None or self._delivery is None:
            task.cancel()
            await self._client.discard("no confirmation in time")
            self._begin(self._connect())  # or `probe` would never see it come back
            raise SinkError(f"kafka did not confirm within {self._settings.direct_timeout:g} s")
        start = self._spool.end
        self._late = task
        try:
            end = await self._append(lines)
        except SinkError:
            self._late, self._refused = None, (batch, task)
            raise
        self._delivery.hold(end)
        task.add_done_callback(lambda late: self._arrived(late, start, end))
        return _spooled(batch)

    def _sending(self, batch: Batch, lines: Sequence[bytes]) -> asyncio.Task[Sent]:
        """A send; where the spool has refused the batch and it comes again, the one that is under way."""
        refused, self._refused = self._refused, None
        if refused is not None:
            if refused[0] is batch:
                return refused[1]
            refused[1].cancel()
        return asyncio.create_task(self._produce(lines))

    def _arrived(self, late: asyncio.Task[Sent], start: Position, end: Position) -> None:
        self._late = None
        if late.cancelled() or self._delivery is None:
            return
        error = late.exception()
        if error is not None:
            logger.error("delivery failed, again from the spool", extra={"error": str(error)})
            self._delivery.let_go(None)
        else:
            self._report(late.result().result(from_spool=True))
            self._keeping.note(late.result())
            self._delivery.let_go((start, end))

    async def _connect(self) -> None:
        await self._client.producer()

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            if self._transactions is not None:
                await self._take_up(self._transactions, delivery)
            await delivery.run()
        except FencedError as error:
            self._fenced = f"kafka: another process delivers for this instance: {error}"
            logger.critical("fenced, stops taking events", extra={"error": self._fenced})

    async def _take_up(self, transactions: Transactions, delivery: Delivery) -> None:
        while True:
            try:
                last_owner = await self._keeping.last_owner()
                committed = await transactions.take_over(delivery.progress, last_owner)
                await self._keeping.own(transactions.owner)
                await delivery.take_up(committed)
            except (SinkError, KafkaError, OSError, TimeoutError, ValueError) as error:
                delivery.trouble = str(error) or type(error).__name__
                logger.error("cannot take up the committed position", extra={"error": delivery.trouble})
                await asyncio.sleep(RETRY_PAUSE)
            else:
                delivery.trouble = ""
                return

    async def _send(self, lines: Sequence[bytes], after: Progress) -> Sent:
        sent = await self._produce(lines, after)
        self._keeping.note(sent)
        return sent

    async def _produce(self, lines: Sequence[bytes], after: Progress | None = None) -> Sent:
        """Send, in a transaction where that is asked for; `after`: the progress it makes."""
        with self._span(lines):
            if self._transactions is not None and after is not None:
                return await self._transactions.send(lines, after)
            return await self._sender.send(lines)

    def _span(self, lines: Sequence[bytes]) -> contextlib.AbstractContextManager[None]:
        if self._tracing is None:
            return contextlib.nullcontext()
        return self._tracing.produce(traces(lines), sum(map(len, lines)))

    @property
    def _progress(self) -> Progress | None:
        return self._delivery.progress if self._delivery is not None else None

    async def _publish(self) -> None:
        await self._keeping.publish(self._progress)


def _spooled(batch: Batch) -> CommitResult:
    return CommitResult(spooled={source: share.events for source, share in batch.shares().items()})
