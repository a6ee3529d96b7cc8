"""A few power cuts of each kind. A thousand: `python -m tests.commands.powercut`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.commands.powercut import SINKS, Cutter
from tests.support.losing.model import VARIANTS, Disk
from tests.support.losing.mount import why_not

CUTS = len(VARIANTS)


@pytest.fixture
def seed() -> int:
    """By the clock, and printed: `python -m tests.commands.powercut --seed ...` makes the same choices."""
    if reason := why_not():
        pytest.skip(f"NO POWER CUTS: {reason}")
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    return seed


@pytest.mark.parametrize("sink", SINKS)
def test_a_power_cut_loses_nothing_that_was_answered(place: Path, seed: int, sink: str) -> None:
    cutter = Cutter(place, seed, sink)
    result = cutter.run(CUTS, list(VARIANTS), print)
    assert result.problems() == []
    assert cutter.tally.audits == []
    assert cutter.tally.cuts.keys() == VARIANTS.keys()
    assert cutter.tally.in_flight > CUTS, "the cuts met requests under way"
    assert cutter.tally.lost > 0, "the cuts took something that was not synced"


@pytest.mark.parametrize("sink", SINKS)
def test_where_fsync_does_nothing_answered_clicks_are_lost_and_seen_to_be(
    place: Path, seed: int, sink: str
) -> None:
    result = Cutter(place, seed, sink).run(3, ["drop"], print, lie=True)
    assert result.missing


# the model


def test_what_was_synced_survives_every_variant_and_a_name_as_its_kind_of_promise_says() -> None:
    for variant in VARIANTS:
        for seed in range(50):
            disk = Disk()
            node = disk.node(0o100640)
            disk.rename((disk.root, "file", node))
            node.change(0, b"synced" * 1000)
            disk.sync(node)
            if variant == "names":
                disk.sync(disk.root)
            node.change(6000, b"not synced")
            disk.cut(variant, seed)
            assert disk.root.entries["file"].data.startswith(b"synced" * 1000), variant


def test_by_the_letter_of_posix_a_synced_file_may_lose_its_name() -> None:
    there = set()
    for seed in range(50):
        disk = Disk()
        node = disk.node(0o100640)
        disk.rename((disk.root, "file", node))
        disk.sync(node)
        disk.cut("names", seed)
        there.add("file" in disk.root.entries)
    assert there == {True, False}
