"""Walk the frames of one segment in bounded memory, naming what is damaged and going on behind it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import NamedTuple

from ingestd.spool.format import (
    FRAME_HEADER_SIZE,
    FRAME_MARKER,
    MAX_PAYLOAD,
    SEGMENT_HEADER_SIZE,
    decode_frame_header,
    frame_is_whole,
)
from ingestd.spool.fs import Fs

BLOCK = 1 << 20
_PAGE = 4096


class Frame(NamedTuple):
    """One payload in a segment, from byte `offset` up to `end`."""

    offset: int
    end: int
    time_ms: int
    payload: bytes


class Gap(NamedTuple):
    """The bytes from `offset` up to `end` that hold no readable frame, and why."""

    offset: int
    end: int
    what: str


class _Window:
    """A moving view of a file. Bytes the disk cannot read come as zeros, which no checksum takes for data."""

    def __init__(self, fs: Fs, fd: int, end: int, block: int) -> None:
        self._fs = fs
        self._fd = fd
        self._end = end
        self._block = block
        self._data = b""
        self._base = 0

    def get(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on, fewer at the end."""
        at = offset - self._base
        if at < 0 or at + size > len(self._data):
            self._data = self._load(min(max(size, self._block), self._end - offset), offset)
            self._base = offset
            at = 0
        return self._data[at : at + size]

    def _load(self, size: int, offset: int) -> bytes:
        try:
            return self._fs.pread(self._fd, size, offset)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
        return b"".join(self._page(start, offset + size) for start in range(offset, offset + size, _PAGE))

    def _page(self, start: int, limit: int) -> bytes:
        size = min(_PAGE, limit - start)
        try:
            return self._fs.pread(self._fd, size, start)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return bytes(size)


def scan(fs: Fs, fd: int, segment: int, start: int, end: int, block: int = BLOCK) -> Iterator[Frame | Gap]:
    """Every frame and gap between the offsets `start` and `end`, in order and without a hole.

    Holds `block` bytes or one frame at a time. Raises OSError where the file cannot be read at all.
    """
    window = _Window(fs, fd, end, block)
    offset = max(start, SEGMENT_HEADER_SIZE)
    while offset < end:
        item = _frame_at(window, segment, offset, end) or _gap_at(window, segment, offset, end)
        yield item
        offset = item.end


def skim(fs: Fs, fd: int, segment: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """(end offset, time) of each frame, from the frame headers alone: quick, but proves nothing.

    Stops at the first header that is damaged.
    """
    window = _Window(fs, fd, end, FRAME_HEADER_SIZE)
    offset = max(start, SEGMENT_HEADER_SIZE)
    while offset < end:
        header = decode_frame_header(window.get(offset, FRAME_HEADER_SIZE), segment, offset)
        if header is None:
            return
        offset += FRAME_HEADER_SIZE + header.length
        yield offset, header.time_ms


def _frame_at(window: _Window, segment: int, offset: int, end: int) -> Frame | None:
    """The frame at `offset`, None unless all of it is sound."""
    fields = window.get(offset, FRAME_HEADER_SIZE)
    header = decode_frame_header(fields, segment, offset)
    if header is None or header.length > MAX_PAYLOAD:
        return None
    frame_end = offset + FRAME_HEADER_SIZE + header.length
    if frame_end > end:
        return None
    payload = window.get(offset + FRAME_HEADER_SIZE, header.length)
    return (
        Frame(offset, frame_end, header.time_ms, payload) if frame_is_whole(fields, payload, header) else None
    )


def _gap_at(window: _Window, segment: int, offset: int, end: int) -> Gap:
    """The damage at `offset`: what it is, and up to where."""
    header = decode_frame_header(window.get(offset, FRAME_HEADER_SIZE), segment, offset)
    if header is None:
        what = "no frame header where one must be"
    elif header.length > min(MAX_PAYLOAD, end - offset - FRAME_HEADER_SIZE):
        what = f"a length of {header.length} bytes reaches past the end"
    else:
        what = "the checksum does not fit"
    return Gap(offset, _next_frame(window, segment, offset + 1, end), what)


def _next_frame(window: _Window, segment: int, offset: int, end: int) -> int:
    """Where the next frame header that names its own place begins, or `end`."""
    while offset < end:
        data = window.get(offset, BLOCK)
        if not data:
            break  # the file is shorter than it was
        found = data.find(FRAME_MARKER)
        while found >= 0:
            place = offset + found
            if decode_frame_header(window.get(place, FRAME_HEADER_SIZE), segment, place):
                return place
            found = data.find(FRAME_MARKER, found + 1)
        # A marker may lie across the end of the block.
        offset += max(len(data) - len(FRAME_MARKER) + 1, 1)
    return end
