"""Fixtures for tests that talk to Kafka. Where no real broker can run they skip, with the reason.

INGESTD_REQUIRE_KAFKA=1 turns that skip into a failure, for machines that are known to have one.
"""

from __future__ import annotations

import functools
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.install import KafkaUnavailableError, installation
from tests.support.kafka.mock import MockCluster
from tests.support.kafka.proxy import KafkaProxy


def real_broker(workdir: Path, **options: Any) -> KafkaBroker:
    """A KafkaBroker with these options, not yet started, or the loud skip."""
    try:
        return KafkaBroker(workdir, **options)
    except KafkaUnavailableError as error:
        if os.environ.get("INGESTD_REQUIRE_KAFKA"):
            raise
        pytest.skip(f"{error} (the mock cluster's tests still run)")


def ran_against() -> str:
    """The versions of the broker and of the mock cluster, or why there is no broker."""
    try:
        found = installation()
        real = f"real Apache Kafka {found.kafka_version} on Java {found.java_version}"
    except KafkaUnavailableError as error:
        real = str(error)
    return f"Kafka: {real}; mock cluster of librdkafka {confluent_kafka.libversion()[0]}"


@pytest.fixture(scope="session")
def kafka_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One broker for the whole run; tests use `kafka`."""
    with _broker_of_run(tmp_path_factory.getbasetemp() / "kafka") as broker:
        yield broker


@functools.cache
def _broker_of_run(workdir: Path) -> KafkaBroker:
    """The same one for every conftest.py that imports these fixtures."""
    return real_broker(workdir)


@pytest.fixture
def kafka(kafka_session: KafkaBroker) -> Iterator[KafkaBroker]:
    """The run's broker, running; the test may pause, kill or restart it."""
    kafka_session.ensure_running()
    yield kafka_session
    # Mended here too, so that a test left by a failure does not slow the next one's set-up.
    kafka_session.ensure_running()


@pytest.fixture
def topic_name() -> str:
    """A name no other test has."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def topic(kafka: KafkaBroker, topic_name: str) -> str:
    """A new topic of 3 partitions on the real broker."""
    return kafka.create_topic(topic_name, 3)


@pytest.fixture
def kafka_proxy(kafka: KafkaBroker) -> Iterator[KafkaProxy]:
    """A proxy before the real broker; bootstrap from `kafka_proxy.bootstrap`."""
    with KafkaProxy(kafka.proxied_port, kafka.proxy_port) as proxy:
        yield proxy


@pytest.fixture
def kafka_mock() -> Iterator[MockCluster]:
    """A mock cluster of one broker."""
    with MockCluster() as cluster:
        yield cluster
