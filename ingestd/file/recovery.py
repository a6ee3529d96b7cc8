"""Finishes the `.open` files a crash left: whole events stay, the rest goes into quarantine (`.bad`)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import orjson
from xxhash import xxh3_128

from ingestd.event import LINE_START
from ingestd.file import names
from ingestd.file.ndjson import final_name
from ingestd.file.scan import NEWLINE, SLICE, Scan, blocks
from ingestd.system import durable
from ingestd.tally import Tally, count_lines

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20


class Recovered(NamedTuple):
    """`file`: the finished file, None where nothing was left of it. `bad_bytes`: put into `.bad`.

    `found`: what is in the file, for its manifest; None where a crash had finished it and it was not read.
    """

    file: Path | None
    bad_bytes: int
    found: Scan | None


def recover(path: Path, pause: Callable[[int], None] = lambda size: None) -> Recovered | None:
    """Finish one `.open` file; None where a living process holds it or it is gone.

    `pause` is told how many bytes were looked at, between slices of lines, before anything is changed. Raises
    OSError. A crash at any point leaves a state from which it can be run again; bad bytes may then stand in
    `.bad` twice, an event never does.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if not durable.try_lock(fd) or os.fstat(fd).st_nlink == 0:
            return None
        if (final := final_name(path, fd)) is not None:
            return Recovered(durable.rename_new(path, final), 0, None)
        bad, good = sift(fd, pause)
        if bad:
            fd = _without(path, fd, bad)
        os.fsync(fd)
        return Recovered(_finish(path, fd), sum(end - start for start, end in bad), good)
    finally:
        os.close(fd)


class Sifted(NamedTuple):
    """A file's byte ranges that are not whole event lines, in order, and what is left without them."""

    bad: list[tuple[int, int]]
    good: Scan


def sift(fd: int, pause: Callable[[int], None] = lambda size: None) -> Sifted:
    """Read a file once from end to end; for `pause` see `recover`. Raises OSError."""
    digest, tally, bad, size, position = xxh3_128(), Tally(), Ranges(), 0, 0
    for block in blocks(_reader(fd)):
        if block[-1] != NEWLINE:
            bad.add(position, position + len(block))
            position += len(block)
            continue
        rows, left, _ = count_lines(block, True)
        tally.add_rows(rows)
        start_good = 0
        for number, (start, end) in enumerate(left):
            line = bytes(block[start:end])
            if is_event(line):
                tally.add((line,))
            else:
                digest.update(block[start_good:start])
                size += start - start_good
                start_good = end + 1
                bad.add(position + start, position + end + 1)
            if number % SLICE == SLICE - 1:
                pause(0)
        digest.update(block[start_good:])
        size += len(block) - start_good
        position += len(block)
        pause(len(block))
    return Sifted(bad.found, Scan(size, digest.hexdigest(), tally))


class Ranges:
    """Byte ranges, added in order; neighbours become one."""

    def __init__(self) -> None:
        self.found: list[tuple[int, int]] = []

    def add(self, start: int, end: int) -> None:
        if self.found and self.found[-1][1] == start:
            start = self.found.pop()[0]
        self.found.append((start, end))


def _reader(fd: int) -> Callable[[memoryview], int]:
    place = 0

    def readinto(buffer: memoryview) -> int:
        nonlocal place
        got = os.preadv(fd, [buffer], place)
        place += got
        return got

    return readinto


class RecoveryProgress:
    """How far the recovery of a large file is, for people: a line in the log every LOG_PERIOD seconds."""

    LOG_PERIOD = 10.0

    def __init__(self, path: Path, size: int, clock: Callable[[], float]) -> None:
        self._path = path
        self._size = size
        self._clock = clock
        self._done = 0
        self._log_at = clock() + self.LOG_PERIOD
        logger.info("recovering a file a crash had left open", extra={"file": path.name, "bytes": size})

    def __str__(self) -> str:
        return f"{self._path.name}: {self._done * 100 // max(self._size, 1)} %"

    def add(self, size: int) -> None:
        """Count `size` bytes as done."""
        self._done += size
        if self._clock() >= self._log_at:
            self._log_at = self._clock() + self.LOG_PERIOD
            logger.info("still recovering", extra={"file": self._path.name, "progress": str(self)})


def is_event(line: bytes) -> bool:
    """Whether it is a whole event, without its newline: the line of one, as JSON."""
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
    return durable.rename_new(path, names.finished_path(path))
