"""The host around the daemon: its units, and what nginx must know."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ingestd.cli.options import config_option


@click.command("install-units")
@config_option
@click.option("--dry-run", is_flag=True, help="Say what would be written where; write nothing.")
@click.option("--force", is_flag=True, help="Replace files that differ; the old one is kept as FILE.old.")
@click.option(
    "-n", "--instances", type=click.IntRange(1, 64), default=1, show_default=True,
    help="1: ingestd.service; more: ingestd@1 to ingestd@N, each with its line in nginx' upstream.",
)  # fmt: skip
@click.option("--user", default="ingestd", show_default=True, help="The user and group it runs as.")
@click.option(
    "--socket-group", default="www-data", show_default=True, help="The group nginx' workers run as."
)
@click.option(
    "--binary",
    type=click.Path(path_type=Path),
    help="The `ingestd` to run; default that of this environment.",
)
@click.option(
    "--root", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path("/"),
    help="Write below this directory instead of /: an image, a package.",
)  # fmt: skip
def install_units(
    config_path: Path, dry_run: bool, force: bool, instances: int, user: str, socket_group: str,
    binary: Path | None, root: Path,
) -> None:  # fmt: skip
    """Write systemd's units, user and directories, and nginx' site, filled in; then say what to run next.

    A file that differs from what would be written is left, and the difference shown. The configuration and
    nginx' replies (`ingestd nginx` makes those) are only written where there are none. Change units in
    drop-ins (`systemctl edit ingestd`): those are never touched. Exit status 1: something was left.

    \b
    Example:
      ingestd install-units --dry-run
      ingestd install-units --instances 4
    """
    from ingestd.commands.host_files import Host
    from ingestd.commands.install_units import own_binary, run

    host = Host(binary or own_binary(), config_path, user, socket_group, instances)
    sys.exit(run(host, root, dry_run=dry_run, force=force))


@click.command()
@config_option
@click.option(
    "-o", "--output", "directory", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Write http.conf and server.conf into this directory; default print them.",
)  # fmt: skip
@click.option("--spill", default="/var/log/nginx/ingestd.spill", show_default=True, help="The spill log.")
@click.option(
    "--rate", type=click.IntRange(1), default=20_000, show_default=True,
    help="Requests a second nginx lets through to one source; a second's worth may come at once.",
)  # fmt: skip
@click.option(
    "--requests", type=click.IntRange(1), default=256, show_default=True,
    help="Requests of one source that may be under way: a fiftieth of what is taken in a second.",
)  # fmt: skip
def nginx(config_path: Path, directory: Path | None, spill: str, rate: int, requests: int) -> None:
    """Make what nginx needs to know of the sources: replies where no instance answers, limits, spill log.

    \b
    Example:
      ingestd nginx -c /etc/ingestd/ingestd.toml -o /etc/nginx/ingestd
    """
    from ingestd.commands.nginx import run

    sys.exit(run(config_path, directory, spill, rate, requests))
