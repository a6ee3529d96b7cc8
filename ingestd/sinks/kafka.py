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
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from aiokafka.errors import KafkaError

from ingestd.accounts import Accounts
from ingestd.config_kafka import Kafka, SpoolConfig
from ingestd.errors import SinkError
from ingestd.event import Batch
from ingestd.sinks.dead_letters import DeadLetterFile
from ingestd.sinks.delivery import Delivery, Pace, count
from ingestd.sinks.kafka_client import Client
from ingestd.sinks.kafka_manifest import KafkaManifest
from ingestd.sinks.kafka_outcome import Sent
from ingestd.sinks.kafka_records import Topics, payloads
from ingestd.sinks.kafka_send import Sender
from ingestd.sinks.progress import OwnerFile, Progress, ProgressFile
from ingestd.sinks.spool import Position, Spool
from ingestd.sinks.transactions import FencedError, Transactions
from ingestd.sinks.trend import Trend
from ingestd.tracing import Tracing
from ingestd.worker import Worker

logger = logging.getLogger(__name__)

# A commit may be this large; less room than that is "spool full".
RESERVE = 4 << 20
RETRY_PAUSE = 1.0
# So long stopping waits for the manifest's last rows, seconds.
LAST_ROWS = 2.0
# What only a new process takes up.
NEED_RESTART = (
    "delivery", "checkpoint_topic", "manifest_topic", "dead_letter_directory", "linger", "round_bytes",
    "window_bytes", "max_batch_bytes",
)  # fmt: skip


