"""What the daemon says of itself: ready or not and why, status, metrics."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from urllib.parse import parse_qs

import orjson

from ingestd import __version__
from ingestd.admin import redaction
from ingestd.admin.certificates import Surroundings
from ingestd.admin.metrics import IngestCollector, exposition
from ingestd.admin.server import Handler, Stream, as_json
from ingestd.config.messages import nearest
from ingestd.http.connection import Shared
from ingestd.http.responses import Reply
from ingestd.intake import Intake
from ingestd.pipeline.batch_metrics import BatchMetrics
from ingestd.pipeline.buffer import Buffer
from ingestd.pipeline.counters import WAITS, Counters
from ingestd.pipeline.flusher import Flusher
from ingestd.pipeline.sink import Sink
from ingestd.pipeline.subscribers import Subscribers, needles
from ingestd.system import clock

# The loop must turn: at most this many events are masked for a follower without a break.
TAIL_SLICE = 50
# It rests so many times as long as that took: a follower has a hundredth of the loop's time, whatever comes.
TAIL_REST = 99


class Report:
    """Reads the parts of one daemon. `draining` and `more` (counters of the app) are asked each time."""

    def __init__(
        self, node: str, ack: str, counters: Counters, batches: BatchMetrics, buffer: Buffer,
        flusher: Flusher, sink: Sink, shared: Shared, intake: Intake,
        subscribers: Subscribers, draining: Callable[[], bool], more: Callable[[], dict[str, float]],
        surroundings: Surroundings,
    ) -> None:  # fmt: skip
        self._node = node
        self._ack = ack
        self._counters = counters
        self._batches = batches
        self._buffer = buffer
        self._flusher = flusher
        self._sink = sink
        self._shared = shared
        self._intake = intake
        self._subscribers = subscribers
        self._draining = draining
        self._more = more
        self.surroundings = surroundings
        self.loaded_at = time.time()
        self._collector = IngestCollector(
            counters, batches, self._numbers, __version__,
            lambda: self.surroundings.certificates(),
        )  # fmt: skip

    def handlers(self) -> dict[str, Handler]:
        """The admin listener's paths."""
        return {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/status": self._status,
            "/tail": self._tail,
        }

    def why_not_ready(self) -> list[str]:
        """Why new events are refused now; [] when they are taken. Kafka being away is no reason."""
        reasons = []
        if self._draining():
            reasons.append("draining")
        if trouble := self._flusher.error or self._sink.snapshot().error:
            reasons.append(f"storage: {trouble}")
        if trouble := clock.trouble(time.time_ns()):
            reasons.append(trouble)
        if self._buffer.refusing == "overload":
            reasons.append(f"buffer full: {self._buffer.bytes} of {self._buffer.max_bytes} bytes")
        return reasons

    async def _livez(self, query: str) -> Reply:
        return Reply(200, b"ok\n")

    async def _readyz(self, query: str) -> Reply:
        reasons = self.why_not_ready()
        if reasons:
            return Reply(503, ("not ready: " + "; ".join(reasons) + "\n").encode())
        return Reply(200, b"ready\n")

    async def _metrics(self, query: str) -> Reply:
        # In a thread: with thousands of sources the text takes longer than the loop may pause.
        text = await asyncio.to_thread(exposition, self._collector)
        return Reply(200, text, "text/plain; version=0.0.4; charset=utf-8")

    async def _tail(self, query: str) -> Reply | Stream:
        """Events as they are stored, with what is as good as a password masked."""
        asked = parse_qs(query)
        wanted = asked.get("source", [None])[0]
        known = {source.name for source in self._intake.router.sources}  # not those a reload has removed
        if wanted is not None and wanted not in known:
            return Reply(404, f"there is no source {wanted!r}; {nearest(wanted, known)}\n".encode())
        if self._subscribers.full:
            return Reply(503, b"enough are following already\n")
        looked_for = needles(asked.get("flag", []), asked.get("param", []))
        pieces = followed(self._subscribers, wanted, looked_for, self._hidden)
        return Stream("application/x-ndjson", pieces)

    def _hidden(self) -> dict[str, frozenset[str]]:
        """By source, the parameters that are as good as a password."""
        return {source.name: redaction.names(source.config) for source in self._intake.router.sources}

    async def _status(self, query: str) -> Reply:
        reasons = self.why_not_ready()
        return as_json({
            "version": __version__,
            "node": self._node,
            "pid": os.getpid(),
            "ack": self._ack,
            "ready": not reasons,
            "not_ready_because": reasons,
            "unstored_events": self._buffer.events,
            "buffer_bytes": self._buffer.bytes,
            "connections": len(self._shared.connections),
            "tasks": len(asyncio.all_tasks()),
            "sinks": self._sink.snapshot().status,
            "sources": {name: source.summary() for name, source in self._counters.by_source.items()},
            "requests_refused": self._counters.refused,
            "wait_bounds": WAITS,
        })  # fmt: skip

    def _numbers(self) -> dict[str, float]:
        return {
            "unstored_events": self._buffer.events,
            "buffer_bytes": self._buffer.bytes,
            "buffer_max_bytes": self._buffer.max_bytes,
            "ready": not self.why_not_ready(),
            "connections": len(self._shared.connections),
            "sources": len(self._intake.router.sources),
            "wall_clock_seconds": time.time(),
            "config_reload_time_seconds": self.loaded_at,
            "commit_failures": self._batches.commit_failures,
            "commit_stalls": self._batches.stalls,
            **self.surroundings.gauges(),
            **self._sink.snapshot().metrics,
            **self._more(),
        }


async def followed(
    subscribers: Subscribers, wanted: str | None, looked_for: Sequence[bytes],
    hidden: Callable[[], Mapping[str, frozenset[str]]], now: Callable[[], float] = time.perf_counter,
    rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncGenerator[bytes, None]:  # fmt: skip
    """Events as they are stored, masked, a slice at a time; until the caller stops."""
    async with contextlib.aclosing(subscribers.subscribe(wanted, looked_for)) as stored:
        async for data, missed in stored:
            if missed:
                yield b'{"missed":%d}\n' % missed
            names = hidden()
            lines = data.splitlines()
            for start in range(0, len(lines), TAIL_SLICE):
                began = now()
                shown = [_mask(line, names) for line in lines[start : start + TAIL_SLICE]]
                spent = now() - began
                yield b"".join(shown)
                await rest(spent * TAIL_REST)


def _mask(line: bytes, hidden: Mapping[str, frozenset[str]]) -> bytes:
    event = orjson.loads(line)
    shown = redaction.mask_event(event, hidden.get(event["source"], redaction.ALWAYS))
    return orjson.dumps(shown, option=orjson.OPT_APPEND_NEWLINE)
