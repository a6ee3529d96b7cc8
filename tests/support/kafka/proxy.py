"""A proxy between client and broker that reads Kafka's framing, so that it can lose exactly one ack.

A request is a 4-byte length, then api key (2 bytes), version (2) and correlation id (4); a response
is a 4-byte length, then the correlation id (Kafka protocol guide, "Protocol primitives"). Clients
follow the addresses that brokers advertise, so the broker must advertise this proxy's port.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Self

from tests.support.kafka.mock import Api
from tests.support.kafka.settings import HOST, free_port

REQUEST_START = struct.Struct(">hhi")
CONNECT_TIMEOUT = 10.0
RST_ON_CLOSE = struct.pack("ii", 1, 0)
PRODUCE_ONLY = frozenset({Api.PRODUCE})


class Fault(Enum):
    """What happens to the requests of the chosen types; everything else passes."""

    PASS = "pass"  # noqa: S105
    CUT = "cut"
    """All connections closed, new ones refused, whatever the request type."""
    STALL = "stall"
    """Connections stay open and nothing moves, whatever the request type; PASS lets it all through."""
    RESET = "reset"
    """The connection is reset instead of forwarding the request: the broker never saw it."""
    SWALLOW = "swallow"
    """The broker has done the request, its response is lost, the connection stays."""
    LOSE_ACK = "lose ack"
    """The broker has done the request, and the connection is reset instead of forwarding the response."""
    HALVE = "halve"
    """Half of the response, then a reset."""
    DELAY = "delay"
    """The response comes late by `delay` seconds."""


BEFORE_BROKER = frozenset({Fault.RESET})
AFTER_BROKER = frozenset({Fault.SWALLOW, Fault.LOSE_ACK, Fault.HALVE, Fault.DELAY})


@dataclass
class _Rule:
    fault: Fault = Fault.PASS
    apis: frozenset[Api] = PRODUCE_ONLY
    times: int | None = None
    delay: float = 0.0


class _Connection:
    """One client connection and its way on to the broker."""

    def __init__(self, proxy: KafkaProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader, self._writer = reader, writer
        self._upstream: asyncio.StreamWriter | None = None
        self._waiting: dict[int, int] = {}

    async def run(self, upstream_port: int) -> None:
        try:
            answers, self._upstream = await asyncio.open_connection(HOST, upstream_port)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(self._reader, self._upstream))
                group.create_task(self._responses(answers, self._writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass  # One side closed: so does the other, below.
        finally:
            self.close()

    def close(self, reset: bool = False) -> None:
        for writer in (self._writer, self._upstream):
            if writer is not None and not writer.is_closing():
                if reset and writer is self._writer:
                    plain: socket.socket = writer.get_extra_info("socket")
                    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
                writer.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> None:
        while True:
            frame = await _read_frame(reader)
            api, _, correlation = REQUEST_START.unpack_from(frame, 4)
            self._proxy.requests[api] += 1
            await self._proxy.pass_gate()
            if self._proxy.take(api, BEFORE_BROKER):
                self.close(reset=True)
                return
            self._waiting[correlation] = api
            upstream.write(frame)
            await upstream.drain()

    async def _responses(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            frame = await _read_frame(answers)
            await self._proxy.pass_gate()
            api = self._waiting.pop(int.from_bytes(frame[4:8], "big", signed=True))
            rule = self._proxy.take(api, AFTER_BROKER)
            match rule and rule.fault:
                case Fault.SWALLOW:
                    continue
                case Fault.LOSE_ACK:
                    self.close(reset=True)
                    return
                case Fault.HALVE:
                    await _send_half_and_reset(self, writer, frame)
                    return
                case Fault.DELAY:
                    await asyncio.sleep(rule.delay if rule else 0.0)
            writer.write(frame)
            await writer.drain()


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    """A whole frame with its length. Raises asyncio.IncompleteReadError at the end."""
    head = await reader.readexactly(4)
    return head + await reader.readexactly(int.from_bytes(head, "big"))


class KafkaProxy:
    """Runs in a thread of its own, so that tests may block or run their own loop."""
