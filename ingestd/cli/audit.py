"""`ingestd audit`: compares files or topics with their manifests, of which it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from ingestd import config
from ingestd.admin import evidence
from ingestd.cli import audit_files
from ingestd.cli.audit_report import ALL_THERE, MISSING, REPEATED, AuditReport
from ingestd.cli.options import config_option, json_option
from ingestd.config.sections import FileConfig
from ingestd.errors import IngestdError
from ingestd.tally import parse_hour


@click.command("audit")
@config_option
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--topic", is_flag=True, help="The configured Kafka topics against kafka.manifest_topic.")
@click.option("--hours", metavar="FROM[..TO]", help="Only these hours (2026-01-31T23) or days, UTC.")
@click.option("--from", "start", metavar="FILE", default="", help="Begin at this file, after an interrupt.")
@click.option("--copy", is_flag=True, help="DIRECTORY is a copy: it may lack the newest files.")
@json_option
def command(
    config_path: Path, directory: Path | None, topic: bool, hours: str | None, start: str, copy: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Compare files or topics with their manifests.

    Names what is missing, altered or repeated, and when. DIRECTORY defaults to the configured one. Every
    byte and id of a file is looked at; files still being written are not. Memory: about 40 bytes an event of
    the largest file, 100 if ids are repeated. Ctrl-C shows what was found until then. Topics are read as a
    read_committed consumer does, more than once where they hold over 5,000,000 events of the hours.

    The verdict on the configured directory is kept in it, as .PREFIX.audit, for the status page.

    \b
    Exit status: 0 all there, 1 something is missing, altered or cannot be read, 3 only repeats,
    4 there was nothing to look at, 130 interrupted.

    \b
    Example:
      ingestd audit -c /etc/ingestd/ingestd.toml
      ingestd audit /srv/archive/clicks --hours 2026-01-31..2026-02-01 --json
      ingestd audit --copy /backup/clicks
      ingestd audit -c /etc/ingestd/ingestd.toml --topic --hours 2026-01-31T23
    """
    wanted = parse_hours(hours)
    if topic:
        if directory is not None or start or copy:
            raise IngestdError("DIRECTORY, --from and --copy are about files: not together with --topic")
        from ingestd.cli import audit_topic

        report = audit_topic.audit(config.load(config_path), wanted, first_hour(hours))
        report.show(as_json=as_json)
        return report.status
    configured = None
    if directory is None:
        configured = config.load(config_path).file
        if configured is None:
            raise IngestdError(f"{config_path}: no [file] section; name a directory")
        directory = configured.directory
    if not directory.is_dir():
        raise IngestdError(f"{directory}: not a directory")
    report = audit_files.audit(directory, wanted, start=start, copy=copy)
    report.show(as_json=as_json)
    if configured is not None and not start:
        _note(report, configured, hours)
    return report.status


def _note(report: AuditReport, settings: FileConfig, hours: str | None) -> None:
    """Keep a verdict for the status page; whoever may only read there is told that it is not kept."""
    if report.status not in (ALL_THERE, MISSING, REPEATED):
        return
    try:
        evidence.note_audit(
            settings.directory, settings.prefix, status=report.status, files=report.places,
            events=report.events, findings=[str(one) for one in report.findings], hours=hours or "",
        )  # fmt: skip
    except OSError as error:
        click.echo(f"the status page will not show this audit: {error}", err=True)


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
