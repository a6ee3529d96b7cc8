"""`ingestd schema`, `sources`, `version`: what there is."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import click
import orjson

from ingestd import config
from ingestd.config.source import Source as SourceConfig
from ingestd.errors import ConfigError, IngestdError, Problem
from ingestd.event import JSON_SCHEMA
from ingestd.sources import links
from ingestd.sources.factory import read_keys

# Each has its equal in Python, at several times the cost.
COMPILED = (
    "ingestd._hot__mypyc",
    "ingestd.kafka._murmur2",
    "ingestd._tally",
    "ingestd.kafka._packer",
    "ingestd.sources._line",
    "ingestd.sources._scan",
)
LIBRARIES = ("uvloop", "httptools", "orjson", "aiokafka")


def print_schema() -> None:
    """The event's JSON Schema."""
    click.echo(orjson.dumps(JSON_SCHEMA, option=orjson.OPT_INDENT_2))


def print_sources(path: Path, *, as_json: bool) -> None:
    """The configured sources. Raises ConfigError."""
    sources = config.load(path).source
    if as_json:
        rows = [source.model_dump(mode="json") for source in sources]
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        return
    print_table(
        [
            ("NAME", "PATH", "PROFILE", "TYPE", "METHODS", "SIGNATURE", "REPLY"),
            *(
                (
                    one.name,
                    one.path,
                    one.profile,
                    one.type,
                    ",".join(one.methods),
                    one.signature.kind if one.signature.verifies else "-",
                    f"{one.reply.status} {one.reply.body!r}",
                )
                for one in sources
            ),
        ]
    )


def print_links(path: Path, base: str | None, route: str, *, show_secrets: bool, as_json: bool) -> None:
    """Each source's tracking link, and what its platform asks for besides. Raises ConfigError."""
    settings = config.load(path)
    base = base or settings.ingest.public_base
    if not base:
        raise IngestdError("where do platforms call? Give --base https://click.example.com")
    rows = []
    for source in settings.source:
        token = _token(source) if show_secrets else links.TOKEN
        rows.append(
            {
                "source": source.name,
                "platform": source.title,
                "link": links.link(source, base, route, token),
                "mandatory": source.mandatory,
                "notes": source.link_notes,
                "unconfirmed": source.unconfirmed,
            }
        )
    if as_json:
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        return
    for row in rows:
        click.echo(f"{row['source']}: {row['platform']}" if row["platform"] else row["source"])
        click.echo(f"  {row['link']}")
        if row["mandatory"]:
            click.echo(f"  mandatory: {', '.join(row['mandatory'])}")
        for note in row["notes"]:
            click.echo(f"  - {note}")
        for fact in row["unconfirmed"]:
            click.echo(f"  ? not confirmed: {fact}")
        click.echo()


def _token(source: SourceConfig) -> str:
    """The token to put into the link. Raises ConfigError where it cannot be read."""
    problems: list[Problem] = []
    keys = read_keys(source, problems) if source.signature.kind == "token" else []
    if problems:
        raise ConfigError("secrets", problems)
    return quote(keys[0].reveal(), safe="") if keys else links.TOKEN


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_version(version: str, *, as_json: bool) -> None:
    """Our version, Python's and the libraries'."""
    found = {"ingestd": version, "python": platform.python_version()}
    found |= {name: metadata.version(name) for name in LIBRARIES}
    missing = [name.rpartition(".")[2] for name in COMPILED if find_spec(name) is None]
    again = f"not {', '.join(missing)}, slower: install a C compiler and ingestd again"
    found["compiled"] = again if missing else "yes"
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    else:
        click.echo(
            f"ingestd {version} (" + ", ".join(f"{n} {v}" for n, v in found.items() if n != "ingestd") + ")"
        )
