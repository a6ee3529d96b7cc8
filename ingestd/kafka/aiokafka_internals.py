"""Every name of aiokafka that its documentation does not promise, touched in this module only.

Its public producer costs 20-30 us a record and cannot be stopped while Kafka is unreachable (aiokafka#1101).
The code that replaces it needs aiokafka's record format, accumulator and sender task. So pyproject.toml pins
the minor version, and tests/unit/kafka/test_aiokafka_internals.py checks that each name is there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from aiokafka import codec, partitioner
from aiokafka.errors import KafkaError, ProducerClosed
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from ingestd.kafka.deadline import within

__all__ = [
    "BATCH_HEADER", "DecodedRecord", "Headers", "ReadyBatch", "RecordEncoder", "compress", "decode_batch",
    "fetch_metadata", "kill", "murmur2",
]  # fmt: skip

BATCH_HEADER = 61  # bytes of a record batch before its first record
CANCEL_TIMEOUT = 0.2
CLOSE_TIMEOUT = 3.0
_ANY_SIZE = 1 << 30

Headers = list[tuple[str, bytes]]
murmur2: Callable[[bytes], int] = partitioner.murmur2
"""Hashes a key as Kafka's Java client does, to 0..2**32-1; pure Python, 9 us for 32 bytes."""


class DecodedRecord(NamedTuple):
    """A record of a batch. `timestamp`: ms since the epoch, -1 for none."""

    timestamp: int
    key: bytes | None
    value: bytes
    headers: Headers


def decode_batch(batch: bytes) -> Iterator[DecodedRecord]:
    """The records of one batch (magic 2), decompressed. The checksum is not verified."""
    for one in DefaultRecordBatch(bytearray(batch)):
        headers = [(name, value or b"") for name, value in one.headers]
        key = bytes(one.key) if one.key is not None else None
        yield DecodedRecord(one.timestamp, key, bytes(one.value or b""), headers)


class RecordEncoder:
    """Encodes records one after the other as they stand in a batch (Kafka protocol guide, "Record")."""

    def __init__(self) -> None:
        self._builder: Any = DefaultRecordBatchBuilder(
            2, 0, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=0, batch_size=_ANY_SIZE
        )
        self.count = 0
        self.first = self.latest = 0

    def size_with(self, timestamp: int, key: bytes | None, value: bytes, headers: Headers) -> int:
        """Bytes of the whole batch, header included, with one more record."""
        more: int = self._builder.size_in_bytes(self.count, timestamp, key, value, headers)
        size: int = self._builder.size()
        return size + more

    def append(self, timestamp: int, key: bytes | None, value: bytes, headers: Headers) -> None:
        """Encode one more record; `timestamp` in ms since the epoch."""
        if not self.count:
            self.first = self.latest = timestamp
        self._builder.append(self.count, timestamp, key, value, headers)
        self.latest = max(self.latest, timestamp)
        self.count += 1

    def body(self) -> bytes:
        """The encoded records, without the batch's header. May be called once."""
        return bytes(memoryview(self._builder.build())[BATCH_HEADER:])


def compress(body: bytes, method: str) -> tuple[bytes, int]:
    """Compress encoded records; returns them with the codec's number for the batch's attributes.

    Returns (`body`, 0) where `method` is "none" or compression would not make it smaller. Always at the
    lowest level: lz4 costs 0.9 us an event at level 1 and 12-20 at aiokafka's 9, zstd 1.2-1.6 and 2.1-4.9 at
    its 3, for nearly the same size.
    """
    match method:
        case "gzip":
            packed, number = codec.gzip_encode(body, 1), 1
        case "snappy":
            packed, number = codec.snappy_encode(body), 2
        case "lz4":
            packed, number = codec.lz4_encode(body, 1), 3
        case "zstd":
            packed, number = codec.zstd_encode(body, 1), 4
        case _:
            return body, 0
    return (packed, number) if len(packed) < len(body) else (body, 0)


class ReadyBatch(BatchBuilder):  # type: ignore[misc]
    """A full batch for `AIOKafkaProducer.send_batch`, of which only the header is still to be written.

    `build(producer_id, epoch, sequence)` returns the batch's bytes; it is called once, when the producer has
    given the batch its sequence number. `count`: records in it. `size`: bytes of the batch.
    """

    def __init__(self, build: Callable[[int, int, int], bytes], count: int, size: int) -> None:
        self._build_with = build
        self._count = count
        self._size = size
        self._state = (-1, -1, -1)
        self._built: bytes | None = None

    def append(self, **record: Any) -> None:
        """Refuse the record: None is aiokafka's word for a full batch."""

    def close(self) -> None:
        """Do nothing: the batch takes no records from the start."""

    def closed(self) -> bool:
        """Always true, so that the batch does not linger for more records."""
        return True

    def record_count(self) -> int:
        """Records in the batch; the producer's sequence number grows by it."""
        return self._count

    def size(self) -> int:
        """Bytes of the batch, its header included."""
        return self._size

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._state = (producer_id, producer_epoch, base_sequence)

    def _build(self) -> bytes:
        if self._built is None:
            self._built = self._build_with(*self._state)
        return self._built


async def kill(producer: Any) -> None:
    """End a producer at once, whatever it is doing, and leave none of its tasks running.

    `stop()` waits for Kafka while a batch is pending; cancelled, it leaves tasks behind that deliver the
    batch later, next to its retry (aiokafka#1101). Pending batches fail with ProducerClosed.
    """
    producer._closed = True
    sending = producer._sender.sender_task
    if sending is not None:
        for _ in range(2):  # the first cancel makes it wait for its requests, the second ends that wait
            sending.cancel()
            await asyncio.wait([sending], timeout=CANCEL_TIMEOUT)
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        await within(producer.client.close(), CLOSE_TIMEOUT)
    producer._message_accumulator.fail_all(ProducerClosed())


async def fetch_metadata(client: Any) -> Any:
    """Ask any broker for the metadata of all topics; returns a ClusterMetadata. Raises KafkaError.

    `client`: a producer or a consumer. No public call tells which topics there are now, nor the partitions of
    one that is not subscribed to.
    """
    inner = client.client if hasattr(client, "client") else client._client
    return await inner.fetch_all_metadata()
