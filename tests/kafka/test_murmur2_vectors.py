"""The key vectors are the Java client's own, and what a partitioner here must agree with."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from aiokafka.partitioner import murmur2

from tests.support.kafka.broker import KafkaBroker
from tests.support.waiting import FAR

HERE = Path(__file__).parents[1] / "support" / "kafka"
VECTORS = HERE / "murmur2_vectors.json"


def test_aiokafkas_murmur2_agrees_with_the_java_client() -> None:
    vectors = json.loads(VECTORS.read_text())
    assert len(vectors) > 200
    for vector in vectors:
        found = murmur2(bytes.fromhex(vector["key"]))
        assert found == vector["murmur2"] % 2**32, vector
        partitions = {count: (found & 0x7FFFFFFF) % int(count) for count in vector["partitions"]}
        assert partitions == vector["partitions"], vector


@pytest.mark.kafka
def test_the_stored_vectors_are_what_the_java_client_computes(kafka_session: KafkaBroker) -> None:
    found = kafka_session.installation
    command = [found.java, "-cp", found.classpath, str(HERE / "Murmur2Vectors.java")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FAR, check=True)
    assert json.loads(done.stdout) == json.loads(VECTORS.read_text())
