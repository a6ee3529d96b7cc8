"""A directory that nginx' worker can reach: pytest's own is closed to it, and long for a socket's path."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_place() -> Iterator[Path]:
    """A directory with a short path that nginx' worker may enter; removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="ingestd-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)
