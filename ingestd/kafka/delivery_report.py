"""What becomes of what is sent to Kafka: confirmed, to be sent again, or refused for good."""

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

# One record of the batch is at fault. UnknownError is what aiokafka makes of the codes it does not know,
# the refusals of a broker's own validation (INVALID_RECORD) among them.
ONE_AT_FAULT = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.InvalidTimestampError,
    kafka_errors.UnknownError,
)
# Of a transactional producer: another one took over, or its transaction lasted too long.
FENCED = (kafka_errors.ProducerFenced, kafka_errors.InvalidProducerEpoch)
# Sent again it would be refused again.
REFUSED = (
    *ONE_AT_FAULT,
    kafka_errors.TopicAuthorizationFailedError,
    kafka_errors.InvalidTopicError,
    kafka_errors.UnknownTopicOrPartitionError,
    kafka_errors.UnsupportedForMessageFormatError,
    kafka_errors.PolicyViolationError,
)


@dataclass
class Sent:
    """What became of payloads: per source, records delivered [count, bytes], and dead letters by reason.

    `rows`: what was delivered, for the manifest; None where there is none.
    """

    delivered: dict[str, list[int]] = field(default_factory=dict)
    dead: dict[tuple[str, str], int] = field(default_factory=dict)
    rows: Rows | None = None

    def result(self, *, from_spool: bool, recovered: Mapping[str, int] | None = None) -> CommitResult:
        """As the counters take it. `from_spool`: the events were counted as spooled, which ends here.

        `recovered`: of the events, by source, those that an earlier process had spooled.
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
        """Count what Kafka has confirmed."""
        if chunk.dead:
            self.bury(chunk.records(), chunk.dead)
            return
        if self.rows is not None:
            count_rows(self.rows, chunk.groups)
        for group in chunk.groups:
            counts = self.delivered.setdefault(group.source, [0, 0])
            counts[0] += group.events
            counts[1] += group.size

    def bury(self, letters: Sequence[Record], reason: str) -> None:
        """Count dead letters."""
        for record in letters:
            key = (record.source, reason)
            self.dead[key] = self.dead.get(key, 0) + 1


@dataclass
class Attempt:
    """One try: chunks confirmed, chunks to send again, and records refused, with the reason."""

    confirmed: list[Chunk] = field(default_factory=list)
    again: list[Chunk] = field(default_factory=list)
    refused: list[tuple[list[Record], str]] = field(default_factory=list)
    found_fault: bool = False  # what failed beside a record at fault, failed because of it
    fenced: Exception | None = None  # another producer of this transactional id has started

    @property
    def trouble(self) -> bool:
        """No record was at fault: a pause may help."""
        return bool(self.again) and not self.found_fault

    @property
    def complete(self) -> bool:
        """All is confirmed."""
        return not self.again and not self.refused

    def failed(self, chunk: Chunk, error: Exception) -> None:
        """Sort a failed chunk; it is halved until the record at fault stands alone."""
        reason = type(error).__name__
        if isinstance(error, FENCED):
            self.fenced = error
        records = chunk.records() if isinstance(error, ONE_AT_FAULT) else []
        if isinstance(error, kafka_errors.InvalidTimestampError) and records[0].timestamp != UNDATED:
            # Our clock is ahead. All that is sent now would be refused, one by one, and hold up everything.
            logger.error("kafka refuses the timestamps, sent without", extra={"records": chunk.count})
            self.found_fault = True
            undated = [record._replace(timestamp=UNDATED) for record in records]
            self.again.append(Chunk.of(chunk.topic, chunk.number, undated, chunk.dead))
        elif isinstance(error, ONE_AT_FAULT) and chunk.count > 1:
            self.found_fault = True
            half = chunk.count // 2
            self.again += [
                Chunk.of(chunk.topic, chunk.number, part, chunk.dead)
                for part in (records[:half], records[half:])
            ]
        elif isinstance(error, REFUSED):
            self.found_fault = True
            self.refused.append((chunk.records(), chunk.dead or reason))
        else:
            logger.warning("batch failed, sent again", extra={"error": reason, "records": chunk.count})
            self.again.append(chunk)
