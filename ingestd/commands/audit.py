"""`ingestd audit`: files or topics held against their manifests. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ingestd import config
from ingestd.commands import audit_files
from ingestd.errors import IngestdError
from ingestd.tally import parse_hour


def run(path: Path, directory: Path | None, hours: str | None, *, topic: bool, as_json: bool) -> int:
    """Returns the exit status: 0 all there, 1 something missing or altered, 3 nothing but repeats."""
    wanted = parse_hours(hours)
    if topic:
        if directory is not None:
            raise IngestdError("either a directory or --topic")
        from ingestd.commands import audit_topic

        report = audit_topic.audit(config.load(path), wanted, first_hour(hours))
        report.show(as_json=as_json)
        return report.status
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
    low, high = _span(text)
    return lambda hour: low <= hour <= high


def first_hour(text: str | None) -> int | None:
    """The first of the hours asked for, hours since the epoch. Raises IngestdError."""
    return _span(text)[0] if text is not None else None


def _span(text: str) -> tuple[int, int]:
    first, dots, last = text.partition("..")
    last = last if dots else first
    try:
        return (
            parse_hour(first if "T" in first else first + "T00"),
            parse_hour(last if "T" in last else last + "T23"),
        )
    except ValueError as error:
        raise IngestdError(
            f"--hours {text}: write 2026-01-31T23, a day, or FROM..TO (UTC, both included)"
        ) from error
