"""One NDJSON file being written: created, appended to durably, finished. Blocking; runs in a worker thread.

A file is `<prefix>-<instance>-<UTC start>.ndjson.open` while it is written, and locked (flock) by the
process that writes it: an `.open` file nobody holds was left by a crash. Finished it loses `.open`.
"""

from __future__ import annotations

import itertools
import logging
import os
from pathlib import Path

from ingestd.file import names
from ingestd.system import durable

logger = logging.getLogger(__name__)


class NdjsonFile:
    """A file open for appending. `size`: bytes known to be durable. `events`: how many they are."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.size = 0
        self.events = 0
        self._fd = fd

    @classmethod
    def create(cls, directory: Path, stem: str, mode: int, wall: float) -> NdjsonFile:
        """Create `<stem>-<UTC start>.ndjson.open`, locked, its name durable. Raises OSError."""
        for repeat in itertools.count():
            final = directory / names.file_name(stem, int(wall * 1000), repeat)
            path = final.with_name(final.name + names.OPEN)
            if final.exists():
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
        return cls(path, fd)

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
        final = durable.rename_new(self.path, names.finished_path(self.path))
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
