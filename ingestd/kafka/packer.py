"""The fast path from event lines to the records of Kafka batches; it declines every line that is unusual.

Compiled (_packer.c) where a compiler was at hand at installation: 0.1 us a record. Without it, and for the
lines it declines, `batches.Chunker` goes the general path, record by record.
"""

from __future__ import annotations

from typing import Protocol

# The events of one source and hour in a batch: number of the source in the order of `route`, hours since the
# epoch, events, bytes of their lines with newlines, and their ids where these were asked for.
PackedGroup = tuple[int, int, int, int, list[bytes] | None]
# place, partition, encoded records, their count, the first and the latest timestamp, groups
PackedBatch = tuple[int, int, bytes, int, int, int, list[PackedGroup]]


class Packer(Protocol):
    """Fills batches by topic and partition; a batch is sealed before it grows past the limit."""

    def route(self, source: bytes, place: int, partitions: int, /) -> None:
        """Send a source's events to the topic numbered `place` (0, 1, 2, ...) with so many partitions.

        Raises ValueError where the place is not the next one, or the source or the topic is known already
        with other figures.
        """

    def pack(self, payload: bytes, start: int, /) -> int:
        """Pack event lines from offset `start` on, each by its dup_key.

        Returns where it stopped: at the end, or at a line that it declines: an envelope, an event of a source
        without a place, or anything without the fixed fields of an event.
        """

    def put(self, line: bytes, key: bytes | None, turn: int, trace: bytes | None, /) -> bool:
        """Pack one line with a key and a traceparent of its own.

        Without a key it goes into partition `turn` modulo their count.
        Returns False where `pack` would have declined the line.
        """

    def take(self) -> list[PackedBatch]:
        """Seal and return all batches packed since the last call, those of a partition in order."""


def packer(limit: int, *, with_ids: bool) -> Packer | None:
    """A packer of batches of at most `limit` bytes, uncompressed; None where it is not compiled.

    A single record may be larger than the limit. `with_ids`: groups list the events' ids.
    """
    return _native.Packer(limit, with_ids) if _native is not None else None


try:
    from ingestd.kafka import _packer as _native
except ImportError:
    _native = None  # type: ignore[assignment]
NATIVE = _native is not None
