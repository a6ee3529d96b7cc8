"""Disks that have no room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def filled(directory: Path) -> Iterator[None]:
    """A disk with room for some hundred kilobytes, until it is left."""
    filler = directory / "filler"
    with filler.open("wb") as file:
        while not file.tell():
            state = os.statvfs(directory)
            size = state.f_bavail * state.f_frsize - (300 << 10)
            with suppress(OSError):  # the daemon took some of the room meanwhile
                os.posix_fallocate(file.fileno(), 0, size)
                file.seek(size)
    yield
    filler.unlink()
