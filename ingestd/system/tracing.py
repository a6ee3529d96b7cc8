"""OpenTelemetry spans of batches: one for a commit, one for a round to Kafka. Needs the extra `otel`.

A batch holds the events of many clients, so its span is a trace of its own, with links to theirs. The SDK
exports spans by OTLP over HTTP in a thread of its own; it drops them while the collector is
unreachable, and nothing waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import random
import re
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ingestd.event import Batch

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Span

MAX_LINKS = 32
# Seconds to wait for the export of the last spans.
CLOSE_TIMEOUT = 2.0
MISSING = "needs OpenTelemetry, which is not installed"
HINT = (
    "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http into this environment "
    '(the extra "otel"), or write endpoint = ""'
)
# W3C Trace Context, 3.2: version, trace id, span id, flags; a later version may have more fields.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


def installed() -> bool:
    """Whether the packages of the extra `otel` are installed."""
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


class Tracing:
    """Creates spans. `sample`: share of batches with a span, 0 to 1; another batch costs a random number."""

    def __init__(self, endpoint: str, sample: float, node: str, version: str) -> None:
        from opentelemetry import trace as api
        from opentelemetry.exporter.otlp.proto.http import trace_exporter as otlp
        from opentelemetry.sdk import resources, trace
        from opentelemetry.sdk.trace import export

        names = {"service.name": "ingestd", "service.instance.id": node, "service.version": version}
        # Without a hook at exit: the end of the process must not wait for a collector.
        self._provider: Any = trace.TracerProvider(
            resource=resources.Resource.create(names), shutdown_on_exit=False
        )
        exporter = otlp.OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(export.BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("ingestd", version)
        self._api: Any = api
        self._sample = sample

    @contextlib.contextmanager
    def commit(self, sink: str, batch: Batch) -> Iterator[None]:
        """A span around the commit of a batch. An error is recorded and passes through."""
        if not self._chosen():
            yield
            return
        traces = (entry.trace.decode("latin-1") for entry in batch.entries if entry.trace is not None)
        said = {"ingestd.sink": sink, "ingestd.events": batch.events, "ingestd.bytes": batch.bytes}
        with self._span("ingestd.commit", self._api.SpanKind.INTERNAL, said, traces):
            yield

    @contextlib.contextmanager
    def produce(self, traces: Iterable[str], size: int) -> Iterator[None]:
        """A span around a round to Kafka, up to its confirmation, however long that takes.

        `traces`: the traceparents of its events, read only where the round is sampled. `size`: its bytes.
        """
        if not self._chosen():
            yield
            return
        said = {"messaging.system": "kafka", "ingestd.bytes": size}
        with self._span("ingestd.produce", self._api.SpanKind.PRODUCER, said, traces):
            yield

    async def close(self) -> None:
        """Give the last spans CLOSE_TIMEOUT seconds to leave."""
        loop = asyncio.get_running_loop()
        left = asyncio.Event()

        def leave() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop is closed: it did not wait that long
                loop.call_soon_threadsafe(left.set)

        # A daemon thread: the process may end whatever it waits for.
        threading.Thread(target=leave, name="last spans", daemon=True).start()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(left.wait(), CLOSE_TIMEOUT)

    def _chosen(self) -> bool:
        return self._sample >= 1 or random.random() < self._sample  # noqa: S311 - no secret in it

    @contextlib.contextmanager
    def _span(self, name: str, kind: Any, said: dict[str, Any], traces: Iterable[str]) -> Iterator[None]:
        span: Span = self._tracer.start_span(name, kind=kind, attributes=said, links=self._links(traces))
        try:
            yield
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
            span.set_status(self._api.Status(self._api.StatusCode.ERROR, text))
            raise
        finally:
            span.end()

    def _links(self, traces: Iterable[str]) -> list[Link]:
        """The first MAX_LINKS different traceparents that are valid."""
        found: dict[tuple[int, int], Link] = {}
        for text in traces:
            match = _TRACEPARENT.fullmatch(text)
            if match is None or not (ids := (int(match[1], 16), int(match[2], 16)))[0] or not ids[1]:
                continue
            flags = self._api.TraceFlags(int(match[3], 16))
            context = self._api.SpanContext(*ids, is_remote=True, trace_flags=flags)
            found.setdefault(ids, self._api.Link(context))
            if len(found) == MAX_LINKS:
                break
        return list(found.values())
