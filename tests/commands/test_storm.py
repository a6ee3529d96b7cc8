"""A few faults in combination over the whole daemon. Hours: `python -m tests.commands.storm --hours 8`."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.commands.storm.stage import Shape
from tests.commands.storm.trial import BrokenPromiseError, Found, Trial, storm
from tests.support.checks import MIN_ACKS
from tests.support.clock import WallClock
from tests.support.needs import need_nginx, need_root, need_strace

STEPS = 7


@pytest.fixture(autouse=True)
def needed() -> None:
    """What a storm takes, or the loud skip."""
    need_nginx()
    need_root()
    need_strace()
    if reason := WallClock.why_not():
        pytest.skip(f"NO CLOCK: {reason}")


@pytest.mark.parametrize("sinks", ["file", "kafka", "both"])
def test_faults_at_once_lose_nothing_that_was_answered(request: pytest.FixtureRequest, sinks: str) -> None:
    """The seed is of the clock, and printed: `python -m tests.commands.storm --seed ... --trials 1`."""
    broker = None if sinks == "file" else request.getfixturevalue("kafka")
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")
    found = storm(seed, sinks=sinks, steps=STEPS, kafka=broker)
    print(found.summary(), *found.steps, sep="\n")
    assert sum(found.kinds.values()) == STEPS
    assert found.verdict.acked > MIN_ACKS


class Forgetful(Trial):
    """One that finds a line less in the files than there is."""

    def files(self) -> list[bytes]:
        return super().files()[1:]


def test_one_click_less_is_noticed(place: Path) -> None:
    """The judge can say guilty."""
    shape = Shape("file", "stored", "at_least_once", 1, "none", "1MiB", "96MiB", clock=False)
    trial = Forgetful(place, shape, None, random.Random(1), Found(1, shape))
    with pytest.raises(BrokenPromiseError, match="1 missing"):
        trial.run(0)


def test_the_same_seed_makes_the_same_choices() -> None:
    """A shape, as the first of them."""
    assert Shape.chosen(random.Random(7), "any") == Shape.chosen(random.Random(7), "any")
