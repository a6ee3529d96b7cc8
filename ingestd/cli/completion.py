"""`ingestd completion`: the script by which a shell completes its commands."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

PROGRAM, VARIABLE = "ingestd", "_INGESTD_COMPLETE"
SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    Tab then completes commands, options, choices, file names and, after --source, the configured sources.
    bash must be 4.4 or newer.

    \b
    Example:
      ingestd completion bash > /etc/bash_completion.d/ingestd
      ingestd completion zsh > "${fpath[1]}/_ingestd"
      ingestd completion fish > ~/.config/fish/completions/ingestd.fish
    """
    click.echo(SHELLS[shell](ctx.find_root().command, {}, PROGRAM, VARIABLE).source())
