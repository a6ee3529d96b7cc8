"""The files of a spool directory: their names, how they vouch for one another, the quarantine of bytes."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ingestd.errors import SinkError
from ingestd.spool.format import SEGMENT_HEADER_SIZE, VERSION, Position, SegmentHeader, decode_segment_header
from ingestd.spool.fs import FileInfo, Fs
from ingestd.spool.scan import BLOCK, Gap

CHECKPOINT_NAME = "checkpoint"
PROBE_NAME = "probe"  # of no value to anyone: left by a crash, the next probe overwrites it
_SEGMENT_NAME = re.compile(r"(\d{16})\.spool", re.ASCII)
_NUMBER = re.compile(r"(\d{16})\.", re.ASCII)


class SpoolError(SinkError):
    """The spool's files cannot be used now. `errno` is the system's reason, if it has one."""

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.errno = number


class SpoolFullError(SpoolError):
    """The spool's cap would be passed; nothing was written. Releasing what was delivered makes room."""


@dataclass(slots=True)
class Segment:
    """One segment file. Bytes from `end` up to `size` were never confirmed to anyone."""

    number: int
    path: Path
    end: int
    size: int
    frames: int
    header_damaged: bool = False

    @property
    def end_position(self) -> Position:
        return Position(self.number, self.end)


@dataclass(frozen=True, slots=True)
class Link:
    """A segment file as found, with what the segment after it says of its length."""

    number: int
    path: Path
    size: int
    header: SegmentHeader | None
    vouched_end: int | None
    vouched_frames: int

    @property
    def end(self) -> int:
        """The end of its confirmed bytes, as far as that is known without reading them."""
        return self.size if self.vouched_end is None else min(self.size, self.vouched_end)


@dataclass(frozen=True, slots=True)
class Listing:
    """The names in a spool directory. `highest`: the greatest segment number in any of them."""

    segments: tuple[tuple[int, Path, int], ...]
    checkpoint: FileInfo | None
    bad: tuple[str, ...]
    junk: tuple[str, ...]
    highest: int


def segment_path(directory: Path, number: int) -> Path:
    return directory / f"{number:016d}.spool"


def list_directory(fs: Fs, directory: Path) -> Listing:
    """Sort the names in `directory` into segments, quarantined bytes, and files of others. Raises OSError."""
    segments, checkpoint, bad, junk, highest = [], None, [], [], 0
    for info in sorted(fs.entries(directory)):
        if numbered := _NUMBER.match(info.name):
            highest = max(highest, int(numbered[1]))
        segment = _SEGMENT_NAME.fullmatch(info.name)
        if segment and info.regular:
            segments.append((int(segment[1]), directory / info.name, info.size))
        elif info.name == CHECKPOINT_NAME:
            checkpoint = info
        elif info.name.endswith(".bad"):
            bad.append(info.name)
        elif info.name != PROBE_NAME or not info.regular:
            junk.append(info.name)
    return Listing(tuple(segments), checkpoint, tuple(bad), tuple(junk), highest)


def read_chain(fs: Fs, segments: tuple[tuple[int, Path, int], ...]) -> list[Link]:
    """Read the segments' headers. Raises SpoolError for a segment of a newer version, and OSError."""
    found = []
    for number, path, size in segments:
        with contextlib.suppress(FileNotFoundError):  # released while a command looks on
            found.append((number, path, size, _read_header(fs, number, path)))
    links = []
    for index, (number, path, size, header) in enumerate(found):
        voucher = found[index + 1][3] if index + 1 < len(found) else None
        if voucher is not None and voucher.previous == number:
            links.append(Link(number, path, size, header, voucher.previous_end, voucher.previous_frames))
        else:
            links.append(Link(number, path, size, header, None, 0))
    return links


def missing_segments(links: list[Link], checkpoint: Position) -> Iterator[Position]:
    """The ends of segments that a later one names, and that are missing without having been released."""
    present = {link.number for link in links}
    for link in links:
        if link.header is not None and link.header.previous not in present:
            # That of the first segment ever is 0:0, which is behind no checkpoint.
            end = Position(link.header.previous, link.header.previous_end)
            if end > checkpoint:
                yield end


def _read_header(fs: Fs, number: int, path: Path) -> SegmentHeader | None:
    fd = fs.open_read(path)
    try:
        header = decode_segment_header(fs.pread(fd, SEGMENT_HEADER_SIZE, 0), number)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return None  # the disk cannot read these bytes: damage like any other
    finally:
        fs.close(fd)
    if header is not None and header.version > VERSION:
        raise SpoolError(
            f"{path}: written by a newer ingestd (format {header.version}, this one reads {VERSION});"
            " deliver it with that version first"
        )
    return header


def quarantine(fs: Fs, directory: Path, number: int, fd: int, gap: Gap) -> bool:
    """Quarantine the bytes of `gap`: keep them in a `.bad` file, durably. True when they were copied.

    Where they cannot be copied (a full disk, bytes the disk cannot read) the whole segment is kept instead,
    under a second name, and False is returned. Raises OSError when that fails too.
    """
    target = directory / f"{number:016d}.{gap.offset}.bad"
    try:
        _copy(fs, fd, gap, target)
    except OSError:
        with contextlib.suppress(FileExistsError):
            fs.link(segment_path(directory, number), directory / f"{number:016d}.spool.bad")
        fs.sync_directory(directory)
        return False
    fs.sync_directory(directory)
    return True


def _copy(fs: Fs, fd: int, gap: Gap, target: Path) -> None:
    copy = fs.create(target)
    try:
        for offset in range(gap.offset, gap.end, BLOCK):
            data = fs.pread(fd, min(BLOCK, gap.end - offset), offset)
            fs.pwritev(copy, [data], offset - gap.offset)
        fs.fdatasync(copy)
    finally:
        fs.close(copy)
