"""Payloads to Kafka, whole batches at a time; what Kafka will not have goes to the dead letters.

A failed batch leaves a hole in its partition's sequence numbers, which the broker refuses to jump: after
any failure the producer is given up, and what is not confirmed goes out by a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from aiokafka import errors as kafka_errors

from ingestd.errors import SinkError
from ingestd.kafka.aiokafka_internals import compress, fetch_metadata
from ingestd.kafka.batches import Chunk, Chunker, ready_batch
from ingestd.kafka.dead_letter_file import DeadLetterFile
from ingestd.kafka.deadline import within
from ingestd.kafka.delivery_report import Attempt, Sent
from ingestd.kafka.manifest import KafkaManifest
from ingestd.kafka.producer import PRODUCER_ERRORS, Client
from ingestd.kafka.records import Record, Topics, partition

logger = logging.getLogger(__name__)

# The loop must turn: at most this many payloads are packed without a break, and so many bytes compressed.
SLICE = 4
IN_LOOP = 32 * 1024
RETRY_PAUSE = 0.5
ASK_TIMEOUT = 5.0
# So long a topic is looked for before the cluster is asked for all it has, seconds.
LOOK_AGAIN = 2.0
UNKNOWN = kafka_errors.UnknownTopicOrPartitionError.__name__


class Sender:
    """Sends payloads and returns only when every record is confirmed or a dead letter."""

    def __init__(
        self, client: Client, topics: Topics, dead_topic: str | None, dead_file: DeadLetterFile,
        max_batch_bytes: int,
    ) -> None:  # fmt: skip
        self._client = client
        self.dead_topic = dead_topic
        self._dead_file = dead_file
        self._max_batch = max_batch_bytes
        self._round_robin = itertools.count().__next__
        self.topics = topics
        self._lost: set[str] = set()  # topics the cluster had not when it was asked last
        self.manifest: KafkaManifest | None = None
        self.waiting_since: float | None = None  # monotonic seconds at which the present send began

    async def send(self, payloads: Sequence[bytes]) -> Sent:
        """Send; waits for Kafka as long as it takes (cancel it to stop waiting).

        Raises SinkError where dead letters cannot be kept; what is not counted in that case is sent again.
        """
        outcome = Sent(rows={} if self.manifest is not None else None)
        with self.waiting():
            chunks = await self.chunks(payloads, outcome)
            while chunks:
                attempt = await self.attempt(await self._client.producer(), chunks)
                for chunk in attempt.confirmed:
                    outcome.add(chunk)
                    await asyncio.sleep(0)
                chunks = attempt.again
                for letters, reason in attempt.refused:
                    chunks += await self.bury(letters, reason, outcome)
                if attempt.trouble:
                    await asyncio.sleep(RETRY_PAUSE)
        return outcome

    async def publish(self, *, all_of_it: bool, transactional: bool) -> None:
        """The manifest's rows that are due, into their topic; where that fails, later. Between two sends.

        Raises KafkaError, SinkError.
        """
        manifest = self.manifest
        if manifest is None or not (due := manifest.records(all_of_it=all_of_it)):
            return
        producer = await self._client.producer()
        chunks = await self._manifest_chunks(producer, manifest, [record for _, record in due])
        if not chunks:
            return
        if transactional:
            await producer.begin_transaction()
        attempt = await self.attempt(producer, chunks)
        if not attempt.complete:
            manifest.failed(", ".join(reason for _, reason in attempt.refused) or "not confirmed")
            return
        if transactional:
            await self._client.patiently(producer.commit_transaction())
        manifest.published(due)

    async def _manifest_chunks(
        self, producer: Any, manifest: KafkaManifest, due: Sequence[Record]
    ) -> list[Chunk]:
        """Records for the manifest topic by partition; none, and it is said, where there is no such topic."""
        count, problem = await self.partitions(producer, manifest.topic)
        if not count:
            manifest.failed(f"{problem}; create it with cleanup.policy=compact")
            return []
        by_number: dict[int, list[Record]] = {}
        for record in due:
            by_number.setdefault(partition(record.key, count, self._round_robin), []).append(record)
        return [Chunk.of(manifest.topic, number, records) for number, records in by_number.items()]

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Tell since when Kafka is waited for."""
        self.waiting_since = time.monotonic()
        try:
            yield
        finally:
            self.waiting_since = None

    async def chunks(self, payloads: Sequence[bytes], outcome: Sent) -> list[Chunk]:
        """Payloads as chunks by topic and partition, each small enough for one batch."""
        producer = await self._client.fresh()
        chunker = Chunker(
            self.topics, self._max_batch, partial(self.partitions, producer), self._round_robin,
            with_ids=self.manifest is not None,
        )  # fmt: skip
        for number, payload in enumerate(payloads):
            await chunker.add(payload)
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        chunks = chunker.take()
        for problem, lost in chunker.undeliverable.items():
            chunks += await self.bury(lost, problem, outcome)
        return chunks

    async def attempt(self, producer: Any, chunks: Sequence[Chunk]) -> Attempt:
        """Send once. After any failure the producer is given up."""
        result = Attempt()
        flying = await self._take_off(producer, chunks, result)
        while flying:
            done, _ = await asyncio.wait(flying, timeout=self._client.patience)
            for future in done:
                chunk = flying.pop(future)
                try:
                    future.result()
                except kafka_errors.KafkaError as error:
                    result.failed(chunk, error)
                else:
                    result.confirmed.append(chunk)
            if not done and self._client.stale:
                await self._client.discard("connecting with new settings")  # which fails what is flying
            elif not done:
                await self._look_for_lost_topics(producer, flying, result)
        if not result.complete:
            reasons = ",".join({reason for _, reason in result.refused}) or "batch failed"
            await self._client.discard(reasons)
        self._client.count(sum(chunk.count for chunk in chunks))
        return result

    async def _take_off(
        self, producer: Any, chunks: Sequence[Chunk], result: Attempt
    ) -> dict[asyncio.Future[Any], Chunk]:
        """Queue all chunks that have a place to go."""
        flying: dict[asyncio.Future[Any], Chunk] = {}
        found = {topic: await self.partitions(producer, topic) for topic in {one.topic for one in chunks}}
        for chunk in chunks:
            count, problem = found[chunk.topic]
            if problem:
                result.refused.append((chunk.records(), chunk.dead or problem))
                continue
            if chunk.number >= count:  # the topic was made anew, with fewer
                result.again += [
                    Chunk.of(chunk.topic, partition(one.key, count, self._round_robin), [one], chunk.dead)
                    for one in chunk.records()
                ]
                continue
            try:
                flying[await self._submit(producer, chunk)] = chunk
            except kafka_errors.UnknownTopicOrPartitionError:
                result.again.append(chunk)  # said as well when nobody answers: the next attempt asks
            except PRODUCER_ERRORS as error:
                result.failed(chunk, error)
        return flying

    async def _submit(self, producer: Any, chunk: Chunk) -> asyncio.Future[Any]:
        """Queue a chunk as one batch; waits for room in the partition's queue, not for delivery."""
        if len(chunk.body) > IN_LOOP:
            body, method = await asyncio.to_thread(compress, chunk.body, self._client.compression)
        else:
            body, method = compress(chunk.body, self._client.compression)
        builder = ready_batch(chunk, body, method, transactional=self._client.transactional)
        while True:
            try:
                queued: asyncio.Future[Any] = await producer.send_batch(
                    builder, chunk.topic, partition=chunk.number
                )
            except kafka_errors.KafkaTimeoutError:
                if self._client.stale:
                    raise
                continue  # the batch before it has not left yet: Kafka is away, and we wait
            queued.add_done_callback(_heard)
            return queued

    async def _look_for_lost_topics(
        self, producer: Any, flying: dict[asyncio.Future[Any], Chunk], result: Attempt
    ) -> None:
        """Nothing moves. If the cluster answers, and has a topic no more, its records are refused."""
        present = await _topics(producer)
        if present is None:
            return
        for future, chunk in list(flying.items()):
            if chunk.topic not in present and not future.done():
                del flying[future]
                result.failed(chunk, kafka_errors.UnknownTopicOrPartitionError())

    async def bury(self, letters: list[Record], reason: str, outcome: Sent) -> list[Chunk]:
        """Dead letters: chunks for their topic, or where that will not have them lines in their file.

        Raises SinkError.
        """
        topics = ",".join(sorted({record.topic for record in letters}))
        logger.error("dead letters", extra={"reason": reason, "records": len(letters), "topic": topics})
        topic = self.dead_topic
        if topic is not None and letters[0].topic == topic:
            letters = [_unmarked(record) for record in letters]
        elif topic is not None:
            count, _ = await self.partitions(await self._client.producer(), topic)
            if count:
                marked = [_marked(record, topic, reason) for record in letters]
                return [
                    Chunk.of(topic, partition(one.key, count, self._round_robin), [one], reason)
                    for one in marked
                ]
        try:
            await asyncio.to_thread(self._dead_file.write, letters, reason)
        except OSError as error:
            raise SinkError(f"dead letters cannot be written: {error}") from error
        outcome.bury(letters, reason)
        return []

    async def partitions(self, producer: Any, topic: str) -> tuple[int, str]:
        """How many partitions a topic has; 0 and the reason where Kafka says that we cannot have it.

        aiokafka looks for a topic for a whole request_timeout, and every round would wait for it: after a
        moment the cluster is asked, the next time at once. It says "unknown" as well when nobody answers:
        then it is asked again, for as long as it takes. Raises SinkError where new settings came meanwhile.
        """
        while True:
            if topic in self._lost and await self._is_lost(producer, topic):
                return 0, UNKNOWN
            asking = asyncio.ensure_future(producer.partitions_for(topic))
            try:
                await asyncio.wait([asking], timeout=LOOK_AGAIN)
                if not asking.done() and await self._is_lost(producer, topic):
                    return 0, UNKNOWN
                return len(await asking), ""
            except kafka_errors.TopicAuthorizationFailedError as error:
                return 0, type(error).__name__
            except kafka_errors.UnknownTopicOrPartitionError:
                if await self._is_lost(producer, topic):
                    return 0, UNKNOWN
            finally:
                asking.cancel()
            if self._client.stale:
                raise SinkError(f"topic {topic}: no answer, asked again with new settings")

    async def _is_lost(self, producer: Any, topic: str) -> bool:
        """Whether the cluster answers, and has no such topic."""
        present = await _topics(producer)
        lost = present is not None and topic not in present
        (self._lost.add if lost else self._lost.discard)(topic)
        return lost


def _heard(future: asyncio.Future[Any]) -> None:
    """Where nobody waits for a batch any more the loop would complain of what it fails with."""
    if not future.cancelled():
        future.exception()


def _unmarked(record: Record) -> Record:
    """The record that was marked, by the last two headers of the mark."""
    original = dict(record.headers)["topic"].decode()
    return record._replace(topic=original, headers=record.headers[:-2])


def _marked(record: Record, topic: str, reason: str) -> Record:
    extra = [("reason", reason.encode()), ("topic", record.topic.encode())]
    return record._replace(topic=topic, headers=[*record.headers, *extra])


async def _topics(producer: Any) -> set[str] | None:
    """The topics the cluster has now; None where it does not answer."""
    try:
        metadata = await within(fetch_metadata(producer), ASK_TIMEOUT)
    except (kafka_errors.KafkaError, OSError, TimeoutError):
        return None
    return set(metadata.topics())
