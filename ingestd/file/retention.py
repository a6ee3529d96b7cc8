"""What happens to finished files: compressed, and removed when they are old or too many. Blocking."""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import zstandard

from ingestd.file.ndjson import ours
from ingestd.system import durable

logger = logging.getLogger(__name__)

SUFFIXES = {"gzip": ".gz", "zstd": ".zst"}
_COPY = 1 << 20


def finished(directory: Path, prefix: str) -> list[Path]:
    """Finished files of all instances, oldest first."""
    return [path for path, _ in _finished(directory, prefix)]


def _finished(directory: Path, prefix: str) -> list[tuple[Path, os.stat_result]]:
    names = [f"{prefix}-*.ndjson", *(f"{prefix}-*.ndjson{suffix}" for suffix in SUFFIXES.values())]
    found = []
    mine = ours(directory, prefix)
    for path in [path for name in names for path in directory.glob(name) if mine(path)]:
        with contextlib.suppress(FileNotFoundError):  # another instance compresses and removes, too
            state = path.stat()
            if stat.S_ISREG(state.st_mode):
                found.append((path, state))
    return sorted(found, key=lambda entry: entry[1].st_mtime_ns)


def compress(path: Path, method: str) -> Path | None:
    """Compress a finished file beside it, then remove it; None where another instance is at it.

    The compressed file appears whole or not at all. Between its appearance and the removal both are
    there; a crash in between is put right by the next `compress` of the same path. Raises OSError.
    """
    target = path.with_name(path.name + SUFFIXES[method])
    try:
        source = path.open("rb")
    except FileNotFoundError:
        return None
    with source:
        if not durable.try_lock(source.fileno()) or not path.exists():
            return None
        if not target.exists():
            temporary = target.with_name(target.name + ".tmp")
            try:
                _write_copy(source, temporary, method)
                temporary.replace(target)
            except OSError:
                durable.unlink_quietly(temporary)  # half a copy must not fill a disk that is full
                raise
            durable.fsync_directory(path.parent)
        durable.unlink_quietly(path)
    return target


def sweep(directory: Path, prefix: str) -> list[Path]:
    """Remove half copies that a kill left, whatever files are compressed with now. Raises OSError.

    Whoever compresses a file holds its lock, and has renamed the copy before the file goes.
    """
    removed = []
    mine = ours(directory, prefix)
    for suffix in SUFFIXES.values():
        for copy in filter(mine, directory.glob(f"{prefix}-*.ndjson{suffix}.tmp")):
            try:
                source = copy.with_name(copy.name.removesuffix(f"{suffix}.tmp")).open("rb")
            except FileNotFoundError:
                durable.unlink_quietly(copy)
                removed.append(copy)
                continue
            with source:
                if durable.try_lock(source.fileno()):
                    durable.unlink_quietly(copy)
                    removed.append(copy)
    return removed


def _write_copy(source: IO[bytes], target: Path, method: str) -> None:
    """A compressed copy with the mode and the times of the original, durable."""
    state = os.fstat(source.fileno())
    with target.open("wb") as sink:
        os.fchmod(sink.fileno(), state.st_mode & 0o777)
        _copy(source, sink, method)
        sink.flush()
        os.fsync(sink.fileno())
    os.utime(target, ns=(state.st_atime_ns, state.st_mtime_ns))


def _copy(source: IO[bytes], sink: IO[bytes], method: str) -> None:
    if method == "zstd":
        zstandard.ZstdCompressor(level=3).copy_stream(source, sink)
        return
    with gzip.GzipFile(filename="", fileobj=sink, mode="wb", compresslevel=6) as packed:
        shutil.copyfileobj(source, cast("IO[bytes]", packed), _COPY)


def expire(
    directory: Path,
    prefix: str,
    *,
    older_than: float | None,
    keep_bytes: int,
    removing: Callable[[Path], None] = lambda path: None,
) -> list[Path]:
    """Remove finished files last written before `older_than` (epoch s), then the oldest past `keep_bytes`.

    0 or None keeps all. Open files and `.bad` files are never touched. `removing` is told of each file
    before it goes. Raises OSError.
    """
    files = _finished(directory, prefix)
    total = sum(state.st_size for _, state in files)
    removed = []
    for path, state in files:
        too_old = older_than is not None and state.st_mtime < older_than
        if too_old or (keep_bytes and total > keep_bytes):
            removing(path)
            durable.unlink_quietly(path)
            total -= state.st_size
            removed.append(path)
    return removed
