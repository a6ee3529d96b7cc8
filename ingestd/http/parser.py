"""HTTP/1 requests (RFC 9112) out of bytes: httptools with our limits. No I/O: bytes in, requests out.

httptools calls back in the order of the bytes: url, headers, headers complete, body, message complete.
A callback that raises stops it: RequestRefusedError is the answer to the client, anything else is a bug.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools
from mypy_extensions import mypyc_attr

from ingestd.errors import RequestRefusedError
from ingestd.http.request import Headers, Request

# The characters of a method. A first line that begins with such a word has only its method unknown.
_METHOD_CHARS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_")
_KNOWN = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT"))

recognize: Callable[[bytes, dict[bytes, bytes]], tuple[bytes, bytes, bytes] | None] | None
try:
    from ingestd.http._head import recognize
except ImportError:  # without a compiler httptools parses every request
    recognize = None

_RAISED = (httptools.HttpParserUpgrade, httptools.HttpParserError)

# Bytes a chunk may have beside its data: its size in hex, two ends of line, a little white space.
_CHUNK_FRAME = 16
# Bytes that httptools gets at once: between two pieces the limits of an unfinished head are checked.
_PIECE = 16 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes a request may have: its target, all its headers, its body (as sent).

    `unfinished`: of all requests together that have not come whole.
    """

    target: int = 32 * 1024
    headers: int = 32 * 1024
    body: int = 1024 * 1024
    unfinished: int = 64 * 1024 * 1024


