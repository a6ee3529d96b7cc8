"""Spans by the SDK itself: an error is told of, and a payload for Kafka shows whose requests are in it."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from ingestd.spool.envelope import payloads, traces
from ingestd.system.tracing import Tracing
from tests.support.fakes import Pump
from tests.support.sinks_under_test import batch_of

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def tracing() -> Tracing:
    return Tracing("http://127.0.0.1:9", 1.0, "host/0", "0")


@pytest.fixture
def spans(tracing: Tracing) -> InMemorySpanExporter:
    """Everything `tracing` has finished."""
    exporter = InMemorySpanExporter()
    tracing._provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


async def test_commits_are_spans_and_one_that_fails_has_the_error(
    tracing: Tracing, spans: InMemorySpanExporter
) -> None:
    """The batch is refused all the same, and the probes afterwards are not spans."""
    async with Pump(acks=True, tracing=tracing) as pump:
        stored = await pump.put()
        pump.sink.failing = "no space left"
        refused = await pump.put()
        await pump.clock.advance(5)
        assert (stored.fates, refused.fates) == ([None], ["storage"])
        assert pump.sink.probes > 2
    good, bad = spans.get_finished_spans()
    assert (good.name, good.attributes) == (
        "ingestd.commit", {"ingestd.sink": "memory", "ingestd.events": 1, "ingestd.bytes": 6}
    )  # fmt: skip
    assert good.status.status_code is StatusCode.UNSET
    assert bad.status.status_code is StatusCode.ERROR
    assert "no space left" in (bad.status.description or "")


def test_a_rounds_links_are_read_from_what_goes_to_kafka(
    tracing: Tracing, spans: InMemorySpanExporter
) -> None:
    """With a key of the source's beside it or not; a text in an event that looks like one is none."""
    batch = batch_of(1, 2, 3)
    batch.entries[1].trace = TRACE
    batch.entries[1].keys = [b'"t":"00-1"']
    batch.entries[2].keys = [b'#{"t":"00-1"}']
    with tracing.produce(traces(payloads(batch.entries)), 7):
        pass
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind) == ("ingestd.produce", SpanKind.PRODUCER)
    (link,) = span.links
    assert f"{link.context.trace_id:032x}".encode() == TRACE.split(b"-")[1]
    assert link.context.is_remote
