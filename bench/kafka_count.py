"""Print a topic's records and partitions: ``python -m bench.kafka_count BOOTSTRAP TOPIC``."""

from __future__ import annotations

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, TopicPartition


async def count(bootstrap: str, topic: str) -> tuple[int, int]:
    """Return the sum over the partitions of end offset less beginning offset, and how many there are."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap)
    await asyncio.wait_for(consumer.start(), 20)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        first = await consumer.beginning_offsets(partitions)
        last = await consumer.end_offsets(partitions)
    finally:
        await consumer.stop()
    return sum(last[partition] - first[partition] for partition in partitions), len(partitions)


if __name__ == "__main__":
    print(*asyncio.run(count(sys.argv[1], sys.argv[2])))
