"""Opening a spool: what is released is deleted, what is torn is cut, and no file is left open."""

from __future__ import annotations

import errno
import itertools
import os

import pytest

from ingestd.spool.directory import segment_path
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
    fail,
    frame_at,
    heal,
    made,
    opened,
    payloads,
    recovered,
    segments,
)


def test_a_segment_that_ends_at_the_checkpoint_is_deleted_and_the_later_ones_are_taken_up() -> None:
    """The process ended between its checkpoint and the unlink."""
    fs = FakeFs()
    path = made(fs, segment_bytes=300)
    spool = opened(fs)
    fail(fs, "unlink")
    with pytest.raises(SpoolError):
        spool.release(spool.read(spool.checkpoint, 1 << 20)[0][1].end)
    heal(fs)
    spool.close()
    spool, found = recovered(fs)
    assert (found.released_segments, found.segments, found.missing_segments) == (1, 2, [])
    assert path not in fs.names
    assert payloads(spool) == SENT[2:]


def test_a_segment_that_holds_nothing_is_deleted_and_is_none_that_was_released() -> None:
    fs = FakeFs()
    made(fs)
    cut(fs, segment_path(DIRECTORY, NOW), 0)
    _spool, found = recovered(fs)
    assert (found.released_segments, found.segments, found.damaged_frames) == (0, 0, 0)
    assert segments(fs) == []


def test_a_segment_that_was_only_begun_has_no_torn_tail() -> None:
    fs = FakeFs()
    made(fs, segment_bytes=300)
    cut(fs, segment_path(DIRECTORY, NOW + 2), FIRST)
    spool, found = recovered(fs)
    assert (found.torn_bytes, found.damaged_frames, bad_files(fs)) == (0, 0, {})
    assert len(segments(fs)) == 2
    assert payloads(spool) == SENT[:4]


@pytest.mark.parametrize("size", [FIRST, FIRST + SIZE + 1], ids=["nothing whole", "a torn tail"])
def test_opening_leaves_no_file_open(size: int) -> None:
    fs = FakeFs()
    made(fs, segment_bytes=300)
    cut(fs, segment_path(DIRECTORY, NOW + 2), size)
    recovered(fs)[0].close()
    assert fs.open_files() == set()


def test_a_header_that_cannot_be_read_for_a_moment_is_an_error_and_no_damage() -> None:
    """As where memory is short; what is behind it can be read again by then."""
    fs = FakeFs()
    made(fs, segment_bytes=300)
    reads = itertools.count()

    def short(call: str, name: str) -> None:
        if call == "pread" and name.endswith(".spool") and next(reads) == 0:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    fs.before_call = short
    with pytest.raises(SpoolError, match="Cannot allocate memory"):
        opened(fs)
    assert recovered(fs)[1].damaged_frames == 0


def test_a_segment_that_is_missing_and_was_released_to_its_last_byte_is_not_missed() -> None:
    fs = FakeFs()
    made(fs, segment_bytes=300)
    spool = opened(fs)
    spool.release(spool.read(spool.checkpoint, 1 << 20)[0][1].end)
    spool.close()
    assert recovered(fs)[1].missing_segments == []


@pytest.mark.parametrize("seed", range(20))
def test_what_is_kept_by_a_second_name_survives_a_crash_though_its_segment_is_deleted(seed: int) -> None:
    """On a full disk nothing can be copied."""
    fs = FakeFs(seed)
    path = made(fs)
    fs.corrupt(path, frame_at(2) + 50, b"X")
    whole = bytes(fs.names[path].data)
    spool = opened(fs)
    fs.space = 0
    spool.release(spool.read(spool.checkpoint, 1 << 20)[1])
    assert path not in fs.names
    fs.crash()
    assert bad_files(fs)[f"{path.name}.bad"] == whole
