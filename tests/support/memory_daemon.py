"""A whole daemon but for its sockets and its disk."""

from __future__ import annotations

from typing import Any

import orjson

from ingestd.http.connection import Connection, ServerState
from ingestd.http.parser import Limits
from ingestd.intake import Intake
from ingestd.sources.router import Router
from tests.support.fakes import FakeTransport, Pump, Received, connect, make_source
from tests.support.loop import turns


class MemoryDaemon(Pump):
    """A whole daemon but for its sockets and its disk."""

    def __init__(self, *sources: dict[str, Any], acks: bool = True, **options: Any) -> None:
        super().__init__(acks=acks, **options)
        configured = sources or ({"name": "demo", "path": "/c/demo"},)
        made = [make_source(self.counters, **source) for source in configured]
        self.intake = Intake(Router(made), self.counters, self.buffer, ack_stored=acks)
        self.state = ServerState(self.intake.take, Limits(), self.counters.refuse, 100)

    def connect(self, peer: object = "") -> tuple[FakeTransport, Connection]:
        return connect(self.intake.take, state=self.state, peer=peer)

    async def ask(self, data: bytes, peer: object = "", heads: tuple[int, ...] = ()) -> list[Received]:
        """Send bytes over a connection of their own, and read what is answered."""
        transport, connection = self.connect(peer)
        connection.data_received(data)
        await turns(20)
        return transport.replies(heads)

    def events(self) -> list[dict[str, object]]:
        """What is stored."""
        return [orjson.loads(line) for line in self.sink.stored().splitlines()]


def get(target: bytes, *headers: bytes, method: bytes = b"GET") -> bytes:
    return method + b" " + target + b" HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in headers) + b"\r\n"


def post(target: bytes, body: bytes, content_type: bytes, *headers: bytes) -> bytes:
    more = (b"Content-Length: %d" % len(body), b"Content-Type: " + content_type)
    return get(target, *more, *headers, method=b"POST") + body
