"""The feeds: what is configured, what becomes of a request."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ingestd.cli.options import config_option, json_option


@click.command()
@config_option
@click.option("--links", is_flag=True, help="The tracking link to paste into each platform's console.")
@click.option(
    "--base", metavar="URL", help="Scheme and host of the links; default the config's ingest.public_base."
)
@click.option("--route", default="", help="What follows the source's path in the links: an app, a campaign.")
@click.option("--show-secrets", is_flag=True, help="Put the real tokens into the links.")
@json_option
def sources(
    config_path: Path, links: bool, base: str | None, route: str, show_secrets: bool, as_json: bool
) -> None:
    """List the configured sources: name, path, profile, type, reply; or the link of each.

    \b
    Example:
      ingestd sources -c /etc/ingestd/ingestd.toml
      ingestd sources -c /etc/ingestd/ingestd.toml --links --base https://click.example.com --route app42
    """
    from ingestd.commands import show

    if links:
        show.print_links(config_path, base, route, show_secrets=show_secrets, as_json=as_json)
    else:
        show.print_sources(config_path, as_json=as_json)


@click.command()
@config_option
@click.argument("url_or_file")
@click.option("--post", metavar="TEXT|@FILE", help="As a POST with this body (@- reads standard input).")
@click.option("--content-type", default="application/x-www-form-urlencoded", show_default=True)
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A request header.")
@click.option("--show-secrets", is_flag=True, help="Do not mask callback credentials and signatures.")
@json_option
def explain(
    config_path: Path,
    url_or_file: str,
    post: str | None,
    content_type: str,
    headers: tuple[str, ...],
    show_secrets: bool,
    as_json: bool,
) -> None:
    """Show what becomes of one request, and why: source, parameters, signature, keys, flags, reply.

    URL_OR_FILE is a URL, a path, or a file with one (or `-`), or a file with a whole request as it was sent.
    Nothing is stored.

    \b
    Example:
      ingestd explain -c conf/quickstart.toml 'https://click.example.com/c/demo/app42?imei=__IMEI__&ts=1718000000123'
      ingestd explain -c /etc/ingestd/ingestd.toml captured-request.txt
    """
    from ingestd.commands.explain import run

    sys.exit(
        run(
            config_path,
            url_or_file,
            post,
            content_type,
            headers,
            as_json=as_json,
            show_secrets=show_secrets,
        )
    )
