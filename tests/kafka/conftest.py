"""The Kafka fixtures."""

from __future__ import annotations

from tests.support.kafka.fixtures import kafka, kafka_mock, kafka_proxy, kafka_session, topic, topic_name

__all__ = ["kafka", "kafka_mock", "kafka_proxy", "kafka_session", "topic", "topic_name"]
