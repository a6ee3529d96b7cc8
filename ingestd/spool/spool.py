"""The spool: the queue on disk of what Kafka has not confirmed. It knows neither Kafka nor HTTP.

Blocking, and owned by one thread of one process: no locks inside, one `flock` on the directory outside.
Payloads are opaque. `append` returns when they are durable; `read` hands them out from any position;
`release` forgets what was delivered. The attributes may be read from any thread.

Four rules make it safe:
- A segment file is appended to by one process life only, and never again after a failed fdatasync.
- Each segment's header says where the one before it ends, so what a failed or torn append left there is
  told from what was confirmed.
- Segment numbers are the clock's milliseconds (or one more than the highest known, if that is greater), so
  a position is never used for two payloads, even when the directory was wiped or restored.
- The checkpoint is durable before a released segment is deleted.

Formats: `format`. Opening after a crash: `recovery`. Reading from outside: `inspect`.
"""

from __future__ import annotations

import contextlib
import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ingestd.spool.checkpoint import Checkpoint
from ingestd.spool.directory import (
    CHECKPOINT_NAME,
    PROBE_NAME,
    Segment,
    SpoolError,
    SpoolFullError,
    list_directory,
    segment_path,
)
from ingestd.spool.format import FRAME_HEADER_SIZE, MAX_PAYLOAD, START, Position
from ingestd.spool.fs import Fs, RealFs
from ingestd.spool.recovery import Recovery, recover
from ingestd.spool.scan import BLOCK
from ingestd.spool.segment import SegmentReader, SegmentWriter, stored_size

__all__ = ["Position", "Recovery", "Spool", "SpoolError", "SpoolFullError", "Stored"]

logger = logging.getLogger(__name__)


