"""Torn tails and damage in the middle: the rest is delivered, nothing unreadable is thrown away."""

from __future__ import annotations

import errno
import itertools

import pytest

from ingestd.spool.directory import segment_path
from ingestd.spool.format import FRAME_HEADER_SIZE, FRAME_MARKER, encode_frame_header
from ingestd.spool.inspect import entries, verify
from ingestd.spool.scan import BLOCK
from ingestd.spool.spool import SpoolError
from tests.support.fakefs import FakeFs
from tests.support.spool import (
    DIRECTORY,
    FIRST,
    NOW,
    SENT,
    SIZE,
    bad_files,
    cut,
    extend,
    fail,
    frame_at,
    harmful,
    harmless,
    heal,
    made,
    opened,
    payloads,
    recovered,
)


def test_a_torn_tail_is_cut_and_its_bytes_are_kept() -> None:
    fs = FakeFs()
    path = made(fs)
    cut(fs, path, frame_at(5) + 50)
    assert harmful(fs) == []
    assert [(found.file, found.offset, found.size) for found in harmless(fs)] == [
        (path.name, frame_at(5), 50)
    ]
    torn = bytes(fs.names[path].data[frame_at(5) :])
    spool, found = recovered(fs)
    assert (found.torn_bytes, found.damaged_frames) == (50, 0)
    assert payloads(spool) == SENT[:5]
    assert spool.damaged == 0
    assert bad_files(fs) == {f"{NOW:016d}.{frame_at(5)}.bad": torn}
    assert len(fs.names[path].data) == spool.bytes_used == frame_at(5)
    spool.append([b"next"])
    assert payloads(spool) == [*SENT[:5], b"next"]


@pytest.mark.parametrize("zeros", [1, 36, 5000])
def test_a_tail_of_zeros_is_torn(zeros: int) -> None:
    fs = FakeFs()
    path = made(fs)
    extend(fs, path, bytes(zeros))
    spool, found = recovered(fs)
    assert found.torn_bytes == zeros
    assert payloads(spool) == SENT


def test_a_last_segment_without_a_whole_header_is_set_aside() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    last = segment_path(DIRECTORY, NOW + 2)
    cut(fs, last, 20)
    spool, found = recovered(fs)
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
    spool, found = recovered(fs)
    assert (found.torn_bytes, found.damaged_frames, bad_files(fs)) == (0, 0, {})
    assert payloads(spool) == SENT[:4]


def test_a_torn_tail_that_cannot_be_copied_is_kept_by_a_second_name_of_the_segment() -> None:
    fs = FakeFs()
    path = made(fs)
    cut(fs, path, frame_at(5) + 50)
    whole = bytes(fs.names[path].data)
    fs.space = 0
    spool, found = recovered(fs)
    assert found.torn_bytes == 50
    assert bad_files(fs)[f"{path.name}.bad"] == whole
    assert payloads(spool) == SENT[:5]
    fs.space = None
    spool.append([b"next"])
    spool.close()
    spool = opened(fs)
    assert payloads(spool) == [*SENT[:5], b"next"], "the next segment says where this one ended"
    assert spool.damaged == 0


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

    spool, found = recovered(fs)
    assert (found.torn_bytes, found.damaged_frames) == (0, 1)
    assert payloads(spool) == [*SENT[:2], *SENT[3:]]
    assert bad_files(fs) == {f"{NOW:016d}.{frame_at(2)}.bad": damaged}


def test_damage_is_counted_once_however_often_it_is_read() -> None:
    fs = FakeFs()
    fs.corrupt(made(fs), frame_at(2) + 50, b"X")
    spool = opened(fs)
    for _ in range(3):
        payloads(spool)
    assert spool.damaged == 1


