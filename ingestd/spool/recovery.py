"""Opens a spool directory after a clean stop, a crash, or damage.

Only segments whose length no later segment vouches for are read: the last one, and those beside a damaged
header. So the time it takes does not grow with the backlog.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from ingestd.spool.directory import Link, Listing, Segment, missing_segments, quarantine, read_chain
from ingestd.spool.format import SEGMENT_HEADER_SIZE, Position
from ingestd.spool.fs import Fs
from ingestd.spool.scan import Gap, scan

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Recovery:
    """The findings of `Spool.open`. Damage further back is quarantined and counted when it is read."""

    checkpoint: Position
    checkpoint_lost: bool  # it was damaged: everything still on disk is delivered again
    segments: int = 0
    bytes: int = 0  # of the segments on disk, what is already released in the first one included
    frames: int = 0  # in those segments, as the segments themselves record it
    torn_bytes: int = 0  # cut from the end: the append a crash interrupted, confirmed to nobody
    damaged_frames: int = 0  # seen already
    missing_bytes: int = 0  # segments that are shorter than the next one says they were
    missing_segments: list[int] = field(default_factory=list)
    released_segments: int = 0  # delivered before, but a crash came before they were deleted
    junk: list[str] = field(default_factory=list)  # names of other files, which are left alone


def recover(fs: Fs, directory: Path, listing: Listing, found: Recovery) -> list[Segment]:
    """Cut torn tails, delete what is released, and return the segments to deliver; fills in `found`.

    Raises OSError, and SpoolError for a segment of a newer version.
    """
    checkpoint = found.checkpoint
    for number, path, _size in listing.segments:
        if number < checkpoint.segment:
            fs.unlink(path)
            found.released_segments += 1
    links = read_chain(fs, tuple(item for item in listing.segments if item[0] >= checkpoint.segment))
    if not found.checkpoint_lost:  # else it cannot be told whether they were released
        for position in missing_segments(links, checkpoint):
            found.missing_segments.append(position.segment)
            logger.error(
                "a spool segment is missing", extra={"segment": position.segment, "bytes": position.offset}
            )
    segments = []
    for link in links:
        segment = _vouched(link, found) if link.vouched_end is not None else _unvouched(fs, link, found)
        if segment is None or segment.end_position <= checkpoint:
            fs.unlink(link.path)
            found.released_segments += segment is not None
            continue
        segments.append(segment)
    fs.sync_directory(directory)
    found.segments = len(segments)
    found.bytes = sum(segment.size for segment in segments)
    found.frames = sum(segment.frames for segment in segments)
    return segments


def _vouched(link: Link, found: Recovery) -> Segment:
    """A segment of which the next one says where it ends; its frames are checked when they are read."""
    assert link.vouched_end is not None  # noqa: S101
    if link.size < link.vouched_end:
        found.missing_bytes += link.vouched_end - link.size
        logger.error(
            "a spool segment lost its end",
            extra={"file": link.path.name, "bytes": link.size, "had": link.vouched_end},
        )
    found.damaged_frames += link.header is None
    return Segment(link.number, link.path, link.end, link.size, link.vouched_frames, link.header is None)


def _unvouched(fs: Fs, link: Link, found: Recovery) -> Segment | None:
    """Find the end of a segment by reading it, cut what is torn behind it; None when nothing is left."""
    fd = fs.open_write(link.path)
    try:
        end, frames, gaps = 0, 0, 0
        for item in scan(fs, fd, link.number, 0, link.size):
            if isinstance(item, Gap):
                gaps += 1
            else:
                end, frames = item.end, frames + 1
                found.damaged_frames, gaps = found.damaged_frames + gaps, 0
        size = link.size
        only_header = link.header is not None and size <= SEGMENT_HEADER_SIZE
        if end < size and not only_header:
            found.torn_bytes += size - end
            torn = Gap(end, size, "torn tail")
            logger.warning(
                "a spool segment has a torn tail",
                extra={"file": link.path.name, "offset": end, "bytes": size - end},
            )
            if quarantine(fs, link.path.parent, link.number, fd, torn) and frames:
                fs.truncate(fd, end)
                size = end
        # A killed process's last append may be in the cache only; it is delivered, so it must be durable.
        fs.fdatasync(fd)
    finally:
        fs.close(fd)
    if not frames:
        return None
    found.damaged_frames += link.header is None
    return Segment(link.number, link.path, end, size, frames, link.header is None)
