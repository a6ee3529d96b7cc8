"""Event lines to the records of Kafka batches, by topic and partition.

Compiled (_packer.c) where a compiler was at hand at installation, else in Python.
A batch is sealed before it grows past `limit` bytes (uncompressed, with its header); a single record may.
"""

from __future__ import annotations

from typing import Protocol

from ingestd.event import DUP_KEY_SLICE, ID_SLICE, LINE_START, RECEIVED_AT_SLICE, SCHEMA_VERSION
from ingestd.kafka.aiokafka_internals import Headers, RecordEncoder
from ingestd.kafka.murmur2 import murmur2

HOUR_MS = 3_600_000
_SOURCE = b'"source":"'
_VERSION = ("v", str(SCHEMA_VERSION).encode())

# What a batch holds of one source and hour: number of the source in the order of `route`, hours since the
# epoch, events, bytes of their lines with newlines, and their ids where these were asked for.
Group = tuple[int, int, int, int, list[bytes] | None]
# place, partition, records as they are encoded, how many, the first's and the latest timestamp, groups
Batch = tuple[int, int, bytes, int, int, int, list[Group]]


class Packer(Protocol):
    """Fills batches. `with_ids`: groups list the ids."""

    def route(self, source: bytes, place: int, partitions: int, /) -> None:
        """A source's events go to the topic numbered `place`: 0, 1, 2, ..., of so many partitions."""

    def pack(self, payload: bytes, start: int, /) -> int:
        """Pack event lines from offset `start` on, each by its dup_key.

        Returns where it stopped: at the end, or at a line that is no event or whose source has no place.
        """

    def put(self, line: bytes, key: bytes | None, partition: int, trace: bytes | None, /) -> bool:
        """Pack one line with a key, partition and traceparent of its own. False: as where `pack` stops."""

    def take(self) -> list[Batch]:
        """All batches since the last time, a partition's in order."""


class _Open:
    """The batch of a partition that is being filled."""

    def __init__(self) -> None:
        self.records = RecordEncoder()
        self.groups: dict[tuple[int, int], tuple[list[int], list[bytes]]] = {}


class PackerInPython:
    """The same as the compiled one."""

    def __init__(self, limit: int, with_ids: bool) -> None:
        self._limit = limit
        self._with_ids = with_ids
        self._sources: dict[bytes, tuple[int, int]] = {}  # number, place
        self._places: list[list[_Open]] = []
        self._sealed: list[Batch] = []

    def route(self, source: bytes, place: int, partitions: int, /) -> None:
        """See `Packer`."""
        if not 0 <= place <= len(self._places) or source in self._sources or partitions < 1:
            raise ValueError("places are numbered one after the other and do not change")
        if place == len(self._places):
            self._places.append([_Open() for _ in range(partitions)])
        elif len(self._places[place]) != partitions:
            raise ValueError("places are numbered one after the other and do not change")
        self._sources[source] = (len(self._sources), place)

    def pack(self, payload: bytes, start: int, /) -> int:
        """See `Packer`."""
        if not 0 <= start <= len(payload):
            raise ValueError("start is outside the payload")
        while start < len(payload):
            stop = payload.find(b"\n", start)
            stop = stop if stop >= 0 else len(payload)
            line = payload[start:stop]
            if line:
                found = self._read(line)
                if found is None:
                    break
                key = line[DUP_KEY_SLICE]
                partition = (murmur2(key) & 0x7FFFFFFF) % len(self._places[found[1][1]])
                self._put(line, *found, key, partition, None)
            start = min(stop + 1, len(payload))
        return start

    def put(self, line: bytes, key: bytes | None, partition: int, trace: bytes | None, /) -> bool:
        """See `Packer`."""
        found = self._read(line)
        if found is None:
            return False
        if not 0 <= partition < len(self._places[found[1][1]]):
            raise ValueError("no such partition")
        self._put(line, *found, key, partition, trace)
        return True

    def take(self) -> list[Batch]:
        """See `Packer`."""
        for place, partitions in enumerate(self._places):
            for partition in range(len(partitions)):
                self._seal(place, partition)
        sealed, self._sealed = self._sealed, []
        return sealed

    def _read(self, line: bytes) -> tuple[bytes, tuple[int, int], int] | None:
        time = line[RECEIVED_AT_SLICE]
        if len(line) < RECEIVED_AT_SLICE.stop or not line.startswith(LINE_START) or not time.isdigit():
            return None
        start = line.find(_SOURCE, RECEIVED_AT_SLICE.stop)
        end = line.find(b'"', start + len(_SOURCE)) if start >= 0 else -1
        name = line[start + len(_SOURCE) : end]
        if end < 0 or name not in self._sources:
            return None
        return name, self._sources[name], int(time)

    def _put(
        self, line: bytes, name: bytes, source: tuple[int, int], time: int, key: bytes | None,
        partition: int, trace: bytes | None,
    ) -> None:  # fmt: skip
        number, place = source
        headers: Headers = [("id", line[ID_SLICE]), ("source", name), _VERSION]
        if trace is not None:
            headers.append(("traceparent", trace))
        one = self._places[place][partition]
        if one.records.count and one.records.size_with(time, key, line, headers) > self._limit:
            self._seal(place, partition)
            one = self._places[place][partition]
        one.records.append(time, key, line, headers)
        counts, ids = one.groups.setdefault((number, time // HOUR_MS), ([0, 0], []))
        counts[0] += 1
        counts[1] += len(line) + 1
        ids.append(line[ID_SLICE])

    def _seal(self, place: int, partition: int) -> None:
        one = self._places[place][partition]
        records = one.records
        if records.count:
            groups: list[Group] = [
                (number, hour, counts[0], counts[1], ids if self._with_ids else None)
                for (number, hour), (counts, ids) in one.groups.items()
            ]
            self._sealed.append(
                (place, partition, records.body(), records.count, records.first, records.latest, groups)
            )
            self._places[place][partition] = _Open()


def packer(limit: int, *, with_ids: bool) -> Packer:
    """The compiled one where there is one."""
    return _native.Packer(limit, with_ids) if _native is not None else PackerInPython(limit, with_ids)


try:
    from ingestd.kafka import _packer as _native
except ImportError:
    _native = None  # type: ignore[assignment]
NATIVE = _native is not None
