"""What travels to Kafka: chunks, each of records of one partition that go as one batch.

Records are encoded once, when a chunk is made, and decoded again only where something goes wrong with one.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import google_crc32c
import orjson

from ingestd.kafka.aiokafka_internals import BATCH_HEADER, ReadyBatch, RecordEncoder, decode_batch
from ingestd.kafka.packer import HOUR_MS, packer
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
        encoded = RecordEncoder()
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
        for timestamp, key, value, headers in decode_batch(_whole(self, self.body, 0)):
            source = dict(headers).get("source", b"").decode()
            found.append(Record(source, self.topic, key, value, timestamp, headers))
        return found


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


def ready_batch(chunk: Chunk, body: bytes, method: int, *, transactional: bool) -> ReadyBatch:
    """A chunk as a producer takes it; `body`, `method`: what `compress` made of its records."""
    attributes = method | (_TRANSACTIONAL if transactional else 0)
    return ReadyBatch(partial(_whole, chunk, body, attributes), chunk.count, BATCH_HEADER + len(body))


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