class Stored(NamedTuple):
    """A stored payload, the position to release once it is delivered, and when it was appended."""

    payload: bytes
    end: Position
    time_ms: int


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Spool:
    """A queue of payloads in `directory`, at most `max_bytes` on disk (`.bad` files not counted).

    `segment_bytes` is lowered to an eighth of the cap: room is given back a segment at a time.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int,
        segment_bytes: int = 64 << 20,
        fs: Fs | None = None,
        now_ms: Callable[[], int] = _wall_clock_ms,
    ) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self.bytes_used = 0
        """Bytes the segments take on disk; what the cap counts."""
        self.backlog_bytes = 0
        """Those of them that are not yet released."""
        self.oldest_ms: int | None = None
        """When the oldest payload not yet released was appended (Unix milliseconds); None when empty."""
        self.checkpoint = START
        """Everything before it has been released."""
        self.end = START
        """Behind the last payload appended."""
        self._fs: Fs = fs if fs is not None else RealFs()
        self._now_ms = now_ms
        self._segment_bytes = min(segment_bytes, max_bytes // 8)
        self._segments: list[Segment] = []  # oldest first; the writer's is the last
        self._checkpoint_file = Checkpoint(self._fs, directory / CHECKPOINT_NAME)
        self._writer: SegmentWriter | None = None
        self._reader = SegmentReader(self._fs)
        self._lock_fd: int | None = None
        self._highest = 0  # segment number ever seen
        self._found_end = START  # what lies before it was appended by an earlier life

    @property
    def damaged(self) -> int:
        """Damaged ranges `read` has found since `open`, each kept in a `.bad` file."""
        return self._reader.damaged

    def open(self) -> Recovery:
        """Lock the directory (made if missing) and take up what is in it.

        Raises SpoolError: another process owns it, a newer version wrote it, or the disk fails.
        """
        try:
            with self._sink_errors("open"):
                self._fs.make_directory(self.directory)
                self._lock()
                return self._take_up()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the directory up. Nothing needs to be written: what was appended or released is durable."""
        self._seal()
        self._reader.close()
        self._checkpoint_file.close()
        if self._lock_fd is not None:
            self._fs.close(self._lock_fd)
            self._lock_fd = None

    def append(self, payloads: Sequence[bytes]) -> Position:
        """Store `payloads` durably, all or none: one write, one fdatasync. Returns the position behind them.

        Raises SpoolFullError before anything is written, SpoolError when the disk refuses (the next append
        may succeed), ValueError for a payload over 64 MiB.
        """
        if not payloads:
            return self.end
        if max(map(len, payloads)) > MAX_PAYLOAD:
            raise ValueError(f"a payload is larger than {MAX_PAYLOAD} bytes")
        with self._sink_errors("append"):
            self._make_room(stored_size(payloads))
            writer = self._writer if self._writer is not None else self._begin_segment()
            now = self._now_ms()
            size_before, end_before = writer.segment.size, writer.segment.end
            try:
                writer.append(payloads, now)
            finally:
                self.bytes_used += writer.segment.size - size_before
                if not writer.usable:
                    self._abandon(writer.segment)
        if self.checkpoint >= self.end:
            self.oldest_ms = now
        self.backlog_bytes += writer.segment.end - end_before
        self.end = writer.segment.end_position
        return self.end

    def probe(self, size: int) -> None:
        """See whether `size` bytes could be appended now, by writing and removing as many.

        Raises SpoolFullError or SpoolError as an append would; nothing in the spool changes.
        """
        path = self.directory / PROBE_NAME
        with self._sink_errors("probe"):
            self._make_room(size)
            fd = self._fs.create(path)
            try:
                self._fs.pwritev(fd, [bytes(size)], 0)
                self._fs.fdatasync(fd)
            finally:
                self._fs.close(fd)
                self._fs.unlink(path)

    def read(self, position: Position, max_bytes: int) -> tuple[list[Stored], Position]:
        """Payloads from `position` on, up to `max_bytes` but at least one, and the position to go on from.

        The list is empty only when the end is reached. Damage is quarantined in a `.bad` file, counted and
        passed over; the returned position is behind it. Before the checkpoint nothing is read. Raises
        SpoolError.
        """
        position = max(position, self.checkpoint)
        entries: list[Stored] = []
        room = max_bytes
        block = min(max(max_bytes, FRAME_HEADER_SIZE), BLOCK)
        with self._sink_errors("read"):
            for segment in self._segments_behind(position):
                offset = position.offset if position.segment == segment.number else 0
                for frame in self._reader.frames(segment, offset, block):
                    room -= len(frame.payload)
                    if entries and room < 0:
                        return entries, entries[-1].end
                    entries.append(Stored(frame.payload, Position(segment.number, frame.end), frame.time_ms))
                position = segment.end_position
                if entries and room <= 0:
                    break
        return entries, position

    def release(self, position: Position) -> None:
        """Forget everything before `position`: it has been delivered. Durable when this returns.

        A position before the checkpoint changes nothing. One beyond the end was not handed out here (the
        disk was wiped or restored since): it releases what `open` found and nothing appended since.
        Raises SpoolError; nothing is deleted before the checkpoint is durable.
        """
        if position > self.end:
            logger.warning(
                "a position beyond the spool's end", extra={"position": str(position), "end": str(self.end)}
            )
            self._highest = max(self._highest, position.segment)
            self._seal()
            position = self._found_end
        with self._sink_errors("release"):
            if position > self.checkpoint:
                self._checkpoint_file.write(position)
                self.checkpoint = position
            self._drop_released()
            self._measure_backlog()

    def _lock(self) -> None:
        try:
            self._lock_fd = self._fs.lock(self.directory)
        except BlockingIOError as error:
            raise SpoolError(f"{self.directory}: another process owns this spool", error.errno) from error

    def _take_up(self) -> Recovery:
        listing = list_directory(self._fs, self.directory)
        stored, lost = self._checkpoint_file.open(listing.checkpoint)
        found = Recovery(checkpoint=stored or START, checkpoint_lost=lost, junk=list(listing.junk))
        self._segments = recover(self._fs, self.directory, listing, found)
        self.checkpoint = found.checkpoint
        self.bytes_used = found.bytes
        self.end = max(self.checkpoint, self._segments[-1].end_position if self._segments else START)
        self._found_end = self.end
        self._highest = max(listing.highest, self.checkpoint.segment)
        self._measure_backlog()
        return found

    def _make_room(self, need: int) -> None:
        """End the segment if it is large enough, give it back if that makes room. Raises SpoolFullError."""
        if self._writer is not None and self._writer.segment.end >= self._segment_bytes:
            self._seal()
        if self.bytes_used + need > self.max_bytes:
            if self.checkpoint >= self.end:
                self._seal()
            self._drop_released()
        if self.bytes_used + need > self.max_bytes:
            raise SpoolFullError(
                f"{self.directory}: full: {self.bytes_used} of {self.max_bytes} bytes used, {need} wanted"
            )

    def _begin_segment(self) -> SegmentWriter:
        number = max(self._highest + 1, self._now_ms())
        before = self._segments[-1] if self._segments else None
        self._writer = SegmentWriter(self._fs, segment_path(self.directory, number), number, before)
        self._highest = number
        self._segments.append(self._writer.segment)
        return self._writer

    def _seal(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _abandon(self, segment: Segment) -> None:
        """Never append to the newest segment again; delete it if nothing in it was ever confirmed."""
        self._seal()
        if segment.end == 0:
            try:
                self._fs.unlink(segment.path)
            except OSError as error:
                logger.warning(
                    "a failed segment cannot be deleted",
                    extra={"file": segment.path.name, "error": str(error)},
                )
            else:
                del self._segments[-1]
                self.bytes_used -= segment.size

    def _segments_behind(self, position: Position) -> list[Segment]:
        """Those that hold something between `position` and the end."""
        first = bisect_right(self._segments, position, key=lambda segment: segment.end_position)
        return [segment for segment in self._segments[first:] if segment.end_position <= self.end]

    def _drop_released(self) -> None:
        """Delete the segments that lie before the checkpoint, but not the one being written."""
        writing = self._writer.segment if self._writer is not None else None
        while self._segments and self._segments[0].end_position <= self.checkpoint:
            segment = self._segments[0]
            if segment is writing:
                return
            self._reader.close()  # an open descriptor would keep the bytes on the disk
            with contextlib.suppress(FileNotFoundError):
                self._fs.unlink(segment.path)
            del self._segments[0]
            self.bytes_used -= segment.size

    def _measure_backlog(self) -> None:
        """Its bytes, and its oldest time from the first frame; where that is damaged, what was known."""
        waiting = self._segments_behind(self.checkpoint)
        if not waiting:
            self.backlog_bytes, self.oldest_ms = 0, None
            return
        first = waiting[0]
        offset = self.checkpoint.offset if self.checkpoint.segment == first.number else 0
        self.backlog_bytes = sum(segment.end for segment in waiting) - offset
        time_ms = self._reader.first_time_ms(first, offset)
        if time_ms is not None:
            self.oldest_ms = time_ms
        elif self.oldest_ms is None:
            self.oldest_ms = first.number

    @contextlib.contextmanager
    def _sink_errors(self, doing: str) -> Iterator[None]:
        if self._lock_fd is None and doing != "open":
            raise SpoolError(f"{self.directory}: {doing}: the spool is not open")
        try:
            yield
        except OSError as error:
            raise SpoolError(f"{self.directory}: {doing}: {error.strerror}", error.errno) from error
