"""The bytes on disk: what an older ingestd wrote must be read for ever."""

from __future__ import annotations

from pathlib import Path

from ingestd.spool.format import (
    SegmentHeader,
    decode_frame_header,
    decode_segment_header,
    decode_slot,
    encode_slot,
)
from ingestd.spool.inspect import verify
from ingestd.spool.spool import Position, Spool

NUMBER = 1_700_000_000_000
# A directory as version 1 wrote it: a segment of three frames, and a checkpoint behind the first.
SEGMENT_V1 = bytes.fromhex(
    "494e4753504f4f4c2bfe3ed2010000000068e5cf8b0100000168e5cf8b01000000000000000000000000000000000000"
    "0000000000000000ff49534659acd92e080000000168e5cf8b0100000068e5cf8b01000038000000000000007b227622"
    "3a317d0aff4953462053168e000000000168e5cf8b0100000068e5cf8b0100006400000000000000ff49534653d84797"
    "060000000168e5cf8b0100000068e5cf8b0100008800000000000000e782b9e587bb"
)
BEGUN_V1 = bytes.fromhex("494e4743484b5054eeecfb84000000000000000000000000000000000000000000000000")
SLOT_V1 = bytes.fromhex("494e4743484b50549c7c0f9001000000000000000068e5cf8b0100006400000000000000")
PAYLOADS = [b'{"v":1}\n', b"", "点击".encode()]


def write_v1(directory: Path) -> None:
    (directory / f"{NUMBER:016d}.spool").write_bytes(SEGMENT_V1)
    (directory / "checkpoint").write_bytes(bytes(4096) + SLOT_V1.ljust(4096, b"\0"))


def test_a_spool_of_version_1_is_read_from_its_checkpoint(tmp_path: Path) -> None:
    write_v1(tmp_path)
    assert verify(tmp_path).findings == []
    spool = Spool(tmp_path, max_bytes=1 << 20)
    found = spool.open()
    assert found.checkpoint == Position(NUMBER, 100)
    entries, _next = spool.read(spool.checkpoint, 1 << 20)
    assert [entry.payload for entry in entries] == PAYLOADS[1:]
    assert {entry.time_ms for entry in entries} == {NUMBER + 1}
    spool.close()


def test_version_1_is_still_written_byte_for_byte(tmp_path: Path) -> None:
    times = iter([NUMBER, NUMBER + 1])
    spool = Spool(tmp_path, max_bytes=1 << 20, now_ms=lambda: next(times))
    spool.open()
    spool.append(PAYLOADS)
    entries, _next = spool.read(spool.checkpoint, 1 << 20)
    spool.release(entries[0].end)
    spool.close()
    assert (tmp_path / f"{NUMBER:016d}.spool").read_bytes() == SEGMENT_V1
    assert (tmp_path / "checkpoint").read_bytes() == BEGUN_V1.ljust(4096, b"\0") + SLOT_V1.ljust(4096, b"\0")


def test_every_bit_of_a_segment_header_is_protected() -> None:
    header = SEGMENT_V1[:56]
    assert decode_segment_header(header, NUMBER) == SegmentHeader(1, NUMBER, NUMBER + 1, 0, 0, 0)
    assert decode_segment_header(header, NUMBER + 1) is None
    for bit in range(len(header) * 8):
        assert decode_segment_header(flipped(header, bit), NUMBER) is None


def test_every_bit_of_a_checkpoint_slot_is_protected() -> None:
    slot = encode_slot(7, Position(1, 2))
    assert decode_slot(slot) == (7, Position(1, 2))
    for bit in range(len(slot) * 8):
        assert decode_slot(flipped(slot, bit)) is None


def test_every_bit_of_a_frame_is_protected(tmp_path: Path) -> None:
    write_v1(tmp_path)
    path = tmp_path / f"{NUMBER:016d}.spool"
    for bit in range(56 * 8, 100 * 8):
        path.write_bytes(flipped(SEGMENT_V1, bit))
        assert [found.offset for found in verify(tmp_path).findings] == [56]


def test_a_frame_header_is_believed_only_in_its_own_place() -> None:
    frame = SEGMENT_V1[56:]
    assert decode_frame_header(frame, NUMBER, 56) is not None
    assert decode_frame_header(frame, NUMBER, 57) is None
    assert decode_frame_header(frame, NUMBER + 1, 56) is None
    assert decode_frame_header(frame[:35], NUMBER, 56) is None


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
