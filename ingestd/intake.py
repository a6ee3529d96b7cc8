"""From a request to its source, and from the source's bytes into the buffer."""

from __future__ import annotations

from time import time_ns

from ingestd.errors import RequestRefusedError
from ingestd.http.connection import Exchange
from ingestd.http.parser import Headers
from ingestd.http.responses import REFUSAL_REPLIES, Reply, method_refusal
from ingestd.pipeline.buffer import Buffer
from ingestd.pipeline.counters import Counters
from ingestd.sources.router import Match, Router
from ingestd.system.clock import EARLIEST_NS, LATEST_NS

# W3C's traceparent has 55 bytes; a later version of it may have some more.
MAX_TRACE = 128


class Intake:
    """Takes whole requests: each is answered at once, or becomes an entry in the buffer."""

    def __init__(self, router: Router, counters: Counters, buffer: Buffer, *, ack_stored: bool) -> None:
        self.router = router
        self._counters = counters
        self._buffer = buffer
        self._ack_stored = ack_stored

    def __call__(
        self, exchange: Exchange, method: bytes, target: bytes, headers: Headers, body: bytes
    ) -> None:
        """Handle one request. `headers` is only read here and not kept."""
        path, _, raw = target.partition(b"?")
        match = self.router.known.get(path) or self.router.match(path) or self._odd_target(target)
        buffer = self._buffer
        if match is None or method not in match.source.methods or buffer.refusing is not None:
            exchange.answer(self._without_event(match, method))
            return
        source, route, path_text = match
        exchange.received_ns = received_ns = time_ns()
        if not EARLIEST_NS <= received_ns < LATEST_NS:
            source.counters.reject("clock")
            exchange.answer(source.refusal("clock"))
            return
        connection = exchange.connection
        client = None
        if connection.behind_proxy:
            client = headers.get(b"X-Real-IP") or headers.find(b"X-Real-IP")
        client_ip = client.decode("latin-1") if client else connection.client_address
        try:
            data, count, answering = source.events(
                method, path_text, route, raw, headers, body, client_ip, received_ns
            )
        except RequestRefusedError as error:
            source.counters.reject(error.reason)
            exchange.answer(source.refusal(error.reason))
            return
        counters = source.counters
        counters.received += count
        counters.received_bytes += len(data)
        counters.unstored += count
        exchange.counters, exchange.data, exchange.count = counters, data, count
        if answering is None:
            exchange.answering = source
        else:
            exchange.answering, exchange.keys = answering, answering.keys
            exchange.dead_letter = answering.dead_letter
        trace = headers.get(b"traceparent")
        if trace is not None and len(trace) <= MAX_TRACE:
            exchange.trace = trace
        buffer.put(exchange)
        if not self._ack_stored:
            exchange.answer(exchange.answering.reply)

    def _without_event(self, match: Match | None, method: bytes) -> Reply:
        """The reply to a request that is no event, or cannot be taken now."""
        if match is None:
            self._counters.refuse("not_found")
            return REFUSAL_REPLIES["not_found"]
        source, refusing = match.source, self._buffer.refusing
        if method in source.methods and refusing is not None:
            source.counters.reject(refusing)
            return source.refusal(refusing)
        if method == b"HEAD":  # a link checker; there is no event in it
            return source.reply
        self._counters.refuse("method")
        return method_refusal(source.config.methods)

    def _odd_target(self, target: bytes) -> Match | None:
        """An absolute target (`http://host/path`), which a server must take too (RFC 9112, 3.2.2)."""
        scheme, separator, rest = target.partition(b"://")
        if not separator or scheme.lower() not in (b"http", b"https"):
            return None
        return self.router.match(b"/" + rest.partition(b"?")[0].partition(b"/")[2])
