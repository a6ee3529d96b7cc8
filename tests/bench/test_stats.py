"""Goals: when a figure reaches them."""

from __future__ import annotations

from bench.measure import Result
from bench.stats import Limit, Ratio, Spread, Table


def table(**rounds: list[float]) -> Table:
    """A run with one metric, `x`, by contender and round."""
    return Table(
        [
            Result(name, number, {"x": value})
            for name, values in rounds.items()
            for number, value in enumerate(values, 1)
        ]
    )


def test_a_ratio_is_taken_within_each_round() -> None:
    """A slow round slows both sides and leaves the ratio alone."""
    found = table(a=[10, 40], b=[5, 20]).ratio(Ratio("", ("a", "x"), ("b", "x")))
    assert found == Spread(2, 2, 2)


def test_a_limit_on_every_round_is_missed_by_one_bad_round() -> None:
    """One pause is a pause, whatever the median says."""
    found = table(a=[1, 1, 30]).spread("a", "x")
    assert found is not None
    assert Limit("", ("a", "x"), most=10, every=True).goal(found).endswith("missed")
    assert Limit("", ("a", "x"), most=10).goal(found).endswith("reached")


def test_an_invalid_contender_takes_part_in_no_ratio() -> None:
    """A figure of a contender that lost events is no figure."""
    run = table(a=[1], b=[1])
    run.results[0].invalid.append("5 of 10 answered events are not in the output")
    assert run.ratio(Ratio("", ("a", "x"), ("b", "x"))) is None
