"""A text pasted into the page to be explained: a URL, a log's line with one, a whole request, or a body."""

from __future__ import annotations

import re
from typing import Any

from ingestd.admin import explanation, url_marks
from ingestd.config.sections import Config
from ingestd.config.source import SourceConfig
from ingestd.errors import ConfigError, IngestdError
from ingestd.http import captured_request
from ingestd.http.parser import Limits
from ingestd.http.request import Headers, Request
from ingestd.pipeline.counters import Counters
from ingestd.sources import factory
from ingestd.sources.link_parts import source_of
from ingestd.sources.router import Router
from ingestd.sources.source import Source

_URL = re.compile(rb"https?://[^\s'\"<>]+|(?<![^\s'\"])/[^\s'\"<>]*\?[^\s'\"<>]+")


def explain_pasted(
    text: bytes, config: Config, router: Router, body_for: str = "", content_type: str = ""
) -> dict[str, Any]:
    """The explanation of a pasted text, and the marks on its URL. Reads files of secrets: runs in a thread.

    `router`: the running daemon's, only asked about a path that no source takes. `body_for`: the source that
    the text is a body for. Nothing is counted, stored or remembered. Raises IngestdError.
    """
    asked, url = _asked(text, config, body_for, content_type)
    source = source_of(asked.target.decode("latin-1"), config.source)
    found: dict[str, Any] = {"method": asked.method.decode(), "body_bytes": len(asked.body)}
    found |= url_marks.marked(url, config.source, config.ingest.public_base)
    if source is None:
        found["found"] = explanation.explain(router, asked)
        return found
    try:
        found["found"] = explanation.explain(Router([_apart(source, config)]), asked)
    except ConfigError as error:
        raise IngestdError("; ".join(map(str, error.problems))) from error
    return found


def _apart(source: SourceConfig, config: Config) -> Source:
    """The source once more, with counters of its own and no window: the daemon's sees nothing of it."""
    alone = source.model_copy(update={"dedup_window": 0, "max_rate": 0})
    [made] = factory.build(config.model_copy(update={"source": (alone,)}), Counters(), "explain")
    return made


def _asked(text: bytes, config: Config, body_for: str, content_type: str) -> tuple[Request, bytes]:
    """The request, and its URL as it was pasted."""
    ingest = config.ingest
    if body_for:
        path = next((one.path for one in config.source if one.name == body_for), None)
        if path is None:
            raise IngestdError(f"no source {body_for}")
        fields = Headers({b"Content-Type": (content_type or _guessed(text)).encode("latin-1", "replace")})
        return Request(b"POST", path.encode(), fields, text), path.encode()
    text = text.strip()
    if captured_request.is_whole(text):
        asked = captured_request.parse(text, Limits(ingest.max_target, ingest.max_headers, ingest.max_body))
        return asked, asked.target
    found = None if text.startswith((b"http://", b"https://", b"/")) else _URL.search(text)
    url = found[0] if found else text.partition(b"\n")[0].strip()
    if not url:
        raise IngestdError("nothing was pasted")
    if len(url) > ingest.max_target:
        raise IngestdError(f"the URL has {len(url)} bytes, more than ingest.max_target ({ingest.max_target})")
    return Request(b"GET", captured_request.target_of(url.partition(b"#")[0]), Headers(), b""), url


def _guessed(body: bytes) -> str:
    """The content type a body looks like."""
    is_json = body.lstrip()[:1] in (b"{", b"[")
    return "application/json" if is_json else "application/x-www-form-urlencoded"
