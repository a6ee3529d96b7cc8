"""`ingestd audit`: files or topics held against their manifests. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ingestd import config
from ingestd.commands import audit_files
from ingestd.errors import IngestdError
from ingestd.manifest import parse_hour


def run(path: Path, directory: Path | None, hours: str | None, *, as_json: bool) -> int:
    """Returns the exit status: 0 all there, 1 something missing or altered, 3 nothing but repeats."""
    wanted = parse_hours(hours)
    if directory is None:
        settings = config.load(path)
        if settings.file is None:
            raise IngestdError(f"{path}: there is no [file] section; name a directory")
        directory = settings.file.directory
    if not directory.is_dir():
        raise IngestdError(f"{directory}: is no directory")
    report = audit_files.audit(directory, wanted)
    report.show(as_json=as_json)
    return report.status


def parse_hours(text: str | None) -> Callable[[int], bool]:
    """`FROM[..TO]`, each `2026-01-31T23` or a day, UTC, both included. Raises IngestdError."""
    if text is None:
        return lambda hour: True
    first, dots, last = text.partition("..")
    try:
        low = parse_hour(first if "T" in first else first + "T00")
        last = last if dots else first
        high = parse_hour(last if "T" in last else last + "T23")
    except ValueError as error:
        raise IngestdError(
            f"--hours {text}: write 2026-01-31T23, a day, or FROM..TO (UTC, both included)"
        ) from error
    return lambda hour: low <= hour <= high
