"""When the spool will be full: a line through the oldest and the newest of the last sixty points."""

from __future__ import annotations

from math import inf

import pytest

from ingestd.spool.trend import Trend


def of(*points: tuple[float, float]) -> Trend:
    trend = Trend()
    for at, value in points:
        trend.add(at, value)
    return trend


def test_at_a_steady_pace_the_rest_takes_what_it_takes() -> None:
    """From 100 to 400 in 30 s, so 600 more in 60 s."""
    assert of((10.0, 100.0), (20.0, 999.0), (40.0, 400.0)).seconds_to(1000.0) == 60.0
    assert of((0.0, 0.0), (2.0, 3.0)).seconds_to(4.5) == 1.0


@pytest.mark.parametrize(
    "points",
    [(), ((1.0, 5.0),), ((1.0, 5.0), (2.0, 5.0)), ((1.0, 5.0), (2.0, 4.0)), ((1.0, 5.0), (1.0, 9.0))],
    ids=["no point", "one point", "no growth", "it shrinks", "no time between"],
)
def test_what_does_not_grow_is_never_full(points: tuple[tuple[float, float], ...]) -> None:
    assert of(*points).seconds_to(1000.0) == inf


def test_a_limit_that_is_reached_or_passed_is_now() -> None:
    assert of((0.0, 0.0), (1.0, 10.0)).seconds_to(10.0) == 0.0
    assert of((0.0, 0.0), (1.0, 10.0)).seconds_to(9.0) == 0.0


def test_only_the_last_sixty_points_count() -> None:
    """It grew by 100 a second once, and by 1 in the last minute."""
    trend = of(*((float(at), 100.0 * at) for at in range(10)))
    for at in range(60):
        trend.add(100.0 + at, float(at))
    assert trend.seconds_to(159.0) == 100.0
    trend = of((0.0, 0.0), *((float(at), float(at)) for at in range(101, 161)))
    assert trend.seconds_to(161.0) == 1.0
    trend = of((0.0, 120.0), *((float(at), float(at)) for at in range(101, 160)))
    assert trend.seconds_to(198.0) == pytest.approx(39.0 * 159.0 / 39.0)
