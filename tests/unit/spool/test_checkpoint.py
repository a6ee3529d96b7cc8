"""The checkpoint's file: on the disk before it is needed, and let go where it turns out to be none."""

from __future__ import annotations

import pytest

from ingestd.spool.checkpoint import inspect_checkpoint
from tests.support.fakefs import FakeFs
from tests.support.spool import DIRECTORY, cut, made, opened, recovered

CHECKPOINT = DIRECTORY / "checkpoint"


def test_a_checkpoint_s_room_is_on_the_disk_when_the_spool_is_open() -> None:
    """A full disk must not stand in the way of the release that makes room on it."""
    fs = FakeFs()
    opened(fs)
    node = fs.names[CHECKPOINT]
    assert node.disk == node.data
    assert len(node.disk) == 8192


@pytest.mark.parametrize("left", [b"junk" * 2048, b""], ids=["junk", "empty"])
def test_a_checkpoint_that_is_none_is_not_kept_open(left: bytes) -> None:
    fs = FakeFs()
    made(fs)
    cut(fs, CHECKPOINT, 0)
    fs.corrupt(CHECKPOINT, 0, left)
    recovered(fs)[0].close()
    assert fs.open_files() == set()


def test_looking_at_a_checkpoint_leaves_it_closed() -> None:
    fs = FakeFs()
    spool = opened(fs)
    end = spool.append([b"payload"])
    spool.release(end)
    spool.close()
    assert inspect_checkpoint(fs, CHECKPOINT) == (end, [])
    assert fs.open_files() == set()
