"""Which sinks a configuration asks for."""

from __future__ import annotations

import time

from ingestd import __version__
from ingestd.config.sections import Config, FileConfig
from ingestd.errors import ConfigError, IngestdError, Problem
from ingestd.file.sink import FileSink
from ingestd.pipeline.counters import Counters
from ingestd.pipeline.fanout import Both
from ingestd.pipeline.quarantine import Aside
from ingestd.pipeline.sink import Sink
from ingestd.pipeline.traced import Traced
from ingestd.system import tracing
from ingestd.system.tracing import Tracing

# Of the time to drain, the share Kafka is waited for; the rest is for what comes before and after.
DRAIN_SHARE = 0.7


def build(config: Config, counters: Counters, node: str) -> Sink:
    """The sink, or both as one. aiokafka and OpenTelemetry are only loaded where they are used.

    Raises ConfigError where OpenTelemetry is wanted and not installed.
    """
    spans = _tracing(config, node)
    sink = _untraced(config, counters, node, spans)
    return sink if spans is None else Traced(sink, spans)


def _tracing(config: Config, node: str) -> Tracing | None:
    settings = config.tracing
    if not settings.endpoint:
        return None
    if not tracing.installed():
        problem = Problem("tracing.endpoint", tracing.MISSING, tracing.HINT)
        raise ConfigError("the configuration", [problem])
    return Tracing(settings.endpoint, settings.sample, node, __version__)


def _untraced(config: Config, counters: Counters, node: str, spans: Tracing | None) -> Sink:
    ingest = config.ingest
    sinks: list[Sink] = []
    if config.file is not None:
        sinks.append(FileSink(config.file, ingest.instance, time.monotonic, time.time))
    if config.kafka is not None:
        from ingestd.kafka.sink import KafkaSink

        sinks.append(
            KafkaSink(
                config.kafka,
                config.spool,
                _topics(config),
                counters.record,
                instance=ingest.instance,
                node=node,
                acks=ingest.ack == "stored",
                patience=DRAIN_SHARE * ingest.drain_timeout,
                tracing=spans,
            )
        )
    sink = sinks[0] if len(sinks) == 1 else Both(sinks, config.flush.stall_timeout, counters.record)
    if not _sets_aside(config):
        return sink
    return Aside(sink, FileSink(_letters(config), ingest.instance, time.monotonic, time.time))


def _sets_aside(config: Config) -> bool:
    return any(source.on_bad_signature == "dead_letter" for source in config.source)


def _letters(config: Config) -> FileConfig:
    """Dead letters beside the events, or where Kafka's are; rotated and kept as the events are."""
    file = config.file or FileConfig()
    if config.file is not None or config.kafka is None:
        directory = file.directory / "dead"
    else:
        directory = config.kafka.dead_letter_directory
    return file.model_copy(update={"directory": directory, "prefix": f"{file.prefix}-unsigned"})


def renew(sink: Sink, config: Config) -> None:
    """Have a Kafka sink take up the sources' topics, where it connects and how, with the secrets of now.

    Raises ConfigError where the secrets cannot be read; then nothing has changed.
    """
    if config.kafka is None:
        return
    from ingestd.kafka.producer import connection_options
    from ingestd.kafka.sink import KafkaSink

    try:
        connection_options(config.kafka)
    except IngestdError as error:
        raise ConfigError("the configuration", [Problem("kafka.security", str(error))]) from error
    while isinstance(sink, Aside | Traced):
        sink = sink.sink
    for one in [leg.sink for leg in sink.legs] if isinstance(sink, Both) else [sink]:
        if isinstance(one, KafkaSink):
            one.renew(config.kafka, _topics(config))


def need_restart(old: Config, new: Config) -> list[str]:
    """What has changed and is only taken up by a new process."""
    changed = [
        name for name in Config.model_fields
        if name not in ("source", "kafka", "admin") and getattr(old, name) != getattr(new, name)
    ]  # fmt: skip
    if old.admin.listen != new.admin.listen:
        changed.append("admin.listen")
    if _sets_aside(new) and not _sets_aside(old):
        changed.append("source.on_bad_signature")
    if old.kafka is None or new.kafka is None:
        return changed + (["kafka"] if old.kafka is not new.kafka else [])
    from ingestd.kafka.sink import NEED_RESTART

    keys = [name for name in NEED_RESTART if getattr(old.kafka, name) != getattr(new.kafka, name)]
    return changed + [f"kafka.{name}" for name in keys]


def _topics(config: Config) -> dict[str, str]:
    return {source.name: source.topic for source in config.source if source.topic}
