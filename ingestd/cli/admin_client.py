"""Requests to running instances, through their admin listeners."""

from __future__ import annotations

import http.client
import queue
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from ingestd import config
from ingestd.config.types import each_address
from ingestd.errors import IngestdError

TIMEOUT = 5.0


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket; `path`: the socket's."""

    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def addresses(config_path: Path, admins: tuple[str, ...]) -> tuple[str, ...]:
    """The addresses in `admins`, or the configured one; `HOST:9401-9404` are four. Raises ConfigError."""
    named = admins or (config.load(config_path).admin.listen,)
    return tuple(one for admin in named for one in each_address(admin))


def _connection(address: str, timeout: float | None) -> http.client.HTTPConnection:
    kind, _, rest = address.partition(":")
    if kind == "unix":
        return _UnixConnection(rest, timeout)
    place = rest if kind == "tcp" else address
    host, _, port = place.rpartition(":")
    if not port.isdigit():
        raise IngestdError(
            f'{address!r} is not an address; write "tcp:127.0.0.1:9401" or "unix:/run/ingestd/admin.sock"'
        )
    return http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout)


def fetch(address: str, target: str, timeout: float = TIMEOUT) -> bytes:
    """The body of an admin endpoint. `timeout`: seconds.

    Raises IngestdError if the instance is unreachable or does not answer 200.
    """
    try:
        with closing(_connection(address, timeout)) as connection:
            connection.request("GET", target)
            response = connection.getresponse()
            body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise IngestdError(
            f"cannot reach {address}: {error}; is ingestd running, and is this [admin] listen?"
        ) from error
    if response.status != 200:
        raise IngestdError(f"{address}: {target} is answered {response.status}")
    return body


def status(address: str, timeout: float = TIMEOUT) -> dict[str, Any]:
    """The /status of an instance. `timeout`: seconds. Raises IngestdError if it is unreachable."""
    try:
        found: dict[str, Any] = orjson.loads(fetch(address, "/status", timeout))
    except orjson.JSONDecodeError as error:
        raise IngestdError(f"{address}: /status is not JSON: is this ingestd's [admin] listen?") from error
    return found


def follow_all(addresses: Sequence[str], query: str) -> Iterator[dict[str, Any]]:
    """Yield the events of all instances as they are stored, and `{"gone": why}` when one of them ends.

    `query`: that of /tail, with its question mark. Raises IngestdError when the last of them ends.
    """
    # Short, so that a slow reader misses events in the daemon, which counts them.
    arrived: queue.Queue[dict[str, Any]] = queue.Queue(maxsize=100)

    def read(address: str) -> None:
        why = f"{address}: the instance has stopped"
        try:
            for event in follow(address, query):
                arrived.put(event)
        except IngestdError as error:
            why = str(error)
        arrived.put({"gone": why})

    for address in addresses:
        threading.Thread(target=read, args=(address,), daemon=True).start()
    left = len(addresses)
    while True:
        event = arrived.get()
        if "gone" in event:
            left -= 1
            if not left:
                raise IngestdError(event["gone"])
        yield event


def follow(address: str, query: str) -> Iterator[dict[str, Any]]:
    """Yield the events of an instance as they are stored. `query` as in `follow_all`. Raises IngestdError."""
    try:
        with closing(_connection(address, TIMEOUT)) as connection:
            connection.connect()
            sock = connection.sock  # the response takes it away from the connection
            connection.request("GET", f"/tail{query}")
            response = connection.getresponse()
            if response.status != 200:
                raise IngestdError(f"{address}: {response.read().decode('utf-8', 'replace').strip()}")
            sock.settimeout(None)  # the next event may come hours later
            while line := response.readline():
                event: dict[str, Any] = orjson.loads(line)
                yield event
    except (OSError, http.client.HTTPException) as error:
        raise IngestdError(
            f"cannot reach {address}: {error}; is ingestd running, and is this [admin] listen?"
        ) from error
