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
from collections import deque
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
from ingestd.sinks.kafka_records import Topics, payloads
from ingestd.sinks.kafka_send import Sender, Sent
from ingestd.sinks.progress import Progress
from ingestd.sinks.spool import Position, Spool
from ingestd.sinks.transactions import FencedError, Transactions
from ingestd.worker import Worker

logger = logging.getLogger(__name__)

# A commit may be this large; less room than that is "spool full".
RESERVE = 4 << 20
RETRY_PAUSE = 1.0


class KafkaSink:
    """Sink into Kafka, through a spool where there is one."""

    name = "kafka"
    final = False

    def __init__(
        self, settings: Kafka, spool: SpoolConfig, topics: Mapping[str, str], accounts: Accounts,
        *, instance: str, node: str, acks: bool,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._accounts = accounts
        self._acks = acks
        self._worker = Worker("spool")
        self._spool = Spool(spool.directory / instance, max_bytes=spool.max_bytes) if spool.enabled else None
        self._progress_file = spool.directory / f"{instance}.progress"
        name = "ingestd-" + node.replace("/", "-")
        exactly_once = settings.delivery == "exactly_once"
        self._client = Client(settings, name, name if exactly_once else None)
        self._sender = Sender(
            self._client, Topics(settings.topic, topics), settings.dead_letter_topic,
            DeadLetterFile(settings.dead_letter_directory, instance), settings.max_batch_bytes,
        )  # fmt: skip
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
            progress = await self._worker.call(self._load_progress, self._spool)
            self._delivery = Delivery(
                self._spool,
                progress,
                self._send,
                self._save_progress,
                self._worker.call,
                self._accounts,
                pace,
            )
            self._begin(self._deliver(self._delivery))
        self._begin(self._connect())

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(_log_bug)
        self._tasks.append(task)

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
        """Look at how fast the spool fills."""
        if self._spool is not None:
            self._filling.add(time.monotonic(), self._spool.bytes_used)

    async def rotate(self) -> None:
        """There is no file to finish."""

    async def close(self) -> None:
        """Deliver what can be delivered (the caller bounds the time); the rest stays in the spool."""
        try:
            if self._delivery is not None:
                await self._delivery.drained()
        finally:
            for task in [*self._tasks, *([self._late] if self._late else [])]:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await self._client.discard("closed")
            if self._spool is not None:
                await self._worker.call(self._spool.close)
            self._worker.close()

    def status(self) -> dict[str, Any]:
        """Kafka and the spool."""
        gauges = {name: value for name, value in self.gauges().items() if value != float("inf")}
        return {"kafka": {"error": self._fenced or self._client.error, **gauges}}

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
        """How often a connection was made."""
        return {"kafka_connects": self._client.connects}

    # the ways of a batch

    async def _append(self, lines: Sequence[bytes]) -> Position:
        assert self._spool is not None  # noqa: S101 (whoever has a delivery has a spool)
        return await self._worker.call(self._spool.append, lines)

    async def _straight(self, batch: Batch, lines: Sequence[bytes]) -> None:
        """To Kafka, if it confirms in time; if not, into the spool while the send goes on."""
        task = asyncio.create_task(self._sender.send(lines))
        done, _ = await asyncio.wait([task], timeout=self._settings.direct_timeout)
        if done:
            sent = task.result()
            self._count_spooled(batch)
            count(sent, self._accounts)
            return
        if self._spool is None or self._delivery is None:
            task.cancel()
            await self._client.discard("no confirmation in time")
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
            self._delivery.let_go((start, end))

    async def _connect(self) -> None:
        await self._client.producer()

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            if self._transactions is not None:
                await self._take_up(self._transactions, delivery)
            await delivery.run()
        except FencedError as error:
            self._fenced = f"another process delivers for this instance: {error}"
            logger.critical("fenced, stops taking events", extra={"error": self._fenced})

    async def _take_up(self, transactions: Transactions, delivery: Delivery) -> None:
        while True:
            try:
                committed = await transactions.committed()
            except (SinkError, KafkaError, OSError, TimeoutError, ValueError) as error:
                logger.error("cannot read the committed position", extra={"error": str(error)})
                await asyncio.sleep(RETRY_PAUSE)
            else:
                if committed is not None:
                    delivery.take_up(committed)
                return

    async def _send(self, lines: Sequence[bytes], after: Progress) -> Sent:
        if self._transactions is not None:
            return await self._transactions.send(lines, after)
        return await self._sender.send(lines)

    # progress, in the thread

    def _load_progress(self, spool: Spool) -> Progress:
        start = Progress([], spool.checkpoint)
        try:
            found = Progress.decode(self._progress_file.read_bytes())
        except FileNotFoundError:
            return start
        except (OSError, ValueError) as error:
            logger.warning("progress file unusable, some go again", extra={"error": str(error)})
            return start
        return found if spool.checkpoint <= found.oldest and found.live <= spool.end else start

    def _save_progress(self, progress: Progress) -> None:
        """A hint, not a promise: where it is lost or old, some events are sent again."""
        temporary = self._progress_file.with_suffix(".tmp")
        try:
            temporary.touch(0o640)
            temporary.write_bytes(progress.encode())
            temporary.replace(self._progress_file)
        except OSError as error:
            logger.warning("cannot save the progress", extra={"error": str(error)})

    def _count_spooled(self, batch: Batch) -> None:
        for entry in batch.entries:
            entry.account.spooled += entry.count


class Trend:
    """A number over the last minute, and where it leads."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float]] = deque(maxlen=60)

    def add(self, at: float, value: float) -> None:
        """A point; `at` in seconds."""
        self._points.append((at, value))

    def seconds_to(self, limit: float) -> float:
        """Until the limit is reached at this pace; infinity where it does not grow."""
        if len(self._points) < 2:
            return float("inf")
        (began, first), (at, last) = self._points[0], self._points[-1]
        growth = (last - first) / (at - began) if at > began else 0.0
        return max(0.0, limit - last) / growth if growth > 0 else float("inf")


def _log_bug(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.critical("a part of the kafka sink failed", exc_info=error)
