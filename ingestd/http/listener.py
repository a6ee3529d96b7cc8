"""Listening sockets and the connections they bring: opened, swept for time-outs, drained."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import grp
import logging
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from ingestd.errors import ListenError
from ingestd.http.connection import Connection, Shared

logger = logging.getLogger(__name__)

# Time-outs are told by the rounds of a sweeper, seconds apart: no timer per connection or request.
SWEEP_PERIOD = 0.5
# Of the open connections the sweeper looks at this many without a break.
SLICE = 2000
# After a refusal the client has this long to read it and close, seconds.
LINGER = 2.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds a client may take: for a request's head, for its body, between requests."""

    header: float
    body: float
    idle: float


class Listener:
    """All listening sockets of the daemon and their connections."""

    def __init__(
        self, shared: Shared, timeouts: Timeouts, sockets: list[socket.socket], owned: list[Path]
    ) -> None:
        self._shared = shared
        self._sockets = sockets
        self._owned = owned  # socket files we made, and remove
        self._servers: list[asyncio.Server] = []
        self._rounds = {
            "head": timeouts.header / SWEEP_PERIOD,
            "body": timeouts.body / SWEEP_PERIOD,
            "request": timeouts.idle / SWEEP_PERIOD,
            "close": LINGER / SWEEP_PERIOD,
        }

    async def start(self, backlog: int) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            make = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
            self._servers.append(await make(lambda: Connection(self._shared), sock=sock, backlog=backlog))

    async def sweep(self) -> None:
        """End connections that take too long; runs until cancelled."""
        shared = self._shared
        while True:
            await asyncio.sleep(SWEEP_PERIOD)
            shared.tick += 1
            for number, connection in enumerate(list(shared.connections)):
                if number % SLICE == SLICE - 1:
                    await asyncio.sleep(0)
                if connection.transport is None:  # gone meanwhile
                    continue
                waiting_for = connection.waiting_for
                limit = self._rounds.get(waiting_for)
                if limit is not None and shared.tick - connection.since > limit:
                    _end(connection, waiting_for)

    async def drain(self) -> None:
        """Take no new connection, answer what is under way, end the rest; returns when none is open.

        The socket file goes first: then no new connection can come, and those that wait in the backlog
        are still accepted. A socket handed over by systemd stays open there for the next process.
        """
        for path in self._owned:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        if self._owned:
            await self._empty_backlog()
        for server in self._servers:
            server.close()
        while self._shared.connections:
            for connection in list(self._shared.connections):
                if not connection.draining:
                    connection.drain()
            await asyncio.sleep(0.005)

    async def _empty_backlog(self) -> None:
        seen = -1
        while seen != (seen := len(self._shared.connections)):  # noqa: ASYNC110 (the kernel tells nobody)
            await asyncio.sleep(0.02)

    def abort(self) -> None:
        """End every connection at once; the drain has had its time."""
        for connection in list(self._shared.connections):
            if connection.transport is not None:
                connection.transport.abort()


def _end(connection: Connection, waiting_for: str) -> None:
    if waiting_for == "head":
        connection.refuse("header_timeout")
    elif waiting_for == "body":
        connection.refuse("body_timeout")
    elif connection.transport is not None:
        if connection.transport.is_closing():  # a client that does not take its replies would keep it open
            connection.transport.abort()
        else:
            connection.transport.close()


def open_sockets(
    addresses: tuple[str, ...], handed_over: list[socket.socket], mode: int, group: str
) -> tuple[list[socket.socket], list[Path]]:
    """The listening sockets: those systemd handed over, else the configured ones. Raises ListenError.

    Also returns the paths of socket files made here.
    """
    if handed_over:
        return handed_over, []
    sockets: list[socket.socket] = []
    owned: list[Path] = []
    try:
        for address in addresses:
            kind, _, rest = address.partition(":")
            if kind == "unix":
                path = Path(rest)
                sockets.append(unix_socket(path, mode, group))
                owned.append(path)
            else:
                sockets.append(tcp_socket(rest))
    except ListenError:
        for sock in sockets:
            sock.close()
        for path in owned:
            path.unlink()
        raise
    return sockets, owned


def tcp_socket(address: str) -> socket.socket:
    """A TCP socket bound to `host:port`. Raises ListenError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, int(port)))
    except (OSError, OverflowError) as error:
        sock.close()
        raise ListenError(f"cannot listen on tcp:{address}: {error}") from error
    sock.setblocking(False)
    return sock


def unix_socket(path: Path, mode: int, group: str) -> socket.socket:
    """A Unix socket bound to `path`, replacing one nobody listens on. Raises ListenError."""
    group_id = _group_id(path, group) if group else -1
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _bind(sock, path, mode, group_id)
    except ListenError:
        sock.close()
        raise
    except OSError as error:
        sock.close()
        raise ListenError(f"cannot listen on unix:{path}: {error.strerror or error}") from error
    sock.setblocking(False)
    return sock


def _bind(sock: socket.socket, path: Path, mode: int, group_id: int) -> None:
    """Bound closed to everyone, then opened as configured: no moment with too much access."""
    old_mask = os.umask(0o777)
    try:
        sock.bind(str(path))
    finally:
        os.umask(old_mask)
    try:
        os.chown(path, -1, group_id)
        path.chmod(mode)
    except OSError:
        path.unlink()  # closed to everyone, it could not even be found stale
        raise


def _group_id(path: Path, group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ListenError(
            f"cannot listen on unix:{path}: ingest.socket_group: no group {group!r} here"
        ) from None


def _remove_stale(path: Path) -> None:
    try:
        state = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(state.st_mode):
        raise ListenError(
            f"cannot listen on unix:{path}: there is a file of that name that is no socket; move it away"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            logger.warning("replacing a stale socket", extra={"path": str(path)})
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            return
        except OSError as error:
            if error.errno != errno.EAGAIN:  # EAGAIN: alive, its backlog full
                raise ListenError(f"cannot listen on unix:{path}: {error}") from error
    raise ListenError(f"cannot listen on unix:{path}: another process is listening there; stop it first")
