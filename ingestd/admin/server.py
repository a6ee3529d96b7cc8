"""The admin listener: one request a connection, on an address that platforms never see."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import orjson

from ingestd.errors import RequestRefusedError
from ingestd.http.parser import Limits, RequestHandler, RequestParser
from ingestd.http.request import Request
from ingestd.http.responses import REFUSAL_REPLIES, Reply

logger = logging.getLogger(__name__)

# A body is a request to be explained.
LIMITS = Limits(target=4096, headers=16 * 1024, body=64 * 1024)
# Seconds for a request and its response, except a stream.
TIMEOUT = 30.0
MAX_CONNECTIONS = 64
_numbers = itertools.count()  # of connections, in the order they were made
# The page's own files and data, not named to a client that asked for another path.
UNLISTED = ("/page/", "/api/")
# Browsers must not guess types, nor keep events.
PRIVATE = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
# nginx must hand on each piece of a stream as it comes.
STREAMED = (("X-Accel-Buffering", "no"),)


class Stream(NamedTuple):
    """A response without an end: the pieces that the generator yields, until the client disconnects."""

    content_type: str
    pieces: AsyncGenerator[bytes, None]


# Takes the query of a request and returns the response.
Handler = Callable[[str], Awaitable[Reply | Stream]]
# Takes the query and the body of a POST. It reads them and changes nothing.
PostHandler = Callable[[str, bytes], Awaitable[Reply | Stream]]


@dataclass(frozen=True, slots=True)
class Routes:
    """The listener's paths. Only `public` ones are answered under any name; they hold nothing of events.

    The others want an address or localhost in the Host header, unless `any_host`: another site's page in an
    operator's browser could read them by having its own name resolved to this machine (DNS rebinding).
    """

    handlers: Mapping[str, Handler]
    posts: Mapping[str, PostHandler] = field(default_factory=dict)
    public: frozenset[str] = frozenset({"/livez", "/readyz", "/metrics", "/status"})
    any_host: bool = False

    def misnamed(self, path: str, host: bytes | None) -> bool:
        """Whether a path is not answered under this value of the Host header."""
        return not (self.any_host or path in self.public or host is None or _is_address(host))


def _is_address(host: bytes) -> bool:
    """Whether a Host header names an address or localhost, with or without a port."""
    name = host.decode("latin-1").strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if name in ("", "localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


MISNAMED = Reply(
    421,
    b"answered under an address or localhost only, so that no other site's page can read it; "
    b"behind nginx leave Host as proxy_pass sets it\n",
)


def as_json(value: Any, status: int = 200) -> Reply:
    """A response with a value as indented JSON."""
    return Reply(status, orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n", "application/json")


def as_private_json(value: Any, status: int = 200) -> Reply:
    """A response with a value as compact JSON that no cache keeps."""
    return Reply(status, orjson.dumps(value), "application/json", PRIVATE)


def problem(status: int, why: str) -> Reply:
    """A response that says, as JSON, why there is no other: `{"problem": ...}`."""
    return as_private_json({"problem": why}, status)


class AdminConnection(RequestHandler, asyncio.Protocol):
    """One request, then the connection is closed: there are few clients."""

    __slots__ = ("_answering", "_drained", "_open", "_parser", "_routes", "_timer", "_transport", "number")

    def __init__(self, routes: Routes, connections: set[AdminConnection]) -> None:
        self._parser = RequestParser(LIMITS, self)
        self._routes = routes
        self._open = connections
        self._transport: asyncio.Transport | None = None
        self._answering: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.number = next(_numbers)
        self._drained = asyncio.Event()
        self._drained.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timeout. One connection too many ends the slowest client's, or else gets 503."""
        self._transport = cast("asyncio.Transport", transport)
        self._open.add(self)
        self._timer = asyncio.get_running_loop().call_later(TIMEOUT, transport.close)
        if len(self._open) > MAX_CONNECTIONS:
            slow = [one for one in self._open if one is not self and one.is_slow]
            if slow:
                min(slow, key=lambda one: one.number).drop()
            else:
                self._write(REFUSAL_REPLIES["connections"], head=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeout and the handler."""
        self._transport = None
        self._open.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._answering is not None:
            self._answering.cancel()

    @property
    def is_slow(self) -> bool:
        """Whether it waits for its client: for a request, or for a response to be read."""
        return self._answering is None or self._answering.done()

    def drop(self) -> None:
        """End the connection at once, whatever has not been read of its response."""
        self._open.discard(self)
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        """Make a stream wait until the client reads again."""
        self._drained.clear()

    def resume_writing(self) -> None:
        """Let a stream go on: the client reads again."""
        self._drained.set()

    def data_received(self, data: bytes) -> None:
        """Parse. A refusal is the last response of the connection."""
        if self._answering is not None:
            return
        try:
            self._parser.feed(data)
        except RequestRefusedError as error:
            if self._answering is None:
                self._write(REFUSAL_REPLIES[error.reason], head=False)

    def on_expect_continue(self) -> None:
        """Raises RequestRefusedError: no body is long enough to ask beforehand."""
        raise RequestRefusedError("expectation")

    def on_request(self, request: Request) -> None:
        """Start the handler of the path, or refuse the request."""
        head = request.method == b"HEAD"
        path, _, query = request.target.decode("latin-1").partition("?")
        routes = self._routes
        handler, post = routes.handlers.get(path), routes.posts.get(path)
        if routes.misnamed(path, request.headers.find(b"Host")):
            self._write(MISNAMED, head=head)
        elif request.method == b"POST" and post is not None:
            self._answering = asyncio.ensure_future(self._answer(post(query, request.body), head))
        elif request.body:
            self._write(REFUSAL_REPLIES["body_too_large"], head=head)
        elif request.method not in (b"GET", b"HEAD"):
            self._write(REFUSAL_REPLIES["method"], head=False)
        elif handler is None:
            known = ", ".join(sorted(path for path in routes.handlers if not path.startswith(UNLISTED)))
            self._write(Reply(404, f"no such path; try {known}\n".encode()), head=head)
        else:
            self._answering = asyncio.ensure_future(self._answer(handler(query), head))

    async def _answer(self, answer: Awaitable[Reply | Stream], head: bool) -> None:
        try:
            reply = await answer
            if isinstance(reply, Stream):
                await self._stream(reply, head)
                return
        except Exception:
            logger.exception("bug in the admin listener")
            reply = REFUSAL_REPLIES["internal"]
        self._write(reply, head=head)

    async def _stream(self, stream: Stream, head: bool) -> None:
        """Write the pieces as they come, until cancelled because the client has disconnected."""
        transport = self._transport
        if transport is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        fields = (("Content-Type", stream.content_type), *PRIVATE, *STREAMED)
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        transport.write(f"HTTP/1.1 200 OK\r\n{lines}Connection: close\r\n\r\n".encode())
        if head:
            transport.close()
            return
        async with contextlib.aclosing(stream.pieces) as pieces:
            async for piece in pieces:
                transport.write(piece)
                await self._drained.wait()

    def _write(self, reply: Reply, *, head: bool) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(reply.form(head=head, keep_alive=False))
            self._transport.close()
