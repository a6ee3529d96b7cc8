"""`ingestd doctor`: what looks wrong, in plain words, and a report with what a maintainer would ask for."""

from __future__ import annotations

from pathlib import Path

import click

from ingestd.cli import admin_client, check, doctor_findings, doctor_report, unit_file
from ingestd.cli.options import admin_option, config_option
from ingestd.errors import ConfigError, IngestdError
from ingestd.system import durable

NGINX = Path("/etc/nginx/ingestd")


@click.command("doctor")
@config_option
@admin_option
@click.option(
    "--unit", "unit_name", metavar="NAME", help="The systemd unit: for its log, and as `check --unit`."
)
@click.option(
    "--nginx", "nginx", type=click.Path(path_type=Path), default=NGINX, show_default=True,
    help="The directory of the files that `ingestd nginx` wrote.",
)  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="Write the report to this file: versions, configuration, status, metrics, disk, log.",
)  # fmt: skip
def command(
    config_path: Path, admins: tuple[str, ...], unit_name: str | None, nginx: Path, output: Path | None
) -> int:
    """Say what looks wrong, and collect what a maintainer would ask for.

    It looks at the configuration and this machine as `ingestd check` does, at the running instances, at the
    disk, at the log, and at whether nginx knows the configured sources. The report has no secrets and no
    events; read it before you send it to anybody.

    \b
    Exit status: 0 nothing looks wrong, 1 something does.

    \b
    Example:
      ingestd doctor
      sudo ingestd doctor --unit ingestd -o report.txt
    """
    unit = unit_file.read(unit_name) if unit_name else None
    report = check.examine(config_path, unit)
    looks = [doctor_findings.look_at(address) for address in _addresses(config_path, admins)]
    log = doctor_report.log_of(unit_name)
    findings = [
        *(f"configuration: {problem}" for problem in report.problems),
        *doctor_findings.of_instances(looks, config_path),
        *doctor_findings.of_log(log),
    ]
    if report.settings is not None:
        findings += doctor_findings.of_disk(report.settings)
        findings += doctor_findings.of_nginx(report.settings, nginx)
    for finding in findings:
        click.echo(f"- {finding}")
    for warning in report.warnings:
        click.echo(f"- perhaps: {warning}")
    if not findings:
        click.echo("Nothing looks wrong.")
    if output is not None:
        text = doctor_report.text(config_path, report, looks, findings, log)
        try:
            durable.atomic_write(output, text.encode(), 0o600)
        except OSError as error:
            raise IngestdError(f"{output}: {error.strerror}") from error
        click.echo(f"{output}: the report; read it before you send it")
    return 1 if findings else 0


def _addresses(config_path: Path, admins: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return admin_client.addresses(config_path, admins)
    except ConfigError:
        return ()  # the check reports it
