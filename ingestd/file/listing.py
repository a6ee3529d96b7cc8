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
    """A finished file with its time of writing (ns since the epoch) and its bytes on disk."""

    written_ns: int
    name: str
    size: int


def finished(directory: Path, prefix: str) -> list[FinishedFile]:
    """Finished files of all instances, oldest first. Raises OSError."""
    return _with_state(directory, _finished(directory, prefix)[0])


def unfinished(directory: Path, prefix: str, *, manifests: bool, compressed: bool) -> list[FinishedFile]:
    """Finished files, oldest first, that lack the manifest or the compression they should have.

    Notes as well that there are files of the prefix, see `names.ours`. Raises OSError.
    """
    found, there = _finished(directory, prefix)
    if found:
        names.claim(directory, prefix)
    return _with_state(
        directory,
        [
            name
            for name in found
            if (manifests and names.plain_name(name) + names.MANIFEST not in there)
            or (compressed and name.endswith(names.NDJSON))
        ],
    )


def _finished(directory: Path, prefix: str) -> tuple[list[str], set[str]]:
    """The names of finished files, and all names."""
    with os.scandir(directory) as entries:
        there = {entry.name for entry in entries}
    ours = names.ours(directory, prefix)
    return [name for name in there if names.is_finished(name) and ours(name)], there


def _with_state(directory: Path, found: list[str]) -> list[FinishedFile]:
    files = []
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in found:
            with contextlib.suppress(FileNotFoundError):  # another instance compresses and removes, too
                state = os.stat(name, dir_fd=fd)
                if stat.S_ISREG(state.st_mode):
                    files.append(FinishedFile(state.st_mtime_ns, name, state.st_size))
    finally:
        os.close(fd)
    return sorted(files)


def orphans(directory: Path, prefix: str) -> list[Path]:
    """`.open` files of any instance, some of which a living process may hold. Links are left alone."""
    ours = names.ours(directory, prefix)
    with os.scandir(directory) as entries:
        found = [
            entry.name
            for entry in entries
            if entry.name.endswith(names.NDJSON + names.OPEN)
            and ours(entry.name)
            and entry.is_file(follow_symlinks=False)
        ]
    return [directory / name for name in sorted(found)]


def left_open(directory: Path, prefix: str) -> list[tuple[Path, int]]:
    """The `.open` files that no living process holds, with their sizes. Raises OSError."""
    found = []
    for path in orphans(directory, prefix):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if durable.try_lock(file.fileno()):
                found.append((path, os.fstat(file.fileno()).st_size))
    return found
