"""What is on disk or in Kafka already: send it, check it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ingestd.cli.options import config_option, json_option


@click.command()
@config_option
@click.argument("inputs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Where to keep how far it got; default ./replay.checkpoint.",
)
@click.option("--dry-run", is_flag=True, help="Read and count, send nothing.")
@click.option(
    "--from", "origin", type=click.Choice(["files", "nginx-spill"]), default="files", show_default=True,
    help="What the inputs are: events, or requests nginx answered while no instance did.",
)  # fmt: skip
def replay(
    config_path: Path, inputs: tuple[Path, ...], checkpoint: Path | None, dry_run: bool, origin: str
) -> None:
    """Send what is on disk already to Kafka: finished files (plain, .gz, .zst), dead letters, spools.

    INPUTS are files or directories; default the configured file directory. Stopped and run again with the
    same checkpoint it goes on where it was. Exit status 1 where something was refused or is no event.

    With `--from nginx-spill` the inputs are nginx' spill logs: each request becomes the events it would have
    been, flagged `spilled`, in Kafka or, without [kafka], in finished files of the file directory. Lines that
    cannot be used are set aside in FILE.bad.

    \b
    Example:
      ingestd replay -c /etc/ingestd/ingestd.toml --dry-run
      ingestd replay -c /etc/ingestd/ingestd.toml /var/lib/ingestd/dead
      ingestd replay --from nginx-spill /var/log/nginx/ingestd.spill.1
    """
    if origin == "nginx-spill":
        from ingestd.commands.spill import run as run_spill

        sys.exit(run_spill(config_path, inputs, checkpoint, dry_run=dry_run))
    from ingestd.commands.replay import run

    sys.exit(run(config_path, inputs, checkpoint, dry_run=dry_run))


@click.command()
@config_option
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--topic", is_flag=True, help="The configured Kafka topics against kafka.manifest_topic.")
@click.option("--hours", metavar="FROM[..TO]", help="Only these hours (2026-01-31T23) or days, UTC.")
@json_option
def audit(config_path: Path, directory: Path | None, topic: bool, hours: str | None, as_json: bool) -> None:
    """Hold files or topics against their manifests: name what is missing, altered or repeated, and when.

    DIRECTORY defaults to the configured one. Of each file every byte and every id is looked at; files still
    being written are not. Memory: about 100 bytes an event of the largest file. Topics are read as a
    read_committed consumer does, more than once where they hold over 5,000,000 events of the hours.

    \b
    Exit status: 0 all there, 1 something is missing, altered or cannot be read, 3 nothing but repeats.

    \b
    Example:
      ingestd audit -c /etc/ingestd/ingestd.toml
      ingestd audit /srv/archive/clicks --hours 2026-01-31..2026-02-01 --json
      ingestd audit -c /etc/ingestd/ingestd.toml --topic --hours 2026-01-31T23
    """
    from ingestd.commands.audit import run

    sys.exit(run(config_path, directory, hours, topic=topic, as_json=as_json))
