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
from tests.support.waiting import FAR

REQUEST_START = struct.Struct(">hhi")
RST_ON_CLOSE = struct.pack("ii", 1, 0)
PRODUCE_ONLY = frozenset({Api.PRODUCE})


class Fault(Enum):
    """What happens to the requests of the chosen types; everything else passes."""

    PASS = "pass"
    CUT = "cut"
    """All connections closed, new ones refused, whatever the request type."""
    STALL = "stall"
    """Connections stay open and nothing moves, whatever the request type; PASS lets it all through."""
    HOLD = "hold"
    """The request waits, and with it those behind it on the connection, until another fault is set."""
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


BEFORE_BROKER = frozenset({Fault.RESET, Fault.HOLD})
AFTER_BROKER = frozenset({Fault.SWALLOW, Fault.LOSE_ACK, Fault.HALVE, Fault.DELAY})


@dataclass
class _Rule:
    fault: Fault = Fault.PASS
    apis: frozenset[Api] = PRODUCE_ONLY
    times: int | None = None


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
            fault = self._proxy.take(api, BEFORE_BROKER)
            if fault is Fault.RESET:
                self.close(reset=True)
                return
            if fault is Fault.HOLD:
                await self._proxy.changed.wait()
            self._waiting[correlation] = api
            upstream.write(frame)
            await upstream.drain()

    async def _responses(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            frame = await _read_frame(answers)
            await self._proxy.pass_gate()
            api = self._waiting.pop(int.from_bytes(frame[4:8], "big", signed=True))
            fault = self._proxy.take(api, AFTER_BROKER)
            if fault is Fault.SWALLOW:
                continue
            if fault is Fault.DELAY:
                await asyncio.sleep(self._proxy.delay)
            if fault is Fault.HALVE:
                writer.write(frame[: len(frame) // 2])
            if fault in (Fault.HALVE, Fault.LOSE_ACK):
                self.close(reset=True)
                return
            writer.write(frame)
            await writer.drain()


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    """A whole frame with its length. Raises asyncio.IncompleteReadError at the end."""
    head = await reader.readexactly(4)
    return head + await reader.readexactly(int.from_bytes(head, "big"))


class KafkaProxy:
    """Runs in a thread of its own, so that tests may block or run their own loop.

    `upstream` is the port the broker listens on, `port` the one it advertises for it.
    """

    def __init__(self, upstream: int, port: int | None = None) -> None:
        self.upstream = upstream
        self.port = port or free_port()
        self.requests: Counter[int] = Counter()
        """How many requests of each type came, by api key."""
        self.delay = 0.0
        self._rule = _Rule()
        self._hits = 0
        self._hit = threading.Condition()
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._loop = asyncio.new_event_loop()
        self._gate = asyncio.Event()
        self.changed = asyncio.Event()
        """Set once another fault is in force than now."""
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="kafka-proxy", daemon=True)

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Raises OSError when the port is taken."""
        self._thread.start()
        self.set(Fault.PASS)

    def stop(self) -> None:
        self.set(Fault.CUT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def set(
        self,
        fault: Fault,
        *,
        apis: frozenset[Api] = PRODUCE_ONLY,
        times: int | None = None,
        delay: float = 0.0,
    ) -> None:
        """Apply `fault` from now on to the next `times` requests (None: all) of the types in `apis`.

        In force on return. Past `times` everything passes again. `delay` is in seconds, for DELAY.
        """
        self._call(self._set(_Rule(fault, apis, times), delay))

    def drop_connections(self) -> None:
        """Reset all present connections; new ones are taken."""
        self._call(self._close_all(reset=True))

    @property
    def hits(self) -> int:
        """How many requests the fault has met since it was set."""
        return self._hits

    def wait_hits(self, count: int = 1, timeout: float = FAR) -> None:
        """Wait until the fault has met `count` requests. Raises TimeoutError."""
        with self._hit:
            if not self._hit.wait_for(lambda: self._hits >= count, timeout):
                raise TimeoutError(
                    f"{self._rule.fault} met {self._hits} of {count} requests in {timeout:g} s"
                )

    def take(self, api: int, kinds: frozenset[Fault]) -> Fault:
        """The fault, of these kinds, that this request is due; counts it."""
        rule = self._rule
        if rule.fault not in kinds or api not in rule.apis or rule.times == 0:
            return Fault.PASS
        if rule.times is not None:
            rule.times -= 1
        self._count()
        return rule.fault

    async def pass_gate(self) -> None:
        if not self._gate.is_set():
            self._count()
            await self._gate.wait()

    def _count(self) -> None:
        with self._hit:
            self._hits += 1
            self._hit.notify_all()

    async def _set(self, rule: _Rule, delay: float) -> None:
        self._rule, self.delay, self._hits = rule, delay, 0
        self.changed.set()
        self.changed = asyncio.Event()
        if rule.fault is Fault.STALL:
            self._gate.clear()
        else:
            self._gate.set()
        if rule.fault is Fault.CUT:
            if self._server is not None:
                self._server.close()
                self._server = None
            await self._close_all()
        elif self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)

    async def _close_all(self, reset: bool = False) -> None:
        for connection in self._connections.values():
            connection.close(reset)
        if self._connections:
            await asyncio.wait(self._connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = connection = _Connection(self, reader, writer)
        if self._rule.fault is Fault.CUT:
            connection.close()  # It was accepted just before the cut.
        try:
            await connection.run(self.upstream)
        finally:
            del self._connections[task]

    def _call(self, change: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(change, self._loop).result(FAR)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
