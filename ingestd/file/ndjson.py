"""One NDJSON file being written: created, appended to durably, finished. Blocking; runs in a worker thread.

A file is `<prefix>-<instance>-<UTC start>.ndjson.open` while it is written, and locked (flock) by the
process that writes it: an `.open` file nobody holds was left by a crash. A finished file loses `.open`.
"""

from __future__ import annotations

import itertools
import logging
import os
from pathlib import Path

from ingestd.file import names
from ingestd.system import durable
from ingestd.system.file_identity import FileIdentity

logger = logging.getLogger(__name__)

_COPY = 1 << 20


class NdjsonFile:
    """A file open for appending. `size`: bytes known to be durable. `events`: how many they are."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.size = 0
        self.events = 0
        self._fd = fd
        self._identity = FileIdentity(path, "the open file", fd)

    @classmethod
    def create(cls, directory: Path, stem: str, mode: int, wall: float) -> NdjsonFile:
        """Create `<stem>-<UTC start>.ndjson.open`, locked, its name durable. Raises OSError.

        `wall`: the start, seconds since the epoch.
        """
        for repeat in itertools.count():
            final = directory / names.file_name(stem, int(wall * 1000), repeat)
            path = final.with_name(final.name + names.OPEN)
            if final.exists():
                continue
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, mode)
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

    @property
    def closed(self) -> bool:
        """Whether nothing may be done with it any more."""
        return self._fd < 0

    @property
    def removed(self) -> bool:
        """Whether it has no name left anywhere: its bytes go with the descriptor. Raises OSError."""
        return os.fstat(self._fd).st_nlink == 0

    def check(self) -> None:
        """Raises MisplacedError unless its path leads to it, OSError if that cannot be found out."""
        self._identity.check()

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

    def copy_from(self, other: NdjsonFile) -> None:
        """Append all that is durable in a file whose name is gone. Raises OSError: see `append`."""
        for start in range(0, other.size, _COPY):
            durable.write_all(self._fd, os.pread(other._fd, min(_COPY, other.size - start), start))
        os.fdatasync(self._fd)
        self.size += other.size
        self.events += other.events

    def finish(self) -> Path:
        """Sync, give the file its final name, durable, and close it; returns the name.

        Raises OSError. The file stays open, unless it has its final name by then: readers may have it, so
        nothing may be added, and recovery takes the other name away.
        """
        os.fsync(self._fd)
        try:
            final = durable.rename_new(self.path, names.finished_path(self.path))
        except OSError:
            if final_name(self.path, self._fd) is not None:
                self.close()
            raise
        self.close()
        return final

    def discard(self) -> None:
        """Close and remove a file that holds nothing. Raises OSError."""
        self.close()
        durable.unlink_quietly(self.path)

    def abandon(self) -> None:
        """After a failure: cut what does not count, as far as that works, and leave the rest to recovery."""
        try:
            os.ftruncate(self._fd, self.size)
        except OSError as error:
            logger.error("cannot cut a file", extra={"file": self.path.name, "error": str(error)})
        finally:
            self.close()

    def close(self) -> None:
        """Close the descriptor, which ends the lock; the file stays as it is."""
        # Forgotten first: by the time anybody used the number again it might be a client's socket.
        fd, self._fd = self._fd, -1
        os.close(fd)


def final_name(path: Path, fd: int) -> Path | None:
    """The finished name that the open file `path` has already, if a rename was interrupted in between."""
    state = os.fstat(fd)
    if state.st_nlink > 1:
        final = names.finished_path(path)
        for name in (final, *final.parent.glob(f"{final.stem}-*{final.suffix}")):
            if name.exists() and os.path.samestat(name.stat(), state):
                return name
    return None
