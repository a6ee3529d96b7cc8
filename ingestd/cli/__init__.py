"""The command line: one module a command, imported when that command is called.

`ingestd version` does not wait for what `ingestd replay` imports. A module's `command` is the click command;
it returns its exit status (None: 0).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from ingestd import __version__
from ingestd.errors import ConfigError, IngestdError

EX_CONFIG = 78  # sysexits.h: a supervisor should not try again by itself

# Every command by the section of the help it stands in, with its summary: the first line of its own help.
SECTIONS: dict[str, dict[str, str]] = {
    "Run": {
        "serve": "Run the daemon.",
        "check": "Check the configuration and what it needs of this machine.",
    },
    "Sources": {
        "sources": "List the configured sources, or the tracking link of each.",
        "link": "Check a tracking link: is it right for its platform?",
        "explain": "Show what one request becomes, and why.",
        "send": "Send example callbacks to a running instance.",
    },
    "Watch": {
        "top": "Show live figures: rates by source, buffer, spool, Kafka.",
        "tail": "Follow events as they are stored.",
        "doctor": "Say what looks wrong, and collect what a maintainer would ask for.",
    },
    "Stored events": {
        "spool": "List, verify or export what waits on disk for Kafka.",
        "replay": "Send stored events, or requests that nginx spilled, to Kafka.",
        "audit": "Compare files or topics with their manifests.",
    },
    "Set up": {
        "init": "Write a first configuration and print the tracking links.",
        "install-units": "Install the systemd units, directories and nginx site.",
        "nginx": "Generate nginx's replies, limits and spill log format.",
    },
    "About": {
        "completion": "Print the completion script of a shell.",
        "schema": "Print the JSON Schema of an event.",
        "version": "Print the versions of ingestd and its libraries.",
    },
}


class LazyGroup(click.Group):
    """Imports a command's module when the command is called, and not for the list of commands.

    An IngestdError ends it with its message and a fixed exit status, without a traceback.
    """

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections
        self._summaries = {
            name: summary for section in sections.values() for name, summary in section.items()
        }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the help."""
        return list(self._summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module and return the command; None for an unknown name."""
        if cmd_name not in self._summaries:
            return None
        module = import_module(f"{__name__}.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands; a long summary wraps."""
        width = max(map(len, self._summaries))
        for title, section in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), summary) for name, summary in section.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command."""
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [
            *(
                CompletionItem(name, help=summary)
                for name, summary in self._summaries.items()
                if name.startswith(incomplete)
            ),
            *options,
        ]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and exit with the status it returns."""
        try:
            status = super().invoke(ctx)
        except ConfigError as error:
            for problem in error.problems:
                click.echo(f"{error.origin}: {problem}", err=True)
            status = EX_CONFIG
        except IngestdError as error:
            click.echo(f"ingestd: {error}", err=True)
            status = 1
        ctx.exit(status or 0)


@click.group(cls=LazyGroup, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ingestd", message="%(prog)s %(version)s")
def main() -> None:
    """Receive ad platforms' click callbacks and answer only when the click is on disk.

    The environment variable INGESTD_CONFIG names the configuration file for every command; -c overrides it.

    \b
    Example:
      ingestd serve -c conf/quickstart.toml
      ingestd send -c conf/quickstart.toml
      export INGESTD_CONFIG=/etc/ingestd/ingestd.toml; ingestd check; ingestd top
    """
