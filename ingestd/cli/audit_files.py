"""Compares files with their manifests, one file at a time. Changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path

import click
from xxhash import xxh3_128, xxh3_128_intdigest

from ingestd.cli.audit_notes import not_looked_at
from ingestd.cli.audit_report import AuditFinding, AuditReport, Repeats
from ingestd.errors import IngestdError
from ingestd.event import ID_SLICE
from ingestd.file import names, scan
from ingestd.file.compression import UNREADABLE, open_plain
from ingestd.file.inventory import Inventory
from ingestd.file.manifest import Manifest
from ingestd.file.names import MANIFEST
from ingestd.file.scan import Scan
from ingestd.tally import Row, Rows, add_row, count_repeats, key_of

Read = Callable[[int], None]
Hours = Callable[[int], bool]


def audit(directory: Path, hours: Hours, *, start: str = "", copy: bool = False) -> AuditReport:
    """The report on a directory; only files with events of these hours. Raises IngestdError.

    `start`: the file to begin with, after an audit that was interrupted. `copy`: the directory is a copy,
    whose chains may be newer than its manifests, also where the chains do not show it.
    """
    report = AuditReport("files")
    try:
        inventory = Inventory.read(directory, copy=copy)
        found = inventory.manifests
        report.findings += (AuditFinding(*defect) for defect in inventory.defects())
        report.notes += inventory.notes()
        report.notes += not_looked_at(directory, {one.file for one in found})
        asked = [one for one in found if one.file >= start and any(hours(hour) for _, hour in one.rows)]
        looked_at = _check_files(directory, asked, report)
    except OSError as error:
        raise IngestdError(f"{directory}: {error.strerror or error}") from error
    _same_content(looked_at, report)
    if not found:
        report.notes.append(f"there are no manifests in {directory}")
    elif not asked:
        report.notes.append(f"none of {len(found)} manifests has events of these hours")
    return report


def _check_files(directory: Path, asked: list[Manifest], report: AuditReport) -> list[Manifest]:
    """Check each file; an interrupt (Ctrl-C) ends that. Returns those that were looked at."""
    done: list[Manifest] = []
    total = sum(one.size for one in asked)
    with click.progressbar(length=total, label="reading files", file=sys.stderr) as bar:
        try:
            for manifest in asked:
                _check_file(directory, manifest, report, bar.update)
                done.append(manifest)
        except KeyboardInterrupt:
            report.interrupted = True
            left = len(asked) - len(done)
            report.notes.append(f"{left} files were not looked at: go on with --from {asked[len(done)].file}")
    return done


def _check_file(directory: Path, manifest: Manifest, report: AuditReport, read: Read) -> None:
    try:
        done = _is_as_written(directory, manifest, read)
        if done is None:
            _absent(directory, manifest, report)
            return
        repeats = Repeats()
        found = (
            None if done else _scan(directory, manifest, lambda path: scan.scan_lines(path, repeats.known))
        )
    except (*UNREADABLE, ValueError) as error:
        report.expect(manifest.rows)
        report.places += 1
        report.findings.append(AuditFinding("altered", manifest.file, f"cannot be read to its end: {error}"))
        return
    report.places += 1
    report.expect(manifest.rows)
    if found is not None:
        _judge(directory, manifest, found, repeats, report)


def _is_as_written(directory: Path, manifest: Manifest, read: Read) -> bool | None:
    """Whether a file is what its manifest says, and no id is there twice; None where it is not there.

    One fast pass, after which most files are done with. The others are read again line by line.
    """
    ids = bytearray()
    found = _scan(directory, manifest, lambda path: scan.scan(path, ids=ids, read=read))
    if found is None:
        return None
    if (found.size, found.digest, found.tally.rows) != (manifest.size, manifest.xxh3, manifest.rows):
        return False
    return count_repeats(ids) == 0


def _judge(
    directory: Path, manifest: Manifest, found: Scan, repeats: Repeats, report: AuditReport
) -> None:  # fmt: skip
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
        what = f"{found.tally.others} lines are not events"
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


def _scan(directory: Path, manifest: Manifest, look: Callable[[Path], Scan]) -> Scan | None:
    """None where the file is not there, neither plain nor compressed. It may be compressed meanwhile."""
    plain, *compressed = names.forms(directory / manifest.file)
    for path in (plain, *compressed, plain):
        try:
            return look(path)
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
