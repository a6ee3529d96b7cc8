"""Files that an audit looks through, and what it finds."""

from __future__ import annotations

from pathlib import Path

from ingestd.cli import audit_files
from ingestd.cli.audit import parse_hours
from ingestd.cli.audit_report import AuditFinding, AuditReport
from ingestd.file import compression, names
from tests.support.event_files import event

LINES = [[event(100 * n + k, ("demo", "ocean")[k % 2], k % 3) for k in range(12)] for n in range(3)]


def audit(files: list[Path], hours: str | None = None) -> AuditReport:
    return audit_files.audit(files[0].parent, parse_hours(hours))


def change(path: Path, lines: list[bytes]) -> str:
    """Write a file anew, in its own form; returns its plain name."""
    plain = path.with_name(names.plain_name(path.name))
    path.unlink()
    plain.write_bytes(b"".join(lines))
    if path != plain:
        compression.compress(plain, {".gz": "gzip", ".zst": "zstd"}[path.suffix])
    return plain.name


def only(report: AuditReport) -> AuditFinding:
    [finding] = report.findings
    return finding
