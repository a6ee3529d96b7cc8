"""`ingestd replay`: events and requests that are on disk already, to Kafka."""

from __future__ import annotations

from pathlib import Path

import click

from ingestd.cli import replay_files, replay_spill
from ingestd.cli.options import config_option


@click.command("replay")
@config_option
@click.argument("inputs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="The file that says how far the replay got. Default: ./replay.checkpoint.",
)
@click.option("--dry-run", is_flag=True, help="Read and count, send nothing.")
@click.option(
    "--from", "origin", type=click.Choice(["files", "nginx-spill"]), default="files", show_default=True,
    help="The kind of inputs: events, or requests that nginx answered while no instance did.",
)  # fmt: skip
def command(
    config_path: Path, inputs: tuple[Path, ...], checkpoint: Path | None, dry_run: bool, origin: str
) -> int:
    """Send stored events, or requests that nginx spilled, to Kafka.

    INPUTS are finished files (plain, .gz, .zst), files of dead letters, spools, or directories of finished
    files; default the configured file directory. Stopped and run again with the same checkpoint it
    continues where it was. Exit status 1: something was refused or is not an event.

    With `--from nginx-spill` the inputs are nginx's spill logs: each request becomes the events it would have
    been, flagged `spilled`, in Kafka or, without [kafka], in finished files of the file directory. Lines that
    cannot be used are quarantined in FILE.bad.

    \b
    Example:
      ingestd replay -c /etc/ingestd/ingestd.toml --dry-run
      ingestd replay -c /etc/ingestd/ingestd.toml /var/lib/ingestd/dead
      ingestd replay --from nginx-spill /var/log/nginx/ingestd.spill.1
    """
    run = replay_spill.run if origin == "nginx-spill" else replay_files.run
    return run(config_path, inputs, checkpoint, dry_run=dry_run)
