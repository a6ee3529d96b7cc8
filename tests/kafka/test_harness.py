"""The harness before anything is proved with it: a broker that answers, dies, pauses and comes back."""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka.errors import MessageSizeTooLargeError, ProducerFenced
from confluent_kafka import KafkaException, Producer

from tests.support.kafka.broker import BrokerFailedError, KafkaBroker
from tests.support.kafka.clients import QUIET, Record, wait_until
from tests.support.kafka.fixtures import real_broker
from tests.support.kafka.producing import FIRST_TIMESTAMP, deliver, numbers, producing, send, within
from tests.support.kafka.tmpfs import tmpfs

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.kafka


async def test_a_batch_arrives_with_its_keys_headers_timestamps_and_offsets(
    kafka: KafkaBroker, topic: str
) -> None:
    async with producing(kafka.bootstrap, compression_type="zstd") as producer:
        assert await deliver(producer, topic, [0, 1], partition=2) == 0
        assert await deliver(producer, topic, [2], partition=2) == 2
    wanted = [
        Record(2, n, FIRST_TIMESTAMP + n, b"%d" % n, b"%d" % n, (("id", b"id-%d" % n), ("source", b"ocean")))
        for n in range(3)
    ]
    assert kafka.consume_all(topic) == wanted


async def test_a_transaction_is_seen_only_once_committed(kafka: KafkaBroker, topic: str) -> None:
    async with producing(kafka.bootstrap, transactional_id=f"{topic}-tx") as producer:
        await producer.begin_transaction()
        await deliver(producer, topic, [1, 2])
        assert numbers(kafka.consume_all(topic, "read_uncommitted")) == [1, 2]
        assert kafka.consume_all(topic) == []
        await within(producer.commit_transaction())
        # The commit is decided when it returns; its markers follow.
        wait_until(lambda: numbers(kafka.consume_all(topic)) == [1, 2], "the transaction is seen")
        await producer.begin_transaction()
        await deliver(producer, topic, [3])
        await within(producer.abort_transaction())
        await producer.begin_transaction()
        await deliver(producer, topic, [4])
        await within(producer.commit_transaction())
        wait_until(lambda: numbers(kafka.consume_all(topic)) == [1, 2, 4], "the next one is seen")


async def test_a_second_producer_of_one_transactional_id_fences_the_first(
    kafka: KafkaBroker, topic: str
) -> None:
    async with producing(kafka.bootstrap, transactional_id=f"{topic}-tx") as old:
        await old.begin_transaction()
        await deliver(old, topic, [1])
        async with producing(kafka.bootstrap, transactional_id=f"{topic}-tx") as new:
            await new.begin_transaction()
            await deliver(new, topic, [2])
            await within(new.commit_transaction())
        with pytest.raises(ProducerFenced):
            await within(old.commit_transaction())
    wait_until(lambda: numbers(kafka.consume_all(topic)) == [2], "the second producer's record is seen")


async def test_a_killed_broker_comes_back_on_its_ports_with_its_data(kafka: KafkaBroker, topic: str) -> None:
    async with producing(kafka.bootstrap) as producer:
        await deliver(producer, topic, [1])
        before = kafka.bootstrap, kafka.pid
        kafka.kill()
        assert not kafka.running()
        waiting = await send(producer, topic, [2])
        with pytest.raises(TimeoutError):
            await within(asyncio.shield(waiting), 0.5)
        await asyncio.to_thread(kafka.start)
        assert kafka.bootstrap == before[0]
        assert kafka.pid != before[1]
        await within(waiting)
    assert numbers(kafka.consume_all(topic)) == [1, 2]


async def test_a_paused_broker_answers_nothing_and_goes_on_where_it_was(
    kafka: KafkaBroker, topic: str
) -> None:
    async with producing(kafka.bootstrap) as producer:
        await deliver(producer, topic, [1])
        kafka.pause()
        waiting = await send(producer, topic, [2])
        with pytest.raises(TimeoutError):
            await within(asyncio.shield(waiting), 0.5)
        assert not kafka.admin.answers(0.2)
        kafka.resume()
        await within(waiting)
    assert numbers(kafka.consume_all(topic)) == [1, 2]


def test_a_broker_left_paused_or_dead_is_made_good(kafka: KafkaBroker) -> None:
    kafka.pause()
    kafka.ensure_running()
    assert kafka.admin.answers(5.0)
    kafka.kill()
    kafka.ensure_running()
    assert kafka.admin.answers(5.0)


async def test_a_topic_can_be_tightened_and_deleted(kafka: KafkaBroker, topic: str) -> None:
    async with producing(kafka.bootstrap) as producer:
        await deliver(producer, topic, [1])
        kafka.alter_topic(topic, {"max.message.bytes": "100", "min.insync.replicas": "2"})
        with pytest.raises(MessageSizeTooLargeError):
            await deliver(producer, topic, range(20))
    assert kafka.admin.topic_configs(topic)["min.insync.replicas"] == "2"
    kafka.delete_topic(topic)
    with pytest.raises(KafkaException):
        kafka.consume_all(topic)


def test_a_full_log_directory_ends_the_broker(tmp_path: Path, topic_name: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a tiny tmpfs needs root")
    with tmpfs(tmp_path / "disk", "6m") as disk, real_broker(tmp_path / "kafka", data_dir=disk) as broker:
        broker.create_topic(topic_name)
        filler = Producer({"bootstrap.servers": broker.bootstrap, **QUIET})
        for _ in range(50):
            filler.produce(topic_name, os.urandom(200_000))
        assert broker.wait_exit(30.0) != 0
        filler.purge()
        assert "No space left on device" in broker.log_tail(200)


def test_a_broker_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(BrokerFailedError, match=r"log\.retention\.ms"):
        real_broker(tmp_path, config={"log.retention.ms": "soon"}).start()


def test_a_broker_dies_with_the_test_run(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\n"
        "from tests.support.kafka.process import GuardedProcess\n"
        "print(GuardedProcess(['sleep', '600'], pathlib.Path(sys.argv[1])).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as run:
        assert run.stdout is not None
        orphan = os.pidfd_open(int(run.stdout.readline()))
        run.kill()
    try:
        assert select.select([orphan], [], [], 10.0)[0], "the process outlived its test run"
    finally:
        os.close(orphan)