def test_damage_in_each_of_two_neighbours_is_counted_twice() -> None:
    fs = FakeFs()
    path = made(fs)
    fs.corrupt(path, frame_at(2) + 50, b"X")
    fs.corrupt(path, frame_at(3) + 50, b"X")
    assert harmful(fs) == [(path.name, frame_at(2)), (path.name, frame_at(3))]
    spool = opened(fs)
    assert payloads(spool) == [*SENT[:2], *SENT[4:]]
    assert spool.damaged == 2


def test_damage_at_the_end_of_a_finished_segment_is_damage_not_a_torn_tail() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    fs.corrupt(path, frame_at(1) + 50, b"X")
    assert harmful(fs) == [(path.name, frame_at(1))]
    spool, found = recovered(fs)
    assert found.torn_bytes == 0
    assert payloads(spool) == [SENT[0], *SENT[2:]]
    assert spool.damaged == 1
    assert list(bad_files(fs)) == [f"{NOW:016d}.{frame_at(1)}.bad"]


def test_damage_before_the_checkpoint_is_not_read_again() -> None:
    fs = FakeFs()
    fs.corrupt(made(fs), frame_at(1) + 50, b"X")
    spool = opened(fs)
    read, _position = spool.read(spool.checkpoint, 1 << 20)
    spool.release(read[2].end)
    spool.close()
    spool = opened(fs)
    assert payloads(spool) == SENT[4:]
    assert spool.damaged == 0


def test_a_spool_that_ends_in_damage_can_be_read_and_released_to_its_end() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    spool = opened(fs)
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
    spool = opened(fs)
    inner = b"not a frame"
    fake = encode_frame_header(inner, NOW, NOW, 12345) + inner
    spool.append([b"first" + fake + FRAME_MARKER * 50])
    spool.append([b"second"])
    spool.close()
    fs.corrupt(segment_path(DIRECTORY, NOW), FIRST + FRAME_HEADER_SIZE, b"X")
    spool = opened(fs)
    assert payloads(spool) == [b"second"]
    assert spool.damaged == 1


def test_damage_larger_than_a_read_block_is_passed_over() -> None:
    fs = FakeFs()
    spool = opened(fs)
    spool.append([b"first", b"x" * (3 << 20), b"last"])
    spool.close()
    path = segment_path(DIRECTORY, NOW)
    fs.corrupt(path, FIRST + FRAME_HEADER_SIZE + 5 + 2, b"\x00" * (2 << 20))
    spool = opened(fs)
    assert [entry.payload for entry in spool.read(spool.checkpoint, 100)[0]] == [b"first", b"last"]
    assert len(next(iter(bad_files(fs).values()))) == FRAME_HEADER_SIZE + (3 << 20)


def test_a_record_of_zero_length_is_read_like_any_other() -> None:
    fs = FakeFs()
    spool = opened(fs)
    spool.append([b"", b"a", b""])
    spool.append([b""])
    assert payloads(spool) == [b"", b"a", b"", b""]
    assert len(spool.read(spool.checkpoint, 1)[0]) >= 1


def test_a_sector_the_disk_cannot_read_costs_its_frame_only_and_the_file_is_kept() -> None:
    fs = FakeFs()
    path = made(fs)
    whole = bytes(fs.names[path].data)
    fs.names[path].unreadable = {1}  # bytes 512 to 1023: the 4 KiB page around it reads as zeros
    spool = opened(fs)
    spool.append([b"next"])
    assert payloads(spool) == [b"next"]
    spool.release(spool.end)
    assert path not in fs.names
    assert bad_files(fs)[f"{path.name}.bad"] == whole


@pytest.mark.parametrize("seed", range(20))
def test_what_is_set_aside_survives_a_crash_though_its_segment_is_deleted(seed: int) -> None:
    fs = FakeFs(seed)
    path = made(fs)
    fs.corrupt(path, frame_at(2) + 50, b"X")
    damaged = bytes(fs.names[path].data[frame_at(2) : frame_at(3)])
    spool = opened(fs)
    spool.release(spool.read(spool.checkpoint, 1 << 20)[1])
    assert path not in fs.names
    fs.crash()
    assert bad_files(fs) == {f"{NOW:016d}.{frame_at(2)}.bad": damaged}


