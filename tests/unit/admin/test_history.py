"""The last hour in memory: what it holds, and that it never holds more."""

from __future__ import annotations

import math
import random

import pytest

from ingestd.admin import history as module
from ingestd.admin.counter_totals import COLUMNS
from ingestd.admin.history import BUSIEST, SLOTS, History, quantile
from ingestd.admin.source_history import SNAPSHOT_SECONDS, SNAPSHOTS
from ingestd.http.responses import REFUSALS
from ingestd.pipeline.batch_metrics import BatchMetrics
from ingestd.pipeline.counters import Counters, SourceCounters

AT = {name: index for index, name in enumerate(COLUMNS)}


class Daemon:
    """Counters and a clock, moved by the test."""

    def __init__(self, *names: str) -> None:
        self.counters = Counters()
        for name in names:
            self.counters.of(name)
        self.batches = BatchMetrics()
        self.numbers: dict[str, float] = {"buffer_bytes": 0.0, "buffer_max_bytes": 1000.0}
        self.essential: dict[str, frozenset[str]] = {}
        self.seconds = 100.0
        self.breaks = 0
        self.history = History(
            self.counters, self.batches, lambda: self.numbers, lambda: self.essential,
            lambda: self.seconds, lambda: 1_700_000_000 + self.seconds, self.rest,
        )  # fmt: skip

    async def rest(self, seconds: float) -> None:
        self.breaks += 1

    def __getitem__(self, name: str) -> SourceCounters:
        return self.counters.of(name)

    def stored(self, name: str, count: int) -> None:
        self[name].received += count
        self[name].unstored += count
        self[name].settle(count, 100 * count, None)

    async def look(self, seconds: float = 5.0) -> None:
        self.seconds += seconds
        await self.history.look()


async def test_a_slot_holds_rates_a_second_and_the_largest_of_a_gauge() -> None:
    daemon = Daemon("a", "b")
    daemon.stored("a", 50)
    daemon.numbers["buffer_bytes"] = 900.0
    await daemon.look(2)
    daemon.numbers["buffer_bytes"] = 10.0
    daemon["b"].reject("overload")
    daemon.counters.refuse("not_found")
    await daemon.look(3)
    tree = daemon.history.tree(0)
    assert (tree["first"], tree["slot"]) == (0, 1)
    assert tree["series"]["events"] == [pytest.approx(51 / 5)]
    assert tree["series"]["stored"] == [10.0]
    assert tree["series"]["buffer_bytes"] == [900.0]
    assert tree["series"]["spool_disk_bytes"] == [None]
    assert tree["refused"] == {"overload": [pytest.approx(0.2)], "not_found": [pytest.approx(0.2)]}
    assert tree["busiest"] == [[["a", 10.0], ["b", 0.2]]]
    assert tree["times"] == [1_700_000_105.0]


async def test_a_page_that_has_slots_is_given_the_newer_ones_only() -> None:
    daemon = Daemon("a")
    for number in range(4):
        daemon.stored("a", 5 * number)
        await daemon.look()
    assert daemon.history.tree(0)["series"]["events"] == [0, 1, 2, 3]
    assert daemon.history.tree(3)["series"]["events"] == [3]
    assert daemon.history.tree(4)["series"]["events"] == []
    assert daemon.history.tree(99)["first"] == 99


async def test_after_an_hour_the_oldest_slot_makes_room() -> None:
    daemon = Daemon("a")
    for number in range(SLOTS + 10):
        daemon.stored("a", 5 if number == 5 else 0)
        if number == 5:
            daemon["a"].reject("overload")
        await daemon.look()
    tree = daemon.history.tree(0)
    assert (tree["first"], tree["slot"], len(tree["times"])) == (10, SLOTS + 10, SLOTS)
    assert not any(tree["series"]["events"])
    assert not any(tree["refused"]["overload"]), "the slot was used again, and what it held is gone"


