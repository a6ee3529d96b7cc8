"""Publishes the manifest's rows in their topic, between two sends, once they are saved with the progress."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ingestd.errors import SinkError
from ingestd.kafka.batches import Chunk
from ingestd.kafka.manifest import KafkaManifest
from ingestd.kafka.producer import PRODUCER_ERRORS
from ingestd.kafka.records import Record
from ingestd.kafka.sender import Sender

logger = logging.getLogger(__name__)

# Seconds that a graceful shutdown waits for the last rows.
LAST_ROWS = 2.0


class ManifestTopic:
    """The manifest topic of one sender; nothing is ever due where it has no manifest.

    `save` makes the rows durable with the progress, before they are published.
    """

    def __init__(self, sender: Sender, save: Callable[[], Awaitable[None]]) -> None:
        self._sender = sender
        self._save = save

    @property
    def due(self) -> bool:
        """Whether rows are to be published now."""
        return self._sender.manifest is not None and self._sender.manifest.due()

    async def publish(self, *, everything: bool = False) -> None:
        """Publish the rows that are due, or all; after a failure they are retried later."""
        manifest = self._sender.manifest
        if manifest is None or not (everything or manifest.due()):
            return
        try:
            await self._save()
            await self._send(manifest, everything)
        except (SinkError, *PRODUCER_ERRORS) as error:
            manifest.failed(str(error) or type(error).__name__)
            await self._sender.client.discard(type(error).__name__)

    async def publish_rest(self) -> None:
        """Publish all rows within LAST_ROWS seconds."""
        try:
            await asyncio.wait_for(self.publish(everything=True), LAST_ROWS)
        except TimeoutError:
            logger.warning("the manifest's last rows go to their topic at the next start")

    async def _send(self, manifest: KafkaManifest, everything: bool) -> None:
        client = self._sender.client
        if not (due := manifest.records(all_of_it=everything)):
            return
        producer = await client.producer()
        chunks = await self._chunks(producer, manifest, [record for _, record in due])
        if not chunks:
            return
        if client.transactional:
            await producer.begin_transaction()
        attempt = await self._sender.attempt(producer, chunks)
        if not attempt.complete:
            manifest.failed(", ".join(reason for _, reason in attempt.refused) or "not confirmed")
            return
        if client.transactional:
            await client.wait_for(producer.commit_transaction())
        manifest.published(due)

    async def _chunks(self, producer: Any, manifest: KafkaManifest, due: Sequence[Record]) -> list[Chunk]:
        """Records for the manifest topic by partition; none, which is logged, where it is unavailable."""
        count, problem = await self._sender.partitions(producer, manifest.topic)
        if not count:
            manifest.failed(f"{problem}; create it with cleanup.policy=compact")
            return []
        by_number: dict[int, list[Record]] = {}
        for record in due:
            by_number.setdefault(self._sender.partition(record.key, count), []).append(record)
        return [Chunk.of(manifest.topic, number, records) for number, records in by_number.items()]
