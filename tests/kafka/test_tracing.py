"""A round to Kafka as a span: from the send to the broker's confirmation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.kafka.broker import KafkaBroker
from tests.support.kafka.daemon import KafkaDaemon
from tests.support.otlp import Collector, linked
from tests.support.place import open_place
from tests.support.wire import ask, request

pytestmark = pytest.mark.kafka
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def place() -> Iterator[Path]:
    with open_place() as path:
        yield path


@pytest.mark.parametrize("ack", ["stored", "queued"])
def test_a_round_is_a_span_with_links_to_the_requests_in_it(
    kafka: KafkaBroker, topic: str, place: Path, ack: str
) -> None:
    """By way of the spool and straight; the record has the same traceparent."""
    parent = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    with Collector() as collector:
        tracing, ingest = {"endpoint": collector.endpoint, "sample": 1}, {"ack": ack}
        settings = {"topic": topic}
        with KafkaDaemon(place, kafka.bootstrap, kafka=settings, tracing=tracing, ingest=ingest) as daemon:
            assert ask(daemon.socket, request("/c/demo?n=1", headers=parent)).status == 200
            assert daemon.stop() == 0
        (span,) = collector.named("ingestd.produce")
        assert linked(span) == {TRACE}
        assert collector.named("ingestd.commit")
    (record,) = kafka.consume_all(topic)
    assert dict(record.headers)["traceparent"] == parent["traceparent"].encode()