@mypyc_attr(allow_interpreted_subclasses=True)
class RequestHandler:
    """Receives the requests of one parser."""

    __slots__ = ()

    def on_request(self, request: Request) -> None:
        """Handle one whole request. The parser reuses the object afterwards."""
        raise NotImplementedError

    def on_expect_continue(self) -> None:
        """The client waits for `100 Continue` before it sends the body (RFC 9110, 10.1.1)."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class RequestParser:
    """Feeds httptools and keeps the request that is being read; a whole one goes to the handler."""

    __slots__ = (
        "_any_value", "_body", "_body_size", "_fed", "_foreign", "_framing", "_handler", "_headers",
        "_hosts", "_limits", "_one_host", "_parser", "_request", "_sealed", "_small", "_target", "ended",
        "in_body", "on_header", "on_url",
    )  # fmt: skip

    def __init__(self, limits: Limits, handler: RequestHandler) -> None:
        self._limits = limits
        self._handler = handler
        self._small = min(limits.target, limits.headers, limits.body)
        self._target: list[bytes] = []
        self._headers = Headers()
        self._request = Request(b"", b"", self._headers, b"")
        self._sealed: Headers | None = None  # a chunked request's headers, before any trailer
        self._body: list[bytes] = []
        self._body_size = 0
        self._framing = 0  # what its chunks so far may have beside their data
        self._fed = 0  # bytes fed since this request's head began: never less than its true size
        self._foreign = 0  # of these, what may belong to earlier requests
        self._any_value = False
        self._one_host = False
        self._hosts = 0
        self.in_body = False
        self.ended = False  # no request follows on this connection: bytes that still come are discarded
        # Bound methods of the containers: httptools fills them without a call of Python code.
        self.on_url = self._target.append
        self.on_header = self._headers.__setitem__
        self._parser: Any = httptools.HttpRequestParser(self)

    def take_any_value(self) -> None:
        """Accept control characters in the values of headers, which nginx passes on.

        The same leniency of llhttp unfolds lines, and lets a bare LF end a line with a control character in
        it: only for a peer that sends neither.
        """
        self._any_value = True
        self._parser.set_dangerous_leniencies(lenient_headers=True)

    def want_one_host(self) -> None:
        """Refuse a request with several Host headers, and one of HTTP/1.1 without (RFC 9112, 3.2).

        Before the first bytes. Not for nginx, which has checked that and need not pass the header on.
        """
        self._one_host = True
        self.on_header = self._on_counted_header
        self._parser = httptools.HttpRequestParser(self)

    # bytes in

    @property
    def in_request(self) -> bool:
        """Whether a part of a request has been read, and not its end."""
        return bool(self._target)

    def feed(self, data: bytes) -> None:
        """Parse bytes as they came. Raises RequestRefusedError; any other exception is our bug.

        Nearly always they are one whole request in the plain form of nginx, which is recognized in one
        compiled pass; httptools, between two requests then, does not see it. All else is for httptools.

        How the bytes are cut makes no difference, but for one thing: what a head may hold in white space
        and repetition beyond its limits is bounded only from one piece of _PIECE bytes to the next.
        """
        if self.ended:
            return
        if (
            not self._target
            and len(data) <= self._small
            and recognize is not None
            and (not self._one_host or _has_one_host(data))
        ):
            parts = recognize(data, self._headers)
            if parts is not None:
                request = self._request
                request.method, request.target, request.body = parts
                request.keep = True
                self._handler.on_request(request)
                request.clear()
                return
        if len(data) <= _PIECE:
            self._feed(data)
        else:
            for at in range(0, len(data), _PIECE):
                if not self.ended:
                    self._feed(data[at : at + _PIECE])

    def _feed(self, data: bytes) -> None:
        if self._target:
            self._fed += len(data)
        else:
            self._fed = self._foreign = len(data)
        self._parse(data)
        if self._target:
            self._check_open()

    @property
    def held(self) -> int:
        """Bytes in memory of a request that has not come whole; the head's are an upper bound."""
        if not self._target:
            return 0
        return self._body_size if self.in_body else self._fed

    def discard(self) -> None:
        """Release the request that is being read; no other follows."""
        self.ended = True
        self._target.clear()
        self._headers.clear()
        self._body.clear()

    def _parse(self, data: bytes) -> None:
        """Overridden by a parser that cannot give httptools every byte as it is."""
        self._execute(data)

    def _execute(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except _RAISED as error:
            raised: Exception = error
        else:
            return
        # Not in the except block: the next exception of httptools would have this one for its `__context__`,
        # which is where the exception of a callback is looked for.
        try:
            self._go_on(raised, data)
        finally:
            del raised  # it holds this frame

    def _go_on(self, error: Exception, data: bytes | memoryview) -> None:
        """Handle an exception of httptools: an upgrade, a callback's exception, or a malformed request."""
        while isinstance(error, httptools.HttpParserUpgrade):  # not taken: what follows is HTTP/1 as before
            data = memoryview(data)[error.args[0] :]
            if not data or self.ended:
                return
            try:
                self._parser.feed_data(data)
            except _RAISED as following:
                error = following
            else:
                return
        if isinstance(error, httptools.HttpParserCallbackError):
            cause = error.__context__
            raise cause if cause is not None else error from None
        self._refuse(error, bytes(data))

    def _refuse(self, error: Exception, data: bytes) -> None:
        if self.ended:  # bytes after a request with `Connection: close` are discarded
            return
        if not self.in_body:
            self._check_target()
        if isinstance(error, httptools.HttpParserInvalidMethodError):
            raise RequestRefusedError(_bad_method(data)) from None
        raise RequestRefusedError(_reason(str(error))) from None

    # limits of an incomplete request

    def _check_open(self) -> None:
        """Limit a head, or a chunked body's framing and trailers, by the bytes that are certainly its own."""
        own, allowed = self._fed - self._foreign, self._limits.headers + self._limits.target
        if not self.in_body:
            if self._fed > self._limits.target:
                self._check_target()
        elif self._sealed is not None:
            own -= self._body_size
            allowed += self._framing
        else:
            return
        if own > allowed:
            raise RequestRefusedError("headers_too_large")

    def _check_target(self) -> None:
        if len(self._target) > 1:  # joined, so that many small pieces are not counted again and again
            self._target[:] = [b"".join(self._target)]
        if sum(map(len, self._target)) > self._limits.target:
            raise RequestRefusedError("target_too_long")

    # callbacks of httptools, in the order of the bytes

    def _on_counted_header(self, name: bytes, value: bytes) -> None:
        if not self.in_body and len(name) == 4 and name.lower() == b"host":
            self._hosts += 1
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        """Check the limits before any of the body is read."""
        headers = self._headers
        self.in_body = True
        if self._one_host:
            hosts, self._hosts = self._hosts, 0
            if hosts > 1 or (hosts == 0 and self._parser.get_http_version() == "1.1"):
                raise RequestRefusedError("host")
        if (
            self._fed > self._small
            or b"Content-Length" in headers
            or b"Expect" in headers
            or b"expect" in headers
        ):
            self._check_head()

    def _check_head(self) -> None:
        headers, limits = self._headers, self._limits
        if self._fed > self._small:
            self._check_target()
            if sum(len(name) + len(value) + 4 for name, value in headers.items()) > limits.headers:
                raise RequestRefusedError("headers_too_large")
        # Only in nginx's spelling: in any other, on_body refuses a body that is too large.
        length = headers.get(b"Content-Length")
        if length is not None and int(length) > limits.body:
            raise RequestRefusedError("body_too_large")
        expect = headers.get(b"Expect") or headers.get(b"expect")
        if expect is not None and self._parser.get_http_version() != "1.0":
            if expect.lower() != b"100-continue":
                raise RequestRefusedError("expectation")
            self._handler.on_expect_continue()

    def on_chunk_header(self) -> None:
        """Keep the headers apart from trailers, which must not replace them (X-Real-IP is trusted).

        Only plain `chunked` is decoded; in HTTP/1.0 it has no meaning (RFC 9112, 6.1).
        """
        if self._sealed is None:
            coding = self._headers.find(b"Transfer-Encoding") or b""
            if coding.strip().lower() != b"chunked" or self._parser.get_http_version() == "1.0":
                raise RequestRefusedError("bad_length")
            self._sealed = Headers(self._headers)
        self._framing += _CHUNK_FRAME

    def on_body(self, data: bytes) -> None:
        """Gather the body up to its limit; a chunked one has no length that could be checked before."""
        self._body_size += len(data)
        if self._body_size > self._limits.body:
            raise RequestRefusedError("body_too_large")
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Hand the request over and prepare for the next."""
        parser, target, headers, body = self._parser, self._target, self._headers, self._body
        request = self._request
        request.keep = keep = parser.should_keep_alive()
        if not keep or b"Connection" in headers or b"connection" in headers or parser.should_upgrade():
            self._check_unusual()
        request.target = target[0] if len(target) == 1 else b"".join(target)
        target.clear()
        self._foreign = self._fed
        self.in_body = False
        if body:
            request.body = b"".join(body)
            body.clear()
            self._body_size = 0
        if self._sealed is not None:
            headers.clear()
            headers.update(self._sealed)
            self._sealed = None
            self._framing = 0
        request.method = parser.get_method()
        self._handler.on_request(request)
        request.clear()
        if not keep:
            self.ended = True

    def _check_unusual(self) -> None:
        """Refuse other versions of HTTP, and an upgrade or CONNECT with a body."""
        parser, headers = self._parser, self._headers
        if parser.get_http_version() not in ("1.1", "1.0"):
            raise RequestRefusedError("version")
        # httptools takes the body of such a request for bytes of the other protocol.
        has_body = headers.find(b"Content-Length") or headers.find(b"Transfer-Encoding")
        if has_body and parser.should_upgrade():
            raise RequestRefusedError("upgrade")


def _has_one_host(data: bytes) -> bool:
    """Whether a request surely has one Host header: the bytes of another's beginning are nowhere in it."""
    lowered = data.lower()
    return lowered.count(b"\nhost:") == 1 and lowered.find(b"\nhost:") < lowered.find(b"\r\n\r\n")


def _bad_method(data: bytes) -> str:
    for request in data.split(b"\r\n\r\n"):  # it may follow others
        word = request.lstrip(b"\r\n").partition(b" ")[0]
        if word not in _KNOWN:
            break
    return "unknown_method" if word and len(word) < 32 and _METHOD_CHARS.issuperset(word) else "bad_request"


def _reason(message: str) -> str:
    lowered = message.lower()
    if "content-length" in lowered or "transfer-encoding" in lowered:
        return "bad_length"
    return "version" if "http version" in lowered or "pri/upgrade" in lowered else "bad_request"
