"""Request targets with bytes above 127: platforms send them (raw GBK), and nginx passes them on.

httptools refuses such a target. Here each of these bytes is replaced by `~` before httptools sees the request
line, and the target is then cut out of the line as received.
"""

from __future__ import annotations

import httptools
from mypy_extensions import mypyc_attr

from ingestd.http.parser import Limits, RequestHandler, RequestParser

_MARKED = bytes(range(128)) + b"~" * 128


@mypyc_attr(allow_interpreted_subclasses=True)
class RawTargetParser(RequestParser):
    """A RequestParser that also takes targets with bytes above 127, byte for byte."""

    __slots__ = ("_cut_at_cr", "_marking")

    def __init__(self, limits: Limits, handler: RequestHandler) -> None:
        super().__init__(limits, handler)
        self._marking = False  # a request line is being fed with replaced bytes
        self._cut_at_cr = False  # the last piece of a head ended with CR: its target is complete

    def _parse(self, data: bytes) -> None:
        if self._marking or not data.isascii():
            self._feed_raw(data)
        else:
            self._execute(data)
        if self._target:
            self._cut_at_cr = data.endswith(b"\r")

    def _refuse(self, error: Exception, data: bytes) -> None:
        goes_on = self._target and not (self.ended or self._cut_at_cr or data.isascii())
        if goes_on and isinstance(error, httptools.HttpParserInvalidURLError):
            self._begin_again()
            self._feed_marked(data)
        else:
            super()._refuse(error, data)

    def _feed_raw(self, data: bytes) -> None:
        """Feed request lines one by one, with bytes replaced. Each piece tells what comes next."""
        at, in_headers = 0, False
        while at < len(data) and not self.ended:
            if not (self._target or self._marking):
                end = _after(b"\r\n\r\n", data, at)
                if (head := data[at:end]).isascii():  # most are, and only their body is not
                    self._execute(head)
                    at, in_headers = end, False
                    continue
            is_line = False
            if self.in_body:
                end = self._body_end(data, at)
            elif in_headers and self._target:
                end = at + 2 if data.startswith(b"\r\n", at) else _after(b"\r\n\r\n", data, at)
            else:
                is_line = True
                end = _after(b"\n", data, at)
            piece = data[at:end]
            at = end
            if is_line and (self._marking or not self._target):
                self._feed_marked(piece)
            else:  # the rest of a line may be a header's, which must not be changed: see _refuse
                self._execute(piece)
            in_headers = in_headers if not is_line else piece.endswith(b"\n")

    def _body_end(self, data: bytes, at: int) -> int:
        """The offset where the body ends, or an earlier one."""
        length = self._headers.find(b"Content-Length") if self._sealed is None else None
        if length is not None:
            return at + int(length) - self._body_size
        if at < 4:  # the end of a chunked body may have been cut in two
            return _after(b"\n", data, at)
        return _after(b"\r\n\r\n", data, at - 3)

    def _feed_marked(self, line: bytes) -> None:
        """Feed a request line or a part of one, and keep the target as received."""
        known, marked = len(self._target), line.translate(_MARKED)
        self._marking = not line.endswith(b"\n")
        self._execute(marked)
        if len(self._target) > known:
            url = self._target[-1]
            start = 0 if marked.startswith(url) else marked.index(b" " + url) + 1
            self._target[-1] = line[start : start + len(url)]

    def _begin_again(self) -> None:
        """Replace the parser by one in the same state that has seen no byte above 127 of the target."""
        start = b"".join(self._target)
        method = self._parser.get_method()
        self._target.clear()
        self._parser = httptools.HttpRequestParser(self)
        if self._any_value:
            self.take_any_value()
        self._parser.feed_data(method + b" " + start.translate(_MARKED))
        self._target[:] = [start]


def _after(mark: bytes, data: bytes, at: int) -> int:
    """The offset behind the next `mark`, or the end."""
    place = data.find(mark, at)
    return place + len(mark) if place >= 0 else len(data)
