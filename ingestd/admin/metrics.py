"""Every metric of ingestd, declared here. Plain numbers until a scrape puts them into Prometheus' format.

The help texts are those of conf/README.md; a test compares them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from ingestd.pipeline.batch_metrics import BatchMetrics, Histogram
from ingestd.pipeline.counters import Counters, SourceCounters
from ingestd.sources.dedup_window import DuplicateWindow

# Name (without `ingestd_`) to help text, for gauges and counters without labels. Where they are read:
# `Endpoints.numbers`.
GAUGES = {
    "unstored_events": "Events received and not stored yet: what a crash loses in queued mode",
    "buffer_bytes": "Bytes of events received and not stored yet",
    "buffer_max_bytes": "The cap on ingestd_buffer_bytes; above it new events are refused (back-pressure)",
    "ready": "1 while new events are taken",
    "connections": "Open client connections",
    "unfinished_bytes": "Bytes of requests that have not come whole; above ingest.max_unfinished: 503",
    "sources": "Configured sources",
    "wall_clock_seconds": "This machine's clock at the scrape, Unix time",
    "config_reload_time_seconds": "When the configuration in force was loaded, Unix time",
    "spill_log_bytes": "Size of nginx' spill log: requests answered while every instance was down",
}
COUNTERS = {
    "commit_failures": "Failed commits; nothing of their batch counts as stored",
    "commit_stalls": "Commits that took longer than flush.stall_timeout",
    "config_reloads": "Configurations loaded by SIGHUP",
    "config_reload_failures": "Configurations refused at SIGHUP; the old one stays in force",
    "log_lines_suppressed": "Log lines left out because the same line came too often",
    "log_lines_dropped": "Log lines dropped because nobody read stderr",
}
FILE_COUNTERS = {
    "files_finished": "Files finished: synced and renamed",
    "file_errors": "Failed file operations other than commits; they are retried",
    "files_recovered": "Files of an earlier process that were finished at start",
    "files_removed": "Finished files removed by retention",
    "bad_bytes": "Bytes quarantined in .bad files because they were not a whole event",
    "manifest_mismatches": "Finished files that do not hold what was written to them",
}
FILE_GAUGES = {"file_open_bytes": "Bytes in the file that is being written"}
# Only with a Kafka sink.
KAFKA_GAUGES = {
    "kafka_connected": "1 while there is a connection to Kafka",
    "kafka_waiting_seconds": "How long the present send has waited for Kafka",
    "spool_bytes": "Bytes in the spool that Kafka has not confirmed",
    "spool_disk_bytes": "Bytes the spool takes on disk",
    "spool_max_bytes": "The cap on ingestd_spool_disk_bytes; above it new events are refused",
    "spool_oldest_age_seconds": "Age of the oldest event Kafka has not confirmed",
    "spool_seconds_to_full": "Seconds until the spool is full at the last minute's pace, else +Inf",
    "spool_damaged_ranges": "Damaged ranges quarantined in .bad files",
}
KAFKA_COUNTERS = {
    "kafka_connects": "Connections made to Kafka: one at start, more after an error",
    "manifest_failures": "Failed writes of rows to the manifest topic; they are retried",
}
FANOUT_COUNTERS = {
    "file_missed_events": "With both sinks: events that Kafka or the spool has and the files do not",
    "kafka_missed_events": "With both sinks: events the files have and Kafka does not get by itself",
}
PER_SOURCE: dict[str, tuple[str, Callable[[SourceCounters], float]]] = {
    "events_received": ("Events received, and refused requests to the source", lambda one: one.received),
    "duplicates": ("Events that the source's duplicate window marked as repeats", lambda one: one.duplicates),
    "events_stored": ("Events made durable", lambda one: one.stored),
    "received_bytes": ("Bytes of received events, as they are written", lambda one: one.received_bytes),
    "stored_bytes": ("Bytes of events made durable", lambda one: one.stored_bytes),
    "events_recovered": (
        "Events of an earlier run, taken over from the spool",
        lambda one: one.recovered,
    ),
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
        windows: Callable[[], Mapping[str, DuplicateWindow]] = dict,
    ) -> None:
        self._counters = counters
        self._batches = batches
        self._numbers = numbers
        self._version = version
        self._certificates = certificates
        self._windows = windows

    def collect(self) -> Iterable[Metric]:
        """Yield all metric families with their present values."""
        yield from self._per_source(list(self._counters.by_source.values()))
        refused = CounterMetricFamily(
            "ingestd_requests_refused",
            "Requests that were not an event of any source, by reason",
            labels=["reason"],
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
        yield histogram(
            batches.ack_seconds, "ingestd_ack_seconds", "From request to response, in stored mode"
        )
        yield histogram(batches.commit_seconds, "ingestd_commit_seconds", "Write and fdatasync of a batch")
        yield histogram(batches.batch_events, "ingestd_batch_events", "Events in a batch")
        yield histogram(
            batches.loop_lag_seconds, "ingestd_loop_lag_seconds", "How late a timer of the event loop was"
        )
        ends = GaugeMetricFamily(
            "ingestd_certificate_expiry_seconds",
            "When a certificate expires, Unix time, by file",
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
            "Stored events that are on their way to Kafka",
            labels=["source"],
        )
        unstored = GaugeMetricFamily(
            "ingestd_source_unstored_events", "Events received and not stored yet", labels=["source"]
        )
        rejected = CounterMetricFamily(
            "ingestd_events_rejected", "Refused events, by reason", labels=["source", "reason"]
        )
        macros = CounterMetricFamily(
            "ingestd_macro_unreplaced",
            "Values that were a left-in macro, by parameter",
            labels=["source", "param"],
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
        yield from _recognition(counters, self._windows())

    def _by_sink(self, counters: list[SourceCounters]) -> Iterable[Metric]:
        events = CounterMetricFamily(
            "ingestd_events_delivered",
            "Events that have reached their final place, by sink",
            labels=["source", "sink"],
        )
        size = CounterMetricFamily(
            "ingestd_delivered_bytes", "Bytes of delivered events, by sink", labels=["source", "sink"]
        )
        dead = CounterMetricFamily(
            "ingestd_events_dead_lettered",
            "Events Kafka refused, or their source quarantined, by reason",
            labels=["source", "reason"],
        )
        for one in counters:
            for sink, count in list(one.delivered.items()):
                events.add_metric([one.source, sink], count)
                size.add_metric([one.source, sink], one.delivered_bytes[sink])
            for reason, count in list(one.dead_lettered.items()):
                dead.add_metric([one.source, reason], count)
        yield from (events, size, dead)


def _recognition(counters: list[SourceCounters], windows: Mapping[str, DuplicateWindow]) -> Iterable[Metric]:
    """Signatures and duplicate windows. Only sources with a window have series of it."""
    signatures = CounterMetricFamily(
        "ingestd_signature", "Signatures by result: ok, bad, missing, expired", labels=["source", "result"]
    )
    held, bound, reach = (
        GaugeMetricFamily(f"ingestd_dedup_window_{name}", text, labels=["source"])
        for name, text in (
            ("events", "Events the duplicate window holds"),
            ("max_events", "Events it can hold; above that each new one displaces the oldest"),
            ("reach_seconds", "How far back every repeat is recognised"),
        )
    )
    now_ms = time.time_ns() // 1_000_000
    for one in counters:
        for result, count in list(one.signatures.items()):
            signatures.add_metric([one.source, result], count)
    for source, window in windows.items():
        held.add_metric([source], window.size)
        bound.add_metric([source], window.capacity)
        reach.add_metric([source], window.reach(now_ms))
    yield from (signatures, held, bound, reach)


def histogram(counted: Histogram, name: str, text: str) -> HistogramMetricFamily:
    """A histogram in Prometheus' format, in which the buckets are cumulative. `text`: its help."""
    total, buckets = 0, []
    for bound, count in zip((*map(str, map(float, counted.bounds)), "+Inf"), counted.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    metric = HistogramMetricFamily(name, text)
    metric.add_metric([], buckets, counted.sum)
    return metric


def exposition(collector: Collector) -> bytes:
    """All metrics in Prometheus' text format 0.0.4, UTF-8."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    ProcessCollector(registry=registry)  # process_cpu_seconds_total, process_resident_memory_bytes, ...
    text: Any = generate_latest(registry)
    return bytes(text)
