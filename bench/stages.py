"""ingestd's stages one by one, each over the whole request mix, without a socket."""

from __future__ import annotations

import asyncio
import functools
import itertools
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path

import uvloop

from bench import mix as mixes
from bench.ingestd_rows import sources
from bench.mix import PUBLIC_BASE
from ingestd import config
from ingestd.cli import audit_files
from ingestd.event import ID_SLICE, Batch, Entry
from ingestd.file.manifests import Manifests
from ingestd.file.names import manifest_path
from ingestd.file.recovery import recover
from ingestd.file.scan import scan as scan_file
from ingestd.file.sink import FileSink
from ingestd.http.connection import Connection, ServerState
from ingestd.http.parser import Limits, RequestHandler
from ingestd.http.raw_target import RawTargetParser
from ingestd.http.request import Exchange, Headers, Request
from ingestd.intake import Intake
from ingestd.kafka.batches import Chunker
from ingestd.kafka.topics import Topics
from ingestd.pipeline.buffer import Buffer
from ingestd.pipeline.counters import Counters, SourceCounters
from ingestd.sources import query
from ingestd.sources.factory import build
from ingestd.sources.query import scan
from ingestd.sources.router import Router
from ingestd.sources.source import Source
from ingestd.spool.envelope import payloads

BATCH = 500
PLENTY = 1 << 40
PARTITIONS = 12
_WANTED = (b"click_id", b"ts")
# Of the mix's requests: a plain GET, one whose signature is verified, a POST of JSON.
KINDS = ("GET", "signed", "POST")
Stage = Callable[[], int]  # does its work once, returns how many events that was

# Times that a file holds the mix, so that what is done once a file does not show.
MANY = 32


class _Gather(RequestHandler):
    """Keeps what was parsed, for the stages after it."""

    def __init__(self) -> None:
        self.seen: list[Request] = []

    def on_request(self, request: Request) -> None:
        headers = Headers(request.headers)
        self.seen.append(Request(request.method, request.target, headers, request.body))


class _Ignore(RequestHandler):
    def on_request(self, request: Request) -> None:
        pass


