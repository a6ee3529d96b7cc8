"""From the configuration to a Kafka sink, or to the sender of a command."""

from __future__ import annotations

from collections.abc import Callable

from ingestd.config.sections import Config
from ingestd.errors import IngestdError
from ingestd.kafka.delivery import Pace
from ingestd.kafka.direct import DirectKafkaSink
from ingestd.kafka.manifest import KafkaManifest
from ingestd.kafka.sender import Sender
from ingestd.kafka.sink import KafkaSink
from ingestd.kafka.state import State
from ingestd.kafka.topics import Topics
from ingestd.kafka.transactions import Transactions
from ingestd.pipeline.sink import CommitResult
from ingestd.spool.spool import Spool
from ingestd.system.tracing import Tracing

# Keys of [kafka] that only a new process takes up.
NEED_RESTART = (
    "delivery", "checkpoint_topic", "manifest_topic", "dead_letter_directory", "linger", "round_bytes",
    "window_bytes", "max_batch_bytes",
)  # fmt: skip


def kafka_sink(
    config: Config, report: Callable[[CommitResult], None], *, node: str, drain_timeout: float,
    tracing: Tracing | None = None,
) -> KafkaSink | DirectKafkaSink:  # fmt: skip
    """The sink that [kafka], [spool] and `ingest.ack` ask for.

    `node`: `<host>/<instance>`. `drain_timeout`: seconds that `close` waits for Kafka.
    """
    kafka, spool, instance = config.kafka, config.spool, config.ingest.instance
    if kafka is None:
        raise IngestdError("the configuration has no [kafka] section")
    name = "ingestd-" + node.replace("/", "-")
    transactional_id = name if kafka.delivery == "exactly_once" else None
    manifest = KafkaManifest(kafka.manifest_topic, node) if kafka.manifest_topic else None
    sender = Sender(
        kafka, Topics.configured(kafka, config.source), client_id=name, instance=instance,
        transactional_id=transactional_id, manifest=manifest, tracing=tracing,
    )  # fmt: skip
    if not spool.enabled:
        return DirectKafkaSink(sender, kafka.direct_timeout)
    sink = KafkaSink(
        sender,
        Spool(spool.directory / instance, max_bytes=spool.max_bytes),
        State(spool.directory, instance, manifest),
        Pace(kafka.linger, kafka.round_bytes, kafka.window_bytes),
        report,
        drain_timeout=drain_timeout,
        transactions=Transactions(sender, kafka, name) if transactional_id is not None else None,
    )
    return sink if config.ingest.ack == "stored" else DirectKafkaSink(sender, kafka.direct_timeout, sink)


def command_sender(config: Config) -> Sender:
    """The sender of `ingestd replay`; its dead letters have files of their own. Raises IngestdError."""
    if config.kafka is None:
        raise IngestdError("the configuration has no [kafka] section to send to")
    topics = Topics.configured(config.kafka, config.source)
    return Sender(config.kafka, topics, client_id="ingestd-replay", instance="replay")
