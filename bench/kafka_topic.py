"""A row's topic: ``python -m bench.kafka_topic create|count BOOTSTRAP TOPIC``, where ingestd is installed."""

from __future__ import annotations

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

PATIENCE = 20.0  # seconds


async def create(bootstrap: str, topic: str) -> str:
    """Make the topic, with one partition: brokers in production make none by themselves."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await asyncio.wait_for(admin.start(), PATIENCE)
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()
    return ""


async def count(bootstrap: str, topic: str) -> str:
    """Return the sum over the partitions of end offset less beginning offset, and how many there are."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap)
    await asyncio.wait_for(consumer.start(), PATIENCE)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        first = await consumer.beginning_offsets(partitions)
        last = await consumer.end_offsets(partitions)
    finally:
        await consumer.stop()
    return f"{sum(last[partition] - first[partition] for partition in partitions)} {len(partitions)}"


if __name__ == "__main__":
    act = {"create": create, "count": count}[sys.argv[1]]
    print(asyncio.run(act(sys.argv[2], sys.argv[3])))
