"""A machine that boots in 1970, and Kafka: nothing of that year arrives, and nothing is held up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.support.clock import WallClock
from tests.support.kafka.daemon import KafkaDaemon, assert_accounts_balance
from tests.support.kafka.mock import MockCluster
from tests.support.place import open_place
from tests.support.waiting import until
from tests.support.wire import ask, request


@pytest.fixture
def place() -> Iterator[Path]:
    with open_place() as path:
        yield path


def test_a_daemon_that_starts_in_1970_delivers_once_its_clock_is_right(
    kafka_mock: MockCluster, place: Path
) -> None:
    if reason := WallClock.why_not():
        pytest.skip(f"NO CLOCK: {reason}")
    kafka_mock.create_topic("clicks")
    clock = WallClock(place)
    clock.step(3600 - time.time())
    with KafkaDaemon(place, kafka_mock.bootstrap).start(clock.before) as daemon:
        until(lambda: daemon.metrics()["kafka_connected"] == 1, "a connection")
        assert ask(daemon.socket, request("/c/demo?n=0")).status == 503
        clock.step(time.time() - 3600)
        assert ask(daemon.socket, request("/c/demo?n=1")).status == 200
        daemon.drained()
        assert_accounts_balance(daemon)
        assert "Traceback" not in daemon.log()
    [record] = kafka_mock.consume_all("clicks")
    assert orjson.loads(record.value or b"")["params"]["n"] == "1"
    assert abs(record.timestamp / 1000 - time.time()) < 600
