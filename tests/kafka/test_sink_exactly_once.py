"""kafka.delivery = "exactly_once": a transaction a round, a position in Kafka, and one owner of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer

from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.daemon import KafkaDaemon, assert_accounts_balance, make_topics, once_by_id
from tests.support.kafka.mock import Api
from tests.support.kafka.proxy import Fault, KafkaProxy
from tests.support.load import Load
from tests.support.oracle import Ledger, Oracle
from tests.support.place import open_place
from tests.support.waiting import until
from tests.support.wire import ask, request

pytestmark = pytest.mark.kafka


@pytest.fixture
def place() -> Iterator[Path]:
    with open_place() as path:
        yield path


@pytest.fixture
def settings(kafka: KafkaBroker, topic: str) -> dict[str, object]:
    checkpoints = f"{topic}-checkpoint"
    make_topics(kafka, checkpoints)
    return {"topic": topic, "checkpoint_topic": checkpoints, "delivery": "exactly_once"}


def send(daemon: KafkaDaemon, number: int) -> int:
    return ask(daemon.socket, request(f"/c/demo?n={number}")).status


def numbers(kafka: KafkaBroker, topic: str) -> list[int]:
    """Of the committed records; a repeat shows."""
    values = [orjson.loads(record.value or b"") for record in kafka.consume_all(topic, "read_committed")]
    return sorted(int(value["params"]["n"]) for value in values)


def test_a_kill_in_mid_transaction_leaves_each_event_once_to_a_committed_reader(
    kafka: KafkaBroker, kafka_proxy: KafkaProxy, topic: str, settings: dict[str, object], place: Path
) -> None:
    with KafkaDaemon(place, kafka_proxy.bootstrap, kafka=settings) as daemon:
        assert send(daemon, 0) == 200
        daemon.drained()
        # Written and not committed; committed and not known to be.
        for number, api in enumerate([Api.END_TXN, Api.END_TXN, Api.PRODUCE, Api.ADD_PARTITIONS_TO_TXN], 1):
            fault = Fault.SWALLOW if number == 2 else Fault.RESET
            kafka_proxy.set(fault, apis=frozenset({api}))
            assert send(daemon, number) == 200
            kafka_proxy.wait_hits()
            daemon.kill()
            kafka_proxy.set(Fault.PASS)
            daemon.start()
            daemon.drained()
            assert_accounts_balance(daemon)
        uncommitted = kafka.consume_all(topic, "read_uncommitted")
    assert numbers(kafka, topic) == [0, 1, 2, 3, 4]
    assert len(uncommitted) > 5, "the test has seen a transaction given up"


def test_a_commit_whose_outcome_is_unknown_is_looked_up_and_not_sent_again(
    kafka: KafkaBroker, kafka_proxy: KafkaProxy, topic: str, settings: dict[str, object], place: Path
) -> None:
    """New settings come while the answer to a commit is lost again and again: the producer is given up."""
    with KafkaDaemon(place, kafka_proxy.bootstrap, kafka=settings) as daemon:
        assert send(daemon, 0) == 200
        daemon.drained()
        connects = daemon.metrics()["kafka_connects_total"]
        kafka_proxy.set(Fault.SWALLOW, apis=frozenset({Api.END_TXN}), times=1)
        assert send(daemon, 1) == 200
        kafka_proxy.wait_hits()
        kafka_proxy.set(Fault.STALL)
        daemon.signal_reload()
        until(lambda: "reloaded" in daemon.log(), "the reload")
        until(lambda: "transaction failed" in daemon.log(), "a failed transaction")
        kafka_proxy.set(Fault.PASS)
        daemon.drained()
        assert send(daemon, 2) == 200
        daemon.drained()
        assert daemon.metrics()["kafka_connects_total"] > connects
        assert_accounts_balance(daemon)
    assert numbers(kafka, topic) == [0, 1, 2]


def test_an_outage_longer_than_the_transaction_timeout_is_no_twin(
    kafka: KafkaBroker, kafka_proxy: KafkaProxy, topic: str, settings: dict[str, object], place: Path
) -> None:
    """Kafka ends a transaction that lasts too long, and then says of its producer that it is fenced."""
    with KafkaDaemon(place, kafka_proxy.bootstrap, kafka=settings) as daemon:
        assert send(daemon, 0) == 200
        daemon.drained()
        kafka_proxy.set(Fault.STALL)
        assert send(daemon, 1) == 200
        fence(kafka, daemon)
        kafka_proxy.set(Fault.PASS)
        daemon.drained()
        assert send(daemon, 2) == 200
        daemon.drained()
        assert daemon.look("/readyz").status == 200
        assert_accounts_balance(daemon)
    assert numbers(kafka, topic) == [0, 1, 2]


def fence(kafka: KafkaBroker, daemon: KafkaDaemon) -> None:
    """What the coordinator does at a time-out: a new epoch of the transactional id, and no new owner."""
    identity = "ingestd-" + daemon.status()["node"].replace("/", "-")
    Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": identity}).init_transactions(20)


def test_a_twin_takes_over_and_the_one_before_stops_taking_events_and_says_why(
    kafka: KafkaBroker, topic: str, settings: dict[str, object], place: Path
) -> None:
    ledger = Ledger()
    other = place / "other"
    other.mkdir()
    with KafkaDaemon(place, kafka.bootstrap, kafka=settings, ingest={"drain_timeout": "3s"}) as first:
        with Load(first.socket, ledger, connections=4, pace=0.005):
            ledger.wait_for_acks(200)
            # The same host and instance, with a disk of its own: a machine restored from an image, say.
            with KafkaDaemon(other, kafka.bootstrap, kafka=settings) as twin:
                assert send(twin, 0) == 200
                ledger.wait_for_status(503, 5)
                twin.drained()
                ready = first.look("/readyz")
                assert (ready.status, b"fenced by another producer" in ready.body) == (503, True), ready.body
                assert "fenced by another producer" in first.kafka_status()["error"]
                assert send(twin, 0) == 200
                twin.drained()
                assert twin.look("/readyz").status == 200
                assert twin.stop() == 0
        first.stop()
        # The twin is gone for good: the first may start again, and delivers what it has kept.
        first.start()
        first.drained()
        assert_accounts_balance(first)
    values, repeats = once_by_id(kafka.consume_all(topic, "read_committed"))
    oracle = Oracle(ledger)
    oracle.read(value for value in values if orjson.loads(value)["route"] == "app42")
    assert (oracle.verdict().problems(), repeats) == ([], 0)
    assert len(values) == oracle.verdict().events + 2


def test_a_fence_is_told_by_readyz_before_an_event_is_refused_for_it(
    kafka: KafkaBroker, topic: str, settings: dict[str, object], place: Path
) -> None:
    """It is seen in a delivery: the event of it is spooled and answered, and nothing has been refused yet."""
    other = place / "other"
    other.mkdir()
    with KafkaDaemon(place, kafka.bootstrap, kafka=settings, ingest={"drain_timeout": "3s"}) as first:
        assert send(first, 1) == 200
        first.drained()
        with KafkaDaemon(other, kafka.bootstrap, kafka=settings) as twin:
            assert send(twin, 2) == 200
            twin.drained()
            assert send(first, 3) == 200
            until(lambda: first.look("/readyz").status == 503, "not ready")
            assert b"fenced by another producer" in first.look("/readyz").body
            assert first.metrics()["ready"] == 0
            assert first.status()["sources"]["demo"]["rejected"] == {}
        first.stop()
        first.start()
        first.drained()
    assert numbers(kafka, topic) == [1, 2, 3]


def test_a_first_start_without_the_checkpoint_topic_says_so_and_loses_nothing(
    kafka: KafkaBroker, topic: str, place: Path
) -> None:
    checkpoints = f"{topic}-checkpoint"
    settings = {"topic": topic, "checkpoint_topic": checkpoints, "delivery": "exactly_once"}
    with KafkaDaemon(place, kafka.bootstrap, kafka=settings) as daemon:
        assert send(daemon, 1) == 200
        until(lambda: checkpoints in daemon.kafka_status()["error"], "a reason in /status")
        assert "cleanup.policy=compact" in daemon.kafka_status()["error"]
        assert "cleanup.policy=compact" in daemon.log()
        assert (daemon.look("/readyz").status, daemon.spooled() > 0) == (200, True)
        assert kafka.consume_all(topic) == []
        make_topics(kafka, checkpoints)
        daemon.drained()
        assert daemon.kafka_status()["error"] == ""
    assert numbers(kafka, topic) == [1]


def test_the_position_is_found_behind_thousands_of_records_of_others(
    kafka: KafkaBroker, topic: str, settings: dict[str, object], place: Path
) -> None:
    """Until the checkpoint topic is compacted it holds every position of every instance."""
    with KafkaDaemon(place, kafka.bootstrap, kafka=settings) as daemon:
        assert send(daemon, 1) == 200
        daemon.drained()
        daemon.kill()
        others = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 5})
        for number in range(20_000):
            others.produce(str(settings["checkpoint_topic"]), b"{}", f"ingestd-other-{number % 7}", 0)
        assert others.flush(30) == 0
        # The disk knows less than Kafka: its hint is lost and its checkpoint is as the kill left it.
        daemon.spool.joinpath("0.progress").unlink()
        daemon.spool.joinpath("0", "checkpoint").unlink()
        daemon.start()
        assert send(daemon, 2) == 200
        daemon.drained()
        assert_accounts_balance(daemon)
    assert numbers(kafka, topic) == [1, 2]


@pytest.mark.parametrize("unknown", ["at a start", "after a commit"])
def test_a_neighbours_open_transaction_does_not_hide_what_was_committed_behind_it(
    kafka: KafkaBroker, kafka_proxy: KafkaProxy, topic: str, settings: dict[str, object], place: Path,
    unknown: str,
) -> None:  # fmt: skip
    """Instances share the checkpoint topic, and a reader of it sees nothing behind an open transaction."""
    neighbour = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": "ingestd-neighbour"})
    neighbour.init_transactions(20)
    with KafkaDaemon(place, kafka_proxy.bootstrap, kafka=settings) as daemon:
        assert send(daemon, 1) == 200
        daemon.drained()
        neighbour.begin_transaction()
        neighbour.produce(str(settings["checkpoint_topic"]), b"{}", "ingestd-neighbour/0", 0)
        neighbour.flush(20)
        kafka_proxy.set(Fault.SWALLOW, apis=frozenset({Api.END_TXN}))
        assert send(daemon, 2) == 200
        kafka_proxy.wait_hits()  # committed, and not known to be
        if unknown == "at a start":
            daemon.kill()
            kafka_proxy.set(Fault.PASS)
            daemon.start()
        else:
            kafka_proxy.set(Fault.STALL)
            daemon.signal_reload()
            until(lambda: "transaction failed" in daemon.log(), "a failed transaction")
            kafka_proxy.set(Fault.PASS)
        assert send(daemon, 3) == 200
        until(lambda: "transaction of another instance is open" in daemon.log(), "a word of it")
        neighbour.abort_transaction(20)
        daemon.drained()
        assert_accounts_balance(daemon)
    assert numbers(kafka, topic) == [1, 2, 3]


def test_a_wiped_spool_does_not_hide_new_events_behind_the_committed_position(
    kafka: KafkaBroker, topic: str, settings: dict[str, object], place: Path
) -> None:
    with KafkaDaemon(place, kafka.bootstrap, kafka=settings) as daemon:
        assert send(daemon, 1) == 200
        assert daemon.stop() == 0
        for path in sorted(daemon.spool.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        daemon.start()
        assert send(daemon, 2) == 200
        daemon.drained()
        assert_accounts_balance(daemon)
    assert numbers(kafka, topic) == [1, 2]
