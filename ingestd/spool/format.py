"""The spool's bytes on disk. Nothing here touches a file.

A spool directory holds `<segment number, 16 digits>.spool` files, one `checkpoint`, and the quarantine of
bytes that could not be read: `<segment>.<offset>.bad` (the damaged bytes) or `<segment>.spool.bad` (the whole
file, where they could not be copied). Integers are unsigned little-endian; times are Unix milliseconds.

Segment header, 56 bytes at offset 0:

    offset size  field
         0    8  magic "INGSPOOL"
         8    4  CRC32C of bytes 12-55
        12    4  version, 1
        16    8  this segment's number
        24    8  time of creation
        32    8  number of the segment before it, 0 for none
        40    8  bytes in that segment when this one was begun: what lies beyond was never confirmed
        48    8  frames in that segment

Frame, one per payload, up to the end of the file:

    offset size  field
         0    4  marker FF "ISF" (FF never occurs in UTF-8, so not in the events either)
         4    4  CRC32C of bytes 8 to the end of the payload
         8    4  payload length in bytes
        12    8  time of append
        20    8  number of the segment it is in
        28    8  offset of this frame in it
        36       payload

A frame names its own place, so that after damage a search for the marker can tell the next frame from bytes
that only look like one, even where a length field is what was damaged.

Checkpoint, 8,192 bytes, two slots at 0 and 4,096 written in turn: the newest valid one counts, and a write
that is torn leaves the other. It is written in place, so that it needs no space on a full disk.

    offset size  field
         0    8  magic "INGCHKPT"
         8    4  CRC32C of bytes 12-35
        12    8  sequence, one more with each write; the slot is its lowest bit
        20    8  segment number
        28    8  offset: everything before it has been delivered
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import google_crc32c

VERSION = 1
MAX_PAYLOAD = 64 << 20  # bytes; a length beyond it is damage, not a reason to allocate memory

SEGMENT_MAGIC = b"INGSPOOL"
SEGMENT_HEADER_SIZE = 56
_SEGMENT_FIELDS = struct.Struct("<IQQQQQ")

FRAME_MARKER = b"\xffISF"
FRAME_HEADER_SIZE = 36
_FRAME_FIELDS = struct.Struct("<IQQQ")

SLOT_MAGIC = b"INGCHKPT"
SLOT_SIZE = 36
SLOT_STRIDE = 4096  # a page and a disk block each, so that a torn write cannot reach both
_SLOT_FIELDS = struct.Struct("<QQQ")


class Position(NamedTuple):
    """A place in the spool: the byte `offset` of segment file `segment`. Ordered, and never used again."""

    segment: int
    offset: int

    def __str__(self) -> str:
        return f"{self.segment}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """The reverse of `str()`. Raises ValueError."""
        segment, colon, offset = text.partition(":")
        if not (colon and segment.isascii() and segment.isdigit() and offset.isascii() and offset.isdigit()):
            raise ValueError(f"not a spool position: {text!r} (want <segment>:<offset>)")
        return cls(int(segment), int(offset))


START = Position(0, 0)


class SegmentHeader(NamedTuple):
    """The header of a segment: its own number and time, and the length of the segment before it."""

    version: int
    number: int
    created_ms: int
    previous: int
    previous_end: int
    previous_frames: int


class FrameHeader(NamedTuple):
    """The part of a frame before its payload; not to be believed before the checksum is."""

    checksum: int
    length: int
    time_ms: int
    segment: int
    offset: int


def _sealed(magic: bytes, fields: bytes) -> bytes:
    checksum: int = google_crc32c.value(fields)
    return magic + checksum.to_bytes(4, "little") + fields


def _unsealed(magic: bytes, data: bytes) -> bytes | None:
    """The fields of a record made by `_sealed`, None where it is damaged."""
    fields = data[len(magic) + 4 :]
    return fields if data == _sealed(magic, fields) else None


def encode_segment_header(header: SegmentHeader) -> bytes:
    return _sealed(SEGMENT_MAGIC, _SEGMENT_FIELDS.pack(*header))


def decode_segment_header(data: bytes, number: int) -> SegmentHeader | None:
    """The header of segment `number`; None when it is damaged, cut short or another segment's."""
    fields = _unsealed(SEGMENT_MAGIC, data) if len(data) == SEGMENT_HEADER_SIZE else None
    header = SegmentHeader(*_SEGMENT_FIELDS.unpack(fields)) if fields is not None else None
    return header if header is not None and header.number == number else None


def encode_frame_header(payload: bytes, time_ms: int, segment: int, offset: int) -> bytes:
    fields = _FRAME_FIELDS.pack(len(payload), time_ms, segment, offset)
    return FRAME_MARKER + frame_checksum(fields, payload).to_bytes(4, "little") + fields


def frame_checksum(fields: bytes, payload: bytes) -> int:
    checksum: int = google_crc32c.extend(google_crc32c.value(fields), payload)
    return checksum


def decode_frame_header(data: bytes, segment: int, offset: int) -> FrameHeader | None:
    """The frame header in `data` if it names this very place, else None. Its checksum is not checked."""
    if len(data) < FRAME_HEADER_SIZE or not data.startswith(FRAME_MARKER):
        return None
    checksum = int.from_bytes(data[4:8], "little")
    header = FrameHeader(checksum, *_FRAME_FIELDS.unpack_from(data, 8))
    return header if (header.segment, header.offset) == (segment, offset) else None


def frame_is_whole(frame: bytes, payload: bytes, header: FrameHeader) -> bool:
    """Whether the checksum in `header` fits the header fields in `frame` and the payload."""
    return frame_checksum(frame[8:FRAME_HEADER_SIZE], payload) == header.checksum


def encode_slot(sequence: int, position: Position) -> bytes:
    return _sealed(SLOT_MAGIC, _SLOT_FIELDS.pack(sequence, *position))


def decode_slot(data: bytes) -> tuple[int, Position] | None:
    """The sequence and position of a checkpoint slot, None when it is damaged or was never written."""
    fields = _unsealed(SLOT_MAGIC, data) if len(data) == SLOT_SIZE else None
    if fields is None:
        return None
    sequence, segment, offset = _SLOT_FIELDS.unpack(fields)
    return sequence, Position(segment, offset)
