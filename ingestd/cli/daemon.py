"""The daemon itself: run it, check what it would run with, call it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ingestd.cli.options import config_option, json_option


@click.command()
@config_option
def serve(config_path: Path) -> None:
    """Run the daemon.

    \b
    Signals: TERM, INT  answer what is under way, store everything, stop
             HUP        read the sources anew; a wrong file changes nothing
             USR1       finish the present file
    Exit status: 0 stopped in order, 1 could not start or not everything was stored, 78 wrong configuration.

    \b
    Example:
      ingestd serve -c conf/quickstart.toml
    """
    from ingestd.commands.serve import run

    sys.exit(run(config_path))


@click.command()
@config_option
@json_option
def check(config_path: Path, as_json: bool) -> None:
    """Say whether the configuration can be used, here and now, and what to write where it cannot.

    \b
    Example:
      ingestd check -c /etc/ingestd/ingestd.toml
    """
    from ingestd.commands.check import run

    sys.exit(run(config_path, as_json=as_json))


@click.command()
@config_option
@click.option(
    "--to",
    "target",
    help="Where to: unix:PATH, tcp:HOST:PORT or http://HOST:PORT. Default: the config's listener.",
)
@click.option(
    "-n", "--count", type=click.IntRange(1), default=100, show_default=True, help="Requests in all."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Requests a second; default as fast as it answers.",
)
@click.option("--connections", type=click.IntRange(1, 1000), default=8, show_default=True)
@click.option("--source", help="Only to this source; default the sources in turn.")
def send(
    config_path: Path,
    target: str | None,
    count: int,
    rate: float | None,
    connections: int,
    source: str | None,
) -> None:
    """Send real example callbacks to a running instance and say how they were answered.

    \b
    Example:
      ingestd send -c conf/quickstart.toml -n 1000
      ingestd send -c /etc/ingestd/ingestd.toml --to http://127.0.0.1:80 -n 20
    """
    from ingestd.commands.send import run

    sys.exit(run(config_path, target, count, rate, connections, source))
