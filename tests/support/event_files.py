"""Finished files of made-up events, and their manifests."""

from __future__ import annotations

from pathlib import Path

from ingestd.file import names
from ingestd.file.manifest import Manifest
from ingestd.file.manifests import Manifests
from ingestd.tally import HOUR_MS, Rows, Tally
from tests.support.fakes import event_line

START = 1_700_000_000_000
HOUR = START // HOUR_MS


def event(number: int, source: str = "demo", hours: int = 0) -> bytes:
    """A whole line of a source and an hour."""
    line = event_line(number).replace(b'"n":', b'"source":"%s","n":' % source.encode())
    return line.replace(b"1700000000000", b"%d" % (START + hours * HOUR_MS))


def rows_of(lines: list[bytes]) -> Rows:
    """The rows of these lines."""
    tally = Tally()
    tally.add(line[:-1] for line in lines)
    return tally.rows


def finished(directory: Path, number: int, lines: list[bytes]) -> Path:
    """A finished file of instance `one`; `number`, of one digit, is in its time."""
    path = directory / f"clicks-one-20231114T22133{number}.000Z.ndjson"
    path.write_bytes(b"".join(lines))
    return path


def manifests_at(directory: Path) -> Manifests:
    """Those of the prefix `clicks`."""
    return Manifests(directory, "clicks")


def write_manifest(path: Path) -> Manifest | None:
    """The manifest of a finished file, where this has written it."""
    return manifests_at(path.parent).write(path)


def mark_removed(path: Path, now: float) -> None:
    """As retention does before it removes a file."""
    manifests_at(path.parent).mark_removed(path, now)


def read(path: Path) -> Manifest:
    """The manifest of a finished file."""
    return Manifest.read(names.manifest_path(path))
