"""Sends payloads to Kafka, whole batches at a time; what Kafka refuses goes to the dead letters.

A failed batch leaves a hole in its partition's sequence numbers, which the broker refuses to jump: after any
failure the producer is discarded, and what is not confirmed goes out by a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from aiokafka import errors as kafka_errors

from ingestd.config.kafka import KafkaConfig
from ingestd.kafka.aiokafka_internals import compress
from ingestd.kafka.batches import Chunk, Chunker, ready_batch
from ingestd.kafka.dead_letter_file import DeadLetterFile
from ingestd.kafka.dead_letters import DeadLetters
from ingestd.kafka.delivery_report import Attempt, DeliveryReport
from ingestd.kafka.manifest import KafkaManifest
from ingestd.kafka.producer import PRODUCER_ERRORS, Client
from ingestd.kafka.records import Record, partition
from ingestd.kafka.topics import Partitions, Topics, present_topics
from ingestd.spool.envelope import traces
from ingestd.system.tracing import Tracing

# The loop must turn: payloads packed without a break, and bytes compressed in the loop instead of a thread.
SLICE = 4
IN_LOOP = 32 * 1024
RETRY_PAUSE = 0.5


class Sender:
    """Sends payloads and returns only when every record is confirmed or a dead letter.

    `waiting_since`: monotonic seconds at which the present send began, None between two sends.
    """

    def __init__(
        self, settings: KafkaConfig, topics: Topics, *, client_id: str, instance: str,
        transactional_id: str | None = None, manifest: KafkaManifest | None = None,
        tracing: Tracing | None = None,
    ) -> None:  # fmt: skip
        """`instance` names the files of dead letters."""
        self.client = Client(settings, client_id, transactional_id)
        self.topics = topics
        self.manifest = manifest
        self.waiting_since: float | None = None
        self._turn = itertools.count().__next__  # for records without a key
        self._partitions = Partitions(self.client)
        self._max_batch = settings.max_batch_bytes
        self.dead_letters = DeadLetters(
            settings.dead_letter_topic, DeadLetterFile(settings.dead_letter_directory, instance),
            self._max_batch, self._turn,
        )  # fmt: skip
        self._tracing = tracing

    def reconfigure(self, settings: KafkaConfig, topics: Topics) -> None:
        """Take new settings from the next send on, but for the directory of dead letters and batch sizes."""
        self.client.renew(settings)
        self.topics = topics
        self.dead_letters.topic = settings.dead_letter_topic

    async def close(self) -> None:
        """Give the connection up; what is under way fails."""
        await self.client.discard("closed")

    async def send(self, payloads: Sequence[bytes]) -> DeliveryReport:
        """Send payloads; waits for Kafka as long as it takes (cancel it to stop waiting).

        Raises SinkError where dead letters cannot be kept; what is not counted in that case is sent again.
        """
        report = DeliveryReport(rows={} if self.manifest is not None else None)
        with self.sending(payloads):
            chunks = await self.chunks(payloads, report)
            while chunks:
                attempt = await self.attempt(await self.client.producer(), chunks)
                for chunk in attempt.confirmed:
                    report.add(chunk)
                    await asyncio.sleep(0)
                chunks = attempt.retry
                for records, reason in attempt.refused:
                    chunks += await self.dead_letter(records, reason, report)
                if attempt.pause:
                    await asyncio.sleep(RETRY_PAUSE)
        return report

    @contextlib.contextmanager
    def sending(self, payloads: Sequence[bytes]) -> Iterator[None]:
        """Tell since when Kafka is waited for, and trace it, while the payloads are sent."""
        self.waiting_since = time.monotonic()
        tracing = self._tracing
        try:
            with (
                contextlib.nullcontext()
                if tracing is None
                else tracing.produce(traces(payloads), sum(map(len, payloads)))
            ):
                yield
        finally:
            self.waiting_since = None

    async def chunks(self, payloads: Sequence[bytes], report: DeliveryReport) -> list[Chunk]:
        """Payloads as chunks by topic and partition, each small enough for one batch. Raises SinkError."""
        producer = await self.client.fresh()
        chunker = Chunker(
            self.topics, self._max_batch, partial(self.partitions, producer), self._turn,
            with_ids=self.manifest is not None,
        )  # fmt: skip
        for number, payload in enumerate(payloads):
            await chunker.add(payload)
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        chunks = chunker.take()
        for problem, records in chunker.undeliverable.items():
            chunks += await self.dead_letter(records, problem, report)
        return chunks

    async def partitions(self, producer: Any, topic: str) -> tuple[int, str]:
        """How many partitions a topic has; 0 and the reason where it is unavailable. Raises SinkError."""
        return await self._partitions.count(producer, topic)

    def partition(self, key: bytes | None, count: int) -> int:
        """The partition of `count` for a key; without one they are taken in turn."""
        return partition(key, count, self._turn)

    async def dead_letter(
        self, records: Sequence[Record], reason: str, report: DeliveryReport
    ) -> list[Chunk]:
        """Keep records as dead letters; returns those still to be sent to their topic. Raises SinkError."""
        partitions = partial(self.partitions, await self.client.producer())
        chunks = await self.dead_letters.add(records, reason, partitions)
        if not chunks:
            report.dead_letter(records, reason)
        return chunks

    async def attempt(self, producer: Any, chunks: Sequence[Chunk]) -> Attempt:
        """Send once. After any failure the producer is discarded."""
        result = Attempt()
        pending = await self._queue(producer, chunks, result)
        while pending:
            done, _ = await asyncio.wait(pending, timeout=self.client.request_timeout)
            for future in done:
                chunk = pending.pop(future)
                try:
                    future.result()
                except kafka_errors.KafkaError as error:
                    result.failed(chunk, error)
                else:
                    result.confirmed.append(chunk)
            if not done and self.client.stale:
                await self.client.discard("connecting with new settings")  # which fails what is pending
            elif not done:
                await _refuse_missing_topics(producer, pending, result)
        if not result.complete:
            reasons = ",".join({reason for _, reason in result.refused}) or "batch failed"
            await self.client.discard(reasons)
        self.client.count(sum(chunk.count for chunk in chunks))
        return result

    async def _queue(
        self, producer: Any, chunks: Sequence[Chunk], result: Attempt
    ) -> dict[asyncio.Future[Any], Chunk]:
        """Queue all chunks that have a partition to go to."""
        pending: dict[asyncio.Future[Any], Chunk] = {}
        found = {topic: await self.partitions(producer, topic) for topic in {one.topic for one in chunks}}
        for chunk in chunks:
            count, problem = found[chunk.topic]
            if problem:
                result.refused.append((chunk.records(), chunk.dead or problem))
                continue
            if chunk.number >= count:  # the topic was created again, with fewer partitions
                result.retry += [
                    Chunk.of(chunk.topic, self.partition(one.key, count), [one], chunk.dead)
                    for one in chunk.records()
                ]
                continue
            try:
                pending[await self._submit(producer, chunk)] = chunk
            except kafka_errors.UnknownTopicOrPartitionError:
                result.retry.append(chunk)  # raised as well when no broker answers: the next attempt asks
            except PRODUCER_ERRORS as error:
                result.failed(chunk, error)
        return pending

    async def _submit(self, producer: Any, chunk: Chunk) -> asyncio.Future[Any]:
        """Queue a chunk as one batch; waits for room in the partition's queue, not for delivery."""
        if len(chunk.body) > IN_LOOP:
            body, method = await asyncio.to_thread(compress, chunk.body, self.client.compression)
        else:
            body, method = compress(chunk.body, self.client.compression)
        batch = ready_batch(chunk, body, method, transactional=self.client.transactional)
        while True:
            try:
                queued: asyncio.Future[Any] = await producer.send_batch(
                    batch, chunk.topic, partition=chunk.number
                )
            except kafka_errors.KafkaTimeoutError:
                if self.client.stale:
                    raise
                continue  # the batch before it has not left yet: Kafka is unreachable, and we wait
            queued.add_done_callback(_retrieve)
            return queued


async def _refuse_missing_topics(
    producer: Any, pending: dict[asyncio.Future[Any], Chunk], result: Attempt
) -> None:
    """Nothing moves. If the cluster answers, and does not have a topic any more, its records are refused."""
    present = await present_topics(producer)
    if present is None:
        return
    for future, chunk in list(pending.items()):
        if chunk.topic not in present and not future.done():
            del pending[future]
            result.failed(chunk, kafka_errors.UnknownTopicOrPartitionError())


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Retrieve a batch's exception, which the loop would log where nobody waits for it any more."""
    if not future.cancelled():
        future.exception()
