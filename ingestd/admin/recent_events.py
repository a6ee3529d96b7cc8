"""A source's last events, read backwards from the file being written. Blocking: runs in a thread."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from ingestd.admin import redaction

# How far back a file is read, and how much of it at a time: Python's lock is held for that long.
FAR_BYTES, PIECE_BYTES = 8 << 20, 128 << 10
MOST = 20
BREATH = 0.001


def last_events(path: Path, source: str, hidden: frozenset[str], most: int = MOST) -> list[dict[str, Any]]:
    """The newest events of a source, newest first, with credentials masked. Raises OSError."""
    wanted = b'"source":"%s"' % source.encode()
    found: list[dict[str, Any]] = []
    for line in _backwards(path):
        if wanted in line:
            try:
                event = orjson.loads(line)
            except orjson.JSONDecodeError:  # not written whole yet
                continue
            if event.get("source") == source:
                found.append(redaction.mask_event(event, hidden))
                if len(found) == most:
                    break
    return found


def _backwards(path: Path) -> Iterator[bytes]:
    """Whole lines, the last first."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        lowest, rest = max(0, end - FAR_BYTES), b""
        while end > lowest:
            start = max(lowest, end - PIECE_BYTES)
            file.seek(start)
            first, *lines = (file.read(end - start) + rest).split(b"\n")
            yield from reversed(lines)
            rest, end = first, start
            if len(rest) > FAR_BYTES:
                return
            time.sleep(BREATH)
        if not lowest:
            yield rest
