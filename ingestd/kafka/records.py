"""One event as a Kafka record: topic, key, partition, headers, timestamp."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ingestd.event import ID_SLICE, RECEIVED_AT_SLICE, SCHEMA_VERSION
from ingestd.kafka.aiokafka_internals import Headers, murmur2
from ingestd.spool.envelope import SpooledEvent

_SOURCE = b'"source":"'
_VERSION = ("v", str(SCHEMA_VERSION).encode())
# The timestamp of a record that has none: no broker refuses it.
UNDATED = -1


class Record(NamedTuple):
    """One record for Kafka. `timestamp`: ms since the epoch, or UNDATED."""

    source: str
    topic: str
    key: bytes | None
    value: bytes
    timestamp: int
    headers: Headers


def source_of(line: bytes) -> bytes:
    """The source's name in an event line; it stands before anything that came from outside.

    Raises ValueError where the line is not an event's.
    """
    start = line.index(_SOURCE, RECEIVED_AT_SLICE.start) + len(_SOURCE)
    return line[start : line.index(b'"', start)]


def _timestamp(line: bytes) -> int:
    """A record's; none where the clock said 1970: Kafka deletes what is past its time."""
    time = line[RECEIVED_AT_SLICE]
    return int(time) if time.isdigit() else UNDATED


def record_of(event: SpooledEvent, source: str, topic: str) -> Record:
    """The record of one spooled event of a source, for a topic."""
    line = event.line
    headers = [("id", line[ID_SLICE]), ("source", source.encode()), _VERSION]
    if event.trace is not None:
        headers.append(("traceparent", event.trace))
    return Record(source, topic, event.key, line, _timestamp(line), headers)


def partition(key: bytes | None, count: int, turn: Callable[[], int]) -> int:
    """The partition of `count` that Java's default partitioner chooses for a key; without one, by turns.

    Source: org.apache.kafka.clients.producer.internals.BuiltInPartitioner.partitionForKey.
    """
    if key is None:
        return turn() % count
    return (murmur2(key) & 0x7FFFFFFF) % count
