"""Counters of files, for the metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class FileCounters:
    """Counters by the names that `admin.metrics` declares."""

    files_finished: int = 0
    files_recovered: int = 0
    files_removed: int = 0
    file_errors: int = 0
    bad_bytes: int = 0
    manifest_mismatches: int = 0
