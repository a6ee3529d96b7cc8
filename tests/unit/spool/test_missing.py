"""Headers, segments and checkpoints that are damaged, missing, foreign, too old or too new."""

from __future__ import annotations

import errno

import pytest

from ingestd.spool.directory import segment_path
from ingestd.spool.format import SEGMENT_HEADER_SIZE, SegmentHeader, encode_segment_header
from ingestd.spool.spool import Position, SpoolError
from tests.support.fakefs import FakeFs, Node
from tests.support.spool import (
    DIRECTORY,
    NOW,
    SENT,
    SIZE,
    bad_files,
    cut,
    extend,
    frame_at,
    harmful,
    harmless,
    made,
    opened,
    payloads,
    recovered,
)


def test_a_damaged_segment_header_costs_no_frame() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    fs.corrupt(path, 20, b"XXXX")
    header = bytes(fs.names[path].data[:SEGMENT_HEADER_SIZE])
    assert harmful(fs) == [(path.name, 0)]
    spool, found = recovered(fs)
    assert found.damaged_frames == 1
    assert payloads(spool) == SENT
    assert spool.damaged == 1
    assert bad_files(fs) == {f"{NOW:016d}.0.bad": header}


def test_a_damaged_header_of_the_newest_segment_is_counted_and_costs_no_frame() -> None:
    fs = FakeFs()
    fs.corrupt(made(fs), 20, b"XXXX")
    spool, found = recovered(fs)
    assert found.damaged_frames == 1
    assert payloads(spool) == SENT


def test_a_whole_spool_is_taken_up_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    fs = FakeFs()
    made(fs, segment_bytes=300)
    _, found = recovered(fs)
    assert (found.frames, found.missing_bytes, found.torn_bytes) == (len(SENT), 0, 0)
    assert caplog.records == []


def test_what_was_taken_up_has_its_names_on_the_disk() -> None:
    """A process that was killed may have left a segment whose name is only in the cache."""
    fs = FakeFs()
    made(fs)
    fs.calls.clear()
    recovered(fs)
    done = [call.split()[0] for call in fs.calls]
    assert "sync_directory" in done[done.index("fdatasync") :]


def test_a_damaged_header_in_the_middle_leaves_the_segment_before_it_whole() -> None:
    fs = FakeFs()
    made(fs, segment_bytes=300)
    middle = segment_path(DIRECTORY, NOW + 1)
    fs.corrupt(middle, 0, bytes(SEGMENT_HEADER_SIZE))
    assert harmful(fs) == [(middle.name, 0)]
    spool = opened(fs)
    assert payloads(spool) == SENT


def test_a_finished_segment_that_lost_its_end_is_noticed() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    cut(fs, path, frame_at(1))
    assert harmful(fs) == [(path.name, frame_at(1))]
    spool, found = recovered(fs)
    assert found.missing_bytes == SIZE
    assert payloads(spool) == [SENT[0], *SENT[2:]]


def test_a_missing_segment_is_noticed_and_the_others_are_delivered() -> None:
    fs = FakeFs()
    made(fs, segment_bytes=300)
    fs.unlink(segment_path(DIRECTORY, NOW + 1))
    assert harmful(fs) == [(segment_path(DIRECTORY, NOW + 1).name, 0)]
    spool, found = recovered(fs)
    assert found.missing_segments == [NOW + 1]
    assert payloads(spool) == SENT[:2] + SENT[4:]


def test_a_segment_removed_from_under_a_running_spool_is_counted_and_passed_over() -> None:
    fs = FakeFs()
    made(fs, segment_bytes=300)
    spool = opened(fs)
    fs.unlink(segment_path(DIRECTORY, NOW + 1))
    for _ in range(2):
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
            recovered(fs)
    assert fs.names[path].data == before


def test_junk_and_directories_where_files_belong_are_reported_and_left_alone() -> None:
    fs = FakeFs()
    made(fs)
    for name in ("notes.txt", "12.spool", "x.spool"):
        fs.names[DIRECTORY / name] = Node(bytearray(b"mine"))
    fs.make_directory(segment_path(DIRECTORY, NOW + 1))
    fs.make_directory(segment_path(DIRECTORY, 5))
    spool, found = recovered(fs)
    directories = [segment_path(DIRECTORY, 5).name, segment_path(DIRECTORY, NOW + 1).name]
    assert sorted(found.junk) == sorted(["notes.txt", "12.spool", "x.spool", *directories])
    assert sorted(found.file for found in harmless(fs)) == sorted(found.junk)
    assert harmful(fs) == []
    assert payloads(spool) == SENT
    assert spool.append([b"next"]).segment == NOW + 2, "the directory's number is not taken"
    assert fs.names[DIRECTORY / "notes.txt"].data == b"mine"


def test_a_checkpoint_older_than_the_segments_starts_at_the_first_one_there() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    spool = opened(fs)
    older = bytes(fs.names[DIRECTORY / "checkpoint"].data)
    spool.release(spool.read(spool.checkpoint, 1 << 20)[0][2].end)
    spool.close()
    assert path not in fs.names, "unlinked, and then the crash came before the checkpoint was on disk"
    fs.corrupt(DIRECTORY / "checkpoint", 0, older)
    for _ in range(2):
        spool, found = recovered(fs)
        assert found.missing_segments == [NOW]
        assert payloads(spool) == SENT[2:]
        spool.close()


def test_a_crash_between_the_checkpoint_and_the_unlink_ends_in_the_unlink() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    spool = opened(fs)
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
    spool, found = recovered(fs)
    assert (found.released_segments, path in fs.names) == (1, False)
    assert payloads(spool) == SENT[3:]


