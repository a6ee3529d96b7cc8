"""A deterministic load: keep-alive connections that send numbered requests, one after another."""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType
from typing import Self, cast

import uvloop

from tests.support.oracle import Ledger, build
from tests.support.waiting import FAR
from tests.support.wire import Address

# After a refusal or a broken connection a client waits this long, seconds: real platforms do not spin.
BREATH = 0.02


class Load:
    """Sends in a thread of its own from `start` (or entering) to `stop` (or leaving).

    `pace`: seconds each connection waits between a success and its next request.
    """

    def __init__(self, address: Address, ledger: Ledger, *, connections: int = 16, pace: float = 0.0) -> None:
        self._address = address
        self.ledger = ledger
        self._count = connections
        self.pace = pace
        self.stopping = False
        self.resting = False
        self._clients: list[Client] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self, timeout: float = FAR) -> None:
        """Send no more, wait for the replies that are due. Raises TimeoutError where one never comes."""
        self.stopping = True
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self.check_idle)
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"{self.ledger.in_flight} requests were never answered")
        if self._failure is not None:
            raise self._failure

    def rest(self, timeout: float = FAR) -> None:
        """Send nothing until `go_on`; returns when no reply is due. Raises TimeoutError."""
        self.resting = True
        deadline = time.monotonic() + timeout
        while self.ledger.in_flight:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.ledger.in_flight} requests were never answered")
            time.sleep(BREATH)

    def go_on(self) -> None:
        """Send again."""
        self.resting = False

    def _run(self) -> None:
        try:
            uvloop.run(self._main())
        except BaseException as error:  # shown by stop, in the test's own thread
            self._failure = error

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle = asyncio.Event()
        self._clients = [Client(self, self._loop) for _ in range(self._count)]
        for client in self._clients:
            client.go()
        if self.stopping:
            self.check_idle()
        await self._idle.wait()

    async def connect(self, client: Client) -> None:
        """Connect a client; where nobody listens it tries again after a breath."""
        assert self._loop is not None
        try:
            if isinstance(self._address, tuple):
                await self._loop.create_connection(lambda: client, *self._address)
            else:
                await self._loop.create_unix_connection(lambda: client, str(self._address))
        except OSError:
            client.go_later(BREATH)

    def check_idle(self) -> None:
        """Once stopping and no reply is due, end."""
        if self.stopping and self._idle is not None and not any(c.waits for c in self._clients):
            self._idle.set()


class Client(asyncio.Protocol):
    """One connection; `number` is the request whose reply is due, -1 where none is."""

    def __init__(self, load: Load, loop: asyncio.AbstractEventLoop) -> None:
        self._load = load
        self._loop = loop
        self._ledger = load.ledger
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._buffer = b""
        self.number = -1

    @property
    def waits(self) -> bool:
        return self.number >= 0

    def go_later(self, delay: float) -> None:
        """Go on in `delay` seconds, once: a connection may break while the next request is due already, and
        with two on their way the reply to one would be taken for the other's.
        """
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay, self.go)

    def go(self) -> None:
        """Send the next request, or connect first."""
        if self._load.stopping:
            self._load.check_idle()
        elif self._load.resting:
            self.go_later(BREATH)
        elif self._transport is None:
            if self._connecting is None or self._connecting.done():
                self._connecting = self._loop.create_task(self._load.connect(self))
        elif not self.waits:
            self.number = self._ledger.next()
            self._transport.write(build(self.number))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._buffer = b""
        self.go()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        fields = head.lower()
        length = int(fields.partition(b"content-length: ")[2].split(b"\r", 1)[0] or b"0")
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        status = int(head[9:12])
        number, self.number = self.number, -1
        self._ledger.answered(number, status, head)
        if b"connection: close" in fields:
            cast("asyncio.Transport", self._transport).close()
            return
        success = 200 <= status < 300
        if success and not self._load.pace:
            self.go()
        else:
            self.go_later(self._load.pace if success else BREATH)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self.waits:
            number, self.number = self.number, -1
            self._ledger.lost(number)
        self.go_later(BREATH)
