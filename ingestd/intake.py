"""From a request to its source, and from the source's bytes into the buffer."""

from __future__ import annotations

import logging
from functools import partial
from time import time_ns
from typing import TYPE_CHECKING

from ingestd.errors import RequestRefusedError
from ingestd.http.request import Exchange, Request
from ingestd.http.responses import REFUSAL_REPLIES, Reply, method_refusal
from ingestd.pipeline.buffer import Buffer
from ingestd.pipeline.counters import Counters
from ingestd.sources.router import Router
from ingestd.sources.signatures import Result
from ingestd.sources.source import Source
from ingestd.sources.verification import VerificationQueue
from ingestd.system.clock import EARLIEST_NS, LATEST_NS

if TYPE_CHECKING:
    from ingestd.sources.public_key import PublicKeyVerifier

logger = logging.getLogger(__name__)


class Intake:
    """Takes whole requests to their source. `ack_stored`: replies wait until the events are stored.

    `signatures`: where those are verified that take long; without it that is done at once.
    """

    def __init__(
        self, router: Router, counters: Counters, buffer: Buffer, *, ack_stored: bool,
        signatures: VerificationQueue | None = None,
    ) -> None:  # fmt: skip
        self.router = router
        self._counters = counters
        self._buffer = buffer
        self._ack_stored = ack_stored
        self._signatures = signatures

    def take(self, exchange: Exchange, request: Request) -> None:
        """Answer a request, or put the events it becomes into the buffer."""
        source = self.router.route(request)
        buffer = self._buffer
        if source is None or request.method not in source.methods or buffer.refusing is not None:
            exchange.answer(self._without_event(source, request.method))
            return
        counters = source.counters
        exchange.received_ns = request.received_ns = received_ns = time_ns()
        try:
            if not EARLIEST_NS <= received_ns < LATEST_NS:
                raise RequestRefusedError("clock")
            connection = exchange.connection
            if connection.behind_proxy:
                request.client_ip = request.header(b"X-Real-IP").decode("latin-1")
            else:
                request.client_ip = connection.client_address
            if source.public_key is not None and self._signatures is not None:
                self._verify_first(self._signatures, source.public_key, source, exchange, request)
                return
            source.take(request, exchange)
        except RequestRefusedError as error:
            counters.reject(error.reason)
            exchange.answer(source.replies.refusals[error.reason])
            return
        self._put(exchange)

    def _put(self, exchange: Exchange) -> None:
        counters = exchange.counters
        count = exchange.count
        counters.received += count
        counters.received_bytes += len(exchange.data)
        counters.unstored += count
        self._buffer.put(exchange)
        if not self._ack_stored:
            exchange.answer(exchange.replies.stored)

    def _verify_first(
        self, queue: VerificationQueue, verifier: PublicKeyVerifier, source: Source, exchange: Exchange,
        request: Request,
    ) -> None:  # fmt: skip
        """Take a request once its signature has been verified, beside the loop."""
        if queue.is_full(source.name):
            raise RequestRefusedError("verification")
        found = verifier.prepare(request)
        if isinstance(found, str):
            source.take(request, exchange, found)
            self._put(exchange)
        else:
            queue.put(source.name, found, partial(self._verified, source, exchange, request.copy()))

    def _verified(
        self, source: Source, exchange: Exchange, request: Request, found: Result | Exception
    ) -> None:
        try:
            if isinstance(found, Exception):
                raise found
            if self._buffer.refusing is not None:
                raise RequestRefusedError(self._buffer.refusing)
            source.take(request, exchange, found)
        except RequestRefusedError as error:
            source.counters.reject(error.reason)
            exchange.answer(source.replies.refusals[error.reason])
        except Exception:
            logger.exception("bug in request handling")
            self._counters.refuse("internal")
            exchange.keep = False
            exchange.answer(REFUSAL_REPLIES["internal"])
        else:
            self._put(exchange)

    def _without_event(self, source: Source | None, method: bytes) -> Reply:
        """The reply to a request that is not an event, or cannot be taken now."""
        if source is None:
            self._counters.refuse("not_found")
            return REFUSAL_REPLIES["not_found"]
        refusing = self._buffer.refusing
        if method in source.methods and refusing is not None:
            source.counters.reject(refusing)
            return source.replies.refusals[refusing]
        if method == b"HEAD":  # a link checker; there is no event in it
            return source.replies.stored
        self._counters.refuse("method")
        return method_refusal(source.config.methods)
