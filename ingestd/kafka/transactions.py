"""Exactly once: a round's records and the progress they make are committed in one Kafka transaction.

The progress is a record in a compacted topic, keyed by the transactional id and the process, its owner. After
a crash, and wherever it is unknown whether a commit was made, the record Kafka holds is what counts: that of
the last owner of this disk, for positions on another one mean nothing here. A twin that starts with the same
id writes a record, and so the one before learns that it is replaced (Kafka's own word for it, "fenced", is
also said of a transaction that lasted too long).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from ingestd.config.kafka import KafkaConfig
from ingestd.errors import IngestdError, SinkError
from ingestd.kafka.batches import Chunk
from ingestd.kafka.delivery_report import Attempt, Sent
from ingestd.kafka.manifest import count_rows
from ingestd.kafka.producer import PRODUCER_ERRORS, Client, connection_options, stop
from ingestd.kafka.progress import Progress
from ingestd.kafka.records import partition
from ingestd.kafka.sender import RETRY_PAUSE, Sender
from ingestd.tally import Rows

logger = logging.getLogger(__name__)

READ_TIMEOUT = 60.0
# So long a reader stands before an open transaction without a word.
STUCK = 3.0
FIRST_STEP = 1000
# So long a twin that has just started has to write its name, before we look for it.
TWIN_PAUSE = 2.0


class FencedError(IngestdError):
    """Another process has taken over this transactional id; this one must not deliver any more."""


class Transactions:
    """Sends rounds, each in a transaction of its own."""

    def __init__(self, client: Client, sender: Sender, settings: KafkaConfig, transactional_id: str) -> None:
        self._client = client
        self._sender = sender
        self.settings = settings
        self._id = transactional_id
        self._prefix = transactional_id.encode() + b"/"
        self.owner = uuid.uuid4().hex
        self._key = self._prefix + self.owner.encode()
        self._rows: Rows | None = None  # of the round under way
        self._place: TopicPartition  # of the record; known once taken over

    async def take_over(self, known: Progress, last_owner: str) -> Progress:
        """What Kafka holds of this disk's last owner, else what is `known`; from now on this process owns it.

        The producer has started by then, which has ended whatever an earlier one had open.
        Raises SinkError, KafkaError, OSError, TimeoutError, ValueError.
        """
        producer = await self._client.fresh()
        self._place = await self._find_place(producer)
        progress = known
        if last_owner:
            key = self._prefix + last_owner.encode()
            found = await self._newest(lambda message: message.key == key)
            progress = Progress.decode(found.value) if found is not None else known
        try:
            await producer.begin_transaction()
            await self._commit(producer, progress)
        except PRODUCER_ERRORS as error:
            await self._client.discard(type(error).__name__)
            raise SinkError(f"cannot take over {self._id}: {type(error).__name__}") from error
        return progress

    async def send(self, payloads: Sequence[bytes], after: Progress) -> Sent:
        """Send and commit; waits for Kafka as long as it takes. Raises FencedError, SinkError."""
        outcome = Sent()
        with self._sender.waiting():
            chunks = await self._sender.chunks(payloads, outcome)
            while True:
                try:
                    attempt = await self._attempt(chunks, after)
                except SinkError:
                    await self._client.discard("transaction given up")
                    raise
                except PRODUCER_ERRORS as error:
                    logger.warning("transaction failed", extra={"error": type(error).__name__})
                    await self._client.discard(type(error).__name__)
                    if await self._committed_after_all(after):
                        break
                    continue
                if attempt.complete:
                    break
                # The attempt has given the producer up, and with it the transaction: all goes again.
                chunks = attempt.confirmed + attempt.again
                for letters, reason in attempt.refused:
                    chunks += await self._sender.bury(letters, reason, outcome)
                if attempt.trouble:
                    await asyncio.sleep(RETRY_PAUSE)
        for chunk in chunks:
            outcome.add(chunk)
        outcome.rows = self._rows
        return outcome

    async def _attempt(self, chunks: Sequence[Chunk], after: Progress) -> Attempt:
        producer = await self._client.producer()
        await producer.begin_transaction()
        attempt = await self._sender.attempt(producer, chunks)
        if attempt.fenced is not None:
            raise attempt.fenced
        if attempt.complete:
            if (manifest := self._sender.manifest) is not None:
                self._rows = {}
                for chunk in chunks:
                    if not chunk.dead:
                        count_rows(self._rows, chunk.groups)
                        await asyncio.sleep(0)
                after.manifest = manifest.tree(self._rows)
            await self._commit(producer, after)
        return attempt

    async def _commit(self, producer: Any, progress: Progress) -> None:
        place = self._place
        sent = await producer.send(place.topic, progress.encode(), key=self._key, partition=place.partition)
        await self._client.patiently(sent)
        await self._client.patiently(producer.commit_transaction())

    async def _committed_after_all(self, after: Progress) -> bool:
        """Whether a transaction that failed was committed all the same. Raises FencedError."""
        await asyncio.sleep(TWIN_PAUSE)
        while True:
            try:
                await self._look_for_twin()
                await self._client.producer()  # its start ends a commit that is still under way
                last = await self._look_for_twin()
            except (SinkError, KafkaError, OSError, TimeoutError, ValueError) as error:
                logger.warning("cannot read the committed position", extra={"error": str(error)})
                await asyncio.sleep(RETRY_PAUSE)
            else:
                return last == after.encode()

    async def _look_for_twin(self) -> bytes | None:
        """The last progress committed. Raises FencedError where it is another process's."""
        last = await self._newest(lambda message: message.key.startswith(self._prefix))
        if last is not None and last.key != self._key:
            raise FencedError(f"{self._id} is another process's now")
        return last.value if last is not None else None

    async def _find_place(self, producer: Any) -> TopicPartition:
        topic = self.settings.checkpoint_topic
        count, problem = await self._sender.partitions(producer, topic)
        if not count:
            raise SinkError(
                f"kafka.checkpoint_topic {topic}: {problem}; create it with cleanup.policy=compact"
            )
        return TopicPartition(topic, partition(self._id.encode(), count, lambda: 0))

    async def _newest(self, wanted: Callable[[Any], bool]) -> Any:
        """The newest committed record that is wanted, None where there is none.

        Raises SinkError, KafkaError, OSError, TimeoutError.
        """
        async with asyncio.timeout(READ_TIMEOUT):
            # Not the end a read_committed reader is told: where another instance's transaction is open that
            # lies before it, and what was committed since would not be seen, and be sent again.
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
            start, stop, step = max(first, end - step), start, step * 8
            found = await self._newest_between(consumer, start, stop, wanted)
        return found

    async def _newest_between(
        self, consumer: Any, start: int, stop: int, wanted: Callable[[Any], bool]
    ) -> Any:
        place, found = self._place, None
        # Not `seek_to_beginning`: it loses against the reset to "latest" that `assign` has begun.
        consumer.seek(place, start)
        position, moved = start, time.monotonic()
        while position < stop:
            batches = await consumer.getmany(place, timeout_ms=100)
            before, position = position, await consumer.position(place)
            if position > before:
                moved = time.monotonic()
            elif time.monotonic() - moved > STUCK and consumer.last_stable_offset(place) == position:
                raise SinkError(
                    f"kafka.checkpoint_topic {place.topic}: a transaction of another instance is open, and "
                    "until it ends, in a minute at the most, what was committed behind it cannot be read"
                )
            for batch in batches.values():
                for message in batch:
                    if message.offset < stop and message.key is not None and wanted(message):
                        found = message
        return found
