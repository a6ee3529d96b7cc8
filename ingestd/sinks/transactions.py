"""Exactly once: a round's records and the progress they make are committed in one Kafka transaction.

The progress is a record in a compacted topic, keyed by the transactional id. After a crash the position
Kafka holds is the one that counts; an instance that starts with the same id fences the one before it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka import errors as kafka_errors

from ingestd.config_kafka import Kafka
from ingestd.errors import IngestdError, SinkError
from ingestd.sinks.kafka_client import Client, connection_options, stop
from ingestd.sinks.kafka_records import partition
from ingestd.sinks.kafka_send import RETRY_PAUSE, Sender, Sent, partitions
from ingestd.sinks.progress import Progress

logger = logging.getLogger(__name__)

READ_TIMEOUT = 15.0
FENCED = (
    kafka_errors.ProducerFenced,
    kafka_errors.InvalidProducerEpoch,
    kafka_errors.TransactionalIdAuthorizationFailed,
)


class FencedError(IngestdError):
    """Another process has taken over this transactional id; this one must not deliver any more."""


class Transactions:
    """Sends rounds, each in a transaction of its own."""

    def __init__(self, client: Client, sender: Sender, settings: Kafka, transactional_id: str) -> None:
        self._client = client
        self._sender = sender
        self._settings = settings
        self._id = transactional_id
        self._key = transactional_id.encode()

    async def send(self, payloads: Sequence[bytes], after: Progress) -> Sent:
        """Send and commit; waits for Kafka as long as it takes. Raises FencedError, SinkError."""
        outcome = Sent()
        with self._sender.waiting():
            chunks = await self._sender.chunks(payloads, outcome)
            while True:
                try:
                    producer = await self._client.producer()
                    await producer.begin_transaction()
                    attempt = await self._sender.attempt(chunks)
                    if not attempt.again and not attempt.refused:
                        await self._checkpoint(producer, after)
                        await producer.commit_transaction()
                        break
                    # The attempt has given the producer up, and with it the transaction: all goes again.
                    chunks = attempt.confirmed + attempt.again
                    for letters, reason in attempt.refused:
                        chunks += await self._sender.bury(letters, reason, outcome)
                except FENCED as error:
                    raise FencedError(f"{self._id}: {type(error).__name__}") from error
                except (kafka_errors.KafkaError, AssertionError) as error:  # aiokafka asserts its state
                    logger.warning("transaction failed, sent again", extra={"error": type(error).__name__})
                    await self._client.discard(type(error).__name__)
                await asyncio.sleep(RETRY_PAUSE)
        for chunk in chunks:
            outcome.add(chunk)
        return outcome

    async def _checkpoint(self, producer: Any, after: Progress) -> None:
        topic, number = await self._place(producer)
        await (await producer.send(topic, after.encode(), key=self._key, partition=number))

    async def _place(self, producer: Any) -> tuple[str, int]:
        topic = self._settings.checkpoint_topic
        count, problem = await partitions(producer, topic)
        if not count:
            raise SinkError(
                f"kafka.checkpoint_topic {topic}: {problem}; create it with cleanup.policy=compact"
            )
        return topic, partition(self._key, count, lambda: 0)

    async def committed(self) -> Progress | None:
        """The progress Kafka holds for this id; None where there is none.

        The producer has started by then, which has fenced any earlier one: nothing moves any more.
        Raises SinkError, KafkaError, TimeoutError.
        """
        place = TopicPartition(*await self._place(await self._client.producer()))
        consumer = AIOKafkaConsumer(
            isolation_level="read_committed", enable_auto_commit=False, **connection_options(self._settings)
        )
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                await consumer.start()
                return await self._last(consumer, place)
        finally:
            await stop(consumer)

    async def _last(self, consumer: Any, place: TopicPartition) -> Progress | None:
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        await consumer.seek_to_beginning(place)
        found = None
        while await consumer.position(place) < end:
            for batch in (await consumer.getmany(place, timeout_ms=500)).values():
                for message in batch:
                    if message.key == self._key:
                        found = Progress.decode(message.value)
        return found
