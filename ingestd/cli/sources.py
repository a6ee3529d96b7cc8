"""`ingestd sources`: what is configured, and the tracking links for the platforms' consoles."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import click
import orjson

from ingestd import config
from ingestd.cli.options import config_option, json_option
from ingestd.cli.table import print_table
from ingestd.config.source import SourceConfig
from ingestd.errors import ConfigError, IngestdError, Problem
from ingestd.sources import links
from ingestd.sources.factory import read_keys


@click.command("sources")
@config_option
@click.option(
    "--links", "show_links", is_flag=True, help="Print the tracking link for each platform's console."
)
@click.option("--base", metavar="URL", help="Scheme and host of the links. Default: ingest.public_base.")
@click.option("--route", default="", help="The route in the links: an app or a campaign.")
@click.option("--show-secrets", is_flag=True, help="Put the real tokens into the links.")
@json_option
def command(
    config_path: Path, show_links: bool, base: str | None, route: str, show_secrets: bool, as_json: bool
) -> None:
    """List the configured sources, or the tracking link of each.

    \b
    Example:
      ingestd sources -c /etc/ingestd/ingestd.toml
      ingestd sources -c /etc/ingestd/ingestd.toml --links --base https://click.example.com --route app42
    """
    settings = config.load(config_path)
    if show_links:
        print_links(settings, base, route, show_secrets=show_secrets, as_json=as_json)
    else:
        print_sources(settings, as_json=as_json)


def print_sources(settings: config.Config, *, as_json: bool) -> None:
    """Print a row for each source, or its whole configuration as JSON."""
    sources = settings.source
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


def print_links(
    settings: config.Config, base: str | None, route: str, *, show_secrets: bool, as_json: bool
) -> None:
    """Print each source's tracking link, and what its platform asks for besides. Raises ConfigError."""
    base = base or settings.ingest.public_base
    if not base:
        raise IngestdError(
            "the scheme and host of the links are missing; give --base https://click.example.com"
        )
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
    """The token to put into the link. Raises ConfigError if it cannot be read."""
    problems: list[Problem] = []
    keys = read_keys(source, problems) if source.signature.kind == "token" else []
    if problems:
        raise ConfigError("secrets", problems)
    return quote(keys[0].reveal(), safe="") if keys else links.TOKEN
