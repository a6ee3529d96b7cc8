"""Stand-ins for what surrounds a part under test: transport, clock, sink, source.

transport, connection = connect(take)
connection.data_received(b"GET / HTTP/1.1\\r\\n\\r\\n")
assert [reply.status for reply in transport.replies()] == [200]
"""

from __future__ import annotations

import asyncio
import heapq
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

from ingestd import config
from ingestd.errors import SinkError
from ingestd.event import Batch, Entry
from ingestd.http.connection import Connection, ServerState
from ingestd.http.parser import Limits
from ingestd.http.request import Exchange, Headers, Request
from ingestd.http.responses import Reply
from ingestd.pipeline.batch_metrics import BatchMetrics
from ingestd.pipeline.buffer import Buffer
from ingestd.pipeline.counters import Counters, SourceCounters
from ingestd.pipeline.flusher import Clock, Flusher, FlushPolicy
from ingestd.pipeline.sink import CommitResult, Snapshot
from ingestd.pipeline.subscribers import Subscribers
from ingestd.sources.factory import build as build_sources
from ingestd.sources.source import Source
from ingestd.system.tracing import Tracing
from tests.support.loop import turns

# the client's side of a connection


@dataclass(frozen=True)
class Received:
    """One reply as a client reads it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


def read_replies(data: bytes, heads: Iterable[int] = ()) -> list[Received]:
    """Every reply in `data`. `heads`: numbers of those that answer a HEAD request, and have no body."""
    replies: list[Received] = []
    without_body = set(heads)
    while data:
        head, separator, rest = data.partition(b"\r\n\r\n")
        assert separator, f"no whole reply: {data!r}"
        first, *lines = head.decode("latin-1").split("\r\n")
        assert first.startswith("HTTP/1.1 "), f"no reply: {data[:60]!r}"
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        size = 0 if len(replies) in without_body else int(headers.get("content-length", "0"))
        assert len(rest) >= size, f"reply cut short: {data!r}"
        replies.append(Received(int(first.split(" ")[1]), headers, rest[:size]))
        data = rest[size:]
    return replies


class FakeTransport(asyncio.Transport):
    """Records what a protocol does to its transport."""

    def __init__(self, peer: object = "") -> None:
        super().__init__()
        self._peer = peer
        self.written = b""
        self.writes = 0
        self.reading = True
        self.closed = self.aborted = self.ended = False

    def replies(self, heads: Iterable[int] = ()) -> list[Received]:
        return read_replies(self.written, heads)

    def statuses(self) -> list[int]:
        return [reply.status for reply in self.replies()]

    def get_extra_info(self, name: str, default: object = None) -> Any:
        return self._peer if name == "peername" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended, "written after the end"
        assert not self.closed, "written after close"
        self.written += bytes(data)
        self.writes += 1

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        assert self.reading, "paused twice"
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading, "resumed while reading"
        self.reading = True


def connect(
    take: Callable[[Exchange, Request], None],
    *,
    limits: Limits | None = None,
    peer: object = "",
    state: ServerState | None = None,
    refused: Callable[[str], None] = lambda reason: None,
) -> tuple[FakeTransport, Connection]:
    """A connection over a fake transport. `peer`: "" for a Unix socket, (address, port) for TCP."""
    state = state or ServerState(take, limits or Limits(), refused, max_connections=100)
    connection = Connection(state)
    transport = FakeTransport(peer)
    connection.connection_made(transport)
    return transport, connection


class HeldIntake:
    """An intake that keeps every exchange, for the test to answer when it likes."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.requests: list[tuple[bytes, bytes, Headers, bytes]] = []

    def __call__(self, exchange: Exchange, request: Request) -> None:
        self.exchanges.append(exchange)
        self.requests.append((request.method, request.target, Headers(request.headers), request.body))

    def answer(self, number: int, text: str | None = None) -> None:
        """Answer request `number`, with its own target as the body unless told otherwise."""
        body = self.requests[number][1] if text is None else text.encode()
        self.exchanges[number].answer(Reply(200, body))


