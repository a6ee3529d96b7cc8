"""`ingestd spool`: look at what waits for Kafka, of a running instance or a stopped one. Changes nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import click
import orjson

from ingestd import config
from ingestd.commands.show import print_table
from ingestd.errors import IngestdError
from ingestd.spool import inspect
from ingestd.spool.spool import Stored

T = TypeVar("T")


def directories(path: Path, instance: str | None) -> list[Path]:
    """The spools of all instances, or of one. Raises ConfigError, IngestdError where there is none."""
    base = config.load(path).spool.directory
    found = [base / instance] if instance else sorted(entry for entry in base.glob("*") if entry.is_dir())
    if not found or not all(entry.is_dir() for entry in found):
        raise IngestdError(f"{base}: no spool" + (f" of instance {instance}" if instance else ""))
    return found


def ls(path: Path, instance: str | None, *, as_json: bool) -> int:
    """One row a segment."""
    rows = [("INSTANCE", "SEGMENT", "FRAMES", "BYTES", "FIRST", "LAST", "DELIVERED")]
    plain = []
    for directory in directories(path, instance):
        for one in _asking(directory, inspect.ls):
            rows.append((
                directory.name, one.file, str(one.frames), str(one.bytes),
                moment(one.first_ms), moment(one.last_ms), f"{one.released:.0%}",
            ))  # fmt: skip
            plain.append({"instance": directory.name, **{key: getattr(one, key) for key in one.__slots__}})
    if as_json:
        click.echo(orjson.dumps(plain, option=orjson.OPT_INDENT_2))
    else:
        print_table(rows)
    return 0


def verify(path: Path, instance: str | None, *, as_json: bool) -> int:
    """Check every byte. Returns 1 where anything is damaged."""
    sound = True
    plain = []
    for directory in directories(path, instance):
        report = _asking(directory, inspect.verify)
        sound = sound and report.sound
        findings = [{key: getattr(one, key) for key in one.__slots__} for one in report.findings]
        plain.append({
            "instance": directory.name, "sound": report.sound, "segments": report.segments,
            "frames": report.frames, "bytes": report.bytes, "findings": findings,
        })  # fmt: skip
        if not as_json:
            verdict = "sound" if report.sound else "DAMAGED"
            click.echo(f"{directory}: {verdict}, {report.segments} segments, {report.frames} frames")
            for one in report.findings:
                click.echo(f"  {one.file} at byte {one.offset}, {one.size} bytes: {one.what}")
    if as_json:
        click.echo(orjson.dumps(plain, option=orjson.OPT_INDENT_2))
    return 0 if sound else 1


def export(path: Path, instance: str | None, output: str) -> int:
    """Write the events that are not delivered yet as NDJSON."""
    count = 0
    with click.open_file(output, "wb") as target:
        for directory in directories(path, instance):
            for stored in _entries(directory):
                for line in stored.payload.split(b"\n"):
                    if line.startswith(b"{"):
                        target.write(line + b"\n")
                        count += 1
    print(f"{count} events", file=sys.stderr)
    return 0


def moment(milliseconds: int | None) -> str:
    """UTC, to the second."""
    if milliseconds is None:
        return "-"
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds / 1000))


def _entries(directory: Path) -> Iterator[Stored]:
    """What waits, with the spool's name in what cannot be read: the output's troubles are its own."""
    entries = inspect.entries(directory)
    while (stored := _asking(directory, lambda _: next(entries, None))) is not None:
        yield stored


def _asking(directory: Path, question: Callable[[Path], T]) -> T:
    try:
        return question(directory)
    except OSError as error:
        raise IngestdError(f"{directory}: {error.strerror or error}") from error