async def test_replies_times_are_those_of_the_slot() -> None:
    daemon = Daemon("a")
    daemon.batches.ack_seconds.observe(0.0015, 99)
    await daemon.look()
    daemon.batches.ack_seconds.observe(0.3, 100)
    await daemon.look()
    await daemon.look()
    assert daemon.history.tree(0)["series"]["p50"] == [
        pytest.approx(0.0015, abs=0.0005), pytest.approx(0.375, abs=0.13), None,
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(seed: int) -> None:
    dice = random.Random(seed)
    values = sorted(10 ** dice.uniform(-4, 0.9) for _ in range(dice.randint(1, 300)))
    share = dice.choice((0.5, 0.9, 0.99))
    histogram = BatchMetrics().ack_seconds
    for value in values:
        histogram.observe(value)
    true = values[max(0, math.ceil(share * len(values)) - 1)]
    low = max((bound for bound in histogram.bounds if bound < true), default=0.0)
    high = min(bound for bound in histogram.bounds if bound >= true)
    assert low <= quantile(histogram.bounds, histogram.counts, share) <= high


def test_a_quantile_of_nothing_is_none_and_beyond_the_last_bound_is_the_bound() -> None:
    assert math.isnan(quantile((1.0, 2.0), [0, 0, 0], 0.5))
    assert quantile((1.0, 2.0), [0, 0, 5], 0.5) == 2.0


async def test_only_the_busiest_sources_are_named() -> None:
    daemon = Daemon(*(f"s{number}" for number in range(30)))
    for number in range(30):
        daemon.stored(f"s{number}", 5 * number)
    await daemon.look()
    [busiest] = daemon.history.tree(0)["busiest"]
    assert busiest == [[f"s{number}", float(number)] for number in range(29, 29 - BUSIEST, -1)]


async def test_ten_thousand_sources_for_hours_stay_within_the_bound() -> None:
    daemon = Daemon(*(f"source{number}" for number in range(10_000)))
    for number, reason in enumerate(REFUSALS):
        daemon[f"source{number}"].rejected[reason] = 1
    for _ in range(SNAPSHOTS + 5):
        await daemon.look(SNAPSHOT_SECONDS)
    assert daemon.history.sources.size_bytes() == 10_000 * 804
    assert daemon.history.size_bytes() - daemon.history.sources.size_bytes() < 400_000


async def test_the_loop_turns_between_slices_of_sources() -> None:
    daemon = Daemon(*(f"source{number}" for number in range(10_000)))
    await daemon.look()
    assert daemon.breaks >= 2 * 10_000 / 500


async def test_a_source_s_figures_over_time() -> None:
    daemon = Daemon("a", "b")
    daemon.essential = {"b": frozenset({"ts"})}
    daemon.stored("b", 10)
    await daemon.look(SNAPSHOT_SECONDS)
    daemon.stored("b", 7)
    daemon["b"].macros.update(ts=3, imei=4)
    daemon["b"].signatures.update(ok=5, bad=2)
    await daemon.look(SNAPSHOT_SECONDS)
    sources = daemon.history.sources
    rows = sources.over_time(1, daemon.seconds)
    assert [dict(zip(COLUMNS, figures, strict=True)) for _, _, figures in rows] == [
        {"received": 10, "macros": 0, "essential": 0, "bad_signatures": 0, "duplicates": 0, "rejected": 0},
        {"received": 7, "macros": 7, "essential": 3, "bad_signatures": 2, "duplicates": 0, "rejected": 0},
        dict.fromkeys(COLUMNS, 0),
    ]
    assert sources.column(AT["received"], sources.snapshots[0]) == [0, 17]
    assert sources.seen[1] == pytest.approx(1_700_000_000 + daemon.seconds)
    assert (sources.seen[0], sources.came[1]) == (0.0, 7)


async def test_a_source_of_a_reload_has_a_history_from_then_on() -> None:
    daemon = Daemon("a")
    await daemon.look(SNAPSHOT_SECONDS)
    daemon.stored("late", 4)
    await daemon.look(SNAPSHOT_SECONDS)
    sources = daemon.history.sources
    assert sources.column(AT["received"], sources.snapshots[0]) == [0, 4]
    assert [figures[0] for _, _, figures in sources.over_time(1, daemon.seconds)] == [0, 4, 0]


async def test_a_counter_beyond_four_thousand_million_is_still_told_right() -> None:
    daemon = Daemon("a")
    daemon["a"].received = 2**32 - 3
    await daemon.look(SNAPSHOT_SECONDS)
    daemon["a"].received = 2**32 + 9
    await daemon.look(SNAPSHOT_SECONDS)
    sources = daemon.history.sources
    assert sources.column(0, sources.snapshots[1]) == [12]


async def test_increases_are_told_by_reason_and_forgotten_in_time() -> None:
    daemon = Daemon("a")
    daemon.numbers["commit_failures"] = 2.0
    daemon["a"].dead_lettered["too large"] = 3
    await daemon.look(60)
    assert daemon.history.increase("commit_failures", 300) == 2.0
    assert daemon.history.increases("dead_lettered", 300) == {"too large": 3}
    for _ in range(10):
        await daemon.look(60)
    assert daemon.history.increase("commit_failures", 300) == 0.0
    assert daemon.history.increases("dead_lettered", 300) == {}
    assert daemon.history.increase("commit_failures", 3600) == 2.0


async def test_the_rate_is_that_of_the_last_seconds() -> None:
    daemon = Daemon("a")
    assert daemon.history.rate() == 0.0
    for _ in range(10):
        daemon.stored("a", 30)
        await daemon.look(1)
    assert daemon.history.rate() == pytest.approx(30)


def test_the_kept_numbers_last_as_long_as_the_slots() -> None:
    assert module.NUMBERS_SECONDS * (module.NUMBERS - 1) >= module.SLOT_SECONDS * SLOTS
    assert SNAPSHOT_SECONDS * (SNAPSHOTS - 1) >= module.SLOT_SECONDS * SLOTS
