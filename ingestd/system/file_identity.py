"""Whether a path still leads to the file or directory in use: it may be removed, moved, or mounted over.

A descriptor goes on working after that, and whatever is written through it lands where nobody looks.
"""

from __future__ import annotations

import os
from pathlib import Path

from ingestd.errors import IngestdError


class MisplacedError(IngestdError, OSError):
    """A path does not lead to what is in use; `strerror` says so. `other_device`: it is mounted over."""

    def __init__(self, what: str, *, other_device: bool = False) -> None:
        super().__init__(0, what)
        self.other_device = other_device


class FileIdentity:
    """The device and inode by which a file or directory in use is recognised.

    `what`: its name in errors. `fd`: an open descriptor of it, else the path is asked. Raises OSError.
    """

    def __init__(self, path: Path, what: str, fd: int | None = None) -> None:
        state = path.stat() if fd is None else os.fstat(fd)
        self._path = path
        self._what = what
        self._device = state.st_dev
        self._inode = state.st_ino

    def check(self) -> None:
        """Raises MisplacedError if the path leads elsewhere, OSError if it cannot be followed."""
        try:
            state = self._path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MisplacedError(f"{self._what} is gone") from error
        if state.st_dev != self._device:
            raise MisplacedError(f"another file system is mounted over {self._what}", other_device=True)
        if state.st_ino != self._inode:
            raise MisplacedError(f"another one is in the place of {self._what}")
