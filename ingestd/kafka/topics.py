"""Where a source's events go, and how many partitions a topic has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from aiokafka import errors as kafka_errors

from ingestd.config.kafka import KafkaConfig
from ingestd.config.source import SourceConfig
from ingestd.errors import SinkError
from ingestd.kafka.aiokafka_internals import fetch_metadata
from ingestd.kafka.deadline import within
from ingestd.kafka.producer import Client
from ingestd.kafka.records import source_of

# Seconds to wait for a topic before the cluster is asked for all it has.
LOOK_AGAIN = 1.0
ASK_TIMEOUT = 5.0
UNKNOWN = kafka_errors.UnknownTopicOrPartitionError.__name__


class Topics:
    """A source's topic: its own, or the template, with `{source}` and `{type}` filled in."""

    def __init__(self, template: str, own: Mapping[str, str] = {}) -> None:
        self._template = template
        self._own = dict(own)

    @classmethod
    def configured(cls, kafka: KafkaConfig, sources: Iterable[SourceConfig]) -> Topics:
        """The topics of a configuration."""
        return cls(kafka.topic, {source.name: source.topic for source in sources if source.topic})

    def of_source(self, source: str, kind: str) -> str:
        """The topic of a source's events; `kind`: click, impression or postback."""
        return _filled_in(self._own.get(source, self._template), source, kind)

    def of_line(self, line: bytes) -> tuple[str, str]:
        """The source's name and its topic, of an event line. Raises ValueError where it is not an event's."""
        source = source_of(line).decode()
        topic = self._own.get(source, self._template)
        kind = orjson.loads(line)["type"] if "{type}" in topic else ""
        return source, _filled_in(topic, source, kind)


def _filled_in(topic: str, source: str, kind: str) -> str:
    return topic.replace("{source}", source).replace("{type}", kind)


class Partitions:
    """Counts the partitions of topics, as the cluster knows them now."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._missing: set[str] = set()  # topics the cluster did not have when it was asked last

    async def count(self, producer: Any, topic: str) -> tuple[int, str]:
        """How many partitions a topic has; 0 and the reason where Kafka says that it is unavailable.

        aiokafka looks for a topic for a whole request_timeout, and every round would wait for it: after a
        moment the cluster is asked, the next time at once. It says "unknown" as well when no broker answers:
        then it is asked again, for as long as it takes. Raises SinkError where new settings came meanwhile.
        """
        while True:
            if topic in self._missing and await self._is_missing(producer, topic):
                return 0, UNKNOWN
            asking = asyncio.ensure_future(producer.partitions_for(topic))
            try:
                await asyncio.wait([asking], timeout=LOOK_AGAIN)
                if not asking.done() and await self._is_missing(producer, topic):
                    return 0, UNKNOWN
                return len(await asking), ""
            except kafka_errors.TopicAuthorizationFailedError as error:
                return 0, type(error).__name__
            except kafka_errors.UnknownTopicOrPartitionError:
                if await self._is_missing(producer, topic):
                    return 0, UNKNOWN
            finally:
                asking.cancel()
            if self._client.stale:
                raise SinkError(f"topic {topic}: no answer; retrying with new settings")

    async def _is_missing(self, producer: Any, topic: str) -> bool:
        present = await present_topics(producer)
        missing = present is not None and topic not in present
        (self._missing.add if missing else self._missing.discard)(topic)
        return missing


async def present_topics(producer: Any) -> set[str] | None:
    """The topics the cluster has now; None where no broker answers."""
    try:
        metadata = await within(fetch_metadata(producer), ASK_TIMEOUT)
    except (kafka_errors.KafkaError, OSError, TimeoutError):
        return None
    return set(metadata.topics())
