"""The composition root: what `ingestd serve` is made of. Stopping is starting read backwards."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from ingestd import __version__
from ingestd.admin.endpoints import DaemonParts, Endpoints
from ingestd.admin.server import AdminConnection, Routes
from ingestd.admin.status_page import StatusPage
from ingestd.admin.vitals import Vitals
from ingestd.admin.watched_files import WatchedFiles
from ingestd.config.sections import Config, too_many_sources
from ingestd.errors import ConfigError, Problem, SinkError
from ingestd.http import fd_limit
from ingestd.http.connection import ServerState
from ingestd.http.listener import Listener, Timeouts
from ingestd.http.parser import Limits
from ingestd.http.sockets import open_sockets, tcp_socket, unix_socket
from ingestd.intake import Intake
from ingestd.pipeline.batch_metrics import BatchMetrics
from ingestd.pipeline.buffer import Buffer, Call
from ingestd.pipeline.counters import Counters
from ingestd.pipeline.flusher import Clock, Flusher, FlushPolicy
from ingestd.pipeline.subscribers import Subscribers
from ingestd.sinks import build, need_restart, reconfigure
from ingestd.sources.factory import build as build_sources
from ingestd.sources.factory import windows_of
from ingestd.sources.router import Router
from ingestd.sources.verification import VerificationQueue
from ingestd.system import clock, heartbeat, systemd, tracing
from ingestd.system.log import LogRateLimit
from ingestd.system.tracing import Tracing

logger = logging.getLogger(__name__)

# More objects than a batch has entries: otherwise the garbage collector visits each entry three times.
GC_THRESHOLDS = (50_000, 20, 20)
# Seconds the commit thread waits before it asks the loop for Python's lock, several times a commit. The
# default of 5 ms shows in the slowest responses under load (ingestd/README.md, Decisions).
SWITCH_INTERVAL = 0.0005
TICK_PERIOD = 1.0
# Seconds to wait for the sink to close after a failed start.
CLOSE_TIMEOUT = 2.0


class App:
    """One instance of the daemon. `reload`: reads the configuration again. `log_limit`: counts dropped lines.

    `failed`: the exit status must be 1, for a bug or an event that could not be stored.
    """

    def __init__(self, config: Config, reload: Callable[[], Config], log_limit: LogRateLimit) -> None:
        self._config = config
        self._read_config = reload
        self._log_limit = log_limit
        self._loop = asyncio.get_running_loop()
        self._node = f"{socket.gethostname()}/{config.ingest.instance}"
        self._counters = Counters()
        self._metrics = BatchMetrics()
        self._reloads = {"config_reloads": 0, "config_reload_failures": 0}
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._opened = False
        self.failed = False
        self._tasks: list[asyncio.Task[None]] = []
        self._admin_connections: set[AdminConnection] = set()
        self._build(config)

    def _build(self, config: Config) -> None:
        ingest, flush = config.ingest, config.flush
        stored = ingest.ack == "stored"
        policy = FlushPolicy(flush.interval, stored, flush.stall_timeout)
        self._tracing = _tracing(config, self._node)
        self._sink = build(config, self._counters, self._node, self._tracing)
        self._buffer = Buffer(config.buffer.max_bytes, flush.max_events, flush.max_bytes)
        clock = Clock(self._loop.call_later, time.monotonic, time.time_ns)
        subscribers = Subscribers()
        self._flusher = Flusher(
            self._buffer, self._sink, policy, self._counters, self._metrics, clock, subscribers, self._tracing
        )
        sources = build_sources(config, self._counters, self._node)
        self._signatures = VerificationQueue()
        self._intake = Intake(
            Router(sources), self._counters, self._buffer, ack_stored=stored, signatures=self._signatures
        )
        limits = Limits(ingest.max_target, ingest.max_headers, ingest.max_body, ingest.max_unfinished)
        connections = fd_limit.room(ingest.max_connections)
        self._server = ServerState(self._intake.take, limits, self._counters.refuse, connections)
        self._parts = DaemonParts(
            self._node, ingest.ack, self._counters, self._metrics, self._buffer, self._flusher, self._sink,
            self._server, self._intake, subscribers,
        )  # fmt: skip
        self._endpoints = Endpoints(
            self._parts, WatchedFiles(config), self._stopping.is_set, self._own_counters
        )
        self._vitals = Vitals(config, self._endpoints, self._parts)

    async def run(self) -> None:
        """Start, serve until `stop`, and shut down gracefully. Raises SinkError or ListenError at start."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop)
        # Until the start is complete these signals have nothing to act on, and must not end the process.
        for number in (signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        try:
            await self._start()
        except BaseException:
            await self._abandon_start()
            raise
        systemd.notify("READY=1", f"STATUS=accepting events for {len(self._config.source)} sources")
        await self._stopping.wait()
        if delay := self._config.ingest.shutdown_delay:
            # Not ready from now on; a load balancer learns that late, and sends until it has.
            systemd.notify("STOPPING=1", "STATUS=not ready, still accepting")
            logger.info("shutdown announced, still accepting", extra={"seconds": delay})
            self._listener.leave()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), delay)
        systemd.notify("STOPPING=1", "STATUS=graceful shutdown")
        logger.info("graceful shutdown", extra={"unstored_events": self._buffer.events})
        await self._stop()

    async def _abandon_start(self) -> None:
        """Leave nothing behind that the next start would have to recover."""
        for task in self._tasks:
            task.cancel()
        if self._opened:
            with contextlib.suppress(SinkError, TimeoutError):
                await asyncio.wait_for(self._close_sink(), CLOSE_TIMEOUT)

    async def _start(self) -> None:
        ingest = self._config.ingest
        await self._sink.open()
        self._opened = True
        self._background("flusher", self._flusher.run())
        sockets, owned = open_sockets(
            ingest.listen, systemd.listen_fds(), ingest.socket_mode, ingest.socket_group
        )
        timeouts = Timeouts(ingest.header_timeout, ingest.body_timeout, ingest.idle_timeout)
        self._listener = Listener(self._server, timeouts, sockets, owned)
        self._admin = await self._start_admin()
        await self._listener.start(ingest.backlog)
        self._background("signatures", self._signatures.run())
        self._background("sweeper", self._listener.sweep())
        self._background("heartbeat", heartbeat.beat(self._metrics.loop_lag_seconds.observe))
        self._background("tick", self._tick())
        self._background("vitals", self._vitals.run())
        self._loop.add_signal_handler(signal.SIGHUP, self.reload)
        self._loop.add_signal_handler(signal.SIGUSR1, self.rotate)
        # Everything loaded by now stays, and events are freed when they are settled, without the garbage
        # collector: it need not visit either of them again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        sys.setswitchinterval(SWITCH_INTERVAL)
        for sock in sockets:
            logger.info("listening", extra={"address": _name(sock), "ack": ingest.ack, "pid": os.getpid()})

    def _background(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A background task that ends by itself is a bug: log it and shut down gracefully."""
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.critical("background task crashed", extra={"task": task.get_name()}, exc_info=error)
            self.failed = True
            self.stop()

    async def _stop(self) -> None:
        """The start reversed: listener, flusher, background tasks, sink; /status answers until the end."""
        timeout = self._config.ingest.drain_timeout
        try:
            async with asyncio.timeout(timeout):
                await self._listener.drain()
                await self._flusher.drain()
                for task in self._tasks:
                    task.cancel()
                await self._close_sink()
        except TimeoutError:
            self.failed = True
            state = {"seconds": timeout, "unstored_events": self._buffer.events}
            logger.error("graceful shutdown timed out", extra=state)
        except SinkError as error:
            self.failed = True
            logger.error("cannot finish the open file, the next start does", extra={"error": str(error)})
        finally:
            self._listener.abort()
            for task in self._tasks:
                task.cancel()
            self._admin.close()
        stored = sum(source.stored for source in self._counters.by_source.values())
        logger.info("stopped", extra={"stored_events": stored, "unstored_events": self._buffer.events})

    async def _close_sink(self) -> None:
        try:
            await self._sink.close()
        finally:
            if self._tracing is not None:
                await self._tracing.close()

    # signals

    def stop(self) -> None:
        """TERM, INT: begin the graceful shutdown; a second one cuts `shutdown_delay` short."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    def rotate(self) -> None:
        """USR1: finish the present file, after the batches that wait."""
        self._buffer.call(Call(self._sink.rotate))

    def reload(self) -> None:
        """HUP: load the configuration again. If it is wrong the one in force stays."""
        systemd.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            config = self._read_config()
            self._check_names(config)
            windows = windows_of(self._intake.router.sources)
            sources = build_sources(config, self._counters, self._node, windows)
            reconfigure(self._sink, config)
        except ConfigError as error:
            self._reloads["config_reload_failures"] += 1
            for problem in error.problems:
                logger.error("configuration refused, the old one stays", extra={"problem": str(problem)})
        else:
            self._intake.router = Router(sources)
            self._reloads["config_reloads"] += 1
            self._endpoints.loaded_at = time.time()
            self._endpoints.watched_files = WatchedFiles(config)
            self._vitals.reloaded(config)
            if changed := need_restart(self._config, config):
                state = {"sections": changed}
                logger.warning("configuration reloaded, but these sections need a restart", extra=state)
            else:
                logger.info("configuration reloaded", extra={"sources": len(sources)})
        systemd.notify("READY=1", f"STATUS=accepting events for {len(self._intake.router.sources)} sources")

    def _check_names(self, config: Config) -> None:
        """Raises ConfigError for too many sources: a removed one keeps its counters until a restart."""
        names = self._counters.by_source.keys() | {source.name for source in config.source}
        if problem := too_many_sources(len(names)):
            hint = "sources of earlier configurations count until a restart"
            raise ConfigError("reload", [Problem(problem.key, problem.what, hint)])

    # periodic

    async def _tick(self) -> None:
        known = ""
        while True:
            known = _watch_clock(known)
            for handler in logging.getLogger().handlers:
                handler.flush()  # lines that wait for a reader of stderr
            await asyncio.sleep(TICK_PERIOD)
            done = asyncio.Event()  # while a commit hangs, a single tick waits behind it
            self._buffer.call(Call(partial(self._ticked, done)))
            await done.wait()

    async def _ticked(self, done: asyncio.Event) -> None:
        await self._sink.tick()
        done.set()

    async def _start_admin(self) -> asyncio.AbstractServer:
        kind, _, rest = self._config.admin.listen.partition(":")
        sock = tcp_socket(rest) if kind == "tcp" else unix_socket(Path(rest), 0o660, "")
        make = self._loop.create_server if kind == "tcp" else self._loop.create_unix_server
        page = StatusPage(self._vitals, self._endpoints, self._parts)
        handlers = {**self._endpoints.handlers(), **page.handlers()}
        routes = Routes(handlers, page.posts(), any_host=self._config.admin.allow_remote)
        server = await make(lambda: AdminConnection(routes, self._admin_connections), sock=sock)
        logger.info("admin listener", extra={"address": self._config.admin.listen})
        return server

    def _own_counters(self) -> dict[str, float]:
        limit = self._log_limit
        return {"log_lines_suppressed": limit.suppressed, "log_lines_dropped": limit.dropped, **self._reloads}


def _tracing(config: Config, node: str) -> Tracing | None:
    """Raises ConfigError if tracing is on and OpenTelemetry is not installed."""
    settings = config.tracing
    if not settings.endpoint:
        return None
    if not tracing.installed():
        problem = Problem("tracing.endpoint", tracing.MISSING, tracing.HINT)
        raise ConfigError("the configuration", [problem])
    return Tracing(settings.endpoint, settings.sample, node, __version__)


def _watch_clock(known: str) -> str:
    """Log when the clock becomes wrong or right. `known`: the error at the last look. Returns the present."""
    error = clock.error(time.time_ns())
    if error and not known:
        logger.error("the clock is wrong, refusing events until it is right", extra={"error": error})
    elif known and not error:
        logger.info("the clock is right again: events are accepted")
    return error


def _name(sock: socket.socket) -> str:
    name: Any = sock.getsockname()
    return f"unix:{name}" if isinstance(name, str) else f"tcp:{name[0]}:{name[1]}"