# time


class FakeTimer:
    """A call to come."""

    def __init__(self, due: float, call: Callable[[], object]) -> None:
        self.due = due
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def __lt__(self, other: FakeTimer) -> bool:
        return self.due < other.due


class FakeClock:
    """Time that stands still until the test moves it."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self._timers: list[FakeTimer] = []

    def later(self, delay: float, call: Callable[[], object]) -> FakeTimer:
        timer = FakeTimer(round(self.seconds + delay, 9), call)
        heapq.heappush(self._timers, timer)
        return timer

    def now(self) -> float:
        return self.seconds

    def wall_ns(self) -> int:
        return 1_700_000_000_000_000_000 + int(self.seconds * 1e9)

    def clock(self) -> Clock:
        """As the flusher takes it."""
        return Clock(self.later, self.now, self.wall_ns)

    @property
    def waiting(self) -> int:
        """How many calls are still to come."""
        return sum(not timer.cancelled for timer in self._timers)

    async def advance(self, seconds: float) -> None:
        """Move the time, make the calls that come due in their order, and let the loop act on each."""
        await turns()
        end = round(self.seconds + seconds, 9)
        while self._timers and self._timers[0].due <= end:
            timer = heapq.heappop(self._timers)
            self.seconds = max(self.seconds, timer.due)
            if not timer.cancelled:
                timer.call()
                await turns()
        self.seconds = end
        await turns()


# entries and sinks


class FakeEntry(Entry):
    """An entry that remembers its fate: None for stored, else the reason. `stalls`: calls of `stalled`."""

    __slots__ = ("fates", "stalls")

    def __init__(self, data: bytes, source: SourceCounters, count: int = 1, received_ns: int = 0) -> None:
        self.data = data
        self.count = count
        self.counters = source
        self.received_ns = received_ns
        self.keys = None
        self.trace = None
        self.dead_letter = None
        self.fates: list[str | None] = []
        self.stalls = 0

    def stalled(self) -> None:
        assert not self.fates, "its fate was known already"
        self.stalls += 1

    def settle(self, refused: str | None) -> None:
        assert not self.fates, "settled twice"
        self.fates.append(refused)


def event_line(number: int, size: int = 200) -> bytes:
    """A whole event line of `size` bytes or a little more, with its number in it."""
    start = b'{"v":1,"id":"01920000-0000-7000-8000-%012x","dup_key":"%032x","received_at":1700000000000'
    start = start % (number, number) + b',"n":%d' % number
    return start + b',"x":"' + b"x" * max(0, size - len(start) - 9) + b'"}\n'


class MemorySink:
    """A sink in memory that can be made to fail, to hang, and to recover.

    `failing`: why commits and probes fail now ("" for not at all). `bug`: what they raise instead.
    `gate`: commits wait until it is set.
    """

    name = "memory"

    def __init__(self) -> None:
        self.batches: list[bytes] = []
        self.failing = ""
        self.bug: Exception | None = None
        self.known_error = ""  # what `snapshot` says
        self.gate = asyncio.Event()
        self.gate.set()
        self.started = 0  # commits begun
        self.probes = 0
        self.calls: list[str] = []
        self.overlapped = False
        self._busy = False

    async def open(self) -> None:
        self._fail()

    async def commit(self, batch: Batch) -> CommitResult:
        self.overlapped = self.overlapped or self._busy
        self._busy = True
        self.started += 1
        data = batch.data()
        try:
            await self.gate.wait()
            self._fail()
            self.batches.append(data)
            return CommitResult(delivered={self.name: batch.shares()})
        finally:
            self._busy = False

    async def probe(self) -> None:
        self.probes += 1
        self._fail()

    async def tick(self) -> None:
        self.calls.append("tick")

    async def rotate(self) -> None:
        self.calls.append("rotate")

    async def close(self) -> None:
        self.calls.append("close")

    def snapshot(self) -> Snapshot:
        return Snapshot(self.known_error, {}, {self.name: {"batches": len(self.batches)}})

    def stored(self) -> bytes:
        """Everything committed."""
        return b"".join(self.batches)

    def _fail(self) -> None:
        if self.bug is not None:
            raise self.bug
        if self.failing:
            raise SinkError(self.failing)


class Pump:
    """A buffer and a flusher over a memory sink, with time that stands still."""

    def __init__(
        self, *, acks: bool, max_events: int = 100, max_bytes: int = 10_000, buffer_bytes: int = 100_000,
        interval: float = 0.2, stall: float = 2.5, tracing: Tracing | None = None,
    ) -> None:  # fmt: skip
        self.clock = FakeClock()
        self.sink = MemorySink()
        self.metrics = BatchMetrics()
        self.counters = Counters()
        self.buffer = Buffer(buffer_bytes, max_events, max_bytes)
        policy = FlushPolicy(interval, acks, stall)
        self.subscribers = Subscribers()
        self.flusher = Flusher(
            self.buffer,
            self.sink,
            policy,
            self.counters,
            self.metrics,
            self.clock.clock(),
            self.subscribers,
            tracing,
        )
        self.entries: list[FakeEntry] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.flusher.run())
        await turns()
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._task is not None
        assert not self._task.done(), f"the flusher ended: {self._task}"
        self._task.cancel()

    async def put(self, data: bytes = b"event\n", source: str = "demo", count: int = 1) -> FakeEntry:
        """Take an entry, as the intake does, and let the loop turn."""
        entry = self.put_now(data, source, count)
        await turns()
        return entry

    def put_now(self, data: bytes = b"event\n", source: str = "demo", count: int = 1) -> FakeEntry:
        """Take an entry in the present turn of the loop."""
        counters = self.counters.of(source)
        entry = FakeEntry(data, counters, count, self.clock.wall_ns())
        counters.received += count
        counters.received_bytes += len(data)
        counters.unstored += count
        self.buffer.put(entry)
        self.entries.append(entry)
        return entry


def assert_conserved(counters: Counters) -> None:
    """received = rejected + unstored + stored, for every source."""
    for source in counters.by_source.values():
        total = sum(source.rejected.values()) + source.unstored + source.stored
        assert source.received == total, f"{source.source}: {source.received} received, {total} known of"
        assert source.unstored >= 0, f"{source.source}: {source.unstored} unstored"


# sources


def settings(toml: str = "", **source: Any) -> config.Config:
    """A configuration of one source; `toml` holds other sections."""
    tree = tomllib.loads(toml)
    tree["source"] = [{"name": "demo", "path": "/c/demo", **source}]
    return config.parse(tree, "test", {})


def make_source(counters: Counters | None = None, toml: str = "", **source: Any) -> Source:
    """A source at work, configured by keys of [[source]]; `toml` holds other sections."""
    [made] = build_sources(settings(toml, **source), counters or Counters(), "host/1")
    return made


def headers(**fields: str | bytes) -> Headers:
    """Headers by their names with `_` for `-`: headers(Content_Type="application/json")."""
    found = Headers()
    for name, value in fields.items():
        raw = value.encode("latin-1") if isinstance(value, str) else value
        found[name.replace("_", "-").encode()] = raw
    return found


def request_for(query: bytes = b"", fields: Headers | None = None, body: bytes = b"") -> Request:
    """A request as a source gets it: routed to /c/demo, received in June 2024."""
    target = b"/c/demo?" + query
    request = Request(b"POST" if body else b"GET", target, fields or Headers(), body)
    request.path, request.query, request.received_ns = "/c/demo", query, 1_718_000_000_000_000_000
    return request


def taken(source: Source, request: Request) -> Exchange:
    """What a source makes of a request: the exchange with the events."""
    exchange = Exchange()
    source.take(request, exchange)
    return exchange
