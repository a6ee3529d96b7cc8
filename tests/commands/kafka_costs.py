"""What the Kafka sink and exactly_once cost beside the file sink, in one run on one machine.

    python -m tests.commands.kafka_costs

Each row is one ingestd under the same load, through its own socket: CPU of the daemon alone, an event, and
events a second from the first to the last that has come to where it stays, beside the load and the broker.
At the end `ingestd replay` sends the files of the first row, repeated to --replay MiB, to the broker.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from tests.support.daemon import Daemon, environment, ingestd
from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.daemon import KafkaDaemon, make_topics
from tests.support.load import Load
from tests.support.oracle import Ledger
from tests.support.place import open_place

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
    """Microseconds of CPU an event, delivered, and events a second."""
    ledger = Ledger()
    with Load(daemon.socket, ledger, connections=connections):
        ledger.wait_for_acks(WARM, 120)
        began, before, stored = time.monotonic(), cpu_seconds(daemon.pid), _stored(daemon)
        ledger.wait_for_acks(requests, 600)
    if isinstance(daemon, KafkaDaemon):
        daemon.drained(300)
    seconds = time.monotonic() - began
    spent, events = cpu_seconds(daemon.pid) - before, _stored(daemon) - stored
    return spent / events * 1e6, events / seconds


def replayed(place: Path, kafka: KafkaBroker, lines: bytes, size: int) -> tuple[float, float]:
    """MiB a second that `ingestd replay` sends, its start included, and microseconds of its CPU an event."""
    files = place / "replayed"
    files.mkdir()
    whole = files.joinpath("clicks-0-20260131T000000.000Z.ndjson")
    times = max(1, (size << 20) // len(lines))
    with whole.open("wb") as file:
        for _ in range(times):
            file.write(lines)
    topic = f"costs-{uuid.uuid4().hex[:8]}"
    make_topics(kafka, topic, partitions=6)
    sender = KafkaDaemon(place, kafka.bootstrap, kafka={"topic": topic, "request_timeout": "15s"})
    command = ingestd("replay", "-c", str(sender.config), "--checkpoint", str(place / "mark"), str(files))
    began, before = time.monotonic(), os.times()
    subprocess.run(command, env=environment(), check=True, capture_output=True, timeout=900)
    seconds, after = time.monotonic() - began, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    events = times * lines.count(b"\n")
    return times * len(lines) / 2**20 / seconds, spent / events * 1e6


def _stored(daemon: Daemon) -> float:
    return float(daemon.status()["sources"]["demo"]["stored"])


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=30_000)
    parser.add_argument("--connections", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--replay", type=int, default=256, help="MiB to replay; 0: none")
    arguments = parser.parse_args()
    lines = b""
    best: dict[str, float] = {}
    with open_place() as place, KafkaBroker(place / "broker") as kafka:
        for number in range(arguments.rounds):
            for name, settings in ROWS:
                inside = place / f"{number}-{name.replace(' ', '-')}"
                inside.mkdir()
                with _daemon(inside, kafka, settings) as daemon:
                    cost, rate = measure(daemon, arguments.requests, arguments.connections)
                    if settings is None:
                        daemon.stop()
                        lines = b"".join(path.read_bytes() for path in daemon.files())
                print(
                    f"round {number + 1}  {name:<24} {cost:6.1f} us an event  {rate:8.0f} events/s",
                    flush=True,
                )
                best[name] = min(best.get(name, cost), cost)
        if arguments.replay:
            speed, cost = replayed(place, kafka, lines, arguments.replay)
            print(f"replay   {speed:.1f} MiB/s, {cost:.1f} us of CPU an event", flush=True)
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
