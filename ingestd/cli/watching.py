"""A running instance, looked at."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import click

from ingestd.cli.options import config_option

admin_option = click.option(
    "--admin", "admins", multiple=True, metavar="ADDRESS",
    help="An instance's admin listener, or several: tcp:127.0.0.1:9401-9404; may be repeated.",
)  # fmt: skip


@click.command()
@config_option
@admin_option
@click.option("--interval", type=click.FloatRange(0.1), default=1.0, show_default=True, help="Seconds.")
@click.option("-n", "--count", type=click.IntRange(1), help="Show it so many times; default until Ctrl-C.")
def top(config_path: Path, admins: tuple[str, ...], interval: float, count: int | None) -> None:
    """A live table: per source rate, time to store, refusals, repeats; buffer, spool, Kafka.

    \b
    Example:
      ingestd top -c /etc/ingestd/ingestd.toml
      ingestd top --admin tcp:127.0.0.1:9401-9404
    """
    from ingestd.commands.top import run

    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(run(config_path, admins, interval, count))


@click.command()
@config_option
@admin_option
@click.option("--source", help="Only of this source.")
@click.option("--flag", "flags", multiple=True, help="Only with this flag: macro, macro:imei, stale, ...")
@click.option("--param", "params", multiple=True, help="Only with this parameter: NAME or NAME=VALUE.")
@click.option("-n", "--count", type=click.IntRange(1), help="So many events; default until Ctrl-C.")
@click.option("--json", "whole", is_flag=True, help="Whole events, for a script.")
def tail(
    config_path: Path, admins: tuple[str, ...], source: str | None, flags: tuple[str, ...],
    params: tuple[str, ...], count: int | None, whole: bool,
) -> None:  # fmt: skip
    """Follow events as they are stored. What is as good as a password is masked.

    The daemon gives a hundredth of its time to each reader: past that it leaves events out and says how many.
    It looks for --source, --flag and --param before, so what they ask for is seen however much else comes.

    \b
    Example:
      ingestd tail --source ocean --flag macro
      ingestd tail --param click_id=24oi6xq2aaakvagnqu7a --json -n 1
    """
    from ingestd.commands.tail import run

    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(run(config_path, admins, source, flags, params, count, whole=whole))
