"""The load that the oracles trust: one request at a time, so that each reply is its request's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

from tests.support.load import Client, Load
from tests.support.oracle import ACKED, SENT, Ledger

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Handle:
    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """Timers that the test fires, tasks that never get on."""

    def __init__(self) -> None:
        self.timers: list[Handle] = []
        self.connecting = 0

    def call_later(self, delay: float, work: Callable[[], None]) -> Handle:
        self.timers.append(Handle(work))
        return self.timers[-1]

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        work.close()
        self.connecting += 1
        return asyncio.Future(loop=asyncio.new_event_loop())

    def fire(self) -> None:
        due, self.timers = self.timers, []
        for one in due:
            if not one.cancelled:
                one.work()


class Wire:
    def __init__(self) -> None:
        self.requests = 0

    def write(self, data: bytes) -> None:
        self.requests += 1


def test_a_connection_that_breaks_between_two_requests_does_not_make_two_of_the_next() -> None:
    """A kill in a client's pause: the pause and the break each called for the next request, and one was taken
    for answered by the other's reply. What it had asked for then seemed lost."""
    ledger, loop = Ledger(), Loop()
    load = Load(Path("nowhere"), ledger, connections=1, pace=0.01)
    client = Client(load, cast("asyncio.AbstractEventLoop", loop))
    first, second = Wire(), Wire()
    client.connection_made(cast("asyncio.Transport", first))
    client.data_received(OK)
    client.connection_lost(None)
    loop.fire()
    loop.fire()
    assert loop.connecting == 1
    client.connection_made(cast("asyncio.Transport", second))
    loop.fire()
    assert (first.requests, second.requests) == (1, 1)
    assert list(ledger.fate) == [ACKED, SENT]
