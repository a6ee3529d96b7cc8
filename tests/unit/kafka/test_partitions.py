"""Partitions are the Java client's, on both paths: against vectors that client computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ingestd.kafka.aiokafka_internals import murmur2
from ingestd.kafka.packer import NATIVE, packer
from ingestd.kafka.records import partition
from tests.support.spooled import line

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "support" / "kafka" / "murmur2_vectors.json").read_text("utf-8")
)


def test_every_key_hashes_as_in_java() -> None:
    for vector in VECTORS:
        assert murmur2(bytes.fromhex(vector["key"])) == vector["murmur2"] & 0xFFFFFFFF, vector["key"]


def test_every_key_goes_to_the_partition_java_chooses() -> None:
    for vector in VECTORS:
        for count, chosen in vector["partitions"].items():
            assert partition(bytes.fromhex(vector["key"]), int(count), lambda: 0) == chosen


@pytest.mark.skipif(not NATIVE, reason="the compiled packer is missing: its partitions are NOT checked")
def test_the_compiled_path_chooses_the_same() -> None:
    for vector in VECTORS:
        for count, chosen in vector["partitions"].items():
            made = packer(1 << 20, with_ids=False)
            assert made is not None
            made.route(b"demo", 0, int(count))
            assert made.put(line(1)[:-1], bytes.fromhex(vector["key"]), 5, None)
            [batch] = made.take()
            assert batch[:2] == (0, chosen), vector["key"]


def test_records_without_a_key_are_spread_over_all_partitions() -> None:
    turns = iter(range(6))
    assert [partition(None, 3, turns.__next__) for _ in range(6)] == [0, 1, 2, 0, 1, 2]
    made = packer(1 << 20, with_ids=False)
    if made is not None:
        made.route(b"demo", 0, 3)
        assert all(made.put(line(turn)[:-1], None, turn, None) for turn in range(6))
        assert [(batch[1], batch[3]) for batch in made.take()] == [(0, 2), (1, 2), (2, 2)]
