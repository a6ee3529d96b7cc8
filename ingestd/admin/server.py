"""The admin listener: one GET a connection, on an address that platforms never see."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, NamedTuple, cast

import orjson

from ingestd.errors import RequestRefusedError
from ingestd.http.parser import Limits, RequestHandler, RequestParser
from ingestd.http.request import Request
from ingestd.http.responses import REFUSAL_REPLIES, Reply

logger = logging.getLogger(__name__)

LIMITS = Limits(target=4096, headers=16 * 1024, body=0)
# Seconds for a request and its response, except a stream.
TIMEOUT = 30.0
MAX_CONNECTIONS = 64


class Stream(NamedTuple):
    """A response without an end: the pieces that the generator yields, until the client disconnects."""

    content_type: str
    pieces: AsyncGenerator[bytes, None]


# Takes the query of a request and returns the response.
Handler = Callable[[str], Awaitable[Reply | Stream]]


def as_json(value: Any, status: int = 200) -> Reply:
    """A response with a value as indented JSON."""
    return Reply(status, orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n", "application/json")


class AdminConnection(RequestHandler, asyncio.Protocol):
    """One GET or HEAD request, then the connection is closed: there are few clients."""

    __slots__ = ("_answering", "_drained", "_handlers", "_open", "_parser", "_timer", "_transport")

    def __init__(self, handlers: dict[str, Handler], connections: set[AdminConnection]) -> None:
        self._parser = RequestParser(LIMITS, self)
        self._handlers = handlers
        self._open = connections
        self._transport: asyncio.Transport | None = None
        self._answering: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._drained = asyncio.Event()
        self._drained.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timeout. One connection too many gets 503."""
        self._transport = cast("asyncio.Transport", transport)
        self._open.add(self)
        self._timer = asyncio.get_running_loop().call_later(TIMEOUT, transport.close)
        if len(self._open) > MAX_CONNECTIONS:
            self._write(REFUSAL_REPLIES["connections"], head=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeout and the handler."""
        self._transport = None
        self._open.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._answering is not None:
            self._answering.cancel()

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
        """Raises RequestRefusedError: no path takes a body."""
        raise RequestRefusedError("expectation")

    def on_request(self, request: Request) -> None:
        """Start the handler of the path, or refuse the request."""
        head = request.method == b"HEAD"
        path, _, query = request.target.decode("latin-1").partition("?")
        handler = self._handlers.get(path)
        if request.method not in (b"GET", b"HEAD"):
            self._write(REFUSAL_REPLIES["method"], head=False)
        elif handler is None:
            known = ", ".join(sorted(self._handlers))
            self._write(Reply(404, f"no such path; try {known}\n".encode()), head=head)
        else:
            self._answering = asyncio.ensure_future(self._answer(handler, query, head))

    async def _answer(self, handler: Handler, query: str, head: bool) -> None:
        try:
            reply = await handler(query)
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
        transport.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: {stream.content_type}\r\nConnection: close\r\n\r\n".encode()
        )
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
