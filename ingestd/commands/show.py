"""`ingestd schema`, `sources`, `version`: what there is."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import click
import orjson

from ingestd import config
from ingestd.event import JSON_SCHEMA

LIBRARIES = ("uvloop", "httptools", "orjson", "falcon", "aiokafka")


def print_schema() -> None:
    """The event's JSON Schema."""
    click.echo(orjson.dumps(JSON_SCHEMA, option=orjson.OPT_INDENT_2))


def print_sources(path: Path, *, as_json: bool) -> None:
    """The configured sources. Raises ConfigError."""
    sources = config.load(path).source
    if as_json:
        click.echo(orjson.dumps([source.model_dump() for source in sources], option=orjson.OPT_INDENT_2))
        return
    rows = [("NAME", "PATH", "PROFILE", "TYPE", "METHODS", "REPLY")]
    rows += [
        (
            one.name,
            one.path,
            one.profile,
            one.type,
            ",".join(one.methods),
            f"{one.reply.status} {one.reply.body!r}",
        )
        for one in sources
    ]
    print_table(rows)


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_version(version: str, *, as_json: bool) -> None:
    """Our version, Python's and the libraries'."""
    found = {"ingestd": version, "python": platform.python_version()}
    found |= {name: metadata.version(name) for name in LIBRARIES}
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    else:
        click.echo(
            f"ingestd {version} (" + ", ".join(f"{n} {v}" for n, v in found.items() if n != "ingestd") + ")"
        )
