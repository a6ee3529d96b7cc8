"""Feeding a parser bytes in every way they may come, and writing down what it made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ingestd.errors import RequestRefusedError
from ingestd.http.parser import Limits, RequestHandler
from ingestd.http.raw_target import RawTargetParser
from ingestd.http.request import Headers, Request

GET = b"GET /c/demo?n=1 HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass(frozen=True)
class ParsedRequest:
    """One request as a parser's handler gets it."""

    method: bytes
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    keep: bool

    def header(self, name: bytes) -> bytes | None:
        return Headers(self.headers).find(name)


class Recorder(RequestHandler):
    """Remembers a parser's requests and how often it was asked for `100 Continue`."""

    __slots__ = ("continues", "feed", "parser", "requests")

    def __init__(self, limits: Limits | None = None, *, any_value: bool = False) -> None:
        self.parser = RawTargetParser(limits or Limits(), self)
        if any_value:
            self.parser.take_any_value()
        self.feed = self.parser.feed
        self.requests: list[ParsedRequest] = []
        self.continues = 0

    def on_request(self, request: Request) -> None:
        fields = tuple(request.headers.items())
        self.requests.append(
            ParsedRequest(request.method, request.target, fields, request.body, request.keep)
        )

    def on_expect_continue(self) -> None:
        self.continues += 1


@dataclass(frozen=True)
class Outcome:
    """All that came of some bytes."""

    requests: tuple[ParsedRequest, ...]
    refused: str | None
    open: bool  # part of a request was read and not its end


def whole(data: bytes) -> Iterator[bytes]:
    """All at once."""
    yield data


def by_line(data: bytes) -> Iterator[bytes]:
    """A line at a time."""
    yield from data.splitlines(keepends=True)


def by_byte(data: bytes) -> Iterator[bytes]:
    """A byte at a time."""
    for place in range(len(data)):
        yield data[place : place + 1]


def in_sevens(data: bytes) -> Iterator[bytes]:
    """In pieces that respect nothing."""
    for place in range(0, len(data), 7):
        yield data[place : place + 7]


Cut = Callable[[bytes], Iterator[bytes]]
CUTS: tuple[Cut, ...] = (whole, by_line, by_byte, in_sevens)


def parse(data: bytes, cut: Cut = whole, limits: Limits | None = None, *, any_value: bool = False) -> Outcome:
    """What a parser makes of `data`, cut so. `any_value`: as from nginx."""
    return parse_pieces(list(cut(data)), limits, any_value=any_value)


def parse_pieces(pieces: list[bytes], limits: Limits | None = None, *, any_value: bool = False) -> Outcome:
    """What a parser makes of these pieces, one after the other. `any_value`: as from nginx."""
    parser = Recorder(limits, any_value=any_value)
    refused = None
    for piece in pieces:
        try:
            parser.feed(piece)
        except RequestRefusedError as error:
            refused = error.reason
            break
    return Outcome(tuple(parser.requests), refused, refused is None and parser.parser.in_request)
