"""The warnings of `check` about Kafka: unreachable, or a topic is missing. The daemon starts without."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from ingestd.config.kafka import KafkaConfig
from ingestd.config.sections import Config
from ingestd.errors import IngestdError, Problem
from ingestd.kafka.producer import connection_options
from ingestd.kafka.topics import Topics

TIMEOUT = 5.0
COMPACT = "create it with cleanup.policy=compact"


def look(settings: Config, kafka: KafkaConfig) -> list[Problem]:
    """The warnings about Kafka; takes at most TIMEOUT seconds twice."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it is said below, once
    try:
        present = asyncio.run(_topics(kafka))
    except (KafkaError, OSError, TimeoutError, IngestdError) as error:
        reason = str(error) or f"no answer in {TIMEOUT:g} s"
        hint = (
            "until then events wait in the spool"
            if settings.spool.enabled
            else "there is no spool to wait in"
        )
        return [Problem("kafka.bootstrap", f"cannot be reached now: {reason}", hint)]
    return [
        Problem(key, f"there is no topic {topic!r}", hint)
        for (key, topic), hint in _wanted(settings, kafka).items()
        if topic not in present
    ]


def _wanted(settings: Config, kafka: KafkaConfig) -> dict[tuple[str, str], str]:
    """The topics by the key that names them, and what to do where one is missing."""
    create = "create it, or its events become dead letters"
    wanted: dict[tuple[str, str], str] = {}
    topics = Topics.configured(kafka, settings.source)
    for source in settings.source:
        key = f"source {source.name}: topic" if source.topic else "kafka.topic"
        wanted[key, topics.of_source(source.name, source.type)] = create
    if kafka.delivery == "exactly_once":
        wanted["kafka.checkpoint_topic", kafka.checkpoint_topic] = f"{COMPACT}, or nothing is delivered"
    if kafka.manifest_topic:
        wanted["kafka.manifest_topic", kafka.manifest_topic] = f"{COMPACT}, or `audit --topic` has nothing"
    if kafka.dead_letter_topic:
        wanted["kafka.dead_letter_topic", kafka.dead_letter_topic] = "create it, or they go to files"
    return wanted


async def _topics(kafka: KafkaConfig) -> set[str]:
    options: dict[str, Any] = connection_options(kafka)
    options["request_timeout_ms"] = int(TIMEOUT * 1000)
    admin = AIOKafkaAdminClient(**options)
    try:
        async with asyncio.timeout(TIMEOUT):
            await admin.start()
            return set(await admin.list_topics())
    finally:
        async with asyncio.timeout(TIMEOUT):
            await admin.close()
