"""The files of a directory: left open by a crash, finished, and finished but not seen to yet. Blocking."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from ingestd.file import names
from ingestd.system import durable


class FinishedFile(NamedTuple):
    """A finished file with its time of writing (seconds since the epoch) and its bytes on disk."""

    path: Path
    written: float
    size: int


def finished(directory: Path, prefix: str) -> list[FinishedFile]:
    """Finished files of all instances, oldest first. Raises OSError."""
    found = []
    ours = names.ours(directory, prefix)
    with os.scandir(directory) as entries:
        for entry in entries:
            if not (names.is_finished(entry.name) and ours(entry.name)):
                continue
            with contextlib.suppress(FileNotFoundError):  # another instance compresses and removes, too
                if stat.S_ISREG((state := entry.stat()).st_mode):
                    file = FinishedFile(directory / entry.name, state.st_mtime, state.st_size)
                    found.append((state.st_mtime_ns, file))
    return [file for _, file in sorted(found)]


def unfinished(directory: Path, prefix: str, *, manifests: bool, compressed: bool) -> list[FinishedFile]:
    """Finished files, oldest first, that lack the manifest or the compression they should have.

    Notes as well that there are files of the prefix, see `names.ours`. Raises OSError.
    """
    files = finished(directory, prefix)
    if files:
        names.claim(directory, prefix)
    with os.scandir(directory) as entries:
        described = {entry.name for entry in entries if entry.name.endswith(names.MANIFEST)}
    return [
        file
        for file in files
        if (manifests and names.manifest_path(file.path).name not in described)
        or (compressed and file.path.suffix == names.NDJSON)
    ]


def orphans(directory: Path, prefix: str) -> list[Path]:
    """`.open` files of any instance, some of which a living process may hold. Links are left alone."""
    ours = names.ours(directory, prefix)
    found = directory.glob(f"*{names.NDJSON}{names.OPEN}")
    return sorted(path for path in found if ours(path.name) and path.is_file() and not path.is_symlink())


def left_open(directory: Path, prefix: str) -> list[tuple[Path, int]]:
    """The `.open` files that no living process holds, with their sizes. Raises OSError."""
    found = []
    for path in orphans(directory, prefix):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if durable.try_lock(file.fileno()):
                found.append((path, os.fstat(file.fileno()).st_size))
    return found