class _Nowhere(asyncio.Transport):
    """Takes replies and forgets them."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass


def as_forwarded(request: mixes.Request) -> bytes:
    """Return the bytes nginx sends on: its own headers first."""
    line, _, rest = request.wire.partition("\r\n")
    return f"{line}\r\nX-Real-IP: 10.1.2.3\r\nX-Forwarded-For: 10.1.2.3\r\n{rest}".encode()


def _kind(wire: bytes) -> str:
    if wire.startswith(b"POST"):
        return "POST"
    return "signed" if b"&sign=" in wire else "GET"


def _entry(line: bytes, source: SourceCounters) -> Entry:
    entry = Entry()
    entry.counters, entry.data, entry.count, entry.received_ns = source, line, 1, time.time_ns()
    return entry


def _batches(entries: list[Entry]) -> list[Batch]:
    """Pass entries through a buffer; return the batches they left it in."""
    buffer = Buffer(PLENTY, BATCH, PLENTY)
    for entry in entries:
        buffer.put(entry)

    async def drain() -> list[Batch]:
        found: list[Batch] = []
        while buffer.events:
            batch = await buffer.next()
            assert isinstance(batch, Batch), "only batches were put"
            buffer.seal(batch)
            buffer.release(batch)
            found.append(batch)
        return found

    return _loop().run_until_complete(drain())


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    return uvloop.new_event_loop()


class Workbench:
    """The parts of a daemon, put together as App does, with no listener and no flusher."""

    def __init__(self, mix: list[mixes.Request], keys: Path) -> None:
        text = f'ingest.public_base = "{PUBLIC_BASE}"\n{sources(keys)}'
        settings = config.parse(tomllib.loads(text), "bench", {})
        self.counters = Counters()
        self.router = Router(build(settings, self.counters, "bench/0"))
        self.wires = [as_forwarded(request) for request in mix]
        self.by_kind = {kind: [wire for wire in self.wires if _kind(wire) == kind] for kind in KINDS}
        self._exchange = Exchange()
        gather = _Gather()
        parser = RawTargetParser(Limits(), gather)
        for wire in self.wires:
            parser.feed(wire)
        self.routed = [self._routed(request) for request in gather.seen]
        self.lines = [self._event(*one) for one in self.routed]
        self.entries = [_entry(line, self.counters.of("ocean")) for line in self.lines]

    def _routed(self, request: Request) -> tuple[Source, Request]:
        source = self.router.route(request)
        assert source is not None, request.target
        request.client_ip = "10.1.2.3"
        return source, request

    def _event(self, source: Source, request: Request) -> bytes:
        request.received_ns = time.time_ns()
        source.take(request, self._exchange)
        return self._exchange.data

    # the stages

    def parse(self) -> int:
        """Bytes to requests (httptools and our callbacks)."""
        feed = RawTargetParser(Limits(), _Ignore()).feed
        for wire in self.wires:
            feed(wire)
        return len(self.wires)

    def scan(self) -> int:
        """A clean query in one pass: its JSON, and the values its source asks for."""
        for _, request in self.routed:
            scan(request.query, _WANTED)
        return len(self.routed)

    def decode(self) -> int:
        """Query bytes to parameters and JSON: what is done where the one pass cannot be."""
        decode = query.decode
        for _, request in self.routed:
            decode(request.query)
        return len(self.routed)

    def event(self) -> int:
        """All a source does: signature, scan or decode, macros, id, keys, the line."""
        for one in self.routed:
            self._event(*one)
        return len(self.routed)

    def queue(self) -> int:
        """Into the buffer, out in batches, released."""
        return sum(batch.events for batch in _batches(self.entries))

    def intake(self, kind: str = "") -> int:
        """Bytes on a connection to entries in the buffer and replies: the whole way but the socket.

        `kind`: of KINDS, to take such requests only.
        """
        wires = self.by_kind[kind] if kind else self.wires
        buffer = Buffer(PLENTY, 1 << 30, PLENTY)
        intake = Intake(self.router, self.counters, buffer, ack_stored=False)
        state = ServerState(intake.take, Limits(), self.counters.refuse, 1 << 20)
        connection = Connection(state)
        connection.connection_made(_Nowhere())
        for wire in wires:
            connection.data_received(wire)
        assert buffer.events == len(wires), "the intake lost events"
        return len(wires)


def pack(entries: list[Entry], *, keyed: bool) -> Stage:
    """Entries to payloads, and these to the records of Kafka batches; `keyed`: each has a key of its own."""
    chosen = [_entry(entry.data, entry.counters) for entry in entries]
    for number, entry in enumerate(chosen):
        entry.trace = None
        entry.keys = [b"imei-%016d" % number] if keyed else None

    async def partitions(topic: str) -> tuple[int, str]:
        return PARTITIONS, ""

    async def work() -> int:
        chunker = Chunker(Topics("clicks"), PLENTY, partitions, itertools.count().__next__, with_ids=False)
        for payload in payloads(chosen):
            await chunker.add(payload)
        return sum(chunk.count for chunk in chunker.take())

    run = _loop().run_until_complete
    return lambda: run(work())


def manifest(lines: list[bytes], folder: Path) -> Stage:
    """A finished file read again for its manifest: its hash, and each line's part in its source's row."""
    path = folder / "finished.ndjson"
    path.write_bytes(b"".join(lines) * 4)
    return lambda: sum(row.events for row in scan_file(path).tally.rows.values())


def _renamed(line: bytes, number: int) -> bytes:
    """The same event with another id."""
    return b"%s%04x%s" % (line[: ID_SLICE.start], number, line[ID_SLICE.start + 4 :])


def recovery(lines: list[bytes], folder: Path) -> Stage:
    """A file that a kill left is finished: each line judged, the name given, the manifest written."""
    path = folder / "clicks-bench-20260101T000000.000Z.ndjson.open"
    path.write_bytes(b"".join(lines) * MANY)
    manifests = Manifests(folder, "clicks")

    def finish() -> int:
        result = recover(path)
        assert result is not None
        assert result.file is not None
        written = manifests.write(result.file, found=result.found)
        assert written is not None
        result.file.rename(path)
        manifest_path(result.file).unlink()
        return written.events

    return finish


def audit(lines: list[bytes], folder: Path) -> Stage:
    """A finished file is compared with its manifest, byte by byte and id by id."""
    directory = folder / "audit"
    directory.mkdir()
    path = directory / "clicks-bench-20260101T000000.000Z.ndjson"
    path.write_bytes(b"".join(_renamed(line, number) for number in range(MANY) for line in lines))
    assert Manifests(directory, "clicks").write(path) is not None

    def look() -> int:
        with redirect_stderr(StringIO()):
            report = audit_files.audit(directory, lambda hour: True)
        assert report.status == 0
        return report.events

    return look


@contextmanager
def file_commit(lines: list[bytes], folder: Path) -> Iterator[Stage]:
    """Batches to a file on a real disk, each written and fdatasync'd; wall time is mostly the disk's."""
    source = Counters().of("ocean")
    batches = _batches([_entry(line, source) for line in lines])

    async def start() -> FileSink:
        sink = FileSink(config.FileConfig(directory=folder), "bench", time.monotonic, time.time)
        await sink.open()
        return sink

    async def commit_all(sink: FileSink) -> int:
        for batch in batches:
            await sink.commit(batch)
        return len(lines)

    run = _loop().run_until_complete
    sink = run(start())
    try:
        yield lambda: run(commit_all(sink))
    finally:
        run(sink.close())
