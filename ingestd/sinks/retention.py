"""What happens to finished files: compressed, and removed when they are old or too many. Blocking."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
from pathlib import Path
from typing import IO, cast

import zstandard

from ingestd import fsutil

logger = logging.getLogger(__name__)

SUFFIXES = {"gzip": ".gz", "zstd": ".zst"}
_COPY = 1 << 20


def finished(directory: Path, prefix: str) -> list[Path]:
    """Finished files of all instances, oldest first."""
    names = [f"{prefix}-*.ndjson", *(f"{prefix}-*.ndjson{suffix}" for suffix in SUFFIXES.values())]
    found = {
        path: path.stat().st_mtime_ns for name in names for path in directory.glob(name) if path.is_file()
    }
    return sorted(found, key=found.__getitem__)


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
        if not fsutil.try_lock(source.fileno()) or not path.exists():
            return None
        if not target.exists():
            temporary = target.with_name(target.name + ".tmp")
            with temporary.open("wb") as sink:
                os.fchmod(sink.fileno(), os.fstat(source.fileno()).st_mode & 0o777)
                _copy(source, sink, method)
                sink.flush()
                os.fsync(sink.fileno())
            os.utime(temporary, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
            temporary.replace(target)
            fsutil.fsync_directory(path.parent)
        path.unlink()
    return target


def _copy(source: IO[bytes], sink: IO[bytes], method: str) -> None:
    if method == "zstd":
        zstandard.ZstdCompressor(level=3).copy_stream(source, sink)
        return
    with gzip.GzipFile(filename="", fileobj=sink, mode="wb", compresslevel=6) as packed:
        shutil.copyfileobj(source, cast("IO[bytes]", packed), _COPY)


def expire(directory: Path, prefix: str, *, older_than: float | None, keep_bytes: int) -> list[Path]:
    """Remove finished files last written before `older_than` (epoch s), then the oldest past `keep_bytes`.

    0 or None keeps all. Open files and `.bad` files are never touched. Raises OSError.
    """
    files = finished(directory, prefix)
    sizes = {path: path.stat() for path in files if path.exists()}
    total = sum(state.st_size for state in sizes.values())
    removed = []
    for path, state in sizes.items():
        too_old = older_than is not None and state.st_mtime < older_than
        if too_old or (keep_bytes and total > keep_bytes):
            fsutil.unlink_quietly(path)
            total -= state.st_size
            removed.append(path)
    return removed
