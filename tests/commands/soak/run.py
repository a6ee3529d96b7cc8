"""The soak itself: a steady load through nginx into files and Kafka, with what a day brings on the way."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.contenders import go_build
from bench.ingestd_rows import SOURCES
from bench.mix import build, write_for_loadgen
from bench.paths import CALLBACKS
from tests.commands.soak.sampling import Sample
from tests.support.daemon import environment, ingestd
from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.daemon import KafkaDaemon
from tests.support.nginx import Nginx

SLICE = 10.0  # seconds a run of the load generator takes: latency is known of each
CONNECTIONS = 128
PARTITIONS = 3
# Kafka keeps so much of each partition: it is not what is under test.
RETENTION = {"retention.bytes": str(256 << 20), "segment.bytes": str(64 << 20)}


@dataclass
class Soaked:
    """What came of it. `done`: seconds, and reload, rotate or kafka."""

    samples: list[Sample] = field(default_factory=list)
    done: list[tuple[float, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    sent: int = 0
    replies: int = 0
    refused: int = 0
    stored: int = 0
    delivered: int = 0
    audit: str = ""


class Soak:
    """One daemon with files and Kafka, in `place`; `every`: seconds between samples."""

    def __init__(self, place: Path, kafka: KafkaBroker, *, rate: float, every: float) -> None:
        self._place = place
        self._kafka = kafka
        self._rate = rate
        self._every = every
        self._requests = place / "mix.json"
        write_for_loadgen(build(CALLBACKS), self._requests)
        self._generator = go_build("./loadgen")
        self._sources = [{"name": name, "path": path} for name, (path, *_) in SOURCES.items()]
        self.topic = kafka.create_topic(f"soak-{uuid.uuid4().hex[:8]}", PARTITIONS, RETENTION)
        self.daemon = KafkaDaemon(
            place, kafka.bootstrap, sources=self._sources,
            kafka={"topic": self.topic, "request_timeout": "15s", "linger": "100ms"},
            file={"directory": str(place / "clicks"), "rotate_bytes": "256MiB", "compress": "zstd",
                  "keep_bytes": "2GiB"},
            ingest={"drain_timeout": "60s"},
        )  # fmt: skip
        self._latency = (0.0, 0.0)
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self.found = Soaked()

    def run(self, seconds: float, say: Callable[[str], None]) -> Soaked:
        """Load, sample and disturb for so long, then stop in order and count."""
        found, daemon = self.found, self.daemon
        with daemon, Nginx(self._place, [daemon.socket]) as nginx:
            pid = daemon.pid
            load = threading.Thread(target=self._load, args=(nginx.port, seconds), name="load")
            self._began = time.monotonic()
            load.start()
            disturbing = threading.Thread(target=self._disturb, args=(seconds,), name="disturb")
            disturbing.start()
            while not self._over.wait(self._every):
                self._sample(say)
            load.join()
            disturbing.join()
            self._sample(say)
            daemon.drained(120)
            self._count()
            if daemon.pid != pid or not daemon.running():
                found.problems.append("the daemon has ended on the way")
            elif status := daemon.stop(90):
                found.problems.append(f"TERM ended in status {status}")
        if self._failure is not None:
            raise self._failure
        self._audit()
        return found

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _sample(self, say: Callable[[str], None]) -> None:
        found = self.found
        one = Sample.of(self.daemon, self._now(), self._latency, (found.replies, found.refused))
        found.samples.append(one)
        say(
            f"{one.seconds:7.0f} s  {one.rss_mib:6.1f} MiB  {one.descriptors:4} fds  {one.threads:3} threads"
            f"  {one.tasks:3} tasks  p50 {one.p50_ms:6.2f}  p99 {one.p99_ms:7.2f} ms"
            f"  spool {one.spool_mib:6.1f} MiB  {one.replies:>9} ok  {one.refused} not"
        )

    # the load

    def _load(self, port: int, seconds: float) -> None:
        """Slice after slice: a new connection each time, as nginx closes one after 100,000 requests."""
        found = self.found
        try:
            while (left := seconds - self._now()) > 0.5:
                command = [str(self._generator), f"-address=127.0.0.1:{port}", f"-requests={self._requests}"]
                command += [f"-rate={self._rate:g}", f"-seconds={min(SLICE, left):g}"]
                command += [f"-connections={CONNECTIONS}", "-grace=15s"]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise RuntimeError(f"the load generator failed: {done.stderr}")
                said = json.loads(done.stdout)
                self._latency = (round(said["p50_ms"], 3), round(said["p99_ms"], 3))
                found.sent += said["sent"]
                found.replies += said["ok"]
                found.refused += said["not_2xx"] + said["no_reply"] + said["unsent"]
        except BaseException as error:
            self._failure = error
        finally:
            self._over.set()

    # what a day brings

    def _disturb(self, seconds: float) -> None:
        """Every half minute a reload or a rotation, every five minutes Kafka; a short run has more."""
        try:
            small, large = min(30.0, seconds / 20), min(300.0, max(40.0, seconds / 6))
            due_small, due_large, turn = small, large, 0
            while not self._over.wait(max(0.0, min(due_small, due_large) - self._now())):
                if self._now() >= due_large:
                    due_large += large
                    self._restart_kafka(turn)
                else:
                    due_small += small
                    self._signal(turn)
                turn += 1
        except BaseException as error:
            self._failure = error

    def _signal(self, turn: int) -> None:
        if turn % 2:
            self.daemon.signal(signal.SIGUSR1)
            self.found.done.append((self._now(), "rotate"))
            return
        extra = [{"name": f"extra{n}", "path": f"/c/extra{n}"} for n in range(turn % 7)]
        self.daemon.configure(sources=[*self._sources, *extra])
        self.daemon.signal(signal.SIGHUP)
        self.found.done.append((self._now(), "reload"))

    def _restart_kafka(self, turn: int) -> None:
        self.found.done.append((self._now(), "kafka"))
        if turn % 2:
            self._kafka.kill()
        else:
            self._kafka.stop()
        self._kafka.start()

    # the end

    def _count(self) -> None:
        found = self.found
        for name, source in self.daemon.status()["sources"].items():
            found.stored += source["stored"]
            found.delivered += source["delivered"].get("kafka", 0)
            settled = sum(source["rejected"].values()) + source["unstored"] + source["stored"]
            if source["received"] != settled:
                found.problems.append(f"the books of {name} do not balance: {source}")
            if source["delivered"].get("kafka", 0) != source["stored"]:
                found.problems.append(f"{name}: Kafka has {source['delivered']} of {source['stored']}")
        if not found.replies <= found.stored <= found.sent:
            found.problems.append(f"{found.replies} answered, {found.stored} stored, {found.sent} sent")

    def _audit(self) -> None:
        """Every file against its manifest."""
        command = ingestd("audit", str(self.daemon.directory))
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        self.found.audit = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr
        if done.returncode:
            self.found.problems.append(f"audit: {done.stdout}{done.stderr}")
