"""HTTP/1 requests out of bytes: httptools with our limits. No I/O: bytes in, requests or one refusal out.

httptools calls back in the order of the bytes: url, headers, headers complete, body, message complete.
A callback of ours that raises stops the parser; a refusal is our answer, anything else is our bug.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httptools

from ingestd.errors import RequestRefusedError

# What an unparsable first line looks like when only its method is unknown to the parser.
_METHOD_CHARS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_")

# httptools refuses bytes above 127 in a target; platforms send them (raw GBK) and nginx passes them on.
# In a request line each is replaced by the mark, and put back once the target is whole.
_MARK = b"~"
_MARKED = bytes(range(128)) + _MARK * 128
_NOT_MARKED = bytes(byte for byte in range(128) if byte != _MARK[0])


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes a request may have: its target, all its headers, its body (as sent)."""

    target: int = 32 * 1024
    headers: int = 32 * 1024
    body: int = 1024 * 1024


class Headers(dict[bytes, bytes]):
    """Header values under the names as they came; of a repeated header the last value.

    nginx writes the names it is told to in one spelling, so a plain look-up finds them; `find` is for
    a name a client may have spelled otherwise.
    """

    __slots__ = ()

    def find(self, name: bytes) -> bytes | None:
        """The value of a header whatever its spelling; `name` in its usual spelling."""
        value = self.get(name)
        if value is None:
            wanted = name.lower()
            for key, value in self.items():
                if key.lower() == wanted:
                    return value
            return None
        return value


