"""A commit is answered before its markers stand in the partitions: what a reader may see in between.

The broker's markers to itself go through the proxy here, which holds them up.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.oracle import read_and_judge
from tests.support.checks import assert_fresh_event_passes
from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.daemon import KafkaDaemon, make_topics
from tests.support.kafka.fixtures import real_broker
from tests.support.kafka.mock import Api
from tests.support.kafka.proxy import Fault, KafkaProxy
from tests.support.load import Load
from tests.support.oracle import Ledger, Oracle
from tests.support.place import open_place

pytestmark = pytest.mark.kafka

MARKERS = frozenset({Api.WRITE_TXN_MARKERS})


@pytest.fixture
def place() -> Iterator[Path]:
    with open_place() as path:
        yield path


@pytest.fixture
def delayed(place: Path) -> Iterator[tuple[KafkaBroker, KafkaProxy]]:
    """A broker that speaks to itself through a proxy."""
    broker = real_broker(place / "kafka", config={"inter.broker.listener.name": "PROXIED"})
    with KafkaProxy(broker.proxied_port, broker.proxy_port) as proxy, broker:
        yield broker, proxy


def test_the_oracle_waits_for_the_markers_of_the_last_commit(
    delayed: tuple[KafkaBroker, KafkaProxy], place: Path
) -> None:
    """Read at once, what was committed last is not there, and looks lost; the oracle waits."""
    kafka, proxy = delayed
    ledger = Ledger()
    make_topics(kafka, "clicks", "checkpoint")
    settings = {"topic": "clicks", "checkpoint_topic": "checkpoint", "delivery": "exactly_once"}
    with KafkaDaemon(place, kafka.bootstrap, kafka=settings) as daemon:
        with Load(daemon.socket, ledger, connections=4, pace=0.01):
            ledger.wait_for_acks(50)
        daemon.drained()
        proxy.set(Fault.HOLD, apis=MARKERS)
        assert_fresh_event_passes(daemon.socket, ledger)
        daemon.drained()
        proxy.wait_hits()
        at_once = Oracle(ledger)
        at_once.read(record.value or b"" for record in kafka.consume_all("clicks"))
        assert at_once.verdict().missing == [ledger.sent - 1]
        threading.Timer(1.0, proxy.set, [Fault.PASS]).start()
        result, repeats = read_and_judge(kafka, "clicks", ledger)
        assert (result.problems(), repeats) == ([], 0)
