"""Kafka's answers to what is sent: confirmed, retry, or refused for good."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import errors as kafka_errors

from ingestd.event import Share
from ingestd.kafka.batches import Chunk
from ingestd.kafka.manifest import count_rows
from ingestd.kafka.records import UNDATED, Record
from ingestd.pipeline.sink import CommitResult
from ingestd.tally import Rows

logger = logging.getLogger(__name__)

# One record of the batch is at fault. UnknownError is aiokafka's for the codes it does not know, among them
# the one by which a broker's own validation refuses (INVALID_RECORD).
ONE_AT_FAULT = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.InvalidTimestampError,
    kafka_errors.UnknownError,
)
# Another producer took over the transactional id, or the transaction lasted too long.
FENCED = (kafka_errors.ProducerFenced, kafka_errors.InvalidProducerEpoch)
# A retry would be refused again.
REFUSED = (
    *ONE_AT_FAULT,
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.InvalidTopicError,
    kafka_errors.UnknownTopicOrPartitionError,
    kafka_errors.UnsupportedForMessageFormatError,
    kafka_errors.PolicyViolationError,
)


@dataclass
class DeliveryReport:
    """The outcome of a send: [records, bytes] delivered by source, dead letters by source and reason.

    `rows`: the delivered records as rows of the manifest; None where there is no manifest.
    """

    delivered: dict[str, list[int]] = field(default_factory=dict)
    dead: dict[tuple[str, str], int] = field(default_factory=dict)
    rows: Rows | None = None

    def result(self, *, from_spool: bool, recovered: Mapping[str, int] | None = None) -> CommitResult:
        """The report as the counters take it.

        `from_spool`: the events were counted as spooled, which ends here. `recovered`: how many of them, by
        source, an earlier process had spooled.
        """
        shares = {source: Share(events, size) for source, (events, size) in self.delivered.items()}
        result = CommitResult(delivered={"kafka": shares}, dead_lettered=self.dead)
        if from_spool:
            result.recovered = dict(recovered or {})
            result.spooled = dict(result.recovered)
            for source, (events, _) in self.delivered.items():
                result.spooled[source] = result.spooled.get(source, 0) - events
            for (source, _), events in self.dead.items():
                result.spooled[source] = result.spooled.get(source, 0) - events
        return result

    def add(self, chunk: Chunk) -> None:
        """Count a chunk that Kafka has confirmed."""
        if chunk.dead:
            self.dead_letter(chunk.records(), chunk.dead)
            return
        if self.rows is not None:
            count_rows(self.rows, chunk.groups)
        for group in chunk.groups:
            counts = self.delivered.setdefault(group.source, [0, 0])
            counts[0] += group.events
            counts[1] += group.size

    def dead_letter(self, records: Sequence[Record], reason: str) -> None:
        """Count records that became dead letters."""
        for record in records:
            key = (record.source, reason)
            self.dead[key] = self.dead.get(key, 0) + 1


@dataclass
class Attempt:
    """Kafka's answers to one try: chunks confirmed, chunks to retry, and records refused, with the reason.

    `found_fault`: some record or topic was refused; what failed beside it may have failed because of it.
    `fenced`: the error by which another producer of this transactional id shows, else None.
    """

    confirmed: list[Chunk] = field(default_factory=list)
    retry: list[Chunk] = field(default_factory=list)
    refused: list[tuple[list[Record], str]] = field(default_factory=list)
    found_fault: bool = False
    fenced: Exception | None = None

    @property
    def pause(self) -> bool:
        """Whether to wait before the retry: nothing was refused, so time may help."""
        return bool(self.retry) and not self.found_fault

    @property
    def complete(self) -> bool:
        """Whether every chunk of the attempt is confirmed."""
        return not self.retry and not self.refused

    def failed(self, chunk: Chunk, error: Exception) -> None:
        """Sort a failed chunk; it is halved until the record at fault stands alone."""
        reason = type(error).__name__
        if isinstance(error, FENCED):
            self.fenced = error
        records = chunk.records() if isinstance(error, ONE_AT_FAULT) else []
        if isinstance(error, kafka_errors.InvalidTimestampError) and records[0].timestamp != UNDATED:
            # Our clock is ahead. All events of this time would be refused, one by one, and hold up the
            # others.
            logger.error(
                "kafka refuses the timestamps; retrying without them", extra={"records": chunk.count}
            )
            self.found_fault = True
            undated = [record._replace(timestamp=UNDATED) for record in records]
            self.retry.append(Chunk.of(chunk.topic, chunk.number, undated, chunk.dead))
        elif isinstance(error, ONE_AT_FAULT) and chunk.count > 1:
            self.found_fault = True
            half = chunk.count // 2
            self.retry += [
                Chunk.of(chunk.topic, chunk.number, part, chunk.dead)
                for part in (records[:half], records[half:])
            ]
        elif isinstance(error, REFUSED):
            self.found_fault = True
            self.refused.append((chunk.records(), chunk.dead or reason))
        else:
            logger.warning("batch failed, retrying", extra={"error": reason, "records": chunk.count})
            self.retry.append(chunk)
