"""From the configuration to the sink: files, Kafka, or both, and the quarantine in front of them."""

from __future__ import annotations

import time

from ingestd.config.sections import Config, FileConfig
from ingestd.errors import ConfigError, IngestdError, Problem
from ingestd.file.sink import FileSink
from ingestd.pipeline.counters import Counters
from ingestd.pipeline.fanout import Fanout
from ingestd.pipeline.quarantine import Quarantine
from ingestd.pipeline.sink import Sink
from ingestd.system.tracing import Tracing

# Share of `ingest.drain_timeout` that the last delivery to Kafka may take; the rest is for the other steps.
DRAIN_SHARE = 0.7


def build(config: Config, counters: Counters, node: str, tracing: Tracing | None = None) -> Sink:
    """The sink a configuration asks for; several of them as one. aiokafka is only imported if it is used.

    `node`: `<host>/<instance>`.
    """
    ingest = config.ingest
    sinks: list[Sink] = []
    if config.file is not None:
        sinks.append(FileSink(config.file, ingest.instance, time.monotonic, time.time))
    if config.kafka is not None:
        from ingestd.kafka.factory import kafka_sink

        drain_timeout = DRAIN_SHARE * ingest.drain_timeout
        sinks.append(
            kafka_sink(config, counters.record, node=node, drain_timeout=drain_timeout, tracing=tracing)
        )
    sink = sinks[0] if len(sinks) == 1 else Fanout(sinks, config.flush.stall_timeout, counters.record)
    if not _quarantines(config):
        return sink
    dead_letters = FileSink(_dead_letter_files(config), ingest.instance, time.monotonic, time.time)
    return Quarantine(sink, dead_letters)


def _quarantines(config: Config) -> bool:
    return any(source.on_bad_signature == "dead_letter" for source in config.source)


def _dead_letter_files(config: Config) -> FileConfig:
    """Dead letters below the event files, or with Kafka's; the same rotation and retention as the events."""
    file = config.file or FileConfig()
    if config.file is not None or config.kafka is None:
        directory = file.directory / "dead"
    else:
        directory = config.kafka.dead_letter_directory
    return file.model_copy(update={"directory": directory, "prefix": f"{file.prefix}-unsigned"})


def reconfigure(sink: Sink, config: Config) -> None:
    """Give a Kafka sink its new settings, the sources' topics and the present content of its secret files.

    Raises ConfigError if a secret cannot be read; then nothing has changed.
    """
    if config.kafka is None:
        return
    from ingestd.kafka.direct import DirectKafkaSink
    from ingestd.kafka.producer import connection_options
    from ingestd.kafka.sink import KafkaSink
    from ingestd.kafka.topics import Topics

    try:
        connection_options(config.kafka)
    except IngestdError as error:
        raise ConfigError("the configuration", [Problem("kafka.security", str(error))]) from error
    if isinstance(sink, Quarantine):
        sink = sink.sink
    for one in [branch.sink for branch in sink.branches] if isinstance(sink, Fanout) else [sink]:
        if isinstance(one, KafkaSink | DirectKafkaSink):
            one.reconfigure(config.kafka, Topics.configured(config.kafka, config.source))


def need_restart(old: Config, new: Config) -> list[str]:
    """The sections and keys that differ and only take effect in a new process."""
    changed = [
        name for name in Config.model_fields
        if name not in ("source", "kafka", "admin") and getattr(old, name) != getattr(new, name)
    ]  # fmt: skip
    if old.admin.listen != new.admin.listen:
        changed.append("admin.listen")
    if _quarantines(new) and not _quarantines(old):
        changed.append("source.on_bad_signature")
    if old.kafka is None or new.kafka is None:
        return changed + (["kafka"] if old.kafka is not new.kafka else [])
    from ingestd.kafka.factory import NEED_RESTART

    keys = [name for name in NEED_RESTART if getattr(old.kafka, name) != getattr(new.kafka, name)]
    return changed + [f"kafka.{name}" for name in keys]
