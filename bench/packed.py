"""Print how small events become, as JSON: ``python -m bench.packed FILE``, where ingestd is installed.

As many lines as the request mix has requests, so that no event has its twin among them: a longer piece of a
benchmark's output repeats itself, and would compress better than traffic does.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from pathlib import Path

from ingestd.config.kafka import KafkaConfig
from ingestd.file.compression import compressor
from ingestd.kafka.aiokafka_internals import compress
from ingestd.kafka.batches import Chunker, ready_batch
from ingestd.kafka.topics import Topics

LINES = 640
TOPIC = "clicks"


async def kafka_bytes(payload: bytes) -> int:
    """Return the bytes that the sink sends for these lines, as it compresses unless told otherwise.

    One partition has them all: those of a commit are spread over the partitions, and pack a little less.
    """
    settings = KafkaConfig(bootstrap=("unused:9092",))

    async def one_partition(_: str) -> tuple[int, str]:
        return 1, ""

    chunker = Chunker(Topics(TOPIC), settings.max_batch_bytes, one_partition, lambda: 0, with_ids=False)
    await chunker.add(payload)
    size = 0
    for chunk in chunker.take():
        body, method = compress(chunk.body, settings.compression)
        size += ready_batch(chunk, body, method, transactional=False).size()
    return size


def measure(file: Path) -> dict[str, float]:
    """Return bytes an event: in Kafka, and in a finished file that is compressed."""
    with file.open("rb") as lines:
        kept = list(itertools.islice(lines, LINES))
    payload = b"".join(kept)
    packer = compressor("zstd", len(payload))
    zstd = len(packer.compress(payload)) + len(packer.flush())
    kafka = asyncio.run(kafka_bytes(payload))
    return {"kafka_bytes": kafka / len(kept), "zstd_bytes": zstd / len(kept)}


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
