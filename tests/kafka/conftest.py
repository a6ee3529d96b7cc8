"""The Kafka fixtures, and a line at the end of the run that says what the tests ran against."""

from __future__ import annotations

import confluent_kafka
import pytest

from tests.support.kafka.fixtures import kafka, kafka_mock, kafka_proxy, kafka_session, topic, topic_name
from tests.support.kafka.install import KafkaUnavailableError, installation

__all__ = ["kafka", "kafka_mock", "kafka_proxy", "kafka_session", "topic", "topic_name"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    try:
        found = installation()
        real = f"real Apache Kafka {found.kafka_version} on Java {found.java_version}"
    except KafkaUnavailableError as error:
        real = str(error)
    terminalreporter.write_line(
        f"Kafka: {real}; mock cluster of librdkafka {confluent_kafka.libversion()[0]}"
    )
