"""What the Kafka tests share: a producer as the sink's, batches of numbered records, and a wait for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer

from tests.support.kafka.clients import Record
from tests.support.waiting import FAR

T = TypeVar("T")
REQUEST_TIMEOUT_MS = 1000
FIRST_TIMESTAMP = 1_700_000_000_000


@asynccontextmanager
async def producing(bootstrap: str, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    """An idempotent producer with acks=all."""
    settings = {"enable_idempotence": True, "acks": "all", "request_timeout_ms": REQUEST_TIMEOUT_MS}
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **(settings | options))
    try:
        await within(producer.start())
        yield producer
    finally:
        await within(producer.stop())


async def within(awaitable: Awaitable[T], timeout: float = FAR) -> T:
    """Raises TimeoutError: nothing here may hang a test run."""
    return await asyncio.wait_for(awaitable, timeout)


async def send(producer: AIOKafkaProducer, topic: str, numbers: Sequence[int], partition: int = 0) -> Any:
    """Queue one batch of numbered records; returns its future."""
    batch = producer.create_batch()
    for number in numbers:
        value = str(number).encode()
        headers = [("id", b"id-" + value), ("source", b"ocean")]
        assert batch.append(key=value, value=value, timestamp=FIRST_TIMESTAMP + number, headers=headers)
    batch.close()
    return await within(producer.send_batch(batch, topic, partition=partition))


async def deliver(producer: AIOKafkaProducer, topic: str, numbers: Sequence[int], partition: int = 0) -> int:
    """Send one batch and wait for its confirmation; returns the first record's offset."""
    metadata = await within(await send(producer, topic, numbers, partition))
    return int(metadata.offset)


def numbers(records: Sequence[Record]) -> list[int]:
    """The numbers in the records' values, in the records' order."""
    return [int(record.value or b"") for record in records]


def produce(bootstrap: str, topic: str, records: Sequence[Record]) -> None:
    """Records as they are, whoever made them, into a topic."""

    async def send_all() -> None:
        async with producing(bootstrap) as producer:
            for one in records:
                await within(
                    producer.send_and_wait(
                        topic, one.value, key=one.key, timestamp_ms=one.timestamp, headers=list(one.headers)
                    )
                )

    asyncio.run(send_all())