@pytest.mark.parametrize("shift", range(-4, 2))
def test_a_frame_whose_marker_lies_across_two_read_blocks_is_found_again(shift: int) -> None:
    fs = FakeFs()
    spool = opened(fs, segment_bytes=1 << 22)
    # The search begins one byte behind the damage.
    spool.append([bytes(BLOCK + 1 - FRAME_HEADER_SIZE + shift), b"next"])
    spool.close()
    fs.corrupt(segment_path(DIRECTORY, NOW), FIRST, b"X")
    assert payloads(opened(fs)) == [b"next"]


def test_a_segment_cut_short_under_a_running_spool_does_not_hold_it_up() -> None:
    fs = FakeFs()
    path = made(fs)
    spool = opened(fs)
    spool.append([bytes(3 << 20)])
    spool.append([b"next"])
    cut(fs, segment_path(DIRECTORY, NOW + 1), FIRST)
    cut(fs, path, frame_at(1))
    fs.calls.clear()
    assert payloads(spool) == [SENT[0], b"next"]
    assert len(fs.calls) < 100


def test_a_sector_under_the_segment_header_that_cannot_be_read_does_not_stop_the_start() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    fs.names[path].unreadable = {0}
    spool, found = recovered(fs)
    assert found.damaged_frames == 1
    assert payloads(spool) == SENT[2:]
    assert f"{path.name}.bad" in bad_files(fs)


@pytest.mark.parametrize("name", ["checkpoint", ".spool"])
def test_a_read_that_fails_for_another_reason_than_the_disk_is_an_error_and_no_damage(name: str) -> None:
    """Memory or descriptors may be short for a moment: nothing is set aside for it, and nothing skipped."""
    fs = FakeFs()
    made(fs, segment_bytes=300)
    fail(fs, "pread", name=name, number=errno.ENOMEM)
    with pytest.raises(SpoolError, match="Cannot allocate memory"):
        opened(fs)
    heal(fs)
    assert bad_files(fs) == {}
    spool = opened(fs)
    fail(fs, "pread", name=".spool", number=errno.ENOMEM)
    with pytest.raises(SpoolError, match="Cannot allocate memory"):
        payloads(spool)
    heal(fs)
    assert payloads(spool) == SENT
    assert (spool.damaged, bad_files(fs)) == (0, {})


def test_a_disk_that_goes_while_a_page_is_read_is_no_page_of_zeros() -> None:
    """EIO of a sector is damage; that nothing can be read any more is an error."""
    fs = FakeFs()
    path = made(fs)
    spool = opened(fs)
    fs.names[path].unreadable = {1}
    reads = itertools.count()

    def gone(call: str, name: str) -> None:
        if call == "pread" and next(reads) == 1:
            raise OSError(errno.ENODEV, "No such device")

    fs.before_call = gone
    with pytest.raises(SpoolError) as caught:
        spool.read(spool.checkpoint, 1 << 20)
    assert caught.value.errno == errno.ENODEV
    heal(fs)
    fs.names[path].unreadable = set()
    assert (payloads(spool), spool.damaged) == (SENT, 0)


def test_damage_is_told_once_with_its_file_its_place_and_its_size(caplog: pytest.LogCaptureFixture) -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    gone = segment_path(DIRECTORY, NOW + 1)
    spool = opened(fs)
    fs.corrupt(path, frame_at(1) + 50, b"X")
    del fs.names[gone]
    caplog.clear()
    for _ in range(2):
        assert payloads(spool) == [SENT[0], *SENT[4:]]
    told = [vars(record) for record in caplog.records]
    assert [(one["file"], one["offset"], one["bytes"]) for one in told] == [
        (path.name, frame_at(1), SIZE), (gone.name, 0, 0),
    ]  # fmt: skip
    assert told[1]["what"] == "the file is gone"
