"""`check` says what of Kafka is not as the configuration has it, and fails for none of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import environment, ingestd
from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.daemon import KafkaDaemon, make_topics
from tests.support.place import open_place
from tests.support.waiting import FAR


@pytest.fixture
def place() -> Iterator[Path]:
    with open_place() as path:
        yield path


def check(daemon: KafkaDaemon) -> tuple[int, dict[str, Any]]:
    command = ingestd("check", "--json", "-c", str(daemon.config))
    done = subprocess.run(command, env=environment(), capture_output=True, timeout=FAR, check=False)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.kafka
def test_topics_that_are_not_there_are_named_with_what_becomes_of_it(
    kafka: KafkaBroker, topic_name: str, place: Path
) -> None:
    there = f"{topic_name}.demo.click"
    make_topics(kafka, there)
    sources = [
        {"name": "demo", "path": "/c/demo"},
        {"name": "own", "path": "/c/own", "topic": f"{topic_name}-own"},
    ]
    settings = {
        "topic": topic_name + ".{source}.{type}",
        "delivery": "exactly_once",
        "checkpoint_topic": f"{topic_name}-gone",
    }
    daemon = KafkaDaemon(place, kafka.bootstrap, kafka=settings, sources=sources)
    status, found = check(daemon)
    assert (status, found["ok"]) == (0, True)
    assert [(one["key"], one["what"]) for one in found["warnings"]] == [
        ("source own: topic", f"there is no topic '{topic_name}-own'"),
        ("kafka.checkpoint_topic", f"there is no topic '{topic_name}-gone'"),
    ]
    assert "cleanup.policy=compact" in found["warnings"][1]["hint"]
    make_topics(kafka, f"{topic_name}-own", f"{topic_name}-gone")
    assert check(daemon)[1]["warnings"] == []


def test_kafka_that_cannot_be_reached_is_a_warning_for_the_daemon_starts_without(place: Path) -> None:
    status, found = check(KafkaDaemon(place, "127.0.0.1:9"))
    [warning] = found["warnings"]
    assert (status, warning["key"], "in the spool" in warning["hint"]) == (0, "kafka.bootstrap", True)


def test_a_spool_that_cannot_be_made_is_a_problem(place: Path) -> None:
    (place / "spool").write_text("a file where the directory belongs")
    status, found = check(KafkaDaemon(place, "127.0.0.1:9"))
    assert (status, [one["key"] for one in found["problems"]]) == (78, ["spool.directory"])
