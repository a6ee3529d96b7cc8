"""What a daemon says at /metrics, as the benchmark reads it."""

from __future__ import annotations

import math

from bench.measure import inside
from bench.scrape import Histogram, between, parse, total
from ingestd.admin.metrics import IngestCollector, exposition
from ingestd.pipeline.batch_metrics import BatchMetrics
from ingestd.pipeline.counters import Counters

LAG = "ingestd_loop_lag_seconds"


def said(metrics: BatchMetrics, counters: Counters | None = None) -> dict[str, float]:
    """The daemon's own exposition, parsed."""
    collector = IngestCollector(counters or Counters(), metrics, dict, "0")
    return parse(exposition(collector).decode())


def test_only_what_came_between_two_scrapes_counts() -> None:
    """A pause from before the load is not the load's."""
    metrics = BatchMetrics()
    metrics.loop_lag_seconds.observe(0.2)
    before = said(metrics)
    metrics.loop_lag_seconds.observe(0.0001, times=99)
    metrics.loop_lag_seconds.observe(0.007)
    found = between([before], [said(metrics)], LAG)
    assert found.total == 100
    assert found.quantile(0.99) == 0.0005
    assert found.quantile(1.0) == 0.01
    assert found.above(0.01) == 0


def test_pauses_of_all_instances_are_added() -> None:
    """Two daemons, each with one pause in another bucket."""
    first, second = BatchMetrics(), BatchMetrics()
    before = [said(first), said(second)]
    first.loop_lag_seconds.observe(0.015)
    second.loop_lag_seconds.observe(20.0)
    found = between(before, [said(first), said(second)], LAG)
    assert found.total == 2
    assert found.above(0.01) == 2
    assert found.quantile(1.0) == math.inf


def test_a_pause_of_just_ten_milliseconds_is_not_over_ten() -> None:
    """A bucket's bound belongs to the bucket."""
    metrics = BatchMetrics()
    metrics.loop_lag_seconds.observe(0.01)
    assert between([], [said(metrics)], LAG).above(0.01) == 0


def test_without_metrics_there_is_nothing_and_no_zero() -> None:
    """A contender that says nothing must not look like one without pauses."""
    assert inside([], []) == {}
    assert between([], [], LAG).total == 0


def test_batches_and_commits_are_means_over_the_load() -> None:
    """Events a commit and milliseconds a commit, beside the pauses."""
    metrics = BatchMetrics()
    metrics.batch_events.observe(1000)
    before = said(metrics)
    metrics.loop_lag_seconds.observe(0.0001)
    for events, seconds in ((10, 0.001), (30, 0.003)):
        metrics.batch_events.observe(events)
        metrics.commit_seconds.observe(seconds)
    found = inside([before], [said(metrics)])
    assert found["batch_events"] == 20
    assert round(found["commit_ms"], 6) == 2
    assert found["loop_ms"] == 0.5


def test_a_total_is_taken_over_the_labels() -> None:
    """Sources are labels; a name that only begins alike is another metric."""
    counters = Counters()
    counters.of("a").received, counters.of("b").received = 3, 4
    assert total(said(BatchMetrics(), counters), "ingestd_events_received_total") == 7


def test_a_histogram_that_counted_nothing_has_no_mean() -> None:
    """No division by zero."""
    assert Histogram((math.inf,), (0.0,), 0.0).mean == 0.0
