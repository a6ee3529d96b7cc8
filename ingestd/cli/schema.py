"""`ingestd schema`."""

from __future__ import annotations

import click
import orjson

from ingestd.sources.event_schema import JSON_SCHEMA


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of an event.

    \b
    Example:
      ingestd schema > event.schema.json
    """
    click.echo(orjson.dumps(JSON_SCHEMA, option=orjson.OPT_INDENT_2))
