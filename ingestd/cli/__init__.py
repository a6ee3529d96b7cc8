"""The command line: in each module here a few commands with their options and help, nothing else.

What a command does is in `ingestd/commands/`, loaded only when it is called: `ingestd version` does not wait
for what `ingestd replay` needs.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from ingestd.cli import about, daemon, host, sources, spool, stored, watching
from ingestd.errors import ConfigError, IngestdError

EX_CONFIG = 78  # sysexits.h: a supervisor should not try again by itself

COMMANDS: tuple[click.Command, ...] = (
    daemon.serve,
    daemon.check,
    daemon.send,
    sources.sources,
    sources.explain,
    host.install_units,
    host.nginx,
    watching.top,
    watching.tail,
    stored.replay,
    stored.audit,
    spool.spool_group,
    about.schema,
    about.version,
)


class Failing(click.Group):
    """Ends with a message and a fixed status, not a traceback, where an error was foreseen."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for problem in error.problems:
                click.echo(f"{error.origin}: {problem}", err=True)
            sys.exit(EX_CONFIG)
        except IngestdError as error:
            click.echo(f"ingestd: {error}", err=True)
            sys.exit(1)


@click.group(cls=Failing, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Takes ad platforms' click callbacks and answers only when the click is on disk.

    \b
    Example:
      ingestd serve -c conf/quickstart.toml
      ingestd send -c conf/quickstart.toml
    """


for command in COMMANDS:
    main.add_command(command)
