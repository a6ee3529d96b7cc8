"""Accepts connections, ends those that time out, and drains them at a graceful shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path

from ingestd.http.connection import Connection, ServerState

# Time-outs are counted in rounds of a sweeper, seconds apart: no timer per connection or request.
SWEEP_PERIOD = 0.5
# Connections that the sweeper checks before it lets the loop turn.
SLICE = 2000
# Seconds for a client to read a refusal and close.
LINGER = 2.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for a request's head, for its body, and between two requests."""

    header: float
    body: float
    idle: float


class Listener:
    """The daemon's listening sockets and their connections. `owned`: socket files to remove at the end."""

    def __init__(
        self, state: ServerState, timeouts: Timeouts, sockets: list[socket.socket], owned: list[Path]
    ) -> None:
        self._state = state
        self._sockets = sockets
        self._owned = owned
        self._servers: list[asyncio.Server] = []
        self._rounds = {
            "head": timeouts.header / SWEEP_PERIOD,
            "body": timeouts.body / SWEEP_PERIOD,
            "request": timeouts.idle / SWEEP_PERIOD,
            "close": LINGER / SWEEP_PERIOD,
        }

    async def start(self, backlog: int) -> None:
        """Accept connections. `backlog`: of each socket, see listen(2)."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            make = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
            self._servers.append(await make(lambda: Connection(self._state), sock=sock, backlog=backlog))

    async def sweep(self) -> None:
        """End connections that time out; runs until cancelled."""
        state = self._state
        while True:
            await asyncio.sleep(SWEEP_PERIOD)
            state.tick += 1
            for number, connection in enumerate(list(state.connections)):
                if number % SLICE == SLICE - 1:
                    await asyncio.sleep(0)
                if connection.transport is None:  # gone meanwhile
                    continue
                waiting_for = connection.waiting_for
                limit = self._rounds.get(waiting_for)
                if limit is not None and state.tick - connection.since > limit:
                    _end(connection, waiting_for)

    def leave(self) -> None:
        """Announce the shutdown to clients and accept what they still send: see `ingest.shutdown_delay`."""
        self._state.leaving = True
        for connection in list(self._state.connections):
            connection.leave()

    async def drain(self) -> None:
        """Accept no new connection, answer the requests under way, return when no connection is open.

        The socket file is removed first: no new connection can come then, and those in the backlog are still
        accepted. A socket that systemd handed over stays open there for the next process.
        """
        for path in self._owned:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        if self._owned:
            await self._empty_backlog()
        for server in self._servers:
            server.close()
        left, self._state.leaving = self._state.leaving, False
        while self._state.connections:
            for connection in list(self._state.connections):
                if left or not connection.draining:
                    connection.drain()
            left = False
            await asyncio.sleep(0.005)

    async def _empty_backlog(self) -> None:
        seen = -1
        while seen != (seen := len(self._state.connections)):  # noqa: ASYNC110 (the kernel tells nobody)
            await asyncio.sleep(0.02)

    def abort(self) -> None:
        """End every connection at once, when the time for draining is over."""
        for connection in list(self._state.connections):
            if connection.transport is not None:
                connection.transport.abort()


def _end(connection: Connection, waiting_for: str) -> None:
    if waiting_for == "head":
        connection.refuse("header_timeout")
    elif waiting_for == "body":
        connection.refuse("body_timeout")
    elif connection.transport is not None:
        if connection.transport.is_closing():  # or a client that does not read would keep it open
            connection.transport.abort()
        else:
            connection.transport.close()
