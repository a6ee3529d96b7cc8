"""The request `explain` is asked about: a URL, or a file with a request as it was sent."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

from ingestd.errors import IngestdError, RequestRefusedError
from ingestd.http.parser import Headers, Limits
from ingestd.http.raw_target import RawTargetParser
from ingestd.http.responses import REFUSALS

_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r?\n")


class Asked(NamedTuple):
    """A request, as the daemon would have it from its parser."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes


class _Catch(RawTargetParser):
    """Keeps the one request it is fed."""

    caught: Asked | None = None

    def on_request(self, method: bytes, target: bytes, headers: Headers, body: bytes, keep: bool) -> None:
        self.caught = Asked(method, target, Headers(headers), body)

    def on_expect_continue(self) -> None:
        """The body follows anyway."""


def read(what: str, post: str | None, content_type: str, headers: tuple[str, ...], limits: Limits) -> Asked:
    """The request of a URL or path, a file, or standard input (`-`). Raises IngestdError."""
    if what == "-" or ("?" not in what and Path(what).is_file()):
        data = sys.stdin.buffer.read() if what == "-" else _bytes_of(what)
        if _REQUEST_LINE.match(data):
            return _parsed(data, limits)
        what = data.strip().partition(b"\n")[0].decode("utf-8", "surrogateescape")
    fields = Headers()
    if post is not None:
        fields[b"Content-Type"] = content_type.encode()
    for pair in headers:
        name, colon, value = pair.partition(":")
        if not colon:
            raise IngestdError(f"-H {pair!r}: write it as 'Name: value'")
        fields[name.strip().encode()] = value.strip().encode("utf-8", "surrogateescape")
    return Asked(b"GET" if post is None else b"POST", _target(what), fields, _body(post))


def _parsed(data: bytes, limits: Limits) -> Asked:
    """A whole request as it was sent; a file made by hand may have bare newlines and no length."""
    head, _, body = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    if b"\r\n\r\n" in data:
        body = data.partition(b"\r\n\r\n")[2]
    kept = [line for line in head.split(b"\n") if not line.lower().startswith(b"content-length:")]
    chunked = any(line.lower().startswith(b"transfer-encoding:") for line in kept)
    if not chunked and body:
        kept.append(b"Content-Length: %d" % len(body))
    catch = _Catch(limits)
    try:
        catch.feed(b"\r\n".join(kept) + b"\r\n\r\n" + body)
    except RequestRefusedError as error:
        refusal = REFUSALS[error.reason]
        raise IngestdError(f"it is refused, {refusal.status} ({error.reason}): {refusal.text}") from None
    if catch.caught is None:
        raise IngestdError("the file ends before the request does")
    return catch.caught


def _bytes_of(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise IngestdError(f"{path}: {error.strerror}") from error


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
    return sys.stdin.buffer.read() if post == "@-" else _bytes_of(post[1:])
