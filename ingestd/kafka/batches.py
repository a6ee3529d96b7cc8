"""Chunks: records of one partition that go to Kafka as one batch.

Records are encoded once, when a chunk is made, and decoded again only where something goes wrong with one.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import google_crc32c

from ingestd.kafka.aiokafka_internals import BATCH_HEADER, ReadyBatch, RecordEncoder, decode_batch
from ingestd.kafka.packer import packer
from ingestd.kafka.records import Record, partition, record_of, source_of
from ingestd.kafka.topics import Topics
from ingestd.spool.envelope import SpooledEvent, event_at
from ingestd.tally import HOUR_MS, key_of

# base offset, length, leader epoch, magic, CRC32C of what follows, attributes, last offset, first and latest
# timestamp, producer's id and epoch, sequence, count (Kafka protocol guide, "Record Batch")
_HEADER = struct.Struct(">qiibIhiqqqhii")
_CRC = struct.Struct(">I")
_LENGTH_FROM, _CRC_AT, _CRC_FROM = 12, 17, 21
_TRANSACTIONAL = 0x10


class Group(NamedTuple):
    """The events of one source and hour in a chunk. `size`: bytes of their lines. `ids`: if asked for."""

    source: str
    hour: int
    events: int
    size: int
    ids: list[bytes] | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of one partition that travel as one batch. `dead`: why they are dead letters, else "".

    `body`: the records, encoded. `first`, `latest`: timestamps of the first record and of the latest one.
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
        """Encode a few records, whatever their headers, as one chunk of any size."""
        [chunk] = chunks_of(topic, number, records, None, dead)
        return chunk

    def records(self) -> list[Record]:
        """Decode the records, their headers included."""
        found = []
        for timestamp, key, value, headers in decode_batch(_whole(self, self.body, 0)):
            source = dict(headers).get("source", b"").decode()
            found.append(Record(source, self.topic, key, value, timestamp, headers))
        return found


def chunks_of(
    topic: str, number: int, records: Sequence[Record], limit: int | None, dead: str = ""
) -> Iterator[Chunk]:
    """Records of one partition as chunks of at most `limit` bytes each, uncompressed, header included.

    A single record may be larger than the limit; None: all go into one chunk.
    """
    encoder = RecordEncoder()
    start = 0
    for position, one in enumerate(records):
        fields = one.timestamp, one.key, one.value, one.headers
        if limit is not None and encoder.count and encoder.size_with(*fields) > limit:
            yield _chunk(topic, number, encoder, records[start:position], dead)
            encoder, start = RecordEncoder(), position
        encoder.append(*fields)
    if encoder.count:
        yield _chunk(topic, number, encoder, records[start:], dead)


def _chunk(topic: str, number: int, encoded: RecordEncoder, records: Sequence[Record], dead: str) -> Chunk:
    ids: dict[tuple[str, int], list[bytes]] = {}
    sizes: dict[tuple[str, int], int] = {}
    for record in records:
        # By the line, not the timestamp: that may have been removed from the record.
        key = key_of(record.value) or (record.source, record.timestamp // HOUR_MS)
        ids.setdefault(key, []).append(dict(record.headers).get("id", b""))
        sizes[key] = sizes.get(key, 0) + len(record.value) + 1
    groups = [Group(*key, len(ids[key]), sizes[key], ids[key]) for key in ids]
    return Chunk(topic, number, encoded.body(), encoded.count, encoded.first, encoded.latest, groups, dead)


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
    """A chunk as a producer takes it; `body`, `method`: its records as `compress` returned them."""
    attributes = method | (_TRANSACTIONAL if transactional else 0)
    return ReadyBatch(partial(_whole, chunk, body, attributes), chunk.count, BATCH_HEADER + len(body))


class _Route(NamedTuple):
    """Where a source's events go: a topic and its partitions, 0 and the reason where they cannot go there."""

    source: str
    topic: str
    partitions: int
    problem: str


class Chunker:
    """Sorts payloads into chunks by topic and partition, each small enough for one batch.

    `partitions`: how many a topic has, or 0 and the reason why it is unavailable. `turn`: counts the records
    without a key, which take the partitions in turn. `undeliverable`: the records of topics that are
    unavailable, by reason.
    """

    def __init__(
        self, topics: Topics, limit: int, partitions: Callable[[str], Awaitable[tuple[int, str]]],
        turn: Callable[[], int], *, with_ids: bool,
    ) -> None:  # fmt: skip
        self._topics = topics
        self._limit = limit
        self._partitions = partitions
        self._turn = turn
        self._routes: dict[bytes, _Route] = {}  # by source
        self._packer = packer(limit, with_ids=with_ids)
        self._places: dict[str, int] = {}  # of topics, as the packer numbers them
        self._names: list[str] = []  # of sources, as the packer numbers them
        self._others: dict[tuple[str, int], list[Record]] = {}  # the packer has declined these
        self.undeliverable: dict[str, list[Record]] = {}

    async def add(self, payload: bytes) -> None:
        """Take the events of a payload. Raises ValueError where it holds something else."""
        start, packer = 0, self._packer
        while start < len(payload):
            if packer is not None and (start := packer.pack(payload, start)) == len(payload):
                return
            event, start = event_at(payload, start)
            if event is None or (event.enveloped and event.key is not None and self._put(event)):
                continue
            await self._add_unusual(event)

    def _put(self, event: SpooledEvent) -> bool:
        """Pack an event with a key or a traceparent of its own; False where there is no packer for it."""
        if self._packer is None:
            return False
        turn = self._turn() if event.key is None else 0
        return self._packer.put(event.line, event.key, turn, event.trace)

    async def _add_unusual(self, event: SpooledEvent) -> None:
        """The general path: a source's first event, one without a key or a topic, an unusual line."""
        source = source_of(event.line)
        route = self._routes.get(source) or await self._find(source, event.line)
        if not route.partitions:
            records = self.undeliverable.setdefault(route.problem, [])
            records.append(record_of(event, route.source, route.topic))
        elif not self._put(event):
            if key_of(event.line) is None:
                raise ValueError(f"not an event: {event.line[:100]!r}")
            number = partition(event.key, route.partitions, self._turn)
            others = self._others.setdefault((route.topic, number), [])
            others.append(record_of(event, route.source, route.topic))

    async def _find(self, source: bytes, line: bytes) -> _Route:
        name, topic = self._topics.of_line(line)
        count, problem = await self._partitions(topic)
        route = self._routes[source] = _Route(name, topic, count, problem)
        if self._packer is not None and count:
            place = self._places.setdefault(topic, len(self._places))
            self._packer.route(source, place, count)
            self._names.append(name)
        return route

    def take(self) -> list[Chunk]:
        """The chunks, each partition's first before any second, which must wait until the first has left."""
        rows: dict[tuple[str, int], list[Chunk]] = {}
        topics = list(self._places)
        for place, number, body, count, first, latest, groups in self._packer.take() if self._packer else ():
            named = [Group(self._names[one[0]], *one[1:]) for one in groups]
            chunk = Chunk(topics[place], number, body, count, first, latest, named)
            rows.setdefault((topics[place], number), []).append(chunk)
        others, self._others = self._others, {}
        for (topic, number), records in others.items():
            rows.setdefault((topic, number), []).extend(chunks_of(topic, number, records, self._limit))
        rest = itertools.zip_longest(*rows.values())
        return [chunk for row in rest for chunk in row if chunk is not None]
