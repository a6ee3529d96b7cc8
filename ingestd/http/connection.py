"""One connection: bytes to requests, requests to the intake, replies back in the order of the requests.

A reply may be known at once or much later, when its batch is on disk. It waits for the replies to earlier
requests (RFC 9112, 9.3.2).
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

# Back-pressure: requests of one connection that may wait for their replies before it stops reading.
MAX_PIPELINE = 256
# Connections over the limit that may stay open until they have read the refusal. Any more are aborted.
MAX_REFUSED = 64


class ServerState:
    """The state that all connections share.

    `take` is called with each whole request and its exchange, `refused` with the reason of each request that
    cannot be parsed or taken. `tick` counts the rounds of the listener's sweeper. `held`:
    bytes of requests that have not come whole. `leaving`: a shutdown is
    announced, every reply says `Connection: close`, and new connections are accepted all the same.
    """

    __slots__ = ("connections", "held", "leaving", "limits", "max_connections", "refused", "take", "tick")

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
        self.held = 0
        self.leaving = False


class Connection(RequestHandler, asyncio.Protocol):
    """The asyncio protocol of one client connection; behind nginx one of its keep-alive connections.

    `due`: the exchanges whose replies have not been written, in order. `since`: the tick at which the present
    wait began, for a request, a body or a reply. `behind_proxy`: the peer is nginx, on a Unix socket.
    """

    __slots__ = (
        "_held", "_refused", "_state", "_writable", "behind_proxy", "client_address", "draining", "due",
        "eof", "parser", "reading", "since", "transport",
    )  # fmt: skip

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self.parser = RawTargetParser(state.limits, self)
        self.transport: asyncio.Transport | None = None
        self.client_address = ""
        self.behind_proxy = True
        self.due: deque[Exchange] = deque()
        self.since = state.tick
        self.draining = state.leaving
        self.reading = True
        self._writable = True  # the client reads its replies
        self.eof = False
        self._refused = False  # a refusal is the last reply
        self._held = 0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the connection, or refuse it if there are too many."""
        self.transport = cast("asyncio.Transport", transport)
        state = self._state
        state.connections.add(self)
        peer: Any = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.client_address, self.behind_proxy = peer[0], False
            self.parser.want_one_host()
        else:
            self.parser.take_any_value()
        if len(state.connections) > state.max_connections:
            self.refuse("connections")
            if len(state.connections) > state.max_connections + MAX_REFUSED:
                self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone. Its requests are still handled, and their replies discarded."""
        self.transport = None
        self._state.connections.discard(self)
        self._state.held -= self._held
        self._held = 0
        self.due.clear()

    def data_received(self, data: bytes) -> None:
        """Parse bytes from the client, refuse malformed ones, and pause behind MAX_PIPELINE replies."""
        parser = self.parser
        begun, in_body = parser.in_request, parser.in_body
        try:
            parser.feed(data)
        except RequestRefusedError as error:
            self.refuse(error.reason)
        except Exception:
            logger.exception("bug in request handling")
            self.refuse("internal")
        if parser.in_request:
            if not begun or in_body != parser.in_body:
                self.since = self._state.tick
            self._hold(parser.held)
        elif self._held:
            self._hold(0)
        if len(self.due) >= MAX_PIPELINE:
            self._pause()

    def _hold(self, held: int) -> None:
        """Count the bytes of an unfinished request, and refuse it if all connections hold too many."""
        state = self._state
        more = held - self._held
        state.held += more
        self._held = held
        if more > 0 and state.held > state.limits.unfinished and not self._refused:
            self.parser.discard()
            self._hold(0)
            self.refuse("overload")

    def eof_received(self) -> bool:
        """The client sends no more: True, which keeps the connection half-open, while replies are due."""
        self.eof = True
        return bool(self.due)

    def pause_writing(self) -> None:
        """Back-pressure: the client does not read its replies, so read none of its requests."""
        self._writable = False
        self._pause()

    def resume_writing(self) -> None:
        """Read requests again, now that the client reads its replies."""
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
        """Hand a whole request to the intake; its reply is due from now on."""
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
        """Answer `100 Continue`, behind the replies that are due before it."""
        if self.due:
            invitation = Exchange()
            invitation.out = responses.CONTINUE
            self.due.append(invitation)
        elif self.transport is not None:
            self.transport.write(responses.CONTINUE)

    # replies

    def is_last(self, exchange: Exchange) -> bool:
        """Whether no reply is due after this one."""
        return bool(self.due) and self.due[-1] is exchange

    def send_ready(self) -> None:
        """Write the known replies up to the first unknown one; close after one with `Connection: close`."""
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
            if self.draining and not self._state.leaving and not self.parser.in_request:
                self.stop_reading()

    def refuse(self, reason: str) -> None:
        """Refuse a request, behind the replies due before it, and close the connection after that."""
        self._state.refused(reason)
        refused = Exchange()
        refused.connection, refused.keep, refused.head = self, False, False
        self.due.append(refused)
        self._refused = self.parser.ended = True
        refused.answer(responses.REFUSAL_REPLIES[reason])

    def _close(self, transport: asyncio.Transport) -> None:
        """Close, or after a refusal only half-close; then the client's own close or the sweeper ends it.

        A Unix socket that is closed with bytes unread resets the peer, which may lose the last reply.
        """
        self.since = self._state.tick
        if self._refused and not self.eof and transport.can_write_eof():
            if not transport.is_closing():
                transport.write_eof()
        else:
            transport.close()

    # for the listener

    @property
    def waiting_for(self) -> str:
        """The present wait: for "reply" (ours), "body", "head", "request" (idle) or the client's "close"."""
        if self._refused and not self.due:
            return "close"
        if self.due:
            return "reply"
        if self.parser.in_body:
            return "body"
        return "head" if self.parser.in_request else "request"

    def leave(self) -> None:
        """Announce a shutdown: the next reply says `Connection: close`; a request may still come."""
        self.draining = True

    def drain(self) -> None:
        """Begin a graceful shutdown: the last reply says `Connection: close`; an idle connection ends now."""
        self.draining = True
        if not self.due and not self.parser.in_request:
            self.stop_reading()

    def stop_reading(self) -> None:
        """Read what the client has sent already, and nothing more.

        On a Unix socket shutdown(SHUT_RD) makes the peer's next write fail, so nginx sends that request to
        another instance, and nothing written before is lost. On TCP the connection is closed.
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
