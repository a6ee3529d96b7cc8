"""The Kafka sink that sends every batch straight to Kafka, with or without a spool to fall back to."""

from __future__ import annotations

import asyncio
import contextlib

from ingestd.config.kafka import KafkaConfig
from ingestd.errors import SinkError
from ingestd.event import Batch
from ingestd.kafka.delivery_report import DeliveryReport
from ingestd.kafka.gauges import KafkaGauges
from ingestd.kafka.manifest_topic import ManifestTopic
from ingestd.kafka.sender import Sender
from ingestd.kafka.sink import KafkaSink
from ingestd.kafka.topics import Topics
from ingestd.pipeline.sink import CommitResult, Snapshot
from ingestd.spool.envelope import payloads


class DirectKafkaSink:
    """A batch is stored once Kafka has confirmed it.

    Where that takes longer than `timeout` seconds it is refused, or, with a `fallback`, stored in its spool
    while the send goes on; until that has ended new batches go to the spool as well.
    """

    name = "kafka"

    def __init__(self, sender: Sender, timeout: float, fallback: KafkaSink | None = None) -> None:
        self.sender = sender
        self._timeout = timeout
        self.fallback = fallback
        self._manifest = ManifestTopic(sender, self._nothing_to_save)
        self._gauges = KafkaGauges(sender, None)
        self._connecting: asyncio.Task[None] | None = None
        self._publishing: asyncio.Task[None] | None = None
        # The send of a batch that the spool had no room for: the flusher commits that batch again.
        self._unstored: tuple[Batch, asyncio.Task[DeliveryReport]] | None = None

    async def open(self) -> None:
        """Begin to connect; Kafka may be unreachable. Raises SinkError where the spool cannot be opened."""
        if self.fallback is not None:
            await self.fallback.open()
        else:
            self._connect()

    def _connect(self) -> None:
        async def connect() -> None:
            await self.sender.client.producer()

        self._connecting = asyncio.create_task(connect())

    async def commit(self, batch: Batch) -> CommitResult:
        """Send the batch, or store it in the spool. Raises SinkError."""
        fallback = self.fallback
        if fallback is not None and fallback.suspended:
            return await fallback.commit(batch)
        sending = self._send(batch)
        done, _ = await asyncio.wait([sending], timeout=self._timeout)
        if done:
            report = sending.result()
            if self.sender.manifest is not None and report.rows is not None:
                self.sender.manifest.add(report.rows)
            return report.result(from_spool=False)
        if fallback is None:
            sending.cancel()
            await self.sender.client.discard("no confirmation in time")
            self._connect()  # or `probe` would never see Kafka come back
            raise SinkError(f"kafka did not confirm within {self._timeout:g} s")
        try:
            return await fallback.commit_sent(batch, sending)
        except SinkError:
            self._unstored = batch, sending
            raise

    def _send(self, batch: Batch) -> asyncio.Task[DeliveryReport]:
        """The send of a batch; for the retry of one that the spool had no room for, the one under way."""
        unstored, self._unstored = self._unstored, None
        if unstored is not None:
            if unstored[0] is batch:
                return unstored[1]
            unstored[1].cancel()
        return asyncio.create_task(self.sender.send(payloads(batch.entries)))

    async def probe(self) -> None:
        """Raises SinkError unless a commit could succeed now."""
        if self.fallback is not None:
            await self.fallback.probe()
        elif self.sender.client.error:
            raise SinkError(f"kafka: {self.sender.client.error}")

    async def rotate(self) -> None:
        """Do nothing: there is no file to finish."""

    async def tick(self) -> None:
        """Publish due rows. Raises what a task of the sink failed with: a bug."""
        if self.fallback is not None:
            await self.fallback.tick()
            return
        for task in (self._connecting, self._publishing):
            if task is not None and task.done() and not task.cancelled():
                task.result()
        busy = self._publishing is not None and not self._publishing.done()
        if self._manifest.due and not self.sender.client.error and not busy:
            self._publishing = asyncio.create_task(self._manifest.publish())

    def reconfigure(self, settings: KafkaConfig, topics: Topics) -> None:
        """Take new settings without a restart, but for those of `factory.NEED_RESTART`."""
        self._timeout = settings.direct_timeout
        self.sender.reconfigure(settings, topics)

    async def close(self) -> None:
        """End what is under way; what the spool holds is delivered within its drain timeout."""
        unstored = self._unstored[1] if self._unstored is not None else None
        for task in (self._connecting, self._publishing, unstored):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, SinkError):
                    await task
        if self.fallback is not None:
            await self.fallback.close()
            return
        if not self.sender.client.error:
            await self._manifest.publish_rest()
        await self.sender.close()

    def snapshot(self) -> Snapshot:
        """Kafka, and the spool of the fallback. No error: an unreachable Kafka shows in the status only."""
        if self.fallback is not None:
            return self.fallback.snapshot()
        return self._gauges.snapshot(self.name, "", self.sender.client.error)

    async def _nothing_to_save(self) -> None:
        """Without a spool there is no progress to save rows with."""
