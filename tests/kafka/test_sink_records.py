"""From a callback through nginx to a consumer: each event once, as it was sent, and where a Java client had
put it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.clients import Record
from tests.support.kafka.daemon import KafkaDaemon, header, make_topics, once_by_id
from tests.support.load import Load
from tests.support.needs import need_nginx
from tests.support.nginx import Nginx
from tests.support.oracle import Ledger, Oracle
from tests.support.place import open_place
from tests.support.wire import ask, request

pytestmark = pytest.mark.kafka

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SOURCES: list[dict[str, object]] = [
    {"name": "demo", "path": "/c/demo"},
    {"name": "wei", "path": "/c/wei", "type": "impression", "key": ["user", "click_id"]},
    {"name": "own", "path": "/c/own", "topic": "{type}s-of-{source}"},
]


@pytest.fixture
def place() -> Iterator[Path]:
    with open_place() as path:
        yield path


def java_partitions(kafka: KafkaBroker, topic: str, keys: Sequence[bytes]) -> dict[bytes, int]:
    """Where librdkafka's port of the Java client's partitioner puts the keys in this topic."""
    found: dict[Any, Any] = {}
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2"})
    for key in keys:
        producer.produce(topic, b"", key, on_delivery=lambda _, m: found.update({m.key(): m.partition()}))
    assert producer.flush(30) == 0
    return found


def test_each_callback_through_nginx_is_one_record_as_it_was_sent(
    kafka: KafkaBroker, topic_name: str, place: Path
) -> None:
    need_nginx()
    topic, other = f"{topic_name}.demo.click", f"{topic_name}-other"
    make_topics(kafka, topic, other, partitions=12)
    ledger = Ledger()
    with KafkaDaemon(place, kafka.bootstrap, kafka={"topic": topic_name + ".{source}.{type}"}) as daemon:
        with Nginx(place, [daemon.socket]) as nginx, Load(nginx.address, ledger, connections=8):
            ledger.wait_for_acks(1500)
        assert daemon.stop() == 0
    records = kafka.consume_all(topic)
    values, repeats = once_by_id(records)
    oracle = Oracle(ledger)
    oracle.read(values)
    result = oracle.verdict()
    assert (result.problems(), repeats, result.repeated) == ([], 0, 0)
    assert len(records) == result.events > 1500
    for record in records:
        _assert_fits(record, b"demo", None)
    keys = [record.key or b"" for record in records]
    theirs = java_partitions(kafka, other, keys)
    assert {record.key: record.partition for record in records} == theirs
    assert len(set(theirs.values())) == 12


def _assert_fits(record: Record, source: bytes, trace: bytes | None) -> None:
    """Key, time and headers are those of the event in the value."""
    event = orjson.loads(record.value or b"")
    assert (record.key or b"").decode() == event["dup_key"]
    assert record.timestamp == event["received_at"]
    wanted = [("id", event["id"].encode()), ("source", source), ("v", b"1")]
    assert list(record.headers) == wanted + ([("traceparent", trace)] if trace else [])


def test_topic_key_and_trace_follow_the_source_and_the_request(
    kafka: KafkaBroker, topic_name: str, place: Path
) -> None:
    need_nginx()
    make_topics(kafka, f"{topic_name}.demo", f"{topic_name}.wei")
    own = (
        kafka.create_topic("clicks-of-own", 1)
        if not kafka.admin.leaders("clicks-of-own")
        else "clicks-of-own"
    )
    before = len(kafka.consume_all(own))
    trace = {"traceparent": TRACE}
    body = orjson.dumps([{"user": "u1", "n": 1}, {"click_id": "c2", "n": 2}, {"n": 3}])
    asked = [
        request("/c/demo/app?click_id=1", headers=trace),
        request("/c/wei?user=%E6%8A%96", headers=trace),
        request("/c/wei?user=&click_id=7"),
        request("/c/wei?other=1"),
        request("/c/wei", "POST", {"Content-Type": "application/json"}, body),
        request("/c/own/x?click_id=2"),
    ]
    kafka_settings = {"topic": topic_name + ".{source}"}
    with KafkaDaemon(place, kafka.bootstrap, sources=SOURCES, kafka=kafka_settings) as daemon:
        with Nginx(place, [daemon.socket]) as nginx:
            assert {ask(nginx.address, data).status for data in asked} == {200}
        assert daemon.stop() == 0
    (demo,) = kafka.consume_all(f"{topic_name}.demo")
    _assert_fits(demo, b"demo", TRACE.encode())
    (mine,) = kafka.consume_all(own)[before:]
    _assert_fits(mine, b"own", None)
    wei = kafka.consume_all(f"{topic_name}.wei")
    keys = sorted((record.key for record in wei), key=str)
    assert keys == sorted(["抖".encode(), b"7", None, b"u1", b"c2", None], key=str)
    for record in wei:
        event = orjson.loads(record.value or b"")
        assert event["type"] == "impression"
        assert (dict(record.headers).get("traceparent") is not None) == (event["params"].get("user") == "抖")


@pytest.mark.parametrize("compression", ["none", "gzip", "lz4", "zstd", "snappy"])
def test_a_consumer_reads_every_compression(
    kafka: KafkaBroker, topic: str, place: Path, compression: str
) -> None:
    with KafkaDaemon(place, kafka.bootstrap, kafka={"topic": topic, "compression": compression}) as daemon:
        for number in range(20):
            assert ask(daemon.socket, request(f"/c/demo?n={number}")).status == 200
        assert daemon.stop() == 0
    values = [orjson.loads(record.value or b"") for record in kafka.consume_all(topic)]
    assert sorted(int(value["params"]["n"]) for value in values) == list(range(20))


@pytest.mark.parametrize("spool", [True, False])
@pytest.mark.parametrize("ack", ["stored", "queued"])
def test_each_mode_delivers_once_with_and_without_a_spool(
    kafka: KafkaBroker, topic: str, place: Path, ack: str, spool: bool
) -> None:
    ledger = Ledger()
    with KafkaDaemon(
        place, kafka.bootstrap, kafka={"topic": topic},
        ingest={"ack": ack}, spool={"enabled": spool}, flush={"interval": "50ms"},
    ) as daemon:  # fmt: skip
        with Load(daemon.socket, ledger, connections=4):
            ledger.wait_for_acks(400)
        assert daemon.stop() == 0
        records = kafka.consume_all(topic)
    values, repeats = once_by_id(records)
    oracle = Oracle(ledger)
    oracle.read(values)
    assert (oracle.verdict().problems(), repeats) == ([], 0)
    offsets = [[r.offset for r in group] for _, group in itertools.groupby(records, lambda r: r.partition)]
    assert all(found == list(range(len(found))) for found in offsets), "no hole, no control record"
    assert header(records[0], "source") == b"demo"
