"""A request somebody has kept: its URL, or its bytes as they were sent."""

from __future__ import annotations

import re

from ingestd.errors import IngestdError, RequestRefusedError
from ingestd.http.parser import Limits, RequestHandler
from ingestd.http.raw_target import RawTargetParser
from ingestd.http.request import Headers, Request
from ingestd.http.responses import REFUSALS

_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r?\n")


class _Catch(RequestHandler):
    """Keeps the request it is given."""

    caught: Request | None = None

    def on_request(self, request: Request) -> None:
        headers = Headers(request.headers)
        self.caught = Request(request.method, request.target, headers, request.body)

    def on_expect_continue(self) -> None:
        """Nothing to do: the body follows at once."""


def is_whole(data: bytes) -> bool:
    """Whether bytes begin as a whole request does, with a request line."""
    return _REQUEST_LINE.match(data) is not None


def parse(data: bytes, limits: Limits) -> Request:
    """A whole request as it was sent; written by hand it may have bare newlines and no length.

    Raises IngestdError where the daemon would refuse it, or it ends too soon.
    """
    head, _, body = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    if b"\r\n\r\n" in data:
        body = data.partition(b"\r\n\r\n")[2]
    kept = [line for line in head.split(b"\n") if not line.lower().startswith(b"content-length:")]
    chunked = any(line.lower().startswith(b"transfer-encoding:") for line in kept)
    if not chunked and body:
        kept.append(b"Content-Length: %d" % len(body))
    catch = _Catch()
    try:
        RawTargetParser(limits, catch).feed(b"\r\n".join(kept) + b"\r\n\r\n" + body)
    except RequestRefusedError as error:
        refusal = REFUSALS[error.reason]
        raise IngestdError(f"it is refused, {refusal.status} ({error.reason}): {refusal.text}") from None
    if catch.caught is None:
        raise IngestdError("it ends before the request does")
    return catch.caught


def target_of(url: bytes) -> bytes:
    """The request target of a URL, or of a path."""
    if b"://" in url[:12]:
        url = b"/" + url.partition(b"://")[2].partition(b"/")[2]
    return url if url.startswith(b"/") else b"/" + url
