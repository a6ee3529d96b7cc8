"""Reading and writing event files that may be compressed with gzip or zstd. Blocking.

A zstd file is one frame that says how long its content is (some readers refuse one that does not) and ends
with a checksum of it, so that a flipped bit is an error and not another event. gzip has both (RFC 1952), the
length modulo 2^32.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import zstandard

from ingestd.file import names
from ingestd.system import durable

# What reading a file raises that is not there, cut short or damaged. zlib.error is not an OSError.
UNREADABLE = (OSError, EOFError, zlib.error, zstandard.ZstdError)

ZSTD_LEVEL = 3
GZIP_LEVEL = 6
_COPY = 1 << 20
_READ = 256 << 10


class Compressor(Protocol):
    """A compression object of zlib or zstandard. Both methods return compressed bytes, perhaps none."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


@contextmanager
def open_plain(path: Path) -> Iterator[io.BufferedIOBase]:
    """The plain bytes of a file, decompressed by its suffix. Raises what is UNREADABLE."""
    with path.open("rb") as raw:
        yield _plain(raw, path.suffix)


def _plain(raw: io.BufferedReader, suffix: str) -> io.BufferedIOBase:
    if suffix == names.COMPRESSED["gzip"]:
        return gzip.GzipFile(fileobj=raw)
    if suffix == names.COMPRESSED["zstd"]:
        reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
        return io.BufferedReader(reader, _READ)
    return raw


def compress(path: Path, method: str, pause: Callable[[], None] = lambda: None) -> Path | None:
    """Compress a finished file beside it, then remove it; None where another instance is doing it.

    The compressed file appears whole or not at all. Between its appearance and the removal both are there;
    a crash in between is put right by the next `compress` of the same path. `pause` is called between pieces
    of 1 MiB; what it raises ends the work and leaves the file as it was. Raises OSError.
    """
    target = path.with_name(path.name + names.COMPRESSED[method])
    try:
        source = path.open("rb")
    except FileNotFoundError:
        return None
    with source:
        if not durable.try_lock(source.fileno()) or not path.exists():
            return None
        if not target.exists():
            copy = durable.temporary_name(target)
            try:
                _write_copy(source, copy, method, pause)
                durable.replace(copy, target)
            except BaseException:
                durable.unlink_quietly(copy)  # half a copy must not fill a disk that is full
                raise
        durable.unlink_quietly(path)
    return target


def _write_copy(source: IO[bytes], target: Path, method: str, pause: Callable[[], None]) -> None:
    """A compressed copy with the mode and the times of the original, durable."""
    state = os.fstat(source.fileno())
    with target.open("wb") as sink:
        os.fchmod(sink.fileno(), state.st_mode & 0o777)
        packer = compressor(method, state.st_size)
        while piece := source.read(_COPY):
            sink.write(packer.compress(piece))
            pause()
        sink.write(packer.flush())
        sink.flush()
        os.fsync(sink.fileno())
    os.utime(target, ns=(state.st_atime_ns, state.st_mtime_ns))


def compressor(method: str, size: int) -> Compressor:
    """For `size` bytes exactly: with zstd, `flush` raises ZstdError where it was given more or fewer."""
    if method == "zstd":
        codec = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True, write_content_size=True)
        return codec.compressobj(size=size)
    return zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)


def sweep(directory: Path, prefix: str) -> list[Path]:
    """Remove half copies that a kill left, whatever files are compressed with now. Raises OSError.

    Whoever compresses a file holds its lock, and has renamed the copy before the file goes.
    """
    removed = []
    ours = names.ours(directory, prefix)
    for suffix in names.COMPRESSED.values():
        ending = names.NDJSON + suffix + names.TEMPORARY
        for copy in (path for path in directory.glob(f"*{ending}") if ours(path.name)):
            try:
                source = copy.with_name(copy.name.removesuffix(suffix + names.TEMPORARY)).open("rb")
            except FileNotFoundError:
                durable.unlink_quietly(copy)
                removed.append(copy)
                continue
            with source:
                if durable.try_lock(source.fileno()):
                    durable.unlink_quietly(copy)
                    removed.append(copy)
    return removed
