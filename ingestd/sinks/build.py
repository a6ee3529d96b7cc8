"""Which sinks a configuration asks for."""

from __future__ import annotations

import time

from ingestd.accounts import Accounts
from ingestd.config import Config
from ingestd.sinks.base import Sink
from ingestd.sinks.both import Both
from ingestd.sinks.file import FileSink


def build(config: Config, accounts: Accounts, node: str) -> Sink:
    """The sink, or both as one. aiokafka is only loaded where it is used."""
    ingest = config.ingest
    sinks: list[Sink] = []
    if config.file is not None:
        sinks.append(FileSink(config.file, ingest.instance, time.monotonic, time.time))
    if config.kafka is not None:
        from ingestd.sinks.kafka import KafkaSink

        topics = {source.name: source.topic for source in config.source if source.topic}
        acks = ingest.ack == "stored"
        sinks.append(
            KafkaSink(
                config.kafka, config.spool, topics, accounts, instance=ingest.instance, node=node, acks=acks
            )
        )
    return sinks[0] if len(sinks) == 1 else Both(sinks, config.flush.stall_timeout)
