"""Looking at a spool from outside: verify, ls and the iteration of its payloads."""

from __future__ import annotations

import errno

import pytest

from ingestd.sinks.spool import SpoolError
from ingestd.sinks.spool_files import segment_path
from ingestd.sinks.spool_inspect import entries, ls, verify
from tests.support.fakefs import FakeFs
from tests.support.spool import DIRECTORY, FIRST, NOW, SENT, SIZE, frame_at, made, opened, payloads, recovered


def test_a_sound_spool_is_found_sound() -> None:
    fs = FakeFs()
    made(fs, segment_bytes=300)
    report = verify(DIRECTORY, fs)
    assert (report.findings, report.sound) == ([], True)
    assert (report.frames, report.segments) == (6, 3)
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
