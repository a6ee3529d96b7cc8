"""How small events become: measured by what the sinks themselves do."""

from __future__ import annotations

import random
from pathlib import Path

import zstandard

from bench import packed
from tests.support.desk import one
from tests.support.kafka_stand_in import Cluster, sender_of
from tests.support.platforms.cases import SAMPLES


def lines(number: int) -> list[bytes]:
    """Lines alike but for ids, as a platform's callbacks are."""
    rng, desk = random.Random(7), one("ocean", path="/c/ocean")
    url = SAMPLES["oceanengine"]
    return [desk.take(f"{url}&also={rng.randbytes(16).hex()}").lines for _ in range(number)]


async def test_the_bytes_of_a_kafka_batch_are_those_that_the_sink_sends(tmp_path: Path) -> None:
    payload = b"".join(lines(packed.LINES))
    cluster = Cluster({"clicks": 1})
    _, sender = sender_of(tmp_path)
    with cluster.in_place():
        await sender.send([payload])
    assert len(cluster.values("clicks")) == packed.LINES
    assert await packed.kafka_bytes(payload) == cluster.bytes_written


def test_figures_are_those_of_an_event(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"".join(lines(packed.LINES + 100)))
    figures = packed.measure(file)
    assert set(figures) == {"kafka_bytes", "zstd_bytes"}
    whole = len(zstandard.ZstdCompressor().compress(b"".join(lines(packed.LINES)))) / packed.LINES
    assert 0.9 * whole < figures["zstd_bytes"] < 1.1 * whole
    assert figures["zstd_bytes"] < figures["kafka_bytes"] < len(lines(1)[0])
