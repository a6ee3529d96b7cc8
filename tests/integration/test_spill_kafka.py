"""A spill log into Kafka: keys, headers and times as the daemon's, the same ids whenever it is sent again."""

from __future__ import annotations

import subprocess
from pathlib import Path

import orjson

from tests.support.daemon import environment, ingestd, toml
from tests.support.kafka.clients import Record
from tests.support.kafka.mock import MockCluster
from tests.support.spilled import line
from tests.support.waiting import FAR

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def replay(place: Path, checkpoint: str) -> str:
    command = ["replay", "-c", "c.toml", "--from", "nginx-spill", "--checkpoint", checkpoint, "ingestd.spill"]
    done = subprocess.run(
        ingestd(*command), cwd=place, env=environment(), capture_output=True, text=True, timeout=FAR
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def by_id(records: list[Record]) -> dict[bytes | None, Record]:
    return {dict(record.headers)["id"]: record for record in records}


def test_spilled_requests_reach_kafka_once_and_again_with_the_same_ids(tmp_path: Path) -> None:
    lines = [line(b"/c/demo?n=%d&imei=A%d" % (number, number), trace=TRACE) for number in range(300)]
    (tmp_path / "ingestd.spill").write_bytes(b"\n".join(lines) + b"\n")
    with MockCluster() as cluster:
        topic = cluster.create_topic("clicks", 3)
        kafka = {"bootstrap": [cluster.bootstrap], "topic": topic, "dead_letter_directory": "dead"}
        sources = [{"name": "demo", "path": "/c/demo", "key": ["imei"]}]
        (tmp_path / "c.toml").write_text(toml({"kafka": kafka, "spool": {"directory": "spool"}}, sources))
        assert "300 events replayed, 0 quarantined" in replay(tmp_path, "mark")
        assert "0 lines read, 0 events replayed" in replay(tmp_path, "mark")
        first = cluster.consume_all(topic)
        assert len(first) == 300
        replay(tmp_path, "another mark")  # as after a kill between the sending and the checkpoint
        again = cluster.consume_all(topic)
    assert (len(again), len(by_id(again))) == (600, 300)
    for record in first:
        event = orjson.loads(record.value or b"")
        headers = dict(record.headers)
        assert headers["id"] == event["id"].encode()
        assert headers["traceparent"] == TRACE
        assert record.key == b"a" + event["params"]["n"].encode()
        assert record.timestamp == event["received_at"] == 1_795_398_236_727
        assert "spilled" in event["flags"]