class KafkaSink:
    """Sink into Kafka, through a spool where there is one."""

    name = "kafka"
    final = False

    def __init__(
        self, settings: Kafka, spool: SpoolConfig, topics: Mapping[str, str], accounts: Accounts,
        *, instance: str, node: str, acks: bool, patience: float, tracing: Tracing | None = None,
    ) -> None:  # fmt: skip
        """`patience`: seconds `close` waits for Kafka."""
        self._settings = settings
        self._patience = patience
        self._accounts = accounts
        self._acks = acks
        self._tracing = tracing
        self._worker = Worker("spool")
        self._spool = Spool(spool.directory / instance, max_bytes=spool.max_bytes) if spool.enabled else None
        self._progress_file = ProgressFile(spool.directory / f"{instance}.progress")
        self._owner_file = OwnerFile(spool.directory / f"{instance}.owner")
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
        self._delivery: Delivery | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._late: asyncio.Task[Sent] | None = None  # a send that takes longer than we wait for
        self._filling = Trend()
        self._fenced = ""

    # Sink

    async def open(self) -> None:
        """Take up the spool and begin to deliver; Kafka may be away."""
        if self._spool is not None:
            found = await self._worker.call(self._spool.open)
            fields = {name: value for name, value in asdict(found).items() if value and name != "checkpoint"}
            logger.info("spool opened", extra={"undelivered_bytes": self._spool.backlog_bytes, **fields})
            pace = Pace(self._settings.linger, self._settings.round_bytes, self._settings.window_bytes)
            progress = await self._worker.call(
                self._progress_file.load, self._spool.checkpoint, self._spool.end
            )
            self._delivery = Delivery(
                self._spool,
                progress,
                self._send,
                self._save,
                self._worker.call,
                self._accounts,
                pace,
                self._publish,
            )
            if self._sender.manifest is not None:
                self._sender.manifest.load(progress.manifest)
            self._begin(self._deliver(self._delivery))
        self._begin(self._connect())

    def _begin(self, work: Any) -> None:
        self._tasks = [task for task in self._tasks if not task.done() or task.exception() is not None]
        self._tasks.append(asyncio.create_task(work))

    async def commit(self, batch: Batch) -> None:
        """See the table above. Raises SinkError."""
        if self._fenced:
            raise SinkError(self._fenced)
        lines = payloads(batch.entries)
        if self._delivery is not None and (self._acks or self._late is not None):
            end = await self._append(lines)
            self._count_spooled(batch)
            self._delivery.add(end, lines)
        else:
            await self._straight(batch, lines)

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
        if self._spool is not None:
            self._filling.add(time.monotonic(), self._spool.bytes_used)
        manifest = self._sender.manifest
        if manifest is not None and manifest.due() and not self._client.error:
            if self._delivery is not None:
                self._delivery.look_up()
            elif self._publishing is None or self._publishing.done():
                self._publishing = asyncio.create_task(self._publish())

    def renew(self, settings: Kafka, topics: Mapping[str, str]) -> None:
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
            for task in [*self._tasks, self._late, self._publishing]:
                if task is not None:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
            if drained and not self._client.error:
                await self._publish_rest()
            await self._client.discard("closed")
            if self._spool is not None:
                await self._worker.call(self._spool.close)
            self._worker.close()

    def status(self) -> dict[str, Any]:
        """Kafka and the spool."""
        gauges = {name: value for name, value in self.gauges().items() if value != float("inf")}
        return {"kafka": {"error": self._error(), **gauges}}

    def _error(self) -> str:
        trouble = self._delivery.trouble if self._delivery is not None else ""
        return self._fenced or self._client.error or trouble

    def _rest(self) -> dict[str, Any]:
        return {"spool_bytes": self._spool.backlog_bytes if self._spool is not None else 0}

    def gauges(self) -> dict[str, float]:
        """Kafka and the spool, in numbers."""
        since, spool = self._sender.waiting_since, self._spool
        gauges = {
            "kafka_connected": float(not self._client.error),
            "kafka_waiting_seconds": time.monotonic() - since if since is not None else 0.0,
        }
        if spool is not None:
            oldest = spool.oldest_ms
            gauges |= {
                "spool_bytes": spool.backlog_bytes,
                "spool_disk_bytes": spool.bytes_used,
                "spool_max_bytes": spool.max_bytes,
                "spool_oldest_age_seconds": max(0.0, time.time() - oldest / 1000) if oldest else 0.0,
                "spool_seconds_to_full": self._filling.seconds_to(spool.max_bytes),
                "spool_damaged_ranges": spool.damaged,
            }
        return gauges

    def counters(self) -> dict[str, float]:
        """How often a connection was made, and what the manifest could not say."""
        manifest = self._sender.manifest
        failures = manifest.failures if manifest is not None else 0
        return {"kafka_connects": self._client.connects, "manifest_failures": failures}

    # the ways of a batch

    async def _append(self, lines: Sequence[bytes]) -> Position:
        assert self._spool is not None  # noqa: S101 (whoever has a delivery has a spool)
        return await self._worker.call(self._spool.append, lines)

    async def _straight(self, batch: Batch, lines: Sequence[bytes]) -> None:
        """To Kafka, if it confirms in time; if not, into the spool while the send goes on."""
        task = asyncio.create_task(self._produce(lines))
        done, _ = await asyncio.wait([task], timeout=self._settings.direct_timeout)
        if done:
            sent = task.result()
            self._count_spooled(batch)
            count(sent, self._accounts)
            self._note(sent)
            return
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
            task.cancel()
            self._late = None
            raise
        self._count_spooled(batch)
        self._delivery.hold(end)
        task.add_done_callback(lambda late: self._arrived(late, start, end))

    def _arrived(self, late: asyncio.Task[Sent], start: Position, end: Position) -> None:
        self._late = None
        if late.cancelled() or self._delivery is None:
            return
        error = late.exception()
        if error is not None:
            logger.error("delivery failed, again from the spool", extra={"error": str(error)})
            self._delivery.let_go(None)
        else:
            count(late.result(), self._accounts)
            self._note(late.result())
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
                last_owner = await self._worker.call(self._owner_file.read)
                committed = await transactions.take_over(delivery.progress, last_owner)
                await self._worker.call(self._owner_file.write, transactions.owner)
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
        self._note(sent)
        return sent

    async def _produce(self, lines: Sequence[bytes], after: Progress | None = None) -> Sent:
        """Send, in a transaction where that is asked for; `after`: the progress it makes."""
        with contextlib.nullcontext() if self._tracing is None else self._tracing.produce(lines):
            if self._transactions is not None and after is not None:
                return await self._transactions.send(lines, after)
            return await self._sender.send(lines)

    # the manifest

    def _note(self, sent: Sent) -> None:
        """Count it; until it is saved with the progress it does not count."""
        if self._sender.manifest is not None and sent.rows is not None:
            self._sender.manifest.add(sent.rows)

    def _save(self, progress: Progress) -> None:
        if self._sender.manifest is not None:
            progress.manifest = self._sender.manifest.tree()
        self._progress_file.save(progress)

    async def _publish(self, *, all_of_it: bool = False) -> None:
        """The manifest's rows that are due, once they are saved. Between two rounds."""
        manifest = self._sender.manifest
        if manifest is None or not (all_of_it or manifest.due()):
            return
        try:
            if self._delivery is not None:
                await self._worker.call(self._save, self._delivery.progress.copy())
            await self._sender.publish(all_of_it=all_of_it, transactional=self._transactions is not None)
        except (SinkError, KafkaError, AssertionError) as error:  # aiokafka asserts its state
            manifest.failed(str(error) or type(error).__name__)
            await self._client.discard(type(error).__name__)

    async def _publish_rest(self) -> None:
        try:
            await asyncio.wait_for(self._publish(all_of_it=True), LAST_ROWS)
        except TimeoutError:
            logger.warning("the manifest's last rows go to their topic at the next start")

    def _count_spooled(self, batch: Batch) -> None:
        for entry in batch.entries:
            entry.account.spooled += entry.count
