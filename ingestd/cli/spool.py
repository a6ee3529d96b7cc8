"""`ingestd spool`: looks at the batches on disk that Kafka has not confirmed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import click
import orjson

from ingestd import config
from ingestd.cli.options import config_option, json_option
from ingestd.cli.table import print_table
from ingestd.errors import IngestdError
from ingestd.spool import inspect
from ingestd.spool.envelope import lines
from ingestd.spool.spool import Stored

T = TypeVar("T")
instance_option = click.option("--instance", help="Only the spool of this instance. Default: all.")


@click.group("spool")
def command() -> None:
    """List, verify or export what waits on disk for Kafka.

    Of a running instance or a stopped one.

    \b
    Example:
      ingestd spool ls -c /etc/ingestd/ingestd.toml
      ingestd spool verify
    """


@command.command("ls")
@config_option
@instance_option
@json_option
def ls(config_path: Path, instance: str | None, as_json: bool) -> None:
    """List the segments: frames, bytes, times, the share that is delivered.

    \b
    Example:
      ingestd spool ls -c /etc/ingestd/ingestd.toml
    """
    rows = [("INSTANCE", "SEGMENT", "FRAMES", "BYTES", "FIRST", "LAST", "DELIVERED")]
    plain = []
    for directory in directories(config_path, instance):
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


@command.command("verify")
@config_option
@instance_option
@json_option
def verify(config_path: Path, instance: str | None, as_json: bool) -> int:
    """Check every byte and name each damage by file and place. Exit status 1: there is damage.

    \b
    Example:
      ingestd spool verify -c /etc/ingestd/ingestd.toml
    """
    sound = True
    plain = []
    for directory in directories(config_path, instance):
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


@command.command("export")
@config_option
@instance_option
@click.option("-o", "--output", default="-", show_default=True, help="A file; - is standard output.")
def export(config_path: Path, instance: str | None, output: str) -> None:
    """Write the undelivered events as NDJSON, skipping any damage.

    \b
    Example:
      ingestd spool export -c /etc/ingestd/ingestd.toml -o undelivered.ndjson
    """
    count = 0
    with click.open_file(output, "wb") as target:
        for directory in directories(config_path, instance):
            for stored in _entries(directory):
                for line in lines(stored.payload):
                    target.write(line + b"\n")
                    count += 1
    click.echo(f"{count} events", err=True)


def directories(path: Path, instance: str | None) -> list[Path]:
    """The spools of all instances, or of one. Raises ConfigError, IngestdError if there is no spool."""
    base = config.load(path).spool.directory
    found = [base / instance] if instance else sorted(entry for entry in base.glob("*") if entry.is_dir())
    if not found or not all(entry.is_dir() for entry in found):
        raise IngestdError(f"{base}: no spool" + (f" of instance {instance}" if instance else ""))
    return found


def moment(milliseconds: int | None) -> str:
    """A time in ms since the epoch as UTC text, to the second; "-" for None."""
    if milliseconds is None:
        return "-"
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(milliseconds / 1000))


def _entries(directory: Path) -> Iterator[Stored]:
    """Undelivered entries. An error of the spool names it; an error of the output does not."""
    entries = inspect.entries(directory)
    while (stored := _asking(directory, lambda _: next(entries, None))) is not None:
        yield stored


def _asking(directory: Path, question: Callable[[Path], T]) -> T:
    try:
        return question(directory)
    except OSError as error:
        raise IngestdError(f"{directory}: {error.strerror or error}") from error
