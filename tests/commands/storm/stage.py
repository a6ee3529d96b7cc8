"""What a storm rages over: instances behind nginx, a small disk, a broker behind a proxy, a load, a clock."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.clock import WallClock
from tests.support.daemon import Daemon
from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.daemon import KafkaDaemon, make_topics
from tests.support.kafka.proxy import KafkaProxy
from tests.support.kafka.tmpfs import tmpfs
from tests.support.load import Load
from tests.support.nginx import Nginx
from tests.support.oracle import Ledger

DISK = "256m"
CONNECTIONS = 12
PACE = 0.01
# A spool that Kafka's absence may fill, and one that it may not.
SMALL_SPOOL, LARGE_SPOOL = "6MiB", "96MiB"
SOURCES: tuple[dict[str, object], ...] = ({"name": "demo", "path": "/c/demo"},)


@dataclass(frozen=True)
class Shape:
    """One of the ways ingestd is run."""

    sinks: str  # file | kafka | both
    ack: str
    delivery: str
    instances: int
    compress: str
    rotate_bytes: str
    spool: str
    clock: bool  # the wall clock can be stepped

    @classmethod
    def chosen(cls, dice: random.Random, sinks: str) -> Self:
        """`sinks`: as in the field, or "any"."""
        choice = sinks if sinks != "any" else dice.choice(["file", "kafka", "both"])
        ack = dice.choice(["stored", "stored", "stored", "queued"])
        exact = choice == "kafka" and ack == "stored" and dice.random() < 0.5
        return cls(
            choice,
            ack,
            "exactly_once" if exact else "at_least_once",
            dice.choice([1, 2]),
            dice.choice(["none", "zstd", "gzip"]),
            dice.choice(["64KiB", "1MiB", "64MiB"]),
            dice.choice([SMALL_SPOOL, LARGE_SPOOL]),
            dice.random() < 0.6,
        )

    @property
    def to_files(self) -> bool:
        return self.sinks != "kafka"

    @property
    def to_kafka(self) -> bool:
        return self.sinks != "file"


class Instance:
    """One daemon, and what the storm has done to it."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.up = False
        self.frozen = False
        self.broken = ""  # what ails its disk calls

    @property
    def well(self) -> bool:
        return self.up and not self.frozen and not self.broken


class Stage:
    """Everything of one trial, in `place`; entered it runs, and the load with it."""

    def __init__(self, place: Path, shape: Shape, kafka: KafkaBroker | None) -> None:
        self.place = place
        self.shape = shape
        self.kafka = kafka
        self.disk = place / "disk"
        self.topic = f"storm-{uuid.uuid4().hex[:8]}"
        self.ledger = Ledger()
        self.clock = WallClock(place) if shape.clock else None
        self.proxy: KafkaProxy | None = None
        self._stack = ExitStack()
        if shape.to_kafka:
            assert kafka is not None
            self.proxy = KafkaProxy(kafka.proxied_port, kafka.proxy_port)
        self.instances = [Instance(self._daemon(str(number))) for number in range(shape.instances)]

    def _daemon(self, name: str) -> Daemon:
        shape, disk = self.shape, self.disk
        sections: dict[str, Mapping[str, object]] = {
            "ingest": {"ack": shape.ack, "drain_timeout": "6s"},
            "buffer": {"max_bytes": "8MiB"},
            "flush": {"stall_timeout": "500ms", "interval": "100ms", "max_bytes": "1MiB"},
        }
        if shape.to_files:
            sections["file"] = {
                "directory": str(disk / "clicks"),
                "rotate_bytes": shape.rotate_bytes,
                "compress": shape.compress,
            }
        if self.proxy is None:
            return Daemon(self.place, name=name, sources=SOURCES, **sections)
        kafka: dict[str, object] = {
            "topic": self.topic,
            "delivery": shape.delivery,
            "checkpoint_topic": f"checkpoint-{self.topic}",
            "dead_letter_directory": str(disk / "dead"),
            "window_bytes": "256KiB",
        }
        sections["spool"] = {"directory": str(disk / "spool"), "max_bytes": shape.spool}
        bootstrap = self.proxy.bootstrap
        return KafkaDaemon(self.place, bootstrap, name=name, sources=SOURCES, kafka=kafka, **sections)

    def __enter__(self) -> Self:
        stack = self._stack
        stack.enter_context(tmpfs(self.disk, DISK))
        if self.kafka is not None and self.proxy is not None:
            self.kafka.ensure_running()
            topics = [self.topic]
            topics += [f"checkpoint-{self.topic}"] if self.shape.delivery == "exactly_once" else []
            make_topics(self.kafka, *topics)
            stack.enter_context(self.proxy)
        for one in self.instances:
            stack.callback(one.daemon.close)
            self.start(one)
        sockets = [one.daemon.socket for one in self.instances]
        self.nginx = stack.enter_context(Nginx(self.place, sockets))
        self.load = Load(self.nginx.address, self.ledger, connections=CONNECTIONS, pace=PACE)
        stack.enter_context(self.load)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self, one: Instance) -> None:
        """Start an instance with the stage's clock. Raises DaemonEndedError."""
        one.daemon.start(self.before)
        one.up, one.frozen, one.broken = True, False, ""

    @property
    def before(self) -> list[str]:
        """The command a daemon is started by."""
        return self.clock.before if self.clock is not None else []

    def looked_at(self) -> Iterator[Instance]:
        """The instances that can answer on their admin listener."""
        return (one for one in self.instances if one.up and not one.frozen)

    def statuses(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """/status of each that can answer."""
        for one in self.looked_at():
            yield one.daemon.name, one.daemon.status()
