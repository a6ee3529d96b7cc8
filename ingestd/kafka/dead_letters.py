"""Where refused records are kept: the dead-letter topic, or where that does not take them the file."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from ingestd.errors import SinkError
from ingestd.kafka.batches import Chunk, chunks_of
from ingestd.kafka.dead_letter_file import DeadLetterFile
from ingestd.kafka.records import Record, partition

logger = logging.getLogger(__name__)


class DeadLetters:
    """The dead letters of one sender. `topic`: None where all go to the file."""

    def __init__(self, topic: str | None, file: DeadLetterFile, limit: int, turn: Callable[[], int]) -> None:
        self.topic = topic
        self._file = file
        self._limit = limit
        self._turn = turn

    async def add(
        self, records: Sequence[Record], reason: str, count: Callable[[str], Awaitable[tuple[int, str]]]
    ) -> list[Chunk]:
        """Records as chunks for the topic, still to be sent; none where they are durable in the file.

        Records that the topic itself has refused go to the file. `count`: how many partitions a topic has, 0
        where it is unavailable. Raises SinkError where the file cannot be written.
        """
        topics = ",".join(sorted({record.topic for record in records}))
        logger.error("dead letters", extra={"reason": reason, "records": len(records), "topic": topics})
        topic = self.topic
        if topic is not None and records[0].topic == topic:
            records = [_unmarked(record) for record in records]
        elif topic is not None and (partitions := (await count(topic))[0]):
            by_number: dict[int, list[Record]] = {}
            for record in records:
                number = partition(record.key, partitions, self._turn)
                by_number.setdefault(number, []).append(_marked(record, topic, reason))
            return [
                chunk
                for number, marked in by_number.items()
                for chunk in chunks_of(topic, number, marked, self._limit, reason)
            ]
        try:
            await asyncio.to_thread(self._file.write, records, reason)
        except OSError as error:
            raise SinkError(f"dead letters cannot be written: {error}") from error
        return []


def _marked(record: Record, topic: str, reason: str) -> Record:
    extra = [("reason", reason.encode()), ("topic", record.topic.encode())]
    return record._replace(topic=topic, headers=[*record.headers, *extra])


def _unmarked(record: Record) -> Record:
    """The record that `_marked` marked: without its last two headers, for its own topic."""
    original = dict(record.headers)["topic"].decode()
    return record._replace(topic=original, headers=record.headers[:-2])
