"""One NDJSON file being written: created, appended to durably, finished. Blocking; runs in a worker thread.

A file is `<prefix>-<instance>-<UTC start>.ndjson.open` while it is written, and locked (flock) by the
process that writes it: an `.open` file nobody holds was left by a crash. Finished it loses `.open`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from ingestd.system import durable

logger = logging.getLogger(__name__)

OPEN = ".open"
MARK = ".prefix"


class NdjsonFile:
    """A file open for appending. `size`: bytes known to be durable. `events`: how many they are."""

    def __init__(self, path: Path, fd: int, wall: float) -> None:
        self.path = path
        self.size = 0
        self.events = 0
        self.started = wall
        self._fd = fd

    @classmethod
    def create(cls, directory: Path, stem: str, mode: int, wall: float) -> NdjsonFile:
        """Create `<stem>-<UTC start>.ndjson.open`, locked, its name durable. Raises OSError."""
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(wall)) + f".{int(wall * 1000) % 1000:03d}Z"
        number = 0
        while True:
            again = f"-{number}" if number else ""
            path = directory / f"{stem}-{moment}{again}.ndjson{OPEN}"
            number += 1
            if finished_name(path).exists():
                continue
            try:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, mode)
            except FileExistsError:
                continue
            # Before it was locked a recovery may have taken it for a crash's: it holds it, or has removed it.
            if durable.try_lock(fd) and os.fstat(fd).st_nlink == 1:
                break
            os.close(fd)
        try:
            os.fchmod(fd, mode)
            durable.fsync_directory(directory)
        except OSError:
            os.close(fd)
            raise
        return cls(path, fd, wall)

    def append(self, data: bytes) -> None:
        """Write and fdatasync. Raises OSError: then nothing of `data` counts, and the file must not be
        used any more but by `abandon` (after a failed fsync the kernel may have dropped the pages, and
        the next fsync would succeed all the same).
        """
        durable.write_all(self._fd, data)
        os.fdatasync(self._fd)
        self.size += len(data)

    def reserve(self, size: int) -> None:
        """Raises OSError unless `size` more bytes can be written durably. Leaves the file as it was."""
        os.posix_fallocate(self._fd, self.size, size)
        os.fdatasync(self._fd)
        os.ftruncate(self._fd, self.size)

    def finish(self) -> Path:
        """Sync, give the file its final name, close it; returns the name. Raises OSError and stays open.

        The name is made durable by `fsutil.fsync_directory` afterwards: a power failure before that leaves
        an `.open` file with all its events, which recovery finishes.
        """
        os.fsync(self._fd)
        final = durable.rename_new(self.path, finished_name(self.path))
        self._close()
        return final

    def discard(self) -> None:
        """Close and remove a file that holds nothing."""
        self._close()
        durable.unlink_quietly(self.path)

    def abandon(self) -> None:
        """After a failure: cut what does not count, as far as that works, and leave the rest to recovery."""
        try:
            os.ftruncate(self._fd, self.size)
        except OSError as error:
            logger.error("cannot cut a file", extra={"file": self.path.name, "error": str(error)})
        finally:
            self._close()

    def _close(self) -> None:
        # Forgotten first: by the time anybody used the number again it might be a client's socket.
        fd, self._fd = self._fd, -1
        os.close(fd)


def claim(directory: Path, prefix: str) -> None:
    """Note that there are files of this prefix here: see `ours`. Where that fails, the next one notes it."""
    mark = directory / f".{prefix}{MARK}"
    with contextlib.suppress(OSError):
        if not mark.exists():
            mark.touch(0o640)


def ours(directory: Path, prefix: str) -> Callable[[Path], bool]:
    """Whether a path of `<prefix>-*` is of this prefix, and not of a longer one used in the same directory.

    Of `clicks-ios-1-...` the name alone does not tell whether `ios-1` is an instance or `clicks-ios` the
    prefix.
    """
    marks = (path.name[1 : -len(MARK)] for path in directory.glob(f".{prefix}-*{MARK}"))
    longer = tuple(f"{other}-" for other in marks)
    return lambda path: not path.name.startswith(longer)


def finished_name(path: Path) -> Path:
    """`x.ndjson.open` to `x.ndjson`."""
    return path.with_name(path.name.removesuffix(OPEN))
