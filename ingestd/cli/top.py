"""`ingestd top`: a live table of one instance or several; a source's figures are those of all of them."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from ingestd.cli import admin_client
from ingestd.cli.options import admin_option, config_option
from ingestd.cli.top_figures import Status
from ingestd.cli.top_table import render
from ingestd.errors import IngestdError

# From the top left corner on, each line to its end: without a moment of emptiness.
HOME, TO_LINE_END, TO_SCREEN_END = "\x1b[H", "\x1b[K", "\x1b[J"
# Seconds; an instance that hangs must not hold up the others' figures.
TIMEOUT = 2.0


@click.command("top")
@config_option
@admin_option
@click.option(
    "--interval",
    type=click.FloatRange(0.1),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option(
    "-n", "--count", type=click.IntRange(1), help="Stop after this many tables; default: at Ctrl-C."
)
def command(config_path: Path, admins: tuple[str, ...], interval: float, count: int | None) -> int:
    """Show live figures: rates by source, buffer, spool, Kafka.

    TOTAL and KAFKA count since the start of each instance; so do SPOOLED, events waiting for Kafka, and DEAD,
    dead letters. The other columns of a source are rates, and times until an event is stored. On a narrow
    terminal some columns are left out and named. Piped, the table is as wide as it needs to be.

    \b
    Exit status: 0, or 1 if an instance did not respond at last.

    \b
    Example:
      ingestd top -c /etc/ingestd/ingestd.toml
      ingestd top --admin tcp:127.0.0.1:9401-9404
    """
    with contextlib.suppress(KeyboardInterrupt):
        return run(admin_client.addresses(config_path, admins), interval, count)
    return 0


def run(addresses: Sequence[str], interval: float, count: int | None) -> int:
    """Show a table every `interval` seconds, until interrupted or `count` times. Returns the exit status."""
    with ThreadPoolExecutor(len(addresses)) as pool:
        before, began = list(pool.map(ask, addresses)), time.monotonic()
        shown = 0
        while count is None or shown < count:
            time.sleep(interval)
            now, seconds = list(pool.map(ask, addresses)), time.monotonic() - began
            began += seconds
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            show(render(list(zip(addresses, before, now, strict=True)), seconds, width))
            before, shown = now, shown + 1
    return 0 if all("error" not in one for one in before) else 1


def ask(address: str) -> Status:
    """The /status of an instance, or `{"error": why}`."""
    try:
        return admin_client.status(address, TIMEOUT)
    except IngestdError as error:
        return {"error": str(error)}


def show(lines: list[str]) -> None:
    """Print a table: on a terminal in the place of the last one, cut to its height."""
    if not sys.stdout.isatty():
        click.echo("\n".join(lines) + "\n")
        return
    height = shutil.get_terminal_size().lines
    if len(lines) > height - 1:
        cut = len(lines) - height + 2
        lines = [*lines[: height - 2], f"... and {cut} more, less busy"]
    ended = "".join(f"{line}{TO_LINE_END}\n" for line in lines)
    click.echo(f"{HOME}{ended}{TO_SCREEN_END}", nl=False)
