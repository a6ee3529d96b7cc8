"""One segment file at a time: appending to the newest, reading any."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from ingestd.spool.directory import Segment, quarantine
from ingestd.spool.format import (
    FRAME_HEADER_SIZE,
    SEGMENT_HEADER_SIZE,
    VERSION,
    Position,
    SegmentHeader,
    encode_frame_header,
    encode_segment_header,
)
from ingestd.spool.fs import Fs
from ingestd.spool.scan import Frame, Gap, scan, skim

logger = logging.getLogger(__name__)


def stored_size(payloads: Sequence[bytes]) -> int:
    """The most bytes that appending `payloads` can add to the directory."""
    return SEGMENT_HEADER_SIZE + FRAME_HEADER_SIZE * len(payloads) + sum(map(len, payloads))


class SegmentWriter:
    """The segment being appended to. Once `usable` is false nothing may be appended to it again."""

    def __init__(self, fs: Fs, path: Path, number: int, before: Segment | None) -> None:
        """Create the file; `before` is the segment it vouches for. Raises OSError."""
        self.segment = Segment(number, path, end=0, size=0, frames=0)
        self.usable = True
        self._fs = fs
        self._before = before if before is not None else Segment(0, path, end=0, size=0, frames=0)
        self._fd = fs.create_new(path)

    def append(self, payloads: Sequence[bytes], now_ms: int) -> None:
        """Make `payloads` durable: one write, one fdatasync. On an OSError none of them counts."""
        segment = self.segment
        buffers, end = self._frames(payloads, now_ms)
        try:
            self._fs.pwritev(self._fd, buffers, segment.end)
        except OSError:
            self._cut_back(end)
            raise
        try:
            self._fs.fdatasync(self._fd)
            if segment.end == 0:
                self._fs.sync_directory(segment.path.parent)
        except OSError:
            # What the disk holds of this file is unknown now, and a second fdatasync would not tell.
            self.usable = False
            self._cut_back(end)
            raise
        segment.end = segment.size = end
        segment.frames += len(payloads)

    def close(self) -> None:
        self._fs.close(self._fd)

    def _frames(self, payloads: Sequence[bytes], now_ms: int) -> tuple[list[bytes], int]:
        """The bytes to write and the offset behind them."""
        number, end = self.segment.number, self.segment.end
        buffers: list[bytes] = []
        if end == 0:
            before = self._before
            header = SegmentHeader(VERSION, number, now_ms, before.number, before.end, before.frames)
            buffers.append(encode_segment_header(header))
            end = SEGMENT_HEADER_SIZE
        for payload in payloads:
            buffers += (encode_frame_header(payload, now_ms, number, end), payload)
            end += FRAME_HEADER_SIZE + len(payload)
        return buffers, end

    def _cut_back(self, attempted: int) -> None:
        segment = self.segment
        try:
            self._fs.truncate(self._fd, segment.end)
        except OSError as error:
            logger.warning(
                "a failed append cannot be cut off", extra={"file": segment.path.name, "error": str(error)}
            )
            segment.size = attempted
            self.usable = False
        else:
            segment.size = segment.end


class SegmentReader:
    """Reads segments one after the other; counts damage, and quarantines it."""

    def __init__(self, fs: Fs) -> None:
        self.damaged = 0
        self._fs = fs
        self._open: tuple[int, int] | None = None  # segment number, descriptor
        self._seen: set[Position] = set()  # damage that is quarantined and counted already

    def frames(self, segment: Segment, offset: int, block: int) -> Iterator[Frame]:
        """The sound frames of `segment` from `offset` on. Raises OSError."""
        try:
            fd = self._descriptor(segment)
        except FileNotFoundError:
            self._count(Position(segment.number, 0), segment, "the file is gone")
            return
        if offset == 0 and segment.header_damaged:
            self._quarantine(segment, fd, Gap(0, SEGMENT_HEADER_SIZE, "the segment header is damaged"))
        for item in scan(self._fs, fd, segment.number, offset, segment.end, block):
            if isinstance(item, Gap):
                self._quarantine(segment, fd, item)
            else:
                yield item

    def first_time_ms(self, segment: Segment, offset: int) -> int | None:
        """When the frame at `offset` was appended; None where that cannot be told. Raises OSError."""
        try:
            fd = self._descriptor(segment)
        except FileNotFoundError:
            return None
        first = next(skim(self._fs, fd, segment.number, offset, segment.end), None)
        return first[1] if first is not None else None

    def close(self) -> None:
        if self._open is not None:
            self._fs.close(self._open[1])
            self._open = None

    def _descriptor(self, segment: Segment) -> int:
        if self._open is None or self._open[0] != segment.number:
            self.close()
            self._open = segment.number, self._fs.open_read(segment.path)
        return self._open[1]

    def _quarantine(self, segment: Segment, fd: int, gap: Gap) -> None:
        place = Position(segment.number, gap.offset)
        if place not in self._seen:
            quarantine(self._fs, segment.path.parent, segment.number, fd, gap)
            self._count(place, segment, gap.what, gap.end - gap.offset)

    def _count(self, place: Position, segment: Segment, what: str, size: int = 0) -> None:
        if place not in self._seen:
            self._seen.add(place)
            self.damaged += 1
            logger.error(
                "damage in the spool",
                extra={"file": segment.path.name, "offset": place.offset, "bytes": size, "what": what},
            )
