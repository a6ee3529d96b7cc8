"""Reading a segment: nothing behind the end it is given, and what the disk cannot read costs its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestd.sinks.spool_format import FRAME_HEADER_SIZE, SEGMENT_HEADER_SIZE
from ingestd.sinks.spool_scan import Frame, Gap, scan, skim
from tests.support.fakefs import FakeFs
from tests.support.spool import NOW, opened

SENT = [bytes([ord("a") + number]) * size for number, size in enumerate((5000, 5000, 5000, 5000, 100, 5000))]


def starts() -> list[int]:
    """Where each frame begins, and the end of the last."""
    places = [SEGMENT_HEADER_SIZE]
    for payload in SENT:
        places.append(places[-1] + FRAME_HEADER_SIZE + len(payload))
    return places


@pytest.fixture
def segment() -> tuple[FakeFs, Path, int]:
    """A file system, a segment of one append in it, and a descriptor of that."""
    fs = FakeFs()
    spool = opened(fs)
    spool.append(SENT)
    spool.close()
    [path] = [path for path in fs.names if path.suffix == ".spool"]
    return fs, path, fs.open_read(path)


def test_where_the_disk_cannot_read_a_page_all_other_pages_are_read(
    segment: tuple[FakeFs, Path, int],
) -> None:
    fs, path, fd = segment
    fs.names[path].unreadable = {1}
    places = starts()
    gap, *frames = scan(fs, fd, NOW, 0, places[-1])
    assert isinstance(gap, Gap)
    assert (gap.offset, gap.end) == (places[0], places[1])
    assert [one.payload for one in frames if isinstance(one, Frame)] == SENT[1:]


@pytest.mark.parametrize("unreadable", [set(), {32}], ids=["read at once", "read by pages"])
def test_no_frame_is_looked_for_behind_the_end(
    unreadable: set[int], segment: tuple[FakeFs, Path, int]
) -> None:
    """There an append may be under way, or one that failed and could not be cut off."""
    fs, path, fd = segment
    fs.names[path].unreadable = unreadable
    places = starts()
    fs.corrupt(path, places[3], b"XXXX")
    fs.corrupt(path, places[4], b"XXXX")
    *_, last = scan(fs, fd, NOW, 0, places[4])
    assert isinstance(last, Gap)
    assert last.end == places[4]


def test_skimming_ends_at_the_end_and_at_the_first_damage(segment: tuple[FakeFs, Path, int]) -> None:
    fs, path, fd = segment
    places = starts()
    assert list(skim(fs, fd, NOW, 0, places[3])) == [(place, NOW) for place in places[1:4]]
    fs.corrupt(path, places[1], b"XXXX")
    assert list(skim(fs, fd, NOW, 0, places[3])) == [(places[1], NOW)]
