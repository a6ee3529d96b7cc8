"""`ingestd check`: can this configuration be used, here and now?"""

from __future__ import annotations

import grp
import os
from dataclasses import asdict
from pathlib import Path
from time import time_ns

import click
import orjson

from ingestd import config
from ingestd.cli import EX_CONFIG
from ingestd.cli.options import config_option, json_option
from ingestd.errors import ConfigError, IngestdError, Problem
from ingestd.sources.advice import advice
from ingestd.sources.factory import secret_problems
from ingestd.system import clock, tracing

MAKE_IT = "make it, owned by the user that runs ingestd"


@click.command("check")
@config_option
@json_option
def command(config_path: Path, as_json: bool) -> int:
    """Check the configuration and what it needs of this machine.

    Exit status: 0 it can be used, 78 it cannot.

    \b
    Example:
      ingestd check -c /etc/ingestd/ingestd.toml
    """
    problems: list[Problem] = []
    settings = None
    try:
        settings = config.load(config_path)
    except ConfigError as error:
        problems += error.problems
    warnings: list[Problem] = []
    if wrong := clock.error(time_ns()):  # no problem of the configuration, and it may pass by itself
        warnings.append(Problem("this machine", wrong, "events are refused until it is right"))
    if settings is not None:
        problems += surroundings(settings)
        warnings += advice(settings)
        if settings.kafka is not None and not problems:
            from ingestd.cli.check_kafka import look

            warnings += look(settings, settings.kafka)
    if as_json:
        found = {
            "ok": not problems,
            "problems": list(map(asdict, problems)),
            "warnings": list(map(asdict, warnings)),
        }
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        return EX_CONFIG if problems else 0
    for warning in warnings:
        click.echo(f"{config_path}: warning: {warning}", err=True)
    if problems:
        for problem in problems:
            click.echo(f"{config_path}: {problem}", err=True)
    elif settings is not None:
        count = len(settings.source)
        click.echo(f"{config_path}: ok, {count} source{'s' * (count != 1)}, ack {settings.ingest.ack}")
    return EX_CONFIG if problems else 0


def surroundings(settings: config.Config) -> list[Problem]:
    """What the configuration names and this machine does not have, or not for this user."""
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
            Problem("ingest.socket_group", f"no group {group!r} here", "nginx' group, often www-data")
        )
    if settings.tracing.endpoint and not tracing.installed():
        problems.append(Problem("tracing.endpoint", tracing.MISSING, tracing.HINT))
    directories = {"file.directory": settings.file.directory} if settings.file is not None else {}
    if settings.kafka is not None:
        directories["kafka.dead_letter_directory"] = settings.kafka.dead_letter_directory
        if settings.spool.enabled:
            directories["spool.directory"] = settings.spool.directory
    for key, directory in directories.items():
        if trouble := unwritable(directory):
            problems.append(Problem(key, trouble, MAKE_IT))
    return problems


def unwritable(directory: Path) -> str:
    """Why files cannot be made in a directory (or in the nearest one there is above it); "" if they can."""
    existing = directory.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        return f"{existing} is no directory"
    if os.statvfs(existing).f_flag & os.ST_RDONLY:  # first: for os.access it is not writable either
        return f"{existing} is read-only here (systemd's unit: ReadWritePaths={directory} in a drop-in)"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{existing} is not writable for user {os.geteuid()}"
    return ""
