"""The manifest topic and `ingestd audit --topic`, real broker: silent over kills, each damage named."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from confluent_kafka import Producer

from tests.support.daemon import environment, ingestd
from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.clients import Record
from tests.support.kafka.daemon import KafkaDaemon, make_topics, once_by_id
from tests.support.kafka.producing import produce, within
from tests.support.load import Load
from tests.support.oracle import Ledger
from tests.support.place import open_place
from tests.support.waiting import FAR
from tests.support.wire import ask, request

KILLS = 5


def daemon_of(place: Path, kafka: KafkaBroker, delivery: str, **sections: Any) -> KafkaDaemon:
    name = uuid.uuid4().hex[:8]
    topics = {"topic": f"clicks-{name}", "manifest_topic": f"manifest-{name}"}
    topics["checkpoint_topic"] = f"checkpoint-{name}"
    make_topics(kafka, *topics.values())
    return KafkaDaemon(place, kafka.bootstrap, kafka={"delivery": delivery, **topics}, **sections)


def name_of(daemon: KafkaDaemon, key: str) -> str:
    return str(daemon._sections["kafka"][key])


def audit(daemon: KafkaDaemon, *more: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        ingestd("audit", "-c", str(daemon.config), "--topic", "--json", *more),
        env=environment(), capture_output=True, timeout=FAR, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr.decode()
    return done.returncode, orjson.loads(done.stdout)


@pytest.mark.kafka
@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_a_run_with_kills_is_all_there_and_damage_to_it_is_named(delivery: str, kafka: KafkaBroker) -> None:
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    dice, ledger = random.Random(seed), Ledger()
    with open_place() as place, daemon_of(place, kafka, delivery) as daemon:
        topic = name_of(daemon, "topic")
        with Load(daemon.socket, ledger, connections=8, pace=0.005):
            for _ in range(KILLS):
                ledger.wait_for_acks(dice.randint(20, 300))
                daemon.kill()
                daemon.start()
            ledger.wait_for_acks(100)
        daemon.drained()
        stopped(daemon)
        records = kafka.consume_all(topic)
        once, repeats = once_by_id(records)
        status, tree = audit(daemon)
        missing = [one for one in tree["findings"] if one["kind"] != "repeated"]
        assert (missing, tree["notes"]) == ([], [])
        assert (status, sum(one["events"] for one in tree["findings"])) == (3 if repeats else 0, repeats)
        assert tree["events"] == len(once) > 100
        if delivery == "exactly_once":
            assert repeats == 0
        damage(daemon, kafka, records, repeats)


def stopped(daemon: KafkaDaemon) -> None:
    """Stop with the last rows published: where Kafka is slow the log says that the next start does it."""
    while True:
        left = daemon.log().count("at the next start")
        assert daemon.stop() == 0
        if daemon.log().count("at the next start") == left:
            return
        daemon.start()
        daemon.drained()


def damage(daemon: KafkaDaemon, kafka: KafkaBroker, records: list[Record], repeats: int) -> None:
    """A repeated record, then records that vanish."""
    topic = name_of(daemon, "topic")
    produce(kafka.bootstrap, topic, records[:3])
    status, tree = audit(daemon)
    assert {one["kind"] for one in tree["findings"]} == {"repeated"}
    assert (status, sum(one["events"] for one in tree["findings"])) == (3, repeats + 3)
    status, tree = audit(daemon, "--hours", "2020-01-01")
    assert (status, tree["events"]) == (4, 0)
    lossy = topic + "-lossy"
    make_topics(kafka, lossy)
    produce(kafka.bootstrap, lossy, records[: len(records) // 2][:200])
    daemon.change(topic=lossy)
    status, tree = audit(daemon)
    kinds = {one["kind"] for one in tree["findings"]}
    assert (status, "missing" in kinds) == (1, True)


@pytest.mark.kafka
def test_what_the_topic_has_forgotten_is_a_note(kafka: KafkaBroker) -> None:
    ledger = Ledger()
    with open_place() as place, daemon_of(place, kafka, "at_least_once") as daemon:
        with Load(daemon.socket, ledger, connections=4):
            ledger.wait_for_acks(150)
        daemon.drained()
        stopped(daemon)
        forget(kafka, name_of(daemon, "topic"))
        status, tree = audit(daemon)
        assert (status, tree["findings"]) == (4, [])
        assert "retention" in tree["notes"][0]


def forget(kafka: KafkaBroker, topic: str) -> None:
    """Remove the oldest record of each partition, as retention does."""

    async def delete() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await within(admin.start())
        try:
            places = {TopicPartition(topic, number): RecordsToDelete(before_offset=1) for number in range(3)}
            await within(admin.delete_records(places))
        finally:
            await within(admin.close())

    asyncio.run(delete())


@pytest.mark.kafka
@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_a_manifest_topic_that_is_not_there_does_not_stop_delivery(delivery: str, kafka: KafkaBroker) -> None:
    ledger = Ledger()
    with open_place() as place, daemon_of(place, kafka, delivery) as daemon:
        daemon.stop()
        daemon.change(manifest_topic="no-such-topic")
        daemon.start()
        with Load(daemon.socket, ledger, connections=4):
            ledger.wait_for_acks(150)
        daemon.drained()
        stopped(daemon)
        assert "cannot write the manifest" in daemon.log()
        assert len(kafka.consume_all(name_of(daemon, "topic"))) >= 150


@pytest.mark.kafka
def test_in_queued_mode_without_a_spool_a_run_that_stops_in_order_is_all_there(kafka: KafkaBroker) -> None:
    ledger = Ledger()
    sections = {"ingest": {"ack": "queued"}, "spool": {"enabled": False}}
    with open_place() as place, daemon_of(place, kafka, "at_least_once", **sections) as daemon:
        for _ in range(2):
            with Load(daemon.socket, ledger, connections=4):
                ledger.wait_for_acks(150)
            stopped(daemon)
            daemon.start()
        status, tree = audit(daemon)
        assert (status, tree["findings"], tree["notes"]) == (0, [], [])
        assert tree["events"] >= 300


@pytest.mark.kafka
def test_what_lies_behind_an_open_transaction_is_said_not_to_be_read(kafka: KafkaBroker) -> None:
    """Kafka tells a read_committed consumer an end before it; what is behind it was missing, unexplained."""
    with open_place() as place, daemon_of(place, kafka, "at_least_once") as daemon:
        topic = name_of(daemon, "topic")
        neighbour = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": f"{topic}-tx"})
        neighbour.init_transactions(20)
        neighbour.begin_transaction()
        for number in range(3):
            neighbour.produce(topic, b"{}", partition=number)
        neighbour.flush(20)
        assert ask(daemon.socket, request("/c/demo?n=1")).status == 200
        daemon.drained()
        stopped(daemon)
        _, tree = audit(daemon)
        places = ", ".join(f"{topic}/{number}" for number in range(3))
        assert tree["notes"] == [f"{places}: not read to the end; a transaction is open there"]
        neighbour.abort_transaction(20)
        status, tree = audit(daemon)
        assert (status, tree["events"], tree["notes"]) == (0, 1, [])
