"""Finishing the `.open` files a crash left: whole events stay, everything else is set aside in `.bad`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

from ingestd.event import LINE_START
from ingestd.file import names
from ingestd.system import durable

_CHUNK = 1 << 20


class Recovered(NamedTuple):
    """`file`: the finished file, None where nothing was left of it. `bad_bytes`: set aside in `.bad`."""

    file: Path | None
    bad_bytes: int


def orphans(directory: Path, prefix: str) -> list[Path]:
    """`.open` files of any instance; some may be held by a living process. A link is nobody's file."""
    ours = names.ours(directory, prefix)
    found = directory.glob(f"*{names.NDJSON}{names.OPEN}")
    return sorted(path for path in found if ours(path.name) and path.is_file() and not path.is_symlink())


def recover(path: Path) -> Recovered | None:
    """Finish one `.open` file; None where a living process holds it or it is gone.

    Raises OSError. A crash at any point leaves a state from which it can be run again; bytes set aside
    may then stand in `.bad` twice, an event never does.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if not durable.try_lock(fd) or os.fstat(fd).st_nlink == 0:
            return None
        if (final := _finished_before(path, fd)) is not None:
            path.unlink()
            return Recovered(final, 0)
        bad = list(bad_ranges(fd))
        if bad:
            fd = _without(path, fd, bad)
        os.fsync(fd)
        return Recovered(_finish(path, fd), sum(end - start for start, end in bad))
    finally:
        os.close(fd)


def _finished_before(path: Path, fd: int) -> Path | None:
    """The finished name this very file has already: a crash came between the two steps of a rename."""
    state = os.fstat(fd)
    if state.st_nlink > 1:
        final = names.finished_path(path)
        for name in (final, *final.parent.glob(f"{final.stem}-*{final.suffix}")):
            if name.exists() and os.path.samestat(name.stat(), state):
                return name
    return None


class _LongLine:
    """A line read in pieces: what its judgement needs, not the line, for damage may be of any length."""

    def __init__(self) -> None:
        self._head = self._last = b""
        self._zeros = False

    def add(self, piece: bytes) -> None:
        """The next piece of the line."""
        self._head += piece[: len(LINE_START) - len(self._head)]
        self._last = piece[-1:] or self._last
        self._zeros = self._zeros or b"\0" in piece

    def is_event(self) -> bool:
        """As far as its two ends tell."""
        return self._head == LINE_START and self._last == b"}" and not self._zeros


def bad_ranges(fd: int) -> Iterator[tuple[int, int]]:
    """The byte ranges of a file that are no whole event lines, in order. Holds one chunk at a time."""
    position = 0  # where the present line starts
    read = 0
    start: int | None = None  # where the present bad range starts
    long: _LongLine | None = None
    while chunk := os.pread(fd, _CHUNK, read):
        read += len(chunk)
        *lines, rest = chunk.split(b"\n")
        end = read - len(chunk)
        for line in lines:
            if long is not None:
                long.add(line)
                good, long = long.is_event(), None
            else:
                good = _is_event(line)
            if good and start is not None:
                yield start, position
                start = None
            elif not good and start is None:
                start = position
            end += len(line) + 1
            position = end
        if rest:
            long = long or _LongLine()
            long.add(rest)
    if start is None and position < read:
        start = position
    if start is not None:
        yield start, read


def _is_event(line: bytes) -> bool:
    if not (line.startswith(LINE_START) and line.endswith(b"}")):
        return False
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _without(path: Path, fd: int, bad: list[tuple[int, int]]) -> int:
    """Set the bad ranges aside and cut them out. Returns the locked fd of the file that is left."""
    for start, end in bad:
        for piece in _pieces(fd, start, end):
            durable.quarantine(names.finished_path(path), piece)
    size = os.fstat(fd).st_size
    if bad[0][1] == size:  # the usual case: a torn tail
        os.ftruncate(fd, bad[0][0])
        return fd
    temporary = durable.temporary_name(path)
    copy = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        durable.try_lock(copy)
        os.fchmod(copy, os.fstat(fd).st_mode & 0o777)
        position = 0
        for start, end in [*bad, (size, size)]:
            for piece in _pieces(fd, position, start):
                durable.write_all(copy, piece)
            position = end
        os.fsync(copy)
        durable.replace(temporary, path)
    except OSError:
        os.close(copy)
        raise
    os.close(fd)
    return copy


def _pieces(fd: int, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        piece = os.pread(fd, min(_CHUNK, end - start), start)
        if not piece:
            raise OSError(f"file shrank under recovery at byte {start}")
        yield piece
        start += len(piece)


def _finish(path: Path, fd: int) -> Path | None:
    if os.fstat(fd).st_size == 0:
        path.unlink()
        return None
    final = durable.rename_new(path, names.finished_path(path))
    durable.fsync_directory(path.parent)
    return final