class RequestParser:
    """Feeds httptools and keeps the request that is being read. Subclasses say what to do with one."""

    __slots__ = (
        "_body", "_body_size", "_chunk", "_fed", "_headers", "_limits", "_line_open", "_originals", "_parser",
        "_sealed", "_target", "in_body", "on_header", "on_url",
    )  # fmt: skip

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._target: list[bytes] = []
        self._headers = Headers()
        self._sealed: Headers | None = None  # a chunked request's headers, before any trailer
        self._body: list[bytes] = []
        self._body_size = 0
        self._fed = 0  # bytes fed since this request's head began: never less than its true size
        self._chunk = 0  # of these, the first chunk, which may have begun with earlier requests
        self._line_open = False  # part of the request line has been fed, and not its end
        self._originals = b""  # of the request line, what stood where the parser was given marks
        self.in_body = False
        # Bound methods of the containers: httptools fills them with no Python frame of ours between.
        self.on_url = self._target.append
        self.on_header = self._headers.__setitem__
        self._parser: Any = httptools.HttpRequestParser(self)

    # what a subclass does

    def on_request(self, method: bytes, target: bytes, headers: Headers, body: bytes, keep: bool) -> None:
        """One whole request. `headers` is reused afterwards. `keep`: the client keeps the connection."""
        raise NotImplementedError

    def on_expect_continue(self) -> None:
        """The client waits for `100 Continue` before it sends the body."""
        raise NotImplementedError

    # bytes in

    @property
    def in_request(self) -> bool:
        """Part of a request has been read, and not its end."""
        return bool(self._target)

    def feed(self, data: bytes) -> None:
        """Parse bytes as they came. Raises RequestRefusedError; any other exception is our bug."""
        if not self._target:
            self._fed = self._chunk = 0
        self._fed += len(data)
        self._chunk = self._chunk or len(data)
        for piece in self._marked_lines(data) if self._line_open or not data.isascii() else (data,):
            try:
                self._parser.feed_data(piece)
            except httptools.HttpParserUpgrade:
                return  # an upgrade we do not take: on_request has answered, and closes
            except httptools.HttpParserCallbackError as error:
                cause = error.__context__
                raise cause if cause is not None else error from None
            except httptools.HttpParserInvalidMethodError:
                raise RequestRefusedError(_bad_method(piece)) from None
            except httptools.HttpParserInvalidURLError:
                raise RequestRefusedError("bad_request") from None
            except httptools.HttpParserError as error:
                raise RequestRefusedError(_reason(str(error))) from None
        if self._target and not self.in_body:
            self._check_open_head()
            if data.isascii():
                self._line_open = _ends_in_request_line(data, self._line_open or self._fed == len(data))

    def _marked_lines(self, data: bytes) -> Iterator[bytes]:
        """The data line by line, request lines with marks: after each line the parser knows what is next."""
        lines = data.split(b"\n")
        last = lines.pop()
        for line in [*(line + b"\n" for line in lines), last]:
            if self._line_open or not (self._target or self.in_body):
                self._line_open = bool(line) and not line.endswith(b"\n")
                self._originals += line.translate(None, _NOT_MARKED)
                yield line.translate(_MARKED)
            elif line:
                yield line

    def _unmarked(self, url: bytes) -> bytes:
        """A target with its own bytes again. What was fed before the first mark was ASCII, and is right."""
        originals, self._originals = self._originals, b""
        if originals.isascii():
            return url
        before, *pieces = url.rsplit(_MARK, len(originals))
        marks = [originals[place : place + 1] for place in range(len(originals))]
        return before + b"".join(mark + piece for mark, piece in zip(marks, pieces, strict=True))

    def _check_open_head(self) -> None:
        """Bound a head that has not ended: by what is known of it, and by the bytes surely its own."""
        self._check_target()
        own = self._fed - self._chunk
        if own > self._limits.headers + self._limits.target:
            raise RequestRefusedError("headers_too_large")

    def _check_target(self) -> None:
        if sum(map(len, self._target)) > self._limits.target:
            raise RequestRefusedError("target_too_long")

    # callbacks of httptools, in the order of the bytes

    def on_headers_complete(self) -> None:
        """Check the limits before any of the body is taken."""
        headers, limits = self._headers, self._limits
        self.in_body = True
        if self._fed > limits.target:
            self._check_target()
            if sum(len(name) + len(value) + 4 for name, value in headers.items()) > limits.headers:
                raise RequestRefusedError("headers_too_large")
        # In nginx's spelling only: in any other, on_body stops what is too large, only later.
        length = headers.get(b"Content-Length")
        if length is not None and int(length) > limits.body:
            raise RequestRefusedError("body_too_large")
        expect = headers.get(b"Expect") or headers.get(b"expect")
        if expect is not None:
            if expect.lower() != b"100-continue":
                raise RequestRefusedError("expectation")
            self.on_expect_continue()

    def on_chunk_header(self) -> None:
        """Seal the headers: a trailer must not pass for one (X-Real-IP is believed)."""
        if self._sealed is None:
            self._sealed = Headers(self._headers)

    def on_body(self, data: bytes) -> None:
        """Gather the body up to its limit; a chunked one has no length to check beforehand."""
        self._body_size += len(data)
        if self._body_size > self._limits.body:
            raise RequestRefusedError("body_too_large")
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Hand over the request and make room for the next."""
        parser, target, headers, body = self._parser, self._target, self._headers, self._body
        keep = parser.should_keep_alive()
        if not keep or b"Connection" in headers or b"connection" in headers:
            # Only now can it be an upgrade, or anything but HTTP/1.1, which keeps by default.
            keep = keep and not parser.should_upgrade()
            if parser.get_http_version() not in ("1.1", "1.0"):
                raise RequestRefusedError("version")
        url = target[0] if len(target) == 1 else b"".join(target)
        if self._originals:
            url = self._unmarked(url)
        target.clear()
        self.in_body = False
        content = b""
        if body:
            content = b"".join(body)
            body.clear()
            self._body_size = 0
        if self._sealed is not None:
            headers.clear()
            headers.update(self._sealed)
            self._sealed = None
        self.on_request(parser.get_method(), url, headers, content, keep)
        headers.clear()


def _ends_in_request_line(data: bytes, began: bool) -> bool:
    """Whether a head's last bytes so far belong to its request line. `began`: so did the first of `data`."""
    _, newline, tail = data.rpartition(b"\n")
    if not newline:
        return began
    word, space, _ = tail.partition(b" ")
    return bool(space) and b":" not in word


def _bad_method(data: bytes) -> str:
    word = data.lstrip(b"\r\n").partition(b" ")[0]
    return "unknown_method" if word and len(word) < 32 and _METHOD_CHARS.issuperset(word) else "bad_request"


def _reason(message: str) -> str:
    lowered = message.lower()
    if "content-length" in lowered or "transfer-encoding" in lowered:
        return "bad_length"
    return "version" if "http version" in lowered else "bad_request"
