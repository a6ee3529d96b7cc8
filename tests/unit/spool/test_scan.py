"""Reading a segment: nothing behind the end it is given, and what the disk cannot read costs its page."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestd.spool import scan as scanning
from ingestd.spool.format import FRAME_HEADER_SIZE, SEGMENT_HEADER_SIZE
from ingestd.spool.scan import Frame, Gap, scan, skim
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


def test_a_payload_is_read_up_to_the_size_that_is_taken_and_no_larger_one(
    segment: tuple[FakeFs, Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    fs, _path, fd = segment
    places = starts()
    monkeypatch.setattr(scanning, "MAX_PAYLOAD", 5000)
    assert not [one for one in scan(fs, fd, NOW, 0, places[-1]) if isinstance(one, Gap)]
    monkeypatch.setattr(scanning, "MAX_PAYLOAD", 4999)
    first, *_ = scan(fs, fd, NOW, 0, places[-1])
    assert isinstance(first, Gap)
    assert "length" in first.what


@pytest.mark.parametrize(("more", "what"), [(-1, "checksum"), (0, "checksum"), (1, "length"), (70, "length")])
def test_a_damaged_length_is_told_from_a_damaged_payload_by_where_the_end_is(
    more: int, what: str, segment: tuple[FakeFs, Path, int]
) -> None:
    fs, path, fd = segment
    places = starts()
    fs.corrupt(path, places[5] + 8, (len(SENT[5]) + more).to_bytes(4, "little"))
    fs.corrupt(path, places[5] + FRAME_HEADER_SIZE, b"X")
    *_, last = scan(fs, fd, NOW, places[5], places[-1])
    assert isinstance(last, Gap)
    assert (last.offset, last.end) == (places[5], places[-1])
    assert what in last.what
