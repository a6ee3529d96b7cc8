"""The connection to Kafka, retried for as long as it takes. Every wait is bounded or can be cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar, cast

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, KafkaError, KafkaTimeoutError
from aiokafka.helpers import create_ssl_context

from ingestd.config import secrets
from ingestd.config.kafka import KafkaConfig, KafkaSecurityConfig
from ingestd.errors import IngestdError
from ingestd.kafka.aiokafka_internals import kill
from ingestd.kafka.deadline import within

logger = logging.getLogger(__name__)
T = TypeVar("T")

START_TIMEOUT = 15.0
STOP_TIMEOUT = 3.0
FIRST_BACKOFF, LAST_BACKOFF = 0.25, 5.0
# The errors of a producer. Where a transaction has failed it says of the next step that none is open, which
# is not a KafkaError, or asserts its state.
PRODUCER_ERRORS = (KafkaError, IllegalOperation, AssertionError)
# aiokafka's sequence numbers wrap wrongly after 2^31 records of a partition: every later batch fails.
MAX_RECORDS = 1 << 30


def connection_options(settings: KafkaConfig) -> dict[str, Any]:
    """The options by which producers and consumers connect: servers, TLS, SASL. Reads the secret files.

    Raises IngestdError where a file cannot be read.
    """
    security = settings.security
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.bootstrap),
        "security_protocol": security.protocol,
        "request_timeout_ms": int(settings.request_timeout * 1000),
        "retry_backoff_ms": 250,
        "metadata_max_age_ms": 60_000,
    }
    if security.protocol.endswith("SSL"):
        options["ssl_context"] = _tls(security)
    if security.protocol.startswith("SASL"):
        options["sasl_mechanism"] = security.mechanism
        # KafkaSecurity is not made without them.
        options["sasl_plain_username"] = _secret(cast("Path", security.username_file))
        options["sasl_plain_password"] = _secret(cast("Path", security.password_file))
    return options


def _secret(path: Path) -> str:
    try:
        return secrets.read(path)[0].reveal().decode()
    except UnicodeDecodeError:  # from None: the error holds the secret
        raise IngestdError(f"{path}: not valid UTF-8") from None


def _tls(security: KafkaSecurityConfig) -> ssl.SSLContext:
    files = {}
    for option, key in (("cafile", "ca_file"), ("certfile", "cert_file"), ("keyfile", "key_file")):
        path: Path | None = getattr(security, key)
        if path is not None:
            files[option] = str(path)
    try:
        context: ssl.SSLContext = create_ssl_context(**files)
    except (OSError, ssl.SSLError) as error:
        raise IngestdError(f"kafka.security: TLS files: {error}") from error
    context.check_hostname = security.check_hostname
    return context


class Client:
    """Keeps one started producer.

    `error`: why it has no producer, in words; "" while it has one. `connects`: how often one was started.
    `stale`: the settings differ from those the producer was started with.
    """

    def __init__(self, settings: KafkaConfig, client_id: str, transactional_id: str | None = None) -> None:
        self._settings = settings
        self._client_id = client_id
        self._transactional_id = transactional_id
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._records = 0
        self.error = "not connected yet"
        self.connects = 0
        self.stale = False

    def renew(self, settings: KafkaConfig) -> None:
        """Connect with these settings, and the secrets as they are now, before the next round.

        A round that Kafka does not answer discards its producer: the old password may be the reason.
        """
        self._settings = settings
        self.stale = True

    async def fresh(self) -> AIOKafkaProducer:
        """The producer for a round that begins, when nothing of an earlier round is under way.

        A new one where the settings have changed, or where the present one has sent MAX_RECORDS.
        """
        if self.stale:
            await self.discard("connecting with new settings")
        elif self._records >= MAX_RECORDS:
            await self.discard("renewed")
        return await self.producer()

    async def producer(self) -> AIOKafkaProducer:
        """The producer, started; waits until Kafka is reachable."""
        if self._producer is not None:
            return self._producer
        async with self._starting:  # two of one transactional id would fence each other
            backoff = FIRST_BACKOFF
            while self._producer is None:
                try:
                    self._producer = await self._start()
                except (KafkaError, OSError, TimeoutError, IngestdError) as error:
                    self._cannot(str(error) or type(error).__name__)
                    await asyncio.sleep(backoff * random.uniform(0.7, 1.3))  # noqa: S311 (a jitter, no secret)
                    backoff = min(backoff * 2, LAST_BACKOFF)
            return self._producer

    def _cannot(self, reason: str) -> None:
        if reason != self.error:
            logger.error("kafka is unreachable, retrying", extra={"error": reason})
        self.error = reason

    async def _start(self) -> AIOKafkaProducer:
        settings, self.stale = self._settings, False
        producer = AIOKafkaProducer(
            client_id=self._client_id,
            acks="all",
            enable_idempotence=True,
            transactional_id=self._transactional_id,
            max_batch_size=settings.max_batch_bytes,
            max_request_size=max(settings.max_batch_bytes, 1 << 20) + (1 << 16),
            linger_ms=0,
            **connection_options(settings),
        )
        try:
            await within(producer.start(), START_TIMEOUT)
        except BaseException:
            await kill(producer)
            raise
        self.error = ""
        self._records = 0
        self.connects += 1
        logger.info("connected to kafka", extra={"bootstrap": ",".join(settings.bootstrap)})
        return producer

    async def discard(self, reason: str) -> None:
        """End the producer at once; the next one starts with the secrets as they are then."""
        producer, self._producer = self._producer, None
        self.error = reason
        if producer is not None:
            await kill(producer)

    def count(self, records: int) -> None:
        """Count records that were sent. Their transaction may be open, so only the next round renews."""
        self._records += records

    async def wait_for(self, work: Awaitable[T]) -> T:
        """Await `work` for as long as it takes, but not past new settings. Raises KafkaTimeoutError then."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=self.request_timeout)
                if self.stale and not task.done():
                    raise KafkaTimeoutError("given up for new settings")
            return task.result()
        finally:
            task.cancel()

    @property
    def transactional(self) -> bool:
        """Whether batches are sent in transactions."""
        return self._transactional_id is not None

    @property
    def compression(self) -> str:
        """The method that compresses batches: none, gzip, snappy, lz4 or zstd."""
        return self._settings.compression

    @property
    def request_timeout(self) -> float:
        """Seconds without an answer after which the cluster is asked what it has."""
        return self._settings.request_timeout


async def stop(consumer: Any) -> None:
    """Stop a consumer, within STOP_TIMEOUT seconds."""
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        await within(consumer.stop(), STOP_TIMEOUT)
