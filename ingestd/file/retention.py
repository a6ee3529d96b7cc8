"""Which finished files are there, and which are to be removed: too old, or too many bytes. Blocking."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from ingestd.file import names
from ingestd.system import durable


def finished(directory: Path, prefix: str) -> list[Path]:
    """Finished files of all instances, oldest first."""
    return [path for path, _ in _finished(directory, prefix)]


def _finished(directory: Path, prefix: str) -> list[tuple[Path, os.stat_result]]:
    found = []
    ours = names.ours(directory, prefix)
    with os.scandir(directory) as entries:
        for entry in entries:
            if not (names.is_finished(entry.name) and ours(entry.name)):
                continue
            with contextlib.suppress(FileNotFoundError):  # another instance compresses and removes, too
                if stat.S_ISREG((state := entry.stat()).st_mode):
                    found.append((directory / entry.name, state))
    return sorted(found, key=lambda entry: entry[1].st_mtime_ns)


def expire(
    directory: Path,
    prefix: str,
    *,
    older_than: float | None,
    keep_bytes: int,
    removing: Callable[[Path], None] = lambda path: None,
) -> list[Path]:
    """Remove finished files last written before `older_than` (epoch s), then the oldest past `keep_bytes`.

    0 or None keeps all. Open files and `.bad` files are never touched. `removing` is told of each file
    before it goes. Raises OSError.
    """
    files = _finished(directory, prefix)
    total = sum(state.st_size for _, state in files)
    removed = []
    for path, state in files:
        too_old = older_than is not None and state.st_mtime < older_than
        if too_old or (keep_bytes and total > keep_bytes):
            removing(path)
            durable.unlink_quietly(path)
            total -= state.st_size
            removed.append(path)
    return removed
