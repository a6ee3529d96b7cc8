"""Everything at once, from connections to the sink: at every step every event is counted where it went."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from ingestd.http.connection import Connection
from tests.support.fakes import assert_conserved
from tests.support.loop import turns
from tests.support.memory_daemon import MemoryDaemon, get, post


class Storm:
    """Good and bad requests, pipelined, over connections that come and go, a sink that fails and hangs."""

    def __init__(self, daemon: MemoryDaemon, seed: int) -> None:
        self.daemon = daemon
        self.dice = random.Random(seed)
        self.number = 0
        self.open: list[Connection] = []
        self.acts = [
            (self.connect, 3), (self.leave, 1), (self.send, 5), (self.break_sink, 1), (self.hold_sink, 1),
            (self.drain, 0.3), (self.wait, 2),
        ]  # fmt: skip

    async def step(self) -> None:
        calls, weights = zip(*self.acts, strict=True)
        await self.dice.choices(calls, weights)[0]()
        await turns(self.dice.randint(0, 4))
        for connection in [one for one in self.open if self.closed(one)]:
            self.open.remove(connection)  # as the loop does: nothing is read from it any more
            connection.connection_lost(None)

    def closed(self, connection: Connection) -> bool:
        return connection.transport is not None and connection.transport.is_closing()

    def request(self) -> bytes:
        self.number += 1
        kind = self.dice.random()
        if kind < 0.6:
            return get(b"/c/%s?n=%d&" % (self.dice.choice([b"a", b"b"]), self.number))
        if kind < 0.7:
            return post(b"/c/a", b'[{"n":%d},{"n":%d}]' % (self.number, self.number), b"application/json")
        if kind < 0.8:
            return post(b"/c/a?n=%d" % self.number, b"x", b"text/plain", b"Content-Encoding: gzip")
        return get(self.dice.choice([b"/nobody", b"/c/a"]), method=self.dice.choice([b"HEAD", b"PUT"]))

    async def connect(self) -> None:
        self.open.append(self.daemon.connect()[1])

    async def leave(self) -> None:
        if self.open:
            self.open.pop(self.dice.randrange(len(self.open))).connection_lost(None)

    async def send(self) -> None:
        if self.open:
            data = b"".join(self.request() for _ in range(self.dice.randint(1, 4)))
            self.dice.choice(self.open).data_received(data)

    async def break_sink(self) -> None:
        self.daemon.sink.failing = self.dice.choice(["", "", "no space left"])

    async def hold_sink(self) -> None:
        (self.daemon.sink.gate.clear if self.dice.random() < 0.4 else self.daemon.sink.gate.set)()

    async def drain(self) -> None:
        for connection in self.open[:2]:
            connection.drain()

    async def wait(self) -> None:
        await self.daemon.clock.advance(self.dice.random() * 2)


@pytest.mark.parametrize("acks", [True, False], ids=["stored", "queued"])
@pytest.mark.parametrize("seed", range(12))
async def test_after_everything_what_was_received_is_stored_or_refused(acks: bool, seed: int) -> None:
    sources = ({"name": "a", "path": "/c/a"}, {"name": "b", "path": "/c/b"})
    async with MemoryDaemon(*sources, acks=acks, max_events=7, buffer_bytes=20_000) as daemon:
        storm = Storm(daemon, seed)
        for _ in range(300):
            await storm.step()
            assert_conserved(daemon.counters)
        daemon.sink.failing = ""
        daemon.sink.gate.set()
        await daemon.clock.advance(10)
        await daemon.flusher.drain()
        assert_conserved(daemon.counters)
        numbers = Counter(re.findall(rb'"n":"?(\d+)', daemon.sink.stored()))
        assert set(numbers.values()) <= {1, 2}  # an array of two is stored whole or not at all
        assert sum(source.stored for source in daemon.counters.by_source.values()) == numbers.total()
        assert not any(source.unstored for source in daemon.counters.by_source.values())
        assert (daemon.buffer.events, daemon.buffer.bytes) == (0, 0)
        assert numbers.total() > 5