def test_a_checkpoint_newer_than_the_segments_loses_nothing_appended_later() -> None:
    fs = FakeFs()
    path = made(fs)
    spool = opened(fs)
    spool.release(spool.end)
    spool.close()
    assert path not in fs.names
    spool, found = recovered(fs)
    assert spool.append([b"new"]) > found.checkpoint
    spool.close()
    spool = opened(fs)
    assert payloads(spool) == [b"new"]


def test_a_checkpoint_newer_than_a_shortened_segment_still_keeps_what_is_appended_later() -> None:
    fs = FakeFs()
    path = made(fs)
    spool = opened(fs)
    spool.release(spool.read(spool.checkpoint, 1 << 20)[0][4].end)
    spool.close()
    cut(fs, path, frame_at(2))
    spool, found = recovered(fs)
    assert payloads(spool) == []
    assert spool.end == found.checkpoint == Position(NOW, frame_at(5))
    assert spool.append([b"new"]) > found.checkpoint
    spool.close()
    assert payloads(opened(fs)) == [b"new"]


@pytest.mark.parametrize("slot", [0, 4096])
def test_one_damaged_checkpoint_slot_costs_at_most_one_release(slot: int) -> None:
    fs = FakeFs()
    made(fs)
    spool = opened(fs)
    ends = [entry.end for entry in spool.read(spool.checkpoint, 1 << 20)[0]]
    spool.release(ends[0])
    spool.release(ends[1])
    spool.close()
    fs.corrupt(DIRECTORY / "checkpoint", slot + 12, b"XX")
    assert harmful(fs) == [("checkpoint", slot)]
    spool, found = recovered(fs)
    assert not found.checkpoint_lost
    assert spool.checkpoint in (ends[0], ends[1])


@pytest.mark.parametrize("data", [b"junk" * 2048, b"short"], ids=["junk", "short"])
def test_a_lost_checkpoint_is_set_aside_and_everything_is_delivered_again(data: bytes) -> None:
    fs = FakeFs()
    made(fs)
    cut(fs, DIRECTORY / "checkpoint", 0)
    fs.corrupt(DIRECTORY / "checkpoint", 0, data)
    spool, found = recovered(fs)
    assert found.checkpoint_lost
    assert bad_files(fs) == {"checkpoint.1.bad": data}
    assert payloads(spool) == SENT
    spool.release(spool.read(spool.checkpoint, 1)[0][0].end)
    spool.close()
    assert payloads(opened(fs)) == SENT[1:]


@pytest.mark.parametrize("unreadable", [{0}, {8}, {0, 8}])
def test_a_checkpoint_sector_the_disk_cannot_read_costs_at_most_a_repeat(unreadable: set[int]) -> None:
    fs = FakeFs()
    made(fs)
    spool = opened(fs)
    spool.release(spool.read(spool.checkpoint, 1)[1])
    spool.close()
    fs.names[DIRECTORY / "checkpoint"].unreadable = unreadable
    assert harmful(fs) == [("checkpoint", sector * 512) for sector in sorted(unreadable)]
    spool, found = recovered(fs)
    assert found.checkpoint_lost == (len(unreadable) == 2)
    assert payloads(spool) in (SENT, SENT[1:])


def test_a_directory_in_the_checkpoints_place_is_moved_aside() -> None:
    fs = FakeFs()
    made(fs)
    fs.unlink(DIRECTORY / "checkpoint")
    fs.make_directory(DIRECTORY / "checkpoint")
    assert harmful(fs) == [("checkpoint", 0)]
    spool, found = recovered(fs)
    assert found.checkpoint_lost
    assert DIRECTORY / "checkpoint.1.bad" in fs.directories
    assert payloads(spool) == SENT


@pytest.mark.parametrize("left", [b"", bytes(8192)], ids=["empty", "zeros"])
def test_a_checkpoint_that_a_crash_left_unbegun_is_no_damage(left: bytes) -> None:
    fs = FakeFs()
    made(fs)
    cut(fs, DIRECTORY / "checkpoint", 0)
    extend(fs, DIRECTORY / "checkpoint", left)
    spool, found = recovered(fs)
    assert (found.checkpoint_lost, bad_files(fs)) == (False, {})
    assert payloads(spool) == SENT


def test_each_checkpoint_that_is_none_is_set_aside_under_a_name_of_its_own() -> None:
    fs = FakeFs()
    made(fs)
    for number in range(1, 4):
        fs.names[DIRECTORY / "checkpoint"].data[:] = b"%d" % number * 5000
        recovered(fs)[0].close()
    expected = {f"checkpoint.{number}.bad": b"%d" % number * 5000 for number in range(1, 4)}
    assert bad_files(fs) == expected


def test_a_probe_that_a_crash_has_left_is_no_junk() -> None:
    fs = FakeFs()
    made(fs)
    fs.names[DIRECTORY / "probe"] = Node(bytearray(100), bytearray(100))
    assert recovered(fs)[1].junk == []
    fs.kill()
    del fs.names[DIRECTORY / "probe"]
    fs.directories.add(DIRECTORY / "probe")
    assert recovered(fs)[1].junk == ["probe"], "that is none of ours"


def test_the_oldest_payload_s_time_is_what_was_known_where_its_file_has_gone() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    spool = opened(fs)
    del fs.names[segment_path(DIRECTORY, NOW + 1)]
    backlog = spool.backlog_bytes
    spool.release(Position(NOW, len(fs.names[path].data)))
    assert path not in fs.names
    assert (spool.oldest_ms, spool.backlog_bytes) == (NOW, backlog * 2 // 3)
