"""The file operations the spool needs, few enough that a test can replace them by a disk that fails."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from ingestd.system import durable

_BUFFERS_A_CALL = 1024  # IOV_MAX on Linux


class FileInfo(NamedTuple):
    """One name in a directory; `regular` is false for a directory, a link, a pipe or a socket."""

    name: str
    regular: bool
    size: int


class Fs(Protocol):
    """The file operations of the spool. Every method raises OSError as the system call does."""

    def make_directory(self, path: Path) -> None: ...
    def entries(self, directory: Path) -> list[FileInfo]: ...
    def lock(self, directory: Path) -> int:
        """Own the directory until the returned descriptor is closed; BlockingIOError when it is owned."""

    def create(self, path: Path) -> int: ...
    def create_new(self, path: Path) -> int: ...
    def open_write(self, path: Path) -> int: ...
    def open_read(self, path: Path) -> int: ...
    def close(self, fd: int) -> None: ...
    def pread(self, fd: int, size: int, offset: int) -> bytes: ...
    def pwritev(self, fd: int, buffers: Sequence[bytes], offset: int) -> None:
        """Write all of the buffers; after an OSError any part of them may be in the file."""

    def truncate(self, fd: int, size: int) -> None: ...
    def fdatasync(self, fd: int) -> None: ...
    def sync_directory(self, directory: Path) -> None: ...
    def rename(self, source: Path, target: Path) -> None: ...
    def link(self, source: Path, target: Path) -> None: ...
    def unlink(self, path: Path) -> None: ...


class RealFs:
    """The operating system's files. Links are never followed: nobody else's file is cut or deleted."""

    def make_directory(self, path: Path) -> None:
        durable.make_directory(path)

    def entries(self, directory: Path) -> list[FileInfo]:
        found = []
        with os.scandir(directory) as listing:
            for entry in listing:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # released by the daemon while a command looks on
                found.append(FileInfo(entry.name, stat.S_ISREG(status.st_mode), status.st_size))
        return found

    def lock(self, directory: Path) -> int:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        return fd

    def create(self, path: Path) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, 0o640)

    def create_new(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    def open_write(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)

    def open_read(self, path: Path) -> int:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def close(self, fd: int) -> None:
        os.close(fd)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        return os.pread(fd, size, offset)

    def pwritev(self, fd: int, buffers: Sequence[bytes], offset: int) -> None:
        for first in range(0, len(buffers), _BUFFERS_A_CALL):
            some = buffers[first : first + _BUFFERS_A_CALL]
            written = os.pwritev(fd, some, offset)
            size = sum(map(len, some))
            if written < size:
                self._write_rest(fd, b"".join(some), written, offset)
            offset += size

    def _write_rest(self, fd: int, data: bytes, done: int, offset: int) -> None:
        """A short write is no error yet: the next call says why it stopped, or goes on."""
        view = memoryview(data)
        while done < len(data):
            done += os.pwrite(fd, view[done:], offset + done)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def fdatasync(self, fd: int) -> None:
        os.fdatasync(fd)

    def sync_directory(self, directory: Path) -> None:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        source.rename(target)

    def link(self, source: Path, target: Path) -> None:
        os.link(source, target, follow_symlinks=False)

    def unlink(self, path: Path) -> None:
        path.unlink()
