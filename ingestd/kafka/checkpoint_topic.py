"""The checkpoint topic, compacted, in which each process keeps its progress for exactly-once delivery.

A record's key is the transactional id and the process, its owner; its value is the progress. After a crash,
and wherever it is unknown whether a commit succeeded, the record of this disk's last owner is what counts:
positions on another disk mean nothing here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from ingestd.config.kafka import KafkaConfig
from ingestd.errors import IngestdError, SinkError
from ingestd.kafka.producer import connection_options, stop
from ingestd.kafka.records import partition
from ingestd.kafka.sender import Sender
from ingestd.kafka.state import Progress

READ_TIMEOUT = 60.0
# Seconds that a reader stands before an open transaction before that is reported.
STUCK = 3.0
FIRST_STEP = 1000


class FencedError(IngestdError):
    """Another process has taken over this transactional id; this one must not deliver any more."""


class CheckpointTopic:
    """The progress records of one transactional id. `owner`: this process's name in its key."""

    def __init__(self, sender: Sender, settings: KafkaConfig, transactional_id: str) -> None:
        self.settings = settings
        self.owner = uuid.uuid4().hex
        self._sender = sender
        self._id = transactional_id
        self._prefix = transactional_id.encode() + b"/"
        self._key = self._prefix + self.owner.encode()
        self._place: TopicPartition  # of the records; set by `find`

    async def find(self, producer: Any) -> None:
        """Find the partition of the records. Raises SinkError where the topic is unavailable."""
        topic = self.settings.checkpoint_topic
        count, problem = await self._sender.partitions(producer, topic)
        if not count:
            raise SinkError(
                f"kafka.checkpoint_topic {topic}: {problem}; create it with cleanup.policy=compact"
            )
        self._place = TopicPartition(topic, partition(self._id.encode(), count, int))

    async def write(self, producer: Any, progress: Progress) -> None:
        """Write this process's record, in the open transaction. Raises what the producer raises."""
        place = self._place
        sent = await producer.send(place.topic, progress.encode(), key=self._key, partition=place.partition)
        await self._sender.client.wait_for(sent)

    async def of_owner(self, owner: str) -> Progress | None:
        """The last progress that a process has committed, None if it has not.

        Raises SinkError, KafkaError, OSError, TimeoutError, ValueError.
        """
        key = self._prefix + owner.encode()
        found = await self._newest(lambda message: message.key == key)
        return Progress.decode(found.value) if found is not None else None

    async def newest(self) -> bytes | None:
        """The last progress committed under this transactional id, encoded, None before the first.

        Raises FencedError where another process has committed it, and SinkError, KafkaError, OSError,
        TimeoutError.
        """
        last = await self._newest(lambda message: message.key.startswith(self._prefix))
        if last is not None and last.key != self._key:
            raise FencedError(f"{self._id} belongs to another process now")
        return last.value if last is not None else None

    async def _newest(self, wanted: Callable[[Any], bool]) -> Any:
        """The newest committed record that is wanted, None where there is none."""
        async with asyncio.timeout(READ_TIMEOUT):
            # Not the end a read_committed reader is given: where another instance's transaction is open that
            # lies before it, and a record committed since would be missed, and its events sent again.
            async with self._reader("read_uncommitted") as consumer:
                end = (await consumer.end_offsets([self._place]))[self._place]
            async with self._reader("read_committed") as consumer:
                return await self._search(consumer, end, wanted)

    @contextlib.asynccontextmanager
    async def _reader(self, isolation: str) -> AsyncIterator[Any]:
        consumer = AIOKafkaConsumer(
            isolation_level=isolation, enable_auto_commit=False, **connection_options(self.settings)
        )
        try:
            await consumer.start()
            yield consumer
        finally:
            await stop(consumer)

    async def _search(self, consumer: Any, end: int, wanted: Callable[[Any], bool]) -> Any:
        """From the end back in growing steps: not yet compacted the topic may hold millions of records."""
        place = self._place
        consumer.assign([place])
        first = (await consumer.beginning_offsets([place]))[place]
        start, step, found = end, FIRST_STEP, None
        while found is None and start > first:
            start, stop_at, step = max(first, end - step), start, step * 8
            found = await self._newest_between(consumer, start, stop_at, wanted)
        return found

    async def _newest_between(
        self, consumer: Any, start: int, end: int, wanted: Callable[[Any], bool]
    ) -> Any:
        place, found = self._place, None
        # Not `seek_to_beginning`: it loses against the reset to "latest" that `assign` has begun.
        consumer.seek(place, start)
        position, moved = start, time.monotonic()
        while position < end:
            batches = await consumer.getmany(place, timeout_ms=100)
            before, position = position, await consumer.position(place)
            if position > before:
                moved = time.monotonic()
            elif time.monotonic() - moved > STUCK and consumer.last_stable_offset(place) == position:
                raise SinkError(
                    f"kafka.checkpoint_topic {place.topic}: a transaction of another instance is open; until "
                    "it ends, within a minute, a record committed behind it cannot be read"
                )
            for batch in batches.values():
                for message in batch:
                    if message.offset < end and message.key is not None and wanted(message):
                        found = message
        return found
