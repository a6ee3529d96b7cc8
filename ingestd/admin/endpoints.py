"""The pages of the admin listener: `/livez`, `/readyz`, `/status` and `/metrics` (`/tail` is in `tail`)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ingestd import __version__
from ingestd.admin.metrics import IngestCollector, exposition
from ingestd.admin.server import Handler, as_json
from ingestd.admin.tail import Tail
from ingestd.admin.watched_files import WatchedFiles
from ingestd.http.connection import ServerState
from ingestd.http.responses import Reply
from ingestd.intake import Intake
from ingestd.pipeline.batch_metrics import BatchMetrics
from ingestd.pipeline.buffer import Buffer
from ingestd.pipeline.counters import WAITS, Counters
from ingestd.pipeline.flusher import Flusher
from ingestd.pipeline.sink import Sink
from ingestd.pipeline.subscribers import Subscribers
from ingestd.sources.factory import windows_of
from ingestd.system import clock


@dataclass(frozen=True)
class DaemonParts:
    """The parts of a running daemon that the endpoints show. `node`: `<host>/<instance>`. `ack`: the mode."""

    node: str
    ack: str
    counters: Counters
    batch_metrics: BatchMetrics
    buffer: Buffer
    flusher: Flusher
    sink: Sink
    server: ServerState
    intake: Intake
    subscribers: Subscribers


class Endpoints:
    """Handlers that read the parts of one daemon at each request.

    `draining`: whether a graceful shutdown has begun. `app_metrics`: the values that the application counts.
    After a reload the application sets `watched_files` and `loaded_at` (seconds since the epoch).
    """

    def __init__(
        self,
        parts: DaemonParts,
        watched_files: WatchedFiles,
        draining: Callable[[], bool],
        app_metrics: Callable[[], dict[str, float]],
    ) -> None:
        self._parts = parts
        self._draining = draining
        self._app_metrics = app_metrics
        self.watched_files = watched_files
        self.loaded_at = time.time()
        self._tail = Tail(parts.subscribers, lambda: parts.intake.router.sources)
        self._collector = IngestCollector(
            parts.counters,
            parts.batch_metrics,
            self.numbers,
            __version__,
            lambda: self.watched_files.certificate_expiry(),
            lambda: windows_of(parts.intake.router.sources),
        )

    def handlers(self) -> dict[str, Handler]:
        """The handler of each path."""
        return {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/status": self._status,
            "/tail": self._tail.handle,
        }

    def not_ready(self) -> dict[str, str]:
        """Why new events are refused now, by cause; {} while they are taken. Never an unreachable Kafka."""
        parts, causes = self._parts, {}
        if self._draining():
            causes["draining"] = "draining"
        if error := parts.flusher.error or parts.sink.snapshot().error:
            causes["storage"] = f"storage: {error}"
        if error := clock.error(time.time_ns()):
            causes["clock"] = error
        if parts.buffer.refusing == "overload":
            causes["overload"] = f"buffer full: {parts.buffer.bytes} of {parts.buffer.max_bytes} bytes"
        return causes

    def why_not_ready(self) -> list[str]:
        """The causes in words, as `/readyz` lists them."""
        return list(self.not_ready().values())

    def sinks(self) -> dict[str, dict[str, Any]]:
        """The state of each sink by its name, as `/status` shows it."""
        return self._parts.sink.snapshot().status

    def numbers(self) -> dict[str, float]:
        """Gauges and counters of the whole instance, by their names in `admin.metrics`."""
        parts = self._parts
        return {
            "unstored_events": parts.buffer.events,
            "buffer_bytes": parts.buffer.bytes,
            "buffer_max_bytes": parts.buffer.max_bytes,
            "ready": not self.why_not_ready(),
            "connections": len(parts.server.connections),
            "unfinished_bytes": parts.server.held,
            "sources": len(parts.intake.router.sources),
            "wall_clock_seconds": time.time(),
            "config_reload_time_seconds": self.loaded_at,
            "commit_failures": parts.batch_metrics.commit_failures,
            "commit_stalls": parts.batch_metrics.stalls,
            **self.watched_files.metrics(),
            **parts.sink.snapshot().metrics,
            **self._app_metrics(),
        }

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

    async def _status(self, query: str) -> Reply:
        parts, reasons = self._parts, self.why_not_ready()
        return as_json({
            "version": __version__,
            "node": parts.node,
            "pid": os.getpid(),
            "ack": parts.ack,
            "ready": not reasons,
            "not_ready_because": reasons,
            "unstored_events": parts.buffer.events,
            "buffer_bytes": parts.buffer.bytes,
            "connections": len(parts.server.connections),
            "tasks": len(asyncio.all_tasks()),
            "sinks": self.sinks(),
            "sources": {name: source.summary() for name, source in parts.counters.by_source.items()},
            "requests_refused": parts.counters.refused,
            "wait_bounds": WAITS,
        })  # fmt: skip
