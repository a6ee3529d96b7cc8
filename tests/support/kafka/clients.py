"""Topics, configs, users and records as librdkafka sees them: a second opinion on what aiokafka wrote."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # typed, but not re-exported
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.support.waiting import FAR

Isolation = Literal["read_committed", "read_uncommitted"]
Config = dict[str, Any]
# A broker that was just killed is an expected sight here: no log lines, and a quick return to it.
QUIET: Config = {"log_level": 0, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100}
POLL = 0.02
LEADERLESS = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}
_LATEST: Any = cast(Any, OffsetSpec).latest()


@dataclass(frozen=True)
class Record:
    """A record as a consumer sees it; `timestamp` in milliseconds."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


def wait_until(condition: Callable[[], bool], what: str, timeout: float = FAR) -> None:
    """Poll what cannot be waited for. Raises TimeoutError naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not after {timeout:g} s")
        time.sleep(POLL)


class Admin:
    """Each change returns once clients can see it. Raises KafkaException when refused."""

    def __init__(self, bootstrap: str) -> None:
        self._client = AdminClient({"bootstrap.servers": bootstrap, **QUIET})

    def answers(self, timeout: float) -> bool:
        """Whether a broker answers ApiVersions and Metadata and counts itself as part of the cluster."""
        try:
            return bool(self._client.list_topics(timeout=timeout).brokers)
        except KafkaException:
            return False

    def create_topic(self, name: str, partitions: int, configs: Mapping[str, str]) -> None:
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(configs))
        _settle(self._client.create_topics([topic], operation_timeout=FAR))
        wait_until(lambda: self.leaders(name) == partitions, f"topic {name} has leaders")
        wait_until(lambda: self._serves(name, partitions), f"topic {name} is served")

    def delete_topic(self, name: str) -> None:
        _settle(self._client.delete_topics([name], operation_timeout=FAR))
        wait_until(lambda: self.leaders(name) == 0, f"topic {name} is gone")

    def alter_topic(self, name: str, configs: Mapping[str, str]) -> None:
        """Set topic configs such as min.insync.replicas or max.message.bytes, and wait until they hold."""
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in configs.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        _settle(self._client.incremental_alter_configs([resource]))
        wanted = configs.items()
        wait_until(lambda: wanted <= self.topic_configs(name).items(), f"{name} has {dict(configs)}")

    def forbid_writing(self, topic: str, *, reading: bool) -> None:
        """Nobody may write to the topic, nor see it unless `reading`. For a broker with an authorizer."""
        rules = [_rule(topic, AclOperation.WRITE, AclPermissionType.DENY)]
        if reading:
            rules.append(_rule(topic, AclOperation.READ, AclPermissionType.ALLOW))
        _settle(self._client.create_acls(rules))

    def topic_configs(self, name: str) -> dict[str, str | None]:
        resource = ConfigResource(ResourceType.TOPIC, name)
        described = self._client.describe_configs([resource])[resource].result(FAR)
        return {key: entry.value for key, entry in described.items()}

    def leaders(self, name: str) -> int:
        """How many partitions of the topic have a leader; 0 when there is no such topic."""
        topic = self._client.list_topics(name, timeout=FAR).topics[name]
        return sum(1 for partition in topic.partitions.values() if partition.leader >= 0)

    def _serves(self, name: str, partitions: int) -> bool:
        """Metadata names a leader a moment before it takes records; one that gives offsets does."""
        ends = {TopicPartition(name, number): _LATEST for number in range(partitions)}
        try:
            _settle(self._client.list_offsets(ends, request_timeout=FAR))
        except KafkaException:
            return False
        return True

    def set_scram_password(self, user: str, password: str) -> None:
        """Create the user, or change the password, for SCRAM-SHA-256 and SCRAM-SHA-512."""
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            credential = ScramCredentialInfo(mechanism, 4096)
            change = UserScramCredentialUpsertion(user, credential, password.encode())
            _settle(self._client.alter_user_scram_credentials([change]))


def _rule(topic: str, operation: AclOperation, permission: AclPermissionType) -> AclBinding:
    return AclBinding(
        ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:*", "*", operation, permission
    )


def _settle(futures: Mapping[Any, Future[Any]]) -> None:
    for future in futures.values():
        future.result(FAR)


def consume_all(
    bootstrap: str,
    topic: str,
    isolation: Isolation = "read_committed",
    config: Mapping[str, Any] | None = None,
) -> list[Record]:
    """Every record of the topic up to its present end, ordered by partition and offset.

    With read_committed the end is the last stable offset: nothing from an open transaction on.
    Raises KafkaException, and TimeoutError when the broker stops answering.
    """
    settings: Config = {
        "bootstrap.servers": bootstrap,
        "group.id": "harness",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": isolation,
        "check.crcs": True,
        "fetch.wait.max.ms": 20,
        **QUIET,
        **(config or {}),
    }
    with closing(Consumer(settings)) as consumer:
        found = consumer.list_topics(topic, timeout=FAR).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        ends = {number: bounds(consumer, TopicPartition(topic, number)) for number in found.partitions}
        filled = {number: end for number, (start, end) in ends.items() if start < end}
        consumer.assign([TopicPartition(topic, number, ends[number][0]) for number in filled])
        return _read_to_end(consumer, filled)


def bounds(consumer: Consumer, partition: TopicPartition) -> tuple[int, int]:
    """The first offset and the one after the last that this consumer's isolation level lets it see.

    Waits for a leader: a broker that was away for long has none for its partitions for a moment.
    Raises KafkaException, and TimeoutError when the broker does not answer.
    """
    deadline = time.monotonic() + FAR
    while time.monotonic() < deadline:
        try:
            found = consumer.get_watermark_offsets(partition, timeout=FAR)
        except KafkaException as error:
            if error.args[0].code() not in LEADERLESS:
                raise
            time.sleep(POLL)
        else:
            if found is not None:
                return found
    raise TimeoutError(f"no offsets of {partition.topic}/{partition.partition} after {FAR:g} s")


def _read_to_end(consumer: Consumer, ends: dict[int, int]) -> list[Record]:
    """Read until each partition has come to its end; an end-of-partition event before that is no end."""
    records = []
    deadline = time.monotonic() + FAR
    while ends:
        messages = consumer.consume(10_000, timeout=0.02)
        if messages:  # a broker that goes on answering may take as long as it needs
            deadline = time.monotonic() + FAR
        for message in messages:
            error, number = message.error(), cast(int, message.partition())
            if error is None:
                records.append(_record(message))
            elif error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            elif cast(int, message.offset()) >= ends.get(number, 0):
                ends.pop(number, None)
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing more for {FAR:g} s; not read to their ends: {ends}")
    return sorted(records, key=lambda record: (record.partition, record.offset))


def _record(message: Message) -> Record:
    headers = cast("list[tuple[str, bytes | None]] | None", message.headers()) or []
    partition, offset = cast(int, message.partition()), cast(int, message.offset())
    key, value = message.key(), message.value()
    return Record(partition, offset, message.timestamp()[1], key, value, tuple(headers))
