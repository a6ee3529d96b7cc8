"""A spool on the fake disk, and ways to damage it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ingestd.spool.directory import segment_path
from ingestd.spool.format import FRAME_HEADER_SIZE, SEGMENT_HEADER_SIZE
from ingestd.spool.inspect import SpoolFinding, verify
from ingestd.spool.spool import Position, Recovery, Spool
from tests.support.fakefs import FakeFs

DIRECTORY = Path("/spool")
NOW = 1_700_000_000_000
FIRST = SEGMENT_HEADER_SIZE
SIZE = FRAME_HEADER_SIZE + 100
SENT = [bytes([ord("a") + number]) * 100 for number in range(6)]


def opened(fs: FakeFs, *, max_bytes: int = 1 << 23, segment_bytes: int = 1 << 20, now: int = NOW) -> Spool:
    spool = Spool(DIRECTORY, max_bytes=max_bytes, segment_bytes=segment_bytes, fs=fs, now_ms=lambda: now)
    spool.open()
    return spool


def recovered(fs: FakeFs) -> tuple[Spool, Recovery]:
    spool = Spool(DIRECTORY, max_bytes=1 << 23, fs=fs, now_ms=lambda: NOW)
    return spool, spool.open()


def restarted(fs: FakeFs, spool: Spool, *, now: int = NOW) -> Spool:
    spool.close()
    return opened(fs, now=now)


def made(fs: FakeFs, *, segment_bytes: int = 1 << 20) -> Path:
    """A closed spool of six frames of 136 bytes; the path of its first segment."""
    spool = opened(fs, segment_bytes=segment_bytes)
    for payload in SENT:
        spool.append([payload])
    spool.close()
    return segment_path(DIRECTORY, NOW)


def payloads(spool: Spool, position: Position | None = None, max_bytes: int = 1 << 20) -> list[bytes]:
    entries, _next = spool.read(spool.checkpoint if position is None else position, max_bytes)
    return [entry.payload for entry in entries]


def frame_at(number: int) -> int:
    """The offset of a frame of `made`, as long as all are in one segment."""
    return FIRST + number * SIZE


def segments(fs: FakeFs) -> list[str]:
    return sorted(path.name for path in fs.names if path.suffix == ".spool")


def bad_files(fs: FakeFs) -> dict[str, bytes]:
    return {path.name: bytes(node.data) for path, node in fs.names.items() if path.name.endswith(".bad")}


def harmful(fs: FakeFs) -> list[tuple[str, int]]:
    """What `verify` finds wrong: file and offset."""
    return [(found.file, found.offset) for found in verify(DIRECTORY, fs).findings if not found.harmless]


def harmless(fs: FakeFs) -> list[SpoolFinding]:
    return [found for found in verify(DIRECTORY, fs).findings if found.harmless]


def cut(fs: FakeFs, path: Path, size: int) -> None:
    node = fs.names[path]
    del node.data[size:]
    node.disk = bytearray(node.data)


def extend(fs: FakeFs, path: Path, data: bytes) -> None:
    fs.corrupt(path, len(fs.names[path].data), data)


def fail(fs: FakeFs, *calls: str, name: str = "", number: int = errno.EIO) -> None:
    """Make these calls on files whose name holds `name` fail until `heal`."""

    def before(made: str, file: str) -> None:
        if made in calls and name in file:
            raise OSError(number, os.strerror(number))

    fs.before_call = before


def heal(fs: FakeFs) -> None:
    fs.before_call = lambda _call, _name: None
