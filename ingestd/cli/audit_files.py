"""Files held against their manifests, one file at a time. Changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path

import click
from xxhash import xxh3_128, xxh3_128_intdigest

from ingestd.cli.audit_report import AuditFinding, AuditReport, Repeats
from ingestd.errors import IngestdError
from ingestd.event import ID_SLICE
from ingestd.file import names
from ingestd.file.compression import UNREADABLE, open_plain
from ingestd.file.inventory import Inventory
from ingestd.file.manifest import Manifest
from ingestd.file.names import MANIFEST
from ingestd.file.scan import Scan, scan
from ingestd.tally import Row, Rows, add_row, key_of

Read = Callable[[int], None]
Hours = Callable[[int], bool]


def audit(directory: Path, hours: Hours) -> AuditReport:
    """The report on a directory; only files with events of these hours. Raises IngestdError."""
    report = AuditReport("files")
    try:
        inventory = Inventory.read(directory)
        found = inventory.manifests
        report.findings += (AuditFinding(*defect) for defect in inventory.defects())
        report.notes += inventory.notes()
        _note_uncovered(directory, found, report)
        asked = [one for one in found if any(hours(hour) for _, hour in one.rows)]
        with click.progressbar(
            length=sum(one.size for one in asked), label="reading files", file=sys.stderr
        ) as bar:
            for manifest in asked:
                _check_file(directory, manifest, report, bar.update)
    except OSError as error:
        raise IngestdError(f"{directory}: {error.strerror or error}") from error
    _same_content(asked, report)
    if not found and not report.findings:
        report.notes.append(f"there are no manifests in {directory}")
    return report


def _note_uncovered(directory: Path, found: Collection[Manifest], report: AuditReport) -> None:
    covered = {one.file for one in found}
    there = {path.name for path in directory.iterdir()}
    plain = set(map(names.plain_name, there))
    bare = sorted(name for name in plain - covered if names.stem_of(name) and name + MANIFEST not in there)
    if bare:
        few = ", ".join(bare[:3]) + (", ..." if len(bare) > 3 else "")
        report.notes.append(f"{len(bare)} files have no manifest yet and were not looked at: {few}")
    if written := sum(name.endswith(".ndjson.open") for name in there):
        report.notes.append(f"{written} files are still being written and were not looked at")


def _check_file(directory: Path, manifest: Manifest, report: AuditReport, read: Read) -> None:
    repeats = Repeats()
    try:
        found = _scan(directory, manifest, repeats, read)
    except (*UNREADABLE, ValueError) as error:
        report.expect(manifest.rows)
        report.places += 1
        report.findings.append(AuditFinding("altered", manifest.file, f"cannot be read to its end: {error}"))
        return
    if found is None:
        _absent(directory, manifest, report)
        return
    report.places += 1
    report.expect(manifest.rows)
    report.findings += repeats.findings(manifest.file)
    same = (found.size, found.digest) == (manifest.size, manifest.xxh3)
    once, every = found.tally.rows, _sum(found.tally.rows, repeats.rows)
    if same:  # repeats it was written with are in its manifest
        if every != manifest.rows:
            what = "its figures are not those of its file, whose bytes are as it says"
            report.findings.append(AuditFinding("manifest", manifest.file + MANIFEST, what))
        return
    differs = every != manifest.rows and report.compare(manifest.file, manifest.rows, once)
    if found.tally.others != manifest.others:
        what = f"{found.tally.others} lines that are no event"
        report.findings.append(AuditFinding("altered", manifest.file, what))
    elif not differs and not (repeats.rows and _is_the_rest(directory, manifest)):
        what = "bytes differ; every id is there, and in all as many bytes"
        report.findings.append(AuditFinding("altered", manifest.file, what))


def _sum(one: Rows, other: Rows) -> Rows:
    total = {key: Row(*row.figures()) for key, row in one.items()}
    for key, row in other.items():
        add_row(total, key, *row.figures())
    return total


def _is_the_rest(directory: Path, manifest: Manifest) -> bool:
    """Whether the file is what it was once its repeats are left out."""
    repeats, digest = Repeats(), xxh3_128()
    path = next(path for path in names.forms(directory / manifest.file) if path.exists())
    with open_plain(path) as plain:
        for line in plain:
            key = key_of(line)
            if key is None or not repeats.known(xxh3_128_intdigest(line[ID_SLICE]), line, key):
                digest.update(line)
    return bool(digest.hexdigest() == manifest.xxh3)


def _scan(directory: Path, manifest: Manifest, repeats: Repeats, read: Read) -> Scan | None:
    """None where the file is not there, neither plain nor compressed. It may be compressed meanwhile."""
    plain, *compressed = names.forms(directory / manifest.file)
    for path in (plain, *compressed, plain):
        try:
            return scan(path, known=repeats.known, read=read)
        except FileNotFoundError:
            continue
    return None


def _absent(directory: Path, manifest: Manifest, report: AuditReport) -> None:
    """Retention has said so in the manifest, perhaps since it was read; or the file is missing."""
    path = directory / (manifest.file + MANIFEST)
    try:
        removed = Manifest.read(path).removed_at is not None
    except (FileNotFoundError, ValueError):
        removed = manifest.removed_at is not None
    if removed:
        return
    report.places += 1
    report.expect(manifest.rows)
    report.findings.append(AuditFinding("missing", manifest.file, "the file is gone"))
    report.compare(manifest.file, manifest.rows, {})


def _same_content(found: Collection[Manifest], report: AuditReport) -> None:
    first: dict[tuple[int, str], str] = {}
    for manifest in found:
        other = first.setdefault((manifest.size, manifest.xxh3), manifest.file)
        if other != manifest.file and manifest.size:
            events = sum(row.events for row in manifest.rows.values())
            report.findings.append(
                AuditFinding("repeated", manifest.file, f"holds the same as {other}", events=events)
            )
