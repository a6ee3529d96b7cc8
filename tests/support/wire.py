"""Raw HTTP over a socket: what is sent is what the test wrote, byte for byte."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.waiting import FAR

Address = Path | tuple[str, int]
"""A Unix socket's path, or a host and a port."""


@dataclass(frozen=True)
class Answer:
    """One reply. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("latin-1")


def connect(address: Address, timeout: float = FAR) -> socket.socket:
    """A connected socket. Raises OSError."""
    if isinstance(address, tuple):
        return socket.create_connection(address, timeout)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(str(address))  # blocking: with a time-out a full backlog would be an error
        sock.settimeout(timeout)
    except OSError:
        sock.close()
        raise
    return sock


class Wire:
    """One client connection."""

    def __init__(self, address: Address, timeout: float = FAR) -> None:
        self.sock = connect(address, timeout)
        self._read = self.sock.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._read.close()
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive(self, *, head: bool = False) -> Answer:
        """The next reply; `head`: it answers a HEAD. Raises EOFError where the peer closed instead."""
        line = self._read.readline()
        if not line:
            raise EOFError("closed without a reply")
        headers: dict[str, str] = {}
        while (field := self._read.readline()) not in (b"\r\n", b""):
            name, _, value = field.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        status = int(line.split()[1])
        length = 0 if head or status < 200 else int(headers.get("content-length", "0"))
        body = self._read.read(length)
        if "chunked" in headers.get("transfer-encoding", ""):
            body = self._chunks()
        return Answer(status, headers, body)

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self._read.readline(), 16):
            parts.append(self._read.read(size))
            self._read.readline()
        self._read.readline()
        return b"".join(parts)

    def line(self) -> str:
        """A line of a body that has no end."""
        return self._read.readline().decode("latin-1")

    def ended(self) -> bool:
        """Wait for the peer to close; False where it sends something instead."""
        return self._read.read(1) == b""


def request(
    target: str | bytes,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
    *,
    host: str = "click.example.com",
) -> bytes:
    """An HTTP/1.1 request's bytes, with a Content-Length where there is a body and no other framing."""
    raw = target if isinstance(target, bytes) else target.encode()
    fields = {"Host": host, **(headers or {})}
    if body is not None and "Transfer-Encoding" not in fields:
        fields.setdefault("Content-Length", str(len(body)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return method.encode() + b" " + raw + b" HTTP/1.1\r\n" + lines.encode("latin-1") + b"\r\n" + (body or b"")


def ask(address: Address, data: bytes, timeout: float = FAR) -> Answer:
    """Send one request on a connection of its own and return its reply."""
    with Wire(address, timeout) as wire:
        wire.send(data)
        return wire.receive(head=data.startswith(b"HEAD "))
