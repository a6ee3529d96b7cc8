"""What travels to Kafka: chunks, each of records of one partition that go as one batch.

Records are encoded once, when a chunk is made, and decoded again only where something goes wrong with one.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import google_crc32c
import orjson
from aiokafka import codec
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from ingestd.kafka.packer import BATCH_HEADER, HOUR_MS, Records, packer
from ingestd.kafka.records import Record, Topics, key_and_trace, partition, record_of, source_of
from ingestd.tally import key_of

# base offset, length, leader epoch, magic, CRC32C of what follows, attributes, last offset, first and latest
# timestamp, producer's id and epoch, sequence, count (Kafka protocol guide, "Record Batch")
_HEADER = struct.Struct(">qiibIhiqqqhii")
_CRC = struct.Struct(">I")
_LENGTH_FROM, _CRC_AT, _CRC_FROM = 12, 17, 21
_TRANSACTIONAL = 0x10


class Group(NamedTuple):
    """What a chunk holds of one source and hour. `size`: bytes of lines. `ids`: None where not asked for."""

    source: str
    hour: int
    events: int
    size: int
    ids: list[bytes] | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of one partition that travel as one batch. `dead`: why they are dead letters, else "".

    `body`: the records, encoded. `first`, `latest`: of their timestamps.
    """

    topic: str
    number: int
    body: bytes
    count: int
    first: int
    latest: int
    groups: Sequence[Group]
    dead: str = ""

    @classmethod
    def of(cls, topic: str, number: int, records: Sequence[Record], dead: str = "") -> Chunk:
        """Of a few records, whatever their headers."""
        encoded = Records()
        ids: dict[tuple[str, int], list[bytes]] = {}
        sizes: dict[tuple[str, int], int] = {}
        for record in records:
            encoded.append(record.timestamp, record.key, record.value, record.headers)
            # By the line, not the timestamp: that may have been taken from it.
            key = key_of(record.value) or (record.source, record.timestamp // HOUR_MS)
            ids.setdefault(key, []).append(dict(record.headers).get("id", b""))
            sizes[key] = sizes.get(key, 0) + len(record.value) + 1
        groups = [Group(*key, len(ids[key]), sizes[key], ids[key]) for key in ids]
        return cls(topic, number, encoded.body(), encoded.count, encoded.first, encoded.latest, groups, dead)

    def records(self) -> list[Record]:
        """The records, decoded."""
        found = []
        for one in DefaultRecordBatch(bytearray(_whole(self, self.body, 0))):
            headers = [(name, value or b"") for name, value in one.headers]
            source = dict(headers).get("source", b"").decode()
            key = bytes(one.key) if one.key is not None else None
            found.append(Record(source, self.topic, key, bytes(one.value or b""), one.timestamp, headers))
        return found


def compress(body: bytes, method: str) -> tuple[bytes, int]:
    """Records compressed, and the codec's number for the header; as they are where that is no gain.

    At the lowest level: lz4 costs 0.9 us an event at level 1 and 12-20 at aiokafka's 9, zstd 1.2-1.6 and
    2.1-4.9 at its 3, and is nearly as small.
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


def _whole(
    chunk: Chunk, body: bytes, attributes: int, producer: int = -1, epoch: int = -1, sequence: int = -1
) -> bytes:
    """The batch with its header."""
    head = bytearray(BATCH_HEADER)
    _HEADER.pack_into(
        head, 0, 0, BATCH_HEADER - _LENGTH_FROM + len(body), -1, 2, 0, attributes, chunk.count - 1,
        chunk.first, chunk.latest, producer, epoch, sequence, chunk.count,
    )  # fmt: skip
    checksum = google_crc32c.extend(google_crc32c.value(bytes(head[_CRC_FROM:])), body)
    _CRC.pack_into(head, _CRC_AT, checksum)
    return b"".join((head, body))


class Finished(BatchBuilder):  # type: ignore[misc]
    """A chunk in the place of aiokafka's builder: full, and only the header is still to come."""

    def __init__(self, chunk: Chunk, body: bytes, method: int, *, transactional: bool) -> None:
        self._chunk = chunk
        self._body = body
        self._attributes = method | (_TRANSACTIONAL if transactional else 0)
        self._producer = (-1, -1, -1)
        self._built: bytes | None = None

    def append(self, **record: Any) -> None:
        """None: full."""

    def close(self) -> None:
        """It is."""

    def closed(self) -> bool:
        """It is."""
        return True

    def record_count(self) -> int:
        """Of the chunk."""
        return self._chunk.count

    def size(self) -> int:
        """Bytes of the batch."""
        return BATCH_HEADER + len(self._body)

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = (producer_id, producer_epoch, base_sequence)

    def _build(self) -> bytes:
        if self._built is None:
            self._built = _whole(self._chunk, self._body, self._attributes, *self._producer)
        return self._built


class Chunker:
    """Payloads to chunks by topic and partition, each small enough for one batch.

    `partitions`: how many a topic has, or 0 and the reason why it cannot be had. `spread`: partitions for
    records without a key. `homeless`: the records of topics that cannot be had, by reason.
    """

    def __init__(
        self, topics: Topics, limit: int, partitions: Callable[[str], Awaitable[tuple[int, str]]],
        spread: Callable[[], int], *, with_ids: bool,
    ) -> None:  # fmt: skip
        self._topics = topics
        self._partitions = partitions
        self._spread = spread
        self._packer = packer(limit, with_ids=with_ids)
        self._places: dict[str, tuple[int, int]] = {}  # of a topic: its number, partitions
        self._routes: dict[bytes, int] = {}  # of a source: partitions of its topic
        self._names: list[str] = []
        self._lost: dict[bytes, str] = {}  # sources whose topic cannot be had: why
        self._odd: list[Chunk] = []
        self.homeless: dict[str, list[Record]] = {}

    async def add(self, payload: bytes) -> None:
        """Take a payload. Raises ValueError where it is none."""
        start = 0
        extra: dict[str, str | None] | None = None
        while extra is not None or (start := self._packer.pack(payload, start)) < len(payload):
            end = payload.find(b"\n", start)
            line = payload[start:end] if end >= 0 else payload[start:]
            if line.startswith(b"#"):
                extra = orjson.loads(line[1:])
            elif await self._route(line) and extra is None:
                continue  # now that its source has a place
            else:
                self._by_hand(line, extra)
                extra = None
            start += len(line) + 1

    async def _route(self, line: bytes) -> bool:
        """Look for a place for a line's source, once. True: it has one now and had none."""
        source = source_of(line)
        if source in self._lost or source in self._routes:
            return False
        name, topic, _ = self._topics.of(line)
        count, problem = await self._partitions(topic)
        if not count:
            self._lost[source] = problem
            return False
        place, count = self._places.setdefault(topic, (len(self._places), count))
        self._packer.route(source, place, count)
        self._routes[source] = count
        self._names.append(name)
        return True

    def _by_hand(self, line: bytes, extra: dict[str, str | None] | None) -> None:
        """A line with a key or trace of its own, or one without a home."""
        source = source_of(line)
        if (problem := self._lost.get(source)) is not None:
            self.homeless.setdefault(problem, []).append(record_of(line, extra, self._topics))
            return
        key, trace = key_and_trace(line, extra)
        number = partition(key, self._routes[source], self._spread)
        if not self._packer.put(line, key, number, trace):  # the time has not as many digits as it knows
            if key_of(line) is None:
                raise ValueError(f"no event: {line[:100]!r}")
            record = record_of(line, extra, self._topics)
            self._odd.append(Chunk.of(record.topic, number, [record]))

    def take(self) -> list[Chunk]:
        """The chunks, each partition's first before any second: that is queued once the first has left."""
        topics = list(self._places)
        rows: dict[tuple[int, int], list[Chunk]] = {}
        for place, number, body, count, first, latest, groups in self._packer.take():
            named = [Group(self._names[one[0]], *one[1:]) for one in groups]
            chunk = Chunk(topics[place], number, body, count, first, latest, named)
            rows.setdefault((place, number), []).append(chunk)
        odd, self._odd = self._odd, []
        rest = itertools.zip_longest(*rows.values())
        return [*(chunk for row in rest for chunk in row if chunk is not None), *odd]
