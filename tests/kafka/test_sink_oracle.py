"""Nothing that was answered is lost, whatever fails. 300 faults: `python -m tests.commands.oracle`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.oracle import FAULTS, Trial
from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.daemon import KafkaDaemon, make_topics, once_by_id
from tests.support.kafka.proxy import KafkaProxy
from tests.support.load import Load
from tests.support.oracle import Ledger, Oracle, parts
from tests.support.place import open_place

pytestmark = pytest.mark.kafka

CYCLES = 15  # a mode; each fault twice
CONNECTIONS = 8
MIN_ACKS = 1000


@pytest.fixture
def place() -> Iterator[Path]:
    with open_place() as path:
        yield path


@pytest.mark.parametrize("mode", ["at_least_once", "exactly_once"])
def test_faults_in_turns_lose_nothing_and_repeat_only_where_that_is_allowed(
    kafka: KafkaBroker, kafka_proxy: KafkaProxy, place: Path, mode: str
) -> None:
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    trial = Trial(place, kafka, kafka_proxy, seed, mode)
    assert trial.run(CYCLES, print) == [], f"seed {seed}"
    assert set(trial.faults) == set(FAULTS)
    assert trial.kills > 0
    assert trial.acks > MIN_ACKS


def test_kills_in_queued_mode_lose_at_most_the_gap_that_was_shown(
    kafka: KafkaBroker, topic_name: str, place: Path
) -> None:
    lost = 0
    for cycle in range(6):
        ledger, topic = Ledger(), f"{topic_name}-{cycle}"
        make_topics(kafka, topic)
        with KafkaDaemon(
            place,
            kafka.bootstrap,
            kafka={"topic": topic},
            ingest={"ack": "queued"},
            flush={"interval": "100ms"},
        ) as daemon:
            with Load(daemon.socket, ledger, connections=CONNECTIONS, pace=0.002):
                ledger.wait_for_acks(200)
                if cycle % 2:  # Kafka does not answer, so batches go to the spool
                    kafka.pause()
                    ledger.wait_for_acks(600)
                before = ledger.sent - CONNECTIONS
                shown = daemon.metrics()["unstored_events"]
                daemon.kill()
                since = sum(parts(number) for number in range(before, ledger.sent))
            kafka.resume()
            daemon.start()
            daemon.drained()
            assert daemon.stop() == 0
        values, _ = once_by_id(kafka.consume_all(topic))
        oracle = Oracle(ledger)
        oracle.read(values)
        result = oracle.verdict()
        assert (result.altered, result.invented) == ([], [])
        assert result.lost_events <= shown + since, (cycle, result)
        lost += result.lost_events
    assert lost > 0, "a test that never loses anything cannot tell"


def test_queued_mode_without_a_kill_loses_nothing_while_kafka_comes_and_goes(
    kafka: KafkaBroker, topic: str, place: Path
) -> None:
    ledger = Ledger()
    with KafkaDaemon(
        place, kafka.bootstrap, kafka={"topic": topic, "window_bytes": "64KiB"}, ingest={"ack": "queued"}
    ) as daemon:
        with Load(daemon.socket, ledger, connections=CONNECTIONS, pace=0.005):
            ledger.wait_for_acks(100)
            kafka.pause()
            ledger.wait_for_acks(1000)
            kafka.resume()
            ledger.wait_for_acks(300)
            kafka.kill()
            ledger.wait_for_acks(1000)
            kafka.start()
            ledger.wait_for_acks(300)
        assert daemon.stop() == 0
    values, repeats = once_by_id(kafka.consume_all(topic))
    oracle = Oracle(ledger)
    oracle.read(values)
    assert (oracle.verdict().problems(), repeats) == ([], 0)
