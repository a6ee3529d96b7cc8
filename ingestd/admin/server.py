"""The admin listener: /livez, /readyz, /metrics, /status. On an address of its own, never the platforms'."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, NamedTuple, cast

import orjson

from ingestd.errors import RequestRefusedError
from ingestd.http.parser import Headers, Limits, RequestParser
from ingestd.http.responses import REFUSAL_REPLIES, Reply

logger = logging.getLogger(__name__)

LIMITS = Limits(target=4096, headers=16 * 1024, body=0)
# A scraper or an operator has this long for a request, seconds.
PATIENCE = 30.0
MAX_CONNECTIONS = 64


class Stream(NamedTuple):
    """A reply without an end: what the iterator gives, until the caller goes."""

    content_type: str
    pieces: AsyncGenerator[bytes, None]


# Gets the query, gives the reply.
Handler = Callable[[str], Awaitable[Reply | Stream]]


def as_json(value: Any, status: int = 200) -> Reply:
    """A JSON reply."""
    return Reply(status, orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n", "application/json")


class AdminConnection(RequestParser, asyncio.Protocol):
    """One request at a time, GET only, then closed: few callers, nothing to be fast about."""

    __slots__ = ("_answering", "_drained", "_handlers", "_open", "_timer", "_transport")

    def __init__(self, handlers: dict[str, Handler], connections: set[AdminConnection]) -> None:
        super().__init__(LIMITS)
        self._handlers = handlers
        self._open = connections
        self._transport: asyncio.Transport | None = None
        self._answering: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._drained = asyncio.Event()
        self._drained.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the caller a limited time."""
        self._transport = cast("asyncio.Transport", transport)
        self._open.add(self)
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, transport.close)
        if len(self._open) > MAX_CONNECTIONS:
            self._write(REFUSAL_REPLIES["connections"], head=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        self._transport = None
        self._open.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._answering is not None:
            self._answering.cancel()

    def pause_writing(self) -> None:
        """The caller does not read: a stream waits."""
        self._drained.clear()

    def resume_writing(self) -> None:
        """The caller reads again."""
        self._drained.set()

    def data_received(self, data: bytes) -> None:
        """Parse; a refusal is the last thing said."""
        if self._answering is not None:
            return
        try:
            self.feed(data)
        except RequestRefusedError as error:
            if self._answering is None:
                self._write(REFUSAL_REPLIES[error.reason], head=False)

    def on_expect_continue(self) -> None:
        """No body is wanted here."""
        raise RequestRefusedError("expectation")

    def on_request(self, method: bytes, target: bytes, headers: Headers, body: bytes, keep: bool) -> None:
        """Find the handler for a path and have it answer."""
        head = method == b"HEAD"
        path, _, query = target.decode("latin-1").partition("?")
        handler = self._handlers.get(path)
        if method not in (b"GET", b"HEAD"):
            self._write(REFUSAL_REPLIES["method"], head=False)
        elif handler is None:
            known = ", ".join(sorted(self._handlers))
            self._write(Reply(404, f"not here; try {known}\n".encode()), head=head)
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
        """Write the pieces as they come. Ends by being cancelled when the caller goes."""
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
