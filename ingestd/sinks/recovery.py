"""Finishing the `.open` files a crash left: whole events stay, everything else is set aside in `.bad`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ingestd import fsutil
from ingestd.event import LINE_START
from ingestd.sinks.ndjson import OPEN, finished_name

_CHUNK = 1 << 20


class Recovered(NamedTuple):
    """`file`: the finished file, None where nothing was left of it. `bad_bytes`: set aside in `.bad`."""

    file: Path | None
    bad_bytes: int


def orphans(directory: Path, prefix: str) -> list[Path]:
    """`.open` files of any instance; some may be held by a living process."""
    return sorted(path for path in directory.glob(f"{prefix}-*.ndjson{OPEN}") if path.is_file())


def recover(path: Path) -> Recovered | None:
    """Finish one `.open` file; None where a living process holds it or it is gone.

    Raises OSError. A crash at any point leaves a state from which it can be run again.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if not fsutil.try_lock(fd) or os.fstat(fd).st_nlink == 0:
            return None
        bad = list(bad_ranges(fd))
        if bad:
            fd = _without(path, fd, bad)
        os.fsync(fd)
        return Recovered(_finish(path, fd), sum(end - start for start, end in bad))
    finally:
        os.close(fd)


def bad_ranges(fd: int) -> Iterator[tuple[int, int]]:
    """The byte ranges of a file that are no whole event lines, in order. Reads a chunk at a time."""
    position, rest, start = 0, b"", None
    while True:
        chunk = os.pread(fd, _CHUNK, position + len(rest))
        lines = (rest + chunk).split(b"\\n")
        rest = lines.pop()
        for line in lines:
            if _is_event(line):
                if start is not None:
                    yield start, position
                    start = None
            elif start is None:
                start = position
            position += len(line) + 1
        if not chunk:
            break
    if start is None and rest:
        start = position
    if start is not None:
        yield start, position + len(rest)


def _is_event(line: bytes) -> bool:
    # After a power failure a block may read as zeros; JSON never holds a zero byte.
    return line.startswith(LINE_START) and line.endswith(b"}") and b"\\0" not in line


def _without(path: Path, fd: int, bad: list[tuple[int, int]]) -> int:
    """Set the bad ranges aside and cut them out. Returns the locked fd of the file that is left."""
    for start, end in bad:
        fsutil.set_aside(finished_name(path), _read(fd, start, end))
    size = os.fstat(fd).st_size
    if bad[0][1] == size:  # the usual case: a torn tail
        os.ftruncate(fd, bad[0][0])
        return fd
    temporary = path.with_name(path.name + ".tmp")
    copy = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        fsutil.try_lock(copy)
        os.fchmod(copy, os.fstat(fd).st_mode & 0o777)
        position = 0
        for start, end in [*bad, (size, size)]:
            while position < start:
                piece = _read(fd, position, min(start, position + _CHUNK))
                fsutil.write_all(copy, piece)
                position += len(piece)
            position = end
        os.fsync(copy)
        temporary.replace(path)
        fsutil.fsync_directory(path.parent)
    except OSError:
        os.close(copy)
        raise
    os.close(fd)
    return copy


def _read(fd: int, start: int, end: int) -> bytes:
    data = os.pread(fd, end - start, start)
    if not data and end > start:
        raise OSError(f"file shrank under recovery at byte {start}")
    return data


def _finish(path: Path, fd: int) -> Path | None:
    state = os.fstat(fd)
    if state.st_size == 0:
        path.unlink()
        return None
    if state.st_nlink > 1:  # a crash between the two steps of a rename: it has its final name already
        path.unlink()
        return finished_name(path)
    final = fsutil.rename_new(path, finished_name(path))
    fsutil.fsync_directory(path.parent)
    return final
