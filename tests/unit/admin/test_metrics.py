"""Histograms filled many at a time, and the text a Prometheus server reads."""

from __future__ import annotations

import random

import pytest

from ingestd.admin import metrics
from ingestd.event import Entry
from ingestd.pipeline.batch_metrics import BatchMetrics, Histogram
from ingestd.pipeline.counters import SourceCounters
from tests.support.fakes import FakeEntry

NOW = 1_718_000_000_000_000_000


def batch(*ages_ns: int) -> list[Entry]:
    """Entries received so long before now, the oldest first as they come."""
    source = SourceCounters("demo")
    return [FakeEntry(b"x", source, 1, NOW - age) for age in ages_ns]


@pytest.mark.parametrize("seed", range(30))
def test_a_batch_is_counted_as_its_entries_one_by_one_would_be(seed: int) -> None:
    dice = random.Random(seed)
    ages = sorted((int(10 ** dice.uniform(3, 11)) for _ in range(dice.randint(1, 200))), reverse=True)
    ages += [500_000] * dice.randint(0, 3) + [0]
    ages.sort(reverse=True)
    together, single = BatchMetrics().ack_seconds, BatchMetrics().ack_seconds
    together.observe_batch(batch(*ages), NOW)
    for age in ages:
        single.observe(age / 1e9)
    assert together.counts == single.counts
    assert together.sum == pytest.approx(single.sum)


def test_a_clock_that_was_set_back_loses_no_entry() -> None:
    histogram = BatchMetrics().ack_seconds
    histogram.observe_batch(batch(5_000_000, -3_000_000_000, 1_000, -7, 9_000_000_000), NOW)
    assert sum(histogram.counts) == 5
    assert histogram.sum >= 0


@pytest.mark.parametrize(("value", "bucket"), [(0.0, 0), (1.0, 0), (1.1, 1), (2.0, 1), (5.0, 2), (5.1, 3)])
def test_a_bound_belongs_to_its_bucket(value: float, bucket: int) -> None:
    histogram = Histogram((1.0, 2.0, 5.0))
    histogram.observe(value, times=3)
    assert histogram.counts[bucket] == 3
    assert histogram.sum == pytest.approx(3 * value)


def test_a_scraped_histogram_is_cumulative_and_ends_with_all() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.5, 1.7, 9.0):
        histogram.observe(value)
    family = metrics.histogram(histogram, "x_seconds", "text")
    assert [(one.labels["le"], one.value) for one in family.samples if one.name == "x_seconds_bucket"] == [
        ("1.0", 1.0), ("2.0", 3.0), ("+Inf", 4.0),
    ]  # fmt: skip
