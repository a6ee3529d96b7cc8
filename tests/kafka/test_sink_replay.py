"""`ingestd replay` into a real broker: files and dead letters, once, killed and run again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.support.daemon import Daemon, environment, ingestd
from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.daemon import KafkaDaemon, make_topics, once_by_id
from tests.support.load import Load
from tests.support.oracle import Ledger, Oracle
from tests.support.place import open_place
from tests.support.waiting import FAR
from tests.support.wire import ask, request

pytestmark = pytest.mark.kafka


@pytest.fixture
def place() -> Iterator[Path]:
    with open_place() as path:
        yield path


def replay(place: Path, daemon: Daemon, *inputs: str) -> subprocess.CompletedProcess[str]:
    command = ingestd("replay", "-c", str(daemon.config), *inputs)
    return subprocess.run(
        command, cwd=place, env=environment(), capture_output=True, text=True, timeout=FAR, check=False
    )


def test_rotated_files_reach_kafka_once_over_two_runs(kafka: KafkaBroker, topic: str, place: Path) -> None:
    ledger = Ledger()
    with Daemon(place, file={"rotate_bytes": "256KiB", "compress": "zstd"}) as files:
        with Load(files.socket, ledger, connections=8):
            ledger.wait_for_acks(3000)
        assert files.stop() == 0
    sender = KafkaDaemon(place, kafka.bootstrap, kafka={"topic": topic})
    for _ in range(2):
        done = replay(place, sender, str(files.directory))
        assert done.returncode == 0, done.stdout + done.stderr
    assert "0 events delivered" in done.stdout
    values, repeats = once_by_id(kafka.consume_all(topic))
    oracle = Oracle(ledger)
    oracle.read(values)
    assert (oracle.verdict().problems(), repeats) == ([], 0)


def test_dead_letters_are_sent_again_once_their_topic_is_there(
    kafka: KafkaBroker, topic_name: str, place: Path
) -> None:
    with KafkaDaemon(place, kafka.bootstrap, kafka={"topic": topic_name}) as daemon:
        for number in range(5):
            assert ask(daemon.socket, request(f"/c/demo?n={number}")).status == 200
        daemon.drained()
        assert len(daemon.dead_letters()) == 5
        make_topics(kafka, topic_name)
        done = replay(place, daemon, str(daemon.dead))
        assert "5 events delivered" in done.stdout, done.stdout + done.stderr
    values = [orjson.loads(record.value or b"") for record in kafka.consume_all(topic_name)]
    assert sorted(value["params"]["n"] for value in values) == list("01234")
