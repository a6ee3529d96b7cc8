"""A stand-in for aiokafka's producer and the cluster behind it, which does what a test says.

For what no broker can be brought to at a given moment: a full queue, a commit that fails, a silent cluster.

cluster = Cluster({"clicks": 1})
with cluster.in_place():  # KafkaSink, Client: their producers are its own
    ...
assert cluster.values("clicks") == [...]
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from aiokafka.errors import IllegalOperation, KafkaError, UnknownTopicOrPartitionError

from ingestd.config.kafka import KafkaConfig
from ingestd.kafka.aiokafka_internals import ReadyBatch, decode_batch
from ingestd.kafka.manifest_topic import ManifestTopic
from ingestd.kafka.producer import Client
from ingestd.kafka.records import Record
from ingestd.kafka.sender import Sender
from ingestd.kafka.topics import Topics


class Cluster:
    """`topics`: partitions by name. What is asked for and what fails is told in the lists, first come first.

    `queueing`, `writing`, `beginning`, `committing`: the next errors of `send_batch`, of what it returned, of
    `begin_transaction` and `commit_transaction`. `answers`: whether it tells its topics.
    """

    def __init__(self, topics: dict[str, int]) -> None:
        self.topics = topics
        self.answers = True
        self.queueing: list[BaseException] = []
        self.writing: list[BaseException] = []
        self.beginning: list[BaseException] = []
        self.committing: list[BaseException] = []
        self.open = asyncio.Event()  # not set: batches wait
        self.open.set()
        self.queued = 0  # calls of send_batch
        self.written: list[tuple[str, int, list[Record]]] = []
        self.bytes_written = 0  # of batches, compressed and with their headers
        self.sent: list[tuple[str, bytes]] = []  # by `send`, and committed
        self.producers: list[Producer] = []

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """While this is entered, clients have producers of this cluster."""
        with mock.patch("ingestd.kafka.producer.AIOKafkaProducer", self._producer):
            yield

    def _producer(self, **options: Any) -> Producer:
        made = Producer(self, options)
        self.producers.append(made)
        return made

    def values(self, topic: str) -> list[bytes]:
        """The values of the records in a topic."""
        return [record.value for name, _, records in self.written if name == topic for record in records]


class Producer:
    """What of aiokafka's producer is called."""

    def __init__(self, cluster: Cluster, options: dict[str, Any]) -> None:
        self.options = options
        self.transactions: list[str] = []
        self._cluster = cluster
        self._flying: list[asyncio.Future[Any]] = []
        self._waiting: list[asyncio.Task[None]] = []
        self._pending: list[tuple[str, bytes]] = []
        self._closed = False
        # As `kill` knows it.
        self._sender = mock.Mock(sender_task=None)
        self._message_accumulator = mock.Mock(fail_all=self._fail_all)
        self.client = mock.Mock(close=mock.AsyncMock(), fetch_all_metadata=self._metadata)

    @property
    def closed(self) -> bool:
        return self._closed

    async def start(self) -> None:
        """At once."""

    async def partitions_for(self, topic: str) -> set[int]:
        if not self._cluster.answers or topic not in self._cluster.topics:
            raise UnknownTopicOrPartitionError
        return set(range(self._cluster.topics[topic]))

    async def _metadata(self) -> Any:
        if not self._cluster.answers:
            raise KafkaError("Unable to get cluster metadata over all known brokers")
        return mock.Mock(topics=lambda: set(self._cluster.topics))

    async def send_batch(self, builder: ReadyBatch, topic: str, *, partition: int) -> asyncio.Future[Any]:
        self._cluster.queued += 1
        if self._cluster.queueing:
            raise self._cluster.queueing.pop(0)
        if self.options.get("transactional_id") and self.transactions[-1:] != ["begun"]:
            raise IllegalOperation("Can't send messages while not in transaction")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._flying.append(future)
        self._waiting.append(asyncio.create_task(self._write(future, builder, topic, partition)))
        return asyncio.shield(future)

    async def _write(self, future: asyncio.Future[Any], builder: ReadyBatch, topic: str, number: int) -> None:
        await self._cluster.open.wait()
        if future.done() or topic not in self._cluster.topics:  # tried for ever
            return
        if self._cluster.writing:
            future.set_exception(self._cluster.writing.pop(0))
            return
        batch = builder._build()
        self._cluster.bytes_written += len(batch)
        records = [
            Record(dict(headers).get("source", b"").decode(), topic, key, value, timestamp, headers)
            for timestamp, key, value, headers in decode_batch(batch)
        ]
        self._cluster.written.append((topic, number, records))
        future.set_result(None)

    def _fail_all(self, error: Exception) -> None:
        for task in self._waiting:
            task.cancel()
        for future in self._flying:
            if not future.done():
                future.set_exception(error)

    # transactions

    async def begin_transaction(self) -> None:
        if self._cluster.beginning:
            raise self._cluster.beginning.pop(0)
        self.transactions.append("begun")

    async def send(self, topic: str, value: bytes, *, key: bytes, partition: int) -> asyncio.Future[Any]:
        self._pending.append((topic, value))
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    async def commit_transaction(self) -> None:
        if self._closed:  # as aiokafka's: nobody is left to commit it
            await asyncio.get_running_loop().create_future()
        if self._cluster.committing:
            raise self._cluster.committing.pop(0)
        self.transactions.append("committed")
        self._cluster.sent += self._pending
        self._pending = []


def kafka_settings(directory: Path, **keys: Any) -> KafkaConfig:
    """[kafka] with time-outs a test can outlast."""
    tree = {
        "bootstrap": "127.0.0.1:1", "dead_letter_directory": directory / "dead", "linger": "0ms",
        "request_timeout": "20ms", "direct_timeout": "50ms", **keys,
    }  # fmt: skip
    return KafkaConfig.model_validate(tree)


def sender_of(directory: Path, *, transactional: bool = False) -> tuple[Client, Sender]:
    """A sender and the client it asks for producers."""
    transactional_id = "ingestd-host-1" if transactional else None
    sender = Sender(
        kafka_settings(directory), Topics("clicks"), client_id="ingestd-host-1", instance="one",
        transactional_id=transactional_id,
    )  # fmt: skip
    return sender.client, sender


def manifest_topic_of(sender: Sender) -> ManifestTopic:
    """The manifest topic of a sender without a spool."""

    async def nothing_to_save() -> None:
        pass

    return ManifestTopic(sender, nothing_to_save)
