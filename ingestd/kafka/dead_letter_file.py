"""The file for records that Kafka refuses, one line each, with the reason. Blocking.

A line is JSON: `reason`, the `topic` it was meant for, `at` (ms since the epoch), and `event`, the
original bytes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from ingestd.kafka.records import Record
from ingestd.system import durable

_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class DeadLetterFile:
    """Appends to `<directory>/dead-<instance>-<UTC day>.ndjson`."""

    def __init__(self, directory: Path, instance: str) -> None:
        self._directory = directory
        self._instance = instance
        self._named: Path | None = None  # the file whose name this process has made durable

    def write(self, records: Sequence[Record], reason: str) -> None:
        """Durable when it returns. Raises OSError."""
        day = time.strftime("%Y%m%d", time.gmtime())
        path = self._directory / f"dead-{self._instance}-{day}.ndjson"
        if path != self._named:
            durable.make_directory(self._directory)
        lines = b"".join(dead_letter(record, reason) + b"\n" for record in records)
        fd = os.open(path, _APPEND, 0o640)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":  # a crash tore a line; this one is not its end
                lines = b"\n" + lines
            try:
                durable.write_all(fd, lines)
                os.fdatasync(fd)
            except OSError:
                os.ftruncate(fd, size)
                raise
        finally:
            os.close(fd)
        if path != self._named:  # a process that was killed may have made it and not got so far
            durable.fsync_directory(self._directory)
            self._named = path


def dead_letter(record: Record, reason: str) -> bytes:
    """The line of one record, as JSON, without a newline."""
    return orjson.dumps(
        {
            "reason": reason,
            "topic": record.topic,
            "at": time.time_ns() // 1_000_000,
            "event": orjson.Fragment(record.value),
        }
    )
