"""No request becomes more than its allowance: the worst known, and some by chance. Bytes, not time."""

from __future__ import annotations

import random

import pytest

from tests.commands.cost import KNOWN, Recipe, allowance, changed, measured


@pytest.mark.parametrize("name", KNOWN)
def test_the_worst_that_are_known_stay_within_their_allowance(name: str) -> None:
    cost = measured(KNOWN[name], 1)
    assert cost.lines <= allowance(cost.received)
    assert bool(cost.reason) == (cost.lines == 0)


@pytest.mark.parametrize("seed", range(5))
def test_requests_made_by_chance_stay_within_their_allowance(seed: int) -> None:
    rng = random.Random(seed)
    pool: list[Recipe] = list(KNOWN.values())
    for _ in range(10):
        pool.append(changed(changed(rng.choice(pool), rng), rng))
        cost = measured(pool[-1], 1)
        assert cost.lines <= allowance(cost.received), pool[-1]
