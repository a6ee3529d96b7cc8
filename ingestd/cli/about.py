"""What this is: the event's schema, the versions."""

from __future__ import annotations

import click

from ingestd import __version__
from ingestd.cli.options import json_option


@click.command()
def schema() -> None:
    """Print the event's JSON Schema.

    \b
    Example:
      ingestd schema > event.schema.json
    """
    from ingestd.commands.show import print_schema

    print_schema()


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Print the version, and those of the libraries the speed depends on.

    \b
    Example:
      ingestd version --json
    """
    from ingestd.commands.show import print_version

    print_version(__version__, as_json=as_json)
