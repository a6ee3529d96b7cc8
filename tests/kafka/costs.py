"""What the Kafka sink and exactly_once cost beside the file sink, in one run on one machine.

    python -m tests.kafka.costs

Each row is one ingestd under the same load, through its own socket: CPU of the daemon alone, an event.
"""

from __future__ import annotations

import argparse
import os
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

from tests.integration.conftest import open_place
from tests.kafka.rig import KafkaDaemon, make_topics
from tests.support.daemon import Daemon
from tests.support.kafka.broker import KafkaBroker
from tests.support.load import Load
from tests.support.oracle import Ledger

TICK = os.sysconf("SC_CLK_TCK")
WARM = 2000
ROWS: tuple[tuple[str, Mapping[str, object] | None], ...] = (
    ("file", None),
    ("kafka lz4", {"compression": "lz4"}),
    ("kafka zstd", {"compression": "zstd"}),
    ("kafka lz4 exactly_once", {"compression": "lz4", "delivery": "exactly_once"}),
)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def measure(daemon: Daemon, requests: int, connections: int) -> tuple[float, float]:
    """Microseconds of CPU an event, delivered, and events a second taken."""
    ledger = Ledger()
    with Load(daemon.socket, ledger, connections=connections):
        ledger.wait_for_acks(WARM, 120)
        before, stored = cpu_seconds(daemon.pid), _stored(daemon)
        ledger.wait_for_acks(requests, 600)
    if isinstance(daemon, KafkaDaemon):
        daemon.drained(300)
    spent, events = cpu_seconds(daemon.pid) - before, _stored(daemon) - stored
    return spent / events * 1e6, events


def _stored(daemon: Daemon) -> float:
    return float(daemon.status()["sources"]["demo"]["stored"])


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=30_000)
    parser.add_argument("--connections", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    best: dict[str, float] = {}
    with open_place() as place, KafkaBroker(place / "broker") as kafka:
        for number in range(arguments.rounds):
            for name, settings in ROWS:
                inside = place / f"{number}-{name.replace(' ', '-')}"
                inside.mkdir()
                with _daemon(inside, kafka, settings) as daemon:
                    cost, events = measure(daemon, arguments.requests, arguments.connections)
                print(
                    f"round {number + 1}  {name:<24} {cost:6.1f} us an event  ({events:.0f} events)",
                    flush=True,
                )
                best[name] = min(best.get(name, cost), cost)
    for name, cost in best.items():
        print(f"best     {name:<24} {cost:6.1f} us an event  {cost / best['file']:.2f} of the file sink's")
    return 0


def _daemon(place: Path, kafka: KafkaBroker, settings: Mapping[str, object] | None) -> Daemon:
    if settings is None:
        return Daemon(place)
    topic = f"costs-{uuid.uuid4().hex[:8]}"
    checkpoints = f"{topic}-checkpoint"
    make_topics(kafka, topic, checkpoints, partitions=6)
    mine = {"topic": topic, "checkpoint_topic": checkpoints, "linger": "100ms", **settings}
    return KafkaDaemon(
        place, kafka.bootstrap, kafka={**mine, "request_timeout": "15s", "direct_timeout": "2s"}
    )


if __name__ == "__main__":
    sys.exit(main())
