"""Print how small events become, as JSON: ``python -m bench.packed FILE``, where ingestd is installed.

As many lines as the request mix has requests, so that no event has its twin among them: a longer piece of a
benchmark's output repeats itself, and would compress better than traffic does.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

from aiokafka.record.default_records import DefaultRecordBatchBuilder

import ingestd.kafka.producer  # noqa: F401 - sets the compression level
from ingestd.file.compression import compressor
from ingestd.kafka.records import Topics, records

LINES = 640
LZ4 = 3  # Kafka's number for it


def kafka_bytes(payload: bytes) -> int:
    """Return the size of one Kafka batch with these lines: keys and headers too, by lz4."""
    batch = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=LZ4,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 30,
    )
    for offset, record in enumerate(records(payload, Topics("clicks"))):
        batch.append(
            offset, timestamp=record.timestamp, key=record.key, value=record.value, headers=record.headers
        )
    return len(batch.build())


def measure(file: Path) -> dict[str, float]:
    """Return bytes an event: in Kafka, and in a finished file that is compressed."""
    with file.open("rb") as lines:
        kept = list(itertools.islice(lines, LINES))
    payload = b"".join(kept)
    packer = compressor("zstd", len(payload))
    zstd = len(packer.compress(payload)) + len(packer.flush())
    return {"kafka_bytes": kafka_bytes(payload) / len(kept), "zstd_bytes": zstd / len(kept)}


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
