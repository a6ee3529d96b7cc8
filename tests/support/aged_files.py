"""Finished files of any age, in a directory."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.fakes import event_line

DATA = b"".join(event_line(number) for number in range(500))

# Names that are not those of finished files of the prefix `clicks`.
NOT_OURS = [
    "clicks-a-1.ndjson.open", "clicks-a-1.ndjson.bad", "clicks-a-1.ndjson.zst.tmp", "clicks-a-1.txt",
    "impressions-a-1.ndjson", "notes.ndjson", "clicks-a-1.ndjson.open.tmp",
]  # fmt: skip


def finished(directory: Path, name: str, data: bytes = DATA, age: float = 0.0) -> Path:
    path = directory / name
    path.write_bytes(data)
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return path


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())
