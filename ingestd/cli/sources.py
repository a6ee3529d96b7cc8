"""The feeds: what is configured, what becomes of a request, what nginx must know."""

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


@click.command()
@config_option
@click.option(
    "-o", "--output", "directory", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Write http.conf and server.conf into this directory; default print them.",
)  # fmt: skip
@click.option("--spill", default="/var/log/nginx/ingestd.spill", show_default=True, help="The spill log.")
@click.option(
    "--rate", type=click.IntRange(1), default=20_000, show_default=True,
    help="Requests a second nginx lets through to one source; a second's worth may come at once.",
)  # fmt: skip
@click.option(
    "--requests", type=click.IntRange(1), default=4096, show_default=True,
    help="Requests of one source that may be under way at the same time.",
)  # fmt: skip
def nginx(config_path: Path, directory: Path | None, spill: str, rate: int, requests: int) -> None:
    """Make what nginx needs to know of the sources: replies where no instance answers, limits, spill log.

    \b
    Example:
      ingestd nginx -c /etc/ingestd/ingestd.toml -o /etc/nginx/ingestd
    """
    from ingestd.commands.nginx import run

    sys.exit(run(config_path, directory, spill, rate, requests))
