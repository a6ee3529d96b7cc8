"""Read a spool from outside, whether the daemon runs or not. Locks, cuts, moves and deletes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ingestd.spool.checkpoint import inspect_checkpoint
from ingestd.spool.directory import (
    CHECKPOINT_NAME,
    Link,
    Listing,
    list_directory,
    missing_segments,
    read_chain,
    segment_path,
)
from ingestd.spool.format import SEGMENT_HEADER_SIZE, SLOT_SIZE, START, Position
from ingestd.spool.fs import Fs, RealFs
from ingestd.spool.scan import Frame, Gap, scan, skim
from ingestd.spool.spool import Stored


@dataclass(frozen=True, slots=True)
class SpoolFinding:
    """Something wrong at byte `offset` of a file; `harmless` where no data is concerned."""

    file: str
    offset: int
    size: int
    what: str
    harmless: bool = False


@dataclass(slots=True)
class SpoolReport:
    """The result of `verify`: what it read, and its findings."""

    checkpoint: Position
    segments: int = 0
    frames: int = 0
    bytes: int = 0
    findings: list[SpoolFinding] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return all(finding.harmless for finding in self.findings)


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """A line of `ls`. `released` is the share of the segment's bytes that is delivered, 0 to 1."""

    file: str
    frames: int
    bytes: int
    first_ms: int | None
    last_ms: int | None
    released: float


def verify(directory: Path, fs: Fs | None = None) -> SpoolReport:
    """Check every byte of every segment. Raises OSError, and SpoolError for a newer version."""
    fs = fs if fs is not None else RealFs()
    listing = list_directory(fs, directory)
    links = read_chain(fs, listing.segments)
    # Only now: what the daemon has deleted meanwhile lies before the checkpoint read here.
    checkpoint, damaged_slots = _checkpoint(fs, directory, listing)
    report = SpoolReport(checkpoint)
    report.findings += _names(listing)
    report.findings += [
        SpoolFinding(CHECKPOINT_NAME, offset, SLOT_SIZE, "a checkpoint slot is damaged")
        for offset in damaged_slots
    ]
    for number, end in missing_segments(links, report.checkpoint):
        name = segment_path(directory, number).name
        report.findings.append(SpoolFinding(name, 0, end, "the segment is missing"))
    for link in links:
        with contextlib.suppress(FileNotFoundError):  # released meanwhile
            _verify_segment(fs, link, report)
    return report


def ls(directory: Path, fs: Fs | None = None) -> list[SegmentRow]:
    """One row per segment, from the frame headers alone. Raises OSError and SpoolError."""
    fs = fs if fs is not None else RealFs()
    listing = list_directory(fs, directory)
    checkpoint, _damaged = _checkpoint(fs, directory, listing)
    rows = []
    for link in read_chain(fs, listing.segments):
        with contextlib.suppress(FileNotFoundError):
            rows.append(_row(fs, link, checkpoint))
    return rows


def entries(directory: Path, fs: Fs | None = None) -> Iterator[Stored]:
    """Every sound payload behind the checkpoint, in order; damage is passed over (`verify` names it).

    Holds about one payload in memory. Raises OSError and SpoolError.
    """
    fs = fs if fs is not None else RealFs()
    listing = list_directory(fs, directory)
    checkpoint, _damaged = _checkpoint(fs, directory, listing)
    for link in read_chain(fs, listing.segments):
        if link.number < checkpoint.segment:
            continue
        start = checkpoint.offset if link.number == checkpoint.segment else 0
        with contextlib.suppress(FileNotFoundError), _opened(fs, link.path) as fd:
            for item in scan(fs, fd, link.number, start, link.end):
                if isinstance(item, Frame):
                    yield Stored(item.payload, Position(link.number, item.end), item.time_ms)


def _checkpoint(fs: Fs, directory: Path, listing: Listing) -> tuple[Position, list[int]]:
    if listing.checkpoint is None or not listing.checkpoint.regular:
        return START, []
    return inspect_checkpoint(fs, directory / CHECKPOINT_NAME)


@contextlib.contextmanager
def _opened(fs: Fs, path: Path) -> Iterator[int]:
    fd = fs.open_read(path)
    try:
        yield fd
    finally:
        fs.close(fd)


def _names(listing: Listing) -> Iterator[SpoolFinding]:
    for name in listing.junk:
        yield SpoolFinding(name, 0, 0, "not a file of the spool", harmless=True)
    for name in listing.bad:
        yield SpoolFinding(name, 0, 0, "quarantined damage", harmless=True)
    if listing.checkpoint is not None and not listing.checkpoint.regular:
        yield SpoolFinding(CHECKPOINT_NAME, 0, 0, "not a file")


def _verify_segment(fs: Fs, link: Link, report: SpoolReport) -> None:
    gaps: list[Gap] = []
    name = link.path.name
    before = len(report.findings)
    with _opened(fs, link.path) as fd:
        for item in scan(fs, fd, link.number, 0, link.end):
            if isinstance(item, Gap):
                gaps.append(item)
                continue
            report.frames += 1
            report.findings += [
                SpoolFinding(name, gap.offset, gap.end - gap.offset, gap.what) for gap in gaps
            ]
            gaps = []
    report.segments += 1
    report.bytes += link.size
    if link.header is None:
        report.findings.insert(
            before, SpoolFinding(name, 0, SEGMENT_HEADER_SIZE, "the segment header is damaged")
        )
    if link.vouched_end is not None:
        report.findings += [SpoolFinding(name, gap.offset, gap.end - gap.offset, gap.what) for gap in gaps]
        short = link.vouched_end - link.size
        if short > 0:
            report.findings.append(SpoolFinding(name, link.size, short, "the end of the segment is missing"))
        elif short < 0:
            what = "an append that was never confirmed"
            report.findings.append(SpoolFinding(name, link.vouched_end, -short, what, harmless=True))
    elif gaps:
        what = "torn tail: an append in progress, or one that a crash interrupted"
        report.findings.append(
            SpoolFinding(name, gaps[0].offset, link.size - gaps[0].offset, what, harmless=True)
        )


def _row(fs: Fs, link: Link, checkpoint: Position) -> SegmentRow:
    frames, first_ms, last_ms, offset = 0, None, None, SEGMENT_HEADER_SIZE
    with _opened(fs, link.path) as fd:
        while offset < link.end:
            for end, time_ms in skim(fs, fd, link.number, offset, link.end):
                first_ms = time_ms if first_ms is None else first_ms
                frames, last_ms, offset = frames + 1, time_ms, end
            if offset < link.end:
                offset = next(scan(fs, fd, link.number, offset, link.end)).end  # behind the damage
    if link.number < checkpoint.segment:
        released = 1.0
    elif link.number == checkpoint.segment and link.end:
        released = min(checkpoint.offset / link.end, 1.0)
    else:
        released = 0.0
    return SegmentRow(link.path.name, frames, link.size, first_ms, last_ms, released)
