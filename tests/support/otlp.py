"""A collector for spans: OTLP over HTTP on loopback, as the real ones take them."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.waiting import FAR


class Collector:
    """Keeps what it is sent. `spans`: each with `resource`, its resource's attributes, beside it."""

    def __init__(self) -> None:
        self.spans: list[tuple[Any, dict[str, str]]] = []
        self.paths: set[str] = set()
        self._changed = threading.Condition()
        taken = self._taken

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                taken(self.path, body)
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *values: object) -> None:
                """No access log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def endpoint(self) -> str:
        """For `tracing.endpoint`."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def named(self, name: str) -> list[Any]:
        """The spans of a name."""
        with self._changed:
            return [span for span, _ in self.spans if span.name == name]

    def wait_for(self, what: str, there: Callable[[], bool], timeout: float = FAR) -> None:
        """Return when something is there, looked at whenever spans have come."""
        with self._changed:
            reached = self._changed.wait_for(there, timeout)
        assert reached, f"no {what}; {len(self.spans)} spans came"

    def _taken(self, path: str, body: bytes) -> None:
        asked = ExportTraceServiceRequest.FromString(body)
        with self._changed:
            self.paths.add(path)
            for group in asked.resource_spans:
                names = {one.key: one.value.string_value for one in group.resource.attributes}
                self.spans += [(span, names) for scope in group.scope_spans for span in scope.spans]
            self._changed.notify_all()


def attributes(span: Any) -> dict[str, Any]:
    """A span's attributes; numbers and texts."""
    return {
        one.key: one.value.int_value if one.value.HasField("int_value") else one.value.string_value
        for one in span.attributes
    }


def linked(span: Any) -> set[str]:
    """The trace ids a span links to."""
    return {link.trace_id.hex() for link in span.links}
