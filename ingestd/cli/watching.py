"""A running instance, looked at."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import click

from ingestd.cli.options import config_option


@click.command()
@config_option
@click.option("--admin", "admins", multiple=True, help="An instance's admin listener; repeat it for several.")
@click.option("--interval", type=click.FloatRange(0.1), default=1.0, show_default=True, help="Seconds.")
@click.option("-n", "--count", type=click.IntRange(1), help="Show it so many times; default until Ctrl-C.")
def top(config_path: Path, admins: tuple[str, ...], interval: float, count: int | None) -> None:
    """A live table: per source rate, time to store, refusals, repeats; buffer, spool, Kafka.

    \b
    Example:
      ingestd top -c /etc/ingestd/ingestd.toml
      ingestd top --admin tcp:127.0.0.1:9401 --admin tcp:127.0.0.1:9402
    """
    from ingestd.commands.top import run

    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(run(config_path, admins, interval, count))


@click.command()
@config_option
@click.option("--admin", help="The instance's admin listener; default the config's.")
@click.option("--source", help="Only of this source.")
@click.option("--flag", "flags", multiple=True, help="Only with this flag: macro, macro:imei, stale, ...")
@click.option("--param", "params", multiple=True, help="Only with this parameter: NAME or NAME=VALUE.")
@click.option("-n", "--count", type=click.IntRange(1), help="So many events; default until Ctrl-C.")
@click.option("--json", "whole", is_flag=True, help="Whole events, for a script.")
def tail(
    config_path: Path, admin: str | None, source: str | None, flags: tuple[str, ...], params: tuple[str, ...],
    count: int | None, whole: bool,
) -> None:  # fmt: skip
    """Follow events as they are stored. What is as good as a password is masked.

    The daemon does not wait for a slow reader: it leaves events out and says how many.

    \b
    Example:
      ingestd tail --source ocean --flag macro
      ingestd tail --param click_id=24oi6xq2aaakvagnqu7a --json -n 1
    """
    from ingestd.commands.tail import run

    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(run(config_path, admin, source, flags, params, count, whole=whole))
