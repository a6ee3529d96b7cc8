"""`ingestd explain`: one request, and everything that would become of it."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import orjson

from ingestd import config
from ingestd.admin import explanation
from ingestd.cli import explain_text
from ingestd.cli.link import as_trees, described
from ingestd.cli.options import config_option, json_option
from ingestd.errors import IngestdError
from ingestd.http import captured_request
from ingestd.http.parser import Limits
from ingestd.http.request import Headers, Request
from ingestd.pipeline.counters import Counters
from ingestd.sources import factory
from ingestd.sources.link_faults import LinkFault, is_link, judge
from ingestd.sources.link_parts import source_of
from ingestd.sources.router import Router

WRONG_LINK = 3  # exit status: an event, and its link has a fault


@click.command("explain")
@config_option
@click.argument("url_or_file")
@click.option("--post", metavar="TEXT|@FILE", help="As a POST with this body (@- reads standard input).")
@click.option("--content-type", default="application/x-www-form-urlencoded", show_default=True)
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A request header.")
@click.option("--show-secrets", is_flag=True, help="Do not mask callback credentials and signatures.")
@json_option
def command(
    config_path: Path, url_or_file: str, post: str | None, content_type: str, headers: tuple[str, ...],
    show_secrets: bool, as_json: bool,
) -> int:  # fmt: skip
    """Show what one request becomes, and why.

    URL_OR_FILE is a URL, a path, or a file with one (or `-`), or a file with a whole request as it was sent.
    Nothing is stored. The URL is also checked as `ingestd link` checks a tracking link, as far as a request
    can tell.

    \b
    Exit status: 0 the request becomes an event, 1 it is refused, 3 it becomes an event and its link is wrong.

    \b
    Example:
      ingestd explain -c conf/quickstart.toml 'https://click.example.com/c/demo/app42?imei=__IMEI__&ts=1718000000123'
      ingestd explain -c /etc/ingestd/ingestd.toml captured-request.txt
    """
    settings = config.load(config_path)
    ingest = settings.ingest
    limits = Limits(ingest.max_target, ingest.max_headers, ingest.max_body)
    asked, url = read(url_or_file, post, content_type, headers, limits)
    router = Router(factory.build(settings, Counters(), f"explain/{ingest.instance}"))
    found = explanation.explain(router, asked, show_secrets=show_secrets)
    faults = _link_faults(settings, asked, url)
    found["link"] = as_trees(url, faults)
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    else:
        explain_text.show(found, [described(url, fault) for fault in faults])
    if "refused" in found:
        return 1
    return WRONG_LINK if any(fault.certain for fault in faults) else 0


def _link_faults(settings: config.Config, asked: Request, url: str) -> list[LinkFault]:
    """What is wrong with the link the request came by; a POST says too little of it."""
    source = source_of(url, settings.source)
    if source is None or asked.method != b"GET":
        return []
    base = source.signature.public_base or settings.ingest.public_base
    return judge(url, source, base, of_click=not is_link(url, source))


def read(
    what: str, post: str | None, content_type: str, headers: tuple[str, ...], limits: Limits
) -> tuple[Request, str]:
    """The request of a URL or path, a file, or standard input (`-`), and its URL. Raises IngestdError."""
    if what == "-" or ("?" not in what and Path(what).is_file()):
        data = sys.stdin.buffer.read() if what == "-" else _bytes_of(what)
        if captured_request.is_whole(data):
            request = captured_request.parse(data, limits)
            return request, request.target.decode("utf-8", "surrogateescape")
        what = data.strip().partition(b"\n")[0].decode("utf-8", "surrogateescape")
    fields = Headers()
    if post is not None:
        fields[b"Content-Type"] = content_type.encode()
    for pair in headers:
        name, colon, value = pair.partition(":")
        if not colon:
            raise IngestdError(f"-H {pair!r}: write it as 'Name: value'")
        fields[name.strip().encode()] = value.strip().encode("utf-8", "surrogateescape")
    target = captured_request.target_of(what.encode("utf-8", "surrogateescape"))
    return Request(b"GET" if post is None else b"POST", target, fields, _body(post)), what


def _bytes_of(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise IngestdError(f"{path}: {error.strerror}") from error


def _body(post: str | None) -> bytes:
    if post is None:
        return b""
    if not post.startswith("@"):
        return post.encode("utf-8", "surrogateescape")
    return sys.stdin.buffer.read() if post == "@-" else _bytes_of(post[1:])
