"""`ingestd check`: can this configuration be used, here and now?"""

from __future__ import annotations

import contextlib
import grp
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import time_ns

import click
import orjson
from click.core import ParameterSource

from ingestd import config
from ingestd.cli import EX_CONFIG, check_unit, unit_file
from ingestd.cli.options import config_option, json_option
from ingestd.cli.unit_file import Unit
from ingestd.errors import ConfigError, IngestdError, Problem
from ingestd.sources import advice
from ingestd.sources.factory import secret_problems
from ingestd.system import clock, tracing

CREATE_IT = "create it, owned by the user that runs ingestd"


@dataclass
class CheckReport:
    """The outcome. `problems`: the daemon would not start. `unconfirmed`: facts about platforms."""

    settings: config.Config | None = None
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    unconfirmed: list[Problem] = field(default_factory=list)


@click.command("check")
@config_option
@click.option(
    "--unit", "unit_name", metavar="NAME",
    help="Judge as this systemd unit would run it: ingestd, ingestd@1. Run it as root.",
)  # fmt: skip
@click.option("--unconfirmed", is_flag=True, help="List what no document of the platforms confirms.")
@json_option
@click.pass_context
def command(
    ctx: click.Context, config_path: Path, unit_name: str | None, unconfirmed: bool, as_json: bool
) -> int:
    """Check the configuration and what it needs of this machine.

    A problem is something with which the daemon does not start, or refuses events; a warning, something that
    may not be meant. Facts about the platforms that no document confirms are only counted: --unconfirmed
    lists them.

    With --unit it is judged as the service would run: its user, the directories it may write to
    (ReadWritePaths=), its secrets (LoadCredential=), homes that are hidden from it (ProtectHome=), ports in
    use, and the environment the unit sets. The configuration is then the unit's, unless -c names one.

    \b
    Exit status: 0 the configuration can be used, 78 it cannot.

    \b
    Example:
      ingestd check -c /etc/ingestd/ingestd.toml
      sudo ingestd check --unit ingestd
    """
    if unit_name is None:
        report = examine(config_path)
    else:
        unit = unit_file.read(unit_name)
        if ctx.get_parameter_source("config_path") == ParameterSource.DEFAULT:
            config_path = check_unit.config_of(unit) or config_path
        report = examine(config_path, unit)
    if as_json:
        tree = {
            "ok": not report.problems,
            "problems": list(map(asdict, report.problems)),
            "warnings": list(map(asdict, report.warnings)),
            "unconfirmed": list(map(asdict, report.unconfirmed)),
        }
        click.echo(orjson.dumps(tree, option=orjson.OPT_INDENT_2))
    else:
        show(config_path, report, unconfirmed=unconfirmed)
    return EX_CONFIG if report.problems else 0


def examine(path: Path, unit: Unit | None = None) -> CheckReport:
    """Check a configuration file and this machine, for the unit's service or for the user that runs this.

    Takes some seconds if Kafka is unreachable. Raises IngestdError if the unit cannot be judged.
    """
    with contextlib.ExitStack() as stack:
        environ: Mapping[str, str] = os.environ
        if unit is not None:
            environ = stack.enter_context(check_unit.environment(unit))
        return _examine(path, unit, environ)


def _examine(path: Path, unit: Unit | None, environ: Mapping[str, str]) -> CheckReport:
    report = CheckReport()
    if error := clock.error(time_ns()):  # not a problem of the configuration, and it may pass by itself
        report.warnings.append(Problem("this machine", error, "events are refused until it is right"))
    try:
        settings = report.settings = config.load(path, environ)
    except ConfigError as failure:
        report.problems += failure.problems
        return report
    report.problems += surroundings(settings)
    if unit is None:
        report.problems += unwritable_directories(settings)
    else:
        report.problems += check_unit.judge(unit, path, settings, Path(environ["CREDENTIALS_DIRECTORY"]))
    report.warnings += advice.advice(settings)
    report.unconfirmed += advice.unconfirmed(settings)
    if settings.kafka is not None and not report.problems:
        from ingestd.cli import check_kafka

        report.warnings += check_kafka.look(settings, settings.kafka)
    return report


def show(path: Path, report: CheckReport, *, unconfirmed: bool) -> None:
    """Print a report, problems and warnings to standard error; `unconfirmed`: list those facts."""
    for warning in [*report.warnings, *(report.unconfirmed if unconfirmed else ())]:
        click.echo(f"{path}: warning: {warning}", err=True)
    if report.unconfirmed and not unconfirmed:
        count = len(report.unconfirmed)
        facts = f"{count} fact{'s' * (count != 1)} about the platforms not confirmed"
        click.echo(f"{path}: {facts}; --unconfirmed lists them", err=True)
    for problem in report.problems:
        click.echo(f"{path}: {problem}", err=True)
    if report.settings is not None and not report.problems:
        count = len(report.settings.source)
        ack = report.settings.ingest.ack
        click.echo(f"{path}: ok, {count} source{'s' * (count != 1)}, ack {ack}")


def surroundings(settings: config.Config) -> list[Problem]:
    """Secrets, groups and packages that the configuration needs and this machine lacks."""
    problems = secret_problems(settings)
    if settings.kafka is not None:
        from ingestd.kafka.producer import connection_options

        try:
            connection_options(settings.kafka)
        except IngestdError as error:
            problems.append(Problem("kafka.security", str(error)))
    group = settings.ingest.socket_group
    if group and group not in {entry.gr_name for entry in grp.getgrall()}:
        problems.append(
            Problem("ingest.socket_group", f"no group {group!r} here", "nginx's group, often www-data")
        )
    if settings.tracing.endpoint and not tracing.installed():
        problems.append(Problem("tracing.endpoint", tracing.MISSING, tracing.HINT))
    return problems


def unwritable_directories(settings: config.Config) -> list[Problem]:
    """The directories of the configuration to which this user cannot write."""
    found = {key: unwritable(directory) for key, directory in check_unit.directories(settings).items()}
    return [Problem(key, reason, CREATE_IT) for key, reason in found.items() if reason]


def unwritable(directory: Path) -> str:
    """Why files cannot be created in a directory, or in its nearest existing parent; "" if they can."""
    existing = directory.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        return f"{existing} is not a directory"
    if os.statvfs(existing).f_flag & os.ST_RDONLY:  # first: for os.access it is not writable either
        return f"{existing} is read-only here (systemd's unit: ReadWritePaths={directory} in a drop-in)"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{existing} is not writable for user {os.geteuid()}"
    return ""
