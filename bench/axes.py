"""What grows in bench/scale: for each thing that grows, the settings it is measured at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

CONNECTIONS = 64
GIB = 1 << 30
# Through nginx by wrk; through nginx, all connections open beforehand; a fixed rate on the daemon's socket.
Load = Literal["saturate", "clients", "straight"]
Column = tuple[str, str, int]  # heading, metric, digits

_COST: tuple[Column, ...] = (("daemon µs/event", "load.cpu_us", 1),)
_PACE: tuple[Column, ...] = (
    ("events/s", "load.rps", 0),
    ("p99 ms", "load.p99_ms", 1),
    ("events/commit", "load.batch_events", 1),
)
_MEMORY: tuple[Column, ...] = (("RSS MiB", "rss_mib", 0),)
_START: tuple[Column, ...] = (("start s", "start_s", 1),)
_NGINX: tuple[Column, ...] = (("nginx µs/event", "load.front_us", 1),)


@dataclass(frozen=True)
class Setting:
    """One measurement: everything that can grow, of which one thing does."""

    axis: str
    value: int
    traffic: tuple[str, int] = ("callbacks", 0)
    instances: int = 1
    connections: int = CONNECTIONS
    idle: int = 0  # connections besides, straight on the daemon's socket, that say nothing
    load: Load = "saturate"
    before: int = 0  # events taken before the measurement
    waiting: int = 0  # events that stay in the buffer
    backlog: int | None = None  # bytes in the spool; None: files, no Kafka

    @property
    def name(self) -> str:
        """The name in results: ``sources=10``."""
        return f"{self.axis}={self.value}"

    @property
    def label(self) -> str:
        """The value as a reader wants it."""
        if self.backlog is not None:
            return f"{self.value / GIB:g} GiB"
        return f"{self.value:,}"


@dataclass(frozen=True)
class Axis:
    """One thing that grows. `flat_to`: up to this value the cost may be at most 1.1 of the smallest's."""

    name: str
    title: str
    what: str
    settings: tuple[Setting, ...]
    columns: tuple[Column, ...] = (*_COST, *_PACE, *_MEMORY)
    flat_to: int | None = None

    @property
    def smallest(self) -> Setting:
        """The setting the others are held against."""
        return self.settings[0]


def axes(backlog: int) -> tuple[Axis, ...]:
    """Return all of them; `backlog`: the most bytes in the spool."""
    return (
        Axis(
            "instances",
            "Instances behind one nginx",
            f"saturated, {CONNECTIONS} connections for each instance; all of them share one folder",
            tuple(Setting("instances", n, instances=n, connections=CONNECTIONS * n) for n in (1, 2, 4)),
            (*_COST, *_NGINX, *_PACE, *_MEMORY),
        ),
        Axis(
            "parameters",
            "Parameters in the query",
            "values of 16 bytes, so the event grows too",
            _each("parameters", (4, 16, 64)),
            (*_COST, ("line B", "file_bytes", 0), *_PACE, *_MEMORY),
        ),
        Axis(
            "bytes",
            "Bytes of the query",
            "16 parameters",
            _each("bytes", (256, 1024, 4096, 16384)),
            (*_COST, *_NGINX, ("line B", "file_bytes", 0), *_PACE, *_MEMORY),
        ),
        Axis(
            "sources",
            "Sources configured",
            "each of them called in turn, 16 parameters; a scrape is one GET of /metrics",
            _each("sources", (1, 10, 100, 1000, 10000)),
            (*_COST, *_PACE, *_MEMORY, *_START, ("scrape ms", "scrape_ms", 0)),
            flat_to=10_000,
        ),
        *_connections(),
        Axis(
            "backlog",
            "Spool backlog, Kafka away",
            "`stored`; the segments lie in the spool when the daemon starts",
            tuple(
                Setting("backlog", size, backlog=size)
                for size in sorted({0, backlog // 16, backlog // 4, backlog})
            ),
            (*_COST, *_PACE, *_MEMORY, *_START),
        ),
        Axis(
            "events",
            "Events taken before",
            "by the same process, in files that rotate",
            tuple(Setting("events", n, before=n) for n in (0, 100_000, 1_000_000)),
        ),
        Axis(
            "waiting",
            "Events waiting in the buffer",
            "`queued`, the example callbacks; Kafka is away and there is no spool",
            tuple(Setting("waiting", n, waiting=n) for n in (1_000, 10_000, 50_000, 100_000, 200_000)),
            (
                ("events MiB", "buffer_mib", 1),
                ("RSS MiB", "rss_mib", 0),
                ("RSS gained / bytes gained", "waiting.gain", 2),
                ("daemon µs/event", "load.cpu_us", 1),
            ),
        ),
    )


def _each(kind: str, sizes: tuple[int, ...]) -> tuple[Setting, ...]:
    return tuple(Setting(kind, size, traffic=(kind, size)) for size in sizes)


def _connections() -> Iterator[Axis]:
    yield Axis(
        "idle",
        "Connections that say nothing",
        f"on the daemon's socket, beside {CONNECTIONS} that saturate it through nginx",
        tuple(Setting("idle", n, idle=n) for n in (64, 512, 2000, 10000)),
        flat_to=2000,
    )
    yield Axis(
        "straight",
        "Connections in use, straight on the daemon's socket",
        "a fixed rate, all connections in turn",
        tuple(Setting("straight", n, connections=n, load="straight") for n in (64, 512, 2000, 10000)),
        flat_to=2000,
    )
    yield Axis(
        "clients",
        "Connections in use, through nginx",
        "saturated: each has a request under way at any moment, which is what its p99 is made of",
        tuple(Setting("clients", n, connections=n, load="clients") for n in (64, 512, 2000, 10000)),
        (*_COST, *_NGINX, *_PACE, *_MEMORY),
        flat_to=2000,
    )
