"""Kafka away for long at a steady rate: what it costs, and how quick new events are when it is back.

python -m tests.commands.outage --seconds 60 --rate 2000
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson
from confluent_kafka import Consumer, TopicPartition

from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.clients import QUIET, bounds
from tests.support.kafka.daemon import KafkaDaemon, assert_accounts_balance, once_by_id
from tests.support.load import Load
from tests.support.oracle import Ledger, Oracle
from tests.support.place import open_place

CONNECTIONS = 16
MIB = 1 << 20
# How long after Kafka's return the latency of new events is looked at, seconds.
LOOK = 6.0


@dataclass
class Found:
    """What an outage was like. Ages and times in seconds."""

    problems: list[str] = field(default_factory=list)
    repeats: int = 0
    acked: int = 0
    refused: int = 0
    rate: float = 0.0
    memory_growth: int = 0
    spool_bytes: int = 0
    oldest_age: float = 0.0
    seconds_to_full: float = 0.0
    reconnected_after: float = 0.0
    fresh: int = 0
    median_fresh: float = 0.0
    late_fresh: float = 0.0  # one in a hundred took longer
    slowest_fresh: float = 0.0
    backlog_left: int = 0  # when the last of the fresh events was seen
    drained_after: float = 0.0


class Watch(threading.Thread):
    """Reads the topic from its end on and notes when each event was seen."""

    def __init__(self, kafka: KafkaBroker, topic: str, partitions: int) -> None:
        super().__init__(daemon=True)
        self._consumer = Consumer(
            {"bootstrap.servers": kafka.bootstrap, "group.id": "watch", "fetch.wait.max.ms": 10, **QUIET}
        )
        places = [TopicPartition(topic, number) for number in range(partitions)]
        for place in places:
            place.offset = bounds(self._consumer, place)[1]
        self._consumer.assign(places)
        self.ended = threading.Event()
        self.seen: list[tuple[int, float]] = []  # received_at in ms, seconds it took

    def run(self) -> None:
        while not self.ended.is_set():
            for message in self._consumer.consume(1000, timeout=0.05):
                if message.error() is None:
                    received = orjson.loads(message.value() or b"")["received_at"]
                    self.seen.append((received, time.time() - received / 1000))
        self._consumer.close()


class Outage:
    """One daemon, one broker that goes away by SIGSTOP."""

    def __init__(self, place: Path, kafka: KafkaBroker, topic: str, *, rate: float, window: str) -> None:
        self._kafka = kafka
        self._topic = topic
        self._rate = rate
        self.daemon = KafkaDaemon(
            place, kafka.bootstrap,
            kafka={"topic": topic, "window_bytes": window, "round_bytes": "1MiB"},
            spool={"max_bytes": "4GiB"},
        )  # fmt: skip

    def run(self, seconds: float) -> Found:
        """Away for so long, then back; until all is delivered."""
        found, ledger, daemon = Found(), Ledger(), self.daemon
        with daemon:
            with Load(daemon.socket, ledger, connections=CONNECTIONS, pace=CONNECTIONS / self._rate):
                ledger.wait_for_acks(int(self._rate))
                before = daemon.resident()
                self._kafka.pause()
                began, acks = time.monotonic(), ledger.acks
                ledger.wait_for_acks(int(seconds * self._rate), timeout=10 * seconds)
                found.rate = (ledger.acks - acks) / (time.monotonic() - began)
                metrics = daemon.metrics()
                found.memory_growth = daemon.resident() - before
                found.spool_bytes = int(metrics["spool_disk_bytes"])
                found.oldest_age = metrics["spool_oldest_age_seconds"]
                found.seconds_to_full = metrics["spool_seconds_to_full"]
                self._back(found)
            daemon.drained(300)
            found.drained_after = time.monotonic() - self._resumed
            found.memory_growth = max(found.memory_growth, daemon.resident() - before)
            assert_accounts_balance(daemon)
        values, found.repeats = once_by_id(self._kafka.consume_all(self._topic))
        oracle = Oracle(ledger)
        oracle.read(values)
        result = oracle.verdict()
        found.problems, found.acked, found.refused = result.problems(), result.acked, ledger.refused
        return found

    def _back(self, found: Found) -> None:
        """Kafka is there again; look at the events that come from the first confirmation on."""
        self._kafka.resume()
        self._resumed = time.monotonic()
        watch = Watch(self._kafka, self._topic, 3)
        watch.start()
        while not watch.seen:
            watch.join(0.01)
        found.reconnected_after = time.monotonic() - self._resumed
        fresh_from = time.time() * 1000
        watch.join(LOOK)
        found.backlog_left = int(self.daemon.metrics()["spool_bytes"])
        watch.ended.set()
        watch.join()
        fresh = [took for received, took in watch.seen if received >= fresh_from]
        found.fresh = len(fresh)
        found.median_fresh, found.slowest_fresh = statistics.median(fresh), max(fresh)
        found.late_fresh = statistics.quantiles(fresh, n=100)[-1]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long Kafka is away")
    parser.add_argument("--rate", type=float, default=2000.0, help="requests a second")
    parser.add_argument("--window", default="4MiB", help="kafka.window_bytes")
    arguments = parser.parse_args()
    with open_place() as place, KafkaBroker(place / "kafka") as kafka:
        topic = kafka.create_topic("outage", 3)
        found = Outage(place, kafka, topic, rate=arguments.rate, window=arguments.window).run(
            arguments.seconds
        )
    for name, value in asdict(found).items():
        print(f"{name:>18}  {value:,.3f}" if isinstance(value, float) else f"{name:>18}  {value:,}"
              if isinstance(value, int) else f"{name:>18}  {value}")  # fmt: skip
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
