"""Partitions are the Java client's: against vectors that client computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ingestd.kafka.murmur2 import murmur2, murmur2_in_python
from ingestd.kafka.records import partition

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "support" / "kafka" / "murmur2_vectors.json").read_text("utf-8")
)


@pytest.mark.parametrize("murmur", [murmur2, murmur2_in_python])
def test_every_key_hashes_as_in_java(murmur: Any) -> None:
    for vector in VECTORS:
        assert murmur(bytes.fromhex(vector["key"])) == vector["murmur2"] & 0xFFFFFFFF, vector["key"]


def test_every_key_goes_to_the_partition_java_chooses() -> None:
    for vector in VECTORS:
        for count, chosen in vector["partitions"].items():
            assert partition(bytes.fromhex(vector["key"]), int(count), lambda: 0) == chosen


def test_a_key_must_be_bytes() -> None:
    with pytest.raises(TypeError):
        murmur2("text")  # type: ignore[arg-type]


def test_records_without_a_key_are_spread_over_all_partitions() -> None:
    turns = iter(range(6))
    assert [partition(None, 3, turns.__next__) for _ in range(6)] == [0, 1, 2, 0, 1, 2]
