"""Exactly once: a round's records and the progress they make are committed in one Kafka transaction.

A second process that starts with the same transactional id writes a record of its own into the checkpoint
topic, by which the first learns that it is replaced. Kafka's own error does not tell: brokers answer "fenced"
as well to a transaction that lasted too long.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from aiokafka.errors import KafkaError

from ingestd.config.kafka import KafkaConfig
from ingestd.errors import SinkError
from ingestd.kafka.batches import Chunk
from ingestd.kafka.checkpoint_topic import CheckpointTopic
from ingestd.kafka.delivery_report import Attempt, DeliveryReport
from ingestd.kafka.manifest import count_rows
from ingestd.kafka.producer import PRODUCER_ERRORS
from ingestd.kafka.sender import RETRY_PAUSE, Sender
from ingestd.kafka.state import Progress
from ingestd.tally import Rows

logger = logging.getLogger(__name__)

# Seconds that another process which has just started has to write its record, before it is looked for.
RIVAL_PAUSE = 2.0


class Transactions:
    """Sends rounds, each in a transaction of its own."""

    def __init__(self, sender: Sender, settings: KafkaConfig, transactional_id: str) -> None:
        self._sender = sender
        self._client = sender.client
        self._checkpoint = CheckpointTopic(sender, settings, transactional_id)
        self._rows: Rows | None = None  # of the round under way

    @property
    def owner(self) -> str:
        """This process's name in the checkpoint topic."""
        return self._checkpoint.owner

    def reconfigure(self, settings: KafkaConfig) -> None:
        """Read the checkpoint topic with these settings from now on; its name stays."""
        self._checkpoint.settings = settings

    async def take_over(self, known: Progress, last_owner: str) -> Progress:
        """Become the owner; returns the progress that Kafka holds of this disk's last owner, else `known`.

        The producer has started by then, which has ended whatever transaction an earlier one had open.
        Raises SinkError, KafkaError, OSError, TimeoutError, ValueError.
        """
        producer = await self._client.fresh()
        await self._checkpoint.find(producer)
        committed = await self._checkpoint.of_owner(last_owner) if last_owner else None
        progress = committed or known
        try:
            await producer.begin_transaction()
            await self._commit(producer, progress)
        except PRODUCER_ERRORS as error:
            await self._client.discard(type(error).__name__)
            raise SinkError(f"cannot commit the first transaction: {type(error).__name__}") from error
        return progress

    async def send(self, payloads: Sequence[bytes], after: Progress) -> DeliveryReport:
        """Send and commit; waits for Kafka as long as it takes. Raises FencedError, SinkError."""
        report = DeliveryReport()
        with self._sender.sending(payloads):
            chunks = await self._sender.chunks(payloads, report)
            while True:
                try:
                    attempt = await self._attempt(chunks, after)
                except SinkError:
                    await self._client.discard("transaction abandoned")
                    raise
                except PRODUCER_ERRORS as error:
                    logger.warning("transaction failed, retrying", extra={"error": type(error).__name__})
                    await self._client.discard(type(error).__name__)
                    if await self._is_committed(after):
                        break
                    continue
                if attempt.complete:
                    break
                # The attempt has discarded the producer, and with it the transaction: all is sent again.
                chunks = attempt.confirmed + attempt.retry
                for records, reason in attempt.refused:
                    chunks += await self._sender.dead_letter(records, reason, report)
                if attempt.pause:
                    await asyncio.sleep(RETRY_PAUSE)
        for chunk in chunks:
            report.add(chunk)
        report.rows = self._rows
        return report

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
        await self._checkpoint.write(producer, progress)
        await self._client.wait_for(producer.commit_transaction())

    async def _is_committed(self, after: Progress) -> bool:
        """Whether a transaction that failed was committed all the same. Raises FencedError."""
        await asyncio.sleep(RIVAL_PAUSE)
        while True:
            try:
                await self._checkpoint.newest()  # raises where another process has taken over
                await self._client.producer()  # its start ends a commit that is still under way
                last = await self._checkpoint.newest()
            except (SinkError, KafkaError, OSError, TimeoutError, ValueError) as error:
                logger.warning("cannot read the committed progress, retrying", extra={"error": str(error)})
                await asyncio.sleep(RETRY_PAUSE)
            else:
                return last == after.encode()
