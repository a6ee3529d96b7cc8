"""The metrics and the status of a Kafka sink and its spool."""

from __future__ import annotations

import time

from ingestd.kafka.sender import Sender
from ingestd.pipeline.sink import Snapshot
from ingestd.spool.spool import Spool
from ingestd.spool.trend import Trend


class KafkaGauges:
    """Reads the parts of one sink; `spool`: None where it has none."""

    def __init__(self, sender: Sender, spool: Spool | None) -> None:
        self._sender = sender
        self._spool = spool
        self._filling = Trend()

    def tick(self) -> None:
        """About once a second: measure how fast the spool fills."""
        if self._spool is not None:
            self._filling.add(time.monotonic(), self._spool.bytes_used)

    def snapshot(self, name: str, fatal: str, error: str) -> Snapshot:
        """`fatal`: why no commit can succeed. `error`: why nothing is delivered, for /status."""
        gauges = self._gauges()
        status = {key: value for key, value in gauges.items() if value != float("inf")}
        return Snapshot(fatal, gauges | self._counters(), {name: {"error": error, **status}})

    def _gauges(self) -> dict[str, float]:
        """Values by the names of `metrics.KAFKA_GAUGES`."""
        since, spool = self._sender.waiting_since, self._spool
        gauges = {
            "kafka_connected": float(not self._sender.client.error),
            "kafka_waiting_seconds": time.monotonic() - since if since is not None else 0.0,
        }
        if spool is not None:
            oldest = spool.oldest_ms
            gauges |= {
                "spool_bytes": spool.backlog_bytes,
                "spool_disk_bytes": spool.bytes_used,
                "spool_max_bytes": spool.max_bytes,
                "spool_oldest_age_seconds": max(0.0, time.time() - oldest / 1000) if oldest else 0.0,
                "spool_seconds_to_full": self._filling.seconds_to(spool.max_bytes),
                "spool_damaged_ranges": spool.damaged,
            }
        return gauges

    def _counters(self) -> dict[str, float]:
        """Values by the names of `metrics.KAFKA_COUNTERS`."""
        manifest = self._sender.manifest
        failures = manifest.failures if manifest is not None else 0
        return {"kafka_connects": self._sender.client.connects, "manifest_failures": failures}
