"""`ingestd explain`: one request, and everything that would become of it."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import click
import orjson

from ingestd import config
from ingestd.accounts import Account
from ingestd.errors import IngestdError, RequestRefusedError
from ingestd.http1 import Headers
from ingestd.replies import REFUSALS
from ingestd.router import Match, Router
from ingestd.sources.source import Source


def run(
    path: Path, url: str, post: str | None, content_type: str, headers: tuple[str, ...], *, as_json: bool
) -> int:
    """Print what a request becomes. Returns 0 where it becomes an event, 1 where it is refused."""
    settings = config.load(path)
    node = f"{socket.gethostname()}/{settings.ingest.instance}"
    sources = [Source(one, Account(one.name), node, settings.ingest.max_inflated) for one in settings.source]
    target = _target(url)
    raw_path, _, raw = target.partition(b"?")
    match = Router(sources).match(raw_path)
    method = b"GET" if post is None else b"POST"
    if match is None:
        known = ", ".join(source.config.path for source in sources)
        return _refused(
            "not_found", f"no source takes {raw_path.decode('latin-1')}; there are {known}", as_json
        )
    if method not in match.source.methods:
        return _refused(
            "method", f"source {match.source.name} takes {', '.join(match.source.config.methods)}", as_json
        )
    fields = _headers(headers, content_type if post is not None else None)
    try:
        lines, _, _ = match.source.events(
            method, match.path, match.route, raw, fields, _body(post), "192.0.2.1", time.time_ns()
        )
    except RequestRefusedError as error:
        return _refused(error.reason, REFUSALS[error.reason].text, as_json)
    events = [orjson.loads(line) for line in lines.splitlines()]
    if as_json:
        click.echo(orjson.dumps({"source": match.source.name, "events": events}, option=orjson.OPT_INDENT_2))
    else:
        _print(match, raw, events)
    return 0


def _print(match: Match, raw: bytes, events: list[dict[str, object]]) -> None:
    source = match.source
    click.echo(f"source   {source.name} (path {source.config.path}, profile {source.config.profile})")
    click.echo(f"route    {match.route or '-'}")
    click.echo(f"query    {len(raw)} bytes")
    click.echo(f"reply    {source.reply.status} {source.config.reply.body!r}")
    for event in events:
        flags = event["flags"]
        click.echo(f"flags    {', '.join(flags) if isinstance(flags, list) and flags else '-'}")
        click.echo(f"dup_key  {event['dup_key']}")
        click.echo("event    " + orjson.dumps(event, option=orjson.OPT_INDENT_2).decode())


def _refused(reason: str, text: str, as_json: bool) -> int:
    status = REFUSALS[reason].status
    if as_json:
        click.echo(
            orjson.dumps({"refused": reason, "status": status, "why": text}, option=orjson.OPT_INDENT_2)
        )
    else:
        click.echo(f"refused  {status} ({reason}): {text}")
    return 1


def _target(url: str) -> bytes:
    """The request target of a URL, or of a path; what is no UTF-8 in the arguments stays as it is."""
    text = url.encode("utf-8", "surrogateescape")
    if b"://" in text[:12]:
        text = b"/" + text.partition(b"://")[2].partition(b"/")[2]
    return text if text.startswith(b"/") else b"/" + text


def _body(post: str | None) -> bytes:
    if post is None:
        return b""
    if not post.startswith("@"):
        return post.encode("utf-8", "surrogateescape")
    if post == "@-":
        return sys.stdin.buffer.read()
    try:
        return Path(post[1:]).read_bytes()
    except OSError as error:
        raise IngestdError(f"--post {post}: {error.strerror}") from error


def _headers(pairs: tuple[str, ...], content_type: str | None) -> Headers:
    fields = Headers()
    if content_type is not None:
        fields[b"Content-Type"] = content_type.encode()
    for pair in pairs:
        name, colon, value = pair.partition(":")
        if not colon:
            raise IngestdError(f"-H {pair!r}: write it as 'Name: value'")
        fields[name.strip().encode()] = value.strip().encode("utf-8", "surrogateescape")
    return fields
