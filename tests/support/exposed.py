"""The metrics that a daemon exposes, without one."""

from __future__ import annotations

from ingestd.admin import metrics
from ingestd.pipeline.batch_metrics import BatchMetrics
from ingestd.pipeline.counters import Counters


def exposed_metrics() -> dict[str, str]:
    """The help text of every metric, by the name that Prometheus sees."""
    everything = {
        name: 0.0 for group in (metrics.GAUGES, metrics.FILE_GAUGES, metrics.KAFKA_GAUGES) for name in group
    }
    for group in (metrics.COUNTERS, metrics.FILE_COUNTERS, metrics.KAFKA_COUNTERS, metrics.FANOUT_COUNTERS):
        everything.update(dict.fromkeys(group, 0.0))
    counters = Counters()
    counters.of("any")
    collector = metrics.IngestCollector(counters, BatchMetrics(), lambda: everything, "0")
    return {
        family.name + ("_total" if family.type == "counter" else ""): family.documentation
        for family in collector.collect()
    }
