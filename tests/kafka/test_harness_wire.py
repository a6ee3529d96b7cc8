"""The faulty wire before the real broker, and the mock cluster: each fault has its effect, and ends."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka.errors import TopicAuthorizationFailedError
from confluent_kafka import KafkaError

from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.mock import Api, MockCluster, MockClusterError
from tests.support.kafka.producing import REQUEST_TIMEOUT_MS, deliver, numbers, producing, send, within
from tests.support.kafka.proxy import Fault, KafkaProxy

REQUEST_TIMEOUT = REQUEST_TIMEOUT_MS / 1000
# So long that a client which waits for it is told from one that goes on at once, on a busy machine too.
LONG_TIMEOUT_MS = 10_000
LONG_TIMEOUT = LONG_TIMEOUT_MS / 1000
END_TXN = frozenset({Api.END_TXN})


def _produce_through(
    proxy: KafkaProxy, topic: str, fault: Fault, delay: float = 0.0, timeout_ms: int = LONG_TIMEOUT_MS
) -> float:
    """Deliver one batch undisturbed and one under `fault`, once; returns the seconds the second one took."""

    async def run() -> float:
        async with producing(proxy.bootstrap, request_timeout_ms=timeout_ms) as producer:
            await deliver(producer, topic, [1, 2])
            proxy.set(fault, times=1, delay=delay)
            began = time.monotonic()
            await deliver(producer, topic, [3, 4])
            return time.monotonic() - began

    return asyncio.run(run())


@pytest.mark.kafka
def test_the_proxy_passes_all_and_counts_it(kafka: KafkaBroker, kafka_proxy: KafkaProxy, topic: str) -> None:
    assert _produce_through(kafka_proxy, topic, Fault.PASS) < LONG_TIMEOUT
    assert kafka_proxy.requests[Api.PRODUCE] == 2
    assert kafka_proxy.hits == 0
    assert numbers(kafka.consume_all(topic)) == [1, 2, 3, 4]


@pytest.mark.kafka
@pytest.mark.parametrize("fault", [Fault.RESET, Fault.LOSE_ACK, Fault.HALVE])
def test_a_broken_connection_makes_the_client_send_again_at_once(
    kafka: KafkaBroker, kafka_proxy: KafkaProxy, topic: str, fault: Fault
) -> None:
    assert _produce_through(kafka_proxy, topic, fault) < LONG_TIMEOUT
    assert kafka_proxy.hits == 1
    assert kafka_proxy.requests[Api.PRODUCE] == 3
    assert numbers(kafka.consume_all(topic)) == [1, 2, 3, 4]


@pytest.mark.kafka
def test_a_swallowed_ack_costs_the_client_a_timeout(
    kafka: KafkaBroker, kafka_proxy: KafkaProxy, topic: str
) -> None:
    took = _produce_through(kafka_proxy, topic, Fault.SWALLOW, timeout_ms=REQUEST_TIMEOUT_MS)
    assert took >= REQUEST_TIMEOUT
    assert kafka_proxy.requests[Api.PRODUCE] == 3
    assert numbers(kafka.consume_all(topic)) == [1, 2, 3, 4]


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("fault", "written"), [(Fault.RESET, [1]), (Fault.LOSE_ACK, [1, 2]), (Fault.SWALLOW, [1, 2])]
)
async def test_what_the_broker_has_when_the_client_knows_nothing(
    kafka: KafkaBroker, kafka_proxy: KafkaProxy, topic: str, fault: Fault, written: list[int]
) -> None:
    async with producing(kafka_proxy.bootstrap) as producer:
        await deliver(producer, topic, [1])
        kafka_proxy.set(fault)
        waiting = await send(producer, topic, [2])
        await asyncio.to_thread(kafka_proxy.wait_hits, 1)
        assert not waiting.done()
        assert numbers(kafka.consume_all(topic)) == written
        kafka_proxy.set(Fault.PASS)
        await within(waiting)
    assert numbers(kafka.consume_all(topic)) == [1, 2]


@pytest.mark.kafka
def test_a_late_answer_is_late_by_the_delay(kafka: KafkaBroker, kafka_proxy: KafkaProxy, topic: str) -> None:
    assert 0.3 <= _produce_through(kafka_proxy, topic, Fault.DELAY, delay=0.3) < LONG_TIMEOUT
    assert kafka_proxy.requests[Api.PRODUCE] == 2


@pytest.mark.kafka
@pytest.mark.parametrize("fault", [Fault.CUT, Fault.STALL])
async def test_nothing_arrives_over_a_cut_or_stalled_wire_until_it_is_whole(
    kafka: KafkaBroker, kafka_proxy: KafkaProxy, topic: str, fault: Fault
) -> None:
    async with producing(kafka_proxy.bootstrap) as producer:
        await deliver(producer, topic, [1])
        kafka_proxy.set(fault)
        waiting = await send(producer, topic, [2])
        with pytest.raises(TimeoutError):
            await within(asyncio.shield(waiting), 0.5)
        assert numbers(kafka.consume_all(topic)) == [1]
        if fault is Fault.CUT:
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", kafka_proxy.port)
        else:
            assert kafka_proxy.hits >= 1
        kafka_proxy.set(Fault.PASS)
        await within(waiting)
    assert numbers(kafka.consume_all(topic)) == [1, 2]


@pytest.mark.kafka
async def test_dropped_connections_are_made_anew(
    kafka: KafkaBroker, kafka_proxy: KafkaProxy, topic: str
) -> None:
    async with producing(kafka_proxy.bootstrap) as producer:
        await deliver(producer, topic, [1])
        connected = kafka_proxy.requests[Api.API_VERSIONS]
        kafka_proxy.drop_connections()
        await deliver(producer, topic, [2])
        assert kafka_proxy.requests[Api.API_VERSIONS] > connected
    assert numbers(kafka.consume_all(topic)) == [1, 2]


@pytest.mark.kafka
async def test_a_fault_meets_only_the_requests_it_is_meant_for(
    kafka: KafkaBroker, kafka_proxy: KafkaProxy, topic: str
) -> None:
    async with producing(kafka_proxy.bootstrap, transactional_id=f"{topic}-tx") as producer:
        kafka_proxy.set(Fault.LOSE_ACK, apis=END_TXN, times=1)
        await producer.begin_transaction()
        await deliver(producer, topic, [1])
        assert kafka_proxy.hits == 0
        await within(producer.commit_transaction())
        assert kafka_proxy.hits == 1
    assert numbers(kafka.consume_all(topic)) == [1]


async def test_the_mock_keeps_what_it_is_sent(kafka_mock: MockCluster, topic_name: str) -> None:
    kafka_mock.create_topic(topic_name, 2)

    async with producing(kafka_mock.bootstrap) as producer:
        await deliver(producer, topic_name, [1, 2], partition=1)
    assert [(r.partition, r.value, r.headers[0]) for r in kafka_mock.consume_all(topic_name)] == [
        (1, b"1", ("id", b"id-1")),
        (1, b"2", ("id", b"id-2")),
    ]


async def test_the_mock_answers_with_the_errors_pushed_to_it(
    kafka_mock: MockCluster, topic_name: str
) -> None:
    kafka_mock.create_topic(topic_name)

    async with producing(kafka_mock.bootstrap) as producer:
        kafka_mock.push_errors(Api.PRODUCE, [KafkaError.NOT_ENOUGH_REPLICAS] * 2)
        await deliver(producer, topic_name, [1])
        assert kafka_mock.requests()[Api.PRODUCE] == 3
        kafka_mock.push_errors(Api.PRODUCE, [KafkaError.TOPIC_AUTHORIZATION_FAILED])
        with pytest.raises(TopicAuthorizationFailedError):
            await deliver(producer, topic_name, [2])
        kafka_mock.push_errors(Api.PRODUCE, [KafkaError.TOPIC_AUTHORIZATION_FAILED])
        kafka_mock.clear_errors(Api.PRODUCE)
        await deliver(producer, topic_name, [3])
    assert numbers(kafka_mock.consume_all(topic_name)) == [1, 3]


async def test_a_mock_broker_goes_down_comes_up_and_is_slow(kafka_mock: MockCluster, topic_name: str) -> None:
    kafka_mock.create_topic(topic_name)

    async with producing(kafka_mock.bootstrap) as producer:
        await deliver(producer, topic_name, [1])
        kafka_mock.broker_down()
        waiting = await send(producer, topic_name, [2])
        with pytest.raises(TimeoutError):
            await within(asyncio.shield(waiting), 0.3)
        kafka_mock.broker_up()
        await within(waiting)
        kafka_mock.set_rtt(300)
        began = time.monotonic()
        await deliver(producer, topic_name, [3])
        assert time.monotonic() - began >= 0.25


async def test_a_mock_partition_without_a_leader_takes_nothing(
    kafka_mock: MockCluster, topic_name: str
) -> None:
    kafka_mock.create_topic(topic_name)
    kafka_mock.set_leader(topic_name, 0, -1)

    async with producing(kafka_mock.bootstrap) as producer:
        waiting = await send(producer, topic_name, [1])
        with pytest.raises(TimeoutError):
            await within(asyncio.shield(waiting), 0.3)
        kafka_mock.set_leader(topic_name, 0, 1)
        await within(waiting)


def test_the_mock_can_stand_behind_the_proxy(kafka_mock: MockCluster, topic_name: str) -> None:
    kafka_mock.create_topic(topic_name)
    upstream = int(kafka_mock.bootstrap.rpartition(":")[2])
    with KafkaProxy(upstream) as proxy:
        kafka_mock.advertise("127.0.0.1", proxy.port)
        assert _produce_through(proxy, topic_name, Fault.RESET) < LONG_TIMEOUT
        assert proxy.hits == 1


def test_the_mock_says_what_librdkafka_refuses(kafka_mock: MockCluster) -> None:
    with pytest.raises(MockClusterError, match="broker 7 down"):
        kafka_mock.broker_down(7)
