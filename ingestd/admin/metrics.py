"""Every metric ingestd exposes, declared in this file. Counted per batch or as plain integers; put into
Prometheus' form only when scraped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from ingestd.pipeline.batch_metrics import BatchMetrics, Histogram
from ingestd.pipeline.counters import Counters, SourceCounters

# name -> help, of the gauges and counters that come as one number (the app says where they are read).
GAUGES = {
    "unstored_events": "Events taken and not stored yet: what a crash would lose in queued mode",
    "buffer_bytes": "Bytes of events taken and not stored yet",
    "buffer_max_bytes": "The cap on buffer_bytes; past it new events are refused",
    "ready": "1 while new events are taken",
    "connections": "Open client connections",
    "sources": "Configured sources",
    "wall_clock_seconds": "This machine's clock at the scrape, seconds since the epoch",
    "config_reload_time_seconds": "When the configuration in force was loaded, seconds since the epoch",
    "spill_log_bytes": "Size of nginx' spill log: what was answered while no instance was there",
}
COUNTERS = {
    "commit_failures": "Commits that failed; nothing of their batch counts as stored",
    "commit_stalls": "Commits that took longer than flush.stall_timeout",
    "config_reloads": "Configurations loaded by HUP",
    "config_reload_failures": "Configurations refused at HUP, the old one kept",
    "log_lines_suppressed": "Log lines left out because the same was said too often",
}
FILE_COUNTERS = {
    "files_finished": "Files finished: synced and renamed",
    "file_errors": "File operations besides commits that failed and are tried again",
    "files_recovered": "Files of an earlier process finished at start",
    "files_removed": "Finished files removed by retention",
    "bad_bytes": "Bytes set aside in .bad files because they were no whole event",
    "manifest_mismatches": "Finished files that do not hold what was written to them, found at the manifest",
}
FILE_GAUGES = {"file_open_bytes": "Bytes in the file being written"}
# Of the Kafka sink only; absent where there is none.
KAFKA_GAUGES = {
    "kafka_connected": "1 while there is a connection to Kafka",
    "kafka_waiting_seconds": "How long the present send has waited for Kafka",
    "spool_bytes": "Bytes in the spool that Kafka has not confirmed",
    "spool_disk_bytes": "Bytes the spool takes on disk",
    "spool_max_bytes": "The cap on spool_disk_bytes; past it new events are refused",
    "spool_oldest_age_seconds": "Age of the oldest event Kafka has not confirmed",
    "spool_seconds_to_full": "Seconds until the spool is full at the last minute's pace; else +Inf",
    "spool_damaged_ranges": "Damaged ranges set aside in .bad files",
}
KAFKA_COUNTERS = {
    "kafka_connects": "Connections made to Kafka: one a start, more after trouble",
    "manifest_failures": "Times rows could not be written to the manifest topic; they are tried again",
}
FANOUT_COUNTERS = {
    "file_missed_events": "Events Kafka or the spool has and the files do not, because files failed",
    "kafka_missed_events": "Events the files have and Kafka will not get by itself, because the spool failed",
}
PER_SOURCE: dict[str, tuple[str, Callable[[SourceCounters], float]]] = {
    "events_received": ("Events taken in, and requests to the source refused", lambda a: a.received),
    "duplicates": ("Events marked as repeats by the source's window", lambda a: a.duplicates),
    "events_stored": ("Events made durable", lambda a: a.stored),
    "received_bytes": ("Bytes of events taken in, as they are written", lambda a: a.received_bytes),
    "stored_bytes": ("Bytes of events made durable", lambda a: a.stored_bytes),
    "events_recovered": ("Events of an earlier run taken over from the spool", lambda a: a.recovered),
}


class IngestCollector(Collector):
    """Reads counters, histograms and `numbers` (gauges and counters by their declared names) at a scrape."""

    def __init__(
        self,
        counters: Counters,
        batches: BatchMetrics,
        numbers: Callable[[], dict[str, float]],
        version: str,
        certificates: Callable[[], dict[str, float]] = dict,
    ) -> None:
        self._counters = counters
        self._batches = batches
        self._numbers = numbers
        self._version = version
        self._certificates = certificates

    def collect(self) -> Iterable[Metric]:
        """All metrics, now."""
        yield from self._per_source(list(self._counters.by_source.values()))
        refused = CounterMetricFamily(
            "ingestd_requests_refused", "Requests that were no event of any source", labels=["reason"]
        )
        for reason, count in list(self._counters.refused.items()):
            refused.add_metric([reason], count)
        yield refused
        numbers = self._numbers()
        for name, text in {**GAUGES, **FILE_GAUGES, **KAFKA_GAUGES}.items():
            if name in numbers:
                yield GaugeMetricFamily(f"ingestd_{name}", text, numbers[name])
        for name, text in {**COUNTERS, **FILE_COUNTERS, **KAFKA_COUNTERS, **FANOUT_COUNTERS}.items():
            if name in numbers:
                yield CounterMetricFamily(f"ingestd_{name}", text, numbers[name])
        batches = self._batches
        yield histogram(batches.ack_seconds, "ingestd_ack_seconds", "From request to reply, stored mode")
        yield histogram(batches.commit_seconds, "ingestd_commit_seconds", "Write and fdatasync of a batch")
        yield histogram(batches.batch_events, "ingestd_batch_events", "Events in a batch")
        yield histogram(
            batches.loop_lag_seconds, "ingestd_loop_lag_seconds", "How late a timer of the loop was"
        )
        ends = GaugeMetricFamily(
            "ingestd_certificate_expiry_seconds",
            "When a certificate ends, seconds since the epoch",
            labels=["file"],
        )
        for file, end in self._certificates().items():
            ends.add_metric([file], end)
        yield ends
        info = GaugeMetricFamily("ingestd_build_info", "Version", labels=["version"])
        info.add_metric([self._version], 1)
        yield info

    def _per_source(self, counters: list[SourceCounters]) -> Iterable[Metric]:
        for name, (text, read) in PER_SOURCE.items():
            family = CounterMetricFamily(f"ingestd_{name}", text, labels=["source"])
            for one in counters:
                family.add_metric([one.source], read(one))
            yield family
        spooled = GaugeMetricFamily(
            "ingestd_source_spooled_events",
            "A source's stored events on their way to Kafka",
            labels=["source"],
        )
        unstored = GaugeMetricFamily(
            "ingestd_source_unstored_events", "A source's events taken and not stored yet", labels=["source"]
        )
        rejected = CounterMetricFamily(
            "ingestd_events_rejected", "Events refused, by reason", labels=["source", "reason"]
        )
        macros = CounterMetricFamily(
            "ingestd_macro_unreplaced", "Values that were a macro left in", labels=["source", "param"]
        )
        for one in counters:
            unstored.add_metric([one.source], one.unstored)
            spooled.add_metric([one.source], one.spooled)
            for reason, count in list(one.rejected.items()):
                rejected.add_metric([one.source, reason], count)
            for param, count in list(one.macros.items()):
                macros.add_metric([one.source, param], count)
        yield from (unstored, spooled, rejected, macros)
        yield from self._by_sink(counters)
        yield from _recognition(counters)

    def _by_sink(self, counters: list[SourceCounters]) -> Iterable[Metric]:
        events = CounterMetricFamily(
            "ingestd_events_delivered", "Events that have come to where they stay", labels=["source", "sink"]
        )
        size = CounterMetricFamily(
            "ingestd_delivered_bytes", "Bytes of events delivered", labels=["source", "sink"]
        )
        dead = CounterMetricFamily(
            "ingestd_events_dead_lettered",
            "Events Kafka refused, or their source sets apart",
            labels=["source", "reason"],
        )
        for one in counters:
            for sink, count in list(one.delivered.items()):
                events.add_metric([one.source, sink], count)
                size.add_metric([one.source, sink], one.delivered_bytes[sink])
            for reason, count in list(one.dead_lettered.items()):
                dead.add_metric([one.source, reason], count)
        yield from (events, size, dead)


def _recognition(counters: list[SourceCounters]) -> Iterable[Metric]:
    """Whose the events are, and whether they came before. Only sources that look have a window."""
    signatures = CounterMetricFamily(
        "ingestd_signature", "Signatures by result: ok, bad, missing, expired", labels=["source", "result"]
    )
    held, bound, reach = (
        GaugeMetricFamily(f"ingestd_dedup_window_{name}", text, labels=["source"])
        for name, text in (
            ("events", "Events the window for repeats holds"),
            ("max_events", "Events it can hold; then the oldest is forgotten for each new one"),
            ("reach_seconds", "How far back every repeat is recognised"),
        )
    )
    now_ms = time.time_ns() // 1_000_000
    for one in counters:
        for result, count in list(one.signatures.items()):
            signatures.add_metric([one.source, result], count)
        if (window := one.window) is not None:
            held.add_metric([one.source], window.size)
            bound.add_metric([one.source], window.capacity)
            reach.add_metric([one.source], window.reach(now_ms))
    yield from (signatures, held, bound, reach)


def histogram(counted: Histogram, name: str, text: str) -> HistogramMetricFamily:
    """A histogram in Prometheus' form, in which the buckets are cumulative."""
    total, buckets = 0, []
    for bound, count in zip((*map(str, map(float, counted.bounds)), "+Inf"), counted.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    metric = HistogramMetricFamily(name, text)
    metric.add_metric([], buckets, counted.sum)
    return metric


def exposition(collector: Collector) -> bytes:
    """The text a Prometheus server reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    text: Any = generate_latest(registry)
    return bytes(text)
