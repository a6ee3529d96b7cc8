"""Damage by name: what `open`, `read` and `verify` make of a spool that is not as it was left."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ingestd.sinks.spool import Position, Recovery, Spool, SpoolError
from ingestd.sinks.spool_files import segment_path
from ingestd.sinks.spool_format import (
    FRAME_HEADER_SIZE,
    FRAME_MARKER,
    SEGMENT_HEADER_SIZE,
    SegmentHeader,
    encode_frame_header,
    encode_segment_header,
)
from ingestd.sinks.spool_inspect import Finding, entries, ls, verify
from tests.support.fakefs import FakeFs, Node

DIRECTORY = Path("/spool")
NOW = 1_700_000_000_000
FIRST = SEGMENT_HEADER_SIZE
SIZE = FRAME_HEADER_SIZE + 100
SENT = [bytes([ord("a") + number]) * 100 for number in range(6)]


def made(fs: FakeFs, *, segment_bytes: int = 1 << 20) -> Path:
    """A spool of six frames of 136 bytes; the path of its first segment."""
    spool = Spool(DIRECTORY, max_bytes=1 << 23, segment_bytes=segment_bytes, fs=fs, now_ms=lambda: NOW)
    spool.open()
    for payload in SENT:
        spool.append([payload])
    spool.close()
    return segment_path(DIRECTORY, NOW)


def opened(fs: FakeFs) -> tuple[Spool, Recovery]:
    spool = Spool(DIRECTORY, max_bytes=1 << 23, fs=fs, now_ms=lambda: NOW)
    return spool, spool.open()


def payloads(spool: Spool) -> list[bytes]:
    return [entry.payload for entry in spool.read(spool.checkpoint, 1 << 20)[0]]


def frame_at(number: int) -> int:
    return FIRST + number * SIZE


def bad_files(fs: FakeFs) -> dict[str, bytes]:
    return {path.name: bytes(node.data) for path, node in fs.names.items() if path.name.endswith(".bad")}


def harmful(fs: FakeFs) -> list[tuple[str, int]]:
    return [(found.file, found.offset) for found in verify(DIRECTORY, fs).findings if not found.harmless]


def harmless(fs: FakeFs) -> list[Finding]:
    return [found for found in verify(DIRECTORY, fs).findings if found.harmless]


def cut(fs: FakeFs, path: Path, size: int) -> None:
    node = fs.names[path]
    del node.data[size:]
    node.disk = bytearray(node.data)


def extend(fs: FakeFs, path: Path, data: bytes) -> None:
    fs.corrupt(path, len(fs.names[path].data), data)


def test_a_sound_spool_is_found_sound() -> None:
    fs = FakeFs()
    made(fs, segment_bytes=300)
    report = verify(DIRECTORY, fs)
    assert (report.findings, report.sound) == ([], True)
    assert (report.frames, report.segments) == (6, 3)
    spool, found = opened(fs)
    assert (found.frames, found.segments, found.bytes) == (6, 3, report.bytes)
    assert (found.torn_bytes, found.damaged_frames, found.junk) == (0, 0, [])
    assert payloads(spool) == SENT


# The end of the last segment


def test_a_torn_tail_is_cut_and_its_bytes_are_kept() -> None:
    fs = FakeFs()
    path = made(fs)
    cut(fs, path, frame_at(5) + 50)
    assert harmful(fs) == []
    assert [(found.file, found.offset, found.size) for found in harmless(fs)] == [
        (path.name, frame_at(5), 50)
    ]
    torn = bytes(fs.names[path].data[frame_at(5) :])
    spool, found = opened(fs)
    assert (found.torn_bytes, found.damaged_frames) == (50, 0)
    assert payloads(spool) == SENT[:5]
    assert spool.damaged == 0
    assert bad_files(fs) == {f"{NOW:016d}.{frame_at(5)}.bad": torn}
    spool.append([b"next"])
    assert payloads(spool) == [*SENT[:5], b"next"]


@pytest.mark.parametrize("zeros", [1, 36, 5000])
def test_a_tail_of_zeros_is_torn(zeros: int) -> None:
    fs = FakeFs()
    path = made(fs)
    extend(fs, path, bytes(zeros))
    spool, found = opened(fs)
    assert found.torn_bytes == zeros
    assert payloads(spool) == SENT


def test_a_last_segment_without_a_whole_header_is_set_aside() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    last = segment_path(DIRECTORY, NOW + 2)
    cut(fs, last, 20)
    spool, found = opened(fs)
    assert (found.torn_bytes, found.segments) == (20, 2)
    assert last not in fs.names
    assert len(bad_files(fs)[f"{NOW + 2:016d}.0.bad"]) == 20
    assert payloads(spool) == SENT[:4]
    assert spool.append([b"next"]).segment > NOW + 2
    assert path in fs.names


def test_an_empty_last_segment_is_no_damage() -> None:
    fs = FakeFs()
    made(fs, segment_bytes=300)
    cut(fs, segment_path(DIRECTORY, NOW + 2), 0)
    spool, found = opened(fs)
    assert (found.torn_bytes, found.damaged_frames, bad_files(fs)) == (0, 0, {})
    assert payloads(spool) == SENT[:4]


def test_a_torn_tail_that_cannot_be_copied_is_kept_by_a_second_name_of_the_segment() -> None:
    fs = FakeFs()
    path = made(fs)
    cut(fs, path, frame_at(5) + 50)
    whole = bytes(fs.names[path].data)
    fs.space = 0
    spool, found = opened(fs)
    assert found.torn_bytes == 50
    assert bad_files(fs)[f"{path.name}.bad"] == whole
    assert payloads(spool) == SENT[:5]
    fs.space = None
    spool.append([b"next"])
    spool.close()
    spool, _found = opened(fs)
    assert payloads(spool) == [*SENT[:5], b"next"], "the next segment says where this one ended"
    assert spool.damaged == 0


# The middle


@pytest.mark.parametrize(
    ("offset", "data", "what"),
    [
        pytest.param(FRAME_HEADER_SIZE + 10, b"X", "checksum", id="payload"),
        pytest.param(4, bytes(4), "checksum", id="checksum"),
        pytest.param(12, bytes(8), "checksum", id="time"),
        pytest.param(8, b"\x63\x00\x00\x00", "checksum", id="a length one too short"),
        pytest.param(8, b"\x00\x01\x00\x00", "checksum", id="a length over two frames"),
        pytest.param(8, bytes(4), "checksum", id="a length of zero"),
        pytest.param(8, b"\xff\xff\xff\xff", "length", id="a length beyond the end"),
        pytest.param(0, b"\x00", "header", id="marker"),
        pytest.param(28, b"\x00", "header", id="place"),
        pytest.param(0, bytes(SIZE), "header", id="zeros"),
        pytest.param(0, b"\xffISF" * (SIZE // 4), "header", id="markers"),
    ],
)
def test_a_damaged_frame_is_set_aside_and_the_later_ones_are_delivered(
    offset: int, data: bytes, what: str
) -> None:
    fs = FakeFs()
    path = made(fs)
    fs.corrupt(path, frame_at(2) + offset, data)
    damaged = bytes(fs.names[path].data[frame_at(2) : frame_at(3)])
    findings = [found for found in verify(DIRECTORY, fs).findings if not found.harmless]
    assert [(found.file, found.offset, found.size) for found in findings] == [(path.name, frame_at(2), SIZE)]
    assert what in findings[0].what
    assert [entry.payload for entry in entries(DIRECTORY, fs)] == [*SENT[:2], *SENT[3:]]

    spool, found = opened(fs)
    assert (found.torn_bytes, found.damaged_frames) == (0, 1)
    assert payloads(spool) == [*SENT[:2], *SENT[3:]]
    assert bad_files(fs) == {f"{NOW:016d}.{frame_at(2)}.bad": damaged}


def test_damage_is_counted_once_however_often_it_is_read() -> None:
    fs = FakeFs()
    fs.corrupt(made(fs), frame_at(2) + 50, b"X")
    spool, _found = opened(fs)
    for _ in range(3):
        payloads(spool)
    assert spool.damaged == 1


def test_damage_in_each_of_two_neighbours_is_counted_twice() -> None:
    fs = FakeFs()
    path = made(fs)
    fs.corrupt(path, frame_at(2) + 50, b"X")
    fs.corrupt(path, frame_at(3) + 50, b"X")
    assert harmful(fs) == [(path.name, frame_at(2)), (path.name, frame_at(3))]
    spool, _found = opened(fs)
    assert payloads(spool) == [*SENT[:2], *SENT[4:]]
    assert spool.damaged == 2


def test_damage_at_the_end_of_a_finished_segment_is_damage_not_a_torn_tail() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    fs.corrupt(path, frame_at(1) + 50, b"X")
    assert harmful(fs) == [(path.name, frame_at(1))]
    spool, found = opened(fs)
    assert found.torn_bytes == 0
    assert payloads(spool) == [SENT[0], *SENT[2:]]
    assert spool.damaged == 1
    assert list(bad_files(fs)) == [f"{NOW:016d}.{frame_at(1)}.bad"]


def test_damage_before_the_checkpoint_is_not_read_again() -> None:
    fs = FakeFs()
    fs.corrupt(made(fs), frame_at(1) + 50, b"X")
    spool, _found = opened(fs)
    read, _position = spool.read(spool.checkpoint, 1 << 20)
    spool.release(read[2].end)
    spool.close()
    spool, _found = opened(fs)
    assert payloads(spool) == SENT[4:]
    assert spool.damaged == 0


def test_a_spool_that_ends_in_damage_can_be_read_and_released_to_its_end() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    spool, _found = opened(fs)
    last = segment_path(DIRECTORY, NOW + 2)
    fs.corrupt(last, FIRST + 50, b"X")
    fs.corrupt(last, FIRST + SIZE + 50, b"X")
    read, position = spool.read(spool.checkpoint, 1 << 20)
    assert [entry.payload for entry in read] == SENT[:4]
    assert position == spool.end
    spool.release(position)
    assert spool.backlog_bytes == 0
    assert path not in fs.names
    assert len(bad_files(fs)) == 2


def test_a_marker_inside_a_payload_is_not_taken_for_a_frame() -> None:
    fs = FakeFs()
    spool, _found = opened(fs)
    inner = b"not a frame"
    fake = encode_frame_header(inner, NOW, NOW, 12345) + inner
    spool.append([b"first" + fake + FRAME_MARKER * 50])
    spool.append([b"second"])
    spool.close()
    fs.corrupt(segment_path(DIRECTORY, NOW), FIRST + FRAME_HEADER_SIZE, b"X")
    spool, _found = opened(fs)
    assert payloads(spool) == [b"second"]
    assert spool.damaged == 1


def test_damage_larger_than_a_read_block_is_passed_over() -> None:
    fs = FakeFs()
    spool, _found = opened(fs)
    spool.append([b"first", b"x" * (3 << 20), b"last"])
    spool.close()
    path = segment_path(DIRECTORY, NOW)
    fs.corrupt(path, FIRST + FRAME_HEADER_SIZE + 5 + 2, b"\x00" * (2 << 20))
    spool, _found = opened(fs)
    assert [entry.payload for entry in spool.read(spool.checkpoint, 100)[0]] == [b"first", b"last"]
    assert len(next(iter(bad_files(fs).values()))) == FRAME_HEADER_SIZE + (3 << 20)


def test_a_record_of_zero_length_is_read_like_any_other() -> None:
    fs = FakeFs()
    spool, _found = opened(fs)
    spool.append([b"", b"a", b""])
    spool.append([b""])
    assert payloads(spool) == [b"", b"a", b"", b""]
    assert len(spool.read(spool.checkpoint, 1)[0]) >= 1


def test_a_sector_the_disk_cannot_read_costs_its_frame_only_and_the_file_is_kept() -> None:
    fs = FakeFs()
    path = made(fs)
    whole = bytes(fs.names[path].data)
    fs.names[path].unreadable = {1}  # bytes 512 to 1023: the 4 KiB page around it reads as zeros
    spool, _found = opened(fs)
    spool.append([b"next"])
    assert payloads(spool) == [b"next"]
    spool.release(spool.end)
    assert path not in fs.names
    assert bad_files(fs)[f"{path.name}.bad"] == whole


# Headers, lengths, missing and foreign files


def test_a_damaged_segment_header_costs_no_frame() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    fs.corrupt(path, 20, b"XXXX")
    assert harmful(fs) == [(path.name, 0)]
    spool, found = opened(fs)
    assert found.damaged_frames == 1
    assert payloads(spool) == SENT
    assert spool.damaged == 1


def test_a_damaged_header_in_the_middle_leaves_the_segment_before_it_whole() -> None:
    fs = FakeFs()
    made(fs, segment_bytes=300)
    middle = segment_path(DIRECTORY, NOW + 1)
    fs.corrupt(middle, 0, bytes(SEGMENT_HEADER_SIZE))
    assert harmful(fs) == [(middle.name, 0)]
    spool, _found = opened(fs)
    assert payloads(spool) == SENT


def test_a_finished_segment_that_lost_its_end_is_noticed() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    cut(fs, path, frame_at(1))
    assert harmful(fs) == [(path.name, frame_at(1))]
    spool, found = opened(fs)
    assert found.missing_bytes == SIZE
    assert payloads(spool) == [SENT[0], *SENT[2:]]


def test_a_missing_segment_is_noticed_and_the_others_are_delivered() -> None:
    fs = FakeFs()
    made(fs, segment_bytes=300)
    fs.unlink(segment_path(DIRECTORY, NOW + 1))
    assert harmful(fs) == [(segment_path(DIRECTORY, NOW + 1).name, 0)]
    spool, found = opened(fs)
    assert found.missing_segments == [NOW + 1]
    assert payloads(spool) == SENT[:2] + SENT[4:]


def test_a_segment_removed_from_under_a_running_spool_is_counted_and_passed_over() -> None:
    fs = FakeFs()
    made(fs, segment_bytes=300)
    spool, _found = opened(fs)
    fs.unlink(segment_path(DIRECTORY, NOW + 1))
    assert payloads(spool) == SENT[:2] + SENT[4:]
    assert spool.damaged == 1
    spool.release(spool.end)
    assert spool.bytes_used == 0


def test_a_segment_of_a_newer_version_is_refused_and_left_alone() -> None:
    fs = FakeFs()
    path = made(fs)
    header = encode_segment_header(SegmentHeader(2, NOW, NOW, 0, 0, 0))
    fs.corrupt(path, 0, header)
    before = bytes(fs.names[path].data)
    for _ in range(2):
        with pytest.raises(SpoolError, match="newer ingestd"):
            opened(fs)
    assert fs.names[path].data == before


def test_junk_and_directories_where_files_belong_are_reported_and_left_alone() -> None:
    fs = FakeFs()
    made(fs)
    for name in ("notes.txt", "12.spool", "x.spool"):
        fs.names[DIRECTORY / name] = Node(bytearray(b"mine"))
    fs.make_directory(segment_path(DIRECTORY, NOW + 1))
    fs.make_directory(segment_path(DIRECTORY, 5))
    spool, found = opened(fs)
    directories = [segment_path(DIRECTORY, 5).name, segment_path(DIRECTORY, NOW + 1).name]
    assert sorted(found.junk) == sorted(["notes.txt", "12.spool", "x.spool", *directories])
    assert sorted(found.file for found in harmless(fs)) == sorted(found.junk)
    assert harmful(fs) == []
    assert payloads(spool) == SENT
    assert spool.append([b"next"]).segment == NOW + 2, "the directory's number is not taken"
    assert fs.names[DIRECTORY / "notes.txt"].data == b"mine"


# The checkpoint


def test_a_checkpoint_older_than_the_segments_starts_at_the_first_one_there() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    spool, _found = opened(fs)
    older = bytes(fs.names[DIRECTORY / "checkpoint"].data)
    spool.release(spool.read(spool.checkpoint, 1 << 20)[0][2].end)
    spool.close()
    assert path not in fs.names, "unlinked, and then the crash came before the checkpoint was on disk"
    fs.corrupt(DIRECTORY / "checkpoint", 0, older)
    for _ in range(2):
        spool, found = opened(fs)
        assert found.missing_segments == [NOW]
        assert payloads(spool) == SENT[2:]
        spool.close()


def test_a_crash_between_the_checkpoint_and_the_unlink_ends_in_the_unlink() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    spool, _found = opened(fs)
    ends = [entry.end for entry in spool.read(spool.checkpoint, 1 << 20)[0]]

    def before(call: str, _name: str) -> None:
        if call == "unlink":
            raise OSError(errno.EIO, "Input/output error")

    fs.before_call = before
    with pytest.raises(SpoolError):
        spool.release(ends[2])
    fs.before_call = lambda _call, _name: None
    fs.crash()
    assert path in fs.names
    spool, found = opened(fs)
    assert (found.released_segments, path in fs.names) == (1, False)
    assert payloads(spool) == SENT[3:]


def test_a_checkpoint_newer_than_the_segments_loses_nothing_appended_later() -> None:
    fs = FakeFs()
    path = made(fs)
    spool, _found = opened(fs)
    spool.release(spool.end)
    spool.close()
    assert path not in fs.names
    spool, found = opened(fs)
    assert spool.append([b"new"]) > found.checkpoint
    spool.close()
    spool, _found = opened(fs)
    assert payloads(spool) == [b"new"]


def test_a_checkpoint_newer_than_a_shortened_segment_still_keeps_what_is_appended_later() -> None:
    fs = FakeFs()
    path = made(fs)
    spool, _found = opened(fs)
    spool.release(spool.read(spool.checkpoint, 1 << 20)[0][4].end)
    spool.close()
    cut(fs, path, frame_at(2))
    spool, found = opened(fs)
    assert payloads(spool) == []
    assert spool.end == found.checkpoint == Position(NOW, frame_at(5))
    assert spool.append([b"new"]) > found.checkpoint
    spool.close()
    assert payloads(opened(fs)[0]) == [b"new"]


@pytest.mark.parametrize("slot", [0, 4096])
def test_one_damaged_checkpoint_slot_costs_at_most_one_release(slot: int) -> None:
    fs = FakeFs()
    made(fs)
    spool, _found = opened(fs)
    ends = [entry.end for entry in spool.read(spool.checkpoint, 1 << 20)[0]]
    spool.release(ends[0])
    spool.release(ends[1])
    spool.close()
    fs.corrupt(DIRECTORY / "checkpoint", slot + 12, b"XX")
    assert harmful(fs) == [("checkpoint", slot)]
    spool, found = opened(fs)
    assert not found.checkpoint_lost
    assert spool.checkpoint in (ends[0], ends[1])


@pytest.mark.parametrize("data", [b"junk" * 2048, b"short"], ids=["junk", "short"])
def test_a_lost_checkpoint_is_set_aside_and_everything_is_delivered_again(data: bytes) -> None:
    fs = FakeFs()
    made(fs)
    cut(fs, DIRECTORY / "checkpoint", 0)
    fs.corrupt(DIRECTORY / "checkpoint", 0, data)
    spool, found = opened(fs)
    assert found.checkpoint_lost
    assert bad_files(fs) == {"checkpoint.1.bad": data}
    assert payloads(spool) == SENT
    spool.release(spool.read(spool.checkpoint, 1)[0][0].end)
    spool.close()
    assert payloads(opened(fs)[0]) == SENT[1:]


def test_a_directory_in_the_checkpoints_place_is_moved_aside() -> None:
    fs = FakeFs()
    made(fs)
    fs.unlink(DIRECTORY / "checkpoint")
    fs.make_directory(DIRECTORY / "checkpoint")
    assert harmful(fs) == [("checkpoint", 0)]
    spool, found = opened(fs)
    assert found.checkpoint_lost
    assert DIRECTORY / "checkpoint.1.bad" in fs.directories
    assert payloads(spool) == SENT


# Looking from outside


def test_ls_has_a_row_for_each_segment() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    spool, _found = opened(fs)
    spool.release(spool.read(spool.checkpoint, 1 << 20)[0][2].end)
    rows = ls(DIRECTORY, fs)
    assert path not in fs.names
    assert [(row.file, row.frames, row.bytes) for row in rows] == [
        (segment_path(DIRECTORY, NOW + 1).name, 2, FIRST + 2 * SIZE),
        (segment_path(DIRECTORY, NOW + 2).name, 2, FIRST + 2 * SIZE),
    ]
    assert [(row.first_ms, row.last_ms) for row in rows] == [(NOW, NOW)] * 2
    assert rows[0].released == (FIRST + SIZE) / (FIRST + 2 * SIZE)
    assert rows[1].released == 0


def test_ls_counts_the_frames_behind_damage() -> None:
    fs = FakeFs()
    fs.corrupt(made(fs), frame_at(2), b"XXXX")
    assert [row.frames for row in ls(DIRECTORY, fs)] == [5]


def test_looking_from_outside_changes_nothing_and_needs_no_lock() -> None:
    fs = FakeFs()
    path = made(fs)
    fs.corrupt(path, frame_at(2) + 50, b"X")
    spool, _found = opened(fs)
    fs.calls.clear()
    verify(DIRECTORY, fs)
    ls(DIRECTORY, fs)
    assert [entry.payload for entry in entries(DIRECTORY, fs)] == [*SENT[:2], *SENT[3:]]
    assert {call.split()[0] for call in fs.calls} == {"entries", "open_read", "pread"}
    spool.release(spool.read(spool.checkpoint, 1)[0][0].end)
    assert next(entries(DIRECTORY, fs)).payload == SENT[1]
