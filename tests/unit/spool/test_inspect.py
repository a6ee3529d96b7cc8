"""Looking at a spool from outside: verify, ls and the iteration of its payloads."""

from __future__ import annotations

import errno

import pytest

from ingestd.spool.directory import segment_path
from ingestd.spool.inspect import SpoolFinding, entries, ls, verify
from ingestd.spool.spool import SpoolError
from tests.support.fakefs import FakeFs
from tests.support.spool import (
    DIRECTORY,
    FIRST,
    NOW,
    SENT,
    SIZE,
    cut,
    extend,
    fail,
    frame_at,
    heal,
    made,
    opened,
    payloads,
    recovered,
)


def test_a_sound_spool_is_found_sound() -> None:
    fs = FakeFs()
    made(fs, segment_bytes=300)
    report = verify(DIRECTORY, fs)
    assert (report.findings, report.sound) == ([], True)
    assert (report.frames, report.segments, report.bytes) == (6, 3, 3 * FIRST + 6 * SIZE)
    spool, found = recovered(fs)
    assert (found.frames, found.segments, found.bytes) == (6, 3, report.bytes)
    assert (found.torn_bytes, found.damaged_frames, found.junk) == (0, 0, [])
    assert payloads(spool) == SENT


def test_ls_has_a_row_for_each_segment() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    spool = opened(fs)
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
    spool = opened(fs)
    fs.calls.clear()
    verify(DIRECTORY, fs)
    ls(DIRECTORY, fs)
    assert [entry.payload for entry in entries(DIRECTORY, fs)] == [*SENT[:2], *SENT[3:]]
    assert {call.split()[0] for call in fs.calls} == {"entries", "open_read", "pread"}
    spool.release(spool.read(spool.checkpoint, 1)[0][0].end)
    assert next(entries(DIRECTORY, fs)).payload == SENT[1]


def test_a_segment_that_was_left_behind_the_checkpoint_is_released_and_not_read_again() -> None:
    """The process ended between its checkpoint and the unlink."""
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    spool = opened(fs)

    def no_unlink(call: str, name: str) -> None:
        if call == "unlink":
            raise OSError(errno.EIO, "Input/output error")

    fs.before_call = no_unlink
    with pytest.raises(SpoolError):
        spool.release(spool.read(spool.checkpoint, 1 << 20)[0][2].end)
    fs.before_call = lambda call, name: None
    assert path in fs.names
    assert [entry.payload for entry in entries(DIRECTORY, fs)] == SENT[3:]
    assert [row.released for row in ls(DIRECTORY, fs)] == [1.0, (FIRST + SIZE) / (FIRST + 2 * SIZE), 0.0]


def test_a_spool_without_a_checkpoint_is_looked_at_from_its_start() -> None:
    fs = FakeFs()
    made(fs)
    fs.unlink(DIRECTORY / "checkpoint")
    assert verify(DIRECTORY, fs).findings == []
    assert [row.released for row in ls(DIRECTORY, fs)] == [0.0]
    assert [entry.payload for entry in entries(DIRECTORY, fs)] == SENT


def test_a_directory_in_the_checkpoint_s_place_is_found_and_everything_is_still_to_deliver() -> None:
    fs = FakeFs()
    made(fs)
    fs.unlink(DIRECTORY / "checkpoint")
    fs.make_directory(DIRECTORY / "checkpoint")
    report = verify(DIRECTORY, fs)
    assert (report.findings, report.sound) == ([SpoolFinding("checkpoint", 0, 0, "not a file")], False)
    assert [entry.payload for entry in entries(DIRECTORY, fs)] == SENT


def test_what_is_none_of_the_spool_s_and_what_was_set_aside_is_named_and_harmless() -> None:
    fs = FakeFs()
    made(fs)
    for name in ("notes.txt", f"{NOW:016d}.600.bad"):
        fs.close(fs.create(DIRECTORY / name))
    report = verify(DIRECTORY, fs)
    assert report.sound
    assert [(found.file, found.offset, found.size) for found in report.findings] == [
        ("notes.txt", 0, 0), (f"{NOW:016d}.600.bad", 0, 0),
    ]  # fmt: skip


def test_what_a_failed_append_left_is_harmless_and_has_its_size() -> None:
    """It could not be cut off, and the segment after it says that it was confirmed to nobody."""
    fs = FakeFs()
    spool = opened(fs)
    spool.append([SENT[0]])
    fail(fs, "fdatasync", "truncate")
    with pytest.raises(SpoolError):
        spool.append([b"refused"])
    heal(fs)
    spool.append([SENT[1]])
    left = len(fs.names[segment_path(DIRECTORY, NOW)].data) - frame_at(1)
    report = verify(DIRECTORY, fs)
    assert (report.sound, report.frames) == (True, 2)
    assert [(found.file, found.offset, found.size) for found in report.findings] == [
        (segment_path(DIRECTORY, NOW).name, frame_at(1), left)
    ]


@pytest.mark.parametrize("lost", [1, SIZE])
def test_a_segment_s_lost_end_is_found_from_its_first_byte_on(lost: int) -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    cut(fs, path, frame_at(2) - lost)
    findings = verify(DIRECTORY, fs).findings
    assert (findings[-1].offset, findings[-1].size) == (frame_at(2) - lost, lost)


def test_damage_at_the_end_of_a_finished_segment_has_its_size() -> None:
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    fs.corrupt(path, frame_at(1) + 50, b"X")
    [found] = verify(DIRECTORY, fs).findings
    assert (found.file, found.offset, found.size) == (path.name, frame_at(1), SIZE)


def test_a_segment_shorter_than_its_checkpoint_is_released_whole_and_not_more() -> None:
    fs = FakeFs()
    path = made(fs)
    spool = opened(fs)
    spool.release(spool.read(spool.checkpoint, 1 << 20)[0][4].end)
    spool.close()
    cut(fs, path, frame_at(2))
    assert [row.released for row in ls(DIRECTORY, fs)] == [1.0]


def test_an_empty_segment_at_the_checkpoint_has_released_nothing() -> None:
    fs = FakeFs()
    path = made(fs)
    spool = opened(fs)
    spool.release(spool.read(spool.checkpoint, 1)[1])
    spool.close()
    cut(fs, path, 0)
    assert [(row.frames, row.released) for row in ls(DIRECTORY, fs)] == [(0, 0.0)]


def test_looking_leaves_no_file_open() -> None:
    fs = FakeFs()
    extend(fs, made(fs, segment_bytes=300), b"X")
    verify(DIRECTORY, fs)
    ls(DIRECTORY, fs)
    assert len(list(entries(DIRECTORY, fs))) == len(SENT)
    assert fs.open_files() == set()
