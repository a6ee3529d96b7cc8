"""One connection: bytes to requests, requests to the intake, replies back in the order of the requests.

A reply may come at once or long after (when its batch is on disk); a later request's reply waits for
the earlier ones (RFC 9112, 9.3.2). Nothing here knows what becomes of an event.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from ingestd.errors import RequestRefusedError
from ingestd.http import responses
from ingestd.http.parser import Limits, RequestHandler
from ingestd.http.raw_target import RawTargetParser
from ingestd.http.request import Exchange, Request

logger = logging.getLogger(__name__)

# Requests of one connection that may wait for their replies; past it we stop reading from the client.
MAX_PIPELINE = 256
# Connections beyond the limit that may be open until they have read why; past it they end without a word.
MAX_TURNED_AWAY = 64


class ServerState:
    """What all connections share.

    `take` gets each whole request with its exchange, `refused` the reason of each that cannot be taken.
    `tick` counts the rounds of the listener's sweeper.
    """

    __slots__ = ("connections", "limits", "max_connections", "refused", "take", "tick")

    def __init__(
        self,
        take: Callable[[Exchange, Request], None],
        limits: Limits,
        refused: Callable[[str], None],
        max_connections: int,
    ) -> None:
        self.take = take
        self.limits = limits
        self.refused = refused
        self.connections: set[Connection] = set()
        self.max_connections = max_connections
        self.tick = 0


class Connection(RequestHandler, asyncio.Protocol):
    """The asyncio protocol of one client connection (behind nginx: of one of its keep-alive ones)."""

    __slots__ = (
        "_hung_up", "_state", "_writable", "behind_proxy", "client_address", "draining", "due", "eof",
        "parser", "reading", "since", "transport",
    )  # fmt: skip

    def __init__(self, state: ServerState) -> None:
        # for the connection's life
        self._state = state
        self.parser = RawTargetParser(state.limits, self)
        self.transport: asyncio.Transport | None = None
        self.client_address = ""
        self.behind_proxy = True
        self.due: deque[Exchange] = deque()
        # how it is doing
        self.since = state.tick  # when the present wait began: for a request, a body, or anything at all
        self.draining = False
        self.reading = True
        self._writable = True  # the client takes its replies
        self.eof = False
        self._hung_up = False  # a request was refused in a way that ends the connection

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the connection, or turn it away where there are too many."""
        self.transport = cast("asyncio.Transport", transport)
        state = self._state
        state.connections.add(self)
        peer: Any = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.client_address, self.behind_proxy = peer[0], False
        else:
            self.parser.take_any_value()
        if len(state.connections) > state.max_connections:
            self.refuse("connections")
            if len(state.connections) > state.max_connections + MAX_TURNED_AWAY:
                self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone; what it sent goes its way all the same, only the replies have no taker."""
        self.transport = None
        self._state.connections.discard(self)
        self.due.clear()

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        parser = self.parser
        begun, in_body = parser.in_request, parser.in_body
        try:
            parser.feed(data)
        except RequestRefusedError as error:
            self.refuse(error.reason)
        except Exception:
            logger.exception("bug in request handling")
            self.refuse("internal")
        if parser.in_request and (not begun or in_body != parser.in_body):
            self.since = self._state.tick
        if len(self.due) >= MAX_PIPELINE:
            self._pause()

    def eof_received(self) -> bool:
        """The client sends no more. Keep the way back open while replies are due."""
        self.eof = True
        return bool(self.due)

    def pause_writing(self) -> None:
        """The client does not take its replies: take no more of its requests."""
        self._writable = False
        self._pause()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._writable = True
        self._resume_if_due()

    def _pause(self) -> None:
        if self.reading and self.transport is not None:
            self.reading = False
            self.transport.pause_reading()

    def _resume_if_due(self) -> None:
        if self.reading or not self._writable or len(self.due) >= MAX_PIPELINE // 2:
            return
        if self.transport is not None and not self.transport.is_closing():
            self.reading = True
            self.transport.resume_reading()

    # RequestHandler

    def on_request(self, request: Request) -> None:
        """A whole request: its reply is due from now on."""
        if self.parser.ended:
            return
        state = self._state
        self.since = state.tick
        exchange = Exchange()
        exchange.connection, exchange.keep, exchange.head = self, request.keep, request.method == b"HEAD"
        exchange.out = None
        self.due.append(exchange)
        try:
            state.take(exchange, request)
        except Exception:
            logger.exception("bug in request handling")
            if exchange in self.due:
                self.due.remove(exchange)
            self.refuse("internal")

    def on_expect_continue(self) -> None:
        """Invite the body; behind earlier replies still due, the invitation waits its turn."""
        if self.due:
            invitation = Exchange()
            invitation.out = responses.CONTINUE
            self.due.append(invitation)
        elif self.transport is not None:
            self.transport.write(responses.CONTINUE)

    # replies

    def is_last(self, exchange: Exchange) -> bool:
        """No reply is due after this one."""
        return bool(self.due) and self.due[-1] is exchange

    def send_ready(self) -> None:
        """Write the replies that are known and next in order; close after one that says so."""
        due, transport = self.due, self.transport
        if transport is None:
            return
        if len(due) == 1:
            if (out := due[0].out) is not None:
                due.clear()
        else:
            ready = []
            while due and due[0].out is not None:
                ready.append(due.popleft().out)
            out = b"".join(ready)  # type: ignore[arg-type]
        if out:
            transport.write(out)
        if due:
            self._resume_if_due()
        elif self.parser.ended or self.eof:
            self._close(transport)
        elif self.draining or not self.reading:
            self._resume_if_due()
            if self.draining and not self.parser.in_request:
                self.stop_reading()

    def refuse(self, reason: str) -> None:
        """Answer a request that cannot be parsed or taken, after the replies due before it, and hang up."""
        self._state.refused(reason)
        refused = Exchange()
        refused.connection, refused.keep, refused.head = self, False, False
        self.due.append(refused)
        self._hung_up = self.parser.ended = True
        refused.answer(responses.REFUSAL_REPLIES[reason])

    def _close(self, transport: asyncio.Transport) -> None:
        """Close once the client has had its reply.

        A Unix socket closed with bytes unread resets the peer, which may then lose our last reply: after
        a refusal the way is only half closed, and the sweeper or the client's own close ends it.
        """
        self.since = self._state.tick
        if self._hung_up and not self.eof and transport.can_write_eof():
            if not transport.is_closing():
                transport.write_eof()
        else:
            transport.close()

    # the listener's sweeper and drain

    @property
    def waiting_for(self) -> str:
        """What the connection is waiting for: "reply", "body", "head", "request" (idle) or "close"."""
        if self._hung_up and not self.due:
            return "close"
        if self.due:
            return "reply"
        if self.parser.in_body:
            return "body"
        return "head" if self.parser.in_request else "request"

    def drain(self) -> None:
        """From now on every reply says `Connection: close`; an idle connection ends now."""
        self.draining = True
        if not self.due and not self.parser.in_request:
            self.stop_reading()

    def stop_reading(self) -> None:
        """Take what the client has sent already, then see its end.

        On a Unix socket the peer's next write fails at once, so nginx sends the request elsewhere, and
        nothing it had written before is lost. TCP has no such thing: there it is a plain close.
        """
        if self.transport is None or self.transport.is_closing():
            return
        sock = self.transport.get_extra_info("socket")
        if self.behind_proxy and sock is not None:
            _shutdown_reading(sock.fileno())
        else:
            self.transport.close()


def _shutdown_reading(fd: int) -> None:
    duplicate = socket.socket(fileno=os.dup(fd))
    try:
        duplicate.shutdown(socket.SHUT_RD)
    except OSError as error:
        logger.debug("peer already gone", extra={"error": str(error)})
    finally:
        duplicate.close()
