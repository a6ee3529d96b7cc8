"""What waits on disk for Kafka."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ingestd.cli.options import config_option, json_option


@click.group("spool")
def spool_group() -> None:
    """Look at what waits on disk for Kafka, of a running instance or a stopped one.

    \b
    Example:
      ingestd spool ls -c /etc/ingestd/ingestd.toml
      ingestd spool verify
    """


instance_option = click.option("--instance", help="Only this instance's spool; default all.")


@spool_group.command("ls")
@config_option
@instance_option
@json_option
def spool_ls(config_path: Path, instance: str | None, as_json: bool) -> None:
    """List the segments: frames, bytes, times, the share that is delivered.

    \b
    Example:
      ingestd spool ls -c /etc/ingestd/ingestd.toml
    """
    from ingestd.commands.spool import ls

    sys.exit(ls(config_path, instance, as_json=as_json))


@spool_group.command("verify")
@config_option
@instance_option
@json_option
def spool_verify(config_path: Path, instance: str | None, as_json: bool) -> None:
    """Check every byte; name each damage by file and place. Exit status 1 where there is any.

    \b
    Example:
      ingestd spool verify -c /etc/ingestd/ingestd.toml
    """
    from ingestd.commands.spool import verify

    sys.exit(verify(config_path, instance, as_json=as_json))


@spool_group.command("export")
@config_option
@instance_option
@click.option("-o", "--output", default="-", show_default=True, help="A file; - is standard output.")
def spool_export(config_path: Path, instance: str | None, output: str) -> None:
    """Write the events that are not delivered yet as NDJSON, past any damage.

    \b
    Example:
      ingestd spool export -c /etc/ingestd/ingestd.toml -o undelivered.ndjson
    """
    from ingestd.commands.spool import export

    sys.exit(export(config_path, instance, output))
